//! Which parts of a schema's script are data? Constants in its expressions, and much that no plan needs.
//!
//! Source: PostgreSQL manual, "pg_dump" and the SQL commands that it writes.

use sql::{Lexeme, LexemeKind};

use crate::literals::{self, Names, Text};
use crate::values::Replace;

/// The script with stand-ins. When it cannot be read it is left out, which is told.
pub(crate) fn replaced(script: &str, names: &Names, replace: &mut dyn Replace) -> String {
    let Ok(all) = sql::lexemes(script) else {
        replace.dropped("the schema, which could not be read".into());
        return String::new();
    };
    let lexemes: Vec<Lexeme> = all.into_iter().filter(|l| l.kind != LexemeKind::Comment).collect();
    let mut out = String::with_capacity(script.len());
    let (mut start, mut depth) = (0, 0_i32);
    for (at, lexeme) in lexemes.iter().enumerate() {
        match lexeme.of(script) {
            "(" => depth += 1,
            ")" => depth -= 1,
            ";" if depth <= 0 => {
                statement(script, &lexemes[start..at], names, replace, &mut out);
                start = at + 1;
                depth = 0;
            }
            _ => {}
        }
    }
    statement(script, &lexemes[start..], names, replace, &mut out);
    out
}

/// What a statement is, by its first words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Has no data: settings, types, extensions.
    Kept,
    /// Has nothing that a plan needs.
    LeftOut,
    /// Goes to other servers, whose addresses and passwords it names.
    Foreign,
    Routine,
    Other,
}

fn part(words: &[&str]) -> Part {
    match words {
        ["set" | "reset", ..] | ["select", "pg_catalog", ".", "set_config", ..] => Part::Kept,
        ["comment" | "security" | "grant" | "revoke" | "select" | "copy" | "insert", ..] => Part::LeftOut,
        ["create", "user", "mapping", ..] | ["create" | "alter", "publication" | "subscription", ..] => {
            Part::LeftOut
        }
        ["create" | "alter", "server", ..] | ["create" | "alter", "foreign", ..] => Part::Foreign,
        ["create", "extension" | "collation" | "aggregate" | "access" | "language" | "operator", ..]
        | ["create", "text", "search", ..]
        | ["alter", "text", "search", ..] => Part::Kept,
        ["create", "type", rest @ ..] if rest.iter().take(6).any(|w| *w == "enum") => Part::Kept,
        ["create", "function" | "procedure", ..]
        | ["create", "or", "replace", "function" | "procedure", ..] => Part::Routine,
        _ => Part::Other,
    }
}

fn statement(script: &str, lexemes: &[Lexeme], names: &Names, replace: &mut dyn Replace, out: &mut String) {
    let (Some(first), Some(last)) = (lexemes.first(), lexemes.last()) else { return };
    let head: Vec<String> = lexemes.iter().take(10).map(|l| l.of(script).to_ascii_lowercase()).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let part = part(&head);
    if part == Part::LeftOut {
        return;
    }
    let sql = script.get(first.start..last.end).unwrap_or_default();
    if part == Part::Kept {
        out.push_str(sql);
        out.push_str(";\n");
        return;
    }
    let moved: Vec<Lexeme> = lexemes
        .iter()
        .map(|l| Lexeme { start: l.start - first.start, end: l.end - first.start, ..*l })
        .collect();
    let text = Text::new(sql, moved, names);
    let is_sql = !text.lexemes.windows(2).any(|w| {
        w[0].of(sql).eq_ignore_ascii_case("language")
            && !["sql", "plpgsql"].contains(&literals::unquoted(w[1].of(sql)).as_str())
    });
    let (mut done, mut at) = (0, 0);
    let mut in_bound = false;
    while let Some(lexeme) = text.lexemes.get(at) {
        // White space as it is, comments left out.
        let between = sql.get(done..lexeme.start).unwrap_or_default();
        out.push_str(if between.trim().is_empty() { between } else { "\n" });
        done = lexeme.end;
        let word = text.word(Some(at));
        match word.as_str() {
            "values" if text.word(at.checked_sub(1)) == "for" => in_bound = true,
            "with" => in_bound = false,
            "options" if part == Part::Foreign => {
                // `OPTIONS (host '…', password '…')`
                while text.lexemes.get(at).is_some_and(|l| l.of(sql) != ")") {
                    at += 1;
                }
                done = text.lexemes.get(at).map_or(done, |l| l.end);
                at += 1;
                continue;
            }
            _ => {}
        }
        let is_body = part == Part::Routine
            && lexeme.kind == LexemeKind::String
            && (text.word(at.checked_sub(1)) == "as" || text.word(at.checked_sub(1)) == ",");
        if is_body {
            out.push_str(&body(lexeme.of(sql), is_sql, names, replace));
        } else {
            match text.constant(at, in_bound, replace) {
                Some(stand_in) => out.push_str(&stand_in),
                None => out.push_str(lexeme.of(sql)),
            }
        }
        at += 1;
    }
    out.push_str(";\n");
}

/// The body of a function: SQL has stand-ins, and what is not SQL is left out.
fn body(constant: &str, is_sql: bool, names: &Names, replace: &mut dyn Replace) -> String {
    let inner = sql::string_value(constant).filter(|_| is_sql);
    let replaced = inner.and_then(|inner| literals::replaced(&inner, names, replace));
    match replaced {
        Some(text) => model::quote_literal(&text),
        None => {
            replace.dropped("bodies of functions that are not SQL or could not be read".into());
            "''".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::Snapshot;

    use crate::{Key, redact};

    fn snapshot(schema_sql: &str) -> Snapshot {
        let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        serde_json::from_value(serde_json::json!({
            "format_version": 1, "taken_at": now, "settings": {}, "extensions": [], "schema_sql": schema_sql,
            "server": {
                "version_num": 150_000, "version": "15.0", "database": "d", "user": "u", "in_recovery": false,
                "started_at": null, "stats_reset": null, "encoding": "UTF8", "collate": "C", "ctype": "C",
                "database_bytes": 0
            },
            "relations": [], "indexes": [], "constraints": [], "extended_statistics": [], "statements": [],
            "statements_info": null, "notes": []
        }))
        .unwrap()
    }

    #[test]
    fn a_script_keeps_its_structure_and_loses_its_data() {
        let script = "\
-- Name: secret; Type: TABLE
SET search_path = 'keep';
CREATE TYPE public.mood AS ENUM ('keep');
CREATE TABLE public.t (a text DEFAULT 'secret', b int CHECK (b > 4711), m public.mood DEFAULT 'keep'::public.mood);
COMMENT ON TABLE public.t IS 'secret';
CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $$ SELECT 'secret' -- secret; secret
$$;
CREATE FUNCTION public.g() RETURNS text LANGUAGE plpython3u AS $$ return 'secret' $$;
CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'secret', password 'secret');
CREATE USER MAPPING FOR u SERVER s OPTIONS (password 'secret');
CREATE INDEX i ON public.t USING btree (a) WITH (fillfactor='70') WHERE (a = 'secret'::text);
";
        let new = redact(&snapshot(script), &Key::new([4; 32]), &BTreeMap::new());
        assert!(!new.schema_sql.contains("secret") && !new.schema_sql.contains("4711"), "{}", new.schema_sql);
        for kept in [
            "SET search_path = 'keep';",
            "ENUM ('keep')",
            "'keep'::public.mood",
            "fillfactor='70'",
            "CREATE SERVER s FOREIGN DATA WRAPPER w ;",
        ] {
            assert!(new.schema_sql.contains(kept), "{kept}\n{}", new.schema_sql);
        }
        // The same value, the same stand-in.
        let of = |before: &str| {
            let rest = &new.schema_sql[new.schema_sql.find(before).unwrap() + before.len()..];
            rest.split('\'').nth(1).unwrap().to_owned()
        };
        assert_eq!(of("DEFAULT "), of("WHERE (a = "));
        assert_eq!(of("DEFAULT ").len(), "secret".len());
        assert!(new.notes.iter().any(|n| n.contains("bodies of functions")), "{:?}", new.notes);
    }
}
