//! What is known and not told? Silences, by matchers of labels and until a time, and alerts that others make superfluous.
//!
//! Source: Alertmanager documentation, "Silences", "Inhibition".

use chrono::{DateTime, SecondsFormat, Utc};
use monitoring::inhibition::inhibitions;
use promql_parser::label::Matcher;
use promql_parser::parser;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::labels::Labels;
use crate::settings::SilenceSettings;

/// Conditions on labels, all of which must hold.
#[derive(Clone, Debug)]
pub(crate) struct Matchers(Vec<Matcher>);

impl Matchers {
    /// Reads them as PromQL has them within braces.
    ///
    /// # Errors
    /// [`Error::Matchers`] when they are none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Matchers { matchers: text.to_owned(), reason: reason.to_owned() };
        let inside = text.trim().trim_start_matches('{').trim_end_matches('}');
        // PromQL wants a name, or a matcher that the empty text does not match.
        match parser::parse(&format!("alert{{{inside}}}")) {
            Ok(parser::Expr::VectorSelector(selector))
                if selector.offset.is_none()
                    && selector.at.is_none()
                    && selector.matchers.or_matchers.is_empty()
                    && !selector.matchers.matchers.is_empty() =>
            {
                Ok(Self(selector.matchers.matchers))
            }
            Ok(_) => Err(wrong("They are not matchers of labels.")),
            Err(reason) => Err(wrong(&format!("{}.", reason.trim_end_matches('.')))),
        }
    }

    /// Whether all of them hold.
    pub fn hold(&self, labels: &Labels) -> bool {
        self.0.iter().all(|m| m.is_match(labels.get(&m.name)))
    }
}

/// What is not told for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// By which it is ended.
    pub id: String,
    /// Which alerts, as in PromQL.
    pub matchers: String,
    /// Until when, as RFC 3339; for ever when it is not said.
    pub until: Option<String>,
    /// Why.
    pub comment: String,
    /// Whether it stands in pgwright.toml, and is ended there.
    pub configured: bool,
}

/// A silence that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct ReadySilence {
    pub silence: Silence,
    matchers: Matchers,
    until_ms: Option<i64>,
}

impl ReadySilence {
    /// Makes a silence ready.
    ///
    /// # Errors
    /// When its matchers or its time cannot be used.
    pub fn new(silence: Silence) -> Result<Self, Error> {
        let matchers = Matchers::parse(&silence.matchers)?;
        let until_ms = silence.until.as_deref().map(milliseconds).transpose()?;
        Ok(Self { silence, matchers, until_ms })
    }

    /// One of pgwright.toml.
    ///
    /// # Errors
    /// When its matchers or its time cannot be used.
    pub fn configured(settings: &SilenceSettings, number: usize) -> Result<Self, Error> {
        Self::new(Silence {
            id: format!("configured-{}", number + 1),
            matchers: settings.matchers.clone(),
            until: settings.until.clone(),
            comment: settings.comment.clone(),
            configured: true,
        })
    }

    /// Whether its time is over.
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.until_ms.is_some_and(|until| until <= now_ms)
    }

    /// Whether it is about an alert.
    pub fn covers(&self, labels: &Labels, now_ms: i64) -> bool {
        !self.is_over(now_ms) && self.matchers.hold(labels)
    }
}

fn milliseconds(time: &str) -> Result<i64, Error> {
    DateTime::parse_from_rfc3339(time).map(|t| t.timestamp_millis()).map_err(|_| Error::Time {
        time: time.to_owned(),
        reason: "It is no time with a date and a zone.".into(),
    })
}

/// A time as RFC 3339.
pub(crate) fn time(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Whether alerts of this name make others superfluous.
pub(crate) fn inhibits(name: &str) -> bool {
    inhibitions().iter().any(|i| i.source == name)
}

/// The firing alert that makes this one superfluous. Both with all their labels, `alertname` among them.
pub(crate) fn inhibitor<'a>(
    labels: &Labels,
    firing: impl Iterator<Item = &'a Labels> + Clone,
) -> Option<&'a Labels> {
    let name = labels.get("alertname");
    let of_this = inhibitions()
        .iter()
        .filter(|i| i.source != name && (i.targets.is_empty() || i.targets.contains(&name)));
    of_this.into_iter().find_map(|inhibition| {
        let agree = |source: &Labels| {
            inhibition.equal.iter().all(|label| {
                let of_target = labels.get(label);
                of_target.is_empty() || of_target == source.get(label)
            })
        };
        firing.clone().find(|source| source.get("alertname") == inhibition.source && agree(source))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&'static str, &'static str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    #[test]
    fn a_silence_covers_what_matches_until_its_time() {
        let settings = |matchers: &str, until: Option<&str>| SilenceSettings {
            matchers: matchers.into(),
            until: until.map(str::to_owned),
            comment: "upgrade".into(),
        };
        let until = settings("alertname=\"A\", datname=~\"shop.*\"", Some("1970-01-01T01:00:00+01:00"));
        let silence = ReadySilence::configured(&until, 0).unwrap();
        let shop = labels(&[("alertname", "A"), ("datname", "shop_1")]);
        assert!(silence.covers(&shop, -1) && !silence.covers(&shop, 0) && silence.is_over(0));
        assert!(!silence.covers(&labels(&[("alertname", "A"), ("datname", "my_shop")]), -1));
        let forever = ReadySilence::configured(&settings("{severity!=\"critical\"}", None), 0).unwrap();
        assert!(forever.covers(&shop, i64::MAX));
        for wrong in ["", "A", "alertname=", "a=\"b\"} or {c=\"d\"", "a=\"b\"} + x{c=\"d\"", "a=~\"(\""] {
            assert!(ReadySilence::configured(&settings(wrong, None), 0).is_err(), "{wrong}");
        }
        assert!(ReadySilence::configured(&settings("a=\"b\"", Some("tomorrow")), 0).is_err());
    }

    #[test]
    fn what_follows_from_another_alert_is_inhibited() {
        let down = labels(&[("alertname", "PostgresDown"), ("instance", "i"), ("datname", "d")]);
        let near = labels(&[("alertname", "PostgresWraparoundNear"), ("instance", "i"), ("datname", "d")]);
        let firing = [&down, &near];
        let inhibited = |pairs: &[(&'static str, &'static str)]| {
            inhibitor(&labels(pairs), firing.iter().copied()).map(|l| l.get("alertname").to_owned())
        };
        let by_down = Some("PostgresDown".to_owned());
        assert_eq!(
            inhibited(&[("alertname", "PostgresWraparound"), ("instance", "i"), ("datname", "d")]),
            by_down
        );
        assert_eq!(inhibited(&[("alertname", "PostgresReplicationLag"), ("instance", "i")]), by_down);
        assert_eq!(
            inhibited(&[("alertname", "PostgresWraparound"), ("instance", "i"), ("datname", "e")]),
            None
        );
        assert_eq!(inhibited(&[("alertname", "PostgresReplicationLag"), ("instance", "k")]), None);
        assert_eq!(inhibited(&[("alertname", "PostgresDown"), ("instance", "i"), ("datname", "d")]), None);
        let firing = [&near];
        let wraparound = labels(&[("alertname", "PostgresWraparound"), ("instance", "i"), ("datname", "d")]);
        assert_eq!(inhibitor(&wraparound, firing.into_iter()), Some(&near));
    }
}
