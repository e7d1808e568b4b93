//! What got slower since when, what does it cost, and why may that be? Statements of two windows of history side by side.

use std::time::Duration;

use apply::JournalEntry;
use chrono::TimeDelta;
use history::{Overview, Reader, Spent, StatementChange, Window};
use maud::{Markup, html};

use super::chart::{Chart, Line, Measure};
use super::figures::{ago, bytes, count, percent, rate, seconds, written};
use super::past::{Past, percentile, told};
use super::plans::{self, Flip};
use super::{Visit, layout, link, past};
use crate::fixes::Told;
use crate::{Failure, Site};

/// Statements that are shown.
const SHOWN: usize = 12;
/// How long the journal is waited for: history may be of another server than the one that hangs.
const JOURNAL: Duration = Duration::from_secs(2);
/// Waits that have a line of their own.
const WAITS: usize = 7;
/// How much more of something is worth telling.
const MORE: f64 = 1.3;
/// A plan is looked at every five minutes: a change explains one of times that is not much further away.
const PLAN_CHANGES_WITHIN: TimeDelta = TimeDelta::minutes(20);
/// The share of the lost time from which waits explain it.
const WAITS_EXPLAIN: f64 = 0.3;

/// The screen of the overview for who keeps history.
pub(super) async fn show(visit: &Visit, reader: &Reader, past: &Past) -> Markup {
    let target = &visit.site.app.exporter.options().target;
    let journal = tokio::time::timeout(JOURNAL, apply::journal(target));
    let (compared, journal, charts) =
        tokio::join!(compare(reader, past), journal, charts(&visit.site, reader, past));
    let journal = journal.ok().and_then(Result::ok).unwrap_or_default();
    html! {
        (past.choices("/", &visit.wanted, true))
        @match &compared {
            Ok(Compared { overview, halves }) => {
                @if *halves { p.note { "History is younger than that: its later half is compared with its earlier half." } }
                (what_changed(&visit.site, overview, &journal))
            },
            Err(failure) => (layout::failure(failure)),
        }
        h2 { "Over time" }
        (charts)
    }
}

/// Statements now and before.
pub(crate) struct Compared {
    pub overview: Overview,
    /// Whether history is too young, and its halves are compared.
    pub halves: bool,
}

/// What the overview shows of whoever asks for nothing else; nothing where there is no history.
pub(crate) async fn usual(site: &Site) -> Result<Option<Compared>, Failure> {
    match past::reader(site).await? {
        Some((reader, to)) => Ok(Some(compare(reader, &Past::usual(to)).await?)),
        None => Ok(None),
    }
}

async fn compare(reader: &Reader, past: &Past) -> Result<Compared, Failure> {
    let overview = reader.overview(past.window, past.reference(), SHOWN).await?;
    let halves = Some(&overview).filter(|_| past.reference().is_none()).and_then(halves);
    Ok(match halves {
        Some((earlier, later)) => {
            Compared { overview: reader.overview(later, Some(earlier), SHOWN).await?, halves: true }
        }
        None => Compared { overview, halves: false },
    })
}

/// The two halves of what there is, where there is nothing before it to compare with.
fn halves(overview: &Overview) -> Option<(Window, Window)> {
    let Window { from, to } = overview.window;
    if overview.reference_seconds > 0.0 || to - from < TimeDelta::seconds(20) {
        return None;
    }
    let middle = from + (to - from) / 2;
    Some((Window { from, to: middle }, Window { from: middle, to }))
}

fn what_changed(site: &Site, overview: &Overview, journal: &[JournalEntry]) -> Markup {
    let (now, before) = (overview.seconds_per_hour, overview.reference_seconds_per_hour);
    let changed: Vec<&JournalEntry> = journal
        .iter()
        .filter(|e| e.created_at >= overview.reference.from && e.created_at < overview.window.to)
        .collect();
    html! {
        h2 { "What got slower" }
        p {
            "Statements take " strong { (seconds(now)) } " per hour"
            @if overview.reference_seconds > 0.0 {
                ", " (seconds(before)) " before"
                @if before > 0.0 { " (" (signed(now / before - 1.0)) ")" }
            }
            ". " span.dim { (told(&overview.window)) ", compared with " (told(&overview.reference)) "." }
        }
        @if overview.reference_seconds == 0.0 { p.note { "There is no history of the time that it is to be compared with." } }
        @if !changed.is_empty() {
            p { "Changed by pgwright in that time: "
                @for entry in changed {
                    a href={ "/journal#entry-" (entry.entry_id) } { (entry.title) } " (" (entry.status) ", " (ago(entry.created_at)) ") "
                }
            }
        }
        @if overview.statements.is_empty() { p { "No statement was seen in either." } }
        @else { (table(site, overview)) }
    }
}

fn signed(share: f64) -> String {
    if share >= 0.0 { format!("+{}", percent(share)) } else { format!("−{}", percent(-share)) }
}

/// Seconds per hour, with their sign.
fn lost(value: f64) -> Markup {
    let class = match value {
        v if v >= 0.05 => Some("bad"),
        v if v <= -0.05 => Some("good"),
        _ => None,
    };
    let sign = if value < 0.0 { "−" } else { "+" };
    html! { span class=[class] { (sign) (seconds(value.abs())) } }
}

fn table(site: &Site, overview: &Overview) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="What got slower" { table.stack {
            thead { tr {
                th scope="col" { "Statement, likely cause and fix" }
                th.right scope="col" title="Seconds of execution per hour lost to longer executions, at the calls of now, and since when" { "Slower, per hour" }
                th.right scope="col" title="Before → now" { "P50" }
                th.right scope="col" title="Before → now" { "P99" }
                th.right scope="col" title="Before → now" { "Mean" }
                th.right scope="col" title="Before → now, and the seconds of execution per hour due to more or fewer calls" { "Calls per hour" }
                th scope="col" { "Plan" }
                th scope="col" title="What its sessions were seen at, in session time per hour" { "Waits for, per hour" }
            } }
            tbody { @for change in &overview.statements { (row(site, overview, change)) } }
        } }
        @if overview.statements_total > overview.statements.len() {
            p.dim { "Those with the largest change of " (overview.statements_total) ". " a href="/statements" { "All statements" } }
        }
    }
}

fn row(site: &Site, overview: &Overview, change: &StatementChange) -> Markup {
    let comparable = overview.reference_seconds > 0.0;
    let flip = plans::flips(&change.plans, overview.reference.from).pop();
    let cause = cause(change, flip.as_ref());
    html! { tr {
        th scope="row" {
            (named(change))
            @if let Some(cause) = cause { div.why { span.dim { "Likely cause: " } (cause) } }
            div.why { span.dim { "Fix: " } (fix(site, change)) }
        }
        td.right data-label="Slower, per hour" {
            @match change.slower_seconds_per_hour {
                Some(value) => (lost(value)),
                None if comparable => "new",
                None => span.dim title="There is nothing to compare with" { "–" },
            }
            @if let Some(at) = change.since {
                div.dim { "since " time datetime=(at.to_rfc3339()) title=(written(at)) { (at.format("%d %b %H:%M")) } }
            }
        }
        td.right data-label="P50" { (pair(change, |s| percentile(s.percentiles.p50))) }
        td.right data-label="P99" { (pair(change, |s| percentile(s.percentiles.p99))) }
        td.right data-label="Mean" { (pair(change, |s| html! { (seconds(s.mean_ms.unwrap_or(f64::NAN) / 1000.0)) })) }
        td.right data-label="Calls per hour" {
            (pair(change, |s| html! { (rate(s.calls_per_hour)) }))
            div.dim title="Seconds of execution per hour due to more or fewer calls" {
                @if comparable { (lost(change.more_calls_seconds_per_hour)) }
                @else { (seconds(change.more_calls_seconds_per_hour)) }
                " by calls"
            }
        }
        td data-label="Plan" { @match &flip {
            Some(flip) => { "changed " time datetime=(flip.at.to_rfc3339()) title=(written(flip.at)) { (flip.at.format("%d %b %H:%M")) } },
            None if change.plans.is_empty() => span.dim title="No plan was seen of it" { "–" },
            None => "the same",
        } }
        td data-label="Waits for" { (waits(change)) }
    } }
}

/// What would help it, or why that is not known.
fn fix(site: &Site, change: &StatementChange) -> Markup {
    let here = site.app.exporter.options().target.database();
    let asked = site.advice.result();
    let of_asked = asked.as_ref().map(|advised| advised.for_statement(change.key.queryid).recommendations);
    let told = match of_asked {
        Some(found) if !found.is_empty() => Told::Found(found),
        Some(_) => Told::Nothing(asked.map_or_else(chrono::Utc::now, |advised| advised.advised_at)),
        None => Told::Unasked,
    };
    // What was computed for it alone comes after what was asked for, unless that found nothing.
    let told = match (told, site.fixes.of(change.key.queryid)) {
        (Told::Found(found), _) => Told::Found(found),
        (Told::Nothing(at), Told::Unasked | Told::Awaited | Told::Failed(_)) => Told::Nothing(at),
        (_, own) => own,
    };
    if change.key.datname != here {
        return html! { span.dim title={ "Advice is given for database " (here) } { "in another database" } };
    }
    let is_slower = change.slower_seconds_per_hour.is_none_or(|lost| lost > 0.0);
    html! { @match told {
        Told::Found(found) => { @for r in found.iter().take(2) { div {
            a href={ "/recommendations#r-" (r.id) } { (r.title) }
            @if r.reversible { span.dim { " (can be undone)" } }
        } } },
        Told::Nothing(at) => span title={ "Neither an index nor statistics; computed " (ago(at)) } { "no index or statistics would help" },
        Told::Failed(reason) => span title=(reason) { "could not be computed: " (reason) },
        Told::Awaited => span.dim { "is being computed" },
        Told::Unasked if is_slower && change.key.queryid != 0 => a href="/recommendations" { "not computed" },
        Told::Unasked => span.dim title="It did not get slower" { "–" },
    } }
}

fn named(change: &StatementChange) -> Markup {
    let text: String = change.query.as_deref().unwrap_or_default().chars().take(140).collect();
    let to = link(
        "/statement",
        &[("database", &change.key.datname), ("queryid", &change.key.queryid.to_string())],
    );
    html! {
        @if change.key.queryid == 0 { span.dim { "statements too small to be told apart" } }
        @else if text.is_empty() { a.sql href=(to) { "statement " (change.key.queryid) } }
        @else { a.sql href=(to) { (text) } }
    }
}

/// The two events at which it was seen most.
fn waits(change: &StatementChange) -> Markup {
    let most = change.waits.iter().filter(|wait| wait.seconds_per_hour >= 0.05).take(2);
    html! { @for wait in most { div {
        (wait.event) " " (seconds(wait.seconds_per_hour))
        @if wait.reference_seconds_per_hour > 0.0 { span.dim { ", " (seconds(wait.reference_seconds_per_hour)) " before" } }
    } } }
}

fn pair(change: &StatementChange, part: impl Fn(&Spent) -> Markup) -> Markup {
    html! { @if let Some(before) = &change.before { (part(before)) " → " } (part(&change.now)) }
}

/// Why executions may take longer: because of another plan since then, or from what the server counts beside the time
/// and what sessions were seen at. The first that is the case.
fn cause(change: &StatementChange, flip: Option<&Flip>) -> Option<String> {
    let (now, before) = (&change.now, change.before.as_ref()?);
    let (calls, calls_before) = (now.figures.calls, before.figures.calls);
    let (mean, mean_before) = (now.mean_ms?, before.mean_ms?);
    if mean < MORE * mean_before || calls <= 0.0 || calls_before <= 0.0 {
        return None;
    }
    let at_that_time =
        |flip: &&Flip| change.since.is_none_or(|since| (flip.at - since).abs() <= PLAN_CHANGES_WITHIN);
    if let Some(flip) = flip.filter(at_that_time) {
        return Some(format!("another plan since {}: {}", flip.at.format("%d %b %H:%M"), flip.words()));
    }
    let per_call = |part: fn(&history::Figures) -> f64| {
        (part(&now.figures) / calls, part(&before.figures) / calls_before)
    };
    let times = |(now, before): (f64, f64)| if before > 0.0 { now / before } else { f64::INFINITY };
    let rows = per_call(|f| f.rows);
    let temp = per_call(|f| f.temp_blocks);
    let blocks = per_call(|f| f.blocks_hit + f.blocks_read);
    let read = per_call(|f| f.blocks_read);
    if temp.0 >= 1.0 && times(temp) >= MORE {
        return Some(format!(
            "writes {} to temporary files per call, {} before: sorts or hashes outgrew work_mem",
            bytes(temp.0 * 8192.0),
            bytes(temp.1 * 8192.0)
        ));
    }
    if rows.0 >= 1.0 && times(rows) >= MORE {
        return Some(format!(
            "{} rows per call, {} before: other parameters, or more data",
            rate(rows.0),
            rate(rows.1)
        ));
    }
    if blocks.0 >= 8.0 && times(blocks) >= MORE {
        return Some(format!(
            "{} blocks per call for as many rows, {} before: another plan, an index that is gone, or bloat",
            count(blocks.0),
            count(blocks.1)
        ));
    }
    if read.0 >= 1.0 && times(read) >= MORE {
        return Some(format!(
            "{} blocks per call not in the cache, {} before: the data outgrew it, or it was pushed out",
            rate(read.0),
            rate(read.1)
        ));
    }
    let grown = |wait: &&history::WaitChange| wait.seconds_per_hour - wait.reference_seconds_per_hour;
    let waits = change.waits.iter().filter(|wait| wait.event != "CPU");
    let most = waits.max_by(|a, b| grown(a).total_cmp(&grown(b)));
    let slower = change.slower_seconds_per_hour.unwrap_or(0.0);
    if let Some(wait) = most.filter(|wait| grown(wait) >= slower * WAITS_EXPLAIN) {
        return Some(format!(
            "the same work waits longer for {}: {} per hour, {} before",
            wait.event,
            seconds(wait.seconds_per_hour),
            seconds(wait.reference_seconds_per_hour)
        ));
    }
    Some("the same work takes longer on the CPU: the machine is busier, or slower".into())
}

/// The server over time.
async fn charts(site: &Site, reader: &Reader, past: &Past) -> Markup {
    let here = site.app.exporter.options().target.database();
    let (waits, commits, read, connections, wal) = tokio::join!(
        reader.waits(past.window),
        reader.series("transactions_committed", past.window),
        reader.series("blocks_read", past.window),
        reader.series("connections", past.window),
        reader.series("wal_bytes", past.window),
    );
    let series = |title: &'static str,
                  series: Result<history::Series, history::Error>,
                  measure: Measure,
                  of: Option<&str>| {
        match series {
            Ok(series) => {
                let lines =
                    series.lines.iter().filter(|l| of.is_none_or(|name| l.label == name)).map(|line| Line {
                        name: if line.label.is_empty() { "server".into() } else { line.label.clone() },
                        points: line.points.iter().map(|p| (p.at, p.value)).collect(),
                    });
                let chart =
                    Chart { title, lines: lines.collect(), measure, gap: past.gap(series.level), mark: None };
                chart.draw()
            }
            Err(error) => layout::failure(&error.into()),
        }
    };
    html! {
        div.charts {
            @match waits {
                Ok(waits) => {
                    @let lines = waits.events.iter().enumerate().take(WAITS).map(|(at, event)| Line {
                        name: event.clone(),
                        points: waits.buckets.iter().map(|b| (b.at, b.active_sessions.get(at).copied().unwrap_or(0.0))).collect(),
                    }).collect();
                    (Chart { title: "Active sessions by what they wait for", lines, measure: Measure::Number, gap: past.gap(waits.level), mark: None }.draw())
                },
                Err(error) => (layout::failure(&error.into())),
            }
            (series("Transactions committed per second", commits, Measure::Number, Some(here)))
            (series("Blocks read per second, not in shared buffers", read, Measure::Number, Some(here)))
            (series("Client sessions by state", connections, Measure::Number, None))
            (series("WAL per second", wal, Measure::Bytes, None))
        }
    }
}

#[cfg(test)]
mod tests {
    use history::{Figures, Latency, StatementKey};

    use super::*;

    fn change(before: Figures, now: Figures) -> StatementChange {
        let spent = |figures| Spent::new(figures, 3600.0, &Latency::default());
        StatementChange {
            key: StatementKey { datname: "d".into(), queryid: 1 },
            query: None,
            now: spent(now),
            before: Some(spent(before)),
            slower_seconds_per_hour: Some(1.0),
            more_calls_seconds_per_hour: 0.0,
            since: None,
            waits: Vec::new(),
            plans: Vec::new(),
        }
    }

    #[test]
    fn the_likely_cause_is_what_grew_with_the_time() {
        let before = Figures {
            calls: 100.0,
            exec_ms: 100.0,
            rows: 1000.0,
            blocks_hit: 2000.0,
            blocks_read: 200.0,
            ..Figures::default()
        };
        let slower = Figures { exec_ms: 1000.0, ..before };
        for (now, expected) in [
            (Figures { exec_ms: 110.0, ..before }, None),
            (slower, Some("the same work takes longer")),
            (Figures { rows: 5000.0, blocks_hit: 9000.0, ..slower }, Some("50.0 rows per call, 10.0 before")),
            (Figures { blocks_hit: 90_000.0, ..slower }, Some("another plan")),
            (Figures { blocks_hit: 0.0, blocks_read: 2200.0, ..slower }, Some("not in the cache")),
            (
                Figures { temp_blocks: 500.0, ..slower },
                Some("40.0 kB to temporary files per call, 0 bytes before"),
            ),
        ] {
            let found = cause(&change(before, now), None);
            assert!(found.as_deref().unwrap_or("").contains(expected.unwrap_or("")), "{found:?}");
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
        }
    }

    #[test]
    fn time_that_is_waited_away_is_told_with_what_for() {
        let before = Figures { calls: 100.0, exec_ms: 100.0, rows: 100.0, ..Figures::default() };
        let mut slower = change(before, Figures { exec_ms: 100_000.0, ..before });
        slower.slower_seconds_per_hour = Some(100.0);
        let wait = |event: &str, now: f64| history::WaitChange {
            event: event.into(),
            seconds_per_hour: now,
            reference_seconds_per_hour: 0.0,
        };
        slower.waits = vec![wait("CPU", 60.0), wait("Lock: tuple", 40.0), wait("IO: DataFileRead", 1.0)];
        assert_eq!(
            cause(&slower, None).as_deref(),
            Some("the same work waits longer for Lock: tuple: 40.00 s per hour, 0 before")
        );
        slower.waits.remove(1);
        assert!(cause(&slower, None).unwrap().contains("on the CPU"));
    }
}
