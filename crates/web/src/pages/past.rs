//! Over which time is history looked at, with what is it compared, and how is that chosen on a page?

use chrono::{DateTime, TimeDelta, Utc};
use history::{Reader, Window};
use maud::{Markup, html};
use sampling::Quantile;

use super::figures::{seconds, written};
use super::link;
use super::listing::Wanted;
use crate::{Failure, Site};

/// The lengths to choose from: name, what it is called, seconds.
const LENGTHS: &[(&str, &str, i64)] = &[
    ("15m", "15 minutes", 900),
    ("1h", "hour", 3600),
    ("6h", "6 hours", 21_600),
    ("24h", "24 hours", 86_400),
    ("7d", "7 days", 604_800),
    ("30d", "30 days", 2_592_000),
];
const USUAL: &str = "1h";

/// What a window is compared with: name, what it is called, seconds before.
const REFERENCES: &[(&str, &str, i64)] = &[
    ("before", "the time before", 0),
    ("day", "a day earlier", 86_400),
    ("week", "a week earlier", 604_800),
];

/// The time that a page looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    length: (&'static str, &'static str, i64),
    reference: (&'static str, &'static str, i64),
    pub window: Window,
}

impl Past {
    /// What the address asks for, up to `to`.
    pub fn of(wanted: &Wanted, to: DateTime<Utc>) -> Self {
        let named = |options: &[(&'static str, &'static str, i64)], name: &str, usual: &str| {
            let find = |name: &str| options.iter().find(|o| o.0 == name).copied();
            find(name).or_else(|| find(usual)).unwrap_or((USUAL, "hour", 3600))
        };
        let length = named(LENGTHS, wanted.other("window"), USUAL);
        let reference = named(REFERENCES, wanted.other("compare"), "before");
        Self { length, reference, window: Window { from: to - TimeDelta::seconds(length.2), to } }
    }

    /// What is looked at where nothing is asked for.
    pub fn usual(to: DateTime<Utc>) -> Self {
        Self::of(&Wanted::parse(None), to)
    }

    /// What it is compared with; nothing for the time before, which the reader takes by itself.
    pub fn reference(&self) -> Option<Window> {
        let earlier = TimeDelta::seconds(self.reference.2.max(self.length.2));
        (self.reference.2 > 0)
            .then(|| Window { from: self.window.from - earlier, to: self.window.to - earlier })
    }

    /// Points that are further apart are not joined: where nobody watched there is no line.
    pub fn gap(&self, level: history::Level) -> TimeDelta {
        TimeDelta::seconds(if level == history::Level::Raw { 150 } else { level.seconds() * 5 / 2 })
    }

    /// Links to the other lengths, and to the other references.
    pub fn choices(&self, path: &str, wanted: &Wanted, with_reference: bool) -> Markup {
        let kept = |name: &str, value: &str| {
            let mut parts: Vec<(&str, &str)> =
                wanted.others().filter(|(n, _)| *n != name && (*n != "compare" || with_reference)).collect();
            parts.push((name, value));
            link(path, &parts)
        };
        html! {
            p.choices {
                "The last: "
                @for (name, title, _) in LENGTHS {
                    a href=(kept("window", name)) aria-current=[(*name == self.length.0).then_some("true")] { (title) } " "
                }
                @if with_reference {
                    span { " compared with: " }
                    @for (name, title, _) in REFERENCES {
                        a href=(kept("compare", name)) aria-current=[(*name == self.reference.0).then_some("true")] { (title) } " "
                    }
                }
            }
        }
    }
}

/// The reader, and up to when there is history; nothing where none is kept, or none is there yet.
pub(super) async fn reader(site: &Site) -> Result<Option<(&Reader, DateTime<Utc>)>, Failure> {
    let Some(reader) = site.app.history.as_deref() else { return Ok(None) };
    match reader.source().await {
        Ok(source) => Ok(source.to.map(|to| (reader, to))),
        // Before the first interval is written there is none.
        Err(history::Error::NoHistory { .. } | history::Error::NoSource { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// From when to when, in words.
pub(super) fn told(window: &Window) -> String {
    format!("{} to {}", written(window.from), written(window.to))
}

/// A percentile in seconds; NaN where too few executions were seen.
pub(super) fn value(quantile: Option<Quantile>) -> f64 {
    quantile.map_or(f64::NAN, |q| q.percentile.value.0 / 1000.0)
}

/// A percentile with its interval on hover.
pub(super) fn percentile(quantile: Option<Quantile>) -> Markup {
    match quantile {
        Some(q) => {
            let interval = format!("{} to {} with 95 % confidence", q.percentile.lower, q.percentile.upper);
            html! { span title=(interval) { (seconds(q.percentile.value.0 / 1000.0)) } }
        }
        None => html! { span.dim title="too few executions were seen" { "–" } },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_from_the_address() {
        let to: DateTime<Utc> = "2026-01-10T00:00:00Z".parse().unwrap();
        let past = |query: &str| Past::of(&Wanted::parse(Some(query)), to);
        assert_eq!(past("window=24h").window.seconds(), 86_400.0);
        assert_eq!(past("window=%3Cscript%3E&compare=x").window.seconds(), 3600.0);
        assert_eq!(past("compare=before").reference(), None);
        let earlier = past("window=1h&compare=week").reference().unwrap();
        assert_eq!(earlier.to, to - TimeDelta::days(7));
        // A window is not compared with a part of itself.
        assert_eq!(past("window=7d&compare=day").reference().unwrap().to, to - TimeDelta::days(7));
        let wanted = Wanted::parse(Some("window=6h&queryid=1&compare=day"));
        let links = Past::of(&wanted, to).choices("/x", &wanted, true).into_string();
        assert!(links.contains("/x?queryid=1&amp;compare=day&amp;window=7d"), "{links}");
    }
}
