//! Does a change of a domain read the tables that use it?
//!
//! `ALTER DOMAIN … ADD CONSTRAINT`, `SET NOT NULL` and `VALIDATE CONSTRAINT` read every table that has a column of the
//! domain, or of a domain over it, under SHARE: writes wait. `ADD CONSTRAINT … NOT VALID` reads none; from 18 on
//! `VALIDATE CONSTRAINT` lets writes go on.
//!
//! Source: `validateDomainCheckConstraint()`, `get_rels_with_domain()` in typecmds.c.

use std::collections::BTreeSet;

use model::{LockLevel, QualifiedName, Severity, quote_identifier};
use sql::{Action, Domain, DomainChange};

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::{LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "alter-domain-validating",
    title: "constraint of a domain that is validated in all its tables",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::AlterDomain { domain, change } = step.action else { return Vec::new() };
    let what = match change {
        DomainChange::SetNotNull => "SET NOT NULL",
        DomainChange::AddConstraint { not_valid: false, .. } => "a new constraint",
        DomainChange::Validate { .. } if step.major() < 18 => "VALIDATE CONSTRAINT",
        _ => return Vec::new(),
    };
    let Some(known) = step.domain(&domain.to_string()) else { return Vec::new() };
    let written = domain.to_string();
    tables(step, known)
        .into_iter()
        .map(|table| {
            let mut found = step.finding(
                &CHECK,
                &table,
                (LockLevel::Share, Held::Scan),
                format!("{what} of domain {written} reads {table} under SHARE"),
                "All tables that use the domain stay locked until the last of them is read.",
            );
            found.finding.key.push_str(&format!(".{written}"));
            match remedy(step, &written, &domain.name, change) {
                Some(remedy) => found.mended_by(remedy),
                None => found,
            }
        })
        .collect()
}

/// The tables with a column of a domain, or of one over it, that hold rows already; partitions are what their table is.
fn tables(step: &Step<'_>, domain: &Domain) -> Vec<QualifiedName> {
    let is = |type_name: &str| {
        let mut next = step.domain(type_name);
        // Domains of a broken file that go round end.
        for _ in 0..20 {
            match next {
                Some(found) if found.name == domain.name => return true,
                Some(found) => next = step.domain(&found.type_name),
                None => return false,
            }
        }
        false
    };
    let stored = step.facts.snapshot.relations.iter().filter(|r| {
        let rows = !matches!(r.kind, model::snapshot::RelationKind::ForeignTable);
        rows && r.partition_bound.is_none() && r.columns.iter().any(|c| is(&c.type_name))
    });
    let given = step.state.types.iter().filter(|(_, type_name)| is(type_name)).map(|((table, _), _)| table);
    let all: BTreeSet<&QualifiedName> = stored.map(|r| &r.name).chain(given).collect();
    all.into_iter().filter(|table| !step.is_new(table)).cloned().collect()
}

/// The constraint without the reading, which comes later.
fn remedy(step: &Step<'_>, written: &str, name: &str, change: &DomainChange) -> Option<Remedy> {
    let own = |suffix: &str| {
        let cut: String = name.chars().take(40).collect();
        format!("{cut}_{suffix}")
    };
    let (constraint, expression) = match change {
        DomainChange::SetNotNull | DomainChange::AddConstraint { expression: None, .. } => {
            (own("not_null"), "VALUE IS NOT NULL")
        }
        DomainChange::AddConstraint { name, expression: Some(expression), .. } => {
            (name.clone().unwrap_or_else(|| own("check")), expression.as_str())
        }
        _ => return None,
    };
    let constraint = quote_identifier(&constraint);
    let mut sql =
        vec![format!("ALTER DOMAIN {written} ADD CONSTRAINT {constraint} CHECK ({expression}) NOT VALID")];
    let validate = format!("ALTER DOMAIN {written} VALIDATE CONSTRAINT {constraint}");
    if step.major() >= 18 {
        sql.push(validate);
        return Some(instead(
            sql,
            LockLevel::ShareUpdateExclusive,
            "No table is locked at first; VALIDATE reads them under SHARE UPDATE EXCLUSIVE: reads and writes go on.",
        ));
    }
    Some(instead(
        sql,
        LockLevel::AccessShare,
        format!(
            "No table is locked, and new values are asked. {validate} reads the tables under SHARE before version 18: leave \
             it for an hour in which writes may wait."
        ),
    ))
}
