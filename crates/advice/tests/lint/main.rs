//! Does lint find every fault and nothing else, on real servers of every version?
//!
//! Each case has a schema of its own in one database for each version, so that the catalog is read once.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod attaching;
mod bloat;
mod faults;
mod migrations;
mod scans;
mod traps;
mod types;
mod updates;

use advice::schema::{Beside, LintFinding, Settings, Thresholds, lint};
use model::{ObjectRef, Snapshot};
use postgres::{Environment, SessionOptions, Target};

async fn snapshot(url: &str) -> Snapshot {
    let target = Target::parse(Some(url), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    postgres::snapshot::read_without_schema(&session, std::time::Duration::from_secs(5)).await.unwrap()
}

/// Small tables count as large ones do.
fn eager() -> Thresholds {
    Thresholds {
        unused_min_days: 0.0,
        unused_min_bytes: 0,
        null_min_bytes: 0,
        foreign_key_min_rows: 1.0,
        bloat_min_bytes: 1 << 20,
        padding_min_bytes: 0,
        vacuum_min_rows: 100.0,
        ..Thresholds::default()
    }
}

fn findings(snapshot: &Snapshot, checks: &[&str]) -> Vec<LintFinding> {
    let settings = Settings { thresholds: eager(), ..Settings::default() };
    let only: Vec<String> = checks.iter().map(|c| (*c).to_owned()).collect();
    lint(snapshot, Beside::default(), &settings, &only).findings
}

/// The schema of what a finding is about, and its own name.
fn place(object: &ObjectRef) -> (String, String) {
    match object {
        ObjectRef::Relation { name }
        | ObjectRef::Index { name }
        | ObjectRef::Sequence { name }
        | ObjectRef::Function { name, .. } => (name.schema.clone(), name.name.clone()),
        ObjectRef::Column { relation, column } => {
            (relation.schema.clone(), format!("{}.{column}", relation.name))
        }
        ObjectRef::Constraint { relation, name } | ObjectRef::Policy { relation, name } => {
            (relation.schema.clone(), name.clone())
        }
        ObjectRef::Schema { name } => (name.clone(), name.clone()),
        other => (String::new(), other.to_string()),
    }
}
