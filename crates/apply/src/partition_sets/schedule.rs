//! How do partitions come about while pgwright does not run? The server makes them itself, called by pg_cron.
//!
//! The arithmetic of calendars and zones is not written a second time in PL/pgSQL. The statements for partitions of years
//! to come are written down by [`partitioning::planning::ahead`] in table `pgwright_cron.ahead`, each with the key from
//! which on it is due, and procedure `pgwright_cron.run` runs those that are. Each is a transaction of its own with a
//! short `lock_timeout` and tries with back-off. All of it is in schema `pgwright_cron`.
//!
//! Source: pg_cron's README; PostgreSQL manual, "Transaction Management" in PL/pgSQL.

use std::collections::BTreeSet;

use model::partition_set::{Interval, PartitionSet};
use model::{KeyKind, QualifiedName, quote_identifier, quote_literal};
use partitioning::planning::ahead;
use partitioning::settings::SetSettings;
use partitioning::{Trees, key_words};
use postgres::{Session, Target};
use serde::Serialize;
use tokio_postgres::Client;
use uuid::Uuid;

use super::survey::{creation, default_facts, look, taken_names};
use super::unread_default::LARGE_BYTES;
use crate::action::{Action, SetChange};
use crate::error::Error;
use crate::event::{Event, OnEvent};
use crate::executor::begin;
use crate::journal;
use crate::operations::operation_of;
use crate::options::ExecuteOptions;
use crate::plan::{PlannedRecommendation, PlannedStep};
use crate::recovery::{recover_locked, unlock};
use crate::schema;

/// The name of the job.
pub const JOB: &str = "pgwright partitions";
/// What the job runs.
pub const COMMAND: &str = "CALL pgwright_cron.run()";
const INSTALL: &str = include_str!("../../queries/schedule_install.sql");

/// What would be scheduled.
#[derive(Clone, Debug, Serialize)]
pub struct Schedule {
    /// One per set that grows.
    pub sets: Vec<ScheduledSet>,
    /// The version of pg_cron in this database; `None` when it is not there.
    pub pg_cron: Option<String>,
    /// Sets of which nothing is scheduled, and why, and what an earlier schedule could not make.
    pub notices: Vec<String>,
}

/// One set.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduledSet {
    /// The partitioned table.
    pub table: QualifiedName,
    /// How many partitions are written down.
    pub partitions: usize,
    /// The name of the last one.
    pub last: Option<QualifiedName>,
    /// Where its last partition begins to be due, in the key's words.
    pub last_due: Option<String>,
    #[serde(skip)]
    current_key: String,
    #[serde(skip)]
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    name: QualifiedName,
    due: i64,
    check: Option<String>,
    statements: Vec<String>,
}

/// Looks what would be scheduled: at most so many partitions for each set. Reads only.
///
/// # Errors
/// When the server cannot be asked.
pub async fn plan_schedule(
    session: &Session,
    settings: &[SetSettings],
    at_most: usize,
) -> Result<Schedule, Error> {
    let version = session.version_num();
    let trees = Trees::new(postgres::catalog::partition_tables(session, version).await?);
    let (now_micros, _) = postgres::catalog::clock(session, version).await?;
    let (mut sets, mut notices) = (Vec::new(), Vec::new());
    for setting in settings {
        let (surveyed, planned) = look(session, &trees, setting, now_micros).await?;
        let (Some(set), Some((parent, mut seen, _))) = (surveyed.set, planned) else {
            notices.push(format!("{}: {}.", surveyed.table, surveyed.problem.unwrap_or_default()));
            continue;
        };
        if !matches!(set.division.interval, Interval::Time { .. } | Interval::Numbers(_)) {
            notices.push(format!("{}: its partitions do not grow in number.", set.parent));
            continue;
        }
        let wrong =
            |e: partitioning::Error| Error::Unfit { what: set.parent.to_string(), reason: e.to_string() };
        if let Some(default) = trees.default_of(parent)
            && default.default_bytes.is_some_and(|bytes| bytes >= LARGE_BYTES)
            && !default_facts(session, parent, default, &set.division.key).await?.shows_keys
        {
            notices.push(format!(
                "{}: DEFAULT {} would be read while it is locked, so the server makes no partition beside it while it is \
                 larger than {}; an index on {} spares that.",
                set.parent,
                default.name,
                model::Bytes(LARGE_BYTES.unsigned_abs()),
                quote_identifier(&set.division.key)
            ));
        }
        let mut found = ahead(&set, &trees, parent, &seen, at_most).map_err(wrong)?;
        let all = |found: &[partitioning::planning::Ahead]| -> (Vec<String>, Vec<String>) {
            found.iter().map(|a| (a.partition.name.schema.clone(), a.partition.name.name.clone())).unzip()
        };
        let (schemas, names) = all(&found);
        let taken: BTreeSet<String> =
            taken_names(session, &schemas, &names).await?.into_iter().map(|n| n.name).collect();
        if !taken.is_empty() {
            seen.taken = taken;
            found = ahead(&set, &trees, parent, &seen, at_most).map_err(wrong)?;
        }
        let rows: Vec<Row> = found
            .into_iter()
            .map(|ahead| {
                let (name, due) = (ahead.partition.name.clone(), ahead.due);
                let check = ahead.partition.check.clone();
                let change = Action::Set(creation(session, parent, &set, ahead.partition, (None, None)));
                Row { name, due, check, statements: operation_of(&change).statements(&change) }
            })
            .collect();
        sets.push(ScheduledSet {
            table: set.parent.clone(),
            partitions: rows.len(),
            last: rows.last().map(|row| row.name.clone()),
            last_due: rows.last().map(|row| key_words(row.due, set.division.kind)),
            current_key: current_key(&set),
            rows,
        });
    }
    let doing = || Error::query("look for pg_cron");
    let row = session
        .query_opt(
            "select /* pgwright:pg_cron */ e.extversion from pg_catalog.pg_extension e where e.extname = 'pg_cron'",
            &[],
        )
        .await
        .map_err(doing())?;
    let pg_cron = row.map(|row| row.try_get(0)).transpose().map_err(doing())?;
    notices.extend(failures(session).await?);
    Ok(Schedule { sets, pg_cron, notices })
}

/// What the server could not make by itself.
async fn failures(client: &Client) -> Result<Vec<String>, Error> {
    if !is_installed(client).await? {
        return Ok(Vec::new());
    }
    let doing = || Error::query("read schema pgwright_cron");
    let rows = client
        .query(
            "select /* pgwright:schedule_failures */ partition_schema, partition_name, failure \
             from pgwright_cron.ahead where failure is not null order by due limit 10",
            &[],
        )
        .await
        .map_err(doing())?;
    rows.iter()
        .map(|row| {
            let name = QualifiedName::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?);
            Ok(format!("The server could not make {name}: {}.", row.try_get::<_, String>(2)?))
        })
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(doing())
}

/// Where the keys of a set are at time `$1`.
fn current_key(set: &PartitionSet) -> String {
    let key = quote_identifier(&set.division.key);
    let zone = quote_literal(&set.time_zone);
    let micros = |clock: &str| format!("(extract(epoch from {clock}) * 1000000)::pg_catalog.int8");
    match set.division.kind {
        KeyKind::TimestampTz | KeyKind::UuidV7 => micros("$1::pg_catalog.timestamptz"),
        KeyKind::Timestamp | KeyKind::Date => {
            micros(&format!("($1::pg_catalog.timestamptz at time zone {zone})"))
        }
        // The time is not asked for, and yet has to be of a type.
        _ => format!(
            "coalesce((select pg_catalog.max({key}) from {}), 0)::pg_catalog.int8 \
             where $1::pg_catalog.timestamptz is not null",
            set.parent
        ),
    }
}

/// Whether the procedure is there.
pub(crate) async fn is_installed(client: &Client) -> Result<bool, Error> {
    client
        .query_one(
            "select /* pgwright:schedule_installed */ \
             pg_catalog.to_regprocedure('pgwright_cron.run(timestamptz,integer,integer)') is not null",
            &[],
        )
        .await
        .and_then(|row| row.try_get(0))
        .map_err(Error::query("look for procedure pgwright_cron.run"))
}

/// What is run, for people.
pub(crate) fn shown(schedule: Option<&str>) -> Vec<String> {
    let mut sql =
        vec!["CREATE SCHEMA pgwright_cron".to_owned(), "CREATE PROCEDURE pgwright_cron.run(…)".to_owned()];
    sql.extend(schedule.map(job_sql));
    sql
}

fn job_sql(schedule: &str) -> String {
    format!(
        "SELECT cron.schedule({}, {}, {})",
        quote_literal(JOB),
        quote_literal(schedule),
        quote_literal(COMMAND)
    )
}

/// What takes it away: what pgwright made, and nothing that somebody put beside it.
pub(crate) fn undo_sql(has_job: bool) -> String {
    let unschedule = match has_job {
        true => {
            format!("PERFORM cron.unschedule(jobid) FROM cron.job WHERE jobname = {}; ", quote_literal(JOB))
        }
        false => String::new(),
    };
    format!(
        "DO $undo$ DECLARE v_left regprocedure; BEGIN {unschedule}\
         FOR v_left IN SELECT oid FROM pg_catalog.pg_proc WHERE pronamespace = 'pgwright_cron'::pg_catalog.regnamespace \
         AND proname ~ '^in_default_[0-9]+$' LOOP EXECUTE 'DROP FUNCTION ' || v_left || ' CASCADE'; END LOOP; \
         DROP PROCEDURE pgwright_cron.run(timestamptz, integer, integer); \
         DROP TABLE pgwright_cron.ahead, pgwright_cron.partition_set; DROP SCHEMA pgwright_cron; END $undo$"
    )
}

/// Installs the procedure with the partitions to come, and the job when `cron` says when. All of it is one transaction
/// with the journal's row. What was scheduled before is replaced.
///
/// # Errors
/// When another run is at work, nothing can be scheduled, or the server refuses; nothing was changed then.
pub async fn schedule(
    target: &Target,
    settings: &[SetSettings],
    at_most: usize,
    cron: Option<&str>,
    options: &ExecuteOptions,
    on_event: OnEvent<'_>,
) -> Result<Schedule, Error> {
    let (session, _) = begin(target).await?;
    on_event(Event::Locked);
    let result = async {
        recover_locked(target, &session, options, on_event).await?;
        let plan = plan_schedule(&session, settings, at_most).await?;
        let unfit = |reason: &str| Error::Unfit { what: "a schedule".to_owned(), reason: reason.to_owned() };
        if plan.sets.is_empty() {
            return Err(unfit("no set grows"));
        }
        if cron.is_some() && plan.pg_cron.is_none() {
            return Err(unfit("extension pg_cron is not in this database"));
        }
        schema::ensure(&session).await?;
        let change = Action::Set(SetChange::ScheduleCreation {
            procedure: QualifiedName::new("pgwright_cron", "run"),
            tables: plan.sets.iter().map(|s| s.table.clone()).collect(),
            schedule: cron.map(str::to_owned),
        });
        let title = "let the server make partitions ahead".to_owned();
        let planned = PlannedRecommendation::of_steps(
            "schedule partitions".to_owned(),
            title.clone(),
            vec![PlannedStep::new(change)],
        );
        let run_id = options.run_id.unwrap_or_else(Uuid::new_v4);
        session
            .batch_execute("begin /* pgwright:schedule_begin */")
            .await
            .map_err(Error::query("schedule partitions"))?;
        match install(&session, &plan, cron, (run_id, &planned)).await {
            Ok(entry_id) => {
                on_event(Event::Journaled { entry_id, recommendation_id: planned.recommendation_id, title });
                Ok(plan)
            }
            Err(error) => {
                let _ = session.batch_execute("rollback /* pgwright:schedule_end */").await;
                Err(error)
            }
        }
    }
    .await;
    unlock(&session).await;
    result
}

async fn install(
    client: &Client,
    plan: &Schedule,
    cron: Option<&str>,
    (run_id, planned): (Uuid, &PlannedRecommendation),
) -> Result<i64, Error> {
    let doing = || Error::query("schedule partitions");
    let (entry_id, steps) = journal::write_plan(client, run_id, 0, planned).await?;
    client.batch_execute(INSTALL).await.map_err(doing())?;
    client
        .batch_execute("delete /* pgwright:schedule_clear */ from pgwright_cron.partition_set")
        .await
        .map_err(doing())?;
    for set in &plan.sets {
        let table = set.table.to_string();
        client
            .execute(
                "insert /* pgwright:schedule_set */ into pgwright_cron.partition_set (table_name, current_key) values ($1, $2)",
                &[&table, &set.current_key],
            )
            .await
            .map_err(doing())?;
        let rows: Vec<serde_json::Value> = set
            .rows
            .iter()
            .map(|r| {
                serde_json::json!({ "schema": r.name.schema, "name": r.name.name, "due": r.due, "sql": r.statements, "check": r.check })
            })
            .collect();
        client
            .execute(
                "insert /* pgwright:schedule_ahead */ into pgwright_cron.ahead \
                   (table_name, partition_schema, partition_name, due, statements, bound_check) \
                 select $1, r ->> 'schema', r ->> 'name', (r ->> 'due')::pg_catalog.int8, \
                   array(select pg_catalog.jsonb_array_elements_text(r -> 'sql')), r ->> 'check' \
                 from pg_catalog.jsonb_array_elements($2) r",
                &[&table, &serde_json::Value::Array(rows)],
            )
            .await
            .map_err(doing())?;
    }
    if let Some(cron) = cron {
        client.batch_execute(&job_sql(cron)).await.map_err(doing())?;
    }
    let step_id = steps.first().copied().unwrap_or_default();
    let end = format!(
        "update /* pgwright:journal_schedule */ pgwright.journal_step set status = 'done', attempts = 1, \
           started_at = pg_catalog.transaction_timestamp(), finished_at = pg_catalog.clock_timestamp() \
         where step_id = {step_id} and status = 'planned'; commit /* pgwright:schedule_end */"
    );
    client.batch_execute(&end).await.map_err(doing())?;
    Ok(entry_id)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_procedure_and_a_run_call_the_same_default_large() {
        assert!(super::INSTALL.contains(&format!(">= {};", super::LARGE_BYTES)));
    }
}
