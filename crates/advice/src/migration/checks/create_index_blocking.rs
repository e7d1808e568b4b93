//! Is an index built while writes wait?
//!
//! `CREATE INDEX` holds SHARE on the table from beginning to end: reads go on, writes wait. `CONCURRENTLY` reads the table
//! twice and stops nobody; it cannot run in a transaction, and leaves an invalid index behind when it fails. On a
//! partitioned table it is not possible: an index ON ONLY the parent, one CONCURRENTLY on each partition, attached.

use model::{LockLevel, Severity};
use sql::Action;

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "create-index-blocking",
    title: "index that is built while writes wait",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::CreateIndex(index) = step.action else { return Vec::new() };
    let table = step.name(&index.table);
    // ON ONLY a partitioned table makes an empty index.
    if index.concurrently || step.is_new(&table) || (index.only && step.is_partitioned(&table)) {
        return Vec::new();
    }
    let found = step.finding(
        &CHECK,
        &table,
        (LockLevel::Share, Held::Build),
        format!("CREATE INDEX on {table} stops writes until the index is built"),
        if step.is_partitioned(&table) {
            "CONCURRENTLY does not work on a partitioned table: CREATE INDEX … ON ONLY it, one CONCURRENTLY on each \
             partition, ALTER INDEX … ATTACH PARTITION."
        } else {
            "CREATE INDEX CONCURRENTLY does not stop them."
        },
    );
    if step.is_partitioned(&table) {
        return vec![found];
    }
    let text = &step.statement.text;
    // Only the one word is added, behind INDEX, which is not part of a name there.
    let at = text.to_ascii_uppercase().find("INDEX").map(|at| at + "INDEX".len());
    let Some(at) = at else { return vec![found] };
    vec![found.mended_by(instead(
        vec![format!("{} CONCURRENTLY{}", &text[..at], &text[at..])],
        LockLevel::ShareUpdateExclusive,
        "SHARE UPDATE EXCLUSIVE while the table is read twice: reads and writes go on. Outside of a transaction. If it \
         fails, DROP INDEX CONCURRENTLY what is left and try again.",
    ))]
}
