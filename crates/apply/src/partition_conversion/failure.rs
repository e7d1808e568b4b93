//! What can keep a conversion from going on? With what is known, what to do, and what has been left.

use model::QualifiedName;
use tokio_postgres::error::SqlState;

use super::attachments::{Attachment, Fate};
use super::site::{Site, millis, words};
use crate::catalog::Blocker;
use crate::error::Error;

/// A failure with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionFailure {
    /// One factual lower-case line.
    pub message: String,
    /// What is known beyond it, in sentences.
    pub detail: Option<String>,
    /// What to do, in sentences.
    pub hint: Option<String>,
    /// The SQLSTATE, when the server gave one.
    pub sqlstate: Option<String>,
}

/// The SQLSTATE with which the swap says that the table is not what it was.
pub(crate) const CHANGED: &str = "PGW01";

pub(crate) fn new(message: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Error {
    let some = |text: String| (!text.is_empty()).then_some(text);
    Error::Conversion(Box::new(ConversionFailure {
        message: message.into(),
        detail: some(detail.into()),
        hint: some(hint.into()),
        sqlstate: None,
    }))
}

/// What to do when a conversion stops in the middle.
pub(crate) const GO_ON: &str = "Run the same command again to go on where it stopped, or take it back with \"pgwright \
     partition convert revert\".";

pub(crate) fn statement(table: &QualifiedName, error: &tokio_postgres::Error) -> Error {
    let code = error.code().map(|c| c.code().to_owned());
    let (message, hint) = match error.code() {
        Some(code) if code.code() == CHANGED => (
            format!("table {table} was changed while it was converted"),
            "Take the conversion back with \"pgwright partition convert revert\" and start it again."
                .to_owned(),
        ),
        Some(code) if *code == SqlState::DISK_FULL => {
            (format!("could not convert {table}"), format!("Free space on the server's disk. {GO_ON}"))
        }
        Some(code) if *code == SqlState::CHECK_VIOLATION => (
            format!("could not convert {table}: a row contradicts what was planned"),
            "It was written since the conversion was planned. Take it back with \"pgwright partition convert revert\" and \
             start it again."
                .to_owned(),
        ),
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => (
            format!("could not convert {table}: a key is not unique"),
            "Remove the duplicate rows, then run the same command again.".to_owned(),
        ),
        _ => (format!("could not convert {table}"), GO_ON.to_owned()),
    };
    Error::Conversion(Box::new(ConversionFailure {
        message,
        detail: Some(words(error)),
        hint: Some(hint),
        sqlstate: code,
    }))
}

pub(crate) fn no_lock(
    site: &Site<'_>,
    tables: &[&str],
    attempts: u32,
    sqlstate: &str,
    blockers: &[Blocker],
) -> Error {
    let time = millis(site.options.max_lock);
    let mut detail = match sqlstate {
        "57014" => format!("The work under the lock did not fit into {time}, {attempts} times in a row."),
        _ => format!(
            "Other sessions held {} for longer than half of {time}, {attempts} times in a row.",
            if tables.len() > 1 { "one of these tables" } else { "the table" }
        ),
    };
    for blocker in blockers {
        detail.push_str(&format!(" {blocker}."));
    }
    detail.push_str(" The conversion waits where it is.");
    let autovacuum = blockers.iter().any(|b| b.application_name.as_deref() == Some("autovacuum worker"));
    let hint = match sqlstate {
        "57014" => format!("Give it longer with --max-lock. {GO_ON}"),
        _ if autovacuum => format!(
            "Autovacuum gives way when the role may shorten deadlock_timeout (as a superuser, or from 15 on by GRANT SET ON \
             PARAMETER deadlock_timeout), unless it prevents wraparound. {GO_ON}"
        ),
        _ => GO_ON.to_owned(),
    };
    Error::Conversion(Box::new(ConversionFailure {
        message: format!("could not get a lock on {} for long enough", tables.join(", ")),
        detail: Some(detail),
        hint: Some(hint),
        sqlstate: Some(sqlstate.to_owned()),
    }))
}

pub(crate) fn refused<'a>(table: &QualifiedName, refusals: impl Iterator<Item = &'a Attachment>) -> Error {
    let (mut detail, mut hint) = (Vec::new(), Vec::new());
    for refusal in refusals {
        let Fate::Refused { reason, alternative } = &refusal.fate else { continue };
        detail.push(format!("{} {}: {reason}", capital(&refusal.kind), refusal.name));
        if !hint.contains(alternative) {
            hint.push(alternative.clone());
        }
    }
    new(format!("table {table} cannot be converted as it is"), detail.join(" "), hint.join(" "))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}
