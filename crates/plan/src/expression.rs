//! Which part of a printed condition keeps an index from being used?
//!
//! Source: `get_rule_expr()` in ruleutils.c, which prints conditions fully parenthesised: every
//! operator expression in brackets, a cast as `(column)::type`. Enough structure to find the sides of
//! a comparison without a parser; what does not fit the pattern is left alone.

/// What stands around a column in a comparison with a value that is known before the scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrapping {
    /// `(column)::type`.
    Cast {
        /// The column as printed.
        column: String,
        /// The type that it is cast to.
        to: String,
    },
    /// `function(…column…)`.
    Call {
        /// The function as printed.
        function: String,
        /// The whole call.
        text: String,
    },
}

/// Casts and calls around a column that is compared with a value, in any of the `AND`ed clauses.
///
/// Casts to `text` and its kin are left out: `(varchar_column)::text = …` is printed for every
/// `varchar` comparison and uses an index well, and the plan does not tell the column's type.
pub fn wrapped_columns(condition: &str) -> Vec<Wrapping> {
    let mut found = Vec::new();
    for clause in clauses(condition) {
        let Some(side) = compared_with_value(clause) else { continue };
        found.extend(wrapping(side));
    }
    found
}

/// The side of a comparison that is compared with a value.
fn compared_with_value(clause: &str) -> Option<&str> {
    let (left, right) = comparison(clause)?;
    match (is_value(left), is_value(right)) {
        (false, true) => Some(left),
        (true, false) => Some(right),
        _ => None,
    }
}

/// Columns that are cast to a type of texts and compared with a value: column and type. Of a `varchar` that is no harm, of a
/// number or a time it is.
pub fn columns_as_text(condition: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for clause in clauses(condition) {
        let Some(side) = compared_with_value(clause) else { continue };
        if let Some((column, to)) = column_cast(side)
            && is_textual(to)
        {
            found.push((column, to));
        }
    }
    found
}

/// The clauses that are joined by `AND` at the outermost level.
fn clauses(condition: &str) -> Vec<&str> {
    let inner = strip_brackets(condition.trim());
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, word) in top_level_words(inner) {
        if word == "AND" {
            parts.push(inner[start..at].trim());
            start = at + word.len();
        }
    }
    parts.push(inner[start..].trim());
    parts
}

/// The two sides of a comparison.
fn comparison(clause: &str) -> Option<(&str, &str)> {
    let inner = strip_brackets(clause);
    let (at, operator) =
        top_level_words(inner).into_iter().find(|(_, w)| matches!(*w, "=" | "<" | "<=" | ">" | ">="))?;
    Some((inner[..at].trim(), inner[at + operator.len()..].trim()))
}

/// Words that stand outside of brackets and quotes, with their place.
fn top_level_words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let (mut depth, mut quote, mut start) = (0_i32, None::<char>, None::<usize>);
    for (at, c) in text.char_indices() {
        match quote {
            Some(q) => {
                if c == q {
                    quote = None;
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == '(' || c == '[' => depth += 1,
            None if c == ')' || c == ']' => depth -= 1,
            None => {}
        }
        if depth == 0 && c == ' ' {
            if let Some(start) = start.take() {
                words.push((start, &text[start..at]));
            }
        } else if start.is_none() {
            start = Some(at);
        }
        if depth > 0 && start.is_none() {
            start = Some(at);
        }
    }
    if let Some(start) = start {
        words.push((start, &text[start..]));
    }
    words
}

/// The place of the bracket that closes the one at the beginning.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_i32, None::<char>);
    for (at, c) in text.char_indices() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == '(' => depth += 1,
            None if c == ')' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            None => {}
        }
    }
    None
}

fn strip_brackets(text: &str) -> &str {
    if text.starts_with('(') && closing_bracket(text) == Some(text.len() - 1) {
        text[1..text.len() - 1].trim()
    } else {
        text
    }
}

/// Whether it is a constant, a parameter or the result of an InitPlan, perhaps cast.
fn is_value(text: &str) -> bool {
    let text = text.trim_start_matches('(');
    text.starts_with(|c: char| c == '\'' || c == '$' || c == '-' || c.is_ascii_digit())
        || text.starts_with("InitPlan ")
        || text.starts_with("ANY ('{")
        || text.starts_with("now()")
        || text.starts_with("CURRENT_")
        || text.starts_with("true")
        || text.starts_with("false")
}

fn wrapping(side: &str) -> Option<Wrapping> {
    if side.starts_with('(') {
        let (column, to) = column_cast(side)?;
        return (!is_textual(to)).then(|| Wrapping::Cast { column: column.into(), to: to.into() });
    }
    let open = side.find('(')?;
    let (function, arguments) = side.split_at(open);
    let close = closing_bracket(arguments)?;
    let rest = &arguments[close + 1..];
    let has_column = split_arguments(&arguments[1..close]).into_iter().any(mentions_column);
    (is_column(function)
        && !function.starts_with("ANY")
        && (rest.is_empty() || rest.starts_with("::"))
        && has_column)
        .then(|| Wrapping::Call { function: function.into(), text: side.into() })
}

/// `(column)::type` as column and type.
fn column_cast(side: &str) -> Option<(&str, &str)> {
    let close = if side.starts_with('(') { closing_bracket(side)? } else { return None };
    let to = side.get(close + 1..)?.strip_prefix("::")?;
    let column = &side[1..close];
    is_column(column).then_some((column, to))
}

fn is_textual(type_name: &str) -> bool {
    ["text", "character", "bpchar", "name", "varchar", "citext"].iter().any(|t| type_name.starts_with(t))
}

fn split_arguments(text: &str) -> Vec<&str> {
    // `EXTRACT(year FROM column)` has no comma; its last word is the column.
    text.rsplit([',', ' ']).map(str::trim).filter(|a| !a.is_empty()).collect()
}

fn mentions_column(argument: &str) -> bool {
    let bare = argument.trim_start_matches('(');
    let bare = bare.split("::").next().unwrap_or(bare).trim_end_matches(')');
    is_column(bare)
}

/// Whether it is one or two identifiers, `column` or `alias.column`.
fn is_column(text: &str) -> bool {
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
    };
    let quoted = |part: &str| part.len() > 2 && part.starts_with('"') && part.ends_with('"');
    !text.is_empty() && text.split('.').all(|part| plain(part) || quoted(part))
}

/// Whether the condition negates a `SubPlan` as `NOT IN` does: `(NOT (SubPlan 1))` up to 16,
/// `(NOT (ANY (a = (SubPlan 1).col1)))` since 17.
pub fn negates_subplan(condition: &str, subplan: &str) -> bool {
    condition.contains(&format!("(NOT ({subplan}))"))
        || (condition.contains("(NOT (ANY (") && condition.contains(&format!("({subplan}).col")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(column: &str, to: &str) -> Wrapping {
        Wrapping::Cast { column: column.into(), to: to.into() }
    }

    #[test]
    fn a_cast_or_call_around_a_compared_column_is_found() {
        assert_eq!(wrapped_columns("((run_id)::numeric = 5.0)"), [cast("run_id", "numeric")]);
        assert_eq!(
            wrapped_columns("(((r.at)::date = '2024-01-01'::date) AND (status = 'a AND (b'::text))"),
            [cast("r.at", "date")]
        );
        assert_eq!(wrapped_columns("('2024-01-01'::date >= (at)::date)"), [cast("at", "date")]);
        let call =
            |function: &str, text: &str| Wrapping::Call { function: function.into(), text: text.into() };
        assert_eq!(wrapped_columns("(lower(email) = 'x'::text)"), [call("lower", "lower(email)")]);
        assert_eq!(
            wrapped_columns("(lower((email)::text) = 'x'::text)"),
            [call("lower", "lower((email)::text)")]
        );
        assert_eq!(
            wrapped_columns("(date_trunc('day'::text, at) = '2024-01-01 00:00:00'::timestamp)"),
            [call("date_trunc", "date_trunc('day'::text, at)")]
        );
        assert_eq!(
            wrapped_columns("(EXTRACT(year FROM at) = '2024'::numeric)"),
            [call("EXTRACT", "EXTRACT(year FROM at)")]
        );
    }

    #[test]
    fn what_an_index_can_serve_is_left_alone() {
        for condition in [
            "(status = 'failed'::text)",
            "((status)::text = 'failed'::text)",
            "((status)::text = ANY ('{a,b}'::text[]))",
            "((a)::numeric = (b)::numeric)",
            "(lower(a) = lower(b))",
            "(random() < '0.5'::double precision)",
            "(at > (now() - '1 day'::interval))",
            "((a = 1) OR ((b)::date = '2024-01-01'::date))",
            "(NOT (SubPlan 1))",
            "",
            "((((",
            "'unclosed",
        ] {
            assert_eq!(wrapped_columns(condition), [], "{condition}");
        }
    }

    #[test]
    fn what_is_compared_as_a_text() {
        let condition = "(((o.id)::text = '77'::text) AND ((status)::character varying = 'a'::text) AND ((at)::date = '2024-01-01'::date))";
        assert_eq!(columns_as_text(condition), [("o.id", "text"), ("status", "character varying")]);
        assert_eq!(columns_as_text("((a)::text = (b)::text)"), []);
    }

    #[test]
    fn not_in_is_told_from_other_subplans() {
        assert!(negates_subplan("(NOT (SubPlan 1))", "SubPlan 1"));
        assert!(negates_subplan("((a > 1) AND (NOT (ANY (id = (SubPlan 1).col1))))", "SubPlan 1"));
        assert!(!negates_subplan("(NOT (hashed SubPlan 1))", "SubPlan 1"));
        assert!(!negates_subplan("(NOT (ANY (id = (hashed SubPlan 1).col1)))", "SubPlan 1"));
        assert!(!negates_subplan("(SubPlan 1)", "SubPlan 1"));
    }
}
