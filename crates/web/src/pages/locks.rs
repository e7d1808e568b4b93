//! Who waits for whom, right now? As a tree under those who wait for nobody, renewed every second.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use maud::{Markup, html};
use postgres::catalog::{LockWaitRow, lock_waits};

use super::figures::seconds;
use super::layout::{self, Page};
use super::{Visit, samples};
use crate::{Failure, Site};

const PLACE: &str = "/locks";
/// How often the tree is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How much of a statement is shown.
const TEXT_CHARS: usize = 300;

async fn waits(site: &Site) -> Result<Arc<Vec<LockWaitRow>>, Failure> {
    if let Some(kept) = site.kept.lock_waits.get() {
        return Ok(kept);
    }
    let session = site.live.session(&site.app.exporter).await?;
    // Somebody else may have asked while this one waited for the session.
    if let Some(kept) = site.kept.lock_waits.get() {
        return Ok(kept);
    }
    let rows = Arc::new(lock_waits(&session, session.version_num()).await?);
    Ok(site.kept.lock_waits.put(rows))
}

pub(crate) async fn show(visit: Visit) -> Response {
    let waits = waits(&visit.site).await;
    let longest = samples::value(&visit.site.app.exporter, "postgres_longest_transaction_seconds", None);
    let body = html! {
        p.dim {
            "Sessions that wait for a lock, under those that hold it. Renewed every second: "
            span id="state" { "as of loading" } ". "
            a href=(PLACE) { "Load again" }
        }
        @if let Some(longest) = longest {
            p.dim { "The oldest open transaction has been open for " (seconds(longest)) "." }
        }
        div data-live="/locks/events" data-state="state" { (part(&waits)) }
    };
    visit.show(&Page { title: "Locks", place: PLACE, live: true }, &body)
}

pub(crate) async fn events(visit: Visit) -> Response {
    let site = visit.site;
    let stop = site.stop.clone();
    let answers = stream::unfold((site, stop, true), |(site, mut stop, first)| async move {
        if !first {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return None,
            }
        }
        let text = part(&waits(&site).await).into_string().replace('\r', " ");
        Some((Ok::<_, Infallible>(Event::default().data(text)), (site, stop, false)))
    });
    Sse::new(answers).keep_alive(KeepAlive::default()).into_response()
}

/// The part of the page that is renewed.
fn part(waits: &Result<Arc<Vec<LockWaitRow>>, Failure>) -> Markup {
    match waits {
        Ok(rows) if rows.is_empty() => html! { p.good role="status" { "Nobody waits for a lock." } },
        Ok(rows) => tree(rows),
        Err(failure) => layout::failure(failure),
    }
}

fn tree(rows: &[LockWaitRow]) -> Markup {
    let by_pid: BTreeMap<i32, &LockWaitRow> = rows.iter().map(|r| (r.pid, r)).collect();
    let mut waiting_for: BTreeMap<i32, BTreeSet<i32>> = BTreeMap::new();
    for row in rows {
        for blocker in &row.blockers {
            waiting_for.entry(*blocker).or_default().insert(row.pid);
        }
    }
    let waiting = rows.iter().filter(|r| !r.blockers.is_empty()).count();
    let roots: Vec<&LockWaitRow> = rows.iter().filter(|r| r.blockers.is_empty()).collect();
    // In a deadlock everybody waits for somebody, until the server ends one of them.
    let roots = if roots.is_empty() { rows.iter().take(1).collect() } else { roots };
    html! {
        p role="status" {
            strong.bad { (waiting) @if waiting == 1 { " session waits" } @else { " sessions wait" } }
            " for a lock."
        }
        ul.tree { @for root in roots { (branch(root, &by_pid, &waiting_for, &mut BTreeSet::new())) } }
    }
}

fn branch(
    row: &LockWaitRow,
    by_pid: &BTreeMap<i32, &LockWaitRow>,
    waiting_for: &BTreeMap<i32, BTreeSet<i32>>,
    above: &mut BTreeSet<i32>,
) -> Markup {
    above.insert(row.pid);
    let below: Vec<&LockWaitRow> = waiting_for
        .get(&row.pid)
        .into_iter()
        .flatten()
        .filter(|pid| !above.contains(pid))
        .filter_map(|pid| by_pid.get(pid).copied())
        .collect();
    let behind = below.len();
    let shown = html! {
        li {
            (session(row, behind))
            @if !below.is_empty() { ul { @for row in below { (branch(row, by_pid, waiting_for, above)) } } }
        }
    };
    above.remove(&row.pid);
    shown
}

fn session(row: &LockWaitRow, behind: usize) -> Markup {
    if row.pid == 0 {
        return html! { strong { "a prepared transaction" } " " span.dim { "see pg_prepared_xacts" } };
    }
    let text: String = row.query.as_deref().unwrap_or_default().chars().take(TEXT_CHARS).collect();
    let idle = row.state.as_deref().is_some_and(|s| s.starts_with("idle in transaction"));
    html! {
        strong { "pid " (row.pid) } " "
        (row.user.as_deref().unwrap_or("?")) " in " (row.datname.as_deref().unwrap_or("?"))
        @if let Some(name) = row.application_name.as_deref().filter(|n| !n.is_empty()) { ", " (name) }
        @if let Some(address) = &row.client_addr { span.dim { " from " (address) } }
        div {
            @if !row.blockers.is_empty() {
                "waits " (seconds(row.query_seconds.unwrap_or(f64::NAN))) " for "
                code { (row.mode.as_deref().unwrap_or("a lock")) }
                @if let Some(relation) = &row.relation { " on " (relation) }
                @else if let Some(kind) = &row.locktype { " on a " (kind) }
            } @else {
                span.warn { "blocks " (behind) }
                @if idle { ", " span.bad { "idle within a transaction for " (seconds(row.state_seconds.unwrap_or(f64::NAN))) } }
                @else if let Some(state) = &row.state { ", " (state) }
            }
            @if let Some(open) = row.xact_seconds { span.dim { " · transaction open for " (seconds(open)) } }
        }
        @if !text.is_empty() { code.sql { (text) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pid: i32, blockers: &[i32], query: &str) -> LockWaitRow {
        LockWaitRow {
            pid,
            blockers: blockers.to_vec(),
            datname: Some("d".into()),
            user: Some("u".into()),
            application_name: None,
            client_addr: None,
            state: Some("active".into()),
            xact_seconds: Some(1.0),
            query_seconds: Some(1.0),
            state_seconds: Some(1.0),
            query: Some(query.into()),
            locktype: Some("relation".into()),
            mode: Some("AccessShareLock".into()),
            relation: None,
        }
    }

    #[test]
    fn who_waits_is_shown_below_whom_it_waits_for() {
        let page = tree(&[row(1, &[], "lock"), row(2, &[1, 1], "<b>"), row(3, &[2, 1], "c")]).into_string();
        assert!(page.contains("<strong class=\"bad\">2 sessions wait</strong>"), "{page}");
        assert!(page.contains("blocks 2") && page.contains("&lt;b&gt;") && !page.contains("<b>"), "{page}");
        // Once below each whom it waits for.
        assert_eq!(page.matches("pid 3").count(), 2, "{page}");
    }

    #[test]
    fn a_deadlock_and_a_prepared_transaction_end() {
        let page = tree(&[row(1, &[2], "a"), row(2, &[1], "b")]).into_string();
        assert_eq!((page.matches("pid 1").count(), page.matches("pid 2").count()), (1, 1), "{page}");
        assert!(tree(&[row(0, &[], ""), row(2, &[0], "b")]).into_string().contains("a prepared transaction"));
    }
}
