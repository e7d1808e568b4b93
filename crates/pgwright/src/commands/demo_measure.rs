//! How does the demo measure? Everything in turns, so that all sets of indexes see the same machine.
//!
//! Source: docs/concepts/measuring.md. The workload is played twice: at a rate that the database without
//! indexes cannot keep up with, as in the incident that the demo plays, and at one at which nothing queues,
//! which is the sober comparison. Ingestion is compared round by round.

use std::time::Duration;

use model::Bytes;
use postgres::{Target, tokio_postgres};
use serde::Serialize;

use super::demo::Stage;
use super::workload as workload_command;
use crate::error::CommandError;
use crate::workload::{self, CancellationToken, IngestOptions, IngestOutcome, Options, Outcome, Rounds};

/// The arms are measured in this many turns, so that all see the same noise.
const TURNS: u32 = 3;
/// How long a turn runs before it counts.
const TURN_WARM_UP: Duration = Duration::from_secs(1);
/// The share of what the database answers without indexes at which nothing queues, bursts aside.
const QUIET: f64 = 0.4;
/// The share of the measurement that one set of indexes gets when nothing queues.
const QUIET_SHARE: u32 = 5;
/// Rounds and length of a turn of the ingestion: all orders of three databases, twice. A turn is long enough
/// to see the list of pending entries of a GIN index flushed.
const INGEST: Rounds = Rounds { warm_up: Duration::from_secs(2), turn: Duration::from_secs(1), count: 12 };

/// One set of indexes when nothing queues.
#[derive(Clone, Debug, Serialize)]
pub struct Quiet {
    /// The workload.
    pub outcome: Outcome,
    /// Execution time in the server per call.
    pub exec_ms_per_call: f64,
}

/// All sets of indexes at a rate that the database without indexes keeps up with, with the same requests.
#[derive(Clone, Debug, Serialize)]
pub struct Unloaded {
    /// Arrivals per second.
    pub rate: f64,
    /// How long each was measured.
    pub seconds: f64,
    /// Primary keys only.
    pub before: Quiet,
    /// With pgwright's indexes.
    pub after: Quiet,
    /// With the textbook's.
    pub textbook: Quiet,
}

/// Calls and execution time that one database's statements have had.
#[derive(Clone, Copy, Default)]
struct Executed {
    calls: i64,
    ms: f64,
}

impl Stage<'_> {
    /// How many requests per second the database answers without indexes.
    pub(super) async fn capacity(&self) -> Result<f64, CommandError> {
        let options = self.options(60.0, Duration::from_secs(4), Duration::ZERO, self.args.seed + 1000);
        // On the copy, because the workload writes.
        let target = self.target("demo_plain")?;
        Ok(workload::capacity(&target, &self.workload, &options, CancellationToken::new()).await?)
    }

    /// A rate that the database without indexes cannot keep up with, as in the incident that the demo
    /// plays: 60 per second, or a third more than what this machine answers without them.
    pub(super) fn overload(&self, capacity: f64) -> f64 {
        self.args.rate.unwrap_or_else(|| (capacity * 1.3).max(60.0).round())
    }

    pub(super) fn options(&self, rate: f64, duration: Duration, warm_up: Duration, seed: u64) -> Options {
        Options {
            rate,
            duration,
            warm_up,
            clients: self.args.clients,
            seed,
            statement_timeout: Some(Duration::from_secs(30)),
            ..Options::default()
        }
    }

    pub(super) async fn play(
        &self,
        target: &Target,
        options: &Options,
        message: &str,
    ) -> Result<Outcome, CommandError> {
        workload_command::play(self.context, target, &self.workload, options, message).await
    }

    /// Pgwright's database and the textbook's in turns, each with the same requests.
    pub(super) async fn play_in_turns(
        &self,
        target: &Target,
        rate: f64,
    ) -> Result<(Outcome, Outcome), CommandError> {
        let textbook_target = self.target("demo_textbook")?;
        self.checkpoint().await?;
        let mut merged: Option<(Outcome, Outcome)> = None;
        for turn in 0..TURNS {
            // Each turn has requests of its own, the same for both.
            let seed = self.args.seed + 1 + u64::from(turn);
            let options = self.options(rate, self.args.duration / TURNS, TURN_WARM_UP, seed);
            // Whoever goes first finds the machine in another state, so they take turns in that too.
            let (ours, theirs) = if turn % 2 == 0 {
                let ours = self.play(target, &options, "workload, after").await?;
                (ours, self.play(&textbook_target, &options, "workload, textbook").await?)
            } else {
                let theirs = self.play(&textbook_target, &options, "workload, textbook").await?;
                (self.play(target, &options, "workload, after").await?, theirs)
            };
            match &mut merged {
                None => merged = Some((ours, theirs)),
                Some((a, b)) => {
                    a.merge(&ours);
                    b.merge(&theirs);
                }
            }
        }
        merged.ok_or_else(|| CommandError::new("no workload was run"))
    }

    /// All three databases in turns at a rate that the slowest keeps up with: execution times without
    /// the queue, and without the requests that keep each other waiting for a processor.
    pub(super) async fn play_unloaded(
        &self,
        target: &Target,
        capacity: f64,
    ) -> Result<Unloaded, CommandError> {
        let rate = (capacity * QUIET).max(1.0);
        let targets = [self.target("demo_plain")?, target.clone(), self.target("demo_textbook")?];
        let mut outcomes: [Option<Outcome>; 3] = [None, None, None];
        let mut executed = [Executed::default(); 3];
        self.checkpoint().await?;
        for turn in 0..TURNS {
            let seed = self.args.seed + 500 + u64::from(turn);
            let options = self.options(rate, self.args.duration / (QUIET_SHARE * TURNS), TURN_WARM_UP, seed);
            for place in 0..targets.len() {
                let arm = (place + turn as usize) % targets.len();
                let before = self.executed(&targets[arm]).await?;
                let outcome = self.play(&targets[arm], &options, "workload, without queueing").await?;
                let after = self.executed(&targets[arm]).await?;
                executed[arm].calls += after.calls - before.calls;
                executed[arm].ms += after.ms - before.ms;
                match &mut outcomes[arm] {
                    Some(merged) => merged.merge(&outcome),
                    none => *none = Some(outcome),
                }
            }
        }
        let [Some(before), Some(after), Some(textbook)] = outcomes else {
            return Err(CommandError::new("no workload was run"));
        };
        let quiet = |outcome, executed: Executed| Quiet {
            outcome,
            exec_ms_per_call: executed.ms / executed.calls.max(1) as f64,
        };
        Ok(Unloaded {
            rate,
            seconds: before.seconds,
            before: quiet(before, executed[0]),
            after: quiet(after, executed[1]),
            textbook: quiet(textbook, executed[2]),
        })
    }

    /// Ingestion into all three databases in rounds: without indexes, with pgwright's, with the textbook's.
    pub(super) async fn ingest_in_turns(&self, target: &Target) -> Result<[IngestOutcome; 3], CommandError> {
        let (plain, textbook) = (self.target("demo_plain")?, self.target("demo_textbook")?);
        let options = IngestOptions {
            seed: self.args.seed + 100,
            clean_up: self.args.keep,
            ..IngestOptions::default()
        };
        // Autovacuum would come by in one turn and not in the next. All start with the same log position.
        self.autovacuum("off").await?;
        self.checkpoint().await?;
        let total = INGEST.warm_up * 3 + INGEST.turn * 3 * u32::try_from(INGEST.count).unwrap_or(1);
        let bar = self.context.printer.bar(millis(total), "ingestion");
        let outcomes = workload::ingest_rates(
            &[&plain, target, &textbook],
            &self.workload,
            &options,
            &INGEST,
            CancellationToken::new(),
            &|elapsed| bar.set_position(millis(elapsed)),
        )
        .await;
        bar.finish_and_clear();
        self.autovacuum("on").await?;
        outcomes?.try_into().map_err(|_| CommandError::new("the ingestion was not measured"))
    }

    /// Turns autovacuum on or off; what is running comes to its end.
    async fn autovacuum(&self, value: &str) -> Result<(), CommandError> {
        self.administer(
            "postgres",
            &[
                format!("ALTER /* pgwright:demo_autovacuum */ SYSTEM SET autovacuum = {value}"),
                "SELECT /* pgwright:demo_autovacuum */ pg_catalog.pg_reload_conf()".into(),
            ],
        )
        .await?;
        let session = self.context.connect(&self.target("postgres")?).await?;
        let sql = "SELECT /* pgwright:demo_autovacuum */ pg_catalog.count(*) FROM pg_catalog.pg_stat_activity \
                   WHERE backend_type = 'autovacuum worker'";
        for _ in 0..300 {
            let row = session.query_one(sql, &[]).await.map_err(|e| failed("demo_autovacuum", &e))?;
            if value == "on" || row.get::<_, i64>(0) == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn checkpoint(&self) -> Result<(), CommandError> {
        self.administer("postgres", &["CHECKPOINT /* pgwright:demo_checkpoint */".into()]).await
    }

    pub(super) async fn statements(
        &self,
        target: &Target,
    ) -> Result<Vec<model::snapshot::Statement>, CommandError> {
        let session = self.context.connect(target).await?;
        Ok(postgres::statements::read(&session).await?.0)
    }

    async fn executed(&self, target: &Target) -> Result<Executed, CommandError> {
        let statements = self.statements(target).await?;
        Ok(statements.iter().fold(Executed::default(), |sum, statement| Executed {
            calls: sum.calls + statement.calls,
            ms: sum.ms + statement.total_exec_time.0,
        }))
    }

    /// Bytes of the indexes that no constraint needs.
    pub(super) async fn secondary_index_bytes(&self, database: &str) -> Result<Bytes, CommandError> {
        let session = self.context.connect(&self.target(database)?).await?;
        let sql = "SELECT /* pgwright:demo_index_bytes */ \
                   coalesce(sum(pg_catalog.pg_relation_size(i.indexrelid)), 0)::pg_catalog.int8 \
                   FROM pg_catalog.pg_index i \
                   JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = 'public' AND NOT i.indisunique";
        let row = session.query_one(sql, &[]).await.map_err(|e| failed("demo_index_bytes", &e))?;
        Ok(Bytes(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)))
    }
}

fn failed(query: &'static str, error: &tokio_postgres::Error) -> CommandError {
    CommandError::from(postgres::Error::from_query(query, error))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
