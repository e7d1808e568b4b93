//! What does a view select? Read out of the schema's DDL, because the planner sees through views and an index
//! advisor has to as well.
//!
//! Source: `dumpTableSchema()` of pg_dump.c, which writes `CREATE VIEW schema.name [WITH (…)] AS query;` with
//! qualified names, and `CREATE OR REPLACE VIEW` a second time where views depend on one another in a circle.

use std::collections::BTreeMap;
use std::ops::Range;

use model::QualifiedName;
use pg_query::NodeEnum;
use pg_query::protobuf::Node;

/// A view that was found in a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Its name.
    pub name: QualifiedName,
    /// Its query.
    pub(crate) query: NodeEnum,
    /// The names of its columns, where the definition gives them.
    pub(crate) columns: Vec<Node>,
}

/// Where the views of a schema dump stand in its text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Views {
    places: BTreeMap<QualifiedName, Range<usize>>,
}

impl Views {
    /// Finds the views of a schema dump.
    pub(crate) fn find(schema_sql: &str) -> Self {
        let mut places = BTreeMap::new();
        for start in ["CREATE VIEW ", "CREATE OR REPLACE VIEW "] {
            for (at, _) in schema_sql.match_indices(start) {
                let begins_line = at == 0 || schema_sql[..at].ends_with('\n');
                let name = view_name(&schema_sql[at + start.len()..]);
                if let (true, Some(name)) = (begins_line, name) {
                    // The second definition of a view is the whole one.
                    places.insert(name, at..schema_sql.len());
                }
            }
        }
        Self { places }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &QualifiedName> {
        self.places.keys()
    }

    /// Parses the definition of a view.
    pub(crate) fn view(&self, schema_sql: &str, name: &QualifiedName) -> Option<View> {
        let text = schema_sql.get(self.places.get(name)?.clone())?;
        // A semicolon ends a line within a string as well, so the first that makes a statement counts.
        let ends = text.match_indices(";\n").map(|(at, _)| at).chain([text.trim_end().len()]);
        ends.take(64).find_map(|end| View::parse(text.get(..end)?))
    }
}

impl View {
    /// Reads a `CREATE VIEW` statement; `None` when it is none, or names no schema.
    pub fn parse(create_view: &str) -> Option<Self> {
        let parsed = pg_query::parse(create_view, pg_query::ParserOptions::DEFAULT).ok()?.protobuf;
        let [statement] = parsed.stmts.as_slice() else { return None };
        let NodeEnum::ViewStmt(view) = statement.stmt.as_ref()?.node.as_ref()? else { return None };
        let name = view.view.as_ref().filter(|name| !name.schemaname.is_empty())?;
        Some(Self {
            name: QualifiedName::new(name.schemaname.clone(), name.relname.clone()),
            query: view.query.as_ref()?.node.clone()?,
            columns: view.aliases.clone(),
        })
    }
}

/// The name at the beginning of a text, up to the space after it.
fn view_name(text: &str) -> Option<QualifiedName> {
    let mut quoted = false;
    let end = text.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        !quoted && (c.is_whitespace() || *c == '(')
    })?;
    let name = QualifiedName::parse(&text[..end.0], "").ok()?;
    (!name.schema.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_found_in_a_dump() {
        let dump = "SET x = 1;\n\nCREATE VIEW public.a AS\n SELECT 1 AS one,\n    ';\n'::text AS two;\n\n\n\
                    ALTER TABLE public.a OWNER TO x;\n\
                    CREATE VIEW \"My Schema\".\"b c\"(n) WITH (security_barrier='true') AS\n SELECT 2;\n\
                    CREATE OR REPLACE VIEW public.a AS\n SELECT 3 AS three;\n";
        let views = Views::find(dump);
        let names: Vec<String> = views.names().map(ToString::to_string).collect();
        assert_eq!(names, ["\"My Schema\".\"b c\"", "public.a"]);
        for name in views.names() {
            let view = views.view(dump, name).unwrap();
            let NodeEnum::SelectStmt(select) = &view.query else { panic!("{view:?}") };
            assert_eq!(select.target_list.len(), 1, "{name}");
        }
        assert_eq!(views.view(dump, &QualifiedName::new("My Schema", "b c")).unwrap().columns.len(), 1);
        assert!(
            Views::find("CREATE VIEW public.cut AS SELECT")
                .view("", &QualifiedName::new("public", "cut"))
                .is_none()
        );
    }
}
