//! What is one told? The alerts of one name that fire, and those that are over.

use std::collections::BTreeMap;

use monitoring::alerts::Severity;

use crate::judge::Phase;
use crate::labels::Labels;

/// An alert as it is told of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    pub phase: Phase,
    pub severity: Severity,
    /// Its labels with `alertname` and `severity`.
    pub labels: Labels,
    /// What is the case, why it matters, what to do, and where that stands.
    pub annotations: BTreeMap<&'static str, String>,
    pub since_ms: i64,
    pub fired_ms: i64,
    pub resolved_ms: Option<i64>,
    pub value: f64,
    /// Where it is shown.
    pub link: Option<String>,
    /// The page that shows what is wrong in detail, below where people reach this pgwright.
    pub page: String,
}

impl Notice {
    /// What tells it from all others, for receivers that remember.
    pub fn fingerprint(&self) -> String {
        format!("{:016x}", twox_hash::XxHash64::oneshot(0, self.labels.to_string().as_bytes()))
    }

    /// What its part of the page of alerts is called.
    pub fn anchor(&self) -> String {
        format!("a-{}", self.fingerprint())
    }

    pub fn annotation(&self, name: &str) -> &str {
        self.annotations.get(name).map_or("", String::as_str)
    }
}

/// A message to one receiver.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub receiver: String,
    /// The name of the alert that all of it is about.
    pub alert: String,
    pub firing: Vec<Notice>,
    pub resolved: Vec<Notice>,
    /// Where people reach this pgwright.
    pub external_url: Option<String>,
}

/// How many alerts of a message are told one by one where people read them.
const READ_ONE_BY_ONE: usize = 20;

impl Message {
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.firing.iter().chain(&self.resolved)
    }

    /// How bad it is: that of what fires, or of what is over.
    pub fn severity(&self) -> Severity {
        let of = |notices: &[Notice]| notices.iter().map(|n| n.severity).max();
        of(&self.firing).or_else(|| of(&self.resolved)).unwrap_or(Severity::Info)
    }

    /// The heading, as in `[FIRING:2] PostgresDown (critical)`.
    pub fn heading(&self) -> String {
        let state = match self.firing.len() {
            0 => "[RESOLVED]".to_owned(),
            number => format!("[FIRING:{number}]"),
        };
        let of_one = match self.firing.as_slice() {
            [one] => format!(" {}", one.labels.get("instance")),
            _ => String::new(),
        };
        format!("{state} {} ({}){of_one}", self.alert, self.severity().as_str())
    }

    /// The summaries, one each with the address where it is seen in detail, and how many more there are.
    pub fn lines(&self) -> Vec<(String, Option<&str>)> {
        let mut lines: Vec<(String, Option<&str>)> = Vec::new();
        for notice in self.notices().take(READ_ONE_BY_ONE) {
            let summary = notice.annotation("summary");
            let text = match notice.phase {
                Phase::Resolved => format!("over: {summary}"),
                _ => summary.to_owned(),
            };
            let address = notice.annotations.get("finding_url").map(String::as_str);
            // One that was given with a line before need not be read again.
            let is_known = lines.iter().any(|(_, before)| before.is_some() && *before == address);
            lines.push((text, address.filter(|_| !is_known)));
        }
        let more = self.notices().count().saturating_sub(READ_ONE_BY_ONE);
        if more > 0 {
            lines.push((format!("and {more} more"), None));
        }
        lines
    }

    /// What holds for all of it: why it matters, what to do, and where that stands. Nothing when all is over.
    pub fn advice(&self) -> Vec<(&'static str, String)> {
        let Some(first) = self.firing.first() else { return Vec::new() };
        let told = [
            ("Why", first.annotation("description").to_owned()),
            ("Do", first.annotation("action").to_owned()),
            ("Finding", first.annotation("finding").to_owned()),
            ("Procedure", first.annotation("runbook_url").to_owned()),
            ("pgwright", first.link.clone().unwrap_or_default()),
        ];
        told.into_iter().filter(|(_, text)| !text.is_empty()).collect()
    }
}
