//! What should be done? What `advise` says, each with its evidence, gain, price and lock; and for operators the way to do
//! it, which shows the very statements and asks.

use std::collections::HashMap;

use apply::{ApplyPlan, JournalEntry, Preflight, Refusal, Status};
use axum::Form;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use model::{Confidence, Finding, Millis, Recommendation, StatementEffect};
use serde::Deserialize;

use super::figures::{ago, count, percent, written};
use super::layout::{self, Page};
use super::{Visit, jobs, link};
use crate::workshop::{Advised, Tell};
use crate::{Failure, access};

const PLACE: &str = "/recommendations";
/// So many statements of a recommendation are shown.
const STATEMENTS: usize = 10;

pub(crate) async fn list(visit: Visit) -> Response {
    let site = &visit.site;
    let job = site.advice.job();
    let going_on = job.as_ref().is_some_and(|job| job.ended.is_none());
    let (asked, advised) = (site.advice.result().is_some(), site.advised());
    let states = match &advised {
        Some(advised) if !advised.recommendations.is_empty() => states(&visit, advised).await,
        _ => HashMap::new(),
    };
    let body = html! {
        @if let Some(job) = job.as_ref().filter(|job| going_on || matches!(job.ended, Some((_, Err(_))))) {
            (jobs::show(job, "/recommendations/events"))
        }
        @if !going_on { (ask(&visit, asked)) }
        @if let Some(advised) = &advised {
            @if !asked { p.note { "These were computed by themselves, for the statements that got slower most. What else there is to do was not looked for." } }
            (advice(&visit, advised, &states))
        }
    };
    visit.show(&Page { title: "Recommendations", place: PLACE, live: going_on }, &body)
}

fn ask(visit: &Visit, again: bool) -> Markup {
    html! {
        @if !again {
            p {
                "pgwright reads the catalog, the statistics and the statement counters, and tries indexes and statistics on a \
                 planner of its own on this machine. The database is only read. It takes seconds to minutes."
            }
        }
        @if visit.identity.may_ask_for_advice() {
            form method="post" action=(PLACE) {
                (visit.csrf())
                button type="submit" { @if again { "Compute anew" } @else { "Compute recommendations" } }
            }
        } @else if !again { p.dim { "An operator who has signed in can have them computed." } }
    }
}

pub(crate) async fn begin(visit: Visit) -> Response {
    if !visit.identity.may_ask_for_advice() {
        let failure = Failure::new("only operators may have advice computed");
        return visit.fail(
            StatusCode::FORBIDDEN,
            &Page { title: "Recommendations", place: PLACE, live: false },
            &failure,
        );
    }
    let workshop = visit.site.app.workshop.clone();
    // Whoever asks while it goes on waits for the same.
    visit.site.advice.begin("Computing recommendations".into(), |tell: Tell| workshop.advise(tell));
    Redirect::to(PLACE).into_response()
}

pub(crate) async fn events(visit: Visit) -> Response {
    jobs::events(visit.site, |site| site.advice.job())
}

/// What became of recommendations that the journal knows.
async fn states(visit: &Visit, advised: &Advised) -> HashMap<String, String> {
    let Ok(journal) = apply::journal(&visit.site.app.exporter.options().target).await else {
        return HashMap::new();
    };
    let since = |entry: &JournalEntry| entry.created_at >= advised.advised_at;
    journal.into_iter().filter(since).map(|e| (e.recommendation_id, e.status)).collect()
}

fn advice(visit: &Visit, advised: &Advised, states: &HashMap<String, String>) -> Markup {
    html! {
        p.dim { "As of " (written(advised.advised_at)) ", " (ago(advised.advised_at)) "." }
        @if advised.recommendations.is_empty() { p.good { "Nothing is recommended." } }
        @for recommendation in &advised.recommendations {
            (one(visit, advised, recommendation, states.get(&recommendation.id).map(String::as_str)))
        }
        @if !advised.findings.is_empty() {
            h2 { "Findings" }
            @for finding in &advised.findings { (found(finding)) }
        }
        @if !advised.notes.is_empty() {
            h2 { "Notes" }
            ul { @for note in &advised.notes { li { (note) } } }
        }
    }
}

fn found(finding: &Finding) -> Markup {
    html! {
        details {
            summary { (finding.summary) }
            p { (finding.detail) }
            dl.facts {
                dt { "Check" } dd { (finding.check) }
                dt { "Object" } dd { (finding.object) }
                @for evidence in &finding.evidence { dt { (evidence.name) } dd { (evidence.value) } }
            }
        }
    }
}

fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::High => "high: the planner agrees, on fresh statistics and typical values",
        Confidence::Medium => "medium: the planner agrees, typical values were guessed",
        Confidence::Low => "low: statistics are missing or old, or of another version",
    }
}

/// What is gained, in a line.
fn gain(r: &Recommendation) -> String {
    let per_hour = Millis(r.benefit.saved_ms_per_hour);
    if r.benefit.share_of_total >= 0.0005 {
        return format!("{per_hour} per hour, {} of all execution time", percent(r.benefit.share_of_total));
    }
    match (r.price.freed.0 > 0, r.benefit.saved_ms_per_hour >= 0.01) {
        (true, true) => format!("{} freed, {per_hour} per hour at writes", r.price.freed),
        (true, false) => format!("{} freed", r.price.freed),
        (false, true) => format!("{per_hour} per hour"),
        (false, false) => "not promised in time".into(),
    }
}

fn one(visit: &Visit, advised: &Advised, r: &Recommendation, state: Option<&str>) -> Markup {
    let applied = state == Some("done");
    html! {
        article id={ "r-" (r.id) } {
            h2 { (r.title) " " @if let Some(state) = state { span.dim { "(" (state) ")" } } }
            dl.facts {
                dt { "Gain" } dd { (gain(r)) }
                dt { "Price" } dd {
                    @if r.price.bytes.0 > 0 { (r.price.bytes) " on disk, " }
                    "about " (r.price.build_ms) " to make"
                    @if r.price.hot_updates_lost_per_hour >= 0.5 { ", " (count(r.price.hot_updates_lost_per_hour)) " HOT updates lost per hour" }
                }
                dt { "Lock" } dd {
                    @if !r.lock_duration.starts_with(&r.lock.to_string()) { (r.lock) ": " }
                    (r.lock_duration)
                }
                dt { "Confidence" } dd { (confidence(r.confidence)) }
                dt { "Undo" } dd { @if r.reversible { "restores the former state" } @else { "does not restore everything" } }
                dt { "Proof" } dd { (r.verification) }
                dt { "Id" } dd { code { (r.id) } }
            }
            p { (r.rationale) }
            pre tabindex="0" { code { @for sql in &r.sql { (sql) ";\n" } } }
            @for finding in advised.findings.iter().filter(|f| r.resolves.contains(&f.key)) { (found(finding)) }
            @if !r.statements.is_empty() { (effects(visit, &r.statements)) }
            @if !r.undo_sql.is_empty() {
                details { summary { "What undoes it" } pre tabindex="0" { code { @for sql in &r.undo_sql { (sql) ";\n" } } } }
            }
            @if !r.rejected.is_empty() {
                details {
                    summary { "What lost against it (" (r.rejected.len()) ")" }
                    ul { @for other in &r.rejected { li { code.sql { (other.candidate) } " " (other.reason) } } }
                }
            }
            @if visit.identity.may_change() && !applied {
                p { a href=(link("/recommendations/apply", &[("id", &r.id)])) { "Apply" } span.dim { " shows the statements and asks first" } }
            }
        }
    }
}

fn effects(visit: &Visit, statements: &[StatementEffect]) -> Markup {
    let database = visit.site.app.exporter.options().target.database();
    html! {
        div.scroll tabindex="0" role="region" aria-label="Statements" { table {
            thead { tr {
                th scope="col" { "Statement" } th.right scope="col" { "Calls" } th.right scope="col" { "Mean" }
                th.right scope="col" { "Expected" } th.right scope="col" { "Cost" } th.right scope="col" { "Cost after" }
            } }
            tbody { @for s in statements.iter().take(STATEMENTS) { tr {
                @let text: String = s.query.chars().take(160).collect();
                th scope="row" { a.sql href=(link("/statement", &[("database", database), ("queryid", &s.queryid.to_string())])) { (text) } }
                td.right { (count(s.calls as f64)) } td.right { (s.mean_ms) } td.right { (s.expected_ms) }
                td.right { (count(s.cost_before)) } td.right { (count(s.cost_after)) }
            } } }
        } }
        @if statements.len() > STATEMENTS { p.dim { "and " (statements.len() - STATEMENTS) " more" } }
    }
}

/// The statements of a plan as one text, of which the form sends back a digest: what is run is what was shown.
fn digest(plan: &ApplyPlan) -> String {
    let statements: Vec<&str> = plan.steps().map(|(_, step)| step.sql.as_str()).collect();
    access::digest(&statements.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn planned(visit: &Visit, id: &str) -> Result<(Recommendation, Preflight), Failure> {
    let advised = visit.site.advised();
    let recommendation =
        advised.and_then(|a| a.recommendations.into_iter().find(|r| r.id == id)).ok_or_else(|| {
            Failure::new(format!("no recommendation has the id \"{id}\""))
                .detail("Recommendations are kept until they are computed anew, or pgwright is restarted.")
        })?;
    let plan = apply::plan(std::slice::from_ref(&recommendation));
    let preflight = visit.site.app.workshop.preflight(plan).await?;
    Ok((recommendation, preflight))
}

const APPLYING: Page<'static> = Page { title: "Apply a recommendation", place: PLACE, live: false };

pub(super) fn only_operators(visit: &Visit, page: &Page<'_>) -> Option<Response> {
    let failure = Failure::new("only operators may change the database").hint(
        "An operator is a user whose line in the users file ends in \":operator\", and who has signed in with a password.",
    );
    (!visit.identity.may_change()).then(|| visit.fail(StatusCode::FORBIDDEN, page, &failure))
}

pub(crate) async fn confirm(visit: Visit) -> Response {
    if let Some(refusal) = only_operators(&visit, &APPLYING) {
        return refusal;
    }
    let id = visit.wanted.other("id");
    let (recommendation, preflight) = match planned(&visit, id).await {
        Ok(planned) => planned,
        Err(failure) => return visit.fail(StatusCode::NOT_FOUND, &APPLYING, &failure),
    };
    let body = html! {
        h2 { (recommendation.title) }
        p { "This is what would be run on database " strong { (visit.site.app.exporter.options().target.database()) } ", and nothing else:" }
        (steps(&preflight.plan))
        p { strong { "Lock: " } (recommendation.lock_duration) }
        @for notice in &preflight.notices { div.note { p { (notice) } } }
        @for refusal in &preflight.refusals { (layout::failure(&refusal_told(refusal))) }
        @if preflight.refusals.is_empty() {
            form method="post" action="/recommendations/apply" {
                (visit.csrf())
                input type="hidden" name="id" value=(recommendation.id);
                input type="hidden" name="plan" value=(digest(&preflight.plan));
                button.danger type="submit" { "Run these statements" }
                " " a href=(PLACE) { "Back" }
            }
            p.dim { "Every step is written down before and after it is run, and can be undone from the journal." }
        } @else { p { a href=(PLACE) { "Back" } } }
    };
    visit.show(&APPLYING, &body)
}

fn refusal_told(refusal: &Refusal) -> Failure {
    let objection = &refusal.objection;
    Failure { message: objection.message(), detail: objection.detail(), hint: objection.hint() }
}

fn steps(plan: &ApplyPlan) -> Markup {
    html! {
        @for (_, step) in plan.steps() {
            pre tabindex="0" { code { (step.sql) ";" } }
            p.dim {
                "lock: " (step.lock) @if let Some(detail) = &step.lock_detail { " " (detail) }
                @if let Some(undo) = &step.undo_sql { br; "undo: " code.sql { (undo) ";" } }
            }
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Confirmed {
    id: String,
    plan: String,
}

pub(crate) async fn apply(visit: Visit, Form(confirmed): Form<Confirmed>) -> Response {
    if let Some(refusal) = only_operators(&visit, &APPLYING) {
        return refusal;
    }
    let (recommendation, preflight) = match planned(&visit, &confirmed.id).await {
        Ok(planned) => planned,
        Err(failure) => return visit.fail(StatusCode::NOT_FOUND, &APPLYING, &failure),
    };
    if digest(&preflight.plan) != confirmed.plan {
        let failure = Failure::new("other statements would be run than were shown")
            .detail("The database has changed in the meantime.")
            .hint("Go back, and look at them again.");
        return visit.fail(StatusCode::CONFLICT, &APPLYING, &failure);
    }
    let workshop = visit.site.app.workshop.clone();
    let title = format!("Applying {}: {}", recommendation.id, recommendation.title);
    if !visit.site.changes.begin(title, |tell| workshop.apply(recommendation, tell)) {
        return busy(&visit, &APPLYING);
    }
    Redirect::to("/changes").into_response()
}

/// Two changes at a time would wait for each other.
pub(super) fn busy(visit: &Visit, page: &Page<'_>) -> Response {
    let failure = Failure::new("another change is under way").hint("Wait for it on the page of changes.");
    visit.fail(StatusCode::CONFLICT, page, &failure)
}

/// Whether a part of an entry can be taken back.
pub(super) fn can_be_undone(entry: &JournalEntry) -> bool {
    entry.forward_steps().any(|step| step.status == Status::Done)
}
