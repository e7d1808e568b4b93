//! Which relation and which columns does a name mean?
//!
//! Source: PostgreSQL manual, "The Schema Search Path". The catalog schemas come first, as they do
//! when `pg_catalog` is not named in `search_path`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use model::snapshot::{Index, Relation};
use model::{QualifiedName, Snapshot};

use crate::views::{View, Views};

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

    /// Finds a view, by the same rules.
    fn view(&self, schema: Option<&str>, name: &str) -> Option<View> {
        let _ = (schema, name);
        None
    }
}

/// A snapshot seen through a search path.
#[derive(Clone, Debug)]
pub struct SnapshotCatalog<'a> {
    snapshot: &'a Snapshot,
    search_path: Vec<String>,
    relations: BTreeMap<&'a str, Vec<&'a Relation>>,
    /// Looked for when a name is no relation's.
    views: OnceLock<Views>,
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
        Self::with_search_path(snapshot, search_path)
    }

    /// Uses an explicit search path.
    pub fn with_search_path(snapshot: &'a Snapshot, search_path: Vec<String>) -> Self {
        let mut relations: BTreeMap<&str, Vec<&Relation>> = BTreeMap::new();
        for relation in &snapshot.relations {
            relations.entry(&relation.name.name).or_default().push(relation);
        }
        Self { snapshot, search_path, relations, views: OnceLock::new() }
    }

    /// Finds an index as [`Catalog::relation`] finds a relation.
    pub fn index(&self, schema: Option<&str>, name: &str) -> Option<&'a Index> {
        let named: Vec<&'a Index> = self.snapshot.indexes.iter().filter(|i| i.name.name == name).collect();
        self.choose(&named, |i| &i.name, schema)
    }

    /// Among things of one name the one that the schema or the search path says.
    fn choose<'n, T: Copy>(
        &self,
        named: &[T],
        name_of: impl Fn(T) -> &'n QualifiedName,
        schema: Option<&str>,
    ) -> Option<T> {
        let in_schema = |schema: &str| named.iter().copied().find(|t| name_of(*t).schema == schema);
        match schema {
            Some(schema) => in_schema(schema),
            None => self.search_path.iter().find_map(|s| in_schema(s)).or(match named {
                [only] => Some(*only),
                _ => None,
            }),
        }
    }
}

impl Catalog for SnapshotCatalog<'_> {
    fn relation(&self, schema: Option<&str>, name: &str) -> Option<ResolvedRelation> {
        let found = self.choose(self.relations.get(name)?, |r| &r.name, schema)?;
        Some(ResolvedRelation {
            name: found.name.clone(),
            columns: found
                .columns
                .iter()
                .map(|c| ResolvedColumn { name: c.name.clone(), type_name: c.type_name.clone() })
                .collect(),
        })
    }

    fn view(&self, schema: Option<&str>, name: &str) -> Option<View> {
        let views = self.views.get_or_init(|| Views::find(&self.snapshot.schema_sql));
        let named: Vec<&QualifiedName> = views.names().filter(|n| n.name == name).collect();
        views.view(&self.snapshot.schema_sql, self.choose(&named, |n| n, schema)?)
    }
}
