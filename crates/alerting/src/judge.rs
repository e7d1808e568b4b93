//! Which alerts are pending, firing or over? A condition that holds is pending until it has held for long enough, then it
//! fires, and when it holds no longer it is over.
//!
//! Source: Prometheus documentation, "Alerting rules". It departs from Prometheus where the server is away: then nothing is
//! known of it, and what fired before is neither over nor confirmed, but kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evaluation::{Moment, evaluate};
use crate::history::History;
use crate::labels::Labels;
use crate::rules::Rule;

/// How an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its condition holds, not yet for long enough.
    Pending,
    /// Its condition has held for long enough.
    Firing,
    /// It fired, and its condition holds no longer.
    Resolved,
}

impl Phase {
    /// As it stands in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// An alert of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Active {
    pub phase: Phase,
    /// Since when the condition has held, in milliseconds since 1970.
    pub since_ms: i64,
    /// Since when it has fired.
    pub fired_ms: Option<i64>,
    /// When it was over.
    pub resolved_ms: Option<i64>,
    /// What the condition gave last.
    pub value: f64,
    /// Whether it is kept because nothing is known now.
    pub kept: bool,
}

/// How long an alert that is over is still shown and told.
const SHOWN_AFTER_MS: i64 = 15 * 60_000;
/// How long after a server came back what is not known yet is not taken for over.
const SETTLING_MS: i64 = 60_000;
/// The metric that tells which databases are away.
pub(crate) const UP: &str = "pgwright_up";

/// The alerts of all rules.
#[derive(Debug)]
pub(crate) struct Judge {
    pub rules: Vec<Rule>,
    /// By the rule's place, and by the labels of the series.
    pub active: Vec<BTreeMap<Labels, Active>>,
    /// Why a rule could not be evaluated the last time.
    pub failures: Vec<Option<String>>,
    /// When the databases that were away lately were last away.
    away: BTreeMap<Labels, i64>,
    began_ms: Option<i64>,
}

impl Judge {
    pub fn new(rules: Vec<Rule>) -> Self {
        Self {
            active: vec![BTreeMap::new(); rules.len()],
            failures: vec![None; rules.len()],
            rules,
            away: BTreeMap::new(),
            began_ms: None,
        }
    }

    /// Takes over what was active before a restart, by names of rules.
    pub fn restore(&mut self, kept: impl IntoIterator<Item = (String, Labels, Active)>) {
        for (name, labels, active) in kept {
            if let Some(at) = self.rules.iter().position(|r| r.definition.name == name) {
                self.active[at].insert(labels, active);
            }
        }
    }

    /// Judges by what was read now.
    pub fn judge(&mut self, history: &History, at: Moment) {
        let now_ms = at.reading_ms;
        let began_ms = *self.began_ms.get_or_insert(now_ms);
        for (labels, up) in history.instants(UP, now_ms, 0) {
            if up == 0.0 {
                self.away.insert(labels.clone(), now_ms);
            }
        }
        self.away.retain(|_, last_ms| now_ms - *last_ms <= SETTLING_MS);
        for (place, rule) in self.rules.iter().enumerate() {
            let active = &mut self.active[place];
            active.retain(|_, a| a.resolved_ms.is_none_or(|ms| now_ms - ms < SHOWN_AFTER_MS));
            let found = match evaluate(&rule.expression, history, at) {
                Ok(found) => found,
                Err(reason) => {
                    // What cannot be evaluated is not over either.
                    self.failures[place] = Some(reason);
                    active.values_mut().for_each(|a| a.kept = true);
                    continue;
                }
            };
            self.failures[place] = None;
            let found: BTreeMap<Labels, f64> = found.into_iter().collect();
            let hold_ms = i64::try_from(rule.hold().as_millis()).unwrap_or(i64::MAX);
            active.retain(|labels, alert| {
                if found.contains_key(labels) || alert.phase == Phase::Resolved {
                    return true;
                }
                let warming_up =
                    now_ms - began_ms < rule.reach_ms.min(3_600_000) && alert.since_ms < began_ms;
                let away = self.away.keys().any(|database| agree(labels, database));
                let unknown = away && !is_known(rule, labels, history, now_ms);
                alert.kept = rule.of_server && (unknown || warming_up);
                if alert.kept {
                    return true;
                }
                if alert.phase == Phase::Firing {
                    (alert.phase, alert.resolved_ms) = (Phase::Resolved, Some(now_ms));
                    return true;
                }
                false
            });
            for (labels, value) in found {
                let begun = Active {
                    phase: Phase::Pending,
                    since_ms: now_ms,
                    fired_ms: None,
                    resolved_ms: None,
                    value,
                    kept: false,
                };
                let alert = active.entry(labels).or_insert_with(|| begun.clone());
                if alert.phase == Phase::Resolved {
                    *alert = begun;
                }
                (alert.value, alert.kept) = (value, false);
                if alert.phase == Phase::Pending && now_ms - alert.since_ms >= hold_ms {
                    (alert.phase, alert.fired_ms) = (Phase::Firing, Some(now_ms));
                }
            }
        }
    }
}

/// Whether everything that a condition looks at was read now, of that server and database.
fn is_known(rule: &Rule, labels: &Labels, history: &History, now_ms: i64) -> bool {
    rule.metrics
        .iter()
        .all(|metric| history.instants(metric, now_ms, 0).any(|(series, _)| agree(labels, series)))
}

/// Whether both may be of the same server and database.
fn agree(one: &Labels, other: &Labels) -> bool {
    ["instance", "datname"].iter().all(|name| {
        let (one, other) = (one.get(name), other.get(name));
        one.is_empty() || other.is_empty() || one == other
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{needs, rules};
    use crate::settings::Settings;

    struct Scene {
        judge: Judge,
        history: History,
        now_s: i64,
    }

    impl Scene {
        fn new() -> Self {
            let rules = rules(&Settings::default(), exporter::gives).unwrap();
            let history = History::new(&needs(&rules), vec![("instance".into(), "i".into())]);
            Self { judge: Judge::new(rules), history, now_s: 1_000_000 }
        }

        fn after(&mut self, seconds: i64, text: &str) -> Vec<String> {
            self.now_s += seconds;
            let reading_ms = self.now_s * 1000;
            self.history.begin(reading_ms);
            self.history.add(text);
            self.judge.judge(&self.history, Moment { reading_ms, wall_seconds: self.now_s as f64 });
            let rules = self.judge.rules.iter().zip(&self.judge.active);
            rules
                .flat_map(|(rule, active)| {
                    active.values().map(move |a| {
                        let kept = if a.kept { ", kept" } else { "" };
                        format!("{} {}{kept}", rule.definition.name, a.phase.as_str())
                    })
                })
                .collect()
        }
    }

    const IDLE: &str =
        "pgwright_up{datname=\"d\"} 1\npostgres_longest_idle_in_transaction_seconds{datname=\"d\"} 700\n";
    const BUSY: &str =
        "pgwright_up{datname=\"d\"} 1\npostgres_longest_idle_in_transaction_seconds{datname=\"d\"} 0\n";

    #[test]
    fn a_condition_is_pending_then_fires_and_is_shown_for_a_while_when_it_is_over() {
        let mut scene = Scene::new();
        assert!(scene.after(15, BUSY).is_empty());
        assert_eq!(scene.after(15, IDLE), ["PostgresIdleInTransaction pending"]);
        assert_eq!(scene.after(45, IDLE), ["PostgresIdleInTransaction pending"]);
        assert_eq!(scene.after(15, IDLE), ["PostgresIdleInTransaction firing"]);
        assert_eq!(scene.after(15, BUSY), ["PostgresIdleInTransaction resolved"]);
        assert_eq!(scene.after(15, IDLE), ["PostgresIdleInTransaction pending"]);
        assert!(scene.after(15, BUSY).is_empty());
        scene.after(15, IDLE);
        scene.after(60, IDLE);
        scene.after(15, BUSY);
        assert_eq!(scene.after(890, BUSY), ["PostgresIdleInTransaction resolved"]);
        assert!(scene.after(15, BUSY).is_empty());
    }

    #[test]
    fn while_the_server_is_away_nothing_is_over() {
        let mut scene = Scene::new();
        scene.after(15, IDLE);
        scene.after(60, IDLE);
        let down = "pgwright_up{datname=\"d\"} 0\n";
        let expected = ["PostgresDown pending", "PostgresIdleInTransaction firing, kept"];
        assert_eq!(scene.after(15, down), expected);
        let expected = ["PostgresDown firing", "PostgresIdleInTransaction firing, kept"];
        assert_eq!(scene.after(3600, down), expected);
        // It is back, and its collectors have not run yet.
        let up = "pgwright_up{datname=\"d\"} 1\n";
        let expected = ["PostgresDown resolved", "PostgresIdleInTransaction firing, kept"];
        assert_eq!(scene.after(15, up), expected);
        // What is read again is known again; what is not for a minute is over.
        assert_eq!(scene.after(5, BUSY), ["PostgresDown resolved", "PostgresIdleInTransaction resolved"]);
        scene.after(15, IDLE);
        scene.after(60, IDLE);
        scene.after(15, down);
        scene.after(60, up);
        assert_eq!(scene.after(1, up), ["PostgresIdleInTransaction resolved"]);
    }
}
