//! How is what logs say put before a person?

use chrono::{DateTime, Utc};
use logs::{LatencyReport, Report as Logs, StatementReport};
use model::{Finding, Millis, Percentile};
use plan::Thresholds;
use serde::Serialize;

use crate::error::CommandError;
use crate::printer::{count, one_line};
use crate::report::document::{Report, Section};

/// Hours that are listed; the JSON format has all.
const MAX_HOURS: usize = 72;

/// What a plan of auto_explain shows.
#[derive(Serialize)]
struct PlanFindings<'a> {
    id: &'a str,
    findings: Vec<Finding>,
}

/// The report; `whole` with texts and plans, which are too long for a terminal.
pub(super) fn of(
    logs: &Logs,
    thresholds: &Thresholds,
    generated_at: DateTime<Utc>,
    whole: bool,
) -> Result<Report, CommandError> {
    let plans: Vec<PlanFindings<'_>> = logs
        .statements
        .iter()
        .filter_map(|s| {
            let logged = s.plan.as_ref()?;
            let plan = plan::input::find_in(&logged.text).ok()?.plans.first()?.plan().ok()?;
            Some(PlanFindings { id: &s.id, findings: plan::checks::run(&plan, thresholds) })
        })
        .collect();
    let mut data = serde_json::to_value(logs)
        .map_err(|e| CommandError::new("could not write the result as JSON").detail(e.to_string()))?;
    if let Some(object) = data.as_object_mut() {
        let plans = serde_json::to_value(&plans)
            .map_err(|e| CommandError::new("could not write the result as JSON").detail(e.to_string()))?;
        object.insert("plan_findings".into(), plans);
    }
    let mut sections = vec![statements(logs), slowest(logs)];
    sections.extend(plan_section(logs, &plans, whole));
    sections.extend([errors(logs), locks(logs), temporary(logs), checkpoints(logs), autovacuum(logs)]);
    sections.extend([connections(logs), hours(logs), events(logs)]);
    if whole {
        sections.push(texts(logs));
    }
    sections.retain(|s| !s.blocks.is_empty());
    Ok(Report {
        title: "What the logs say".into(),
        generated_at,
        lead: lead(logs),
        sections,
        schema: "logs",
        data,
    })
}

fn lead(logs: &Logs) -> String {
    let bytes = model::Bytes(logs.files.iter().map(|f| f.bytes).sum());
    let mut text = match (&logs.first, &logs.last) {
        (Some(first), Some(last)) => {
            format!("From {first} to {last} {}, {}.", logs.time_zone, Millis(logs.seconds * 1000.0))
        }
        _ => "No times are known.".to_owned(),
    };
    text.push_str(&format!(" {} in {} ({bytes}).", entries(logs.entries), count(logs.files.len(), "file")));
    if logs.left_out > 0 {
        text.push_str(&format!(" {} left out.", entries(logs.left_out)));
    }
    for file in logs.files.iter().filter(|file| file.cut_off) {
        text.push_str(&format!(
            " The compressed data of \"{}\" are cut off: what comes before is counted.",
            file.path.display()
        ));
    }
    for file in logs.files.iter().filter(|file| file.other_language) {
        text.push_str(&format!(
            " Messages in \"{}\" are not in English, and nothing of those is counted: lc_messages = 'C' makes the server \
             write English ones.",
            file.path.display()
        ));
    }
    if logs.unread_lines > 0 {
        let example = logs.first_unread_line.as_deref().unwrap_or_default();
        text.push_str(&format!(
            " {} lines belong to no entry, the first: {}",
            logs.unread_lines,
            one_line(example, 80)
        ));
    }
    text
}

fn entries(number: u64) -> String {
    format!("{number} {}", if number == 1 { "entry" } else { "entries" })
}

fn percentile(of: Option<Percentile>) -> String {
    of.map_or_else(|| "-".into(), |p| p.value.to_string())
}

fn optional(of: Option<Millis>) -> String {
    of.map_or_else(|| "-".into(), |ms| ms.to_string())
}

fn latency(of: &LatencyReport) -> Vec<String> {
    vec![percentile(of.p50), percentile(of.p95), percentile(of.p99), optional(of.max_ms)]
}

fn statements(logs: &Logs) -> Section {
    let section = Section::new("Statements by time");
    if logs.statements.is_empty() {
        return section.paragraph(
            "None were logged. log_min_duration_statement logs those that take longer than a threshold, \
             log_min_duration_sample a part of the others.",
        );
    }
    let all = logs.durations.total_ms.0.max(f64::MIN_POSITIVE);
    let rows = logs
        .statements
        .iter()
        .map(|s| {
            let mut row = vec![
                s.id.clone(),
                format!("{:.1} %", s.durations.total_ms.0 / all * 100.0),
                s.durations.total_ms.to_string(),
                (s.durations.calls + s.unmeasured).to_string(),
                optional(s.durations.mean_ms),
            ];
            row.extend(latency(&s.durations));
            row.push(one_line(&s.text, 160));
            row
        })
        .collect();
    let mut section = section.table(
        &["id", ">share", ">total", ">calls", ">mean", ">P50", ">P95", ">P99", ">max", "statement"],
        rows,
    );
    let total = &logs.durations;
    let mut sum = format!(
        "All {} measured statements: {}, mean {}, P50 {}, P95 {}, P99 {}, max {}; {} different ones.",
        total.calls,
        total.total_ms,
        optional(total.mean_ms),
        percentile(total.p50),
        percentile(total.p95),
        percentile(total.p99),
        optional(total.max_ms),
        logs.statements_told_apart as u64 + logs.beyond,
    );
    if logs.unmeasured > 0 {
        sum.push_str(&format!(" {} more were logged without a duration.", logs.unmeasured));
    }
    if logs.unnamed.calls > 0 {
        sum.push_str(&format!(
            " {} durations ({}) were logged without their statement.",
            logs.unnamed.calls, logs.unnamed.total_ms
        ));
    }
    if logs.beyond > 0 {
        sum.push_str(&format!(
            " {} of the different statements took little and were counted together: {}.",
            logs.beyond, logs.beyond_durations.total_ms
        ));
    }
    section = section.paragraph(sum);
    section.paragraph(
        "A percentile is left out where there are too few executions for it. The time of a commit is not in the log where \
         clients use the extended protocol.",
    )
}

fn slowest(logs: &Logs) -> Section {
    let section = Section::new("Slowest executions");
    if logs.slowest.is_empty() {
        return section;
    }
    let rows = logs
        .slowest
        .iter()
        .map(|e| {
            vec![
                e.duration_ms.to_string(),
                e.at.clone().unwrap_or_default(),
                e.database.clone(),
                e.user.clone(),
                e.id.clone(),
                one_line(&e.text, 160),
            ]
        })
        .collect();
    section.table(&[">duration", "at", "database", "user", "id", "statement"], rows)
}

fn plan_section(logs: &Logs, plans: &[PlanFindings<'_>], whole: bool) -> Option<Section> {
    let mut section = Section::new("Plans of auto_explain");
    for StatementReport { id, plan, .. } in &logs.statements {
        let Some(logged) = plan else { continue };
        section = section.subheading(format!(
            "Statement {id}: the slowest of {}, {}",
            count(usize::try_from(logged.plans).unwrap_or(usize::MAX), "plan"),
            logged.duration_ms
        ));
        let found: Vec<String> = plans
            .iter()
            .find(|p| p.id == id)
            .map(|p| p.findings.iter().map(|f| format!("{}: {}", f.check, f.summary)).collect())
            .unwrap_or_default();
        if !found.is_empty() {
            section = section.list(found);
        }
        if whole {
            section = section.code("", logged.text.clone());
        }
    }
    (!section.blocks.is_empty()).then_some(section)
}

fn errors(logs: &Logs) -> Section {
    let section = Section::new("Errors and warnings");
    if logs.errors.is_empty() {
        return section.paragraph("None.");
    }
    let rows = logs
        .errors
        .iter()
        .map(|e| {
            vec![
                e.count.to_string(),
                e.severity.to_owned(),
                e.sqlstate.clone(),
                one_line(&e.message, 120),
                e.last.clone().unwrap_or_default(),
                one_line(&e.statement, 100),
            ]
        })
        .collect();
    let section =
        section.table(&[">count", "severity", "SQLSTATE", "first message", "last at", "statement"], rows);
    match logs.errors_beyond {
        0 => section,
        beyond => section.paragraph(format!("{beyond} more of other classes.")),
    }
}

fn locks(logs: &Logs) -> Section {
    let section = Section::new("Waits for locks");
    if logs.locks.is_empty() {
        return section;
    }
    let rows = logs
        .locks
        .iter()
        .map(|l| {
            let mut row = vec![
                l.mode.clone(),
                l.object.clone(),
                l.waits.calls.to_string(),
                l.waits.total_ms.to_string(),
            ];
            row.extend(latency(&l.waits));
            row.push(l.reports.to_string());
            row
        })
        .collect();
    section.table(
        &["lock", "on", ">ended waits", ">total", ">P50", ">P95", ">P99", ">max", ">still waiting reports"],
        rows,
    )
}

fn temporary(logs: &Logs) -> Section {
    let section = Section::new("Temporary files");
    let of = logs.temporary_files;
    if of.files == 0 {
        return section;
    }
    let mut section =
        section.paragraph(format!("{} files, {} in all, the largest {}.", of.files, of.bytes, of.largest));
    let mut by: Vec<&StatementReport> = logs.statements.iter().filter(|s| s.temporary_files > 0).collect();
    by.sort_by(|a, b| b.temporary_bytes.cmp(&a.temporary_bytes).then_with(|| a.id.cmp(&b.id)));
    if !by.is_empty() {
        let rows = by
            .iter()
            .map(|s| {
                vec![
                    s.temporary_bytes.to_string(),
                    s.temporary_files.to_string(),
                    s.id.clone(),
                    one_line(&s.text, 160),
                ]
            })
            .collect();
        section = section.table(&[">size", ">files", "id", "statement"], rows);
    }
    section
}

fn checkpoints(logs: &Logs) -> Section {
    let section = Section::new("Checkpoints");
    let of = &logs.checkpoints;
    if of.completed == 0 && of.causes.is_empty() {
        return section;
    }
    let number = of.completed.max(1) as f64;
    let causes: Vec<String> = of.causes.iter().map(|(cause, n)| format!("{cause} {n}")).collect();
    let mut text = format!(
        "{} completed ({}); {} buffers written; on average {:.1} s, the longest {:.1} s ({:.1} s of all was syncing); WAL between two: {}.",
        of.completed,
        causes.join(", "),
        of.buffers,
        of.total_seconds / number,
        of.longest_seconds,
        of.sync_seconds,
        model::Bytes((of.distance.0 as f64 / number) as u64),
    );
    if of.too_frequent > 0 {
        text.push_str(&format!(
            " The server warned {} times that they come too frequently: raise max_wal_size.",
            of.too_frequent
        ));
    }
    section.paragraph(text)
}

fn autovacuum(logs: &Logs) -> Section {
    let section = Section::new("Autovacuum");
    if logs.autovacuum.is_empty() {
        return section;
    }
    let rows = logs
        .autovacuum
        .iter()
        .map(|u| {
            vec![
                u.table.clone(),
                u.vacuums.to_string(),
                format!("{:.1} s", u.vacuum_seconds),
                format!("{:.1} s", u.longest_vacuum_seconds),
                u.tuples_removed.to_string(),
                u.tuples_not_removable.to_string(),
                u.against_wraparound.to_string(),
                u.analyzes.to_string(),
                format!("{:.1} s", u.analyze_seconds),
            ]
        })
        .collect();
    section.table(
        &[
            "table",
            ">vacuums",
            ">time",
            ">longest",
            ">rows removed",
            ">not removable at last",
            ">against wraparound",
            ">analyzes",
            ">time",
        ],
        rows,
    )
}

fn connections(logs: &Logs) -> Section {
    let section = Section::new("Connections");
    let of = &logs.connections;
    if of.received == 0 && of.authorized == 0 && of.disconnections == 0 {
        return section;
    }
    let mut text =
        format!("{} attempts, {} authorized, {} ended.", of.received, of.authorized, of.disconnections);
    if of.sessions.calls > 0 {
        text.push_str(&format!(
            " Sessions lasted {} on average, half of them less than {}.",
            optional(of.sessions.mean_ms),
            percentile(of.sessions.p50)
        ));
    }
    let section = section.paragraph(text);
    if of.by.is_empty() {
        return section;
    }
    let rows =
        of.by.iter().map(|(user, database, n)| vec![n.to_string(), user.clone(), database.clone()]).collect();
    section.table(&[">authorized", "user", "database"], rows)
}

fn hours(logs: &Logs) -> Section {
    let section = Section::new("Hour by hour");
    if logs.hours.is_empty() {
        return section;
    }
    let beyond = logs.hours.len().saturating_sub(MAX_HOURS);
    let rows = logs
        .hours
        .iter()
        .skip(beyond)
        .map(|h| {
            let mut row =
                vec![h.hour.clone(), h.durations.calls.to_string(), h.durations.total_ms.to_string()];
            row.extend(latency(&h.durations));
            row.extend([
                h.errors.to_string(),
                h.connections.to_string(),
                h.lock_waits.to_string(),
                h.temporary_bytes.to_string(),
                h.checkpoints.to_string(),
            ]);
            row
        })
        .collect();
    let section = section.table(
        &[
            "hour",
            ">statements",
            ">total",
            ">P50",
            ">P95",
            ">P99",
            ">max",
            ">errors",
            ">connections",
            ">lock waits",
            ">temporary",
            ">checkpoints",
        ],
        rows,
    );
    if beyond > 0 {
        return section.paragraph(format!("The {} before are in the JSON format.", count(beyond, "hour")));
    }
    section
}

fn events(logs: &Logs) -> Section {
    let section = Section::new("Starts, stops and crashes");
    if logs.events.is_empty() {
        return section;
    }
    let rows = logs
        .events
        .iter()
        .map(|e| vec![e.at.clone().unwrap_or_default(), one_line(&e.message, 160)])
        .collect();
    section.table(&["at", "message"], rows)
}

/// The whole texts, for those who want to run them.
fn texts(logs: &Logs) -> Section {
    let mut section = Section::new("Texts");
    for s in &logs.statements {
        section = section.subheading(format!("Statement {}", s.id)).code("sql", s.text.clone());
        if let Some(slowest) = &s.slowest {
            section = section.paragraph(format!("Slowest execution: {}", slowest.duration_ms));
            section = section.code("sql", slowest.text.clone());
            if !slowest.parameters.is_empty() {
                section = section.paragraph(format!("With {}", slowest.parameters));
            }
        }
    }
    section
}
