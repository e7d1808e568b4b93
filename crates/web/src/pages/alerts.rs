//! What wants attention, since when, who was told, and what is kept quiet?

use std::sync::Arc;

use alerting::{Alerts, Definition, NewSilence, Phase, Standing, StandingAlert};
use axum::Form;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use super::Visit;
use super::figures::{ago, count, seconds, written};
use super::layout::Page;
use crate::Failure;

const PLACE: &str = "/alerts";
const PAGE: Page<'static> = Page { title: "Alerts", place: PLACE, live: false };
/// The longest time for which something is kept quiet from the page, in hours.
const LONGEST_HOURS: u32 = 24 * 30;

pub(crate) async fn list(visit: Visit) -> Response {
    let body = match &visit.site.app.alerts {
        Some(alerts) => shown(&visit, &alerts.standing()),
        None => {
            html! { p.note { "Alerts are not judged here: [alerts] of pgwright.toml has them switched off." } }
        }
    };
    visit.show(&PAGE, &body)
}

/// A moment as RFC 3339 in words.
fn when(text: &str) -> Markup {
    match text.parse::<DateTime<Utc>>() {
        Ok(at) => html! { time datetime=(text) title=(written(at)) { (ago(at)) } },
        Err(_) => html! { (text) },
    }
}

fn shown(visit: &Visit, standing: &Standing) -> Markup {
    let of = |phase: Phase| standing.alerts.iter().filter(move |a| a.state == phase);
    html! {
        p.dim {
            (standing.conditions) " conditions are judged"
            @if let Some(at) = &standing.evaluated { ", last " (when(at)) }
            "."
        }
        @for note in &standing.notes { div.note { p { (note) } } }
        h2 { "Firing" }
        @if of(Phase::Firing).next().is_none() { p.good role="status" { "Nothing." } }
        @for alert in of(Phase::Firing) { (one(visit, alert)) }
        @if of(Phase::Pending).next().is_some() {
            h2 { "Pending" }
            @for alert in of(Phase::Pending) { (one(visit, alert)) }
        }
        @if of(Phase::Resolved).next().is_some() {
            h2 { "Over" }
            @for alert in of(Phase::Resolved) { (one(visit, alert)) }
        }
        @if let Some(alerts) = &visit.site.app.alerts { (procedures(&alerts.definitions())) }
        (silences(visit, standing))
        (receivers(standing))
    }
}

/// What each condition means and what to do, where messages lead to.
fn procedures(definitions: &[Definition]) -> Markup {
    html! {
        h2 { "Procedures" }
        @for definition in definitions {
            details id=(definition.name.to_ascii_lowercase()) {
                summary { (definition.name) " " span.dim { "(" (definition.severity.as_str()) ")" } }
                p { (definition.meaning) }
                p { strong { "What to do: " } (definition.action) }
                @if let Some(check) = definition.lint_check { p { "Finding: " code.sql { "pgwright lint, check " (check) } } }
                pre.wrapped { code { (definition.expression) } }
                @if definition.hold_seconds > 0.0 { p.dim { "It must have held for " (seconds(definition.hold_seconds)) "." } }
            }
        }
    }
}

/// Matchers that hold for this alert alone.
fn matchers(alert: &StandingAlert) -> String {
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let mut parts = vec![format!("alertname=\"{}\"", quoted(&alert.alert))];
    let others = alert.labels.iter().filter(|(name, _)| *name != "alertname");
    parts.extend(others.map(|(name, value)| format!("{name}=\"{}\"", quoted(value))));
    parts.join(",")
}

fn one(visit: &Visit, alert: &StandingAlert) -> Markup {
    let class = match (alert.state, alert.severity.as_str()) {
        (Phase::Firing, "critical") => "bad",
        (Phase::Firing, "warning") => "warn",
        _ => "dim",
    };
    html! {
        article id=(alert.anchor) {
            h3 { span class=(class) { (alert.severity.as_str()) } " " (alert.summary) }
            dl.facts {
                dt { "Since" } dd { (when(&alert.since)) @if let Some(at) = &alert.resolved { ", over " (when(at)) } }
                dt { "Alert" } dd { (alert.alert) }
                @for (name, value) in alert.labels.iter() { dt { (name) } dd { (value) } }
                @if let Some(value) = alert.value { dt { "Value" } dd { (count(value)) } }
                @if alert.silenced_by.is_some() { dt { "Told" } dd { "no: it is silenced" } }
                @if let Some(other) = &alert.inhibited_by { dt { "Told" } dd { "no: " (other) " says it already" } }
            }
            p { (alert.meaning) }
            p { (alert.action) }
            @if let Some(check) = &alert.lint_check {
                p { "Finding: " code.sql { "pgwright lint " (check) } }
            }
            p { a href=(alert.page) { (match alert.page.split('?').next() {
                Some("/statement") => "The statement, with its plans",
                Some("/table") => "The table",
                _ => "Where that is seen in detail",
            }) } }
            @if let Some(url) = alert.runbook_url.as_deref().filter(|u| u.starts_with("https://") || u.starts_with("http://")) {
                p { a href=(url) rel="noreferrer" { "Procedure" } }
            }
            @if visit.identity.may_silence() && visit.identity.csrf.is_some() && alert.state != Phase::Resolved && alert.silenced_by.is_none() {
                form.filter method="post" action="/alerts/silence" {
                    (visit.csrf())
                    input type="hidden" name="matchers" value=(matchers(alert));
                    label { "Quiet for hours " input type="number" name="hours" min="1" max=(LONGEST_HOURS) value="2" required; }
                    label { "because " input name="comment" required maxlength="200"; }
                    button type="submit" { "Silence" }
                }
            }
        }
    }
}

fn silences(visit: &Visit, standing: &Standing) -> Markup {
    html! {
        @if !standing.silences.is_empty() {
            h2 { "Kept quiet" }
            div.scroll tabindex="0" role="region" aria-label="Kept quiet" { table {
                thead { tr { th scope="col" { "Which" } th scope="col" { "Until" } th scope="col" { "Why" } th scope="col" { "End" } } }
                tbody { @for silence in &standing.silences { tr {
                    th scope="row" { code.sql { (silence.matchers) } }
                    td { (silence.until.as_deref().unwrap_or("for ever")) }
                    td { (silence.comment) }
                    td {
                        @if silence.configured { span.dim { "in pgwright.toml" } }
                        @else if visit.identity.may_silence() {
                            form method="post" action="/alerts/unsilence" {
                                (visit.csrf())
                                input type="hidden" name="id" value=(silence.id);
                                button type="submit" { "End" }
                            }
                        }
                    }
                } } }
            } }
        }
    }
}

fn receivers(standing: &Standing) -> Markup {
    html! {
        h2 { "Who is told" }
        @if standing.receivers.is_empty() { p { "Nobody: [alerts] of pgwright.toml names no receivers." } }
        @else { div.scroll tabindex="0" role="region" aria-label="Who is told" { table {
            thead { tr {
                th scope="col" { "Receiver" } th scope="col" { "Kind" } th.right scope="col" { "Arrived" } th.right scope="col" { "Failed" }
                th scope="col" { "Last" } th scope="col" { "Failure" }
            } }
            tbody { @for receiver in &standing.receivers { tr {
                th scope="row" { (receiver.name) } td { (receiver.kind) }
                td.right { (receiver.sent) } td.right class=[(receiver.failed > 0).then_some("warn")] { (receiver.failed) }
                td { @if let Some(at) = &receiver.last_sent { (when(at)) } }
                td { (receiver.failure.as_deref().unwrap_or_default()) }
            } } }
        } } }
    }
}

#[derive(Deserialize)]
pub(crate) struct Quiet {
    matchers: String,
    hours: u32,
    comment: String,
}

#[derive(Deserialize)]
pub(crate) struct Loud {
    id: String,
}

/// The alerts, for who may keep them quiet.
fn alerts_for(visit: &Visit) -> Result<Arc<Alerts>, Box<Response>> {
    if !visit.identity.may_silence() {
        let failure = Failure::new("only an operator may change what is silenced");
        return Err(Box::new(visit.fail(StatusCode::FORBIDDEN, &PAGE, &failure)));
    }
    let none = Failure::new("alerts are not judged here");
    visit.site.app.alerts.clone().ok_or_else(|| Box::new(visit.fail(StatusCode::NOT_FOUND, &PAGE, &none)))
}

pub(crate) async fn silence(visit: Visit, Form(quiet): Form<Quiet>) -> Response {
    let alerts = match alerts_for(&visit) {
        Ok(alerts) => alerts,
        Err(refusal) => return *refusal,
    };
    let until = Utc::now() + TimeDelta::hours(i64::from(quiet.hours.clamp(1, LONGEST_HOURS)));
    let by = visit.identity.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let new = NewSilence {
        matchers: quiet.matchers,
        until: Some(until.to_rfc3339_opts(SecondsFormat::Secs, true)),
        comment: format!("{}{by}", quiet.comment.trim()),
    };
    match alerts.silence(new) {
        Ok(_) => Redirect::to(PLACE).into_response(),
        Err(error) => visit.fail(StatusCode::BAD_REQUEST, &PAGE, &told(&error)),
    }
}

pub(crate) async fn unsilence(visit: Visit, Form(loud): Form<Loud>) -> Response {
    let alerts = match alerts_for(&visit) {
        Ok(alerts) => alerts,
        Err(refusal) => return *refusal,
    };
    match alerts.unsilence(&loud.id) {
        Ok(_) => Redirect::to(PLACE).into_response(),
        Err(error) => visit.fail(StatusCode::NOT_FOUND, &PAGE, &told(&error)),
    }
}

fn told(error: &alerting::Error) -> Failure {
    Failure { message: error.to_string(), detail: error.detail(), hint: error.hint() }
}
