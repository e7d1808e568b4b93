//! How does the partitioned table get into the old one's place? Under one short lock: what is left in the log is
//! carried over, the names change hands, and from then on what changes in the partitioned table is written down for
//! the way back. All of it commits together, so that an interruption leaves either table in place, never both or none.
//!
//! Source: PostgreSQL manual, "Explicit Locking", "ALTER TABLE" (RENAME).

use std::time::{Duration, Instant};

use model::{quote_identifier, quote_literal};
use postgres::Session;

use super::capture::{Capture, Way};
use super::drain::Drainer;
use super::event::ConversionEvent;
use super::failure::{self, CHANGED};
use super::plan::{ConversionPlan, Method};
use super::script;
use super::site::{Brief, Site, open_session};
use super::state::{Step, to_step};
use crate::error::Error;

/// An expression that changes when anything is hung on the table, taken off it or altered; what pgwright itself
/// does to it for the conversion does not count.
pub(crate) fn fingerprint(plan: &ConversionPlan) -> String {
    let own: Vec<String> =
        super::attach::wider(plan).map(|i| quote_literal(&plan.kept_index(i).name)).collect();
    include_str!("../../queries/conversion_fingerprint.sql")
        .replace("$1", &format!("{}::pg_catalog.oid", plan.subject.oid))
        .replace("$2", &quote_literal(&plan.column))
        .replace("$3", &format!("ARRAY[{}]::pg_catalog.text[]", own.join(", ")))
}

/// The state of the triggers that write down what changes: another one when somebody has disabled them, even if they
/// were enabled again.
fn capture_mark(forth: &Capture<'_>) -> String {
    format!(
        "SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', t.oid, t.tgenabled, t.xmin), ';' ORDER BY t.oid) FROM \
         pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid WHERE t.tgrelid = {} AND t.tgname LIKE \
         {} AND f.pronamespace = 'pgwright'::pg_catalog.regnamespace",
        forth.plan.subject.oid,
        quote_literal(&format!("conversion\\_{}\\_%", forth.id))
    )
}

/// Begins to write down what changes.
pub(crate) async fn begin_capture(site: &Site<'_>) -> Result<Step, Error> {
    let forth = Capture { plan: &site.plan, id: site.id, way: Way::Forth };
    let session = open_session(site.target, site.options).await?;
    let mut statements = vec![check_fingerprint(site)];
    statements.extend(forth.triggers(&[]));
    statements.push(remember(site.id, "capture", &capture_mark(&forth)));
    statements.extend(to_step(site.id, Step::Copy));
    // The mode that waits for everybody who has written to the table and not ended yet.
    let locks = vec![(format!("ONLY {}", site.plan.table), "SHARE ROW EXCLUSIVE")];
    site.briefly(&session, &Brief { step: Step::Capture, locks, statements }, async || Ok(())).await?;
    Ok(Step::Copy)
}

/// Stores the value of an expression with the conversion.
pub(crate) fn remember(id: i64, name: &str, expression: &str) -> String {
    format!(
        "UPDATE pgwright.conversion SET facts = facts || pg_catalog.jsonb_build_object('{name}', ({expression})) WHERE \
         conversion_id = {id}"
    )
}

fn check(id: i64, name: &str, expression: &str, message: &str) -> String {
    format!(
        "IF (SELECT facts ->> '{name}' FROM pgwright.conversion WHERE conversion_id = {id}) IS DISTINCT FROM \
         ({expression}) THEN RAISE EXCEPTION USING ERRCODE = '{CHANGED}', MESSAGE = {}; END IF",
        quote_literal(message)
    )
}

fn check_fingerprint(site: &Site<'_>) -> String {
    let message =
        "its columns, constraints, indexes, triggers, policies, views or privileges are not what they were";
    check(site.id, "fingerprint", &fingerprint(&site.plan), message)
}

/// Puts the partitioned table in the old one's place.
pub(crate) async fn run(site: &Site<'_>) -> Result<Step, Error> {
    match site.plan.method {
        Method::Attach => attach(site).await,
        Method::Rewrite => rewrite(site).await,
    }
}

async fn rewrite(site: &Site<'_>) -> Result<Step, Error> {
    let plan = &site.plan;
    let forth = Capture { plan, id: site.id, way: Way::Forth };
    let back = Capture { plan, id: site.id, way: Way::Back };
    let drainer = Drainer::open(site, forth.clone(), true).await?;
    drainer.catch_up(site, Step::Swap).await?;
    settle(site, drainer.session()).await?;
    let partitions: Vec<_> = plan.partitions.iter().map(|p| p.name.clone()).collect();
    let mut statements = vec![
        check_fingerprint(site),
        check(
            site.id,
            "capture",
            &capture_mark(&forth),
            "the triggers that write down what changes were touched",
        ),
        format!("PERFORM {}()", forth.drain()),
    ];
    statements.extend(forth.drop_triggers(&plan.table, &[]));
    statements.extend(script::exchange(plan));
    // Not valid yet: no row is looked at under the lock.
    for key in &plan.subject.foreign_keys {
        statements.extend(partitions.iter().map(|p| script::add_foreign_key(p, key, false)));
    }
    statements.extend(script::reference_again(plan));
    statements.extend(script::hang_on(plan));
    statements.extend(back.row_triggers());
    statements.extend(to_step(site.id, Step::Validate));
    let brief = Brief { step: Step::Swap, locks: locks(site), statements };
    drainer.catch_up(site, Step::Swap).await?;
    site.briefly(drainer.session(), &brief, async || drainer.catch_up(site, Step::Swap).await).await?;
    Ok(Step::Validate)
}

async fn attach(site: &Site<'_>) -> Result<Step, Error> {
    let plan = &site.plan;
    let session = open_session(site.target, site.options).await?;
    let mut statements = vec![check_fingerprint(site)];
    statements.extend(script::exchange(plan));
    statements.extend(script::reference_again(plan));
    statements.extend(script::hang_on(plan));
    statements.extend(to_step(site.id, Step::Validate));
    let brief = Brief { step: Step::Swap, locks: locks(site), statements };
    site.briefly(&session, &brief, async || Ok(())).await?;
    Ok(Step::Validate)
}

/// The table, and those that foreign keys tie to it.
fn locks(site: &Site<'_>) -> Vec<(String, &'static str)> {
    let mut locks = vec![(format!("ONLY {}", site.plan.table), "ACCESS EXCLUSIVE")];
    let others = script::others_in_swap(&site.plan).into_iter();
    locks.extend(others.filter(|t| **t != site.plan.table).map(|t| (t.to_string(), "SHARE ROW EXCLUSIVE")));
    locks
}

/// Waits for transactions with a snapshot older than the copied rows: they would not see them. Those that have read
/// the table already hold a lock on it, which the swap waits for; this is about those that read it later.
async fn settle(site: &Site<'_>, drainer: &Session) -> Result<(), Error> {
    let doing = || Error::query("look for older snapshots");
    let now = site
        .session
        .query_one("select /* pgwright:convert_now */ pg_catalog.clock_timestamp() as now", &[])
        .await
        .map_err(doing())?;
    let now: chrono::DateTime<chrono::Utc> = now.try_get("now").map_err(doing())?;
    let began = Instant::now();
    let mut told = Vec::new();
    loop {
        site.check_cancelled(Step::Swap)?;
        let own = [site.session.backend_pid(), drainer.backend_pid()];
        let rows = site
            .session
            .query(include_str!("../../queries/conversion_old_snapshots.sql"), &[&now, &own.as_slice()])
            .await
            .map_err(doing())?;
        let pids: Vec<i32> =
            rows.iter().map(|r| r.try_get("pid")).collect::<Result<_, _>>().map_err(doing())?;
        if pids.is_empty() {
            return Ok(());
        }
        if pids != told {
            site.teller.tell(ConversionEvent::Waiting { pids: pids.clone() });
            told.clone_from(&pids);
        }
        if began.elapsed() > site.options.snapshot_wait {
            let list: Vec<String> = pids.iter().map(ToString::to_string).collect();
            return Err(failure::new(
                format!("transactions with old snapshots keep {} from being exchanged", site.plan.table),
                format!(
                    "They would not see the rows that have been copied since they began. Sessions: {}.",
                    list.join(", ")
                ),
                failure::GO_ON,
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Validates what the swap has left unchecked.
pub(crate) async fn validate(site: &Site<'_>) -> Result<Step, Error> {
    let plan = &site.plan;
    let session = open_session(site.target, site.options).await?;
    let partitions: Vec<_> = plan.partitions.iter().map(|p| p.name.clone()).collect();
    for key in &plan.subject.foreign_keys {
        let name = quote_identifier(&key.name);
        if plan.method == Method::Rewrite {
            for partition in &partitions {
                site.check_cancelled(Step::Validate)?;
                let sql = format!(
                    "ALTER TABLE /* pgwright:convert_validate */ {partition} VALIDATE CONSTRAINT {name}"
                );
                session.batch_execute(&sql).await.map_err(|e| site.failed(&e))?;
            }
        }
        // PostgreSQL takes the keys that the partitions have as parts of this one.
        let there = format!(
            "EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = {}::pg_catalog.regclass AND conname = {})",
            quote_literal(&plan.table.to_string()),
            quote_literal(&key.name)
        );
        let mut statements =
            vec![format!("IF NOT {there} THEN {}; END IF", script::add_foreign_key(&plan.table, key, true))];
        if let Some(comment) = &key.comment {
            let comment = quote_literal(comment);
            statements.push(format!("COMMENT ON CONSTRAINT {name} ON {} IS {comment}", plan.table));
        }
        let locks = vec![
            (plan.table.to_string(), "SHARE ROW EXCLUSIVE"),
            (key.table.to_string(), "SHARE ROW EXCLUSIVE"),
        ];
        site.briefly(&session, &Brief { step: Step::Validate, locks, statements }, async || Ok(())).await?;
    }
    for sql in script::validate_references(plan) {
        session.batch_execute(&sql).await.map_err(|e| site.failed(&e))?;
    }
    match plan.method {
        Method::Rewrite => {
            let forth = Capture { plan, id: site.id, way: Way::Forth };
            site.advance(&session, forth.drop_objects(), Step::Swapped).await?;
        }
        Method::Attach => {
            let mut statements = vec![format!(
                "ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}",
                plan.kept,
                super::not_null::CONSTRAINT
            )];
            statements.extend(to_step(site.id, Step::Swapped));
            let locks = vec![(plan.kept.to_string(), "ACCESS EXCLUSIVE")];
            site.briefly(&session, &Brief { step: Step::Validate, locks, statements }, async || Ok(()))
                .await?;
        }
    }
    Ok(Step::Swapped)
}
