//! How does a text of `pg_stat_statements` become SQL again, and how do values get back into it?
//!
//! Source: `generate_normalized_query()` in contrib/pg_stat_statements.c. It replaces the token of
//! every constant by `$n` without asking whether the grammar takes a parameter there: `interval $1`,
//! `date $1` and `extract($1 from x)` come out, and from 18 on `IN ($1 /*, ... */)` for squashed
//! lists. Everything here works on tokens, so it does not depend on the text being valid.

use std::collections::BTreeMap;

use model::quote_literal;
use pg_query::protobuf::{ScanToken, Token};

use crate::error::SqlError;

/// What a constant in a place where only a constant may stand is replaced by, so that the parser
/// takes it and the analysis still knows the parameter's number.
pub(crate) const SENTINEL: &str = "\u{1}pgwright parameter ";

/// A value in place of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A quoted literal whose type the context decides.
    Untyped(String),
    /// A quoted literal with a cast.
    Typed {
        /// The text form of the value.
        text: String,
        /// The type as `format_type()` prints it.
        type_name: String,
    },
    /// A number written without quotes.
    Number(String),
    /// `NULL`.
    Null,
    /// Several values for the one parameter of a squashed list.
    List(Vec<Value>),
    /// An expression without columns, for the planner to compute.
    Computed {
        /// The expression.
        sql: String,
        /// About what it gives, for places that take nothing but a constant.
        text: String,
    },
}

impl Value {
    fn render(&self, out: &mut String) {
        match self {
            Self::Untyped(text) => out.push_str(&quote_literal(text)),
            Self::Typed { text, type_name } => {
                out.push_str(&quote_literal(text));
                out.push_str("::");
                out.push_str(type_name);
            }
            Self::Computed { sql, .. } => {
                out.push('(');
                out.push_str(sql);
                out.push(')');
            }
            // A minus sign after another minus would begin a comment.
            Self::Number(text) if text.starts_with('-') => {
                out.push('(');
                out.push_str(text);
                out.push(')');
            }
            Self::Number(text) => out.push_str(text),
            Self::Null => out.push_str("NULL"),
            Self::List(values) => {
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    value.render(out);
                }
            }
        }
    }

    /// The value's text, without quotes or cast.
    pub fn text(&self) -> &str {
        match self {
            Self::Untyped(text)
            | Self::Typed { text, .. }
            | Self::Number(text)
            | Self::Computed { text, .. } => text,
            Self::Null => "",
            Self::List(values) => values.first().map_or("", |v| v.text()),
        }
    }
}

/// Where a parameter stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Where any expression may stand.
    Expression,
    /// Where the grammar wants a string constant: after a type's name, or as the field of `extract`.
    Constant,
    /// The only element of a squashed list.
    SquashedList,
}

/// A stretch of the text that binding replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Parameter {
        number: u32,
        position: Position,
    },
    /// `, ...` in a list that some collectors abbreviate so; dropped.
    Ellipsis,
    /// `now()` and its relatives; the type of what it gives.
    Now {
        type_name: &'static str,
    },
}

/// The places of a text that matter, in order, as byte ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pieces: Vec<(usize, usize, Piece)>,
}

fn is(token: &ScanToken, wanted: Token) -> bool {
    token.token == wanted as i32
}

pub(crate) fn is_comment(token: &ScanToken) -> bool {
    is(token, Token::SqlComment) || is(token, Token::CComment)
}

fn slice<'a>(text: &'a str, token: &ScanToken) -> &'a str {
    let (start, end) = (usize::try_from(token.start).unwrap_or(0), usize::try_from(token.end).unwrap_or(0));
    text.get(start..end).unwrap_or("")
}

/// Key words that name a type, or end the name of one, and may stand before a string constant.
fn ends_type_name(word: &str) -> bool {
    matches!(
        word.to_ascii_lowercase().as_str(),
        "interval"
            | "timestamp"
            | "time"
            | "zone"
            | "bit"
            | "varying"
            | "boolean"
            | "char"
            | "character"
            | "nchar"
            | "varchar"
            | "dec"
            | "decimal"
            | "numeric"
            | "real"
            | "float"
            | "precision"
            | "int"
            | "integer"
            | "bigint"
            | "smallint"
            | "json"
    )
}

/// Scans a text. Fails only on what PostgreSQL's scanner refuses, an open quote above all.
pub(crate) fn scan(text: &str) -> Result<Vec<ScanToken>, SqlError> {
    // libpg_query gives a null pointer for no tokens, of which its binding makes a slice.
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    Ok(pg_query::scan_tokens(text)?)
}

/// The text with constants where the grammar wants them; as it is when it cannot be scanned.
pub(crate) fn repair(text: &str) -> String {
    scan(text).map_or_else(|_| text.to_owned(), |tokens| mark(text, &tokens).repair(text))
}

/// The first word of a statement in upper case, comments and parentheses skipped.
pub(crate) fn first_word(text: &str, tokens: &[ScanToken]) -> Option<String> {
    tokens
        .iter()
        .find(|t| !is_comment(t) && !is(t, Token::Ascii40))
        .map(|t| slice(text, t).to_ascii_uppercase())
}

/// Where the first token that is no comment begins.
pub(crate) fn first_token(tokens: &[ScanToken]) -> Option<usize> {
    places(tokens).first().map(|(start, _)| *start)
}

/// Where the tokens that are no comments stand.
pub(crate) fn places(tokens: &[ScanToken]) -> Vec<(usize, usize)> {
    tokens
        .iter()
        .filter(|t| !is_comment(t))
        .map(|t| (usize::try_from(t.start).unwrap_or(0), usize::try_from(t.end).unwrap_or(0)))
        .collect()
}

/// Finds the places that repair and binding have to touch.
pub(crate) fn mark(text: &str, tokens: &[ScanToken]) -> Marks {
    let significant: Vec<&ScanToken> = tokens.iter().filter(|t| !is_comment(t)).collect();
    // Where each of them stands among all tokens: a squashed list is marked by a comment.
    let places: Vec<usize> = (0..tokens.len()).filter(|n| !is_comment(&tokens[*n])).collect();
    let mut pieces = Vec::new();
    let at = |i: usize| significant.get(i).copied();
    let range = |first: &ScanToken, last: &ScanToken| {
        (usize::try_from(first.start).unwrap_or(0), usize::try_from(last.end).unwrap_or(0))
    };
    let mut i = 0;
    while let Some(token) = at(i) {
        let before = i.checked_sub(1).and_then(at);
        if is(token, Token::Param) {
            if let Ok(number) = slice(text, token).trim_start_matches('$').parse::<u32>() {
                let before_that = i.checked_sub(2).and_then(at);
                let position = if before.is_some_and(|b| takes_constant(text, b, before_that)) {
                    Position::Constant
                } else if is_squashed(text, tokens, places[i]) {
                    Position::SquashedList
                } else {
                    Position::Expression
                };
                // `extract($1 from x)`: the field is a constant too.
                let extract = before.is_some_and(|b| is(b, Token::Ascii40))
                    && before_that.is_some_and(|b| is(b, Token::Extract));
                let position = if extract { Position::Constant } else { position };
                let (start, end) = range(token, token);
                pieces.push((start, end, Piece::Parameter { number, position }));
            }
        } else if is(token, Token::Ascii44) {
            // `, ...` is scanned as three dots, or as two and one.
            let mut dots = 0;
            let mut j = i + 1;
            while let Some(next) = at(j) {
                dots += match () {
                    () if is(next, Token::DotDot) => 2,
                    () if is(next, Token::Ascii46) => 1,
                    () => break,
                };
                j += 1;
            }
            if let (3, Some(last), Some(close)) = (dots, at(j - 1), at(j))
                && is(close, Token::Ascii41)
            {
                let (start, end) = range(token, last);
                pieces.push((start, end, Piece::Ellipsis));
                i = j;
                continue;
            }
        } else if let Some((type_name, length)) = now_function(text, &significant, i) {
            if let Some(last) = at(i + length - 1) {
                let (start, end) = range(token, last);
                pieces.push((start, end, Piece::Now { type_name }));
            }
            i += length;
            continue;
        }
        i += 1;
    }
    Marks { pieces }
}

/// Whether a constant, and nothing but a constant, may follow: `interval $1`, `date $1`,
/// `timestamp(3) $1`. No expression ends in a name or a closing bracket and goes on with a parameter.
fn takes_constant(text: &str, token: &ScanToken, before: Option<&ScanToken>) -> bool {
    if is(token, Token::Ident) || is(token, Token::Ascii41) {
        return true;
    }
    let word = slice(text, token);
    // `x AT TIME ZONE $1` takes any expression; there, `time` stands before `zone`, and `with` or
    // `without` does not stand before `time`, which is why the two tokens are not enough alone.
    if word.eq_ignore_ascii_case("zone") {
        let start = usize::try_from(token.start).unwrap_or(0);
        let head = text.get(..start).unwrap_or("").trim_end().to_ascii_lowercase();
        let words: Vec<&str> = head.split_whitespace().rev().take(2).collect();
        return words.first() == Some(&"time")
            && matches!(words.get(1), Some(w) if w.ends_with("with") || w.ends_with("without"));
    }
    if word.eq_ignore_ascii_case("time") && before.is_some_and(|b| is(b, Token::At)) {
        return false;
    }
    ends_type_name(word)
}

/// Whether a parameter is followed by `/*, ... */`, the mark of a squashed list.
fn is_squashed(text: &str, tokens: &[ScanToken], parameter: usize) -> bool {
    tokens
        .get(parameter + 1)
        .is_some_and(|next| is(next, Token::CComment) && slice(text, next).contains("..."))
}

/// `now()` and its relatives: the type they give and how many tokens they take.
fn now_function(text: &str, tokens: &[&ScanToken], i: usize) -> Option<(&'static str, usize)> {
    let token = *tokens.get(i)?;
    if i > 0 && is(tokens[i - 1], Token::Ascii46) {
        return None;
    }
    if is(token, Token::CurrentTimestamp) || is(token, Token::Localtimestamp) || is(token, Token::CurrentDate)
    {
        // `current_timestamp(3)` keeps its precision by being left alone.
        if tokens.get(i + 1).is_some_and(|t| is(t, Token::Ascii40)) {
            return None;
        }
        let type_name = match () {
            () if is(token, Token::CurrentTimestamp) => "timestamp with time zone",
            () if is(token, Token::Localtimestamp) => "timestamp without time zone",
            () => "date",
        };
        return Some((type_name, 1));
    }
    let mut at = i;
    if slice(text, token).eq_ignore_ascii_case("pg_catalog")
        && tokens.get(i + 1).is_some_and(|t| is(t, Token::Ascii46))
    {
        at += 2;
    }
    let name = slice(text, tokens.get(at)?).to_ascii_lowercase();
    let stable = matches!(name.as_str(), "now" | "transaction_timestamp" | "statement_timestamp");
    let called = tokens.get(at + 1).is_some_and(|t| is(t, Token::Ascii40))
        && tokens.get(at + 2).is_some_and(|t| is(t, Token::Ascii41));
    (stable && called).then_some(("timestamp with time zone", at + 3 - i))
}

impl Marks {
    fn replace(&self, text: &str, mut with: impl FnMut(&Piece, &mut String) -> bool) -> String {
        let mut out = String::with_capacity(text.len() + 32);
        let mut done = 0;
        for (start, end, piece) in &self.pieces {
            out.push_str(text.get(done..*start).unwrap_or(""));
            if !with(piece, &mut out) {
                out.push_str(text.get(*start..*end).unwrap_or(""));
            }
            done = *end;
        }
        out.push_str(text.get(done..).unwrap_or(""));
        out
    }

    /// The text with constants where the grammar wants them.
    pub(crate) fn repair(&self, text: &str) -> String {
        self.replace(text, |piece, out| match piece {
            Piece::Parameter { number, position: Position::Constant } => {
                // The control character keeps the sentinel from meeting a text of a user.
                out.push('\'');
                out.push_str(SENTINEL);
                out.push_str(&number.to_string());
                out.push('\'');
                true
            }
            Piece::Ellipsis => true,
            _ => false,
        })
    }

    /// The text with values in place of parameters, and the clock stopped at `now`.
    pub(crate) fn bind(&self, text: &str, values: &BTreeMap<u32, Value>, now: Option<&str>) -> String {
        self.replace(text, |piece, out| match piece {
            Piece::Parameter { number, position } => {
                let Some(value) = values.get(number) else { return false };
                match (position, value) {
                    (Position::Constant, value) => out.push_str(&quote_literal(value.text())),
                    (Position::Expression, Value::List(list)) => {
                        list.first().unwrap_or(&Value::Null).render(out);
                    }
                    (Position::Expression | Position::SquashedList, value) => value.render(out),
                }
                true
            }
            Piece::Ellipsis => true,
            Piece::Now { type_name } => match now {
                Some(now) => {
                    Value::Typed { text: now.to_owned(), type_name: (*type_name).to_owned() }.render(out);
                    true
                }
                None => false,
            },
        })
    }

    /// The numbers of all parameters.
    pub(crate) fn parameters(&self) -> std::collections::BTreeSet<u32> {
        self.pieces
            .iter()
            .filter_map(|(_, _, piece)| match piece {
                Piece::Parameter { number, .. } => Some(*number),
                _ => None,
            })
            .collect()
    }

    /// Whether a parameter stands for a squashed list.
    pub(crate) fn is_squashed(&self, wanted: u32) -> bool {
        self.pieces.iter().any(|(_, _, piece)| {
            matches!(piece, Piece::Parameter { number, position: Position::SquashedList } if *number == wanted)
        })
    }
}
