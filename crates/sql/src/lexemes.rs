//! Where do the words, constants and comments of a text stand? For those who replace constants and leave
//! everything else as it is.
//!
//! Source: PostgreSQL manual, "Lexical Structure"; the scanner is PostgreSQL's own.

use pg_query::protobuf::{KeywordKind, ScanToken, Token};

use crate::error::SqlError;
use crate::text;

/// What a stretch of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexemeKind {
    /// A key word, or an identifier with or without quotes.
    Word,
    /// A string constant in any notation, dollar quotes included.
    String,
    /// A bit string, `B'…'` or `X'…'`.
    Bits,
    /// A number without quotes.
    Number,
    /// `$1`
    Parameter,
    /// A comment.
    Comment,
    /// An operator, a bracket or another sign.
    Sign,
}

/// A stretch of a text, as byte offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lexeme {
    /// What it is.
    pub kind: LexemeKind,
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

impl Lexeme {
    /// Its text.
    pub fn of<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// The lexemes of a text, white space left out.
///
/// # Errors
/// [`SqlError`] for what PostgreSQL's scanner refuses, an open quote above all.
pub fn lexemes(sql: &str) -> Result<Vec<Lexeme>, SqlError> {
    Ok(text::scan(sql)?.iter().map(lexeme).collect())
}

fn lexeme(token: &ScanToken) -> Lexeme {
    let offset = |at: i32| usize::try_from(at).unwrap_or(0);
    let kind = match Token::try_from(token.token) {
        Ok(Token::Sconst | Token::Usconst) => LexemeKind::String,
        Ok(Token::Bconst | Token::Xconst) => LexemeKind::Bits,
        Ok(Token::Iconst | Token::Fconst) => LexemeKind::Number,
        Ok(Token::Param) => LexemeKind::Parameter,
        Ok(Token::SqlComment | Token::CComment) => LexemeKind::Comment,
        Ok(Token::Ident | Token::Uident) => LexemeKind::Word,
        _ if token.keyword_kind != KeywordKind::NoKeyword as i32 => LexemeKind::Word,
        _ => LexemeKind::Sign,
    };
    Lexeme { kind, start: offset(token.start), end: offset(token.end) }
}

/// The value of a string constant in any notation; `None` when the text is not one, or one with
/// escapes that are not plain characters.
pub fn string_value(constant: &str) -> Option<String> {
    if let Some(tag_end) = constant.strip_prefix('$').and_then(|rest| rest.find('$')) {
        let (tag, rest) = constant.split_at(tag_end + 2);
        return rest.strip_suffix(tag).map(str::to_owned);
    }
    let escapes = constant.starts_with(['e', 'E']);
    if constant.starts_with(['u', 'U']) && constant.contains('\\') {
        return None;
    }
    let quoted = constant.trim_start_matches(|c: char| c != '\'');
    let mut value = String::new();
    let mut letters = quoted.strip_prefix('\'')?.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' if letters.next_if_eq(&'\'').is_some() => value.push('\''),
            '\'' => {
                // A constant goes on after a line break.
                while letters.next_if(|c| c.is_whitespace()).is_some() {}
                match letters.next() {
                    Some('\'') => {}
                    Some(_) => return None,
                    None => return Some(value),
                }
            }
            '\\' if escapes => match letters.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                c if c.is_ascii_alphanumeric() => return None,
                c => value.push(c),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_and_words_are_told_apart() {
        let sql = "SELECT \"a b\", E'x\\'y', $$z$$, 1.5, $2 /* c */ FROM t WHERE x->>'k' = B'1' -- end";
        let found: Vec<(LexemeKind, &str)> =
            lexemes(sql).unwrap().into_iter().map(|l| (l.kind, l.of(sql))).collect();
        for expected in [
            (LexemeKind::Word, "SELECT"),
            (LexemeKind::Word, "\"a b\""),
            (LexemeKind::String, "E'x\\'y'"),
            (LexemeKind::String, "$$z$$"),
            (LexemeKind::Number, "1.5"),
            (LexemeKind::Parameter, "$2"),
            (LexemeKind::Comment, "/* c */"),
            (LexemeKind::Sign, "->>"),
            (LexemeKind::Bits, "B'1'"),
            (LexemeKind::Comment, "-- end"),
        ] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
        assert!(lexemes("select 'open").is_err());
    }

    #[test]
    fn strings_are_read_in_every_notation() {
        for (constant, value) in [
            ("'it''s'", Some("it's")),
            ("E'a\\'b\\n'", Some("a'b\n")),
            ("$tag$ $$ $tag$", Some(" $$ ")),
            ("'a'\n  'b'", Some("ab")),
            ("N'x'", Some("x")),
            ("U&'\\0041'", None),
            ("E'\\x41'", None),
            ("x", None),
        ] {
            assert_eq!(string_value(constant).as_deref(), value, "{constant}");
        }
    }
}
