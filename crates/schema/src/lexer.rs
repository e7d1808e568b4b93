//! Where does a token, and where does a statement, of SQL text end?
//!
//! Source: PostgreSQL manual, "Lexical Structure", and `src/fe_utils/psqlscan.l`, whose rules for
//! parentheses and `BEGIN ATOMIC` bodies decide where a script's statements end.

/// What a token is. Only what splitting and replacing need is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// White space.
    Space,
    /// A comment of either kind.
    Comment,
    /// A string constant of any kind, dollar quotes included.
    String,
    /// `"…"`.
    QuotedIdentifier,
    /// A key word or an identifier without quotes.
    Word,
    /// Anything else, one character at a time.
    Other,
}

/// A token and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: &'a str,
}

/// The tokens of a text, which together are the whole text.
pub struct Tokens<'a> {
    rest: &'a str,
    /// `standard_conforming_strings`: whether a backslash in `'…'` is only a backslash.
    pub(crate) standard_strings: bool,
}

impl<'a> Tokens<'a> {
    /// Splits a text with `standard_conforming_strings` on.
    pub fn new(text: &'a str) -> Self {
        Self { rest: text, standard_strings: true }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        token
    }

    /// Throws the rest of the line away, as for a command of psql itself.
    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let text = self.rest;
        let first = text.chars().next()?;
        let (kind, length) = match first {
            c if c.is_ascii_whitespace() => {
                (Kind::Space, text.find(|c: char| !c.is_ascii_whitespace()).unwrap_or(text.len()))
            }
            '-' if text.starts_with("--") => (Kind::Comment, text.find('\n').unwrap_or(text.len())),
            '/' if text.starts_with("/*") => (Kind::Comment, block_comment(text)),
            '\'' => (Kind::String, quoted(text, 0, '\'', !self.standard_strings)),
            '"' => (Kind::QuotedIdentifier, quoted(text, 0, '"', false)),
            'e' | 'E' if text[1..].starts_with('\'') => (Kind::String, quoted(text, 1, '\'', true)),
            '$' => match dollar_quoted(text) {
                Some(length) => (Kind::String, length),
                None => (Kind::Other, 1),
            },
            c if is_word_start(c) => {
                let end = text.find(|c: char| !is_word_start(c) && !c.is_ascii_digit() && c != '$');
                (Kind::Word, end.unwrap_or(text.len()))
            }
            c if c.is_ascii_digit() => {
                // `1e5` and `0x1F` are one token, so that their letters start no word.
                let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                (Kind::Other, end.unwrap_or(text.len()))
            }
            c => (Kind::Other, c.len_utf8()),
        };
        Some(Token { kind, text: self.take(length) })
    }
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

/// The length of a quoted token whose opening quote stands at `open`. A doubled quote needs no
/// care: it ends one constant and starts the next.
fn quoted(text: &str, open: usize, quote: char, escapes: bool) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(open + 1) {
        if escaped {
            escaped = false;
        } else if escapes && c == '\\' {
            escaped = true;
        } else if c == quote {
            // Within an escape string the doubled quote must stay inside, or what follows would be
            // read without escapes.
            if escapes && text[at + 1..].starts_with(quote) {
                escaped = true;
                continue;
            }
            return at + 1;
        }
    }
    text.len()
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_end = 1 + text[1..].find('$')?;
    let tag = &text[1..tag_end];
    let named = tag.chars().all(|c| is_word_start(c) || c.is_ascii_digit());
    if !named || tag.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let quote = &text[..=tag_end];
    Some(text[tag_end + 1..].find(quote).map_or(text.len(), |end| tag_end + 1 + end + quote.len()))
}

/// One statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its text, without the semicolon and without comments around it.
    pub text: String,
    /// Its words in lower case, quoted identifiers and constants left out.
    pub words: Vec<String>,
}

/// Splits a script as psql does. Lines that are commands to psql itself (`\restrict …`) are left
/// out.
pub fn statements(script: &str) -> Vec<Statement> {
    let mut found = Vec::new();
    let mut tokens = Tokens::new(script);
    let (mut text, mut words) = (String::new(), Vec::<String>::new());
    let (mut parentheses, mut blocks) = (0_i32, 0_u32);
    while let Some(token) = tokens.next() {
        let outside = text.is_empty();
        match token.kind {
            Kind::Space | Kind::Comment if outside => continue,
            Kind::Other if token.text == "\\" && outside => {
                tokens.skip_line();
                continue;
            }
            Kind::Other if token.text == ";" && parentheses == 0 && blocks == 0 => {
                if words.first().is_some_and(|w| w == "set")
                    && words.get(1).is_some_and(|w| w == "standard_conforming_strings")
                {
                    tokens.standard_strings = !words.iter().any(|w| w == "off");
                }
                found.push(Statement { text: std::mem::take(&mut text), words: std::mem::take(&mut words) });
                parentheses = 0;
                continue;
            }
            Kind::Other if token.text == "(" => parentheses += 1,
            Kind::Other if token.text == ")" => parentheses = (parentheses - 1).max(0),
            Kind::Word => {
                let word = token.text.to_ascii_lowercase();
                if parentheses == 0 && defines_a_routine(&words) {
                    match word.as_str() {
                        "begin" => blocks += 1,
                        "case" if blocks > 0 => blocks += 1,
                        "end" => blocks = blocks.saturating_sub(1),
                        _ => {}
                    }
                }
                words.push(word);
            }
            _ => {}
        }
        text.push_str(token.text);
    }
    if !text.trim().is_empty() {
        found.push(Statement { text, words });
    }
    found
}

fn defines_a_routine(words: &[String]) -> bool {
    let words: Vec<_> = words.iter().take(4).map(String::as_str).collect();
    matches!(
        words.as_slice(),
        ["create", "function" | "procedure", ..] | ["create", "or", "replace", "function" | "procedure"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(script: &str) -> Vec<String> {
        statements(script).into_iter().map(|s| s.text).collect()
    }

    #[test]
    fn tokens_add_up_to_the_text() {
        for text in [
            "select 'it''s', E'a\\'b', $$x;y$$, $t$ $$ $t$, \"q\"\"q\", $1, 1e5, größe -- c\n/* a /* b */ c */;",
            "'open",
            "\"open",
            "$$open",
            "/* open",
            "E'open\\",
            "$",
            "",
        ] {
            assert_eq!(Tokens::new(text).map(|t| t.text).collect::<String>(), text);
        }
    }

    #[test]
    fn statements_end_where_psql_ends_them() {
        assert_eq!(
            split(
                "-- head\n\\restrict token\nSELECT ';'; SELECT \"a;b\", $x$;$x$ /* ; */;\n\\unrestrict token\n"
            ),
            ["SELECT ';'", "SELECT \"a;b\", $x$;$x$ /* ; */"]
        );
        assert_eq!(split("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);SELECT 3").len(), 2);
        let body =
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END";
        assert_eq!(split(&format!("{body}; SELECT 1;")), [body, "SELECT 1"]);
        assert_eq!(split("CREATE TABLE \"begin\" (a int); SELECT 1").len(), 2);
        assert_eq!(split("SELECT E'\\';'; SELECT 2").len(), 2);
        assert_eq!(split("SELECT E'a''\\';'; SELECT 2").len(), 2);
        assert_eq!(split("SET standard_conforming_strings = off; SELECT '\\';'; SELECT 2").len(), 3);
        assert_eq!(split("SET standard_conforming_strings = on; SELECT '\\'; SELECT 2").len(), 3);
        assert_eq!(split("  \n -- nothing\n"), Vec::<String>::new());
    }

    #[test]
    fn words_leave_out_what_is_quoted() {
        let all = statements("ALTER TABLE \"My Owner\".t OWNER TO 'x'");
        assert_eq!(all[0].words, ["alter", "table", "t", "owner", "to"]);
    }
}
