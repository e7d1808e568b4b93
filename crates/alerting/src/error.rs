//! What can be wrong with what alerting is told?

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An alert's condition is none, or not one that pgwright evaluates.
    #[error("could not use the condition of alert \"{alert}\"")]
    Condition {
        /// The alert.
        alert: String,
        /// Why, in a sentence.
        reason: String,
    },
    /// A condition names a metric that nobody gives.
    #[error("alert \"{alert}\" asks for a metric that there is not: \"{metric}\"")]
    Metric {
        /// The alert.
        alert: String,
        /// The metric.
        metric: String,
    },
    /// The line that tells what is the case cannot be used.
    #[error("could not use the summary of alert \"{alert}\"")]
    Summary {
        /// The alert.
        alert: String,
        /// Why, in a sentence.
        reason: String,
    },
    /// An alert was named that there is not.
    #[error("there is no alert \"{alert}\"")]
    NoSuchAlert {
        /// The name.
        alert: String,
    },
    /// Two alerts have the same name.
    #[error("there are two alerts called \"{alert}\"")]
    TwoAlerts {
        /// The name.
        alert: String,
    },
    /// Matchers cannot be understood.
    #[error("could not understand the matchers \"{matchers}\"")]
    Matchers {
        /// The matchers.
        matchers: String,
        /// Why, in a sentence.
        reason: String,
    },
    /// A time cannot be understood, or is over.
    #[error("could not use the time \"{time}\"")]
    Time {
        /// The time.
        time: String,
        /// Why, in a sentence.
        reason: String,
    },
    /// There is no such silence.
    #[error("there is no silence \"{id}\"")]
    NoSuchSilence {
        /// What was asked for.
        id: String,
    },
    /// A receiver lacks something, or has what cannot be used.
    #[error("could not use receiver \"{receiver}\"")]
    Receiver {
        /// Its name.
        receiver: String,
        /// Why, in a sentence.
        reason: String,
    },
    /// A setting is out of its range.
    #[error("setting {setting} of [alerts] is out of range")]
    Range {
        /// Its name.
        setting: &'static str,
        /// Why, in a sentence.
        reason: String,
    },
    /// An address that messages lead to is none that a browser opens.
    #[error("setting {setting} of [alerts] is no address: \"{address}\"")]
    Address {
        /// Its name.
        setting: &'static str,
        /// What it says.
        address: String,
    },
    /// The file of the state cannot be read or written.
    #[error("could not use the state file \"{file}\"")]
    StateFile {
        /// The file.
        file: String,
        /// Why, in a sentence.
        reason: String,
    },
}

impl Error {
    /// What is known beyond the message.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Condition { reason, .. }
            | Self::Summary { reason, .. }
            | Self::Matchers { reason, .. }
            | Self::Time { reason, .. }
            | Self::Receiver { reason, .. }
            | Self::Range { reason, .. }
            | Self::StateFile { reason, .. } => Some(reason.clone()),
            Self::Address { .. } => Some("Messages would lead nowhere.".into()),
            Self::Metric { .. } => Some("Its condition would never hold.".into()),
            Self::NoSuchAlert { .. } | Self::TwoAlerts { .. } | Self::NoSuchSilence { .. } => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Condition { .. } => {
                "docs/reference/commands/alerts.md tells which part of PromQL is evaluated.".into()
            }
            Self::Address { .. } => {
                "It begins with https:// or http://, as in https://pg.example.com.".into()
            }
            Self::Metric { .. } => "\"pgwright serve --list\" lists the metrics.".into(),
            Self::Summary { .. } => "Known are {{ $labels.NAME }} and {{ $value | FUNCTION }}.".into(),
            Self::NoSuchAlert { .. } => "\"pgwright alerts\" lists them.".into(),
            Self::TwoAlerts { .. } => {
                "Give yours another name, or change what there is with [alerts.change.NAME].".into()
            }
            Self::Matchers { .. } => {
                "They are written as in PromQL: alertname=\"PostgresDown\", datname=~\"shop.*\".".into()
            }
            Self::Time { .. } => "It is written as in 2026-12-24T18:00:00Z.".into(),
            Self::NoSuchSilence { .. } => "\"pgwright alerts --state URL\" lists them.".into(),
            Self::Receiver { .. } => {
                "docs/reference/configuration.md lists what each kind of receiver needs.".into()
            }
            Self::Range { .. } | Self::StateFile { .. } => return None,
        })
    }
}
