//! Is a column of type `char(n)`?
//!
//! `char(n)` fills up with spaces, which are stored and then ignored by some operators and not by others (`LIKE`,
//! regular expressions, casts); it is never faster than `text`. One character needs no filling, so `char(1)` is left
//! alone. Source: PostgreSQL manual, "Character Types", and the wiki's "Don't Do This".

use model::Severity;

use super::{Check, column_ref};
use crate::schema::facts::column_name;
use crate::schema::{Facts, LintFinding};

pub(super) const CHECK: Check = Check {
    id: "char-column",
    title: "column of type char(n)",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for relation in facts.designed() {
        for column in &relation.columns {
            let padded = column.base_type.schema == "pg_catalog" && column.base_type.name == "bpchar";
            if !padded || column.type_name == "character(1)" {
                continue;
            }
            let finding = CHECK.finding(
                column_ref(&relation.name, &column.name),
                format!("column {} is {}", column_name(&relation.name, &column.name), column.type_name),
                "Values are filled up with spaces that some operators ignore and others do not. text with a CHECK on \
                 its length says what was meant.",
            );
            found.push(finding.mended_by(super::json_column::alter_type(relation, column, "text", None)));
        }
    }
    found
}
