//! `pgwright demo`: a slow database made fast without a hand on it, and proved.
//!
//! Load, workload, baseline, advice, apply, workload again, report. Beside it the textbook's 18
//! indexes on a copy of the same data, measured in the same run, in turns with pgwright's.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ::advice::profiling::Delta;
use ::apply::{Action, ExecuteOptions, UndoTarget};
use chrono::Utc;
use clap::Args as ClapArgs;
use cluster::{Binaries, Server, ServerOptions};
use model::{Change, quote_identifier};
use postgres::{SearchPath, SessionOptions, Target};

use super::baseline::plans_of;
use super::changes::Narrator;
use super::demo_report::{Arm, DemoResult, UndoProof};
use super::{Context, advise, demo_report, duration, verify, write_text};
use crate::demo::{self, Scenario};
use crate::error::{CommandError, CommandResult, Exit};
use crate::report::{self, Format};
use crate::workload::{Outcome, WorkloadFile};

/// Arguments.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// What the database is about: registry, meters or meters-partitioned.
    #[arg(long, default_value = "registry", value_name = "NAME")]
    scenario: Scenario,
    /// Size; 1 is a million training runs.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// The same seed gives the same data and the same requests.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Arrivals per second of the workload; the scenario has its own default.
    #[arg(long)]
    pub(super) rate: Option<f64>,
    /// How long each workload is measured.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub(super) duration: Duration,
    /// Sessions that send the workload.
    #[arg(long, default_value_t = 16)]
    pub(super) clients: usize,
    /// The folder of the report.
    #[arg(long, default_value = "demo-report", value_name = "DIR")]
    out: PathBuf,
    /// Measure the exercise's statements as well, one by one: what it says not to write, and its challenge. The registry has
    /// one.
    #[arg(long)]
    exercise: bool,
    /// Leave the server up with the indexes in place, and print its URL.
    #[arg(long)]
    pub(super) keep: bool,
}

/// The demo's server, and what is asked of it.
pub(super) struct Stage<'a> {
    pub(super) context: &'a Context,
    pub(super) args: &'a Args,
    pub(super) server: Server,
    pub(super) workload: WorkloadFile,
    pub(super) started: Instant,
}

/// Runs the command.
///
/// # Errors
/// Fails when the server cannot be started or any stage fails; the server is stopped then.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let scenario = args.scenario;
    let workload = demo::workload(scenario)?;
    if args.exercise && demo::exercise(scenario).is_empty() {
        return Err(CommandError::new(format!("scenario \"{}\" has no exercise", scenario.as_str()))
            .hint("--scenario registry has one."));
    }
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
        let mut figures = demo_report::figures(&result);
        if let Some((url, left)) = &url {
            figures["kept"] = serde_json::json!({ "url": url, "pid": left.pid, "data_dir": left.data_dir });
        }
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
    pub(super) fn say(&self, text: &str) {
        self.context.printer.status(&format!("[{:>5.1} s] {text}", self.started.elapsed().as_secs_f64()));
    }

    pub(super) fn target(&self, database: &str) -> Result<Target, CommandError> {
        Ok(Target::parse(Some(&self.server.url(database)), &self.context.settings.environment)?)
    }

    pub(super) async fn administer(&self, database: &str, statements: &[String]) -> Result<(), CommandError> {
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

    async fn clone_database(&self, name: &str) -> Result<(), CommandError> {
        // Copying files is much faster than writing the whole copy to the log, which 15 does by default.
        let strategy = if self.server.binaries().major >= 15 { " STRATEGY file_copy" } else { "" };
        let sql = format!(
            "CREATE DATABASE /* pgwright:demo_clone */ {} TEMPLATE demo{strategy}",
            quote_identifier(name)
        );
        self.administer("postgres", &[sql]).await
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
        let textbook_statements = demo::textbook_statements(scenario);
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

        let capacity = self.capacity().await?;
        let rate = self.overload(capacity);
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

        let unloaded = self.play_unloaded(&target, capacity).await?;
        self.say(&format!(
            "without queueing, at {:.1} arrivals per second: {:.2} ms in the server per call before, {:.2} with pgwright's \
             indexes, {:.2} with the textbook's",
            unloaded.rate, unloaded.before.exec_ms_per_call, unloaded.after.exec_ms_per_call,
            unloaded.textbook.exec_ms_per_call
        ));

        let at_apply = self.statements(&target).await?;
        let (after, textbook) = self.play_in_turns(&target, rate).await?;
        self.say(&format!("after:    {}", line(&after)));
        self.say(&format!("textbook: {}", line(&textbook)));
        let at_end = self.statements(&target).await?;
        let verifications =
            verify::verify_run(&target, &run, &baseline.statements, &at_apply, &at_end).await?;

        let exercises = if self.args.exercise { self.exercise(&target, scenario).await? } else { Vec::new() };
        if let Some(challenge) = exercises.last() {
            let ms = |value: Option<f64>| value.map_or_else(|| "-".into(), |v| model::Millis(v).to_string());
            self.say(&format!(
                "the exercise's challenge: {} as written, {} in the end",
                ms(challenge.plain_ms),
                ms(challenge.after_ms())
            ));
        }

        // Before the ingestion, which adds rows to one database more than to another.
        let index_bytes = self.secondary_index_bytes("demo").await?;
        let textbook_index_bytes = self.secondary_index_bytes("demo_textbook").await?;
        let [plain_ingest, ingest, textbook_ingest] = self.ingest_in_turns(&target).await?;
        self.say(&format!(
            "ingestion: {:.0} rows/s without, {:.0} with pgwright's, {:.0} with the textbook's indexes",
            plain_ingest.rows_per_second, ingest.rows_per_second, textbook_ingest.rows_per_second
        ));

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
            unloaded,
            before_statements: baseline.statements.iter().map(Into::into).collect(),
            after_statements: Delta::between((&at_apply, None), (&at_end, None)).statements,
            advice,
            advise_seconds,
            apply_seconds,
            run,
            verifications,
            exercises,
            pgwright: Arm { outcome: after, ingest, index_bytes },
            textbook: Arm { outcome: textbook, ingest: textbook_ingest, index_bytes: textbook_index_bytes },
            textbook_sql: textbook_statements,
            plain_ingest,
            undo,
            seconds: 0.0,
        })
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
                    undone += usize::from(undo.steps.iter().any(|s| {
                        s.change.root().is_some()
                            || matches!(s.change, Action::Change(Change::CreateIndex { .. }))
                    }));
                }
                Err(::apply::Error::NothingToUndo { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let after = self.context.snapshot_of(target).await?.schema_sql;
        Ok(UndoProof { undone, restores: comparable(&after) == comparable(schema_before) })
    }
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
