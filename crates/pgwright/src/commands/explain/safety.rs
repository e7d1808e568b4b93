//! May a statement be run? Only when nothing in it, in the views and policies behind it and in the functions that
//! it calls is known to write, or could do what nobody foresees.
//!
//! A read-only transaction is the second fence. It does not stop what happens outside of transactions
//! (`pg_terminate_backend`, `dblink`, a `COPY … TO PROGRAM` inside of a function), and a function that is marked
//! IMMUTABLE is run while the statement is planned: so bodies are looked into, whatever they are marked.

use std::collections::{BTreeMap, BTreeSet};

use postgres::Session;

use super::Args;
use crate::error::CommandError;

/// More functions than this behind one statement are not followed.
const MAX_FUNCTIONS: usize = 500;

/// Refuses to analyze what does more than read.
pub(super) async fn check(session: &Session, text: &str, args: &Args) -> Result<(), CommandError> {
    if args.allow_writes {
        return Ok(());
    }
    let safety = sql::statement_safety(text)?;
    if !safety.reads_only {
        return Err(CommandError::new("the statement must not be analyzed")
            .detail(format!("EXPLAIN ANALYZE runs a statement, and {}.", safety.reasons.join(", ")))
            .hint(
                "Leave --analyze out to see its plan without running it, or add --allow-writes to run it in a \
                 transaction that is rolled back; sequences that it advances do not go back.",
            )
            .refused());
    }
    if args.allow_unknown_functions {
        return Ok(());
    }
    let objections = objections(session, &safety).await?;
    if objections.is_empty() {
        return Ok(());
    }
    Err(CommandError::new("the statement must not be analyzed")
        .detail(format!("It calls functions that may do more than read: {}.", objections.join(", ")))
        .hint("Leave --analyze out, or add --allow-unknown-functions if you know them to be harmless.")
        .refused())
}

/// Why a statement must not be run; `None` when it only reads.
pub(in crate::commands) async fn objection(
    session: &Session,
    text: &str,
) -> Result<Option<String>, CommandError> {
    let safety = sql::statement_safety(text)?;
    if !safety.reads_only {
        return Ok(Some(safety.reasons.join(", ")));
    }
    let found = objections(session, &safety).await?;
    Ok((!found.is_empty()).then(|| format!("it calls {}", found.join(", "))))
}

/// Functions that may do more than read, each with the reason where it is not that it is volatile, and with
/// the function that calls it where the statement does not.
async fn objections(session: &Session, safety: &sql::Safety) -> Result<Vec<String>, CommandError> {
    let version = session.version_num();
    let mut waiting: BTreeMap<String, String> =
        safety.unknown_functions.iter().map(|name| (name.clone(), String::new())).collect();
    for hidden in postgres::catalog::hidden_expressions(session, version, &safety.relations).await? {
        // What the parser of this program does not know, a newer server's syntax, is read word by word.
        let calls = match sql::statement_safety(&hidden.expression) {
            Ok(inner) => inner.unknown_functions,
            Err(_) => sql::function_body(&hidden.expression).calls.into_iter().collect(),
        };
        let via = format!(", called behind {}", hidden.relation);
        waiting.extend(calls.into_iter().map(|name| (name, via.clone())));
    }
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut objections = BTreeSet::new();
    while !waiting.is_empty() {
        let asked = std::mem::take(&mut waiting);
        let names: Vec<String> = asked.keys().filter(|name| seen.insert((*name).clone())).cloned().collect();
        if names.is_empty() {
            break;
        }
        if seen.len() > MAX_FUNCTIONS {
            objections.insert(format!("more than {MAX_FUNCTIONS} functions"));
            break;
        }
        for function in postgres::catalog::function_facts(session, version, &names).await? {
            let name = function.name.clone();
            let via = asked.get(&name).map_or("", String::as_str);
            if function.volatile {
                objections.insert(format!("{name}{via}"));
                continue;
            }
            if function.provided {
                continue;
            }
            if !["sql", "plpgsql"].contains(&function.language.as_str()) {
                let language = &function.language;
                objections.insert(format!("{name}{via} (written in {language}, which is not looked into)"));
                continue;
            }
            let body = sql::function_body(&function.source);
            if !body.deeds.is_empty() {
                let deeds: Vec<String> = body.deeds.into_iter().collect();
                objections.insert(format!("{name}{via} (its body has {})", deeds.join(", ")));
            }
            let called = format!(", called by {name}");
            waiting.extend(body.calls.into_iter().map(|call| (call, called.clone())));
        }
    }
    Ok(objections.into_iter().collect())
}
