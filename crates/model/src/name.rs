//! How does a name reach SQL? Only through here.
//!
//! Source: PostgreSQL manual, "Lexical Structure: Identifiers and Key Words" and "String
//! Constants". Every identifier is quoted unless it is a plain lower-case word that is not a key
//! word, which is what `quote_ident()` does; a table called `a"b.c` is an ordinary case.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A schema-qualified name of a relation, function, type or operator class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QualifiedName {
    /// The schema, unquoted, exactly as in `pg_namespace.nspname`.
    pub schema: String,
    /// The name within the schema, unquoted, exactly as in the catalog.
    pub name: String,
}

impl QualifiedName {
    /// Makes a name from its two unquoted parts.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }

    /// Parses what a person types: `orders`, `sales.orders`, `"My Schema"."a""b.c"`.
    ///
    /// Unquoted parts are folded to lower case as PostgreSQL does. A name without a schema gets
    /// `default_schema`.
    ///
    /// # Errors
    /// Returns the reason in a sentence fragment when the text is not one or two identifiers.
    pub fn parse(text: &str, default_schema: &str) -> Result<Self, String> {
        let mut parts = split_identifiers(text)?;
        match (parts.pop(), parts.pop(), parts.pop()) {
            (Some(name), None, None) => Ok(Self::new(default_schema, name)),
            (Some(name), Some(schema), None) => Ok(Self::new(schema, name)),
            _ => Err(format!("\"{text}\" has more than a schema and a name")),
        }
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }
}

fn split_identifiers(text: &str) -> Result<Vec<String>, String> {
    let mut parts = Vec::new();
    let mut chars = text.trim().chars().peekable();
    loop {
        let mut part = String::new();
        if chars.peek() == Some(&'"') {
            chars.next();
            loop {
                match chars.next() {
                    Some('"') if chars.peek() == Some(&'"') => {
                        chars.next();
                        part.push('"');
                    }
                    Some('"') => break,
                    Some(c) => part.push(c),
                    None => return Err(format!("a quote is not closed in \"{text}\"")),
                }
            }
        } else {
            while let Some(&c) = chars.peek() {
                if c == '.' {
                    break;
                }
                if c == '"' || c.is_whitespace() {
                    return Err(format!("\"{text}\" needs double quotes around the name"));
                }
                part.extend(c.to_lowercase());
                chars.next();
            }
        }
        if part.is_empty() {
            return Err(format!("\"{text}\" has an empty name"));
        }
        parts.push(part);
        match chars.next() {
            None => return Ok(parts),
            Some('.') => {}
            Some(_) => return Err(format!("\"{text}\" is not a name")),
        }
    }
}

/// Quotes an identifier where PostgreSQL would need it, as `quote_ident()` does.
pub fn quote_identifier(identifier: &str) -> String {
    let plain = identifier.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && identifier.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !is_keyword(identifier);
    if plain { identifier.to_owned() } else { format!("\"{}\"", identifier.replace('"', "\"\"")) }
}

/// Quotes a string constant, with `E''` when it holds a backslash, as `quote_literal()` does.
pub fn quote_literal(value: &str) -> String {
    let doubled = value.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// Key words that `quote_ident()` quotes: every word of `pg_get_keywords()` of PostgreSQL 18 that
/// is not of category "unreserved".
fn is_keyword(word: &str) -> bool {
    KEYWORDS.binary_search(&word).is_ok()
}

const KEYWORDS: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "json",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_object",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_table",
    "json_value",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "merge_action",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted_for_the_binary_search() {
        assert!(KEYWORDS.is_sorted());
    }

    #[test]
    fn identifiers_are_quoted_as_quote_ident_does() {
        for (raw, quoted) in [
            ("orders", "orders"),
            ("Orders", "\"Orders\""),
            ("a\"b.c", "\"a\"\"b.c\""),
            ("order", "\"order\""),
            ("two words", "\"two words\""),
            ("2024", "\"2024\""),
            ("größe", "\"größe\""),
            ("_x1", "_x1"),
            ("", "\"\""),
        ] {
            assert_eq!(quote_identifier(raw), quoted);
        }
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\b"), "E'a\\\\b'");
    }

    #[test]
    fn names_parse_as_postgresql_folds_them() {
        let parse = |t: &str| QualifiedName::parse(t, "public").map(|n| (n.schema, n.name));
        assert_eq!(parse("Orders"), Ok(("public".into(), "orders".into())));
        assert_eq!(parse("s.\"a\"\"b.c\""), Ok(("s".into(), "a\"b.c".into())));
        assert!(parse("a.b.c").is_err());
        assert!(parse("\"open").is_err());
        assert!(parse("two words").is_err());
        assert!(parse("").is_err());
    }
}
