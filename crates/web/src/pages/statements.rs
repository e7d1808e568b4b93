//! What do statements cost, and how long do they take?

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use postgres::statistics::counters::texts;

use super::figures::{bytes, count, percent, rate, seconds};
use super::layout::Page;
use super::listing::{Column, Listing, by};
use super::samples::{Rows, histograms};
use super::{Visit, link};
use crate::{Failure, Site};

const PLACE: &str = "/statements";
/// What is longer is cut in a table.
const TEXT_CHARS: usize = 160;
/// A block of PostgreSQL's.
const BLOCK_BYTES: f64 = 8192.0;

/// A statement with what it did since pgwright began to watch.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub datname: String,
    pub queryid: String,
    pub text: String,
    /// Executions per second.
    pub calls_per_second: f64,
    pub calls: f64,
    pub rows: f64,
    /// Execution time per hour, in seconds.
    pub seconds_per_hour: f64,
    pub share: f64,
    pub mean_seconds: f64,
    pub p50_seconds: f64,
    pub p99_seconds: f64,
    /// Blocks found in shared buffers among those looked for.
    pub hit_ratio: f64,
    pub read_bytes: f64,
    pub temp_bytes: f64,
    pub wal_bytes: f64,
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
        title: "Rows/call",
        meaning: "Rows returned or changed by an execution",
        figures: true,
        order: |a, b| by(a.rows / a.calls, b.rows / b.calls),
        cell: |r| html! { (rate(r.rows / r.calls)) },
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
        title: "Read/call",
        meaning: "What was not found in shared buffers, per execution",
        figures: true,
        order: |a, b| by(a.read_bytes / a.calls, b.read_bytes / b.calls),
        cell: |r| html! { (bytes(r.read_bytes / r.calls)) },
    },
    Column {
        key: "temp",
        title: "Temp/call",
        meaning: "What was written to temporary files, per execution",
        figures: true,
        order: |a, b| by(a.temp_bytes / a.calls, b.temp_bytes / b.calls),
        cell: |r| html! { (bytes(r.temp_bytes / r.calls)) },
    },
    Column {
        key: "wal",
        title: "WAL/call",
        meaning: "Write-ahead log per execution",
        figures: true,
        order: |a, b| by(a.wal_bytes / a.calls, b.wal_bytes / b.calls),
        cell: |r| html! { (bytes(r.wal_bytes / r.calls)) },
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
                calls,
                rows,
                seconds_per_hour: exec / watched_seconds * 3600.0,
                share: exec / total,
                mean_seconds: exec / calls,
                p50_seconds: quantile(0.5),
                p99_seconds: quantile(0.99),
                hit_ratio: hit / (hit + read),
                read_bytes: read * BLOCK_BYTES,
                temp_bytes: temp * BLOCK_BYTES,
                wal_bytes: wal,
                datname: key[0].clone(),
                queryid: key[1].clone(),
            }
        })
        .collect()
}

pub(crate) async fn list(visit: Visit) -> Response {
    let rows = since_begun(&visit.site);
    let listing = Listing {
        path: PLACE,
        what: "statements",
        columns: COLUMNS,
        sorted_by: "time",
        wanted: &visit.wanted,
        text: |r| format!("{} {} {}", r.shown(), r.datname, r.queryid),
    };
    let body = html! {
        p.dim {
            "What statements did in the last " (seconds(visit.site.watched_seconds())) ", since pgwright began to watch. "
            "The ones on which most time was spent are told apart, the others are summed."
        }
        @if rows.is_empty() { (nothing(&visit.site)) } @else { (listing.show(rows)) }
    };
    visit.show(&Page { title: "Statements", place: PLACE, live: false }, &body)
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
    if row.is_none() && matches!(full, Ok(None)) {
        let failure = Failure::new("this statement is not known")
            .detail("The server has forgotten it, or it is of another database.");
        return visit.fail(StatusCode::NOT_FOUND, &page, &failure);
    }
    let text = match &full {
        Ok(Some(text)) => Some(text.as_str()),
        _ => row.as_ref().map(|r| r.text.as_str()),
    };
    let laid_out = text.and_then(sql::laid_out);
    let body = html! {
        p.dim { "queryid " (queryid) " in database " (database) }
        @if let Err(failure) = &full { (super::layout::failure(failure)) }
        @if let Some(text) = laid_out.as_deref().or(text) { pre tabindex="0" { code { (text) } } }
        @match &row {
            Some(row) => (facts(&visit.site, row)),
            None => p { "It did nothing since pgwright began to watch, or not enough to be told apart from the others." },
        }
    };
    visit.show(&page, &body)
}

async fn full_text(visit: &Visit, queryid: i64) -> Result<Option<String>, Failure> {
    let session = visit.site.live.session(&visit.site.app.exporter).await?;
    Ok(texts(&session, &[queryid]).await?.remove(&queryid))
}

fn facts(site: &Site, row: &Row) -> Markup {
    html! {
        h2 { "Since pgwright began to watch, " (seconds(site.watched_seconds())) " ago" }
        ul.cards {
            li { "Time per hour" b { (seconds(row.seconds_per_hour)) } span.dim { (percent(row.share)) " of all" } }
            li { "Calls" b { (count(row.calls)) } span.dim { (rate(row.calls_per_second)) " per second" } }
            li { "Mean" b { (seconds(row.mean_seconds)) } span.dim { "without the commit" } }
            li { "P50" b { (seconds(row.p50_seconds)) } span.dim { "with the commit" } }
            li { "P99" b { (seconds(row.p99_seconds)) } span.dim { "with the commit" } }
            li { "Rows per call" b { (rate(row.rows / row.calls)) } }
            li { "Cache hits" b { (percent(row.hit_ratio)) } span.dim { (bytes(row.read_bytes / row.calls)) " read per call" } }
            li { "Temporary files" b { (bytes(row.temp_bytes / row.calls)) } span.dim { "per call" } }
            li { "WAL" b { (bytes(row.wal_bytes / row.calls)) } span.dim { "per call" } }
        }
    }
}
