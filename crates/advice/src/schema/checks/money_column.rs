//! Is a column of type `money`?
//!
//! How `money` reads and writes depends on `lc_monetary`, so a dump restored elsewhere holds other amounts; it knows
//! no currency and rounds. Source: PostgreSQL manual, "Monetary Types", and the wiki's "Don't Do This".

use model::{Severity, quote_identifier};

use super::{Check, column_ref};
use crate::schema::facts::column_name;
use crate::schema::{Facts, LintFinding};

pub(super) const CHECK: Check = Check {
    id: "money-column",
    title: "column of type money",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for relation in facts.designed() {
        for column in relation.columns.iter().filter(|c| {
            c.base_type.schema == "pg_catalog" && c.base_type.name == "money"
        }) {
            let finding = CHECK.finding(
                column_ref(&relation.name, &column.name),
                format!("column {} is money", column_name(&relation.name, &column.name)),
                "What it means depends on lc_monetary, and it says nothing about the currency. numeric keeps amounts \
                 exactly; choose as many decimals as the currency has.",
            );
            let using = format!("{}::numeric", quote_identifier(&column.name));
            let remedy = super::json_column::alter_type(relation, column, "numeric(19, 2)", Some(&using));
            found.push(finding.mended_by(remedy));
        }
    }
    found
}
