//! What does the demo tell? The table of before and after, each statement, what was done and what it
//! cost, and the same for the textbook's indexes.

use advice::Advice;
use advice::profiling::StatementFigures;
use apply::verify::Verification;
use model::{Bytes, Millis};
use serde::Serialize;
use serde_json::json;

use super::demo_exercise::{self, Exercise};
use super::demo_measure::Unloaded;
use super::{Context, advise, verify};
use crate::demo::LoadReport;
use crate::report::document::{Report, Section};
use crate::workload::{IngestOutcome, Outcome, StatementOutcome};

/// One set of indexes as it was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Arm {
    /// The workload.
    pub outcome: Outcome,
    /// The ingestion.
    pub ingest: IngestOutcome,
    /// Bytes of its indexes.
    pub index_bytes: Bytes,
}

/// Whether everything could be taken back.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct UndoProof {
    /// Indexes taken back.
    pub undone: usize,
    /// Whether the schema dump equals the one before.
    pub restores: bool,
}

/// Everything that the demo measured.
#[derive(Debug, Serialize)]
#[allow(missing_docs)] // Named after what they hold.
pub struct DemoResult {
    pub scenario: String,
    pub scale: f64,
    pub seed: u64,
    pub rate: f64,
    pub server_version: String,
    pub loaded: LoadReport,
    pub before: Outcome,
    pub unloaded: Unloaded,
    pub before_statements: Vec<StatementFigures>,
    pub after_statements: Vec<StatementFigures>,
    pub advice: Advice,
    pub advise_seconds: f64,
    pub apply_seconds: f64,
    pub run: apply::Run,
    pub verifications: Vec<Verification>,
    pub exercises: Vec<Exercise>,
    pub pgwright: Arm,
    pub textbook: Arm,
    pub textbook_sql: Vec<String>,
    pub plain_ingest: IngestOutcome,
    pub undo: UndoProof,
    pub seconds: f64,
}

/// The share of the ingestion that a set of indexes costs, by the middle of the rounds.
fn loss(ingest: &IngestOutcome) -> Option<f64> {
    ingest.to_first.map(|ratio| 1.0 - ratio.median)
}

/// The quartiles of that share over the rounds, the smaller first.
fn loss_quartiles(ingest: &IngestOutcome) -> Option<[f64; 2]> {
    ingest.to_first.map(|ratio| [1.0 - ratio.upper_quartile, 1.0 - ratio.lower_quartile])
}

fn reduction(before: f64, after: f64) -> f64 {
    if before > 0.0 { 1.0 - after / before } else { 0.0 }
}

fn p99(outcome: &StatementOutcome) -> f64 {
    outcome.latency.percentile_ms(99.0)
}

/// The figures of `demo --json`. Shares are from 0 to 1, times in milliseconds, sizes in bytes.
pub fn figures(result: &DemoResult) -> serde_json::Value {
    let (before, after, textbook) =
        (&result.before.overall, &result.pgwright.outcome.overall, &result.textbook.outcome.overall);
    json!({
        "scenario": result.scenario,
        "scale": result.scale,
        "server_version": result.server_version,
        "mean_reduction": reduction(before.latency.mean_ms(), after.latency.mean_ms()),
        "p99_reduction": reduction(p99(before), p99(after)),
        "mean_ms_before": before.latency.mean_ms(),
        "p99_ms_before": p99(before),
        "max_ms_before": before.latency.max_ms(),
        "mean_ms_after": after.latency.mean_ms(),
        "p99_ms_after": p99(after),
        "max_ms_after": after.latency.max_ms(),
        "errors_after": after.failed + after.timeouts + after.unanswered,
        "index_bytes": result.pgwright.index_bytes,
        "ingest_loss": loss(&result.pgwright.ingest),
        "ingest_loss_quartiles": loss_quartiles(&result.pgwright.ingest),
        "textbook_mean_ms": textbook.latency.mean_ms(),
        "textbook_p99_ms": p99(textbook),
        "textbook_max_ms": textbook.latency.max_ms(),
        "textbook_index_bytes": result.textbook.index_bytes,
        "textbook_ingest_loss": loss(&result.textbook.ingest),
        "textbook_ingest_loss_quartiles": loss_quartiles(&result.textbook.ingest),
        "wal_bytes_per_row": result.plain_ingest.wal_bytes_per_row,
        "wal_bytes_per_row_after": result.pgwright.ingest.wal_bytes_per_row,
        "textbook_wal_bytes_per_row": result.textbook.ingest.wal_bytes_per_row,
        "unloaded_rate": result.unloaded.rate,
        "exec_ms_before": result.unloaded.before.exec_ms_per_call,
        "exec_ms_after": result.unloaded.after.exec_ms_per_call,
        "textbook_exec_ms": result.unloaded.textbook.exec_ms_per_call,
        "exec_reduction": reduction(
            result.unloaded.before.exec_ms_per_call, result.unloaded.after.exec_ms_per_call
        ),
        "exercises": result.exercises.iter().map(|e| json!({
            "name": e.name,
            "plain_ms": e.plain_ms,
            "indexed_ms": e.indexed_ms,
            "after_ms": e.after_ms(),
            "rules": e.rewritten.as_ref().map(|r| &r.rules),
        })).collect::<Vec<_>>(),
        "undo_restores_schema": result.undo.restores,
        "recommendations": result.advice.recommendations.len(),
        "planner_calls": result.advice.planner_calls,
        "advise_seconds": result.advise_seconds,
        "apply_seconds": result.apply_seconds,
        "load_seconds": result.loaded.seconds,
        "seconds": result.seconds,
    })
}

fn percent(share: f64) -> String {
    // 99.96 % is not all of it.
    let decimals = if (0.999..1.0).contains(&share) { 2 } else { 1 };
    format!("{:.decimals$} %", share * 100.0)
}

fn change(before: f64, after: f64) -> String {
    let share = reduction(before, after);
    if share >= 0.0 { format!("{} less", percent(share)) } else { format!("{} more", percent(-share)) }
}

fn hit_ratio(statements: &[StatementFigures]) -> f64 {
    let hit: i64 = statements.iter().map(|s| s.shared_blks_hit).sum();
    let read: i64 = statements.iter().map(|s| s.shared_blks_read).sum();
    if hit + read > 0 { hit as f64 / (hit + read) as f64 } else { 1.0 }
}

fn ms_per_call(statements: &[StatementFigures]) -> f64 {
    let time: f64 = statements.iter().map(|s| s.total_exec_time.0).sum();
    let calls: i64 = statements.iter().map(|s| s.calls).sum();
    if calls > 0 { time / calls as f64 } else { 0.0 }
}

/// The rows of the before/after table.
fn summary(result: &DemoResult) -> Vec<Vec<String>> {
    let (before, after, textbook) =
        (&result.before.overall, &result.pgwright.outcome.overall, &result.textbook.outcome.overall);
    let ms = |v: f64| Millis(v).to_string();
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut time = |name: &str, pick: &dyn Fn(&StatementOutcome) -> f64| {
        let (b, a, t) = (pick(before), pick(after), pick(textbook));
        rows.push(vec![name.into(), ms(b), ms(a), change(b, a), ms(t)]);
    };
    time("mean latency", &|s| s.latency.mean_ms());
    time("P50", &|s| s.latency.percentile_ms(50.0));
    time("P95", &|s| s.latency.percentile_ms(95.0));
    time("P99", &p99);
    time("maximum", &|s| s.latency.max_ms());
    let slow = |s: &StatementOutcome| {
        let above = s.latency.above(std::time::Duration::from_secs(1));
        format!("{above} ({})", percent(above as f64 / s.arrivals.max(1) as f64))
    };
    rows.push(vec!["over 1 s".into(), slow(before), slow(after), String::new(), slow(textbook)]);
    let lost = |s: &StatementOutcome| (s.failed + s.timeouts + s.unanswered).to_string();
    rows.push(vec![
        "failed, timed out or unanswered".into(),
        lost(before),
        lost(after),
        String::new(),
        lost(textbook),
    ]);
    let (b, a) = (ms_per_call(&result.before_statements), ms_per_call(&result.after_statements));
    rows.push(vec![
        "execution time per call, in the server".into(),
        ms(b),
        ms(a),
        change(b, a),
        String::new(),
    ]);
    let unloaded = &result.unloaded;
    let (b, a) = (unloaded.before.exec_ms_per_call, unloaded.after.exec_ms_per_call);
    rows.push(vec![
        format!("the same without queueing, at {:.1} arrivals per second", unloaded.rate),
        ms(b),
        ms(a),
        change(b, a),
        ms(unloaded.textbook.exec_ms_per_call),
    ]);
    let (b, a) = (hit_ratio(&result.before_statements), hit_ratio(&result.after_statements));
    rows.push(vec!["shared-buffer hits".into(), percent(b), percent(a), String::new(), String::new()]);
    rows.push(vec![
        "index bytes added".into(),
        "-".into(),
        result.pgwright.index_bytes.to_string(),
        String::new(),
        result.textbook.index_bytes.to_string(),
    ]);
    let rate = |i: &IngestOutcome| format!("{:.0} rows/s", i.rows_per_second);
    let lost = |i: &IngestOutcome| match (loss(i), loss_quartiles(i)) {
        (Some(loss), Some([low, high])) => {
            let word = if loss >= 0.0 { "less" } else { "more" };
            let signed = |share: f64| if loss >= 0.0 { share } else { -share };
            format!(
                "{} {word} ({} to {})",
                percent(signed(loss)),
                percent(signed(low)),
                percent(signed(high))
            )
        }
        _ => String::new(),
    };
    rows.push(vec![
        "ingestion".into(),
        rate(&result.plain_ingest),
        rate(&result.pgwright.ingest),
        lost(&result.pgwright.ingest),
        format!("{}, {}", rate(&result.textbook.ingest), lost(&result.textbook.ingest)),
    ]);
    let spent = |i: &IngestOutcome| {
        i.time_per_row.map_or_else(String::new, |t| {
            format!("{:.1} + {:.1} + {:.1} µs", t.insert_us, t.update_us, t.other_us)
        })
    };
    rows.push(vec![
        "time per ingested row: INSERT + UPDATE + the rest".into(),
        spent(&result.plain_ingest),
        spent(&result.pgwright.ingest),
        String::new(),
        spent(&result.textbook.ingest),
    ]);
    let wal = |i: &IngestOutcome| format!("{:.0} bytes", i.wal_bytes_per_row);
    rows.push(vec![
        "write-ahead log per ingested row".into(),
        wal(&result.plain_ingest),
        wal(&result.pgwright.ingest),
        change(result.plain_ingest.wal_bytes_per_row, result.pgwright.ingest.wal_bytes_per_row),
        wal(&result.textbook.ingest),
    ]);
    rows
}

const SUMMARY_HEADERS: &[&str] = &["", ">before", ">after", ">change", ">textbook's indexes"];

/// The rows of the table of statements.
fn statements(result: &DemoResult) -> Vec<Vec<String>> {
    let ms = |v: f64| Millis(v).to_string();
    let empty = StatementOutcome::default();
    result
        .before
        .statements
        .iter()
        .map(|before| {
            let after = result.pgwright.outcome.statement(&before.name).unwrap_or(&empty);
            let textbook = result.textbook.outcome.statement(&before.name).unwrap_or(&empty);
            vec![
                before.name.clone(),
                ms(before.service.mean_ms()),
                ms(after.service.mean_ms()),
                ms(textbook.service.mean_ms()),
                ms(p99(before)),
                ms(p99(after)),
                ms(p99(textbook)),
            ]
        })
        .collect()
}

const STATEMENT_HEADERS: &[&str] =
    &["statement", ">mean before", ">after", ">textbook", ">P99 before", ">after", ">textbook"];

/// The rows of the table of statements when nothing queues.
fn unloaded_statements(result: &DemoResult) -> Vec<Vec<String>> {
    let Unloaded { before, after, textbook, .. } = &result.unloaded;
    let empty = StatementOutcome::default();
    let rows = before.outcome.statements.iter().map(|statement| {
        let (after, textbook) = (
            after.outcome.statement(&statement.name).unwrap_or(&empty),
            textbook.outcome.statement(&statement.name).unwrap_or(&empty),
        );
        let (b, a) = (statement.service.mean_ms(), after.service.mean_ms());
        vec![
            statement.name.clone(),
            statement.answered.to_string(),
            Millis(b).to_string(),
            Millis(a).to_string(),
            change(b, a),
            Millis(textbook.service.mean_ms()).to_string(),
        ]
    });
    rows.collect()
}

const UNLOADED_HEADERS: &[&str] =
    &["statement", ">requests", ">mean before", ">after", ">change", ">textbook's indexes"];

/// The result on the terminal.
pub fn text(context: &Context, result: &DemoResult) -> String {
    let mut out = format!("\n{}\n", context.printer.table(SUMMARY_HEADERS, &summary(result)));
    out.push_str("per statement: mean time in the server and its network, P99 of latency with waiting\n\n");
    out.push_str(&context.printer.table(STATEMENT_HEADERS, &statements(result)));
    out.push('\n');
    if !result.exercises.is_empty() {
        out.push_str("the exercise's statements, alone on the server\n\n");
        out.push_str(&context.printer.table(demo_exercise::HEADERS, &demo_exercise::rows(&result.exercises)));
        out.push('\n');
    }
    for (recommendation, verification) in pairs(result) {
        out.push_str(&format!("{}  {}\n", recommendation.id, crate::printer::plain(&recommendation.title)));
        if let Some(v) = verification {
            out.push_str(&format!(
                "          {}: {}\n",
                verify::verdict_words(v.verdict),
                crate::printer::plain(&v.sentence)
            ));
        }
    }
    out.push_str(&format!(
        "\nundo of {} indexes {} the exact schema; all of it took {}\n",
        result.undo.undone,
        if result.undo.restores { "restored" } else { "did not restore" },
        Millis(result.seconds * 1000.0)
    ));
    out
}

fn pairs(result: &DemoResult) -> impl Iterator<Item = (&model::Recommendation, Option<&Verification>)> {
    result
        .advice
        .recommendations
        .iter()
        .map(|r| (r, result.verifications.iter().find(|v| v.recommendation_id == r.id)))
}

/// What the latencies before say, which depends on whether the database kept up.
fn queueing(result: &DemoResult) -> &'static str {
    if result.before.achieved_rate < 0.95 * result.rate {
        "Before, more requests arrived than the database could answer, so they queued until they gave up, as in the \
         incident that the demo plays: latencies then say how long the run was. The execution time per call leaves \
         the queue out."
    } else {
        "The database kept up with the requests before, too."
    }
}

/// How the ingestion was compared.
fn ingest_words(result: &DemoResult) -> String {
    let rounds = result.pgwright.ingest.to_first.map_or(0, |ratio| ratio.rounds);
    format!(
        "Ingestion: two sessions insert and change rows as fast as they can, in {rounds} rounds of one short turn per \
         database; each turn is compared with that of the database without indexes in the same round. The middle of the \
         rounds counts, their quartiles stand in parentheses."
    )
}

/// The report.
pub fn build(result: &DemoResult) -> Report {
    let rows: u64 = result.loaded.tables.iter().map(|t| t.rows).sum();
    let lead = format!(
        "Scenario {} at scale {} ({rows} rows, {}), PostgreSQL {}, seed {}, {} arrivals per second in an open loop: a \
         request is measured from the moment it is due, so waiting counts. Every figure was measured in this run, which \
         took {}.",
        result.scenario,
        result.scale,
        result.loaded.bytes,
        result.server_version,
        result.seed,
        result.rate,
        Millis(result.seconds * 1000.0)
    );
    let mut sections = vec![
        Section::new("Before and after")
            .table(SUMMARY_HEADERS, summary(result))
            .paragraph(queueing(result))
            .paragraph(
                "The last column is a copy of the same data with the indexes that a textbook puts on this schema, \
                 measured in turns with pgwright's choice on the same machine with the same requests.",
            )
            .paragraph(ingest_words(result)),
        Section::new("Per statement")
            .table(STATEMENT_HEADERS, statements(result))
            .paragraph("Mean: time in the server and its network. P99: latency with waiting."),
        Section::new("Without queueing").table(UNLOADED_HEADERS, unloaded_statements(result)).paragraph(format!(
            "{:.1} arrivals per second for {:.0} s, which the database keeps up with also without indexes: the same \
             requests to all three, in turns. Mean: time in the server and its network.",
            result.unloaded.rate, result.unloaded.seconds
        )),
    ];
    if !result.exercises.is_empty() {
        sections.push(demo_exercise::section(&result.exercises));
    }
    let mut done = Section::new("What was done").paragraph(format!(
        "{} recommendations, found with {} planner calls on the planner twin in {:.1} s and applied in {:.1} s without \
         blocking writes. Workload cost: {:.0} before, {:.0} after.",
        result.advice.recommendations.len(),
        result.advice.planner_calls,
        result.advise_seconds,
        result.apply_seconds,
        result.advice.workload_cost_before,
        result.advice.workload_cost_after,
    ));
    for (recommendation, verification) in pairs(result) {
        done = done
            .subheading(format!("{}: {}", recommendation.id, recommendation.title))
            .paragraph(recommendation.rationale.clone())
            .code("sql", recommendation.sql.iter().map(|s| format!("{s};\n")).collect::<String>());
        let mut facts = vec![
            format!("Price: {}.", advise::price_text(&recommendation.price).unwrap_or_else(|| "none".into())),
            format!("Lock: {}", recommendation.lock_duration),
            format!("Undo: {}", recommendation.undo_sql.join("; ")),
        ];
        if let Some(v) = verification {
            facts.push(format!("Verified: {}. {}", verify::verdict_words(v.verdict), v.sentence));
            for index in &v.indexes {
                facts.push(format!("{}: {} built, {} scans.", index.name, index.bytes, index.idx_scan));
            }
        }
        done = done.list(facts);
    }
    sections.push(done);
    let mut plans = Section::new("Plans before and after");
    let mut shown = std::collections::BTreeSet::new();
    for effect in result.advice.recommendations.iter().flat_map(|r| &r.statements) {
        if shown.insert(effect.queryid) {
            plans =
                plans.subheading(format!("Statement {}", effect.queryid)).code("sql", effect.example.clone());
            for (word, value) in [("Before", &effect.plan_before), ("After", &effect.plan_after)] {
                if let Ok(plan) = plan::Plan::from_json(value) {
                    let style = plan::render::Style { width: 110, color: false };
                    plans = plans.paragraph(format!("{word}:")).code("", plan::render::tree(&plan, &style));
                }
            }
        }
    }
    sections.push(plans);
    sections.push(Section::new("Not recommended").table(
        &["candidate", "reason"],
        result.advice.rejected.iter().take(40).map(|r| vec![r.candidate.clone(), r.reason.clone()]).collect(),
    ));
    sections.push(
        Section::new("The textbook's indexes")
            .code("sql", result.textbook_sql.iter().map(|s| format!("{s};\n")).collect::<String>()),
    );
    sections.push(Section::new("Undo").paragraph(format!(
        "{} indexes were taken back by the journal; the schema dump afterwards {} the one before.",
        result.undo.undone,
        if result.undo.restores { "equals" } else { "differs from" }
    )));
    let mut data = figures(result);
    if let (Some(object), Ok(detail)) = (data.as_object_mut(), serde_json::to_value(result)) {
        object.insert("detail".into(), detail);
    }
    Report {
        title: "A slow database made fast".into(),
        schema: "demo-report",
        generated_at: chrono::Utc::now(),
        lead,
        sections,
        data,
    }
}
