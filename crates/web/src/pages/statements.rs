//! What do statements cost, and how long do they take?

use axum::http::StatusCode;
use axum::response::Response;
use chrono::Utc;
use history::{Sort, Spent, StatementBucket, StatementHistory, StatementKey};
use maud::{Markup, html};
use postgres::statistics::counters::texts;

use super::chart::{Chart, Line, Measure};
use super::figures::{bar, bytes, count, percent, rate, seconds};
use super::layout::{self, Page};
use super::listing::{Column, Listing, Wanted, by};
use super::past::{self, Past};
use super::plans;
use super::samples::{Rows, histograms};
use super::{Visit, link};
use crate::{Failure, Site};

const PLACE: &str = "/statements";
/// What is longer is cut in a table.
const TEXT_CHARS: usize = 160;
/// A block of PostgreSQL's.
const BLOCK_BYTES: f64 = 8192.0;
/// Waits that have a line of their own.
const WAITS: usize = 7;

/// A statement with what it did in some time.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub datname: String,
    pub queryid: String,
    pub text: String,
    /// Executions per second.
    pub calls_per_second: f64,
    pub rows_per_hour: f64,
    /// Execution time per hour, in seconds.
    pub seconds_per_hour: f64,
    pub share: f64,
    pub mean_seconds: f64,
    pub p50_seconds: f64,
    pub p99_seconds: f64,
    /// Blocks found in shared buffers among those looked for.
    pub hit_ratio: f64,
    pub read_bytes_per_hour: f64,
    pub temp_bytes_per_hour: f64,
    pub wal_bytes_per_hour: f64,
}

impl Row {
    /// Its name for a person: its text, or who is summed here.
    fn shown(&self) -> &str {
        match (self.text.as_str(), self.queryid.as_str()) {
            ("", "other") => "all other statements",
            ("", "pgwright") => "pgwright's own",
            ("", _) => "text not known",
            (text, _) => text,
        }
    }

    fn has_page(&self) -> bool {
        self.queryid.parse::<i64>().is_ok()
    }

    /// Where it is looked at alone.
    pub fn link(&self) -> String {
        link("/statement", &[("database", &self.datname), ("queryid", &self.queryid)])
    }

    pub fn titled(&self) -> Markup {
        let text: String = self.shown().chars().take(TEXT_CHARS).collect();
        let cut = if text.len() < self.shown().len() { "…" } else { "" };
        html! {
            @if self.has_page() { a.sql href=(self.link()) { (text) (cut) } } @else { span.dim { (text) } }
        }
    }
}

const COLUMNS: &[Column<Row>] = &[
    Column {
        key: "text",
        title: "Statement",
        meaning: "Its text with constants replaced",
        figures: false,
        order: |a, b| a.shown().cmp(b.shown()),
        cell: Row::titled,
    },
    Column {
        key: "time",
        title: "Time per hour",
        meaning: "Execution time within an hour",
        figures: true,
        order: |a, b| by(a.seconds_per_hour, b.seconds_per_hour),
        cell: |r| html! { (seconds(r.seconds_per_hour)) },
    },
    Column {
        key: "share",
        title: "Share",
        meaning: "Its part in the execution time of all statements",
        figures: true,
        order: |a, b| by(a.share, b.share),
        cell: |r| html! { (percent(r.share)) },
    },
    Column {
        key: "calls",
        title: "Calls/s",
        meaning: "Executions per second",
        figures: true,
        order: |a, b| by(a.calls_per_second, b.calls_per_second),
        cell: |r| html! { (rate(r.calls_per_second)) },
    },
    Column {
        key: "mean",
        title: "Mean",
        meaning: "Mean execution time, without the commit",
        figures: true,
        order: |a, b| by(a.mean_seconds, b.mean_seconds),
        cell: |r| html! { (seconds(r.mean_seconds)) },
    },
    Column {
        key: "p50",
        title: "P50",
        meaning: "Half of the executions were faster, the commit included; from samples",
        figures: true,
        order: |a, b| by(a.p50_seconds, b.p50_seconds),
        cell: |r| html! { (seconds(r.p50_seconds)) },
    },
    Column {
        key: "p99",
        title: "P99",
        meaning: "99 of 100 executions were faster, the commit included; from samples, where there are enough",
        figures: true,
        order: |a, b| by(a.p99_seconds, b.p99_seconds),
        cell: |r| html! { (seconds(r.p99_seconds)) },
    },
    Column {
        key: "rows",
        title: "Rows/h",
        meaning: "Rows returned or changed within an hour",
        figures: true,
        order: |a, b| by(a.rows_per_hour, b.rows_per_hour),
        cell: |r| html! { (count(r.rows_per_hour)) },
    },
    Column {
        key: "hit",
        title: "Cache hits",
        meaning: "Blocks found in shared buffers among those looked for",
        figures: true,
        order: |a, b| by(a.hit_ratio, b.hit_ratio),
        cell: |r| html! { (percent(r.hit_ratio)) },
    },
    Column {
        key: "read",
        title: "Read/h",
        meaning: "What was not found in shared buffers, within an hour",
        figures: true,
        order: |a, b| by(a.read_bytes_per_hour, b.read_bytes_per_hour),
        cell: |r| html! { (bytes(r.read_bytes_per_hour)) },
    },
    Column {
        key: "temp",
        title: "Temp/h",
        meaning: "Temporary files within an hour",
        figures: true,
        order: |a, b| by(a.temp_bytes_per_hour, b.temp_bytes_per_hour),
        cell: |r| html! { (bytes(r.temp_bytes_per_hour)) },
    },
    Column {
        key: "wal",
        title: "WAL/h",
        meaning: "Write-ahead log within an hour",
        figures: true,
        order: |a, b| by(a.wal_bytes_per_hour, b.wal_bytes_per_hour),
        cell: |r| html! { (bytes(r.wal_bytes_per_hour)) },
    },
];

/// Everything that is known of statements since pgwright began to watch.
pub(super) fn since_begun(site: &Site) -> Vec<Row> {
    let exporter = &site.app.exporter;
    let figures = Rows::read(
        exporter,
        ["datname", "queryid"],
        [
            "postgres_statement_calls_total",
            "postgres_statement_rows_total",
            "postgres_statement_execution_seconds_total",
            "postgres_statement_blocks_hit_total",
            "postgres_statement_blocks_read_total",
            "postgres_statement_temp_blocks_written_total",
            "postgres_statement_wal_bytes_total",
        ],
    );
    let mut texts = std::collections::HashMap::new();
    for sample in exporter.samples("postgres_statement_info") {
        let key = [sample.label("datname").to_owned(), sample.label("queryid").to_owned()];
        texts.insert(key, sample.label("query").to_owned());
    }
    let histograms = histograms(exporter);
    let watched_seconds = site.watched_seconds();
    let hours = watched_seconds / 3600.0;
    let total: f64 = figures.rows.values().map(|f| f[2]).sum();
    figures
        .rows
        .into_iter()
        .map(|(key, [calls, rows, exec, hit, read, temp, wal])| {
            let histogram = histograms.get(&key);
            let quantile = |q| histogram.map_or(f64::NAN, |h| h.quantile(q));
            Row {
                text: texts.remove(&key).unwrap_or_default(),
                calls_per_second: calls / watched_seconds,
                rows_per_hour: rows / hours,
                seconds_per_hour: exec / hours,
                share: exec / total,
                mean_seconds: exec / calls,
                p50_seconds: quantile(0.5),
                p99_seconds: quantile(0.99),
                hit_ratio: hit / (hit + read),
                read_bytes_per_hour: read * BLOCK_BYTES / hours,
                temp_bytes_per_hour: temp * BLOCK_BYTES / hours,
                wal_bytes_per_hour: wal / hours,
                datname: key[0].clone(),
                queryid: key[1].clone(),
            }
        })
        .collect()
}

/// Statements that are read of history.
const OF_HISTORY: usize = 200;

/// The order of the store that a column asks for.
fn order(wanted: &Wanted) -> Sort {
    match wanted.sort() {
        Some("calls") => Sort::Calls,
        Some("mean") => Sort::Mean,
        Some("p99") => Sort::P99,
        Some("rows") => Sort::Rows,
        Some("read") => Sort::Read,
        Some("temp") => Sort::Temp,
        Some("wal") => Sort::Wal,
        _ => Sort::Time,
    }
}

/// A statement of history as a row.
fn row_of(key: StatementKey, text: Option<String>, spent: &Spent, seconds: f64, total: f64) -> Row {
    let (f, hours) = (&spent.figures, seconds / 3600.0);
    Row {
        datname: key.datname,
        queryid: if key.queryid == 0 { "other".into() } else { key.queryid.to_string() },
        text: text.unwrap_or_default(),
        calls_per_second: spent.calls_per_hour / 3600.0,
        rows_per_hour: f.rows / hours,
        seconds_per_hour: spent.seconds_per_hour,
        share: spent.seconds_per_hour / total,
        mean_seconds: spent.mean_ms.unwrap_or(f64::NAN) / 1000.0,
        p50_seconds: past::value(spent.percentiles.p50),
        p99_seconds: past::value(spent.percentiles.p99),
        hit_ratio: f.blocks_hit / (f.blocks_hit + f.blocks_read),
        read_bytes_per_hour: f.blocks_read * BLOCK_BYTES / hours,
        temp_bytes_per_hour: f.temp_blocks * BLOCK_BYTES / hours,
        wal_bytes_per_hour: f.wal_bytes / hours,
    }
}

pub(crate) async fn list(visit: Visit) -> Response {
    let page = Page { title: "Statements", place: PLACE, live: false };
    let listing = Listing {
        path: PLACE,
        what: "statements",
        columns: COLUMNS,
        sorted_by: "time",
        wanted: &visit.wanted,
        text: |r| format!("{} {} {}", r.shown(), r.datname, r.queryid),
        own: |_| false,
    };
    let history = match past::reader(&visit.site).await {
        Ok(Some((reader, to))) => {
            let past = Past::of(&visit.wanted, to);
            let found = reader.statements(past.window, order(&visit.wanted), OF_HISTORY).await;
            Some((past, found.map_err(Failure::from)))
        }
        Ok(None) => None,
        Err(failure) => return visit.fail(StatusCode::SERVICE_UNAVAILABLE, &page, &failure),
    };
    let body = match history {
        Some((past, Ok(found))) => {
            let (total, seconds) = (found.statements_total, found.seconds);
            let sum: f64 = found.statements.iter().map(|(_, _, spent)| spent.seconds_per_hour).sum();
            let rows: Vec<Row> = found
                .statements
                .into_iter()
                .map(|(key, text, spent)| row_of(key, text, &spent, seconds, sum))
                .collect();
            html! {
                (past.choices(PLACE, &visit.wanted, false))
                p.dim {
                    (past::told(&found.window)) ". "
                    @if total > rows.len() {
                        "The " (rows.len()) " statements of " (total) " with most of what they are sorted by; shares are of these."
                    }
                }
                (listing.show(rows))
            }
        }
        Some((past, Err(failure))) => {
            html! { (past.choices(PLACE, &visit.wanted, false)) (layout::failure(&failure)) }
        }
        None => {
            let rows = since_begun(&visit.site);
            html! {
                p.dim {
                    "What statements did in the last " (seconds(visit.site.watched_seconds())) ", since pgwright began to watch. "
                    "The ones on which most time was spent are told apart, the others are summed."
                }
                @if rows.is_empty() { (nothing(&visit.site)) } @else { (listing.show(rows)) }
            }
        }
    };
    visit.show(&page, &body)
}

/// Why no statement is known.
fn nothing(site: &Site) -> Markup {
    let failures = site.app.exporter.samples("pgwright_collector_failures_total");
    let failed = failures.iter().any(|s| s.label("collector") == "statements");
    html! {
        div.note {
            @if failed {
                p { "The statements could not be read. pgwright needs pg_stat_statements, loaded and created in this database, \
                     and a role that may read it; \"pgwright doctor\" says what is missing." }
            } @else {
                p { "The statements were not read yet; they are every 30 seconds." }
            }
        }
    }
}

pub(crate) async fn one(visit: Visit) -> Response {
    let page = Page { title: "Statement", place: PLACE, live: false };
    let (database, queryid) = (visit.wanted.other("database"), visit.wanted.other("queryid"));
    let Ok(number) = queryid.parse::<i64>() else {
        let failure =
            Failure::new("the address names no statement").hint("It is linked from the list of statements.");
        return visit.fail(StatusCode::BAD_REQUEST, &page, &failure);
    };
    let row = since_begun(&visit.site).into_iter().find(|r| r.datname == database && r.queryid == queryid);
    let full = full_text(&visit, number).await;
    let past = past_of(&visit, number, database).await;
    let remembered = past.as_ref().and_then(|(_, history)| history.as_ref().ok());
    if row.is_none() && matches!(full, Ok(None)) && remembered.is_none() {
        let failure = Failure::new("this statement is not known")
            .detail("The server has forgotten it, or it is of another database.");
        return visit.fail(StatusCode::NOT_FOUND, &page, &failure);
    }
    let text = match &full {
        Ok(Some(text)) => Some(text.as_str()),
        _ => row.as_ref().map(|r| r.text.as_str()).or_else(|| remembered?.query.as_deref()),
    };
    let laid_out = text.and_then(sql::laid_out);
    let over_time = past.as_ref().map(|(past, history)| over_time(&visit, past, history.as_ref()));
    let body = html! {
        p.dim { "queryid " (queryid) " in database " (database) }
        @if let Err(failure) = &full { (layout::failure(failure)) }
        @if let Some(text) = laid_out.as_deref().or(text) { pre tabindex="0" { code { (text) } } }
        @match &row {
            Some(row) => (facts(&visit.site, row)),
            None if matches!(full, Ok(None)) => p { "The server has forgotten it; what history knows of it follows." },
            None => p { "It did nothing since pgwright began to watch, or not enough to be told apart from the others." },
        }
        (advice(&visit.site, number))
        @if let Some(over_time) = over_time { (over_time) }
    };
    visit.show(&page, &body)
}

async fn full_text(visit: &Visit, queryid: i64) -> Result<Option<String>, Failure> {
    let session = visit.site.live.session(&visit.site.app.exporter).await?;
    let mut found = None;
    texts(&session, &[queryid], |_, text| found = Some(text)).await?;
    Ok(found)
}

fn facts(site: &Site, row: &Row) -> Markup {
    let calls_per_hour = row.calls_per_second * 3600.0;
    html! {
        h2 { "Since pgwright began to watch, " (seconds(site.watched_seconds())) " ago" }
        ul.cards {
            li { "Time per hour" b { (seconds(row.seconds_per_hour)) } span.dim { (percent(row.share)) " of all" } }
            li { "Calls per second" b { (rate(row.calls_per_second)) } }
            li { "Mean" b { (seconds(row.mean_seconds)) } span.dim { "without the commit" } }
            li { "P50" b { (seconds(row.p50_seconds)) } span.dim { "with the commit" } }
            li { "P99" b { (seconds(row.p99_seconds)) } span.dim { "with the commit" } }
            li { "Rows per call" b { (rate(row.rows_per_hour / calls_per_hour)) } }
            li { "Cache hits" b { (percent(row.hit_ratio)) } span.dim { (bytes(row.read_bytes_per_hour / calls_per_hour)) " read per call" } }
            li { "Temporary files" b { (bytes(row.temp_bytes_per_hour / calls_per_hour)) } span.dim { "per call" } }
            li { "WAL" b { (bytes(row.wal_bytes_per_hour / calls_per_hour)) } span.dim { "per call" } }
        }
    }
}

/// Its history, where one is kept and knows it.
async fn past_of(
    visit: &Visit,
    queryid: i64,
    database: &str,
) -> Option<(Past, Result<StatementHistory, Failure>)> {
    let (reader, to) = match past::reader(&visit.site).await {
        Ok(found) => found?,
        Err(failure) => return Some((Past::of(&visit.wanted, Utc::now()), Err(failure))),
    };
    let past = Past::of(&visit.wanted, to);
    let history = reader.statement(queryid, Some(database), past.window).await.map_err(Failure::from);
    Some((past, history))
}

fn over_time(visit: &Visit, past: &Past, history: Result<&StatementHistory, &Failure>) -> Markup {
    let choices = past.choices("/statement", &visit.wanted, false);
    let history = match history {
        Ok(history) => history,
        Err(failure) => return html! { h2 { "Over time" } (choices) (layout::failure(failure)) },
    };
    let gap = past.gap(history.level);
    let line = |name: &str, part: &dyn Fn(&StatementBucket) -> f64| Line {
        name: name.to_owned(),
        // Where it was not called there is nothing to tell.
        points: history.buckets.iter().map(|b| (b.at, part(b))).filter(|p| p.1.is_finite()).collect(),
    };
    let latency = vec![
        line("P50", &|b| past::value(b.spent.percentiles.p50)),
        line("P95", &|b| past::value(b.spent.percentiles.p95)),
        line("P99", &|b| past::value(b.spent.percentiles.p99)),
        line("mean, without the commit", &|b| b.spent.mean_ms.unwrap_or(f64::NAN) / 1000.0),
    ];
    let waits = history
        .waits
        .iter()
        .take(WAITS)
        .map(|wait| line(&wait.event, &|b| b.active_sessions.get(&wait.event).copied().unwrap_or(0.0)));
    let in_window = |plan: &&history::StatementPlan| plan.at >= history.window.from;
    let mark = history.plans.iter().skip(1).rfind(in_window).map(|plan| (plan.at, "another plan"));
    let waited: f64 = history.waits.iter().map(|w| w.active_seconds).sum();
    html! {
        h2 { "Over time" }
        (choices)
        p.dim { (past::told(&history.window)) "; by users " (history.users.join(", ")) "." }
        div.charts {
            (Chart { title: "Latency", lines: latency, measure: Measure::Seconds, gap, mark }.draw())
            (Chart { title: "Time per hour", lines: vec![line("execution", &|b| b.spent.seconds_per_hour)], measure: Measure::Seconds, gap, mark: None }.draw())
            (Chart { title: "Calls per second", lines: vec![line("calls", &|b| b.spent.calls_per_hour / 3600.0)], measure: Measure::Number, gap, mark: None }.draw())
            (Chart { title: "Sessions that ran it, by what they waited for", lines: waits.collect(), measure: Measure::Number, gap, mark: None }.draw())
        }
        (plans::section(&history.plans))
        @if history.by_user.len() > 1 { (by_user(history)) }
        @if !history.waits.is_empty() {
            h2 { "Waits" }
            div.scroll tabindex="0" role="region" aria-label="Waits" { table {
                thead { tr { th scope="col" { "Waits for" } th.right scope="col" { "Session time" } th scope="col" { "Share" } } }
                tbody { @for wait in &history.waits { tr {
                    th scope="row" { (wait.event) } td.right { (seconds(wait.active_seconds)) }
                    td { (bar(wait.active_seconds / waited)) " " (percent(wait.active_seconds / waited)) }
                } } }
            } }
        }
    }
}

/// What the calls of each user took.
fn by_user(history: &StatementHistory) -> Markup {
    html! {
        h2 { "By user" }
        div.scroll tabindex="0" role="region" aria-label="By user" { table {
            thead { tr {
                th scope="col" { "User" } th scope="col" { "Database" }
                th.right scope="col" { "Time per hour" } th.right scope="col" { "Calls per hour" } th.right scope="col" { "Mean" }
                th.right scope="col" { "P50" } th.right scope="col" { "P95" } th.right scope="col" { "P99" }
            } }
            tbody { @for user in &history.by_user { tr {
                th scope="row" { @if user.rolname.is_empty() { span.dim { "not known" } } @else { (user.rolname) } }
                td { (user.datname) }
                td.right { (seconds(user.spent.seconds_per_hour)) }
                td.right { (rate(user.spent.calls_per_hour)) }
                td.right { (seconds(user.spent.mean_ms.unwrap_or(f64::NAN) / 1000.0)) }
                td.right { (past::percentile(user.spent.percentiles.p50)) }
                td.right { (past::percentile(user.spent.percentiles.p95)) }
                td.right { (past::percentile(user.spent.percentiles.p99)) }
            } } }
        } }
    }
}

/// What is recommended that changes this statement.
fn advice(site: &Site, queryid: i64) -> Markup {
    let advised = site.advised();
    let nothing =
        matches!(site.fixes.of(queryid), crate::fixes::Told::Nothing(_)) || site.advice.result().is_some();
    let found: Vec<_> = advised
        .iter()
        .flat_map(|a| &a.recommendations)
        .filter_map(|r| Some((r, r.statements.iter().find(|s| s.queryid == queryid)?)))
        .collect();
    html! {
        h2 { "Advice" }
        @match (nothing, found.is_empty()) {
            (false, true) => p { a href="/recommendations" { "Recommendations" } " were not computed yet." },
            (true, true) => p { "Nothing is recommended for it." },
            (_, false) => ul { @for (r, effect) in found { li {
                a href={ "/recommendations#r-" (r.id) } { (r.title) }
                ": mean from " (effect.mean_ms) " to an expected " (effect.expected_ms)
            } } },
        }
    }
}
