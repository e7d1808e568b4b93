//! What should be done about rows that are fetched from another server and thrown away?
//!
//! Source: `foreign_expr_walker()` in postgres_fdw's deparse.c: sent is what is immutable and built in, or of an extension
//! that the server's option `extensions` names; the value of a parameter or of an uncorrelated subquery is sent as a
//! parameter, whatever calculated it. Manual, "postgres_fdw", options `use_remote_estimate` and `fetch_size`.

use super::Advised;
use crate::checks::Remedy;
use crate::node::Node;

/// What differs with the time or the session, or is another each time: never sent.
const CHANGING: &[(&str, &str)] = &[
    ("now()", "(SELECT now())"),
    ("CURRENT_TIMESTAMP", "(SELECT CURRENT_TIMESTAMP)"),
    ("CURRENT_DATE", "(SELECT CURRENT_DATE)"),
    ("LOCALTIMESTAMP", "(SELECT LOCALTIMESTAMP)"),
    ("statement_timestamp()", "(SELECT statement_timestamp())"),
    ("clock_timestamp()", "(SELECT clock_timestamp())"),
    ("CURRENT_USER", "(SELECT CURRENT_USER)"),
];

/// Other functions of a filter that are not immutable: with a moment they go by the session's time zone.
const OF_THE_SESSION: &[&str] = &["date_trunc(", "to_char(", "date_part(", "EXTRACT(", "random()", "age("];

pub(super) fn advised(node: &Node, table: &str) -> Advised {
    let filter = node.filter.as_deref().unwrap_or_default();
    let title = match CHANGING.iter().find(|(call, _)| filter.contains(call)) {
        Some((call, written)) => format!(
            "{written} instead of {call}: the value of a subquery is calculated first and sent, so that the other server filters"
        ),
        None if filter.is_empty() => format!(
            "the keys of the few rows first, and {table} asked for them (= ANY): the other server then sends no others; and more \
             rows at a time"
        ),
        None => match OF_THE_SESSION.iter().find(|call| filter.contains(*call)) {
            Some(call) => format!(
                "the bare column compared with values instead of {}…): what goes by the session is not sent",
                call.trim_end_matches(')')
            ),
            None => format!(
                "what the filter on {table} calls, as a view or a generated column of the other server; or, if it is of an extension \
                 that both have: ALTER SERVER … OPTIONS (ADD extensions '…'); and more rows at a time"
            ),
        },
    };
    Advised {
        kind: Remedy::Foreign,
        title,
        // SET in place of ADD where the option is there; both can stand at the server as well.
        sql: vec![format!(
            "ALTER FOREIGN TABLE {table} OPTIONS (ADD use_remote_estimate 'true', ADD fetch_size '10000')"
        )],
        setting: None,
        resolves: Vec::new(),
        estimate: None,
    }
}
