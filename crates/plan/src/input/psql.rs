//! What did psql, or a grid of a graphical client, draw around the plan?
//!
//! Source: print.c of psql (aligned, expanded, CSV; borders 0 to 2; ASCII and Unicode line styles).

use std::borrow::Cow;

use super::Line;

/// The lines of the plan, when something was drawn around it.
pub(super) fn undecorate(text: &str) -> Option<Vec<Line<'_>>> {
    let first = text.lines().find(|l| !l.trim().is_empty())?;
    let bare_header =
        |l: &str| l.trim_matches(|c: char| c.is_whitespace() || "|│".contains(c)) == "QUERY PLAN";
    if first.starts_with('"') || (bare_header(first) && !draws_a_rule(text)) {
        return Some(unquote(text));
    }
    let header = text.lines().any(|l| bare_header(l) || l.trim_start().starts_with("QUERY PLAN "));
    if !header {
        return None;
    }
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        if bare_header(line) || is_rule(line) || is_footer(line) {
            continue;
        }
        let mut inner = line;
        // Borders of style 2.
        for border in ['|', '│'] {
            if let Some(rest) = inner.strip_prefix(border).and_then(|l| l.strip_suffix(border)) {
                inner = rest.trim_end();
            }
        }
        // Expanded display: the name of the column before each row.
        let expanded = inner.trim_start().strip_prefix("QUERY PLAN").unwrap_or(inner).trim_start();
        if let Some(rest) = expanded.strip_prefix("| ").or_else(|| expanded.strip_prefix("│ ")) {
            inner = rest;
        }
        // A row that goes on in the next line; the mark stands at the right edge.
        let continued = inner
            .strip_suffix('+')
            .filter(|l| l.is_empty() || l.ends_with([' ', '[', ']', '{', '}', ',', '"']));
        let inner = continued.or_else(|| inner.strip_suffix('↵')).unwrap_or(inner);
        lines.push(Line { number, text: Cow::Borrowed(inner.trim_end()) });
    }
    Some(lines)
}

fn draws_a_rule(text: &str) -> bool {
    text.lines().any(is_rule)
}

/// `-----`, `+-----+`, `-[ RECORD 1 ]---`.
fn is_rule(line: &str) -> bool {
    let line = line.trim();
    let line_only = |l: &str| l.chars().all(|c| "-+|─┌┐└┘├┤┬┴┼═╔╗╚╝╠╣".contains(c));
    (line.len() > 3 && line_only(line))
        || (line.starts_with("-[ ") && line.contains(" ]-"))
        || line.starts_with("─[ ")
}

/// `(12 rows)` in any language, and `\timing`.
fn is_footer(line: &str) -> bool {
    let line = line.trim();
    let inner = line.strip_prefix('(').and_then(|l| l.strip_suffix(')'));
    let rows = inner.and_then(|i| i.split_once(' ')).is_some_and(|(number, word)| {
        number.bytes().all(|b| b.is_ascii_digit()) && word.chars().all(char::is_alphabetic)
    });
    let timing = line.strip_prefix("Time: ").is_some_and(|t| t.contains(" ms"));
    rows || timing
}

/// A CSV column, or the cells that pgAdmin and others copy in quotation marks.
fn unquote(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut inside = false;
    for (number, raw) in (1..).zip(text.lines()) {
        let raw = raw.trim_end_matches('\r');
        if !inside && raw.trim().trim_matches('"') == "QUERY PLAN" {
            continue;
        }
        if !inside && !raw.starts_with('"') {
            lines.push(Line { number, text: Cow::Borrowed(raw) });
            continue;
        }
        let mut out = String::with_capacity(raw.len());
        let mut chars = raw.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if !inside => inside = true,
                '"' if chars.peek() == Some(&'"') => {
                    chars.next();
                    out.push('"');
                }
                '"' => inside = false,
                c => out.push(c),
            }
        }
        lines.push(Line { number, text: Cow::Owned(out) });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        let lines = undecorate(text).unwrap_or_else(|| panic!("nothing around {text}"));
        lines.iter().map(|l| l.text.to_string()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn frames_headers_and_footers_go() {
        let expected = "Limit  (cost=1..2 rows=1 width=1)\n  ->  Seq Scan on t";
        let aligned = "            QUERY PLAN\n----------------------------------\n Limit  (cost=1..2 rows=1 width=1)\n   ->  Seq Scan on t\n(2 rows)\n\nTime: 0.3 ms\n";
        assert_eq!(
            plain(aligned)
                .lines()
                .map(|l| l.strip_prefix(' ').unwrap_or(l))
                .collect::<Vec<_>>()
                .join("\n")
                .trim(),
            expected
        );
        let framed = "+-----------------+\n|     QUERY PLAN  |\n+-----------------+\n| Limit  (x)      |\n|   ->  Seq Scan  |\n+-----------------+\n(2 Zeilen)";
        assert_eq!(plain(framed), " Limit  (x)\n   ->  Seq Scan");
        let expanded = "-[ RECORD 1 ]-------\nQUERY PLAN | Limit  (x)\n-[ RECORD 2 ]-------\nQUERY PLAN |   ->  Seq Scan";
        assert_eq!(plain(expanded), "Limit  (x)\n  ->  Seq Scan");
        let json = "        QUERY PLAN        \n--------------------------\n [                       +\n   {\"Plan\": {}}          +\n ]\n(1 row)";
        assert_eq!(plain(json), " [\n   {\"Plan\": {}}\n ]");
    }

    #[test]
    fn quoted_cells_are_unquoted() {
        assert_eq!(
            plain("QUERY PLAN\nLimit  (x)\n\"  Filter: (a = \"\"b\"\", c)\"\n"),
            "Limit  (x)\n  Filter: (a = \"b\", c)"
        );
        assert_eq!(plain("\"[\n {\"\"Plan\"\": 1}\n]\""), "[\n {\"Plan\": 1}\n]");
        assert_eq!(plain("\"Limit  (x)\"\n\"  ->  Seq Scan\""), "Limit  (x)\n  ->  Seq Scan");
    }

    #[test]
    fn a_bare_plan_or_a_statement_is_left_alone() {
        assert!(undecorate("Limit  (cost=1..2 rows=1 width=1)\n").is_none());
        assert!(undecorate("select 1 -- (2 rows)").is_none());
        assert!(undecorate("").is_none());
    }
}
