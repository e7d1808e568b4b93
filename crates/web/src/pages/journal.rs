//! What was done to this database, step by step, and what is being done now? And for operators the way to take it back.

use apply::{JournalEntry, JournalStep};
use axum::Form;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use model::Millis;
use serde::Deserialize;

use super::figures::{ago, written};
use super::layout::{self, Page};
use super::recommendations::{busy, can_be_undone, only_operators};
use super::{Visit, jobs, link};
use crate::Failure;

const PLACE: &str = "/journal";
/// So many entries are shown, the newest.
const ENTRIES: usize = 100;

pub(crate) async fn list(visit: Visit) -> Response {
    let target = &visit.site.app.exporter.options().target;
    let journal = apply::journal(target).await.map_err(Failure::from);
    let body = html! {
        p.dim { "Everything that pgwright has changed in database " (target.database()) ", the newest first. " a href="/changes" { "What is being done now" } }
        @match &journal {
            Err(failure) => (layout::failure(failure)),
            Ok(entries) if entries.is_empty() => p { "The journal is empty." },
            Ok(entries) => {
                @for entry in entries.iter().rev().take(ENTRIES) { (shown(&visit, entry)) }
                @if entries.len() > ENTRIES { p.dim { "and " (entries.len() - ENTRIES) " older; \"pgwright journal\" lists all" } }
            },
        }
    };
    visit.show(&Page { title: "Journal", place: PLACE, live: false }, &body)
}

fn shown(visit: &Visit, entry: &JournalEntry) -> Markup {
    html! {
        article id={ "entry-" (entry.entry_id) } {
            h2 { (entry.title) " " span.dim { "(" (entry.status) ")" } }
            dl.facts {
                dt { "When" } dd { (written(entry.created_at)) ", " (ago(entry.created_at)) }
                dt { "Entry" } dd { (entry.entry_id) ", recommendation " code { (entry.recommendation_id) } ", by role " (entry.created_by) }
                @if entry.promised.benefit.saved_ms_per_hour > 0.0 {
                    dt { "Promised" } dd { (Millis(entry.promised.benefit.saved_ms_per_hour)) " per hour" }
                }
                @if let Some(sentence) = entry.measured.as_ref().and_then(|m| m.get("sentence")).and_then(|s| s.as_str()) {
                    dt { "Measured" } dd { (sentence) @if let Some(at) = entry.verified_at { span.dim { " " (ago(at)) } } }
                }
            }
            @for step in &entry.steps { (step_shown(step)) }
            @if visit.identity.may_change() && can_be_undone(entry) {
                p { a href=(link("/journal/undo", &[("entry", &entry.entry_id.to_string())])) { "Undo" } span.dim { " shows the statements and asks first" } }
            }
        }
    }
}

fn step_shown(step: &JournalStep) -> Markup {
    let took = step.started_at.zip(step.finished_at).map(|(a, b)| Millis((b - a).num_milliseconds() as f64));
    html! {
        pre tabindex="0" { code { (step.sql) ";" } }
        p.dim {
            @if step.undoes.is_some() { "to undo, " }
            (step.status.as_str())
            @if let Some(took) = took { " in " (took) }
            @if step.attempts > 1 { ", " (step.attempts) " tries" }
            @if let Some(undo) = &step.undo_sql { br; "undo: " code.sql { (undo) ";" } }
            @if let Some(note) = &step.note { br; (note) }
            @if let Some(error) = &step.error { br; span.bad { (error) } }
        }
    }
}

pub(crate) async fn change(visit: Visit) -> Response {
    let job = visit.site.changes.job();
    let going_on = job.as_ref().is_some_and(|job| job.ended.is_none());
    let body = html! {
        @match &job {
            None => p { "Nothing was changed from these pages since pgwright was started." },
            Some(job) => {
                (jobs::show(job, "/changes/events"))
                @if let Some((_, Ok(result))) = &job.ended { pre tabindex="0" { code { (result) } } }
            },
        }
        p { a href=(PLACE) { "Journal" } " · " a href="/recommendations" { "Recommendations" } }
    };
    visit.show(&Page { title: "Changes", place: PLACE, live: going_on }, &body)
}

pub(crate) async fn events(visit: Visit) -> Response {
    jobs::events(visit.site, |site| site.changes.job())
}

const UNDOING: Page<'static> = Page { title: "Undo", place: PLACE, live: false };

pub(crate) async fn confirm(visit: Visit) -> Response {
    if let Some(refusal) = only_operators(&visit, &UNDOING) {
        return refusal;
    }
    let target = &visit.site.app.exporter.options().target;
    let Ok(entry_id) = visit.wanted.other("entry").parse::<i64>() else {
        return visit.fail(
            StatusCode::BAD_REQUEST,
            &UNDOING,
            &Failure::new("the address names no entry of the journal"),
        );
    };
    let plan = match visit.site.app.workshop.plan_undo(entry_id).await {
        Ok(plan) => plan,
        Err(failure) => return visit.fail(StatusCode::CONFLICT, &UNDOING, &failure),
    };
    let body = html! {
        h2 { (plan.title) }
        p { "This is what would be run on database " strong { (target.database()) } ", and nothing else:" }
        @for step in &plan.steps {
            pre tabindex="0" { code { (step.sql) ";" } }
            p.dim { "lock: " (step.lock) @if let Some(detail) = &step.lock_detail { " " (detail) } }
        }
        @for notice in &plan.notices { div.note { p { (notice) } } }
        form method="post" action="/journal/undo" {
            (visit.csrf())
            input type="hidden" name="entry" value=(entry_id);
            button.danger type="submit" { "Run these statements" }
            " " a href=(PLACE) { "Back" }
        }
    };
    visit.show(&UNDOING, &body)
}

#[derive(Deserialize)]
pub(crate) struct Confirmed {
    entry: i64,
}

pub(crate) async fn undo(visit: Visit, Form(confirmed): Form<Confirmed>) -> Response {
    if let Some(refusal) = only_operators(&visit, &UNDOING) {
        return refusal;
    }
    let workshop = visit.site.app.workshop.clone();
    let title = format!("Undoing entry {} of the journal", confirmed.entry);
    if !visit.site.changes.begin(title, |tell| workshop.undo(confirmed.entry, tell)) {
        return busy(&visit, &UNDOING);
    }
    Redirect::to("/changes").into_response()
}
