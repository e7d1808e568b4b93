//! What does a receiver have to be told next? It is compared what it should know with what it was told, so that what could
//! not be sent is sent later as it is then, nothing is told twice, and nothing piles up.
//!
//! Source: Alertmanager documentation, "Grouping": alerts of one name are told together.

use std::collections::{BTreeMap, BTreeSet};

use monitoring::alerts::Severity;
use serde::{Deserialize, Serialize};

use crate::judge::Phase;
use crate::labels::Labels;
use crate::message::{Message, Notice};

/// When groups are told, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paces {
    /// How long the first message waits for more.
    pub wait_ms: i64,
    /// How long after a message what is new is told.
    pub interval_ms: i64,
    /// After how long what still fires is told again.
    pub repeat_ms: i64,
}

/// What a receiver was told, by the name of the alert.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Told(BTreeMap<String, ToldGroup>);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct ToldGroup {
    /// When it was told last.
    at_ms: i64,
    /// What it was told to be firing, with when that began, so that it can be told when it is over.
    firing: Vec<ToldAlert>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ToldAlert {
    labels: Labels,
    since_ms: i64,
    summary: String,
}

impl ToldAlert {
    /// That it is over, when nothing else is known of it any more.
    fn over(&self, now_ms: i64) -> Notice {
        Notice {
            phase: Phase::Resolved,
            severity: Severity::Info,
            labels: self.labels.clone(),
            annotations: [("summary", self.summary.clone())].into(),
            since_ms: self.since_ms,
            fired_ms: self.since_ms,
            resolved_ms: Some(now_ms),
            value: f64::NAN,
            link: None,
            page: String::new(),
        }
    }
}

/// An alert and whether it is kept quiet.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub notice: Notice,
    pub muted: bool,
}

impl Told {
    /// The message that is due, if any. `of_it` are the alerts that are of this receiver's concern.
    pub fn due(
        &self,
        of_it: &[Standing],
        paces: Paces,
        tells_resolved: bool,
        now_ms: i64,
    ) -> Option<Message> {
        let mut names: BTreeSet<&str> = of_it.iter().map(|s| s.notice.labels.get("alertname")).collect();
        names.extend(self.0.keys().map(String::as_str));
        names.into_iter().find_map(|name| {
            let group = of_it.iter().filter(|s| s.notice.labels.get("alertname") == name);
            self.due_of(name, group, paces, tells_resolved, now_ms)
        })
    }

    fn due_of<'a>(
        &self,
        name: &str,
        group: impl Iterator<Item = &'a Standing> + Clone,
        paces: Paces,
        tells_resolved: bool,
        now_ms: i64,
    ) -> Option<Message> {
        let firing: Vec<&Notice> = group
            .clone()
            .filter(|s| !s.muted && s.notice.phase == Phase::Firing)
            .map(|s| &s.notice)
            .collect();
        let told = self.0.get(name);
        let was_told = |labels: &Labels| told.is_some_and(|t| t.firing.iter().any(|a| a.labels == *labels));
        let mut resolved: Vec<Notice> = group
            .clone()
            .filter(|s| s.notice.phase == Phase::Resolved && was_told(&s.notice.labels))
            .map(|s| s.notice.clone())
            .collect();
        // The receiver was away for longer than what is over is remembered, or pgwright was.
        let gone = told.into_iter().flat_map(|t| &t.firing);
        let gone = gone.filter(|a| group.clone().all(|s| s.notice.labels != a.labels));
        resolved.extend(gone.map(|a| a.over(now_ms)));
        let new_since = firing.iter().filter(|n| !was_told(&n.labels)).map(|n| n.fired_ms).min();
        let nothing_before = told.is_none_or(|t| t.firing.is_empty());
        let since_told = told.map_or(i64::MAX, |t| now_ms - t.at_ms);
        let due = match new_since {
            Some(fired_ms) if nothing_before => {
                now_ms - fired_ms >= paces.wait_ms && since_told >= paces.interval_ms.min(paces.wait_ms)
            }
            Some(_) => since_told >= paces.interval_ms,
            None => {
                (tells_resolved && !resolved.is_empty() && since_told >= paces.interval_ms)
                    || (!firing.is_empty() && since_told >= paces.repeat_ms)
            }
        };
        due.then(|| Message {
            receiver: String::new(),
            alert: name.to_owned(),
            firing: firing.into_iter().cloned().collect(),
            resolved: if tells_resolved { resolved } else { Vec::new() },
            external_url: None,
        })
    }

    /// A message has arrived.
    pub fn told(&mut self, message: &Message, now_ms: i64) {
        let group = self.0.entry(message.alert.clone()).or_default();
        group.at_ms = now_ms;
        group.firing.retain(|a| message.resolved.iter().all(|n| n.labels != a.labels));
        for notice in &message.firing {
            if group.firing.iter().all(|a| a.labels != notice.labels) {
                group.firing.push(ToldAlert {
                    labels: notice.labels.clone(),
                    since_ms: notice.since_ms,
                    summary: notice.annotation("summary").to_owned(),
                });
            }
        }
    }

    /// Forgets groups in which nothing fires, and, where a receiver is not told of ends, what is over.
    pub fn forget(&mut self, of_it: &[Standing], paces: Paces, tells_resolved: bool, now_ms: i64) {
        if !tells_resolved {
            let firing = |a: &ToldAlert| {
                of_it.iter().any(|s| s.notice.phase == Phase::Firing && s.notice.labels == a.labels)
            };
            self.0.values_mut().for_each(|group| group.firing.retain(firing));
        }
        self.0.retain(|_, g| !g.firing.is_empty() || now_ms - g.at_ms < paces.interval_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACES: Paces = Paces { wait_ms: 10, interval_ms: 60, repeat_ms: 1000 };

    fn standing(name: &'static str, object: &'static str, phase: Phase, fired_ms: i64) -> Standing {
        let notice = Notice {
            phase,
            severity: Severity::Warning,
            labels: [("alertname", name), ("object", object)].into_iter().collect(),
            annotations: BTreeMap::new(),
            since_ms: fired_ms,
            fired_ms,
            resolved_ms: None,
            value: 1.0,
            link: None,
            page: String::new(),
        };
        Standing { notice, muted: false }
    }

    /// What is told at a time, as `firing/resolved` objects; it arrives.
    fn tell(told: &mut Told, of_it: &[Standing], now_ms: i64) -> Option<String> {
        let message = told.due(of_it, PACES, true, now_ms)?;
        told.told(&message, now_ms);
        let objects = |notices: &[Notice]| {
            notices.iter().map(|n| n.labels.get("object").to_owned()).collect::<Vec<_>>().join("+")
        };
        Some(format!("{} {}/{}", message.alert, objects(&message.firing), objects(&message.resolved)))
    }

    #[test]
    fn alerts_of_a_name_are_told_together_once_again_after_long_and_when_they_are_over() {
        let mut told = Told::default();
        let (a, b) = (standing("A", "1", Phase::Firing, 100), standing("A", "2", Phase::Firing, 105));
        let both = [a.clone(), b.clone()];
        assert_eq!(tell(&mut told, &both[..1], 109), None);
        assert_eq!(tell(&mut told, &both, 110).as_deref(), Some("A 1+2/"));
        assert_eq!(tell(&mut told, &both, 1000), None);
        assert_eq!(tell(&mut told, &both, 1110).as_deref(), Some("A 1+2/"));
        let third = standing("A", "3", Phase::Firing, 1120);
        let three = [a.clone(), b, third];
        assert_eq!(tell(&mut told, &three, 1169), None);
        assert_eq!(tell(&mut told, &three, 1170).as_deref(), Some("A 1+2+3/"));
        let over = [a, standing("A", "2", Phase::Resolved, 105), standing("A", "3", Phase::Firing, 1120)];
        assert_eq!(tell(&mut told, &over, 1180), None);
        assert_eq!(tell(&mut told, &over, 1230).as_deref(), Some("A 1+3/2"));
        assert_eq!(tell(&mut told, &over, 1300), None);
        // What nobody knows any more is over as well.
        assert_eq!(tell(&mut told, &[], 2000).as_deref(), Some("A /1+3"));
        told.forget(&[], PACES, true, 3000);
        assert_eq!(told, Told::default());
    }

    #[test]
    fn what_was_never_told_is_not_told_to_be_over_and_what_is_muted_is_neither() {
        let mut told = Told::default();
        assert_eq!(tell(&mut told, &[standing("A", "1", Phase::Resolved, 1)], 500), None);
        let mut muted = standing("A", "1", Phase::Firing, 500);
        muted.muted = true;
        assert_eq!(tell(&mut told, &[muted.clone()], 600), None);
        let loud = standing("A", "1", Phase::Firing, 500);
        assert_eq!(tell(&mut told, &[loud], 600).as_deref(), Some("A 1/"));
        assert_eq!(tell(&mut told, &[muted], 5000), None);
        let over = standing("A", "1", Phase::Resolved, 500);
        assert_eq!(tell(&mut told, &[over], 5000).as_deref(), Some("A /1"));
    }

    #[test]
    fn what_did_not_arrive_is_still_due_as_it_is_then() {
        let told = Told::default();
        let firing = [standing("A", "1", Phase::Firing, 100)];
        assert!(told.due(&firing, PACES, true, 200).is_some());
        assert!(told.due(&firing, PACES, true, 300).is_some());
        // It is over before anybody was told.
        assert!(told.due(&[standing("A", "1", Phase::Resolved, 100)], PACES, true, 400).is_none());
    }
}
