//! What should somebody know who opens one page only?

use std::collections::BTreeMap;

use alerting::{Severity, StandingAlert};
use axum::response::Response;
use exporter::Exporter;
use maud::{Markup, html};

use super::figures::{bar, bytes, count, percent, rate, seconds};
use super::layout::{self, Page};
use super::past::{self, Past};
use super::samples::{sum, value};
use super::statements;
use super::{Visit, changed, tables};
use crate::Site;

/// Alerts that are shown.
const ALERTS: usize = 5;
/// Statements and waits that are shown.
const SHOWN: usize = 10;

pub(crate) async fn show(visit: Visit) -> Response {
    let site = &visit.site;
    let past = past::reader(site).await;
    let compared = match &past {
        Ok(Some((reader, to))) => changed::show(&visit, reader, &Past::of(&visit.wanted, *to)).await,
        Ok(None) if site.app.history.is_some() => {
            html! { p.note { "History is kept, and its first interval is not over yet." } }
        }
        Ok(None) => html! {
            p.note { "pgwright keeps no history here, so there is nothing to compare with: \"pgwright serve --history\" does. \
                      Below is what is known since it began to watch." }
        },
        Err(failure) => layout::failure(failure),
    };
    let body = html! {
        (attention(site))
        (cards(site))
        (compared)
        h2 { "Where time goes" }
        (busiest(site))
        h2 { "What sessions wait for" }
        (waits(&site.app.exporter))
    };
    visit.show(&Page { title: "Overview", place: "/", live: false }, &body)
}

/// Something that wants to be looked at, with where.
struct Notice {
    severe: bool,
    text: String,
    link: &'static str,
}

fn notices(site: &Site) -> Vec<Notice> {
    let exporter = &site.app.exporter;
    let mut found = firing(site);
    let mut note = |severe: bool, text: String, link: &'static str| found.push(Notice { severe, text, link });
    let blocked = sum(exporter, "postgres_blocked_sessions");
    if blocked > 0.0 {
        note(true, format!("{} sessions wait for a lock", count(blocked)), "/locks");
    }
    let invalid = sum(exporter, "postgres_invalid_indexes");
    if invalid > 0.0 {
        note(
            true,
            format!("{} indexes are invalid: every write pays for them, no query uses them", count(invalid)),
            "/indexes?only=invalid",
        );
    }
    let due = tables::sampled(site).iter().filter(|t| t.is_due()).count();
    if due > 0 {
        note(
            false,
            format!("autovacuum should have come to {due} {}", if due == 1 { "table" } else { "tables" }),
            "/tables?sort=dead&order=desc",
        );
    }
    let longest = exporter.samples("postgres_longest_idle_in_transaction_seconds");
    let longest = longest.iter().map(|s| s.value).fold(0.0, f64::max);
    if longest > 300.0 {
        note(
            false,
            format!("a session has been idle within a transaction for {}", seconds(longest)),
            "/locks",
        );
    }
    found
}

/// Alerts that fire and that nobody has silenced, the worst first.
fn firing(site: &Site) -> Vec<Notice> {
    let alerts = site.app.alerts.as_ref().map(|alerts| alerts.firing()).unwrap_or_default();
    let told = |alert: &StandingAlert| Notice {
        severe: alert.severity == Severity::Critical,
        text: format!("{}: {}", alert.severity.as_str(), alert.summary),
        link: "/alerts",
    };
    let mut found: Vec<Notice> = alerts.iter().take(ALERTS).map(told).collect();
    if alerts.len() > ALERTS {
        let text = format!("{} more alerts fire", alerts.len() - ALERTS);
        found.push(Notice { severe: false, text, link: "/alerts" });
    }
    found
}

fn attention(site: &Site) -> Markup {
    let notices = notices(site);
    html! {
        @if !notices.is_empty() {
            ul.notices aria-label="What wants to be looked at" { @for notice in notices {
                li { a class=(if notice.severe { "bad" } else { "warn" }) href=(notice.link) { (notice.text) } }
            } }
        }
    }
}

fn cards(site: &Site) -> Markup {
    let exporter = &site.app.exporter;
    let here = exporter.options().target.database();
    let of = |metric: &str| value(exporter, metric, Some(here)).unwrap_or(f64::NAN);
    let (hit, read) = (of("postgres_database_blocks_hit_total"), of("postgres_database_blocks_read_total"));
    let connections = sum(exporter, "postgres_connections");
    let allowed = value(exporter, "postgres_server_connections_allowed", None).unwrap_or(f64::NAN);
    let calls: f64 = sum(exporter, "postgres_statement_calls_total");
    let active = sum(exporter, "postgres_wait_seconds_total") / site.watched_seconds();
    let started = value(exporter, "postgres_server_start_timestamp_seconds", None);
    html! {
        ul.cards {
            li { "Executions per second" b { (rate(calls / site.watched_seconds())) } span.dim { "since pgwright watches" } }
            li { "Active sessions" b { (rate(active)) } span.dim { "on average" } }
            li { "Connections" b { (count(connections)) } span.dim { "of " (count(allowed)) } }
            li { "Cache hits" b { (percent(hit / (hit + read))) } span.dim { "of this database" } }
            li { "Size" b { (bytes(of("postgres_database_size_bytes"))) } span.dim { "of this database" } }
            li { "Server runs since" b { (tables::when(started.unwrap_or(f64::NAN))) } }
        }
    }
}

fn busiest(site: &Site) -> Markup {
    let mut rows = statements::since_begun(site);
    rows.sort_by(|a, b| b.seconds_per_hour.total_cmp(&a.seconds_per_hour));
    html! {
        p.dim {
            "The last " (seconds(site.watched_seconds())) ", since pgwright began to watch."
        }
        @if rows.is_empty() { p { "The statements were not read yet." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Statements" { table.stack {
                thead { tr {
                    th scope="col" { "Statement" } th.right scope="col" { "Time per hour" } th scope="col" { "Share" }
                    th.right scope="col" { "Calls/s" } th.right scope="col" { "P50" } th.right scope="col" { "P99" }
                } }
                tbody { @for row in rows.iter().take(SHOWN) { tr {
                    th scope="row" { (row.titled()) }
                    td.right data-label="Time per hour" { (seconds(row.seconds_per_hour)) }
                    td data-label="Share" { (bar(row.share)) " " (percent(row.share)) }
                    td.right data-label="Calls/s" { (rate(row.calls_per_second)) }
                    td.right data-label="P50" { (seconds(row.p50_seconds)) }
                    td.right data-label="P99" { (seconds(row.p99_seconds)) }
                } } }
            } }
            p { a href="/statements" { "All statements" } }
        }
    }
}

fn waits(exporter: &Exporter) -> Markup {
    // Of all databases together.
    let mut by_event: BTreeMap<String, f64> = BTreeMap::new();
    for s in &exporter.samples("postgres_wait_seconds_total") {
        let (kind, event) = (s.label("wait_event_type"), s.label("wait_event"));
        let name = if kind == event { event.to_owned() } else { format!("{kind}: {event}") };
        *by_event.entry(name).or_default() += s.value;
    }
    let mut waits: Vec<(String, f64)> = by_event.into_iter().collect();
    waits.sort_by(|a, b| b.1.total_cmp(&a.1));
    let total: f64 = waits.iter().map(|w| w.1).sum();
    html! {
        @if waits.is_empty() { p.dim { "No session was seen at work yet." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Waits" { table {
                thead { tr { th scope="col" { "Waits for" } th.right scope="col" { "Session time" } th scope="col" { "Share" } } }
                tbody { @for (name, waited) in waits.iter().take(SHOWN) { tr {
                    th scope="row" { (name) } td.right { (seconds(*waited)) } td { (bar(waited / total)) " " (percent(waited / total)) }
                } } }
            } }
            p.dim { "CPU: the session ran and waited for nothing." }
        }
    }
}
