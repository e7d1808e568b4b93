//! A message in the form of Slack's incoming webhooks; Mattermost, Rocket.Chat and others understand it as well.
//!
//! Source: Slack API, "Sending messages using incoming webhooks", "Secondary message attachments", "Escaping text".

use monitoring::alerts::Severity;
use serde_json::{Value, json};

use crate::message::Message;

pub(super) fn body(message: &Message) -> Value {
    let heading = escaped(&message.heading());
    let colour = match (message.firing.is_empty(), message.severity()) {
        (true, _) => "#2e7d32",
        (_, Severity::Critical) => "#b71c1c",
        (_, Severity::Warning) => "#e65100",
        (_, Severity::Info) => "#1565c0",
    };
    let line = |(line, address): &(String, Option<&str>)| match address {
        Some(address) => format!("{} {}", escaped(line), linked(address, "details")),
        None => escaped(line),
    };
    let mut text: Vec<String> = message.lines().iter().map(line).collect();
    text.extend(message.advice().iter().map(|(what, told)| match told.split_once("://") {
        Some(("http" | "https", _)) => format!("*{what}*: {}", linked(told, told)),
        _ => format!("*{what}*: {}", escaped(told)),
    }));
    json!({
        "text": heading,
        "attachments": [{
            "color": colour,
            "fallback": heading,
            "text": text.join("\n"),
            "mrkdwn_in": ["text"],
        }],
    })
}

/// A link. In an address what would end it is encoded: values of labels are already.
fn linked(address: &str, text: &str) -> String {
    format!("<{}|{}>", escaped(&address.replace('|', "%7C").replace('>', "%3E")), escaped(text))
}

/// Names from the server must not become mentions or links.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
