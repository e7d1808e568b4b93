//! Which of several servers wants to be looked at first?

use std::sync::Arc;
use std::time::Duration;

use alerting::{Severity, StandingAlert};
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use history::StatementChange;
use maud::{Markup, html};

use super::figures::{count, rate, seconds};
use super::layout;
use super::past::{self, Past};
use super::samples::{sum, value};
use crate::Site;
use crate::fleet::{Fleet, Member};
use crate::guard::Identity;

/// How long the history of all servers is waited for together; who is away is not.
const LOOKING_BACK: Duration = Duration::from_secs(2);
/// Statements that changed most, among which the slower one is looked for.
const LOOKED_AT: usize = 10;
/// How much of a text is shown.
const TEXT_CHARS: usize = 80;

/// What is known of a server at a glance.
struct Glance {
    name: String,
    /// Why it is not connected.
    problem: Option<String>,
    /// Sessions at work, on average since it is watched.
    active: f64,
    connections: f64,
    allowed: f64,
    calls_per_second: f64,
    firing: Vec<StandingAlert>,
    slower: Option<Slower>,
}

/// What got slower most.
struct Slower {
    text: String,
    seconds_per_hour: f64,
}

impl Glance {
    /// The worst first: who is away, then by alerts, then by load.
    fn rank(&self) -> (bool, Option<Severity>, usize) {
        (self.problem.is_some(), self.firing.first().map(|a| a.severity), self.firing.len())
    }
}

async fn glance(name: String, member: Arc<Member>) -> Glance {
    let site = &member.site;
    let exporter = &site.app.exporter;
    let watched = site.watched_seconds();
    Glance {
        name,
        problem: exporter.ready().err(),
        active: sum(exporter, "postgres_wait_seconds_total") / watched,
        connections: sum(exporter, "postgres_connections"),
        allowed: value(exporter, "postgres_server_connections_allowed", None).unwrap_or(f64::NAN),
        calls_per_second: sum(exporter, "postgres_statement_calls_total") / watched,
        firing: member.firing(),
        slower: tokio::time::timeout(LOOKING_BACK, slower(site)).await.ok().flatten(),
    }
}

/// What got slower most of late, where a history is kept.
async fn slower(site: &Arc<Site>) -> Option<Slower> {
    let (reader, to) = past::reader(site).await.ok()??;
    let past = Past::of(&super::Wanted::parse(None), to);
    let overview = reader.overview(past.window, past.reference(), LOOKED_AT).await.ok()?;
    let slower = |change: &StatementChange| change.slower_seconds_per_hour.unwrap_or(0.0);
    let change = overview.statements.iter().max_by(|a, b| slower(a).total_cmp(&slower(b)))?;
    let text = change.query.clone().unwrap_or_else(|| format!("statement {}", change.key.queryid));
    Some(Slower { text, seconds_per_hour: slower(change) }).filter(|s| s.seconds_per_hour > 0.0)
}

pub(crate) async fn show(
    State(fleet): State<Arc<Fleet>>,
    Extension(identity): Extension<Identity>,
) -> Response {
    let asked = fleet.members().into_iter().map(|(name, member)| glance(name, member));
    let mut glances = futures_util::future::join_all(asked).await;
    glances.sort_by(|a, b| b.rank().cmp(&a.rank()).then_with(|| b.active.total_cmp(&a.active)));
    let body = html! {
        @if let Some(problem) = fleet.problem() {
            div.failure role="alert" {
                p { strong { "The file of servers could not be read" } }
                p { (problem) }
                p.dim { "The servers are those of the last time that it could be." }
            }
        }
        @if glances.is_empty() { p.note { "The file names no server." } }
        @else { (table(&glances)) }
    };
    layout::common_page(&identity, "Servers", &fleet.version, &body).into_response()
}

fn table(glances: &[Glance]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Servers" { table {
            thead { tr {
                th scope="col" { "Server" } th scope="col" { "State" }
                th.right scope="col" { "Active sessions" } th.right scope="col" { "Connections" }
                th.right scope="col" { "Executions/s" } th scope="col" { "Alerts" } th scope="col" { "What got slower" }
            } }
            tbody { @for glance in glances { tr {
                th scope="row" { a href={ "/s/" (glance.name) "/" } { (glance.name) } }
                td { @match &glance.problem {
                    Some(reason) => { span.bad { "not connected" } " " span.dim { (reason) } },
                    None => span.good { "connected" },
                } }
                @if glance.problem.is_some() { td {} td {} td {} } @else {
                    td.right { (rate(glance.active)) }
                    td.right { (count(glance.connections)) span.dim { " of " (count(glance.allowed)) } }
                    td.right { (rate(glance.calls_per_second)) }
                }
                td { (alerts(glance)) }
                td { @if let Some(slower) = &glance.slower {
                    (seconds(slower.seconds_per_hour)) " per hour: " span.dim { (shortened(&slower.text)) }
                } }
            } } }
        } }
    }
}

fn alerts(glance: &Glance) -> Markup {
    html! {
        @match glance.firing.first() {
            Some(worst) => {
                a class=(if worst.severity == Severity::Critical { "bad" } else { "warn" }) href={ "/s/" (glance.name) "/alerts" } { (worst.summary) }
                @if glance.firing.len() > 1 { span.dim { " and " (glance.firing.len() - 1) " more" } }
            },
            None => span.dim { "none fires" },
        }
    }
}

fn shortened(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(TEXT_CHARS) {
        Some((end, _)) => format!("{} …", &one_line[..end]),
        None => one_line,
    }
}
