//! Is a table or a database near the end of its transaction ids?
//!
//! The age of the oldest unfrozen row (`relfrozenxid`, `relminmxid`) against the two thousand million after which the
//! server refuses to write. Transaction ids and multixacts run out apart from each other; materialized views, TOAST
//! tables and other databases count as well. Below that, what autovacuum should have frozen and has not: twice
//! `autovacuum_freeze_max_age`. Source: PostgreSQL manual, "Preventing Transaction ID Wraparound Failures".

use model::{Change, LockLevel, ObjectRef, Severity};

use super::{Check, relation_ref};
use crate::schema::facts::percent;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "wraparound",
    title: "rows that are not frozen in time",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: true,
    run,
};

/// Ids that can be compared; the server stops three million before.
const END: f64 = 2_147_483_648.0 - 3_000_000.0;

struct Age<'a> {
    of: &'static str,
    age: i64,
    setting: &'a str,
}

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for table in &facts.snapshot.schema.ages {
        let Some((age, severity)) = worst(facts, table.xid_age, table.mxid_age) else { continue };
        let name = table.toast_of.as_ref().unwrap_or(&table.name);
        let toast = if table.toast_of.is_some() { "the TOAST table of " } else { "" };
        let mut finding = said(&age, severity, relation_ref(name), &format!("{toast}table {name}"));
        if table.toast_of.is_some() {
            finding.finding.key.push_str(" (TOAST)");
        }
        let freeze = format!("VACUUM (FREEZE) {name}");
        let lock = "SHARE UPDATE EXCLUSIVE while the table is read: reads and writes go on.";
        let remedy = if facts.tables.relation(name).is_some() {
            Remedy { sql: vec![freeze], ..Remedy::changes(facts, vec![Change::Vacuum { table: name.clone() }], lock) }
        } else {
            Remedy::sql(vec![freeze], LockLevel::ShareUpdateExclusive, lock)
        };
        // A plain VACUUM of apply freezes what is old enough, but says FREEZE nowhere.
        found.push(finding.mended_by(Remedy { changes: Vec::new(), ..remedy }));
    }
    for database in facts.snapshot.schema.database_ages.iter().filter(|d| d.name != facts.snapshot.server.database) {
        let Some((age, severity)) = worst(facts, database.xid_age, database.mxid_age) else { continue };
        let object = ObjectRef::Database { name: database.name.clone() };
        let what = format!("database {}", model::quote_identifier(&database.name));
        found.push(said(&age, severity, object, &what).mended_by(Remedy::without_lock(
            vec![format!("-- in {what}"), "VACUUM (FREEZE)".into()],
            "SHARE UPDATE EXCLUSIVE on one table after the other: reads and writes go on.",
        )));
    }
    found
}

/// Whichever of the two is nearer to its end, when it is near.
fn worst<'a>(facts: &Facts<'_>, xid_age: i64, mxid_age: i64) -> Option<(Age<'a>, Severity)> {
    let ages = [
        Age { of: "transaction ids", age: xid_age, setting: "autovacuum_freeze_max_age" },
        Age { of: "multixacts", age: mxid_age, setting: "autovacuum_multixact_freeze_max_age" },
    ];
    let thresholds = facts.thresholds;
    ages.into_iter()
        .filter_map(|age| {
            let share = age.age as f64 / END;
            let limit = facts.snapshot.setting(age.setting).and_then(|s| s.parse::<f64>().ok());
            // What autovacuum is forced to freeze at `limit` and is twice as old was not frozen.
            let missed = limit.is_some_and(|limit| age.age as f64 > 2.0 * limit);
            if share >= thresholds.wraparound_error_share {
                Some((age, Severity::Error))
            } else {
                (share >= thresholds.wraparound_share || missed).then_some((age, Severity::Warning))
            }
        })
        .max_by_key(|(age, severity)| (*severity, age.age))
}

fn said(age: &Age<'_>, severity: Severity, object: ObjectRef, what: &str) -> LintFinding {
    CHECK
        .finding(
            object,
            format!("{what} has used {} of the {} that it can", percent(age.age as f64 / END), age.of),
            "At the end the server refuses to write. VACUUM freezes; if the age does not fall, an old transaction, a \
             prepared transaction, a replication slot or a standby with hot_standby_feedback holds it.",
        )
        .severity(severity)
        .with(&format!("age in {}", age.of), age.age)
        .with(age.setting, "the age at which autovacuum is forced")
}
