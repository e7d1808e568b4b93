//! Is a column of type `json`?
//!
//! `json` keeps the text and parses it at every look; `jsonb` is parsed once, can be indexed (GIN) and compared.
//! `json` is right only where white space, the order of keys or repeated keys matter. Source: PostgreSQL manual,
//! "JSON Types".

use model::snapshot::{Column, Relation, RelationKind};
use model::{Severity, quote_identifier};

use super::{Check, column_ref};
use crate::schema::facts::column_name;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "json-column",
    title: "column of type json",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for relation in facts.designed() {
        for column in relation.columns.iter().filter(|c| {
            c.base_type.schema == "pg_catalog" && c.base_type.name == "json"
        }) {
            let finding = CHECK.finding(
                column_ref(&relation.name, &column.name),
                format!("column {} is json", column_name(&relation.name, &column.name)),
                "Every look at it parses the text anew, it has no equality and cannot be indexed as a document. Unless \
                 white space, the order of keys or repeated keys matter, jsonb is better.",
            );
            let using = format!("{}::jsonb", quote_identifier(&column.name));
            found.push(finding.mended_by(alter_type(relation, column, "jsonb", Some(&using))));
        }
    }
    found
}

/// Another type for a column, which writes the table anew.
pub(super) fn alter_type(relation: &Relation, column: &Column, to: &str, using: Option<&str>) -> Remedy {
    let foreign = if relation.kind == RelationKind::ForeignTable { "FOREIGN " } else { "" };
    let using = using.map_or(String::new(), |u| format!(" USING {u}"));
    let name = quote_identifier(&column.name);
    Remedy::rewrite(
        vec![format!("ALTER {foreign}TABLE {} ALTER COLUMN {name} TYPE {to}{using}", relation.name)],
        relation,
    )
}
