//! How does a conversion go from step to step? Each step commits with the record that it is done, so whoever finds a
//! conversion that was interrupted goes on with the step that is recorded.

use std::time::Instant;

use model::QualifiedName;
use postgres::Target;

use super::attach;
use super::capture::{Capture, Way};
use super::compare;
use super::copy;
use super::decide::decide;
use super::drain::Drainer;
use super::event::{ConversionEvent, OnConversionEvent, Teller};
use super::failure;
use super::not_null;
use super::options::{ConversionOptions, ConversionRequest};
use super::plan::{ConversionPlan, Method};
use super::revert;
use super::script;
use super::site::{Site, millis, open_session, writing_session};
use super::state::{self, Step, Stored};
use super::swap;
use crate::error::Error;
use crate::schema::{self, LOCK_CLASS};

/// How a conversion was left.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Converted {
    /// Its number.
    pub conversion_id: i64,
    /// The step that it is at.
    pub step: Step,
    /// Whether it had been begun by an earlier run.
    pub resumed: bool,
    /// What was planned.
    pub plan: ConversionPlan,
}

/// Converts a table, or goes on where an earlier run was interrupted.
///
/// # Errors
/// When the table cannot be converted, a lock is not to be had, the wish to stop arrives, or the server fails. What
/// was done stays; the next run goes on, or [`revert_conversion`] takes it back.
pub async fn convert(
    target: &Target,
    request: &ConversionRequest,
    options: &ConversionOptions,
    on_event: OnConversionEvent<'_>,
) -> Result<Converted, Error> {
    let session = writing_session(target).await?;
    let stored = state::open(&session, &request.table).await?;
    let resumed = stored.is_some();
    let stored = match stored {
        Some(stored) => {
            lock(&session, &stored.plan).await?;
            // What was read before the lock may have been another's last step.
            state::open(&session, &request.table).await?.unwrap_or(stored)
        }
        None => {
            let reader = open_session(target, options).await?;
            let plan = decide(&reader, request).await?;
            if plan.refusals().next().is_some() {
                return Err(failure::refused(&plan.table, plan.refusals()));
            }
            lock(&session, &plan).await?;
            schema::ensure(&session).await?;
            if let Some(stored) = state::open(&session, &request.table).await? {
                stored
            } else {
                let id = state::create(&session, &plan, Step::NotNull, &swap::fingerprint(&plan)).await?;
                Stored { id, step: Step::NotNull, plan }
            }
        }
    };
    let Stored { id, step, plan } = stored;
    if step.is_reverting() || step == Step::DropOld {
        let (doing, command) =
            if step == Step::DropOld { ("finished", "finish") } else { ("taken back", "revert") };
        return Err(failure::new(
            format!("the conversion of {} is being {doing}", plan.table),
            format!("Conversion {id} was interrupted while it did that."),
            format!("Run \"pgwright partition convert {command}\" to the end first."),
        ));
    }
    let site = Site { target, options, teller: Teller::new(on_event), session, id, plan };
    if resumed {
        site.teller.tell(ConversionEvent::Resumed { conversion_id: id, step });
    }
    let step = go(&site, step, Step::Swapped).await?;
    Ok(Converted { conversion_id: id, step, resumed, plan: site.plan })
}

/// Makes a conversion final: drops the old table.
///
/// # Errors
/// When there is none that is done, or as [`convert`].
pub async fn finish_conversion(
    target: &Target,
    table: &QualifiedName,
    options: &ConversionOptions,
    on_event: OnConversionEvent<'_>,
) -> Result<Converted, Error> {
    let (site, step) = resume(target, table, options, on_event).await?;
    let step = match step {
        Step::DropOld => step,
        Step::Swapped => {
            site.advance(&site.session, Vec::new(), Step::DropOld).await?;
            Step::DropOld
        }
        other => {
            return Err(failure::new(
                format!("the conversion of {table} is not done"),
                format!("It is at step \"{}\".", other.as_str().replace('_', " ")),
                failure::GO_ON,
            ));
        }
    };
    let step = go(&site, step, Step::Finished).await?;
    Ok(Converted { conversion_id: site.id, step, resumed: true, plan: site.plan })
}

/// Takes a conversion back, with what was written since.
///
/// # Errors
/// When there is none, or as [`convert`].
pub async fn revert_conversion(
    target: &Target,
    table: &QualifiedName,
    options: &ConversionOptions,
    on_event: OnConversionEvent<'_>,
) -> Result<Converted, Error> {
    let (site, step) = resume(target, table, options, on_event).await?;
    if step == Step::DropOld {
        return Err(failure::new(
            format!("the conversion of {table} is being finished"),
            "The old table is gone or going.",
            "Run \"pgwright partition convert finish\" to the end.",
        ));
    }
    let mut step = step;
    if !step.is_reverting() {
        step = revert::begin(&site, step).await?;
    }
    let step = go(&site, step, Step::Reverted).await?;
    Ok(Converted { conversion_id: site.id, step, resumed: true, plan: site.plan })
}

async fn resume<'a>(
    target: &'a Target,
    table: &QualifiedName,
    options: &'a ConversionOptions,
    on_event: OnConversionEvent<'a>,
) -> Result<(Site<'a>, Step), Error> {
    let session = writing_session(target).await?;
    let none = || {
        failure::new(
            format!("no conversion of {table} is open"),
            "",
            "\"pgwright partition convert status\" lists the conversions.",
        )
    };
    let stored = state::open(&session, table).await?.ok_or_else(none)?;
    lock(&session, &stored.plan).await?;
    let Stored { id, step, plan } = state::open(&session, table).await?.ok_or_else(none)?;
    Ok((Site { target, options, teller: Teller::new(on_event), session, id, plan }, step))
}

/// Gives the lock back at the end of the work: the server ends a session somewhat after it was left, and whoever comes at
/// once would be told that another pgwright is at work. Of a session that is gone the lock is gone too.
async fn unlock(site: &Site<'_>) {
    let key = site.plan.subject.oid.cast_signed();
    let unlock = "select /* pgwright:conversion_unlock */ pg_catalog.pg_advisory_unlock($1, $2)";
    let _ = site.session.query_one(unlock, &[&LOCK_CLASS, &key]).await;
}

/// One pgwright per table. The lock goes with the session.
async fn lock(session: &postgres::Session, plan: &ConversionPlan) -> Result<(), Error> {
    let doing = || Error::query("lock the conversion");
    // The bits of an OID as a signed number.
    let key = plan.subject.oid.cast_signed();
    let row = session
        .query_one(
            "select /* pgwright:conversion_lock */ pg_catalog.pg_try_advisory_lock($1, $2) as locked",
            &[&LOCK_CLASS, &key],
        )
        .await
        .map_err(doing())?;
    if row.try_get::<_, bool>("locked").map_err(doing())? {
        return Ok(());
    }
    Err(failure::new(
        format!("another pgwright is converting {}", plan.table),
        "It holds the lock of this conversion.",
        "\"pgwright partition convert status\" shows how far it is.",
    ))
}

/// Goes from step to step until one is reached.
async fn go(site: &Site<'_>, from: Step, until: Step) -> Result<Step, Error> {
    let done = walk(site, from, until).await;
    unlock(site).await;
    done
}

async fn walk(site: &Site<'_>, from: Step, until: Step) -> Result<Step, Error> {
    let mut step = from;
    while step != until {
        site.check_cancelled(step)?;
        site.teller.tell(ConversionEvent::Began { step });
        let began = Instant::now();
        let next = one(site, step).await?;
        site.teller.tell(ConversionEvent::Done { step, elapsed: millis(began.elapsed()) });
        step = next;
    }
    Ok(step)
}

async fn one(site: &Site<'_>, step: Step) -> Result<Step, Error> {
    let forth = Capture { plan: &site.plan, id: site.id, way: Way::Forth };
    match step {
        Step::NotNull => not_null::run(site).await,
        Step::Shadow => shadow(site).await,
        Step::Capture => swap::begin_capture(site).await,
        Step::Copy => copy::run(site).await,
        Step::Fold => {
            let drainer = Drainer::open(site, forth, false).await?;
            drainer.drain(site, Some(Step::Index)).await?;
            Ok(Step::Index)
        }
        Step::Index => copy::build_indexes(site).await,
        Step::ParentIndex => {
            let mut statements = script::parent_indexes(&site.plan);
            statements.extend(script::marks(&site.plan));
            let back = Capture { plan: &site.plan, id: site.id, way: Way::Back };
            let partitions: Vec<_> = site.plan.partitions.iter().map(|p| p.name.clone()).collect();
            statements.extend(back.truncate_triggers(&site.plan.shadow, &partitions));
            site.advance(&site.session, statements, Step::CatchUp).await?;
            Ok(Step::CatchUp)
        }
        Step::CatchUp => {
            let drainer = Drainer::open(site, forth, true).await?;
            drainer.catch_up(site, Step::CatchUp).await?;
            site.advance(&site.session, Vec::new(), Step::Verify).await?;
            Ok(Step::Verify)
        }
        Step::Verify => {
            tokio::try_join!(compare::run(site, &forth), compare::analyze(site, &site.plan.shadow))?;
            site.advance(&site.session, Vec::new(), Step::Swap).await?;
            Ok(Step::Swap)
        }
        Step::WiderKey => attach::build(site).await,
        Step::Swap => swap::run(site).await,
        Step::Validate => swap::validate(site).await,
        Step::CarryBack => revert::carry_back(site).await,
        Step::SwapBack => revert::swap_back(site).await,
        Step::Restore => revert::restore(site).await,
        Step::CleanUp => revert::clean_up(site).await,
        Step::DropOld => revert::drop_old(site).await,
        Step::Swapped | Step::Finished | Step::Reverted => Ok(step),
    }
}

/// Makes the partitioned table, and what is needed to write down changes.
async fn shadow(site: &Site<'_>) -> Result<Step, Error> {
    let plan = &site.plan;
    let mut statements = script::shadow(plan);
    statements.extend(script::name_sequences(plan));
    let next = match plan.method {
        Method::Attach => {
            // Under the names that they have with the other method, by which the replica identity finds them.
            for partition in &plan.partitions {
                let indexes = plan.subject.indexes.iter().enumerate();
                statements.extend(indexes.map(|(n, i)| script::partition_index(plan, &partition.name, n, i)));
            }
            statements.extend(script::parent_indexes(plan));
            statements.extend(script::marks(plan));
            Step::WiderKey
        }
        Method::Rewrite => {
            for way in [Way::Forth, Way::Back] {
                statements.extend(Capture { plan, id: site.id, way }.objects());
            }
            Step::Capture
        }
    };
    site.advance(&site.session, statements, next).await?;
    Ok(next)
}
