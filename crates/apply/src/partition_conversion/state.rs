//! Where is a conversion, and what has it done? Rows in schema `pgwright`, written in the transactions whose work
//! they record.

use chrono::{DateTime, Utc};
use model::QualifiedName;
use postgres::{Session, Target};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Row};

use super::plan::{ConversionPlan, Method};
use crate::error::Error;
use crate::schema::{self, Presence};
use crate::worker::open_journal_session;

/// What a conversion does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Sees to it that the partition column cannot be null.
    NotNull,
    /// Makes the partitioned table.
    Shadow,
    /// Begins to write down what changes.
    Capture,
    /// Copies rows.
    Copy,
    /// Carries over what changed while rows were copied, before there are indexes.
    Fold,
    /// Builds the indexes of the partitions.
    Index,
    /// Puts the indexes of the partitions together.
    ParentIndex,
    /// Carries over what changes.
    CatchUp,
    /// Compares both tables.
    Verify,
    /// Builds wider keys on the table.
    WiderKey,
    /// Puts the partitioned table in the old one's place.
    Swap,
    /// Validates foreign keys.
    Validate,
    /// Done; can be taken back or finished.
    Swapped,
    /// Carries writes back to the old table.
    CarryBack,
    /// Puts the old table back in its place.
    SwapBack,
    /// Validates the old table's foreign keys and builds its keys again.
    Restore,
    /// Removes what it made.
    CleanUp,
    /// Removes the old table.
    DropOld,
    /// Ended: the table is partitioned for good.
    Finished,
    /// Ended: all is as before.
    Reverted,
}

impl Step {
    const ALL: [Self; 20] = [
        Self::NotNull,
        Self::Shadow,
        Self::Capture,
        Self::Copy,
        Self::Fold,
        Self::Index,
        Self::ParentIndex,
        Self::CatchUp,
        Self::Verify,
        Self::WiderKey,
        Self::Swap,
        Self::Validate,
        Self::Swapped,
        Self::CarryBack,
        Self::SwapBack,
        Self::Restore,
        Self::CleanUp,
        Self::DropOld,
        Self::Finished,
        Self::Reverted,
    ];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotNull => "not_null",
            Self::Shadow => "shadow",
            Self::Capture => "capture",
            Self::Copy => "copy",
            Self::Fold => "fold",
            Self::Index => "index",
            Self::ParentIndex => "parent_index",
            Self::CatchUp => "catch_up",
            Self::Verify => "verify",
            Self::WiderKey => "wider_key",
            Self::Swap => "swap",
            Self::Validate => "validate",
            Self::Swapped => "swapped",
            Self::CarryBack => "carry_back",
            Self::SwapBack => "swap_back",
            Self::Restore => "restore",
            Self::CleanUp => "clean_up",
            Self::DropOld => "drop_old",
            Self::Finished => "finished",
            Self::Reverted => "reverted",
        }
    }

    /// Whether the partitioned table bears the name.
    pub fn is_swapped(self) -> bool {
        matches!(self, Self::Validate | Self::Swapped | Self::CarryBack | Self::SwapBack | Self::DropOld)
    }

    /// Whether it has been asked to take back what was done.
    pub fn is_reverting(self) -> bool {
        matches!(self, Self::CarryBack | Self::SwapBack | Self::Restore | Self::CleanUp)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// A conversion as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub id: i64,
    pub step: Step,
    pub plan: ConversionPlan,
}

/// A conversion as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Conversion {
    /// Its number.
    pub conversion_id: i64,
    /// The table.
    pub table: QualifiedName,
    /// How.
    pub method: Method,
    /// What it does next, or how it ended.
    pub step: Step,
    /// Whether a pgwright is at work on it now.
    pub running: bool,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// By which role.
    pub created_by: String,
    /// When the present step began.
    pub changed_at: DateTime<Utc>,
    /// When the tables changed places.
    pub swapped_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Rows copied so far.
    pub rows_copied: i64,
    /// Pieces of the copy that are done.
    pub batches_done: i64,
    /// Pieces of the copy altogether.
    pub batches: i64,
    /// Rows per second while copying.
    pub rows_per_second: Option<f64>,
    /// Seconds until the copy is done, at that speed.
    pub seconds_left: Option<f64>,
    /// Changes that have been written down and not carried over yet.
    pub backlog: Option<i64>,
    /// Where the old table is after the swap.
    pub kept: Option<QualifiedName>,
    /// The steps that it went through, in order; one that was gone on with stands there again.
    pub passed: Vec<PassedStep>,
}

/// A step of a conversion, and when it was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PassedStep {
    /// Which.
    pub step: Step,
    /// When.
    pub began_at: DateTime<Utc>,
}

const STORED: &str = "select /* pgwright:conversion_open */ conversion_id, step, plan from pgwright.conversion \
     where schema_name = $1 and table_name = $2 and ended_at is null";

/// The open conversion of a table.
pub(crate) async fn open(client: &Client, table: &QualifiedName) -> Result<Option<Stored>, Error> {
    if schema::presence(client).await? != Presence::Version(schema::SCHEMA_VERSION) {
        return Ok(None);
    }
    let doing = || Error::query("read the state of the conversion");
    let row = client.query_opt(STORED, &[&table.schema, &table.name]).await.map_err(doing())?;
    row.map(|row| stored(&row)).transpose()
}

fn stored(row: &Row) -> Result<Stored, Error> {
    let doing = || Error::query("read the state of the conversion");
    let id: i64 = row.try_get("conversion_id").map_err(doing())?;
    let step: String = row.try_get("step").map_err(doing())?;
    let unreadable = |reason: String| Error::Unreadable { step: id, reason };
    Ok(Stored {
        id,
        step: Step::parse(&step)
            .ok_or_else(|| unreadable(format!("A conversion knows no step \"{step}\"")))?,
        plan: serde_json::from_value(row.try_get("plan").map_err(doing())?)
            .map_err(|e| unreadable(format!("The plan of the conversion: {e}")))?,
    })
}

/// Writes down a conversion that begins.
pub(crate) async fn create(
    client: &Client,
    plan: &ConversionPlan,
    first: Step,
    fingerprint: &str,
) -> Result<i64, Error> {
    let doing = || Error::query("write the state of the conversion");
    let value = serde_json::to_value(plan).map_err(Error::json("store the plan of the conversion"))?;
    let row = client
        .query_one(
            &format!(
                "with /* pgwright:conversion_create */ made as ( \
                   insert into pgwright.conversion \
                     (schema_name, table_name, table_oid, method, step, plan, pgwright_version, facts) \
                   values ($1, $2, $3, $4, $5, $6, $7, pg_catalog.jsonb_build_object('fingerprint', ({fingerprint}))) \
                   returning conversion_id, step), \
                 noted as (insert into pgwright.conversion_history (conversion_id, step) \
                   select conversion_id, step from made) \
                 select conversion_id from made"
            ),
            &[
                &plan.table.schema,
                &plan.table.name,
                &plan.subject.oid,
                &plan.method.as_str(),
                &first.as_str(),
                &value,
                &env!("CARGO_PKG_VERSION"),
            ],
        )
        .await
        .map_err(doing())?;
    row.try_get("conversion_id").map_err(doing())
}

/// The statements that record that a conversion has come to a step; they belong into the transaction of the work.
pub(crate) fn to_step(id: i64, step: Step) -> Vec<String> {
    let name = step.as_str();
    let more = match step {
        Step::Validate => ", swapped_at = pg_catalog.clock_timestamp()",
        Step::Finished | Step::Reverted => ", ended_at = pg_catalog.clock_timestamp()",
        _ => "",
    };
    vec![
        format!(
            "UPDATE /* pgwright:conversion_step */ pgwright.conversion SET step = '{name}', changed_at = \
             pg_catalog.clock_timestamp(){more} WHERE conversion_id = {id}"
        ),
        format!(
            "INSERT /* pgwright:conversion_step */ INTO pgwright.conversion_history (conversion_id, step) VALUES ({id}, \
             '{name}')"
        ),
    ]
}

/// Every conversion, the latest first; nothing when there is no schema `pgwright`. Works on a standby too.
///
/// # Errors
/// When the server cannot be asked.
pub async fn conversions(target: &Target) -> Result<Vec<Conversion>, Error> {
    let session = open_journal_session(target).await?;
    match schema::presence(&session).await? {
        Presence::Version(version) if version >= 3 => {}
        _ => return Ok(Vec::new()),
    }
    let doing = || Error::query("read the conversions");
    let rows = session
        .query(include_str!("../../queries/conversions.sql"), &[&schema::LOCK_CLASS])
        .await
        .map_err(doing())?;
    let mut all = Vec::new();
    for row in rows {
        all.push(shown(&session, &row).await?);
    }
    Ok(all)
}

async fn shown(session: &Session, row: &Row) -> Result<Conversion, Error> {
    let doing = || Error::query("read the conversions");
    let get = || -> Result<Conversion, tokio_postgres::Error> {
        let schema_name: String = row.try_get("schema_name")?;
        let method: String = row.try_get("method")?;
        let step: String = row.try_get("step")?;
        let (rows_copied, batches_done, batches): (i64, i64, i64) =
            (row.try_get("rows_copied")?, row.try_get("batches_done")?, row.try_get("batches")?);
        let seconds: Option<f64> = row.try_get("copy_seconds")?;
        let rate = seconds.filter(|s| *s > 0.0 && rows_copied > 0).map(|s| rows_copied as f64 / s);
        let left = seconds.filter(|_| batches_done > 0 && batches_done < batches);
        let step = Step::parse(&step).unwrap_or(Step::Swapped);
        let kept: Option<String> = row.try_get("kept")?;
        let steps: Vec<String> = row.try_get("steps")?;
        let began: Vec<DateTime<Utc>> = row.try_get("began")?;
        let passed = steps
            .iter()
            .zip(began)
            .filter_map(|(step, began_at)| Some(PassedStep { step: Step::parse(step)?, began_at }))
            .collect();
        Ok(Conversion {
            conversion_id: row.try_get("conversion_id")?,
            table: QualifiedName::new(&schema_name, row.try_get::<_, String>("table_name")?),
            method: if method == "attach" { Method::Attach } else { Method::Rewrite },
            step,
            running: row.try_get("running")?,
            created_at: row.try_get("created_at")?,
            created_by: row.try_get("created_by")?,
            changed_at: row.try_get("changed_at")?,
            swapped_at: row.try_get("swapped_at")?,
            ended_at: row.try_get("ended_at")?,
            rows_copied,
            batches_done,
            batches,
            rows_per_second: rate,
            seconds_left: left.map(|s| s * (batches - batches_done) as f64 / batches_done as f64),
            backlog: None,
            kept: kept.filter(|_| step.is_swapped()).map(|name| QualifiedName::new(schema_name, name)),
            passed,
        })
    };
    let mut conversion = get().map_err(doing())?;
    let log: Option<String> = row.try_get("log").map_err(doing())?;
    if let Some(log) = log {
        let sql =
            format!("select /* pgwright:conversion_backlog */ pg_catalog.count(*) as entries from {log}");
        // The log goes when the conversion ends, which may be right now.
        conversion.backlog =
            session.query_one(&sql, &[]).await.ok().and_then(|row| row.try_get("entries").ok());
    }
    Ok(conversion)
}

/// That no conversion is open, whose log and state would be lost with schema `pgwright`.
pub(crate) async fn none_is_open(target: &Target) -> Result<(), Error> {
    match conversions(target).await?.into_iter().find(|c| c.ended_at.is_none()) {
        None => Ok(()),
        Some(open) => Err(super::failure::new(
            format!("the conversion of {} is open", open.table),
            "Its state and what it writes down are in schema pgwright.",
            "End it with \"pgwright partition convert finish\" or \"revert\".",
        )),
    }
}
