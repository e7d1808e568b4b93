//! Is a table inherited from another by `INHERITS`?
//!
//! Keys, unique constraints and foreign keys do not reach over inheritance: two children can hold the same key, and
//! nothing can reference a row of any of them. For dividing a table, declarative partitioning (10 and later) does
//! what was meant, with pruning. Source: PostgreSQL manual, "Inheritance: Caveats".

use model::Severity;

use super::{Check, relation_ref};
use crate::schema::{Facts, LintFinding};

pub(super) const CHECK: Check = Check {
    id: "inheritance",
    title: "table with children by INHERITS",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts
        .designed()
        .filter_map(|r| {
            let children: Vec<String> = facts
                .tables
                .children(&r.name)
                .iter()
                .filter(|c| c.partition_bound.is_none())
                .map(|c| c.name.to_string())
                .collect();
            (!children.is_empty()).then(|| {
                CHECK
                    .finding(
                        relation_ref(&r.name),
                        format!("table {} has {} from it", r.name, heirs(children.len())),
                        "A unique or foreign key holds for each table alone, not for all together. Use declarative \
                         partitioning to divide a table, and separate tables for different things.",
                    )
                    .with("children", children.join(", "))
            })
        })
        .collect()
}

fn heirs(count: usize) -> String {
    if count == 1 { "a table that inherits".into() } else { format!("{count} tables that inherit") }
}
