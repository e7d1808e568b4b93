//! Could running this statement change anything?
//!
//! `EXPLAIN ANALYZE` runs what it explains. A statement is let through when its tree holds no part
//! that writes or locks; functions that are not known to be harmless are listed, because a volatile
//! function can do anything. A read-only transaction is the second fence, not the first.

use std::collections::BTreeSet;

use model::quote_identifier;
use serde_json::Value;

use crate::builtins::builtin;
use crate::error::SqlError;
use crate::statement::{ParsedStatement, StatementKind};

/// What running a statement could do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Safety {
    /// Whether it reads only: no data-modifying part, no lock, no utility.
    pub reads_only: bool,
    /// Why not, in fragments of sentences; empty when it reads only.
    pub reasons: Vec<String>,
    /// Functions that are not on the list of harmless ones, sorted; their volatility has to be looked
    /// up in `pg_proc.provolatile`.
    pub unknown_functions: Vec<String>,
    /// Relations that it names, quoted where they must be, sorted: views may hide more.
    pub relations: Vec<String>,
}

/// What stands in the body of a function, word by word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Names before an opening bracket that are not on the list of harmless functions; words of the language
    /// are among them.
    pub calls: BTreeSet<String>,
    /// Words that write, lock or run what cannot be foreseen, in capital letters.
    pub deeds: BTreeSet<String>,
}

/// Reads the body of a function in SQL or PL/pgSQL by its tokens alone, so that what the parser does not
/// know is read too.
pub fn function_body(source: &str) -> Body {
    const DEEDS: &[&str] = &[
        "ALTER", "CALL", "COPY", "CREATE", "DELETE", "DO", "DROP", "EXECUTE", "GRANT", "INSERT", "LISTEN",
        "LOCK", "MERGE", "NOTIFY", "REFRESH", "REVOKE", "TRUNCATE", "UPDATE", "VACUUM",
    ];
    let Ok(tokens) = crate::text::scan(source) else {
        return Body { deeds: BTreeSet::from(["what cannot be read".to_owned()]), ..Body::default() };
    };
    let words: Vec<&str> = tokens
        .iter()
        .filter(|t| !crate::text::is_comment(t))
        .filter_map(|t| source.get(usize::try_from(t.start).ok()?..usize::try_from(t.end).ok()?))
        .collect();
    let mut body = Body::default();
    for (at, word) in words.iter().enumerate() {
        let upper = word.to_uppercase();
        if DEEDS.contains(&upper.as_str()) {
            body.deeds.insert(upper);
        }
        let is_name = word.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '"');
        if !is_name || words.get(at + 1) != Some(&"(") {
            continue;
        }
        let schema = (at >= 2 && words[at - 1] == ".").then(|| words[at - 2]);
        let plain = |w: &str| match w.strip_prefix('"').and_then(|w| w.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => w.to_lowercase(),
        };
        let name = plain(word);
        let harmless = schema.is_none_or(|s| plain(s) == "pg_catalog") && is_harmless(&name);
        if !harmless {
            body.calls.insert(schema.map_or(name.clone(), |s| format!("{}.{name}", plain(s))));
        }
    }
    body
}

/// Judges a statement text.
///
/// # Errors
/// [`SqlError`] when the text cannot be parsed: what is not understood is not run.
pub fn statement_safety(sql: &str) -> Result<Safety, SqlError> {
    let statement = ParsedStatement::parse(sql)?;
    let mut reasons = BTreeSet::new();
    match statement.kind() {
        StatementKind::Select => {}
        StatementKind::Insert => drop(reasons.insert("it inserts rows".to_owned())),
        StatementKind::Update => drop(reasons.insert("it updates rows".to_owned())),
        StatementKind::Delete => drop(reasons.insert("it deletes rows".to_owned())),
        StatementKind::Merge => drop(reasons.insert("it merges rows".to_owned())),
        StatementKind::Utility => drop(reasons.insert("it is a utility statement".to_owned())),
    }
    let mut unknown = BTreeSet::new();
    let mut relations = BTreeSet::new();
    match serde_json::to_value(statement.node()) {
        Ok(tree) => walk(&tree, &mut reasons, &mut unknown, &mut relations),
        Err(error) => drop(reasons.insert(format!("its tree could not be read: {error}"))),
    }
    Ok(Safety {
        reads_only: reasons.is_empty(),
        reasons: reasons.into_iter().collect(),
        unknown_functions: unknown.into_iter().collect(),
        relations: relations.into_iter().collect(),
    })
}

fn walk(
    value: &Value,
    reasons: &mut BTreeSet<String>,
    unknown: &mut BTreeSet<String>,
    relations: &mut BTreeSet<String>,
) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                match key.as_str() {
                    "InsertStmt" => drop(reasons.insert("it inserts rows".into())),
                    "UpdateStmt" => drop(reasons.insert("it updates rows".into())),
                    "DeleteStmt" => drop(reasons.insert("it deletes rows".into())),
                    "MergeStmt" => drop(reasons.insert("it merges rows".into())),
                    "LockingClause" => drop(reasons.insert("it locks rows".into())),
                    "into_clause" if !inner.is_null() => {
                        reasons.insert("it creates a table".into());
                    }
                    "RangeVar" => {
                        let part =
                            |key: &str| inner.get(key).and_then(Value::as_str).filter(|p| !p.is_empty());
                        if let Some(name) = part("relname") {
                            let schema = part("schemaname").map(|s| format!("{}.", quote_identifier(s)));
                            relations.insert(format!(
                                "{}{}",
                                schema.unwrap_or_default(),
                                quote_identifier(name)
                            ));
                        }
                    }
                    "FuncCall" => {
                        let name: Vec<&str> = inner
                            .get("funcname")
                            .and_then(Value::as_array)
                            .into_iter()
                            .flatten()
                            .filter_map(|n| n.pointer("/node/String/sval").and_then(Value::as_str))
                            .collect();
                        let known = match name.as_slice() {
                            [name] | ["pg_catalog", name] => is_harmless(name),
                            _ => false,
                        };
                        if !known {
                            unknown.insert(name.join("."));
                        }
                    }
                    _ => {}
                }
                walk(inner, reasons, unknown, relations);
            }
        }
        Value::Array(items) => items.iter().for_each(|v| walk(v, reasons, unknown, relations)),
        _ => {}
    }
}

/// Whether a function of PostgreSQL changes nothing.
fn is_harmless(name: &str) -> bool {
    builtin(name).is_some_and(|b| !b.has_effect)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, reads_only: bool, unknown: &[&str]) {
        let safety = statement_safety(sql).unwrap();
        assert_eq!(safety.reads_only, reads_only, "{sql}: {:?}", safety.reasons);
        assert_eq!(safety.unknown_functions, unknown, "{sql}");
    }

    #[test]
    fn bodies_are_read_by_their_words() {
        let body =
            function_body("begin -- delete\n perform s.\"F\"(1), lower('insert('); execute 'x' || y; end");
        assert_eq!(body.calls, BTreeSet::from(["s.F".to_owned()]));
        assert_eq!(body.deeds, BTreeSet::from(["EXECUTE".to_owned()]));
        assert_eq!(function_body("select count(*) from t where a = pg_catalog.lower(b)"), Body::default());
    }

    #[test]
    fn relations_are_named_for_a_look_behind_views() {
        let safety = statement_safety("select * from v, s.\"W w\" where exists (select from t)").unwrap();
        assert_eq!(safety.relations, ["s.\"W w\"", "t", "v"]);
    }

    #[test]
    fn what_writes_or_locks_is_not_let_through() {
        check("select count(*) from t where lower(a) = 'x'", true, &[]);
        check("with d as (delete from t returning *) select * from d", false, &[]);
        check("select * from t for update", false, &[]);
        check("select * into new from t", false, &[]);
        check("select s.f(1), pg_catalog.now(), nextval('x') from t", true, &["nextval", "s.f"]);
        check("explain analyze delete from t", false, &[]);
        check("drop function f(int)", false, &[]);
        check("select 1 from (select * from t for share) x", false, &[]);
        assert!(statement_safety("select * from").is_err());
        assert_eq!(statement_safety("select 1; delete from t"), Err(SqlError::Several { count: 2 }));
    }
}
