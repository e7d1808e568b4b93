//! Which checks run, how severe is what they find, and what is known to be no fault?

use std::collections::BTreeMap;

use model::Severity;
use serde::{Deserialize, Serialize};

use super::checks::{CHECKS, Check};
use crate::migration;

/// The section `[lint]` of `pgwright.toml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Ids of checks that are not run.
    pub disable: Vec<String>,
    /// Ids of checks that are run although they are off by default.
    pub enable: Vec<String>,
    /// Severities other than a check's own, by its id.
    pub severity: BTreeMap<String, Severity>,
    /// The numbers that checks compare with.
    pub thresholds: Thresholds,
    /// What is known to be no fault.
    pub suppress: Vec<Suppression>,
}

/// A finding, or several, that somebody has looked at and lets be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suppression {
    /// The key of the finding; `*` stands for anything, `?` for one character.
    pub key: String,
    /// Why it is no fault.
    pub reason: String,
}

impl Suppression {
    /// Whether a key matches.
    pub fn covers(&self, key: &str) -> bool {
        let pattern: Vec<char> = self.key.chars().collect();
        let text: Vec<char> = key.chars().collect();
        matches(&pattern, &text)
    }

    /// Whether it speaks of one of these checks.
    pub(super) fn is_of(&self, checks: &[String]) -> bool {
        checks.iter().any(|id| self.key.split_once(':').is_some_and(|(check, _)| check == id))
    }
}

/// Globs without backtracking over more than the last star.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (p, t) = (*at + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

impl Settings {
    /// Whether a check runs when none is asked for by name.
    pub fn runs(&self, check: &Check) -> bool {
        let named = |list: &[String]| list.iter().any(|id| id == check.id);
        (check.on || named(&self.enable)) && !named(&self.disable)
    }

    /// What is wrong with them, in a sentence: ids that no check has, suppressions without a reason.
    pub fn mistake(&self) -> Option<String> {
        let ids = self.disable.iter().chain(&self.enable).chain(self.severity.keys());
        let known =
            |id: &str| CHECKS.iter().any(|c| c.id == id) || migration::CHECKS.iter().any(|c| c.id == id);
        if let Some(unknown) = ids.into_iter().find(|id| !known(id)) {
            return Some(format!("There is no check \"{unknown}\"."));
        }
        let empty = self.suppress.iter().find(|s| s.reason.trim().is_empty())?;
        Some(format!("The suppression of \"{}\" has no reason.", empty.key))
    }
}

/// The numbers that checks compare with. Each can be set in `[lint.thresholds]` under its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// An index counts as unused only when the counters are at least this old. 7 days.
    pub unused_min_days: f64,
    /// … and it is at least this large. 1 MB.
    pub unused_min_bytes: u64,
    /// An index holds mostly NULLs above this share. 0.5.
    pub null_share: f64,
    /// … and is at least this large. 1 MB.
    pub null_min_bytes: u64,
    /// A value of a boolean column is rare, and worth a partial index, below this share. 0.1.
    pub boolean_rare_share: f64,
    /// A predicate leaves out too little when the index holds at least this share of the rows. 0.98.
    pub predicate_share: f64,
    /// A foreign key without an index matters for tables with at least this many rows. 1,000.
    pub foreign_key_min_rows: f64,
    /// A table or index is bloated above this share of its pages. 0.3.
    pub bloat_share: f64,
    /// … and when at least this much is wasted. 10 MB.
    pub bloat_min_bytes: u64,
    /// Padding is worth a word when another order of the columns saves this share of a row. 0.1.
    pub padding_share: f64,
    /// … and at least this much in all. 10 MB.
    pub padding_min_bytes: u64,
    /// A table is missed by VACUUM when it has at least this many rows. 10,000.
    pub vacuum_min_rows: f64,
    /// A sequence or key runs out above this share of its range. 0.5.
    pub exhausted_share: f64,
    /// … and is about to above this share, which is an error. 0.8.
    pub exhausted_error_share: f64,
    /// Unfrozen rows are old above this share of the two thousand million transactions after which the server
    /// refuses to write. 0.25.
    pub wraparound_share: f64,
    /// … and an error above this share. 0.6.
    pub wraparound_error_share: f64,
    /// A table partitioned by time should have partitions for at least this many days to come. 7.
    pub partition_ahead_days: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            unused_min_days: 7.0,
            unused_min_bytes: 1 << 20,
            null_share: 0.5,
            null_min_bytes: 1 << 20,
            boolean_rare_share: 0.1,
            predicate_share: 0.98,
            foreign_key_min_rows: 1_000.0,
            bloat_share: 0.3,
            bloat_min_bytes: 10 << 20,
            padding_share: 0.1,
            padding_min_bytes: 10 << 20,
            vacuum_min_rows: 10_000.0,
            exhausted_share: 0.5,
            exhausted_error_share: 0.8,
            wraparound_share: 0.25,
            wraparound_error_share: 0.6,
            partition_ahead_days: 7.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_cover_what_they_should() {
        for (pattern, key, expected) in [
            ("unused-index:index public.t_a_idx", "unused-index:index public.t_a_idx", true),
            ("unused-index:*", "unused-index:index public.t_a_idx", true),
            ("*:table public.audit_*", "no-primary-key:table public.audit_2024", true),
            ("*:table public.audit_*", "no-primary-key:table public.orders", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("", "x", false),
        ] {
            let suppression = Suppression { key: pattern.into(), reason: "r".into() };
            assert_eq!(suppression.covers(key), expected, "{pattern} covers {key}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        let unknown = Settings { disable: vec!["no-such".into()], ..Settings::default() };
        assert_eq!(unknown.mistake().as_deref(), Some("There is no check \"no-such\"."));
        let silent = Suppression { key: "x".into(), reason: " ".into() };
        let silent = Settings { suppress: vec![silent], ..Settings::default() };
        assert_eq!(silent.mistake().as_deref(), Some("The suppression of \"x\" has no reason."));
        assert_eq!(Settings::default().mistake(), None);
    }
}
