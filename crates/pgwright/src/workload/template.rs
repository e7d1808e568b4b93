//! Where in a statement do its parameters stand?
//!
//! Source: PostgreSQL manual, "Lexical Structure": a `:name` inside a string constant, a quoted
//! identifier, a dollar-quoted text or a comment is not a parameter, and neither is a cast `::type`.

use std::collections::BTreeMap;

/// A statement cut at its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Parameter(Reference),
}

/// A use of a parameter: `:name`, or `:name.column` of one that draws whole rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The parameter.
    pub name: String,
    /// The column of its query.
    pub column: Option<String>,
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.column {
            Some(column) => write!(f, ":{}.{column}", self.name),
            None => write!(f, ":{}", self.name),
        }
    }
}

impl Template {
    /// Cuts a statement. Text that PostgreSQL itself would refuse, such as a string that is not
    /// closed, is kept as it is: the server will say what is wrong with it.
    pub fn parse(sql: &str) -> Self {
        let bytes = sql.as_bytes();
        let mut pieces = Vec::new();
        let (mut at, mut text_from) = (0, 0);
        while at < bytes.len() {
            match bytes[at] {
                b'\'' => {
                    let escapes =
                        at > 0 && matches!(bytes[at - 1], b'e' | b'E') && (at < 2 || !is_word(bytes[at - 2]));
                    at = end_of_quoted(bytes, at, b'\'', escapes);
                }
                b'"' => at = end_of_quoted(bytes, at, b'"', false),
                b'$' if at == 0 || !is_word(bytes[at - 1]) => at = end_of_dollar_quoted(sql, at),
                b'-' if bytes.get(at + 1) == Some(&b'-') => {
                    at = sql[at..].find('\n').map_or(bytes.len(), |length| at + length);
                }
                b'/' if bytes.get(at + 1) == Some(&b'*') => at = end_of_comment(bytes, at),
                b':' if bytes.get(at + 1) == Some(&b':') => at += 2,
                b':' if bytes.get(at + 1).is_some_and(|&b| starts_word(b)) => {
                    pieces.push(Piece::Text(sql[text_from..at].to_owned()));
                    let name = word(sql, at + 1);
                    let mut end = at + 1 + name.len();
                    let mut column = None;
                    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(|&b| starts_word(b)) {
                        let text = word(sql, end + 1);
                        end += 1 + text.len();
                        column = Some(text.to_owned());
                    }
                    pieces.push(Piece::Parameter(Reference { name: name.to_owned(), column }));
                    (at, text_from) = (end, end);
                }
                _ => at += 1,
            }
        }
        pieces.push(Piece::Text(sql[text_from..].to_owned()));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Self { pieces }
    }

    /// The parameters in the order of their use, repeated as they are repeated.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Parameter(reference) => Some(reference),
            Piece::Text(_) => None,
        })
    }

    /// The statement with each parameter replaced by its literal; one without a literal is an error.
    ///
    /// # Errors
    /// The first reference that `literals` does not hold.
    pub fn render(&self, literals: &BTreeMap<Reference, String>) -> Result<String, Reference> {
        let mut sql = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => sql.push_str(text),
                Piece::Parameter(reference) => {
                    sql.push_str(literals.get(reference).ok_or_else(|| reference.clone())?);
                }
            }
        }
        Ok(sql)
    }
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn word(sql: &str, from: usize) -> &str {
    let length = sql[from..].bytes().take_while(|&b| b.is_ascii_alphanumeric() || b == b'_').count();
    &sql[from..from + length]
}

fn end_of_quoted(bytes: &[u8], from: usize, quote: u8, escapes: bool) -> usize {
    let mut at = from + 1;
    while at < bytes.len() {
        let escaped = escapes && bytes[at] == b'\\';
        if escaped || bytes[at] == quote && bytes.get(at + 1) == Some(&quote) {
            at += 2;
        } else if bytes[at] == quote {
            return at + 1;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn end_of_dollar_quoted(sql: &str, from: usize) -> usize {
    let tag = word(sql, from + 1);
    let open = from + 1 + tag.len();
    // A tag does not start with a digit: `$1` is a parameter of the protocol.
    if sql.as_bytes().get(open) != Some(&b'$') || tag.starts_with(|c: char| c.is_ascii_digit()) {
        return from + 1;
    }
    let mark = &sql[from..=open];
    sql[open + 1..].find(mark).map_or(sql.len(), |length| open + 1 + length + mark.len())
}

fn end_of_comment(bytes: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &[&str]) {
        let template = Template::parse(sql);
        let found: Vec<String> = template.references().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{sql}");
        let literals = template.references().map(|r| (r.clone(), r.to_string())).collect();
        assert_eq!(
            template.render(&literals).unwrap(),
            sql,
            "rendering a parameter as itself gives the text back"
        );
    }

    #[test]
    fn parameters_are_found_and_everything_else_is_left_alone() {
        check("SELECT 1", &[]);
        check("SELECT :a, :b_2 FROM t WHERE x = :a", &[":a", ":b_2", ":a"]);
        check("SELECT :run.run_id, t.c FROM t", &[":run.run_id"]);
        check("SELECT x::text, :a::int", &[":a"]);
        check("SELECT ':a', 'it''s :b', \"c:d\", \"e\"\":f\"", &[]);
        check(r"SELECT E'\':a', :b, type'\', :c", &[":b", ":c"]);
        check("SELECT $$ :a $$, $x$ :b $$ $x$, :c, $1", &[":c"]);
        check("SELECT 1 -- :a\n, :b /* :c /* :d */ :e */ + :f", &[":b", ":f"]);
        check("SELECT a[1:2], b[1 : n]", &[]);
        check("SELECT 'not closed :a", &[]);
        check("SELECT 'größe', :ü, :a /* not closed :b", &[":a"]);
        check(":a", &[":a"]);
    }

    #[test]
    fn a_missing_literal_is_named() {
        let missing = Template::parse("SELECT :a").render(&BTreeMap::new());
        assert_eq!(missing.unwrap_err().to_string(), ":a");
    }
}
