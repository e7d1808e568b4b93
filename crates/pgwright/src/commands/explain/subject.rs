//! What is to be explained: a plan, a statement or a queryid, from the command line, a file or standard input?

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use plan::input::{FoundPlans, find, find_in};

use crate::error::CommandError;

/// What is explained.
pub(super) enum Subject {
    Plans(FoundPlans),
    Sql(String),
    QueryId(i64),
}

/// Reads it.
pub(super) fn read(what: &str) -> Result<Subject, CommandError> {
    let found = if what == "-" {
        find(&mut std::io::stdin().lock())?
    } else if let Ok(queryid) = what.trim().parse::<i64>() {
        return Ok(Subject::QueryId(queryid));
    } else if Path::new(what).is_file() {
        let unreadable =
            |detail: String| CommandError::new(format!("could not read \"{what}\"")).detail(detail);
        let file = File::open(what).map_err(|e| unreadable(format!("{e}.")))?;
        let found = find(&mut BufReader::with_capacity(1 << 16, file))?;
        // A log may hold bytes of any encoding; a statement may not.
        if found.other.as_ref().is_some_and(|text| text.contains('\u{fffd}')) {
            return Err(unreadable("It is neither a plan nor text in UTF-8.".into()));
        }
        found
    } else {
        find_in(what)?
    };
    match found.other {
        Some(text) if text.trim().is_empty() => Err(CommandError::new("there is no statement to explain")),
        Some(text) => Ok(Subject::Sql(text)),
        None => Ok(Subject::Plans(found)),
    }
}
