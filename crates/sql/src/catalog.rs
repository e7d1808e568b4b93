//! Which relation and which columns does a name mean?
//!
//! Source: PostgreSQL manual, "The Schema Search Path". The catalog schemas come first, as they do
//! when `pg_catalog` is not named in `search_path`.

use model::snapshot::Index;
use model::{QualifiedName, Snapshot};

/// A column as the analysis needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedColumn {
    /// The unquoted name.
    pub name: String,
    /// `format_type()`.
    pub type_name: String,
}

/// A relation that a name was resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedRelation {
    /// Its name.
    pub name: QualifiedName,
    /// Its columns in order.
    pub columns: Vec<ResolvedColumn>,
}

/// Something that knows relations by name.
pub trait Catalog {
    /// Finds a relation; without a schema the search path decides.
    fn relation(&self, schema: Option<&str>, name: &str) -> Option<ResolvedRelation>;
}

/// A snapshot seen through a search path.
#[derive(Clone, Debug)]
pub struct SnapshotCatalog<'a> {
    snapshot: &'a Snapshot,
    search_path: Vec<String>,
}

impl<'a> SnapshotCatalog<'a> {
    /// Uses the snapshot's own `search_path` setting; when that finds nothing, any schema that
    /// holds the name once, because sessions of other roles may have another path.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let path = snapshot.setting("search_path").unwrap_or("\"$user\", public");
        let search_path = path
            .split(',')
            .map(|part| part.trim().trim_matches('"'))
            .map(
                |part| {
                    if part == "$user" { snapshot.server.user.clone() } else { part.replace("\"\"", "\"") }
                },
            )
            .filter(|part| !part.is_empty())
            .collect();
        Self { snapshot, search_path }
    }

    /// Uses an explicit search path.
    pub fn with_search_path(snapshot: &'a Snapshot, search_path: Vec<String>) -> Self {
        Self { snapshot, search_path }
    }

    /// Finds an index as [`Catalog::relation`] finds a relation.
    pub fn index(&self, schema: Option<&str>, name: &str) -> Option<&'a Index> {
        self.find(&self.snapshot.indexes, |i| &i.name, schema, name)
    }

    fn find<T>(
        &self,
        all: &'a [T],
        name_of: impl Fn(&T) -> &QualifiedName,
        schema: Option<&str>,
        name: &str,
    ) -> Option<&'a T> {
        let in_schema =
            |schema: &str| all.iter().find(|t| name_of(t).schema == schema && name_of(t).name == name);
        if let Some(schema) = schema {
            return in_schema(schema);
        }
        self.search_path.iter().find_map(|s| in_schema(s)).or_else(|| {
            let mut named = all.iter().filter(|t| name_of(t).name == name);
            match (named.next(), named.next()) {
                (Some(only), None) => Some(only),
                _ => None,
            }
        })
    }
}

impl Catalog for SnapshotCatalog<'_> {
    fn relation(&self, schema: Option<&str>, name: &str) -> Option<ResolvedRelation> {
        let found = self.find(&self.snapshot.relations, |r| &r.name, schema, name)?;
        Some(ResolvedRelation {
            name: found.name.clone(),
            columns: found
                .columns
                .iter()
                .map(|c| ResolvedColumn { name: c.name.clone(), type_name: c.type_name.clone() })
                .collect(),
        })
    }
}
