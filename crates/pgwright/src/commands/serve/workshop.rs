//! What do the pages of `serve` have done? The same as the commands `advise`, `apply` and `undo`, told line by line.

use std::sync::Arc;
use std::time::Duration;

use apply::{ApplyPlan, Cancellation, ExecuteOptions, Preflight, UndoPlan, UndoTarget};
use model::Recommendation;
use tokio::sync::oneshot;
use web::{Advised, Failure, Task, Tell};

use crate::commands::changes::lines_of;
use crate::commands::kept_advice::{self, KeptAdvice};
use crate::commands::{Context, advise, proof, undo as undo_command, verify};
use crate::error::CommandError;
use crate::printer::Printer;

/// How long a change may take to stop and clean up when pgwright is told to end.
const CLEANING_UP: Duration = Duration::from_secs(60);

/// Of so many statements that write, those that are called most, the upkeep of what helps others counts.
const WRITING: usize = 50;

/// Makes advice and changes with the settings of this run.
#[derive(Clone, Debug)]
pub struct Workshop {
    context: Arc<Context>,
    cancellation: Cancellation,
    /// Held by the change that is under way.
    busy: Arc<tokio::sync::Mutex<()>>,
}

impl Workshop {
    /// A workshop that prints nothing.
    pub fn new(context: &Context) -> Self {
        let printer = Printer { quiet: true, json: false, ..context.printer.clone() };
        let context = Context { settings: context.settings.clone(), printer };
        Self { context: Arc::new(context), cancellation: Cancellation::default(), busy: Arc::default() }
    }

    /// Stops the change that is under way, and waits until it has cleaned up.
    pub async fn close(&self) {
        self.cancellation.cancel();
        let _ = tokio::time::timeout(CLEANING_UP, self.busy.lock()).await;
    }

    fn options(&self) -> ExecuteOptions {
        ExecuteOptions {
            lock_timeout: self.context.settings.lock_timeout,
            cancellation: self.cancellation.clone(),
            ..ExecuteOptions::default()
        }
    }

    async fn advised(&self, tell: Tell) -> Result<Advised, CommandError> {
        let context = &*self.context;
        let target = context.target()?;
        tell("reading the catalog and the statistics".into());
        let mut snapshot = context.snapshot_of(&target).await?;
        tell(format!(
            "{} statements, {} tables; trying candidates",
            snapshot.statements.len(),
            snapshot.relations.len()
        ));
        let (advice, notes) = advise::usual(context, &snapshot, &target).await?;
        snapshot.notes.extend(notes);
        let kept = KeptAdvice {
            target: kept_advice::target_name(&target),
            advised_at: snapshot.taken_at,
            recommendations: advice.recommendations.clone(),
        };
        kept_advice::keep(context, &kept)?;
        Ok(Advised {
            advised_at: snapshot.taken_at,
            recommendations: advice.recommendations,
            findings: advice.findings,
            notes: snapshot.notes,
        })
    }

    /// What helps these statements. Those that write most count too: they pay for what helps the others.
    async fn advised_on(&self, queryids: &[i64]) -> Result<Advised, CommandError> {
        let context = &*self.context;
        let target = context.target()?;
        let mut snapshot = context.snapshot_of(&target).await?;
        let is_wanted = |s: &model::snapshot::Statement| queryids.contains(&s.queryid);
        let mut writing: Vec<_> =
            snapshot.statements.iter().filter(|s| !is_wanted(s) && writes(&s.query)).cloned().collect();
        writing.sort_by_key(|s| std::cmp::Reverse(s.calls));
        writing.truncate(WRITING);
        snapshot.statements.retain(is_wanted);
        let known = snapshot.statements.len();
        snapshot.statements.append(&mut writing);
        let (advice, mut notes) = match known {
            // The server has forgotten them.
            0 => (advice::Advice::default(), Vec::new()),
            _ => advise::usual(context, &snapshot, &target).await?,
        };
        notes.splice(0..0, snapshot.notes);
        Ok(Advised {
            advised_at: snapshot.taken_at,
            recommendations: advice.recommendations,
            findings: advice.findings,
            notes,
        })
    }

    async fn applied(&self, recommendation: Recommendation, tell: Tell) -> Result<String, CommandError> {
        let _busy = self.busy.lock().await;
        let context = &*self.context;
        let target = context.target()?;
        let plan = apply::plan(std::slice::from_ref(&recommendation));
        let options = proof::with_before(context, &target, self.options()).await;
        let run = apply::execute(&target, &plan, &options, &mut |event| {
            lines_of(&event).into_iter().for_each(|l| tell(l))
        })
        .await
        .map_err(undo_command::refused)?;
        proof::mark_applied(context, &target, &run).await?;
        let done = verify::done_entries(&run);
        let measurement = proof::measurement(context, &target, &run.run_id).await?;
        let proof = apply::verify(&target, &done, &measurement).await?;
        let told: String = proof.verifications.iter().map(verify::text).collect();
        run.into_result().map_err(undo_command::refused)?;
        Ok(format!("{told}\"pgwright verify\" says later what was gained."))
    }

    async fn undone(&self, entry_id: i64, tell: Tell) -> Result<String, CommandError> {
        let _busy = self.busy.lock().await;
        let target = self.context.target()?;
        let wanted = UndoTarget::Entry(entry_id);
        let told = &mut |event: apply::Event| lines_of(&event).into_iter().for_each(|l| tell(l));
        let undone =
            apply::undo(&target, &wanted, &self.options(), told).await.map_err(undo_command::refused)?;
        let undone = undone.into_result().map_err(undo_command::refused)?;
        Ok(format!("undone: {}", undone.title))
    }
}

impl web::Workshop for Workshop {
    fn advise(&self, tell: Tell) -> Task<Advised> {
        let workshop = self.clone();
        apart(async move || workshop.advised(tell).await)
    }

    fn advise_on(&self, queryids: Vec<i64>, within: Duration) -> Task<Advised> {
        let workshop = self.clone();
        apart(async move || {
            let work = workshop.advised_on(&queryids);
            tokio::time::timeout(within, work).await.unwrap_or_else(|_| {
                Err(CommandError::new("it took too long")
                    .detail(format!("It was given up after {} seconds.", within.as_secs())))
            })
        })
    }

    fn preflight(&self, plan: ApplyPlan) -> Task<Preflight> {
        let context = self.context.clone();
        apart(async move || apply::preflight(&context.target()?, &plan).await.map_err(undo_command::refused))
    }

    fn plan_undo(&self, entry_id: i64) -> Task<UndoPlan> {
        let context = self.context.clone();
        apart(async move || {
            let wanted = UndoTarget::Entry(entry_id);
            apply::plan_undo(&context.target()?, &wanted).await.map_err(undo_command::refused)
        })
    }

    fn apply(&self, recommendation: Recommendation, tell: Tell) -> Task<String> {
        let workshop = self.clone();
        apart(async move || workshop.applied(recommendation, tell).await)
    }

    fn undo(&self, entry_id: i64, tell: Tell) -> Task<String> {
        let workshop = self.clone();
        apart(async move || workshop.undone(entry_id, tell).await)
    }
}

/// Whether a statement writes, by its first word.
fn writes(query: &str) -> bool {
    let word: String = query.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    ["insert", "update", "delete", "merge"].iter().any(|writing| word.eq_ignore_ascii_case(writing))
}

/// Does work on a thread of its own: planning computes for long, and what commands wait for cannot move between threads.
fn apart<T: Send + 'static>(work: impl AsyncFnOnce() -> Result<T, CommandError> + Send + 'static) -> Task<T> {
    let (give, take) = oneshot::channel();
    let failed = |e: std::io::Error| Failure::new("could not begin the work").detail(format!("{e}."));
    let begun = std::thread::Builder::new().name("workshop".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = match runtime {
            Ok(runtime) => runtime.block_on(work()).map_err(failure),
            Err(error) => Err(failed(error)),
        };
        // Nobody waits any more when pgwright ends.
        let _ = give.send(done);
    });
    Box::pin(async move {
        begun.map_err(failed)?;
        take.await.unwrap_or_else(|_| Err(Failure::new("the work ended unexpectedly")))
    })
}

fn failure(error: CommandError) -> Failure {
    Failure { message: error.message, detail: error.detail, hint: error.hint }
}
