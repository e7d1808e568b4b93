//! `pgwright demo`: a slow database made fast without a hand on it, and proved.
//!
//! Load, workload, baseline, advice, apply, workload again, report. Beside it the textbook's 18
//! indexes on a copy of the same data, measured in the same run, in turns with pgwright's.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ::advice::profiling::Delta;
use ::apply::{ExecuteOptions, UndoTarget};
use chrono::Utc;
use clap::Args as ClapArgs;
use cluster::{Binaries, Server, ServerOptions};
use model::{Bytes, Change, quote_identifier};
use postgres::{SearchPath, SessionOptions, Target};

use super::baseline::plans_of;
use super::changes::Narrator;
use super::demo_report::{Arm, DemoResult, UndoProof};
use super::{Context, advise, demo_report, duration, verify, workload as workload_command, write_text};
use crate::demo::{self, Scenario};
use crate::error::{CommandError, CommandResult, Exit};
use crate::report::{self, Format};
use crate::workload::{
    self, CancellationToken, IngestOptions, IngestOutcome, Options, Outcome, WorkloadFile,
};

/// Arguments.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// What the database is about.
    #[arg(long, value_enum, default_value = "registry")]
    scenario: ScenarioName,
    /// Size; 1 is a million training runs.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// The same seed gives the same data and the same requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Arrivals per second of the workload; the scenario has its own default.
    #[arg(long)]
    rate: Option<f64>,
    /// How long each workload is measured.
    #[arg(long, default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// Sessions that send the workload.
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// The folder of the report.
    #[arg(long, default_value = "demo-report", value_name = "DIR")]
    out: PathBuf,
    /// Leave the server up with the indexes in place, and print its URL.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ScenarioName {
    /// The ML model registry.
    Registry,
    /// The smart-meter store.
    Meters,
}

impl From<ScenarioName> for Scenario {
    fn from(name: ScenarioName) -> Self {
        match name {
            ScenarioName::Registry => Self::Registry,
            ScenarioName::Meters => Self::Meters,
        }
    }
}

/// The arms are measured in this many turns, so that both see the same noise.
const TURNS: u32 = 3;
/// How long a turn runs before it counts.
const TURN_WARM_UP: Duration = Duration::from_secs(1);
/// How long one measurement of the ingestion lasts, and how many turns it has.
const INGEST_SECONDS: f64 = 2.5;
const INGEST_TURNS: u32 = 3;

struct Stage<'a> {
    context: &'a Context,
    args: &'a Args,
    server: Server,
    workload: WorkloadFile,
    started: Instant,
}

/// Runs the command.
///
/// # Errors
/// Fails when the server cannot be started or any stage fails; the server is stopped then.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let scenario = Scenario::from(args.scenario);
    let workload = demo::workload(scenario)?;
    let binaries = Binaries::newest(&context.search())?;
    let server = Server::start(&binaries, server_options(&args))?;
    let stage = Stage { context, args: &args, server, workload, started: Instant::now() };
    stage.say(&format!("PostgreSQL {} started for the demo only", binaries.version));
    let mut result = tokio::select! {
        result = stage.perform(scenario) => result?,
        _ = tokio::signal::ctrl_c() => {
            return Err(CommandError::new("interrupted").detail("The demo's server was stopped and its data removed."));
        }
    };
    result.seconds = stage.started.elapsed().as_secs_f64();

    let report = demo_report::build(&result);
    std::fs::create_dir_all(&args.out).map_err(|e| {
        CommandError::new(format!("could not create \"{}\"", args.out.display())).detail(format!("{e}."))
    })?;
    let mut files = Vec::new();
    for (format, name) in
        [(Format::Md, "report.md"), (Format::Html, "report.html"), (Format::Json, "report.json")]
    {
        let path = args.out.join(name);
        write_text(&path, &report::render(&report, format)?)?;
        files.push(path);
    }
    let url = if args.keep {
        let url = stage.server.tcp_url("demo").unwrap_or_else(|| stage.server.url("demo"));
        let left = stage.server.leave_running();
        Some((url, left))
    } else {
        stage.server.stop()?;
        None
    };
    if context.printer.json {
        let figures = demo_report::figures(&result);
        context.printer.json("demo", &figures)?;
    } else {
        context.printer.out(&demo_report::text(context, &result))?;
        context.printer.out(&format!(
            "\nreport: {}\n",
            files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ")
        ))?;
    }
    if let Some((url, left)) = url {
        context.printer.status(&format!("the server stays up: {url}"));
        context.printer.status(&format!(
            "stop it with: kill {}   its data: {}",
            left.pid,
            left.data_dir.display()
        ));
    }
    Ok(Exit::Done)
}

/// What a textbook does to the scenario: its script, or its rules where it has none.
fn textbook(scenario: Scenario) -> Vec<String> {
    match scenario {
        Scenario::Registry => demo::TEXTBOOK_INDEXES
            .iter()
            .chain([&demo::TEXTBOOK_ANALYZE])
            .map(|sql| (*sql).to_owned())
            .collect(),
        Scenario::Meters => demo::TEXTBOOK_METERS.iter().map(|sql| (*sql).to_owned()).collect(),
    }
}

fn server_options(args: &Args) -> ServerOptions {
    let mut options = ServerOptions { tcp: args.keep, keep: args.keep, ..ServerOptions::default() };
    for (name, value) in [
        ("shared_preload_libraries", "pg_stat_statements"),
        ("track_io_timing", "on"),
        ("shared_buffers", "1GB"),
        ("effective_cache_size", "4GB"),
        ("work_mem", "32MB"),
        ("maintenance_work_mem", "256MB"),
        ("random_page_cost", "1.1"),
        // Checkpoints in the middle of a measurement would hit one arm and spare the other.
        ("max_wal_size", "16GB"),
        ("checkpoint_timeout", "30min"),
        // Compiling costs more than the short statements of this workload.
        ("jit", "off"),
        ("timezone", "UTC"),
    ] {
        options = options.set(name, value);
    }
    options
}

impl Stage<'_> {
    fn say(&self, text: &str) {
        self.context.printer.status(&format!("[{:>5.1} s] {text}", self.started.elapsed().as_secs_f64()));
    }

    fn target(&self, database: &str) -> Result<Target, CommandError> {
        Ok(Target::parse(Some(&self.server.url(database)), &self.context.settings.environment)?)
    }

    async fn administer(&self, database: &str, statements: &[String]) -> Result<(), CommandError> {
        let options = SessionOptions { search_path: SearchPath::RoleDefault, ..SessionOptions::default() };
        let session = self.target(database)?.connect(&options).await?;
        for sql in statements {
            session
                .batch_execute(sql)
                .await
                .map_err(|e| CommandError::from(postgres::Error::from_query("demo_administer", &e)))?;
        }
        Ok(())
    }

    /// A rate that the database without indexes cannot keep up with, as in the incident that the demo
    /// plays: 60 per second, or a third more than what this machine answers without them.
    async fn overload(&self) -> Result<f64, CommandError> {
        if let Some(rate) = self.args.rate {
            return Ok(rate);
        }
        let options = self.options(60.0, Duration::from_secs(4), Duration::ZERO, self.args.seed + 1000);
        // On the copy, because the workload writes.
        let target = self.target("demo_plain")?;
        let capacity =
            workload::capacity(&target, &self.workload, &options, CancellationToken::new()).await?;
        Ok((capacity * 1.3).max(60.0).round())
    }

    async fn clone_database(&self, name: &str) -> Result<(), CommandError> {
        // Copying files is much faster than writing the whole copy to the log, which 15 does by default.
        let strategy = if self.server.binaries().major >= 15 { " STRATEGY file_copy" } else { "" };
        let sql = format!(
            "CREATE DATABASE /* pgwright:demo_clone */ {} TEMPLATE demo{strategy}",
            quote_identifier(name)
        );
        self.administer("postgres", &[sql]).await
    }

    fn options(&self, rate: f64, duration: Duration, warm_up: Duration, seed: u64) -> Options {
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

    async fn perform(&self, scenario: Scenario) -> Result<DemoResult, CommandError> {
        let target = self.target("demo")?;
        self.administer("postgres", &["CREATE DATABASE /* pgwright:demo_create */ demo".into()]).await?;
        self.administer(
            "demo",
            &["CREATE EXTENSION /* pgwright:demo_extension */ pg_stat_statements SCHEMA public".into()],
        )
        .await?;
        let progress = demo::terminal_progress();
        let loaded =
            demo::load(&target, scenario, self.args.scale, self.args.seed, Utc::now(), &progress).await?;
        self.say(&format!(
            "loaded {} rows, {}, in {:.1} s",
            loaded.tables.iter().map(|t| t.rows).sum::<u64>(),
            loaded.bytes,
            loaded.seconds
        ));
        let textbook_statements = textbook(scenario);
        self.clone_database("demo_plain").await?;
        self.clone_database("demo_textbook").await?;
        self.administer(
            "demo",
            &[
                "SELECT /* pgwright:demo_reset */ public.pg_stat_statements_reset()".into(),
                "CHECKPOINT /* pgwright:demo_checkpoint */".into(),
            ],
        )
        .await?;
        self.say("copied twice, for the textbook's indexes and for the ingestion without any");

        let rate = self.overload().await?;
        self.say(&format!("workload of {rate} arrivals per second for {} s", self.args.duration.as_secs()));
        let before = self
            .play(
                &target,
                &self.options(rate, self.args.duration, Duration::ZERO, self.args.seed),
                "workload, before",
            )
            .await?;
        self.say(&format!("before: {}", line(&before)));

        let snapshot = self.context.snapshot_of(&target).await?;
        let mut baseline = ::apply::store::Baseline::of_snapshot("before", &snapshot);
        baseline.plans = plans_of(self.context, &target, &snapshot, 50).await?;
        ::apply::store::save_baseline(&target, &baseline).await?;
        self.say("baseline \"before\" stored");

        let advised = Instant::now();
        let advice = advise::compute(self.context, &snapshot, &advise::Limits::default()).await?;
        let advise_seconds = advised.elapsed().as_secs_f64();
        self.say(&format!(
            "advice: {} recommendations with {} planner calls in {advise_seconds:.1} s",
            advice.recommendations.len(),
            advice.planner_calls,
        ));

        let applied = Instant::now();
        let plan = ::apply::plan(&advice.recommendations);
        let mut narrator = Narrator::new(&self.context.printer);
        let run =
            ::apply::execute(&target, &plan, &ExecuteOptions::default(), &mut |event| narrator.tell(&event))
                .await;
        narrator.finish();
        let run = run?.into_result()?;
        let apply_seconds = applied.elapsed().as_secs_f64();
        self.say(&format!("applied in {apply_seconds:.1} s"));

        let built = Instant::now();
        self.administer("demo_textbook", &textbook_statements).await?;
        self.say(&format!("the textbook's indexes built in {:.1} s", built.elapsed().as_secs_f64()));

        let at_apply = self.statements(&target).await?;
        let (after, textbook) = self.play_in_turns(&target, rate).await?;
        self.say(&format!("after:    {}", line(&after)));
        self.say(&format!("textbook: {}", line(&textbook)));
        let at_end = self.statements(&target).await?;
        let verifications =
            verify::verify_run(&target, &run, &baseline.statements, &at_apply, &at_end).await?;

        // Before the ingestion, which adds rows to one database more than to another.
        let index_bytes = self.secondary_index_bytes("demo").await?;
        let textbook_index_bytes = self.secondary_index_bytes("demo_textbook").await?;
        let (plain_ingest, ingest, textbook_ingest) = self.ingest_in_turns(&target).await?;
        if plain_ingest.rows > 0 {
            self.say(&format!(
                "ingestion: {:.0} rows/s without, {:.0} with pgwright's, {:.0} with the textbook's indexes",
                plain_ingest.rows_per_second, ingest.rows_per_second, textbook_ingest.rows_per_second
            ));
        }

        let undo = self.undo_everything(&target, &snapshot.schema_sql).await?;
        self.say(if undo.restores {
            "undo restored the exact schema"
        } else {
            "undo did not restore the schema"
        });
        if self.args.keep {
            ::apply::execute(&target, &plan, &ExecuteOptions::default(), &mut |_| {}).await?.into_result()?;
        }
        Ok(DemoResult {
            scenario: scenario.as_str().into(),
            scale: self.args.scale,
            seed: self.args.seed,
            rate,
            server_version: self.server.binaries().version.clone(),
            loaded,
            before,
            before_statements: baseline.statements.iter().map(Into::into).collect(),
            after_statements: Delta::between((&at_apply, None), (&at_end, None)).statements,
            advice,
            advise_seconds,
            apply_seconds,
            run,
            verifications,
            pgwright: Arm { outcome: after, ingest, index_bytes },
            textbook: Arm { outcome: textbook, ingest: textbook_ingest, index_bytes: textbook_index_bytes },
            textbook_sql: textbook_statements,
            plain_ingest,
            undo,
            seconds: 0.0,
        })
    }

    async fn play(&self, target: &Target, options: &Options, message: &str) -> Result<Outcome, CommandError> {
        workload_command::play(self.context, target, &self.workload, options, message).await
    }

    /// Pgwright's database and the textbook's in turns, each with the same requests.
    async fn play_in_turns(&self, target: &Target, rate: f64) -> Result<(Outcome, Outcome), CommandError> {
        let textbook_target = self.target("demo_textbook")?;
        self.administer("demo", &["CHECKPOINT /* pgwright:demo_checkpoint */".into()]).await?;
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

    async fn ingest_in_turns(
        &self,
        target: &Target,
    ) -> Result<(IngestOutcome, IngestOutcome, IngestOutcome), CommandError> {
        if self.workload.ingest.is_none() {
            return Ok(Default::default());
        }
        let targets = [self.target("demo_plain")?, target.clone(), self.target("demo_textbook")?];
        let mut turns: [Vec<IngestOutcome>; 3] = Default::default();
        for turn in 0..=INGEST_TURNS {
            let options = IngestOptions {
                duration: Duration::from_secs_f64(INGEST_SECONDS),
                seed: self.args.seed + 100 + u64::from(turn),
                clean_up: self.args.keep,
                ..IngestOptions::default()
            };
            for (target, turns) in targets.iter().zip(&mut turns) {
                let outcome =
                    workload::ingest_rate(target, &self.workload, &options, CancellationToken::new()).await?;
                // After a checkpoint the first change of a page logs the whole page, and the databases
                // have not seen equally many changes since; the first turn makes up for that.
                if turn > 0 {
                    turns.push(outcome);
                }
            }
        }
        let [plain, ours, theirs] = turns.map(median);
        Ok((plain, ours, theirs))
    }

    async fn statements(&self, target: &Target) -> Result<Vec<model::snapshot::Statement>, CommandError> {
        let session = self.context.connect(target).await?;
        Ok(postgres::statements::read(&session).await?.0)
    }

    /// Bytes of the indexes that no constraint needs.
    async fn secondary_index_bytes(&self, database: &str) -> Result<Bytes, CommandError> {
        let session = self.context.connect(&self.target(database)?).await?;
        let sql = "SELECT /* pgwright:demo_index_bytes */ \
                   coalesce(sum(pg_catalog.pg_relation_size(i.indexrelid)), 0)::pg_catalog.int8 \
                   FROM pg_catalog.pg_index i \
                   JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = 'public' AND NOT i.indisunique";
        let row = session
            .query_one(sql, &[])
            .await
            .map_err(|e| CommandError::from(postgres::Error::from_query("demo_index_bytes", &e)))?;
        Ok(Bytes(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)))
    }

    async fn undo_everything(&self, target: &Target, schema_before: &str) -> Result<UndoProof, CommandError> {
        let mut undone = 0;
        let entries = ::apply::journal(target).await?;
        for entry in entries.iter().rev() {
            match ::apply::undo(
                target,
                &UndoTarget::Entry(entry.entry_id),
                &ExecuteOptions::default(),
                &mut |_| {},
            )
            .await
            {
                Ok(undo) => {
                    let undo = undo.into_result()?;
                    // ANALYZE and VACUUM leave nothing to take back and are only marked.
                    undone += usize::from(
                        undo.steps.iter().any(|s| matches!(s.change, Change::CreateIndex { .. })),
                    );
                }
                Err(::apply::Error::NothingToUndo { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let after = self.context.snapshot_of(target).await?.schema_sql;
        Ok(UndoProof { undone, restores: comparable(&after) == comparable(schema_before) })
    }
}

/// The median turn by its rate, with the median of the log written: a turn in which autovacuum came by
/// differs in one and not in the other.
fn median(mut turns: Vec<IngestOutcome>) -> IngestOutcome {
    let middle = turns.len() / 2;
    turns.sort_by(|a, b| a.wal_bytes_per_row.total_cmp(&b.wal_bytes_per_row));
    let wal_bytes_per_row = turns.get(middle).map_or(0.0, |t| t.wal_bytes_per_row);
    turns.sort_by(|a, b| a.rows_per_second.total_cmp(&b.rows_per_second));
    let turn = turns.get(middle).cloned().unwrap_or_default();
    IngestOutcome { wal_bytes_per_row, ..turn }
}

/// A dump without the random keys that newer pg_dump versions write.
fn comparable(dump: &str) -> Vec<&str> {
    dump.lines().filter(|l| !l.starts_with("\\restrict") && !l.starts_with("\\unrestrict")).collect()
}

fn line(outcome: &Outcome) -> String {
    let all = &outcome.overall;
    format!(
        "mean {}, P99 {}, max {}, {} of {} unanswered or timed out",
        model::Millis(all.latency.mean_ms()),
        model::Millis(all.latency.percentile_ms(99.0)),
        model::Millis(all.latency.max_ms()),
        all.timeouts + all.unanswered,
        all.arrivals
    )
}
