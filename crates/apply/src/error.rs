//! What can go wrong while a database is changed, with the object, the SQLSTATE, who was in the way
//! and what was left behind (nothing, or its name).

use chrono::{DateTime, Utc};
use model::QualifiedName;

use crate::action::Action;
use crate::catalog::Blocker;
use crate::objection::Objection;
use crate::operations::operation_of;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No session could be opened, or its settings could not be made.
    #[error(transparent)]
    Connect(#[from] postgres::Error),

    /// A query of pgwright's own failed.
    #[error("could not {doing}")]
    Query {
        /// What it was for, as an infinitive without "to".
        doing: &'static str,
        /// The server's or the connection's words.
        #[source]
        source: Box<tokio_postgres::Error>,
    },

    /// Another pgwright changes this database.
    #[error("another pgwright is changing this database")]
    Locked {
        /// The process ID of the session that holds the lock, when it could be seen.
        pid: Option<i32>,
        /// When that session began.
        since: Option<DateTime<Utc>>,
    },

    /// Preflight found reasons not to begin.
    #[error("{}", .0.first().map_or_else(|| "change refused".into(), |r| r.objection.message()))]
    Refused(
        /// Every reason, in the order of the steps.
        Vec<Refusal>,
    ),

    /// A step failed.
    #[error("could not {} {}", .0.action, .0.object)]
    Step(Box<StepFailure>),

    /// The wish to stop arrived before or between steps.
    #[error("cancelled before {next}")]
    Cancelled {
        /// The step that was not begun.
        next: String,
    },

    /// The journal was written by a newer pgwright.
    #[error("schema pgwright has version {found}, this program knows {known}")]
    SchemaTooNew {
        /// The version in the database.
        found: i32,
        /// The version that this program writes.
        known: i32,
    },

    /// A schema `pgwright` exists that pgwright did not make.
    #[error("schema pgwright exists and was not made by this program")]
    ForeignSchema,

    /// The journal holds something that this program does not understand.
    #[error("journal step {step} cannot be read")]
    Unreadable {
        /// Its number.
        step: i64,
        /// Why.
        reason: String,
    },

    /// A step was not in the state that an operation needs.
    #[error("journal step {step} could not become {wanted}")]
    OutOfOrder {
        /// Its number.
        step: i64,
        /// The state it should have got.
        wanted: &'static str,
    },

    /// Nothing in the journal goes by that name.
    #[error("journal has no {wanted}")]
    NoEntry {
        /// What was asked for.
        wanted: String,
    },

    /// The entry holds no step that could be undone.
    #[error("nothing to undo in journal entry {entry}")]
    NothingToUndo {
        /// Its number.
        entry: i64,
        /// The state it is in.
        status: String,
    },

    /// An object is no longer what pgwright made.
    #[error("{object} was changed since pgwright made it")]
    ChangedSince {
        /// The object.
        object: QualifiedName,
        /// What pgwright made, or expected.
        expected: String,
        /// What is there now.
        found: String,
    },

    /// `purge` would forget how to undo.
    #[error("journal still holds {entries} applied changes")]
    StillApplied {
        /// How many.
        entries: i64,
    },

    /// No baseline goes by that name.
    #[error("there is no baseline {wanted}")]
    NoBaseline {
        /// What was asked for.
        wanted: String,
    },

    /// A baseline of that name exists.
    #[error("baseline \"{name}\" exists already")]
    BaselineExists {
        /// The name.
        name: String,
    },

    /// Something cannot be done as it was asked for.
    #[error("could not make {what}")]
    Unfit {
        /// What was asked for.
        what: String,
        /// Why not, in a sentence fragment.
        reason: String,
    },

    /// An archive could not be written, read or trusted.
    #[error("{0}")]
    Archive(Box<crate::partition_archive::ArchiveError>),

    /// A conversion was refused, or could not go on.
    #[error("{}", .0.message)]
    Conversion(Box<crate::partition_conversion::ConversionFailure>),

    /// Another process keeps the history of the same server.
    #[error("another pgwright keeps the history of \"{source_name}\"")]
    HistoryTaken {
        /// The name of the server.
        source_name: String,
    },

    /// The store took too long.
    #[error("history was not written within {seconds} s")]
    HistorySlow {
        /// How long it was waited for.
        seconds: u64,
    },

    /// A stored value could not be turned into or out of JSON.
    #[error("could not {doing}")]
    Json {
        /// What it was for.
        doing: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// One reason of preflight and the step that it speaks of.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Refusal {
    /// The recommendation, when the reason concerns one.
    pub recommendation_id: Option<String>,
    /// The step's object, when the reason concerns one.
    pub object: Option<QualifiedName>,
    /// The reason.
    pub objection: Objection,
}

/// A step that failed: what was tried, what the server said, and what became of it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct StepFailure {
    /// What was tried, for instance `create index`.
    pub action: String,
    /// On what.
    pub object: QualifiedName,
    /// The table.
    pub table: QualifiedName,
    /// The SQLSTATE, when the server gave one.
    pub sqlstate: Option<String>,
    /// The server's primary message, or the connection's.
    pub message: String,
    /// The server's own detail.
    pub server_detail: Option<String>,
    /// The server's own hint.
    pub server_hint: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether the wait was for older transactions to end, rather than for a lock on the table.
    pub old_transactions: bool,
    /// The limit of that wait, in milliseconds.
    pub timeout_ms: u64,
    /// Who was in the way when it was last looked at.
    pub blockers: Vec<Blocker>,
    /// What was left behind and could not be removed, in a sentence; `None` when nothing was.
    pub left_behind: Option<String>,
    /// Whether the user had asked for a stop.
    pub cancelled: bool,
}

impl StepFailure {
    /// A failure of a change that no statement was sent for.
    pub(crate) fn of(change: &Action, message: impl Into<String>) -> Self {
        Self {
            action: operation_of(change).action().to_owned(),
            object: change.object(),
            table: change.table().clone(),
            sqlstate: None,
            message: message.into(),
            server_detail: None,
            server_hint: None,
            attempts: 0,
            old_transactions: false,
            timeout_ms: 0,
            blockers: Vec::new(),
            left_behind: None,
            cancelled: false,
        }
    }

    /// Whether a statement that locks many tables was given up in the middle.
    fn is_overdue(&self) -> bool {
        self.is("57014") && !self.cancelled && self.message.contains("statement timeout")
    }

    fn is(&self, code: &str) -> bool {
        self.sqlstate.as_deref() == Some(code)
    }
}

impl Error {
    /// Pairs a failed query with what it was for.
    pub(crate) fn query(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Query { doing, source: Box::new(source) }
    }

    /// Pairs failed JSON with what it was for.
    pub(crate) fn json(doing: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { doing, source }
    }

    /// The SQLSTATE, when the server gave one.
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Query { source, .. } => source.code().map(|c| c.code().to_owned()),
            Self::Step(failure) => failure.sqlstate.clone(),
            Self::Conversion(failure) => failure.sqlstate.clone(),
            _ => None,
        }
    }

    /// Whether a change was refused or rolled back rather than broken: exit code 3.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused(_)
                | Self::Step(_)
                | Self::Locked { .. }
                | Self::Cancelled { .. }
                | Self::ChangedSince { .. }
                | Self::Conversion(_)
                | Self::Archive(_)
                | Self::StillApplied { .. }
        )
    }

    /// What was found, in sentences.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Connect(error) => error.detail(),
            Self::Query { source, .. } => Some(describe(source)),
            Self::Locked { pid: Some(pid), since } => Some(match since {
                Some(since) => {
                    format!("Session {pid} has held pgwright's lock since {}.", since.format("%F %T UTC"))
                }
                None => format!("Session {pid} holds pgwright's lock."),
            }),
            Self::Locked { pid: None, .. } => None,
            Self::Refused(refusals) => {
                let mut sentences: Vec<String> =
                    refusals.first().and_then(|r| r.objection.detail()).into_iter().collect();
                let mut said: Vec<String> =
                    refusals.first().map(|r| r.objection.message()).into_iter().collect();
                for refusal in refusals.iter().skip(1) {
                    // Every step on a table that is gone would say so again.
                    let message = refusal.objection.message();
                    if said.contains(&message) {
                        continue;
                    }
                    said.push(message);
                    let object = refusal.object.as_ref().map(|o| format!("{o}: ")).unwrap_or_default();
                    sentences.push(format!("Also, {object}{}.", refusal.objection.message()));
                }
                (!sentences.is_empty()).then(|| sentences.join(" "))
            }
            Self::Step(failure) => Some(step_detail(failure)),
            Self::SchemaTooNew { .. } => Some("A newer pgwright has written to this database.".into()),
            Self::ForeignSchema => Some("It has no table pgwright.schema_version.".into()),
            Self::Unreadable { reason, .. } => Some(format!("{reason}.")),
            Self::OutOfOrder { .. } => Some("Its row was changed by somebody else in between.".into()),
            Self::NothingToUndo { status, .. } => Some(format!("Its status is \"{status}\".")),
            Self::ChangedSince { expected, found, .. } => {
                Some(format!("It was \"{expected}\" and is now \"{found}\"."))
            }
            Self::StillApplied { .. } => {
                Some("Without the journal pgwright cannot tell its own indexes from others'.".into())
            }
            Self::Json { source, .. } => Some(format!("{source}.")),
            Self::Conversion(failure) => failure.detail.clone(),
            Self::Unfit { reason, .. } => Some(format!("It is not possible: {reason}.")),
            Self::Archive(error) => error.reason().map(|reason| format!("{reason}.")),
            Self::Cancelled { .. } => Some("Steps that were done stay done; the journal lists them.".into()),
            Self::HistoryTaken { .. } => Some("Two that write at once would count everything twice.".into()),
            Self::HistorySlow { .. } => Some("It is written when the store answers again.".into()),
            Self::NoEntry { .. } | Self::NoBaseline { .. } | Self::BaselineExists { .. } => None,
        }
    }

    /// What to do about it, in a sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connect(error) => error.hint(),
            Self::Locked { .. } => Some("Wait until it has finished; the lock goes with its session.".into()),
            Self::Refused(refusals) => refusals.first().and_then(|r| r.objection.hint()),
            Self::Step(failure) => step_hint(failure),
            Self::SchemaTooNew { .. } => Some("Use that version or a newer one.".into()),
            Self::ForeignSchema => Some("Rename that schema; pgwright keeps its journal there.".into()),
            Self::OutOfOrder { .. } | Self::Unreadable { .. } => {
                Some("See \"pgwright journal\" and table pgwright.journal_step.".into())
            }
            Self::NoEntry { .. } | Self::NothingToUndo { .. } => {
                Some("\"pgwright journal\" lists what was done.".into())
            }
            Self::ChangedSince { .. } => Some(
                "Drop or rename it by hand if it is not needed; pgwright undoes only its own work.".into(),
            ),
            Self::StillApplied { .. } => Some("Undo them first, or purge with force.".into()),
            Self::NoBaseline { .. } => Some("\"pgwright baseline list\" shows what is stored.".into()),
            Self::BaselineExists { .. } => Some("Choose another name, or delete it first.".into()),
            Self::Query { source, .. } => source.as_db_error().and_then(|e| e.hint().map(sentence)),
            Self::Conversion(failure) => failure.hint.clone(),
            Self::Archive(error) => error.hint(),
            Self::Unfit { reason, .. } if reason.contains("pg_cron") => Some(
                "CREATE EXTENSION pg_cron there, or leave --pg-cron out and let another scheduler run \
                 CALL pgwright_cron.run()."
                    .into(),
            ),
            Self::Unfit { .. } => None,
            Self::HistoryTaken { .. } => {
                Some("End the other one, or give this server another name with --source.".into())
            }
            Self::HistorySlow { .. } => None,
            Self::Json { .. } | Self::Cancelled { .. } => None,
        }
    }
}

/// A server's or connection's error in one sentence.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let mut text = sentence(&format!("{} ({})", db.message(), db.code().code()));
            if let Some(detail) = db.detail() {
                text.push(' ');
                text.push_str(&sentence(detail));
            }
            text
        }
        None => {
            let cause = std::error::Error::source(error).map(|s| format!(": {s}")).unwrap_or_default();
            sentence(&format!("{error}{cause}"))
        }
    }
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut chars = text.chars();
    let mut out: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    out.push_str(chars.as_str());
    if !out.ends_with(['.', '?', '!']) {
        out.push('.');
    }
    out
}

fn step_detail(failure: &StepFailure) -> String {
    let mut sentences = Vec::new();
    if failure.cancelled {
        sentences.push("It was stopped on request.".into());
    } else if failure.is("55P03") && failure.old_transactions {
        sentences.push(format!(
            "Transactions that are older than the statement did not end within {}.",
            model::Millis(failure.timeout_ms as f64),
        ));
    } else if failure.is("55P03") {
        sentences.push(format!(
            "Another session held a lock on {} for longer than lock_timeout ({}), {} {} in a row.",
            failure.table,
            model::Millis(failure.timeout_ms as f64),
            failure.attempts,
            if failure.attempts == 1 { "time" } else { "times" },
        ));
    } else if failure.is_overdue() {
        sentences.push(format!(
            "Not all partitions could be locked and changed within lock_timeout ({}), {} {} in a row.",
            model::Millis(failure.timeout_ms as f64),
            failure.attempts,
            if failure.attempts == 1 { "time" } else { "times" },
        ));
    } else {
        let code = failure.sqlstate.as_ref().map(|c| format!(" ({c})")).unwrap_or_default();
        sentences.push(sentence(&format!("{}{code}", failure.message)));
    }
    sentences.extend(failure.server_detail.as_deref().map(sentence));
    sentences.extend(failure.blockers.iter().map(|b| sentence(&b.to_string())));
    sentences.push(match &failure.left_behind {
        Some(left) => sentence(left),
        None => "Nothing was left behind.".into(),
    });
    sentences.join(" ")
}

fn step_hint(failure: &StepFailure) -> Option<String> {
    if failure.is("55P03") {
        return Some(match failure.blockers.first() {
            Some(blocker) => format!("Retry when session {} has ended its transaction.", blocker.pid),
            None => "Retry at a quieter time, or with a longer lock_timeout.".into(),
        });
    }
    if failure.is_overdue() {
        return Some("Retry at a quieter time, or with a longer lock_timeout.".into());
    }
    if failure.is("53100") {
        return Some("Free space on the server's disk, or build the index in another tablespace.".into());
    }
    if failure.is("53200") && failure.server_hint.is_none() {
        return Some("Retry with a smaller maintenance_work_mem.".into());
    }
    if failure.is("23505") {
        return Some("The table holds duplicate keys; remove them before building a unique index.".into());
    }
    failure.server_hint.as_deref().map(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(sqlstate: &str) -> StepFailure {
        StepFailure {
            action: "create index".into(),
            object: QualifiedName::new("public", "orders_customer_id_idx"),
            table: QualifiedName::new("public", "orders"),
            sqlstate: Some(sqlstate.into()),
            message: "canceling statement due to lock timeout".into(),
            server_detail: None,
            server_hint: None,
            attempts: 3,
            old_transactions: false,
            timeout_ms: 2000,
            blockers: vec![Blocker {
                pid: 4711,
                user: Some("app".into()),
                application_name: Some("nightly".into()),
                state: Some("idle in transaction".into()),
                open_seconds: Some(72.4),
            }],
            left_behind: None,
            cancelled: false,
        }
    }

    #[test]
    fn a_lock_timeout_names_the_object_the_holder_and_the_way_out() {
        let error = Error::Step(Box::new(failure("55P03")));
        assert_eq!(error.to_string(), "could not create index public.orders_customer_id_idx");
        assert_eq!(
            error.detail().unwrap(),
            "Another session held a lock on public.orders for longer than lock_timeout (2.00 s), 3 times in a \
             row. Pid 4711 (app, nightly), idle in transaction, open for 72 s. Nothing was left behind."
        );
        assert_eq!(error.hint().unwrap(), "Retry when session 4711 has ended its transaction.");
    }

    #[test]
    fn a_full_disk_keeps_the_servers_words_and_its_code() {
        let error = Error::Step(Box::new(StepFailure {
            message: "could not extend file \"base/1/2\": No space left on device".into(),
            blockers: Vec::new(),
            left_behind: Some("invalid index public.x remains".into()),
            ..failure("53100")
        }));
        assert_eq!(
            error.detail().unwrap(),
            "Could not extend file \"base/1/2\": No space left on device (53100). Invalid index public.x remains."
        );
        assert_eq!(error.sqlstate().as_deref(), Some("53100"));
        assert!(error.hint().unwrap().contains("space"));
        assert!(error.is_refusal());
    }
}
