//! The alerts as Prometheus gives them to Alertmanager, which then groups, mutes and tells.
//!
//! Source: Alertmanager documentation, "Alerts API" (`POST /api/v2/alerts`): an alert that is not told again before its
//! `endsAt` is taken to be over.

use serde_json::{Value, json};

use crate::judge::Phase;
use crate::message::{Message, Notice};
use crate::silences::time;

/// How long Alertmanager waits for the next word before it takes an alert to be over: four times as long as it waits
/// for one, as Prometheus has it.
const HOLDS_FOR_MS: i64 = 4 * super::ALERTMANAGER_REPEAT_MS;

pub(super) fn body(message: &Message) -> Value {
    let now_ms = chrono::Utc::now().timestamp_millis();
    message.notices().map(|notice| alert(notice, now_ms)).collect()
}

fn alert(notice: &Notice, now_ms: i64) -> Value {
    let ends_ms = match (notice.phase, notice.resolved_ms) {
        (Phase::Resolved, Some(resolved_ms)) => resolved_ms,
        _ => now_ms + HOLDS_FOR_MS,
    };
    json!({
        "labels": notice.labels,
        "annotations": notice.annotations,
        "startsAt": time(notice.since_ms),
        "endsAt": time(ends_ms),
        "generatorURL": notice.link.as_deref().unwrap_or(""),
    })
}
