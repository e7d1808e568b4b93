//! Which statements stand in a file of SQL, and where?
//!
//! Files are what psql runs: statements one after the other, psql's own commands (`\set`, `\i`), variables (`:name`),
//! data after `COPY … FROM stdin`. Psql's commands and data are blanked out, so that every place keeps its line and
//! column; each statement is parsed alone, so that a mistake in one does not hide the others.

use pg_query::NodeEnum;

use crate::input::{Place, error_offset};
use crate::text;

/// A file taken apart.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The statements in order.
    pub statements: Vec<ScriptStatement>,
    /// Commands of psql, which were passed over.
    pub skipped: Vec<Passage>,
    /// Statements that cannot be parsed.
    pub mistakes: Vec<Mistake>,
    /// `-- pgwright: ignore CHECK reason`.
    pub ignores: Vec<Ignore>,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// In bytes, from 0.
    pub offset: usize,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// A statement of a file.
#[derive(Clone, Debug)]
pub struct ScriptStatement {
    /// Where its first word stands.
    pub at: Position,
    /// Where it ends.
    pub end: Position,
    /// Its text without the semicolon.
    pub text: String,
    pub(crate) node: NodeEnum,
}

/// A piece of a file with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Where it begins.
    pub at: Position,
    /// Its text.
    pub text: String,
}

/// A statement that PostgreSQL's grammar refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where the parser stopped.
    pub place: Place,
    /// What it said.
    pub message: String,
}

/// A comment that lets findings be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignore {
    /// Where it stands.
    pub at: Position,
    /// The check.
    pub check: String,
    /// Why; empty when none was given.
    pub reason: String,
}

/// What a character of a file is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    LineComment,
    /// Nested so deep.
    BlockComment(usize),
    /// In quotes; of strings whether backslashes escape.
    Quoted(u8, bool),
}

impl Script {
    /// Takes a file apart. Never fails: what cannot be parsed is among `mistakes`.
    pub fn parse(source: &str) -> Self {
        let mut script = Self::default();
        let lines = Lines::new(source);
        let mut blanked = source.as_bytes().to_vec();
        let pieces = split(source, &mut blanked, &lines, &mut script);
        // Only whole characters were replaced, by as many blanks.
        let clean = String::from_utf8_lossy(&blanked).into_owned();
        for (start, end) in pieces {
            let Some(piece) = clean.get(start..end) else { continue };
            script.add(piece, start, &lines, source);
        }
        script
    }

    fn add(&mut self, piece: &str, start: usize, lines: &Lines, source: &str) {
        let first = text::scan(piece).ok().and_then(|tokens| text::first_token(&tokens));
        let Some(first) = first else {
            // Nothing but comments, unless the scanner itself refused it.
            if let Err(error) = text::scan(piece) {
                let words = piece.len() - piece.trim_start().len();
                let message = error.message().unwrap_or_default();
                self.mistakes.push(Mistake { place: Place::at(source, start + words, 1), message });
            }
            return;
        };
        match parse_one(piece) {
            Ok(node) => {
                let text = piece[first..].trim_end().to_owned();
                let end = lines.position(source, start + first + text.len());
                self.statements.push(ScriptStatement {
                    at: lines.position(source, start + first),
                    end,
                    text,
                    node,
                });
            }
            Err(message) => {
                // psql puts values in place of variables; any value of the kind will do to see the statement.
                let substituted = without_variables(piece);
                if let (true, Ok(node)) = (substituted != piece, parse_one(&substituted)) {
                    let text = piece[first..].trim_end().to_owned();
                    let end = lines.position(source, start + first + text.len());
                    self.statements.push(ScriptStatement {
                        at: lines.position(source, start + first),
                        end,
                        text,
                        node,
                    });
                    return;
                }
                let (offset, length) = error_offset(piece, &message);
                self.mistakes.push(Mistake { place: Place::at(source, start + offset, length), message });
            }
        }
    }

    /// The comment that lets findings of a check on a statement be: one that stands in it, before it (after the
    /// statement before), or behind it on its last line.
    pub fn ignore_for(&self, statement: usize, check: &str) -> Option<usize> {
        let this = self.statements.get(statement)?;
        let before = statement.checked_sub(1).and_then(|n| self.statements.get(n)).map(|s| s.end);
        self.ignores.iter().position(|ignore| {
            let after_the_former = before.is_none_or(|end| {
                ignore.at.offset > end.offset && (ignore.at.line > end.line || this.at.line == end.line)
            });
            let up_to = ignore.at.offset < this.end.offset || ignore.at.line == this.end.line;
            ignore.check == check && after_the_former && up_to
        })
    }
}

fn parse_one(piece: &str) -> Result<NodeEnum, String> {
    let mut parsed = match pg_query::parse(piece, pg_query::ParserOptions::DEFAULT) {
        Ok(parsed) => parsed.protobuf.stmts,
        Err(pg_query::Error::Parse(message) | pg_query::Error::Scan(message)) => return Err(message),
        Err(pg_query::Error::Decode(_)) => return Err("statement is nested too deeply to be analysed".into()),
        Err(other) => return Err(other.to_string()),
    };
    if parsed.len() > 1 {
        return Err("several statements without a semicolon between them".into());
    }
    parsed.pop().and_then(|raw| raw.stmt).and_then(|s| s.node).ok_or_else(|| "statement is empty".into())
}

/// Cuts at semicolons outside of quotes, comments, parentheses and `BEGIN ATOMIC … END`; blanks out psql's commands
/// and the data of COPY; collects the comments that speak to pgwright.
fn split(source: &str, blanked: &mut [u8], lines: &Lines, script: &mut Script) -> Vec<(usize, usize)> {
    let bytes = source.as_bytes();
    let mut pieces = Vec::new();
    let (mut start, mut at, mut depth) = (0, 0, 0_usize);
    let mut state = State::Code;
    let mut comment = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let next = bytes.get(at + 1).copied();
        match state {
            State::LineComment => {
                if byte == b'\n' {
                    script.ignores.extend(ignore(&source[comment..at], lines.position(source, comment)));
                    state = State::Code;
                }
            }
            State::BlockComment(deep) => match (byte, next) {
                (b'/', Some(b'*')) => {
                    state = State::BlockComment(deep + 1);
                    at += 1;
                }
                (b'*', Some(b'/')) => {
                    state = if deep == 1 { State::Code } else { State::BlockComment(deep - 1) };
                    at += 1;
                }
                _ => {}
            },
            State::Quoted(quote, escapes) => {
                if byte == b'\\' && escapes {
                    at += 1;
                } else if byte == quote {
                    if next == Some(quote) {
                        at += 1;
                    } else {
                        state = State::Code;
                    }
                }
            }
            State::Code => match byte {
                b'-' if next == Some(b'-') => {
                    comment = at;
                    state = State::LineComment;
                }
                b'/' if next == Some(b'*') => {
                    state = State::BlockComment(1);
                    at += 1;
                }
                b'\'' => {
                    let escapes = at > 0
                        && matches!(bytes[at - 1], b'e' | b'E')
                        && !at.checked_sub(2).is_some_and(|p| is_word(bytes[p]));
                    state = State::Quoted(b'\'', escapes);
                }
                b'"' => state = State::Quoted(b'"', false),
                b'$' if !at.checked_sub(1).is_some_and(|p| is_word(bytes[p])) => {
                    if let Some(end) = dollar_quoted(source, at) {
                        at = end;
                        continue;
                    }
                }
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                b';' if depth == 0 && !within_atomic(&source[start..at]) => {
                    pieces.push((start, at));
                    let copies = copies_from_stdin(&source[start..at]);
                    start = at + 1;
                    if copies {
                        let end = end_of_data(source, start);
                        blank(&mut blanked[start..end]);
                        at = end;
                        start = end;
                        continue;
                    }
                }
                b'\\' => {
                    let end = source[at..].find('\n').map_or(bytes.len(), |n| at + n);
                    let text = source[at..end].trim_end().to_owned();
                    script.skipped.push(Passage { at: lines.position(source, at), text: text.clone() });
                    blank(&mut blanked[at..end]);
                    // `\gexec` and its like send what stands before.
                    if text.starts_with("\\g")
                        || text.starts_with("\\crosstabview")
                        || text.starts_with("\\watch")
                    {
                        pieces.push((start, at));
                        start = end;
                    }
                    at = end;
                    continue;
                }
                _ => {}
            },
        }
        at += 1;
    }
    if state == State::LineComment {
        script.ignores.extend(ignore(&source[comment..], lines.position(source, comment)));
    }
    pieces.push((start, bytes.len()));
    pieces
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|b| **b != b'\n' && **b != b'\r') {
        *byte = b' ';
    }
}

/// The end of `$tag$ … $tag$`, when one begins here.
fn dollar_quoted(source: &str, at: usize) -> Option<usize> {
    let rest = &source[at + 1..];
    let tag_end = rest.find('$')?;
    let tag = &rest[..tag_end];
    let valid = tag.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !tag.starts_with(|c: char| c.is_ascii_digit());
    if !valid {
        return None;
    }
    let delimiter = &source[at..at + tag_end + 2];
    let body = at + delimiter.len();
    Some(source[body..].find(delimiter).map_or(source.len(), |n| body + n + delimiter.len()))
}

/// Whether a body `BEGIN ATOMIC` (14 and later) is still open.
fn within_atomic(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let Some(at) = lower.find("begin atomic") else { return false };
    let words = lower[at + "begin atomic".len()..].split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let mut open = 1_i32;
    for word in words {
        match word {
            "case" => open += 1,
            "end" => open -= 1,
            _ => {}
        }
    }
    open > 0
}

fn copies_from_stdin(statement: &str) -> bool {
    let words: Vec<String> = statement
        .lines()
        .map(|line| line.split("--").next().unwrap_or(""))
        .flat_map(str::split_whitespace)
        .map(str::to_ascii_lowercase)
        .collect();
    words.first().is_some_and(|w| w == "copy")
        && words.windows(2).any(|w| w[0] == "from" && w[1].starts_with("stdin"))
}

fn end_of_data(source: &str, from: usize) -> usize {
    let mut at = from;
    for line in source[from..].split_inclusive('\n') {
        at += line.len();
        if line.trim_end() == "\\." {
            return at;
        }
    }
    source.len()
}

fn ignore(comment: &str, at: Position) -> Option<Ignore> {
    let rest =
        comment.trim_start_matches('-').trim().strip_prefix("pgwright:")?.trim().strip_prefix("ignore")?;
    let mut words = rest.trim().splitn(2, char::is_whitespace);
    let check = words.next().unwrap_or("").trim_end_matches(':').to_owned();
    Some(Ignore { at, check, reason: words.next().unwrap_or("").trim().to_owned() })
}

/// `:name`, `:'name'` and `:"name"` with as many characters that the grammar takes: a name, a string, a quoted name.
fn without_variables(piece: &str) -> String {
    let chars: Vec<char> = piece.chars().collect();
    let mut out = String::with_capacity(piece.len());
    for (n, c) in chars.iter().enumerate() {
        let before = n.checked_sub(1).map(|p| chars[p]);
        let after = chars.get(n + 1).copied();
        let variable = *c == ':'
            && before != Some(':')
            && after.is_some_and(|a| a.is_alphabetic() || a == '_' || a == '\'' || a == '"');
        out.push(if variable { ' ' } else { *c });
    }
    out
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn new(source: &str) -> Self {
        Self(std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    fn position(&self, source: &str, offset: usize) -> Position {
        let line = self.0.partition_point(|start| *start <= offset).max(1);
        let begin = self.0[line - 1];
        let column = source.get(begin..offset).map_or(0, |text| text.chars().count()) + 1;
        Position { offset, line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &Script) -> Vec<&str> {
        script.statements.iter().map(|s| s.text.as_str()).collect()
    }

    #[test]
    fn statements_keep_their_places() {
        let script = Script::parse(
            "-- a comment; not a statement\n\\set ON_ERROR_STOP on\nselect 1; select ';';\n  /* b; */ select $x$;$x$;\n\
             select E'\\';', \"a;b\"",
        );
        assert_eq!(texts(&script), ["select 1", "select ';'", "select $x$;$x$", "select E'\\';', \"a;b\""]);
        let places: Vec<_> = script.statements.iter().map(|s| (s.at.line, s.at.column)).collect();
        assert_eq!(places, [(3, 1), (3, 11), (4, 12), (5, 1)]);
        assert_eq!(script.skipped.len(), 1);
        assert_eq!(
            (script.skipped[0].at.line, script.skipped[0].text.as_str()),
            (2, "\\set ON_ERROR_STOP on")
        );
        assert!(script.mistakes.is_empty());
    }

    #[test]
    fn bodies_and_data_are_not_cut() {
        let script = Script::parse(
            "create function f() returns int begin atomic select 1; select case when true then 2 end; end;\n\
             copy t (a) from stdin;\n1;\n\\N\n\\.\nselect 2;\ndo $$ begin perform 1; end $$;",
        );
        assert!(script.mistakes.is_empty(), "{:?}", script.mistakes);
        assert_eq!(script.statements.len(), 4, "{:?}", texts(&script));
        assert_eq!(script.statements[2].at.line, 6);
    }

    #[test]
    fn a_mistake_is_underlined_and_hides_nothing() {
        let script = Script::parse("select 1;\nalter table größe add column x int nott null;\nselect 2");
        assert_eq!(texts(&script), ["select 1", "select 2"]);
        let mistake = &script.mistakes[0];
        assert_eq!(
            (mistake.place.line, mistake.place.column, mistake.place.length),
            (2, 36, 4),
            "{mistake:?}"
        );
        assert!(mistake.message.contains("syntax error at or near"), "{mistake:?}");
        let script = Script::parse("select (1");
        assert!(script.mistakes[0].message.contains("end of input"));
        let script = Script::parse("select 'open");
        assert_eq!(script.mistakes.len(), 1, "{script:?}");
    }

    #[test]
    fn variables_of_psql_do_not_hide_a_statement() {
        let script = Script::parse(
            "alter table :\"schema\".t add column :name int default :'value';\nselect a::int from t",
        );
        assert!(script.mistakes.is_empty(), "{:?}", script.mistakes);
        assert_eq!(script.statements.len(), 2);
    }

    #[test]
    fn comments_speak_of_the_statement_that_they_stand_by() {
        let script = Script::parse(
            "-- pgwright: ignore drop-table nobody reads it\ndrop table a;\ndrop table b; -- pgwright: ignore drop-table old\n\
             drop table c;\n-- pgwright: ignore\n",
        );
        assert_eq!(script.ignores.len(), 3);
        assert_eq!(script.ignores[0].reason, "nobody reads it");
        assert_eq!(script.ignore_for(0, "drop-table"), Some(0));
        assert_eq!(script.ignore_for(0, "drop-column"), None);
        assert_eq!(script.ignore_for(1, "drop-table"), Some(1));
        assert_eq!(script.ignore_for(2, "drop-table"), None);
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in [
            "",
            ";",
            "\\",
            "$",
            "$$",
            "$a",
            "'",
            "\"",
            "/*",
            "--",
            "(",
            ")",
            "\u{fe}",
            "copy x from stdin;",
            "é;é",
        ] {
            let _ = Script::parse(text);
        }
    }
}
