//! What does `[alerts]` in pgwright.toml say? Which conditions, for how long, what is silenced and who is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use monitoring::alerts::Severity;
use serde::{Deserialize, Deserializer};

/// `[alerts]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether conditions are evaluated at all.
    pub enabled: bool,
    /// How often.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
    /// Alerts that are not wanted.
    pub disable: Vec<String>,
    /// The page that every alert links to, at `#name`.
    pub runbooks: Option<String>,
    /// Where people reach this pgwright, for links.
    pub external_url: Option<String>,
    /// The file that keeps silences, what is firing and who was told over a restart.
    pub state_file: Option<PathBuf>,
    /// How long the first message of a group waits for others of it.
    #[serde(deserialize_with = "duration")]
    pub group_wait: Duration,
    /// How long a group waits before it tells what is new in it.
    #[serde(deserialize_with = "duration")]
    pub group_interval: Duration,
    /// After how long what still fires is told again.
    #[serde(deserialize_with = "duration")]
    pub repeat_interval: Duration,
    /// What is different of an alert that pgwright has, by its name.
    pub change: BTreeMap<String, Change>,
    /// Further alerts.
    pub rule: Vec<RuleSettings>,
    /// What is not told.
    pub silence: Vec<SilenceSettings>,
    /// Who is told.
    pub notify: Vec<ReceiverSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(15),
            disable: Vec::new(),
            runbooks: None,
            external_url: None,
            state_file: None,
            group_wait: Duration::from_secs(10),
            group_interval: Duration::from_secs(60),
            repeat_interval: Duration::from_secs(4 * 3600),
            change: BTreeMap::new(),
            rule: Vec::new(),
            silence: Vec::new(),
            notify: Vec::new(),
        }
    }
}

/// `[alerts.change.NAME]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// For how long the condition must have held.
    #[serde(default, rename = "for", deserialize_with = "optional_duration")]
    pub hold: Option<Duration>,
    /// Another condition.
    pub expression: Option<String>,
    /// Another severity.
    #[serde(default, deserialize_with = "optional_severity")]
    pub severity: Option<Severity>,
}

/// `[[alerts.rule]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// Its name.
    pub name: String,
    /// The condition.
    pub expression: String,
    /// For how long it must have held.
    #[serde(default, rename = "for", deserialize_with = "duration")]
    pub hold: Duration,
    /// How soon somebody has to look; a warning where it is not said.
    #[serde(default, deserialize_with = "optional_severity")]
    pub severity: Option<Severity>,
    /// What is the case, in one line.
    pub summary: String,
    /// Why it matters.
    #[serde(default)]
    pub meaning: String,
    /// What to do.
    #[serde(default)]
    pub action: String,
}

/// `[[alerts.silence]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SilenceSettings {
    /// Which alerts: matchers of labels as in PromQL, all of which must hold.
    pub matchers: String,
    /// Until when, as RFC 3339; for ever where it is not said.
    pub until: Option<String>,
    /// Why.
    pub comment: String,
}

/// `[[alerts.notify]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverSettings {
    /// Its name, for messages and metrics; its kind where it is not said.
    pub name: Option<String>,
    /// How it is told.
    pub kind: ReceiverKind,
    /// The address of a webhook, of Slack or of Alertmanager.
    pub url: Option<String>,
    /// A file with that address, when the address itself is a secret.
    pub url_file: Option<PathBuf>,
    /// A file with a token that is sent as `Authorization: Bearer`.
    pub token_file: Option<PathBuf>,
    /// Only alerts of at least this severity.
    #[serde(default, deserialize_with = "optional_severity")]
    pub min_severity: Option<Severity>,
    /// Only alerts whose labels match.
    pub matchers: Option<String>,
    /// Whether it is told when an alert is over; yes where it is not said.
    pub resolved: Option<bool>,
    /// E-mail: the server for outgoing mail, `HOST` or `HOST:PORT`.
    pub smtp: Option<String>,
    /// E-mail: how the connection is encrypted: `starttls` (where it is not said), `tls` or `none`.
    pub encryption: Option<Encryption>,
    /// E-mail: who sends it.
    pub from: Option<String>,
    /// E-mail: who gets it.
    #[serde(default)]
    pub to: Vec<String>,
    /// E-mail: whom the server asks for a password.
    pub user: Option<String>,
    /// E-mail: a file with the password.
    pub password_file: Option<PathBuf>,
}

/// How somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverKind {
    /// JSON in the form of Alertmanager's webhooks.
    Webhook,
    /// A message in the form of Slack's incoming webhooks, which others understand as well.
    Slack,
    /// E-mail.
    Email,
    /// The API of Alertmanager, which then groups and tells.
    Alertmanager,
}

impl ReceiverKind {
    /// As it stands in pgwright.toml.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Email => "email",
            Self::Alertmanager => "alertmanager",
        }
    }
}

/// How a connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// Encrypted after `STARTTLS`, or not at all.
    Starttls,
    /// Encrypted from the beginning.
    Tls,
    /// Not.
    None,
}

/// Reads `30s`, `5m`, `1h30m` or `1d`.
///
/// # Errors
/// When it is none of these.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    // Prometheus writes "0m"; the parser wants no such zero.
    if text.trim_end_matches(|c: char| c.is_ascii_lowercase()).chars().all(|c| c == '0')
        && text.starts_with('0')
    {
        return Ok(Duration::ZERO);
    }
    promql_parser::util::parse_duration(text)
        .map_err(|_| format!("\"{text}\" is not a duration such as 30s, 5m, 1h30m or 1d"))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn optional_severity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Severity>, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "info" => Ok(Some(Severity::Info)),
        "warning" => Ok(Some(Severity::Warning)),
        "critical" => Ok(Some(Severity::Critical)),
        other => Err(serde::de::Error::custom(format!(
            "\"{other}\" is no severity; there are info, warning and critical"
        ))),
    }
}
