//! Which part of a statement is a secret? Utility statements are stored by `pg_stat_statements` as
//! they were written, passwords included.
//!
//! Source: PostgreSQL manual, "CREATE ROLE", "CREATE USER MAPPING", "CREATE SUBSCRIPTION"; the
//! release notes of 14 and the code of `pg_stat_statements`, which normalizes constants of planned
//! statements only.

/// What a secret is replaced by.
const MASK: &str = "'***'";

/// Replaces the string constant after the word `PASSWORD`, and passwords within connection strings.
pub(crate) fn mask(sql: &str) -> String {
    let lower = sql.to_ascii_lowercase();
    if !lower.contains("password") && !lower.contains("postgres") {
        return sql.to_owned();
    }
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    let mut after_password = false;
    while let Some(c) = rest.chars().next() {
        let token = token_length(rest);
        let (text, tail) = rest.split_at(token);
        rest = tail;
        if is_string(text) {
            if after_password {
                out.push_str(MASK);
            } else if holds_password(text) {
                out.push_str("'*** (connection string)'");
            } else {
                out.push_str(text);
            }
            after_password = false;
            continue;
        }
        if c.is_alphabetic() || c == '_' {
            after_password = text.eq_ignore_ascii_case("password");
        } else if !(c.is_whitespace() || c == '=' || text.starts_with("--") || text.starts_with("/*")) {
            after_password = false;
        }
        out.push_str(text);
    }
    out
}

fn is_string(token: &str) -> bool {
    token.starts_with('\'')
        || (token.len() > 1
            && token.starts_with('$')
            && !token[1..].starts_with(|c: char| c.is_ascii_digit()))
        || (token.get(..2).is_some_and(|p| matches!(p.to_ascii_lowercase().as_str(), "e'" | "u&"))
            && token.contains('\''))
}

fn holds_password(token: &str) -> bool {
    let lower = token.to_ascii_lowercase();
    let keyword_value = lower.contains("password=") || lower.contains("password =");
    let uri = lower.find("://").is_some_and(|at| {
        let authority = &lower[at + 3..];
        let authority = authority.split('/').next().unwrap_or_default();
        authority.split_once('@').is_some_and(|(user, _)| user.contains(':'))
    });
    keyword_value || uri
}

/// The length of the first token: a string, a quoted identifier, a comment, a word, a character.
fn token_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let lower = |at: usize| bytes.get(at).map(u8::to_ascii_lowercase);
    match (lower(0), lower(1)) {
        (Some(b'\''), _) => string_length(text, 0, false),
        (Some(b'e'), Some(b'\'')) => string_length(text, 1, true),
        (Some(b'u'), Some(b'&')) if lower(2) == Some(b'\'') => string_length(text, 2, false),
        (Some(b'"'), _) => text[1..].find('"').map_or(text.len(), |at| at + 2),
        (Some(b'-'), Some(b'-')) => text.find('\n').unwrap_or(text.len()),
        (Some(b'/'), Some(b'*')) => text.find("*/").map_or(text.len(), |at| at + 2),
        (Some(b'$'), _) => dollar_length(text),
        _ => {
            let first = text.chars().next().map_or(1, char::len_utf8);
            if !text.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
                return first;
            }
            text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(text.len())
        }
    }
}

/// A string constant whose quote stands at `quote`; one that is cut off goes to the end.
fn string_length(text: &str, quote: usize, escapes: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = quote + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if escapes => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// `$tag$ … $tag$`, or the parameter `$1`, or a lone dollar sign.
fn dollar_length(text: &str) -> usize {
    let Some(end) = text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_')).map(|at| at + 1) else {
        return text.len();
    };
    let is_tag = text[end..].starts_with('$') && !text[1..].starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return end.max(1);
    }
    let tag = &text[..=end];
    text[tag.len()..].find(tag).map_or(text.len(), |at| tag.len() + at + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_roles_and_connections_are_masked() {
        for (sql, expected) in [
            ("CREATE ROLE a PASSWORD 'geheim'", "CREATE ROLE a PASSWORD '***'"),
            (
                "alter user a with encrypted password 'it''s' login",
                "alter user a with encrypted password '***' login",
            ),
            (
                "ALTER ROLE a PASSWORD E'x\\'y' VALID UNTIL '2030-01-01'",
                "ALTER ROLE a PASSWORD '***' VALID UNTIL '2030-01-01'",
            ),
            ("ALTER ROLE a PASSWORD $x$geheim$x$", "ALTER ROLE a PASSWORD '***'"),
            ("ALTER ROLE a PASSWORD /* now */ 'geheim'", "ALTER ROLE a PASSWORD /* now */ '***'"),
            ("ALTER ROLE a PASSWORD 'cut off", "ALTER ROLE a PASSWORD '***'"),
            ("ALTER ROLE a PASSWORD NULL", "ALTER ROLE a PASSWORD NULL"),
            (
                "CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'u', password 'geheim')",
                "CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'u', password '***')",
            ),
            (
                "CREATE SUBSCRIPTION s CONNECTION 'host=h password=geheim' PUBLICATION p",
                "CREATE SUBSCRIPTION s CONNECTION '*** (connection string)' PUBLICATION p",
            ),
            ("SELECT dblink('postgres://u:p@h/d', $1)", "SELECT dblink('*** (connection string)', $1)"),
            ("SELECT \"password\", 'x' FROM t", "SELECT \"password\", 'x' FROM t"),
            ("SELECT password FROM t WHERE name = 'x'", "SELECT password FROM t WHERE name = 'x'"),
            ("SELECT 1 WHERE größe = 'ü'", "SELECT 1 WHERE größe = 'ü'"),
        ] {
            assert_eq!(mask(sql), expected);
        }
        // A comparison with a column of that name may be a secret as well.
        assert_eq!(mask("SELECT 1 FROM t WHERE password = 'x'"), "SELECT 1 FROM t WHERE password = '***'");
    }
}
