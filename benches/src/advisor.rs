//! How good is the index advice, in real bytes, real cost and real time, and what does it take to get it?
//!
//! For each budget: the advisor works on a twin of a snapshot, the indexes that it recommends are really
//! built, the 22 queries are planned and run with them, and the indexes are dropped again.

mod rival;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use advice::{Advice, Options, WeighBy};
use anyhow::{Context as _, Result};
use cluster::Binaries;
use model::change::{Change, IndexDefinition, KeyTarget};
use model::{Bytes, QualifiedName, Snapshot};
use serde_json::Value;
use tokio_postgres::Client;
use twin::{Twin, TwinOptions};

use crate::benchmark_server::{BenchmarkServer, Cache, repository, search, statement};
use crate::cpu;
use crate::fidelity::{Fidelity, median, promise};
use crate::measurement::{self, Execution, NOISE_S, SUSPICIOUS, Stopwatch, cost};
use crate::peers::{BEST_KNOWN, PEERS_MAJOR};
use crate::progress;
use crate::report::{BudgetReport, IndexReport, Report, SlowerStatement, TextsReport};
use crate::workload::{Query, Workload};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A budget in MB of index bytes, repeatable; 250, 500 and 940 unless a rival sets it.
    #[arg(long = "budget", value_name = "MB")]
    budgets: Vec<u64>,
    /// Ask Extend with HypoPG first, under a budget in MB of HypoPG's bytes, and then pgwright for as many bytes
    /// as the rival's set really has; repeatable.
    #[arg(long = "rival", value_name = "MB", conflicts_with = "twin_only")]
    rivals: Vec<u64>,
    /// The most columns of a rival's index.
    #[arg(long, default_value_t = 2)]
    rival_width: usize,
    /// What is advised on.
    #[arg(long, value_enum, default_value_t = Workload::Tpch)]
    workload: Workload,
    /// The scale factor of the data.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// The major version of PostgreSQL; 15, where the peers were measured, or else the newest that is here.
    #[arg(long)]
    major: Option<u32>,
    /// Build the indexes and plan with them, but do not run the queries.
    #[arg(long)]
    no_execute: bool,
    /// Advise on the snapshot of an earlier run, without a server; costs and sizes are the twin's.
    #[arg(long)]
    twin_only: bool,
    /// How often advice and queries are timed; the median counts.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// How often a suspicious query is run with and without the indexes by turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds after which a query is ended.
    #[arg(long, default_value_t = 60)]
    timeout: u32,
    /// Measure the queries without indexes anew instead of taking the figures of an earlier run.
    #[arg(long)]
    fresh: bool,
    /// Let bytes and numbers of indexes have pgwright's default prices, as in "pgwright advise". Peers know
    /// nothing but the budget.
    #[arg(long)]
    default_prices: bool,
    /// Let queries become slower for the sake of the others: peers count the cost alone.
    #[arg(long)]
    cost_alone: bool,
    /// With --twin-only, advise on the texts of pg_stat_statements too.
    #[arg(long)]
    texts: bool,
    /// Show what every query costs under each budget.
    #[arg(long)]
    queries: bool,
    /// Print nothing but the JSON line.
    #[arg(long)]
    json: bool,
    /// Write everything that was measured into this file, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where loaded data and snapshots are kept.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

impl Args {
    /// What bounds the advice: the budget, and the objective that the peers have, the sum of the costs.
    fn options(&self, budget_mb: u64) -> Options {
        let options = Options {
            weigh_by: WeighBy::PlannerCost,
            max_bytes: Some(Bytes(budget_mb * MB)),
            max_slowdown: Options::default().max_slowdown.filter(|_| !self.cost_alone),
            control: progress::control(!self.json),
            ..Options::default()
        };
        if self.default_prices {
            return options;
        }
        Options {
            min_share: 0.0,
            min_share_of_rest: 0.0,
            min_speedup: 0.0,
            database_size_worth: 0.0,
            index_worth: 0.0,
            ..options
        }
    }

    fn say(&self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }
}

/// The unit of budgets and sizes, as the peers' figures have it.
pub const MB: u64 = 1 << 20;

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When a server does not start, or something that must work does not.
pub async fn run(args: Args) -> Result<()> {
    let report = measure(&args).await?;
    if let Some(path) = &args.out {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    if !args.json {
        print!("{}", report.text(args.queries));
    }
    println!("{}", report.summary());
    Ok(())
}

async fn measure(args: &Args) -> Result<Report> {
    let root = args.cache.clone().unwrap_or_else(|| repository().join(".cache/benchmarks"));
    let cache = Cache::new(root, args.workload, args.scale, major(args.major)?);
    let queries = cache.queries().await?;
    if args.twin_only {
        let snapshot = load(&cache.snapshot_file())?;
        let texts = args.texts.then(|| load(&cache.normalised_snapshot_file())).transpose()?;
        let binaries = Binaries::for_major(snapshot.server.major(), &search())?;
        let bench = Bench { args, queries: &queries, snapshot: &snapshot, binaries: &binaries, server: None };
        return bench.run(None, texts.as_ref()).await;
    }
    let server = BenchmarkServer::start(cache.clone(), &|text| args.say(text)).await?;
    let report = with_server(args, &cache, &queries, &server).await;
    server.stop()?;
    report
}

/// The version that was asked for, or the one of the peers' figures when it is here, or the newest.
///
/// # Errors
/// When there is no PostgreSQL server on this machine.
pub fn major(wanted: Option<u32>) -> Result<u32> {
    let found = Binaries::discover(&search());
    let newest = found.first().map(|b| b.major);
    let preferred = found.iter().map(|b| b.major).find(|m| *m == PEERS_MAJOR);
    wanted
        .or(preferred)
        .or(newest)
        .context("could not find a PostgreSQL server; scripts/setup.sh demo installs one")
}

fn load(path: &Path) -> Result<Snapshot> {
    postgres::snapshot_file::load(path).with_context(|| {
        format!("{}: a run without --twin-only writes it", path.file_name().unwrap_or_default().display())
    })
}

async fn with_server(
    args: &Args,
    cache: &Cache,
    queries: &[Query],
    server: &BenchmarkServer,
) -> Result<Report> {
    let plans = measurement::explain(&server.connect().await?, queries).await?;
    let statements = queries.iter().zip(&plans).map(|(query, plan)| {
        let rows = plan.pointer("/Plan/Plan Rows").and_then(Value::as_i64).unwrap_or_default();
        statement(i64::from(query.number), &query.sql, cost(plan), rows)
    });
    let snapshot = Snapshot { statements: statements.collect(), ..server.snapshot().await? };
    postgres::snapshot_file::save(&cache.snapshot_file(), &snapshot)?;

    let texts = server.normalised_texts(queries).await?;
    let mut normalised = snapshot.clone();
    normalised.statements.retain_mut(|statement| match texts.get(&statement.queryid) {
        Some(text) => {
            statement.query.clone_from(text);
            true
        }
        None => false,
    });
    postgres::snapshot_file::save(&cache.normalised_snapshot_file(), &normalised)?;

    let base = if args.no_execute { None } else { Some(base(args, cache, queries, server).await?) };
    let bench =
        Bench { args, queries, snapshot: &snapshot, binaries: server.binaries(), server: Some(server) };
    bench.run(base, Some(&normalised)).await
}

/// What the queries take without indexes.
async fn base(
    args: &Args,
    cache: &Cache,
    queries: &[Query],
    server: &BenchmarkServer,
) -> Result<Vec<Execution>> {
    let path = cache.base_file();
    let kept =
        std::fs::read_to_string(&path).ok().and_then(|t| serde_json::from_str::<Vec<Execution>>(&t).ok());
    if let Some(kept) = kept.filter(|k| !args.fresh && k.len() == queries.len()) {
        return Ok(kept);
    }
    args.say("running the queries without indexes");
    let stopwatch = Stopwatch::new(server.connect().await?, args.timeout).await?;
    warm_up(stopwatch.client()).await?;
    let base = run_queries(args, queries, &stopwatch).await?;
    std::fs::write(&path, serde_json::to_string(&base)?)?;
    Ok(base)
}

/// Reads every table once, so that the first query is not the only one that waits for the disk.
async fn warm_up(client: &Client) -> Result<()> {
    let tables = "SELECT c.relname FROM pg_catalog.pg_class AS c
                  WHERE c.relkind = 'r' AND c.relnamespace = 'public'::pg_catalog.regnamespace";
    for row in client.query(tables, &[]).await? {
        let table = QualifiedName::new("public", row.try_get::<_, String>(0)?);
        client.query(&format!("SELECT pg_catalog.count(*) FROM {table}"), &[]).await?;
    }
    Ok(())
}

async fn run_queries(args: &Args, queries: &[Query], stopwatch: &Stopwatch) -> Result<Vec<Execution>> {
    let mut executions = Vec::with_capacity(queries.len());
    for query in queries {
        let ran = stopwatch.run_repeatedly(&query.sql, args.runs).await;
        let (execution, rows) = ran.with_context(|| format!("running {}", query.name()))?;
        let difference = rows.and_then(|rows| args.workload.difference(query, args.scale, &rows));
        if let Some(difference) = difference {
            args.say(&format!("warning: the answer is not the published one: {difference}"));
        }
        executions.push(execution);
    }
    Ok(executions)
}

/// One run of the benchmark.
struct Bench<'a> {
    args: &'a Args,
    queries: &'a [Query],
    snapshot: &'a Snapshot,
    binaries: &'a Binaries,
    server: Option<&'a BenchmarkServer>,
}

/// An answer of the advisor, and what it took.
struct Timed {
    advice: Advice,
    twin_s: f64,
    advise_s: f64,
    cpu_s: f64,
}

impl Bench<'_> {
    async fn run(&self, base: Option<Vec<Execution>>, normalised: Option<&Snapshot>) -> Result<Report> {
        let mut fidelity = Fidelity::default();
        let without = promise(self.snapshot, self.binaries, &[], self.queries).await?;
        let mut base_costs: Vec<f64> = without.plans.iter().map(cost).collect();
        if let Some(server) = self.server {
            let real = measurement::explain(&server.connect().await?, self.queries).await?;
            fidelity.compare("without indexes", self.queries, &without.plans, &real)?;
            base_costs = real.iter().map(cost).collect();
        }
        let mut rivals = Vec::new();
        if let Some(server) = self.server {
            for budget_mb in &self.args.rivals {
                self.args.say(&format!("asking the rival for {budget_mb} MB"));
                rivals.push(self.rival(server, *budget_mb, base.as_deref()).await?);
            }
        }
        let mut wanted = self.args.budgets.clone();
        wanted.extend(rivals.iter().filter_map(BudgetReport::real_mb).map(|mb| mb.ceil() as u64));
        if wanted.is_empty() {
            wanted = BEST_KNOWN.iter().map(|best| best.budget_mb).collect();
        }
        let mut budgets = Vec::new();
        for budget_mb in wanted {
            self.args.say(&format!("advising for {budget_mb} MB"));
            budgets.push(self.budget(budget_mb, base.as_deref(), &mut fidelity).await?);
        }
        let texts = match normalised {
            Some(snapshot) => {
                let largest = budgets.iter().map(|b| b.budget_mb).max().unwrap_or_default();
                Some(self.texts(snapshot, largest).await?)
            }
            None => None,
        };
        Ok(Report {
            workload: self.args.workload.title(),
            dwarfing: self.args.workload.dwarfing(),
            queries: self.queries.iter().map(|q| q.number).collect(),
            peers: self.args.workload == Workload::Tpch && (self.args.scale - 1.0).abs() < f64::EPSILON,
            scale: self.args.scale,
            version: self.binaries.version.clone(),
            base_costs,
            base_cpu_s: base.as_ref().map(|b| b.iter().map(|e| e.cpu_s).sum()),
            base_unfinished: base.as_ref().map(|b| b.iter().filter(|e| !e.finished).count()),
            budgets,
            rivals,
            texts,
            median_cost_error: fidelity.median_cost_error(),
            plan_shape_equal: fidelity.plan_shape_equal(),
            size_error_median: fidelity.size_error_median(),
            plans_compared: fidelity.compared(),
            differences: fidelity.differences,
            peak_memory_bytes: cpu::peak_memory(),
        })
    }

    /// Asks the advisor, on a twin of its own.
    async fn advise(&self, snapshot: &Snapshot, options: &Options) -> Result<Timed> {
        let (mut twins, mut advises, mut cpus) = (Vec::new(), Vec::new(), Vec::new());
        let mut last = None;
        for _ in 0..self.args.runs.max(1) {
            let elsewhere = self.server.and_then(BenchmarkServer::pid);
            let (cpu, start) = (cpu::of_this_tree(elsewhere), Instant::now());
            let template_dir = Some(repository().join(".cache/templates"));
            let twin_options = TwinOptions { template_dir, ..TwinOptions::default() }.for_search(snapshot);
            let mut twin = Twin::build(snapshot, self.binaries, twin_options).await?;
            twins.push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            let advice = advice::advise(snapshot, &mut twin, options).await?;
            advises.push(start.elapsed().as_secs_f64());
            twin.stop().await?;
            cpus.push(cpu::of_this_tree(elsewhere) - cpu);
            last = Some(advice);
        }
        let middle = |values: &[f64]| median(values).unwrap_or(f64::NAN);
        Ok(Timed {
            advice: last.context("nothing was advised")?,
            twin_s: middle(&twins),
            advise_s: middle(&advises),
            cpu_s: middle(&cpus),
        })
    }

    async fn budget(
        &self,
        budget_mb: u64,
        base: Option<&[Execution]>,
        fidelity: &mut Fidelity,
    ) -> Result<BudgetReport> {
        let timed = self.advise(self.snapshot, &self.args.options(budget_mb)).await?;
        let indexes = new_indexes(&timed.advice);
        let promised = promise(self.snapshot, self.binaries, &indexes, self.queries).await?;
        let mut report = BudgetReport {
            advisor: format!("pgwright, {budget_mb} MB"),
            budget_mb,
            indexes: index_reports(&indexes, &promised.bytes),
            other_changes: other_changes(&timed.advice),
            candidates: Some(timed.advice.candidates),
            planner_calls: timed.advice.planner_calls,
            twin_s: Some(timed.twin_s),
            advise_s: timed.advise_s,
            advise_cpu_s: Some(timed.cpu_s),
            bound_gap: timed.advice.bound.map(|b| b.gap),
            promised_costs: promised.plans.iter().map(cost).collect(),
            real_costs: None,
            executions: None,
            unused: unused(&indexes, &promised.plans),
            redundant: redundant(&indexes, self.snapshot.indexes.iter().map(|i| &i.definition)),
            nested: redundant(&indexes, indexes.iter()),
            slower: None,
            skipped: skipped(&timed.advice),
        };
        if let Some(server) = self.server {
            let real = self.build(server, &indexes, base, &mut report).await?;
            let set = format!("with the indexes of {budget_mb} MB");
            fidelity.compare(&set, self.queries, &promised.plans, &real)?;
            for index in &report.indexes {
                fidelity
                    .compare_size(Bytes(index.predicted_bytes), Bytes(index.real_bytes.unwrap_or_default()));
            }
        }
        Ok(report)
    }

    /// Asks the rival, and measures its set in the same way.
    async fn rival(
        &self,
        server: &BenchmarkServer,
        budget_mb: u64,
        base: Option<&[Execution]>,
    ) -> Result<BudgetReport> {
        let (width, budget) = (self.args.rival_width, Bytes(budget_mb * MB));
        let set = rival::extend(server.connect().await?, self.snapshot, self.queries, width, budget).await?;
        let mut report = BudgetReport {
            advisor: format!("Extend, width {width}, {budget_mb} MB of HypoPG, here"),
            budget_mb,
            indexes: index_reports(&set.indexes, &set.bytes),
            other_changes: Vec::new(),
            candidates: None,
            planner_calls: set.planner_calls,
            twin_s: None,
            advise_s: set.seconds,
            advise_cpu_s: None,
            bound_gap: None,
            promised_costs: set.plans.iter().map(cost).collect(),
            real_costs: None,
            executions: None,
            unused: Vec::new(),
            redundant: redundant(&set.indexes, self.snapshot.indexes.iter().map(|i| &i.definition)),
            nested: redundant(&set.indexes, set.indexes.iter()),
            slower: None,
            skipped: BTreeMap::new(),
        };
        self.build(server, &set.indexes, base, &mut report).await?;
        Ok(report)
    }

    /// Builds the indexes, measures with them and drops them. Returns the plans of the queries.
    async fn build(
        &self,
        server: &BenchmarkServer,
        indexes: &[IndexDefinition],
        base: Option<&[Execution]>,
        report: &mut BudgetReport,
    ) -> Result<Vec<Value>> {
        self.args.say(&format!("building {} indexes", indexes.len()));
        let client = server.connect().await?;
        for (index, report) in indexes.iter().zip(&mut report.indexes) {
            client.batch_execute(&index.create_sql(false)).await?;
            let name = index.qualified_name().to_string();
            let size: i64 = client
                .query_one("SELECT pg_catalog.pg_relation_size($1::text::pg_catalog.regclass)", &[&name])
                .await?
                .try_get(0)?;
            report.real_bytes = Some(u64::try_from(size)?);
        }
        let plans = measurement::explain(&client, self.queries).await?;
        report.real_costs = Some(plans.iter().map(cost).collect());
        report.unused = unused(indexes, &plans);
        if let Some(base) = base {
            self.args.say("running the queries");
            let stopwatch = Stopwatch::new(server.connect().await?, self.args.timeout).await?;
            let executions = run_queries(self.args, self.queries, &stopwatch).await?;
            report.slower = Some(self.slower(&stopwatch, indexes, base, &executions).await?);
            report.executions = Some(executions);
        }
        for index in indexes {
            client.batch_execute(&format!("DROP INDEX {}", index.qualified_name())).await?;
        }
        Ok(plans)
    }

    /// Queries that look slower than without the indexes are run with and without by turns.
    async fn slower(
        &self,
        stopwatch: &Stopwatch,
        indexes: &[IndexDefinition],
        base: &[Execution],
        now: &[Execution],
    ) -> Result<Vec<SlowerStatement>> {
        let names: Vec<String> = indexes.iter().map(|i| i.qualified_name().to_string()).collect();
        let mut slower = Vec::new();
        for ((query, before), now) in self.queries.iter().zip(base).zip(now) {
            let suspicious = now.cpu_s > SUSPICIOUS * before.cpu_s && now.cpu_s - before.cpu_s > NOISE_S;
            if !before.finished || !suspicious {
                continue;
            }
            let measured = stopwatch.with_and_without(&query.sql, &names, self.args.rounds).await?;
            slower.push(SlowerStatement { query: query.name(), slower: measured.is_slower(), measured });
        }
        Ok(slower)
    }

    /// Are the texts of `pg_stat_statements` planned, and does advice from them serve the queries?
    async fn texts(&self, normalised: &Snapshot, budget_mb: u64) -> Result<TextsReport> {
        let timed = self.advise(normalised, &self.args.options(budget_mb)).await?;
        let indexes = new_indexes(&timed.advice);
        let promised = promise(self.snapshot, self.binaries, &indexes, self.queries).await?;
        Ok(TextsReport {
            queries: self.queries.len(),
            statements: normalised.statements.len(),
            skipped: skipped(&timed.advice),
            budget_mb,
            indexes: indexes.iter().map(|i| i.create_sql(false)).collect(),
            predicted_bytes: promised.bytes.iter().map(|b| b.0).sum(),
            promised_cost: promised.cost(),
            planner_calls: timed.advice.planner_calls,
            seconds: timed.twin_s + timed.advise_s,
        })
    }
}

fn index_reports(indexes: &[IndexDefinition], predicted: &[Bytes]) -> Vec<IndexReport> {
    let pairs = indexes.iter().zip(predicted);
    pairs
        .map(|(index, bytes)| IndexReport {
            sql: index.create_sql(false),
            predicted_bytes: bytes.0,
            real_bytes: None,
        })
        .collect()
}

/// The indexes that are to be created.
fn new_indexes(advice: &Advice) -> Vec<IndexDefinition> {
    let changes = advice.recommendations.iter().flat_map(|r| &r.changes);
    changes
        .filter_map(|change| match change {
            Change::CreateIndex { index } => Some(index.clone()),
            _ => None,
        })
        .collect()
}

/// What is recommended besides new indexes.
fn other_changes(advice: &Advice) -> Vec<String> {
    let creates = |changes: &[Change]| changes.iter().any(|c| matches!(c, Change::CreateIndex { .. }));
    advice.recommendations.iter().filter(|r| !creates(&r.changes)).map(|r| r.title.clone()).collect()
}

/// Reasons why statements were left out, with how many they concern.
fn skipped(advice: &Advice) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for statement in &advice.skipped {
        *reasons.entry(format!("Q{}: {}", statement.queryid, statement.reason)).or_default() += 1;
    }
    reasons
}

/// Indexes that no plan uses.
fn unused(indexes: &[IndexDefinition], plans: &[Value]) -> Vec<String> {
    fn collect<'a>(value: &'a Value, used: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                used.extend(members.get("Index Name").and_then(Value::as_str));
                members.values().for_each(|v| collect(v, used));
            }
            Value::Array(elements) => elements.iter().for_each(|v| collect(v, used)),
            _ => {}
        }
    }
    let mut used = Vec::new();
    plans.iter().for_each(|plan| collect(plan, &mut used));
    indexes.iter().filter(|i| !used.contains(&i.name.as_str())).map(|i| i.create_sql(false)).collect()
}

/// New B-trees that one of the others gives, with its name: its keys begin with theirs, and it has their
/// columns.
fn redundant<'a>(
    new: &[IndexDefinition],
    others: impl Iterator<Item = &'a IndexDefinition> + Clone,
) -> Vec<String> {
    let mut found = Vec::new();
    for index in new {
        if let Some(other) = others.clone().find(|other| other.name != index.name && gives(other, index)) {
            found.push(format!("{} by {}", index.create_sql(false), other.name));
        }
    }
    found
}

/// Whether an index can be put in the place of another, whatever its size.
fn gives(other: &IndexDefinition, new: &IndexDefinition) -> bool {
    let column = |target: &KeyTarget| match target {
        KeyTarget::Column(name) => Some(name.clone()),
        KeyTarget::Expression(_) => None,
    };
    let columns: Vec<String> =
        other.keys.iter().filter_map(|k| column(&k.target)).chain(other.include.clone()).collect();
    other.table == new.table
        && other.access_method == "btree"
        && new.access_method == "btree"
        && (other.predicate.is_none() || other.predicate == new.predicate)
        && other.keys.starts_with(&new.keys)
        && new.include.iter().all(|c| columns.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::change::IndexKey;

    fn index(name: &str, keys: &[&str]) -> IndexDefinition {
        let keys = keys.iter().map(|k| IndexKey::column(*k)).collect();
        IndexDefinition::btree(QualifiedName::new("public", "t"), name, keys)
    }

    #[test]
    fn an_index_is_used_when_a_plan_names_it_at_any_depth() {
        let plan = serde_json::json!({ "Plan": { "Node Type": "Nested Loop", "Plans": [
            { "Node Type": "Index Scan", "Index Name": "a" } ] } });
        let found = unused(&[index("a", &["x"]), index("b", &["y"])], &[plan]);
        assert_eq!(found, [index("b", &["y"]).create_sql(false)]);
    }

    #[test]
    fn an_index_gives_its_prefixes_and_its_columns() {
        let covering = IndexDefinition { include: vec!["z".into()], ..index("c", &["x"]) };
        let partial = IndexDefinition { predicate: Some("x > 0".into()), ..index("p", &["x", "z"]) };
        assert!(gives(&index("a", &["x", "y"]), &index("b", &["x"])));
        assert!(gives(&index("a", &["x", "z"]), &covering));
        assert!(gives(&covering, &index("b", &["x"])));
        assert!(!gives(&index("a", &["x", "y"]), &index("b", &["y"])));
        assert!(!gives(&index("a", &["x", "y"]), &covering));
        assert!(!gives(&partial, &index("b", &["x"])));
        assert!(gives(
            &index("a", &["x"]),
            &IndexDefinition { predicate: Some("y > 0".into()), ..index("b", &["x"]) }
        ));
    }

    fn arguments(more: &[&str]) -> Args {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let always = ["advisor", "--scale", "0.01", "--budget", "2", "--json", "--cache"];
        <Line as clap::Parser>::parse_from(always.iter().chain(more)).args
    }

    #[tokio::test]
    async fn a_small_scale_is_measured_to_the_end_and_leaves_nothing() {
        use std::os::unix::fs::PermissionsExt as _;
        // The server's account may be another one, and has to get there.
        let everybody = std::fs::Permissions::from_mode(0o755);
        let cache = tempfile::Builder::new().permissions(everybody).tempdir().unwrap();
        let path = cache.path().to_str().unwrap();
        // The second run finds the data and the figures of the first.
        for _ in 0..2 {
            let report = measure(&arguments(&[path, "--rounds", "1"])).await.unwrap();
            assert_eq!(report.budgets.len(), 1);
            let budget = &report.budgets[0];
            assert!(!budget.indexes.is_empty());
            assert!(budget.indexes.iter().all(|i| i.real_bytes.is_some_and(|b| b >= 8192)));
            assert_eq!(budget.executions.as_ref().map(Vec::len), Some(22));
            assert_eq!(report.plans_compared, 44);
            let texts = report.texts.unwrap();
            assert_eq!((texts.statements, texts.skipped.len()), (22, 0));
            assert!(budget.real_costs.as_ref().unwrap().iter().sum::<f64>() < report.base_costs.iter().sum());
        }
        let report = measure(&arguments(&[path, "--twin-only"])).await.unwrap();
        assert_eq!(report.plans_compared, 0);
        assert!(!report.budgets[0].indexes.is_empty());
    }
}
