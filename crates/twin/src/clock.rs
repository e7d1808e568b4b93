//! What time is it on the twin? The time of the snapshot: `created_at > now() - interval '1 day'`
//! must meet the histogram that was true then.
//!
//! The transaction's time cannot be set in PostgreSQL, so the functions that tell it are replaced
//! in a statement's text by stable functions of the twin's own, of the same cost, which the planner
//! evaluates for its estimates just like the originals. Wall-clock time (`clock_timestamp()`) is
//! volatile, never used for estimates, and left alone.

use chrono::{DateTime, Utc};

use schema::lexer::{Kind, Token, Tokens};

/// Which time statements are planned at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The time at which the snapshot was taken.
    #[default]
    Snapshot,
    /// Another time.
    At(DateTime<Utc>),
    /// The machine's own time.
    Wall,
}

/// The schema of the twin's clock. Nobody else's schema has this name, or the restore says so.
const SCHEMA: &str = "pgwright_clock";

impl Clock {
    /// The time, unless it is the machine's.
    pub(crate) fn time(self, taken_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Snapshot => Some(taken_at),
            Self::At(time) => Some(time),
            Self::Wall => None,
        }
    }
}

/// The statements that create the clock. Each function costs what the original costs, one
/// `cpu_operator_cost` for every row. They are in plpgsql because SQL functions would be inlined,
/// and the cost be lost.
pub(crate) fn create_sql(time: DateTime<Utc>) -> String {
    format!(
        "CREATE SCHEMA {SCHEMA};
         CREATE FUNCTION {SCHEMA}.now() RETURNS timestamptz LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1
             AS $$BEGIN RETURN {0}::pg_catalog.timestamptz; END$$;
         CREATE FUNCTION {SCHEMA}.today() RETURNS date LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1
             AS $$BEGIN RETURN {0}::pg_catalog.timestamptz::pg_catalog.date; END$$;
         CREATE FUNCTION {SCHEMA}.local_now() RETURNS timestamp LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1
             AS $$BEGIN RETURN {0}::pg_catalog.timestamptz::pg_catalog.timestamp; END$$;
         GRANT USAGE ON SCHEMA {SCHEMA} TO PUBLIC;",
        model::quote_literal(&time.to_rfc3339())
    )
}

/// Replaces what tells the transaction's time.
pub(crate) fn stop(sql: &str) -> String {
    let tokens: Vec<Token<'_>> = Tokens::new(sql).collect();
    let solid = |t: &&Token<'_>| !matches!(t.kind, Kind::Space | Kind::Comment);
    let mut out = String::with_capacity(sql.len() + 32);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        if token.kind != Kind::Word {
            out.push_str(token.text);
            continue;
        }
        let before = tokens[..at - 1].iter().rev().find(solid).map_or("", |t| t.text);
        let after = tokens[at..].iter().find(solid).map_or("", |t| t.text);
        let word = token.text.to_ascii_lowercase();
        let replacement = match word.as_str() {
            _ if before == "." || after == "." => None,
            // `AS current_date` would be a label, which needs quotes there; so this is the value.
            "current_timestamp" => Some(("now", after == "(")),
            "current_date" => Some(("today", false)),
            "localtimestamp" => Some(("local_now", after == "(")),
            "now" | "transaction_timestamp" | "statement_timestamp" if after == "(" => Some(("now", true)),
            _ => None,
        };
        let Some((function, arguments)) = replacement else {
            // `pg_catalog.now()`, as PostgreSQL prints it when something else is called `now`.
            let qualified = word == "pg_catalog" && after == ".";
            match qualified.then(|| qualified_call(&tokens[at..])).flatten() {
                Some(consumed) => {
                    out.push_str(SCHEMA);
                    out.push_str(".now()");
                    at += consumed;
                }
                None => out.push_str(token.text),
            }
            continue;
        };
        if arguments {
            // Up to the closing parenthesis; a precision makes no difference to an estimate.
            let end = tokens[at..].iter().position(|t| t.text == ")").map_or(tokens.len(), |p| at + p + 1);
            at = end;
        }
        out.push_str(&format!("{SCHEMA}.{function}()"));
    }
    out
}

/// How many tokens `.now()` takes after `pg_catalog`, when that is what stands there.
fn qualified_call(tokens: &[Token<'_>]) -> Option<usize> {
    let texts: Vec<String> = tokens.iter().take(4).map(|t| t.text.to_ascii_lowercase()).collect();
    match texts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [".", "now" | "transaction_timestamp" | "statement_timestamp", "(", ")"] => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::stop;

    #[test]
    fn only_what_tells_the_time_is_replaced() {
        for (sql, stopped) in [
            ("select now() - '1 day'", "select pgwright_clock.now() - '1 day'"),
            ("select NOW ( )", "select pgwright_clock.now()"),
            ("select current_date - 7", "select pgwright_clock.today() - 7"),
            ("select current_timestamp(3), 1", "select pgwright_clock.now(), 1"),
            ("select localtimestamp", "select pgwright_clock.local_now()"),
            ("select pg_catalog.now()", "select pgwright_clock.now()"),
            (
                "select 'now()', \"now\", now, t.now(), mine.now() from t",
                "select 'now()', \"now\", now, t.now(), mine.now() from t",
            ),
            ("select clock_timestamp() -- now()", "select clock_timestamp() -- now()"),
            ("select pg_catalog.lower(x)", "select pg_catalog.lower(x)"),
        ] {
            assert_eq!(stop(sql), stopped);
        }
    }
}
