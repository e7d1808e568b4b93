//! With which values was a statement executed? `pg_stat_statements` shows `a = $1`, a log shows `a = 42`.
//!
//! Both texts have the same lexemes but for the constants (`generate_normalized_query()` in
//! `contrib/pg_stat_statements/pg_stat_statements.c` replaces nothing else), so they are read side by side. Texts that differ
//! in anything else give no values.

use std::collections::BTreeMap;

use crate::lexemes::{Lexeme, LexemeKind, lexemes, string_value};

/// Values by parameter, in their text form; `None` is NULL.
pub type ExecutedValues = BTreeMap<u32, Option<String>>;

/// The values that stand in `executed` where `normalized` has parameters. Where `executed` has a parameter itself, as a
/// prepared statement does, its value is taken from `bound`. Nothing when the texts are not of one statement.
///
/// Constants that have no plain text form are left out: bit strings, escapes beyond those of one character.
pub fn executed_values(normalized: &str, executed: &str, bound: &ExecutedValues) -> Option<ExecutedValues> {
    let read = |text| -> Option<Vec<Lexeme>> {
        let mut found = lexemes(text).ok()?;
        while found.last().is_some_and(|l| l.kind == LexemeKind::Comment || l.of(text) == ";") {
            found.pop();
        }
        Some(found)
    };
    let (normal, mut rest) = (read(normalized)?, Reader { text: executed, lexemes: read(executed)?, at: 0 });
    let mut values = ExecutedValues::new();
    for (at, lexeme) in normal.iter().enumerate() {
        let text = lexeme.of(normalized);
        match lexeme.kind {
            // 18 writes the first value of a list and a comment for the others.
            LexemeKind::Comment if text == "/*, ... */" && is_parameter(&normal, at.checked_sub(1)) => {
                while rest.sign(",") {
                    rest.constant(bound)?;
                }
            }
            LexemeKind::Comment => {}
            LexemeKind::Parameter => {
                let number: u32 = text.strip_prefix('$')?.parse().ok()?;
                if let Constant::Text(value) = rest.constant(bound)? {
                    values.insert(number, value);
                }
            }
            kind => rest.same(kind, text)?,
        }
    }
    rest.is_at_end().then_some(values)
}

fn is_parameter(lexemes: &[Lexeme], at: Option<usize>) -> bool {
    at.and_then(|at| lexemes.get(at)).is_some_and(|l| l.kind == LexemeKind::Parameter)
}

enum Constant {
    Text(Option<String>),
    /// One that has no plain text form, or a parameter whose value is not known.
    Unknown,
}

/// What is left of a text.
struct Reader<'a> {
    text: &'a str,
    lexemes: Vec<Lexeme>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next lexeme that is no comment.
    fn peek(&mut self) -> Option<(LexemeKind, &'a str)> {
        while self.lexemes.get(self.at).is_some_and(|l| l.kind == LexemeKind::Comment) {
            self.at += 1;
        }
        self.lexemes.get(self.at).map(|l| (l.kind, l.of(self.text)))
    }

    fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = self.peek() == Some((LexemeKind::Sign, sign));
        self.at += usize::from(found);
        found
    }

    /// Takes a lexeme that must be this one. Words without quotes are the same in any case.
    fn same(&mut self, kind: LexemeKind, text: &str) -> Option<()> {
        let (found_kind, found) = self.peek()?;
        let same = match kind {
            LexemeKind::Word if !text.starts_with('"') => found.eq_ignore_ascii_case(text),
            _ => found == text,
        };
        (found_kind == kind && same).then(|| self.at += 1)
    }

    /// Takes a constant, or a parameter.
    fn constant(&mut self, bound: &ExecutedValues) -> Option<Constant> {
        let negative = self.sign("-");
        let (kind, text) = self.peek()?;
        self.at += 1;
        let number = |text: &str| Constant::Text(Some(format!("{}{text}", if negative { "-" } else { "" })));
        Some(match kind {
            LexemeKind::Number => number(text),
            _ if negative => return None,
            LexemeKind::String => match string_value(text) {
                Some(value) => Constant::Text(Some(value)),
                None => Constant::Unknown,
            },
            LexemeKind::Bits => Constant::Unknown,
            LexemeKind::Parameter => {
                let number: u32 = text.strip_prefix('$')?.parse().ok()?;
                bound.get(&number).map_or(Constant::Unknown, |value| Constant::Text(value.clone()))
            }
            LexemeKind::Word if text.eq_ignore_ascii_case("null") => Constant::Text(None),
            LexemeKind::Word if text.eq_ignore_ascii_case("true") => Constant::Text(Some("true".into())),
            LexemeKind::Word if text.eq_ignore_ascii_case("false") => Constant::Text(Some("false".into())),
            _ => return None,
        })
    }
}

/// The values that the server logs for the parameters of a prepared statement: `parameters: $1 = '42', $2 = NULL`
/// (`BuildParamLogString()` in `src/backend/nodes/params.c`). One that was cut off (`log_parameter_max_length`) is left out.
pub fn logged_parameters(detail: &str) -> ExecutedValues {
    let mut values = ExecutedValues::new();
    let Some((_, mut rest)) = detail.split_once("arameters: ") else { return values };
    while let Some((number, after)) = rest.strip_prefix('$').and_then(|r| r.split_once(" = ")) {
        let Ok(number) = number.parse::<u32>() else { break };
        if let Some(after) = after.strip_prefix("NULL") {
            values.insert(number, None);
            rest = after;
        } else if let Some(quoted) = after.strip_prefix('\'') {
            let Some((value, after)) = unquoted(quoted) else { break };
            if !value.ends_with("...") {
                values.insert(number, Some(value));
            }
            rest = after;
        } else {
            break;
        }
        rest = rest.strip_prefix(", ").unwrap_or("");
    }
    values
}

/// A quoted text behind its first quote, and what follows its last.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('\'')?;
        value.push_str(before);
        match after.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Some((value, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(normalized: &str, executed: &str) -> Option<Vec<(u32, Option<String>)>> {
        executed_values(normalized, executed, &ExecutedValues::new()).map(|v| v.into_iter().collect())
    }

    fn texts(values: &[&str]) -> Vec<(u32, Option<String>)> {
        (1..).zip(values).map(|(n, v)| (n, Some((*v).to_owned()))).collect()
    }

    #[test]
    fn constants_stand_where_the_parameters_do() {
        for (normalized, executed, values) in [
            ("select * from t where a = $1", "SELECT *\n FROM t -- x\n WHERE a = 42;", texts(&["42"])),
            ("select $1, $2, $3", "select -1.5e3, 'it''s', E'a\\'b'", texts(&["-1.5e3", "it's", "a'b"])),
            (
                "select d ->> $1 from t where f = $2 and d @> $3",
                "select d ->> 'k' from t where f = TRUE and d @> $tag${\"a\": 1}$tag$",
                texts(&["k", "true", "{\"a\": 1}"]),
            ),
            ("select a - $1", "select a - 1", texts(&["1"])),
            (
                "select \"A\" from t where at > now() - interval $1",
                "select \"A\" from T where at > NOW() - interval '7 days'",
                texts(&["7 days"]),
            ),
            ("select * from t where a in ($1, $2)", "select * from t where a in (1, 2)", texts(&["1", "2"])),
            (
                "select * from t where a in ($1 /*, ... */) and b = $2",
                "select * from t where a in (1, 2,3) and b = 4",
                texts(&["1", "4"]),
            ),
        ] {
            assert_eq!(read(normalized, executed), Some(values), "{executed}");
        }
        assert_eq!(
            read("insert into t values ($1, $2)", "insert into t values (NULL, X'1F')"),
            Some(vec![(1, None)])
        );
    }

    #[test]
    fn other_statements_have_no_values() {
        for (normalized, executed) in [
            ("select * from t where a = $1", "select * from t where b = 1"),
            ("select * from t where a = $1", "select * from t where a = 1 and b = 2"),
            ("select * from t where a = $1", "select * from t where a ="),
            ("select * from t where a = $1", "select * from t where a = b"),
            ("select * from t where a = $1", "select * from t where a = 'open"),
            ("select \"A\" from t", "select \"a\" from t"),
            ("select * from t where a in ($1, $2)", "select * from t where a in (1, 2, 3)"),
        ] {
            assert_eq!(read(normalized, executed), None, "{executed}");
        }
    }

    #[test]
    fn parameters_of_prepared_statements_are_in_the_detail() {
        let detail = "parameters: $1 = '42', $2 = NULL, $3 = 'it''s, $4 = ''x''', $4 = 'cut o...'";
        let bound = logged_parameters(detail);
        let expected = [(1, Some("42")), (2, None), (3, Some("it's, $4 = 'x'"))];
        assert_eq!(bound, expected.map(|(n, v)| (n, v.map(str::to_owned))).into());
        // Constants are numbered after the parameters.
        let values = executed_values(
            "select * from t where a = $1 and b = $3 and c = $5",
            "select * from t where a = $1 and b = $3 and c = 'x'",
            &bound,
        );
        let expected = [(1, Some("42")), (3, Some("it's, $4 = 'x'")), (5, Some("x"))];
        assert_eq!(values, Some(expected.map(|(n, v)| (n, v.map(str::to_owned))).into()));
        for odd in ["", "parameters: ", "parameters: $1", "parameters: $x = 1", "Parameters: $1 = 'open"] {
            assert_eq!(logged_parameters(odd), ExecutedValues::new(), "{odd}");
        }
        assert_eq!(logged_parameters("Parameters: $1 = ''").len(), 1);
    }

    proptest! {
        #[test]
        fn any_texts_are_taken(a in "[a$1-3'(),= ./*-]{0,40}", b in "[a$1-3'(),= ./*-]{0,40}") {
            let _ = executed_values(&a, &b, &logged_parameters(&a));
        }
    }
}
