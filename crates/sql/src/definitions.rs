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
    let statements = Script::parse(ddl).statements;
    // Of an enum that is changed later the first list of labels is not all.
    let changed: Vec<String> = statements
        .iter()
        .filter_map(|s| {
            if let NodeEnum::AlterEnumStmt(alter) = &s.node { Some(last(&alter.type_name)) } else { None }
        })
        .collect();
    for statement in statements {
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
            NodeEnum::CreateEnumStmt(created) if !changed.contains(&last(&created.type_name)) => {
                if created.type_name.len() == 1 {
                    let node = NodeEnum::String(pg_query::protobuf::String { sval: schema.clone() });
                    created.type_name.insert(0, pg_query::protobuf::Node { node: Some(node) });
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

/// The last part of a name.
fn last(name: &[pg_query::protobuf::Node]) -> String {
    match name.last().and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::String(part)) => part.sval.clone(),
        _ => String::new(),
    }
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
