//! Does attaching a partition read it under a lock?
//!
//! `ATTACH PARTITION` takes SHARE UPDATE EXCLUSIVE on the partitioned table, but ACCESS EXCLUSIVE on the partition, and on
//! the DEFAULT partition, and reads both to see that the rows belong there. Valid CHECK constraints that imply the bounds,
//! together with NOT NULL of the key, save the reading of the partition; those that imply the opposite save that of the
//! DEFAULT partition. Whether they do is decided as PostgreSQL decides it (`predtest.c`), as far as the texts of dates and
//! times tell the same moment.

use std::collections::BTreeMap;

use model::snapshot::Relation;
use model::{LockLevel, QualifiedName, Severity, quote_identifier};
use sql::{Action, PartitionBound, TableChange};

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "attach-partition-scan",
    title: "partition that is read while it is attached",
    severity: Severity::Warning,
    run,
};

/// What constraints have to imply.
enum Needed {
    Condition(String),
    /// No constraint that a person writes implies what a hash keeps apart.
    Nothing,
    /// The key or the bound is not known here.
    Unknown,
}

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::AlterTable { table, change: TableChange::Attach { partition, bound } } = step.action else {
        return Vec::new();
    };
    let (table, partition) = (step.name(table), step.name(partition));
    let parent = step.relation(&table);
    let mut found = Vec::new();
    let of_partition = needed(step, parent, bound.as_ref());
    if !step.is_new(&partition) && !is_guarded(step, parent, &partition, &of_partition) {
        let why = format!("Its rows have to satisfy the bounds{}. {}", condition(&of_partition), advice(step, &partition));
        let finding = step.finding(
            &CHECK,
            &partition,
            (LockLevel::AccessExclusive, Held::Scan),
            format!("attaching {partition} to {table} reads it under ACCESS EXCLUSIVE"),
            &why,
        );
        found.push(mended(step, finding, &partition, &of_partition));
    }
    let children = step.facts.tables.children(&table);
    let other = children.iter().find(|c| c.partition_bound.as_deref() == Some("DEFAULT"));
    if let Some(other) = other.filter(|_| bound != &Some(PartitionBound::Default)) {
        let key = parent.and_then(|p| p.partition_key.as_deref());
        let of_default = match (bound, key) {
            (Some(PartitionBound::Hash), _) => Needed::Nothing,
            (Some(bound), Some(key)) => bound.negation(key).map_or(Needed::Unknown, Needed::Condition),
            _ => Needed::Unknown,
        };
        if !is_guarded(step, parent, &other.name, &of_default) {
            let why = format!(
                "Its rows have to lie outside of the new bounds{}. {}",
                condition(&of_default),
                advice(step, &other.name)
            );
            let finding = step.finding(
                &CHECK,
                &other.name,
                (LockLevel::AccessExclusive, Held::Scan),
                format!("attaching {partition} to {table} reads its DEFAULT partition {} under ACCESS EXCLUSIVE", other.name),
                &why,
            );
            found.push(mended(step, finding, &other.name, &of_default));
        }
    }
    found
}

/// What rows of a partition with this bound satisfy.
fn needed(step: &Step<'_>, parent: Option<&Relation>, bound: Option<&PartitionBound>) -> Needed {
    let Some((parent, key)) = parent.and_then(|p| Some((p, p.partition_key.as_deref()?))) else {
        return Needed::Unknown;
    };
    match bound {
        None => Needed::Unknown,
        Some(PartitionBound::Hash) => Needed::Nothing,
        Some(PartitionBound::Default) => {
            let others = step.facts.tables.children(&parent.name);
            let outside = others.iter().map(|c| PartitionBound::parse(c.partition_bound.as_deref()?)?.negation(key));
            match outside.collect::<Option<Vec<String>>>() {
                Some(outside) if !outside.is_empty() => Needed::Condition(outside.join(" AND ")),
                Some(_) => Needed::Condition("true".into()),
                None => Needed::Unknown,
            }
        }
        Some(bound) => bound.condition(key).map_or(Needed::Unknown, Needed::Condition),
    }
}

/// Whether the valid constraints of a table imply it. Without knowing what is needed any of them is given the benefit of
/// the doubt.
fn is_guarded(step: &Step<'_>, parent: Option<&Relation>, table: &QualifiedName, needed: &Needed) -> bool {
    let checks = step.valid_checks(table);
    let condition = match needed {
        Needed::Nothing => return false,
        Needed::Unknown => return !checks.is_empty(),
        Needed::Condition(condition) => condition,
    };
    let not_null = step.relation(table).into_iter().flat_map(|r| &r.columns).filter(|c| c.not_null);
    let premises: Vec<String> = checks
        .into_iter()
        .map(|check| format!("({check})"))
        .chain(not_null.map(|c| format!("{} IS NOT NULL", quote_identifier(&c.name))))
        .collect();
    let columns = parent.into_iter().flat_map(|p| &p.columns);
    let types: BTreeMap<String, String> =
        columns.map(|c| (quote_identifier(&c.name), c.type_name.clone())).collect();
    let premise = if premises.is_empty() { "true".to_owned() } else { premises.join(" AND ") };
    sql::check_implies(&premise, condition, &types, step.writes_utc())
}

fn condition(needed: &Needed) -> String {
    match needed {
        Needed::Condition(condition) => format!(" ({condition})"),
        Needed::Nothing | Needed::Unknown => String::new(),
    }
}

fn advice(step: &Step<'_>, table: &QualifiedName) -> &'static str {
    match step.valid_checks(table).is_empty() {
        true => "A valid CHECK that says so saves the reading.",
        false => "A valid CHECK that says so saves the reading; from those that are there it does not follow.",
    }
}

/// The check first, in a transaction of its own, then the same statement.
fn mended(step: &Step<'_>, finding: LintFinding, table: &QualifiedName, needed: &Needed) -> LintFinding {
    let Needed::Condition(condition) = needed else { return finding };
    let name = quote_identifier(&format!("{}_bounds", table.name.chars().take(50).collect::<String>()));
    finding.mended_by(instead(
        vec![
            format!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID"),
            format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}"),
            step.statement.text.clone(),
            format!("ALTER TABLE {table} DROP CONSTRAINT {name}"),
        ],
        LockLevel::ShareUpdateExclusive,
        "ACCESS EXCLUSIVE for instants, and SHARE UPDATE EXCLUSIVE while the rows are read: reads and writes go on. Each \
         statement in a transaction of its own.",
    ))
}
