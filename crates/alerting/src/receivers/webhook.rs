//! JSON in the form of Alertmanager's webhooks, which many programs understand.
//!
//! Source: Alertmanager documentation, "Configuration", `<webhook_config>`, version 4.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::judge::Phase;
use crate::message::{Message, Notice};
use crate::silences::time;

/// How many alerts a message holds; how many more there are is told.
const MOST: usize = 100;

pub(super) fn body(message: &Message) -> Value {
    let notices: Vec<&Notice> = message.notices().take(MOST).collect();
    let status = if message.firing.is_empty() { "resolved" } else { "firing" };
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{alertname=\"{}\"}}", message.alert),
        "truncatedAlerts": message.notices().count().saturating_sub(MOST),
        "status": status,
        "receiver": message.receiver,
        "groupLabels": { "alertname": message.alert },
        "commonLabels": common(notices.iter().map(|n| n.labels.iter().collect())),
        "commonAnnotations": common(notices.iter().map(|n| {
            n.annotations.iter().map(|(name, text)| (*name, text.as_str())).collect()
        })),
        "externalURL": message.external_url.as_deref().unwrap_or(""),
        "alerts": notices.iter().map(|n| alert(n)).collect::<Vec<_>>(),
    })
}

fn alert(notice: &Notice) -> Value {
    json!({
        "status": match notice.phase { Phase::Resolved => "resolved", _ => "firing" },
        "labels": notice.labels,
        "annotations": notice.annotations,
        "startsAt": time(notice.since_ms),
        // Alertmanager's way to say that it is not over.
        "endsAt": notice.resolved_ms.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), time),
        "generatorURL": notice.link.as_deref().unwrap_or(""),
        "fingerprint": notice.fingerprint(),
    })
}

/// What is the same in all of them.
fn common<'a>(mut maps: impl Iterator<Item = BTreeMap<&'a str, &'a str>>) -> BTreeMap<&'a str, &'a str> {
    let first = maps.next().unwrap_or_default();
    maps.fold(first, |mut kept, map| {
        kept.retain(|name, value| map.get(name) == Some(value));
        kept
    })
}
