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
        /// The last column in the brackets, as printed.
        column: String,
        /// The whole call.
        text: String,
    },
    /// `(column + value)`, `(column ->> 'key')`, `(column * other)`.
    Operator {
        /// The operators as printed, each once.
        operators: Vec<String>,
        /// The columns as printed, each once.
        columns: Vec<String>,
        /// The whole expression.
        text: String,
    },
}

impl Wrapping {
    /// A column as printed that the comparison needs the value of.
    pub fn column(&self) -> &str {
        match self {
            Wrapping::Cast { column, .. } | Wrapping::Call { column, .. } => column,
            Wrapping::Operator { columns, .. } => columns.first().map_or("", String::as_str),
        }
    }

    /// What is compared, as printed.
    pub fn text(&self) -> String {
        match self {
            Wrapping::Cast { column, to } => format!("({column})::{to}"),
            Wrapping::Call { text, .. } | Wrapping::Operator { text, .. } => text.clone(),
        }
    }
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
    let (at, operator) = top_level_words(inner).into_iter().find(|(_, w)| *w != "<>" && is_comparison(w))?;
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

/// Whether it is known before the scan: a constant, a parameter, the result of an InitPlan or this moment, perhaps cast or
/// calculated with.
fn is_value(text: &str) -> bool {
    let bare = bare_of(text);
    match sides(bare) {
        Some((left, _, right)) => is_value(left) && is_value(right),
        None => is_plain_value(bare.trim_start_matches('(')),
    }
}

fn is_plain_value(text: &str) -> bool {
    text.starts_with(|c: char| c == '\'' || c == '$' || c == '-' || c.is_ascii_digit())
        || ["InitPlan ", "ANY ('{", "now()", "CURRENT_"].iter().any(|start| text.starts_with(start))
        || ["true", "false"].contains(&text)
}

/// The sides of the only operator at the outermost level that does not compare.
fn sides(text: &str) -> Option<(&str, &str, &str)> {
    let is_operator = |word: &str| !word.is_empty() && word.chars().all(|c| "+-*/<>=~!@#%^&|`?".contains(c));
    let mut found = top_level_words(text).into_iter().filter(|(_, word)| is_operator(word));
    let (at, operator) = found.next()?;
    (found.next().is_none() && at > 0 && !is_comparison(operator))
        .then(|| (text[..at].trim(), operator, text[at + operator.len()..].trim()))
}

fn wrapping(side: &str) -> Option<Wrapping> {
    if let Some((column, to)) = column_cast(side) {
        return (!is_textual(to)).then(|| Wrapping::Cast { column: column.into(), to: to.into() });
    }
    if side.starts_with('(') {
        let (mut operators, mut columns) = (Vec::new(), Vec::new());
        let whole = operands(without_cast(side), &mut operators, &mut columns);
        return (whole && !columns.is_empty()).then(|| Wrapping::Operator {
            operators,
            columns,
            text: side.into(),
        });
    }
    let open = side.find('(')?;
    let (function, arguments) = side.split_at(open);
    let close = closing_bracket(arguments)?;
    let rest = &arguments[close + 1..];
    let column = split_arguments(&arguments[1..close]).into_iter().find_map(mentioned_column)?;
    (is_column(function) && !function.starts_with("ANY") && (rest.is_empty() || rest.starts_with("::")))
        .then(|| Wrapping::Call { function: function.into(), column: column.into(), text: side.into() })
}

/// An expression without the brackets and casts around it.
fn bare_of(text: &str) -> &str {
    let inner = strip_brackets(without_cast(text));
    if inner.len() == text.len() { inner } else { bare_of(inner) }
}

/// `(…)::type` without the type.
fn without_cast(text: &str) -> &str {
    match closing_bracket(text) {
        Some(close) if text.starts_with('(') && text[close + 1..].starts_with("::") => &text[..=close],
        _ => text,
    }
}

/// Collects the operators and columns of an expression that is made of columns, values and operators of two sides only;
/// whether it is one.
fn operands(text: &str, operators: &mut Vec<String>, columns: &mut Vec<String>) -> bool {
    let add = |to: &mut Vec<String>, what: &str| {
        if !to.iter().any(|known| known == what) {
            to.push(what.into());
        }
    };
    let bare = bare_of(text);
    if is_value(bare) {
        return true;
    }
    if is_column(bare) {
        add(columns, bare);
        return true;
    }
    let Some((left, operator, right)) = sides(bare) else { return false };
    add(operators, operator);
    operands(left, operators, columns) && operands(right, operators, columns)
}

fn is_comparison(word: &str) -> bool {
    matches!(word, "=" | "<" | "<=" | ">" | ">=" | "<>")
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

fn mentioned_column(argument: &str) -> Option<&str> {
    let bare = argument.trim_start_matches('(');
    let bare = bare.split("::").next().unwrap_or(bare).trim_end_matches(')');
    is_column(bare).then_some(bare)
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
        let call = |function: &str, text: &str| {
            let column = if function == "lower" { "email" } else { "at" };
            Wrapping::Call { function: function.into(), column: column.into(), text: text.into() }
        };
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
    fn operators_around_compared_columns_are_found() {
        for (condition, operators, columns) in [
            ("((total * '2'::numeric) > '100'::numeric)", "*", "total"),
            ("((t.id + 1) = 78)", "+", "t.id"),
            ("(100 < (1 + (id * 2)))", "+ *", "id"),
            ("((at + '01:00:00'::interval) > '2024-01-01 00:00:00'::timestamp without time zone)", "+", "at"),
            ("((at + '01:00:00'::interval) >= now())", "+", "at"),
            ("((now() - at) > '1 day'::interval)", "-", "at"),
            ("((doc ->> 'kind'::text) = 'a -> b'::text)", "->>", "doc"),
            ("(((doc -> 'a'::text) ->> 'b'::text) = 'x'::text)", "->> ->", "doc"),
            ("(((doc ->> 'n'::text))::integer = 5)", "->>", "doc"),
            ("((((a)::text || ' '::text) || (b)::text) = 'x y'::text)", "||", "a b"),
            ("((price * (quantity)::numeric) > '5'::numeric)", "*", "price quantity"),
            ("((id % 10) = 3)", "%", "id"),
        ] {
            let found = wrapped_columns(condition);
            let [Wrapping::Operator { operators: o, columns: c, .. }] = &found[..] else {
                panic!("{condition}: {found:?}")
            };
            assert_eq!((o.join(" ").as_str(), c.join(" ").as_str()), (operators, columns), "{condition}");
        }
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
            "(at > ('2024-01-01'::date + '1 day'::interval))",
            "((a + 1) = b)",
            "((a + (SubPlan 1)) > 5)",
            "((a <> 5) = true)",
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
