//! Which views, functions and operators does a schema define that a person wrote? In the way of a dump, as what reads
//! [`model::Snapshot::schema_sql`] expects it: one statement a line, key words in capitals, views with their schema.
//!
//! Source: `CREATE VIEW`, `CREATE FUNCTION`, `CREATE AGGREGATE` and `CREATE OPERATOR` in the PostgreSQL manual; the
//! schema of a name without one is the first of `search_path`, which is `public` where the file sets none.

use pg_query::{DeparseOptions, NodeEnum};

use crate::script::Script;

/// The definitions of a schema file as a dump would have them, other statements left out. What cannot be parsed, or
/// is made by code within the file, is not seen.
pub fn dumped_definitions(ddl: &str) -> String {
    let mut schema = "public".to_owned();
    let mut out = String::new();
    for statement in Script::parse(ddl).statements {
        let mut node = statement.node;
        match &mut node {
            NodeEnum::VariableSetStmt(set) if set.name.eq_ignore_ascii_case("search_path") => {
                let first = set.args.first().and_then(constant);
                schema = first.filter(|name| !name.is_empty()).unwrap_or_else(|| "public".into());
                continue;
            }
            NodeEnum::ViewStmt(view) => {
                if let Some(name) = view.view.as_mut().filter(|name| name.schemaname.is_empty()) {
                    name.schemaname.clone_from(&schema);
                }
            }
            NodeEnum::CreateFunctionStmt(_) | NodeEnum::DefineStmt(_) => {}
            _ => continue,
        }
        if let Ok(text) = node.deparse(DeparseOptions::default()) {
            out.push_str(&text);
            out.push_str(";\n");
        }
    }
    out
}

/// A domain of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its schema, and its name; `None` where the statement gives no schema.
    pub schema: Option<String>,
    /// Its unquoted name.
    pub name: String,
    /// The type under it as SQL.
    pub type_name: String,
    /// Whether a value has to pass a CHECK or NOT NULL.
    pub constrained: bool,
}

/// The domains that a dump creates.
pub fn domains(ddl: &str) -> Vec<Domain> {
    let mut found = Vec::new();
    for (at, _) in ddl.match_indices("CREATE DOMAIN ") {
        if at > 0 && !ddl[..at].ends_with('\n') {
            continue;
        }
        let end = ddl[at..].find(";\n").map_or(ddl.len(), |length| at + length);
        for statement in Script::parse(&ddl[at..end]).statements {
            let NodeEnum::CreateDomainStmt(domain) = &statement.node else { continue };
            let names: Vec<String> = domain
                .domainname
                .iter()
                .filter_map(|n| match &n.node {
                    Some(NodeEnum::String(name)) => Some(name.sval.clone()),
                    _ => None,
                })
                .collect();
            let (Some(name), Some(type_name)) = (names.last(), &domain.type_name) else { continue };
            found.push(Domain {
                schema: names.len().checked_sub(2).map(|place| names[place].clone()),
                name: name.clone(),
                type_name: crate::lowering::type_name(type_name),
                constrained: !domain.constraints.is_empty(),
            });
        }
    }
    found
}

fn constant(node: &pg_query::protobuf::Node) -> Option<String> {
    match &node.node {
        Some(NodeEnum::AConst(constant)) => match &constant.val {
            Some(pg_query::protobuf::a_const::Val::Sval(text)) => Some(text.sval.clone()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_found_with_what_they_ask() {
        let ddl = "CREATE SCHEMA s;\n\nCREATE DOMAIN public.plain AS character varying(9);\n\n\
                   CREATE DOMAIN s.\"P\" AS integer\n\tCONSTRAINT c CHECK ((VALUE > 0));\n\n\
                   COMMENT ON DOMAIN public.plain IS 'CREATE DOMAIN x AS y';\n";
        let found = domains(ddl);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].name.as_str(), found[0].constrained), ("plain", false));
        assert_eq!(found[0].type_name, "character varying(9)");
        assert_eq!(
            (found[1].schema.as_deref(), found[1].name.as_str(), found[1].constrained),
            (Some("s"), "P", true)
        );
    }

    #[test]
    fn definitions_are_found_however_they_are_written() {
        let dump = dumped_definitions(
            "create table t (id int); create or replace\n  function lower(x int) returns text\n language sql immutable as $$ select ';'; $$;\n\
             create view v as select id from t; Create View \"S\".w as select 1 as one;\n\
             create operator = (function = f, leftarg = int, rightarg = text); do $$ begin null; end $$;\n\
             set search_path = shop, public; create view later as select 2 as two;",
        );
        let starts: Vec<String> =
            dump.lines().map(|line| line.split(['(', ' ']).take(4).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            starts,
            [
                "CREATE OR REPLACE FUNCTION",
                "CREATE VIEW public.v AS",
                "CREATE VIEW \"S\".w AS",
                "CREATE OPERATOR = ",
                "CREATE VIEW shop.later AS",
            ],
            "{dump}"
        );
    }
}
