//! Is what a person wrote into a file one statement, and if not, where and why?
//!
//! Source: PostgreSQL manual, "psql", "Meta-Commands". The grammar is an LALR(1) grammar, so an error is found
//! at the first token that no statement could have there: the text up to this token is refused at the token,
//! and any shorter text at its end.

use crate::text;

/// Why a text is not one statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// There is nothing but white space and comments.
    #[error("no statement in the text")]
    Empty,
    /// A line is a command to psql.
    #[error("line {line} is a command of psql, not SQL")]
    PsqlCommand {
        /// The line, from 1.
        line: usize,
        /// Its text.
        text: String,
    },
    /// Several statements.
    #[error("text holds {count} statements instead of one")]
    Several {
        /// How many.
        count: usize,
        /// The line where the second begins, from 1.
        line: usize,
    },
    /// The grammar refuses it.
    #[error("{message} in line {}", place.line)]
    Syntax {
        /// What the parser said.
        message: String,
        /// Where.
        place: Place,
    },
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The text of the line.
    pub text: String,
    /// How many characters are meant.
    pub length: usize,
}

impl Place {
    /// The place of a byte offset.
    pub fn at(text: &str, offset: usize, length: usize) -> Self {
        let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
        let line = text[start..].lines().next().unwrap_or_default();
        Self {
            line: text[..start].matches('\n').count() + 1,
            column: text[start..offset].chars().count() + 1,
            text: line.to_owned(),
            length,
        }
    }

    /// The place of the `position` that a server's message gives: in characters, from 1.
    pub fn at_position(text: &str, position: usize) -> Self {
        let offset = text.char_indices().nth(position.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
        let word = text[offset..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').count();
        Self::at(text, offset, word)
    }

    /// The line with the place underlined below it.
    pub fn underlined(&self) -> String {
        let before = self.column - 1;
        // Tabs stay, so that the mark stands below what it marks.
        let indent: String =
            self.text.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let room = self.text.chars().count().saturating_sub(before);
        format!("{}\n{indent}{}", self.text, "^".repeat(self.length.clamp(1, room.max(1))))
    }
}

impl InputError {
    /// More about what is wrong, in sentences or with the place underlined.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Empty => None,
            Self::PsqlCommand { text, .. } => Some(format!("It reads \"{text}\".")),
            Self::Several { line, .. } => Some(format!("The second one begins in line {line}.")),
            Self::Syntax { place, .. } => Some(place.underlined()),
        }
    }

    /// What can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::PsqlCommand { .. } => Some("Leave one SQL statement in the file.".into()),
            Self::Several { .. } => Some("Pass one statement at a time.".into()),
            Self::Empty | Self::Syntax { .. } => None,
        }
    }
}

/// All statements in a text, without their semicolons.
///
/// # Errors
/// [`InputError`] when there is none, or one that is no SQL.
pub fn statements(input: &str) -> Result<Vec<&str>, InputError> {
    match single_statement(input) {
        Ok(one) => Ok(vec![one]),
        Err(InputError::Several { .. }) => {
            let pieces = pg_query::split_with_scanner(input).unwrap_or_default();
            Ok(pieces.into_iter().filter(|piece| has_tokens(piece)).map(str::trim).collect())
        }
        Err(other) => Err(other),
    }
}

/// The one statement in a text, without its semicolon.
///
/// # Errors
/// [`InputError`] says what else it is.
pub fn single_statement(input: &str) -> Result<&str, InputError> {
    let refused = match pg_query::parse(&text::repair(input), pg_query::ParserOptions::DEFAULT) {
        Ok(_) => None,
        Err(pg_query::Error::Parse(message) | pg_query::Error::Scan(message)) => Some(message),
        Err(other) => Some(other.to_string()),
    };
    if let Some(message) = refused {
        let commands = |(_, line): &(usize, &str)| line.trim_start().starts_with('\\');
        if let Some((at, line)) = input.lines().enumerate().find(commands) {
            return Err(InputError::PsqlCommand { line: at + 1, text: line.trim().to_owned() });
        }
        let (offset, length) = error_offset(input, &message);
        return Err(InputError::Syntax { message, place: Place::at(input, offset, length) });
    }
    let pieces = pg_query::split_with_scanner(input).unwrap_or_default();
    let mut statements = pieces.into_iter().filter(|piece| has_tokens(piece));
    let Some(first) = statements.next() else { return Err(InputError::Empty) };
    if let Some(second) = statements.next() {
        let start = second.trim_start();
        let offset = start.as_ptr() as usize - input.as_ptr() as usize;
        let place = Place::at(input, offset, 1);
        return Err(InputError::Several { count: 2 + statements.count(), line: place.line });
    }
    Ok(first.trim())
}

fn has_tokens(piece: &str) -> bool {
    text::scan(piece).is_ok_and(|tokens| !tokens.iter().all(text::is_comment))
}

/// Where a refused text goes wrong, and for how many characters.
pub(crate) fn error_offset(input: &str, message: &str) -> (usize, usize) {
    let Some((_, rest)) = message.split_once(" at or near \"") else {
        return (input.trim_end().len(), 1);
    };
    let near = rest.trim_end_matches('"');
    let Ok(tokens) = text::scan(input) else {
        return (input.rfind(near).unwrap_or(0), near.chars().count());
    };
    for token in tokens {
        let place = (usize::try_from(token.start), usize::try_from(token.end));
        let (Ok(start), Ok(end)) = place else { continue };
        let (Some(head), Some(word)) = (input.get(..end), input.get(start..end)) else { continue };
        if word != near {
            continue;
        }
        let ends_here = match pg_query::parse(&text::repair(head), pg_query::ParserOptions::DEFAULT) {
            Ok(_) => false,
            Err(e) => !e.to_string().contains("at end of input"),
        };
        if ends_here {
            return (start, word.chars().count());
        }
    }
    (input.find(near).unwrap_or(0), near.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_comes_back_without_its_semicolon() {
        assert_eq!(
            single_statement("-- why\nselect ';' from t ; \n -- end\n").unwrap(),
            "-- why\nselect ';' from t"
        );
        assert_eq!(single_statement("select interval $1").unwrap(), "select interval $1");
    }

    #[test]
    fn several_statements_can_be_told_apart() {
        assert_eq!(statements("select 1; -- x\nselect ';';\n").unwrap(), ["select 1", "-- x\nselect ';'"]);
        assert!(statements("select 1; selekt 2").is_err());
    }

    #[test]
    fn what_is_no_single_statement_is_told() {
        assert_eq!(single_statement(" -- nothing\n;"), Err(InputError::Empty));
        assert_eq!(
            single_statement("select 1;\n\nselect 2;"),
            Err(InputError::Several { count: 2, line: 3 })
        );
        let command = single_statement("select 1\n\\gx out.txt\n");
        assert_eq!(command, Err(InputError::PsqlCommand { line: 2, text: "\\gx out.txt".into() }));
    }

    #[test]
    fn a_syntax_error_is_underlined_where_it_is() {
        let error = single_statement("select from_x\nfrom t wher from_x = 1 from t").unwrap_err();
        assert_eq!(error.to_string(), "syntax error at or near \"=\" in line 2".replace('=', "from_x"));
        assert_eq!(error.detail().unwrap(), "from t wher from_x = 1 from t\n            ^^^^^^");
        let error = single_statement("select größe,, 1").unwrap_err();
        assert_eq!(error.detail().unwrap(), "select größe,, 1\n             ^");
        let error = single_statement("select (1").unwrap_err();
        assert_eq!(error.detail().unwrap(), "select (1\n         ^");
    }

    #[test]
    fn a_position_of_the_server_is_underlined() {
        assert_eq!(Place::at_position("select\n\tgröß from t", 9).underlined(), "\tgröß from t\n\t^^^^");
        assert_eq!(Place::at_position("x", 99).underlined(), "x\n ^");
    }
}
