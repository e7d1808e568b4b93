//! What did a mail, a chat or an editor do to the plan? Quotation marks before each line, a fence of back-ticks,
//! indentation, non-breaking spaces; and auto_explain's message without the log around it.
//!
//! Lines are emptied and never removed, so that their numbers stay those of the text. Source: auto_explain.c for
//! `duration: … ms  plan:` and `Query Text:`; CommonMark for `>` and fences; print.c of psql for the `+` at the edge.

use std::borrow::Cow;

use super::{Line, log};

/// What a log writes before a message of another kind.
const SEVERITIES: [&str; 9] = [
    "LOG:  ",
    "STATEMENT:  ",
    "ERROR:  ",
    "DETAIL:  ",
    "HINT:  ",
    "CONTEXT:  ",
    "WARNING:  ",
    "FATAL:  ",
    "NOTICE:  ",
];

/// What is larger was saved by a program.
const MAX_PASTED: usize = 8 << 20;

/// The text as it was before it was pasted; borrowed when nothing was done to it.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    let holds_plan = ["(cost=", "(actual ", "QUERY PLAN", "\"Plan\"", "Query Text:"]
        .iter()
        .any(|mark| text.contains(mark));
    if !holds_plan || text.len() > MAX_PASTED {
        return Cow::Borrowed(text);
    }
    let text = match text.contains('\u{a0}') {
        true => Cow::Owned(text.replace('\u{a0}', " ")),
        false => Cow::Borrowed(text),
    };
    let mut lines: Vec<Cow<'_, str>> = text.lines().map(Cow::Borrowed).collect();
    let before = lines.clone();
    let entities = lines.iter().any(|l| l.trim_start().starts_with("-&gt;"));
    for line in &mut lines {
        if entities && line.contains('&') {
            *line = Cow::Owned(line.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"));
        }
        if line.trim_start().starts_with("```") {
            *line = Cow::Borrowed("");
        }
    }
    unquote_lines(&mut lines);
    dedent(&mut lines);
    unquote_strings(&mut lines);
    without_marks(&mut lines);
    for line in &mut lines {
        let trimmed = line.trim_start();
        if let Some(rest) = trimmed.strip_prefix('→').filter(|r| r.starts_with(' ') && r.contains('(')) {
            let indent = &line[..line.len() - trimmed.len()];
            *line = Cow::Owned(format!("{indent}->{rest}"));
        }
    }
    if lines == before {
        return text;
    }
    Cow::Owned(lines.join("\n"))
}

/// `> ` before lines, as mails and chats cite. No line of a plan begins with it.
fn unquote_lines(lines: &mut [Cow<'_, str>]) {
    if lines.iter().filter(|l| l.starts_with('>')).count() < 2 {
        return;
    }
    let mark = if lines.iter().all(|l| !l.starts_with('>') || l.starts_with("> ") || l.trim() == ">") {
        "> "
    } else {
        ">"
    };
    for line in lines {
        if let Some(rest) = line.strip_prefix(mark).or_else(|| line.strip_prefix('>')) {
            *line = Cow::Owned(rest.to_owned());
        }
    }
}

/// Takes away what all lines are indented by.
fn dedent(lines: &mut [Cow<'_, str>]) {
    let indentation = |l: &str| l.len() - l.trim_start_matches([' ', '\t']).len();
    let filled = || lines.iter().filter(|l| !l.trim().is_empty());
    let common = filled().map(|l| indentation(l)).min().unwrap_or(0);
    let Some(first) = filled().next().map(|l| l[..common].to_owned()) else { return };
    if common == 0 || !filled().all(|l| l.starts_with(&first)) {
        return;
    }
    for line in lines {
        if let Some(rest) = line.strip_prefix(&first) {
            *line = Cow::Owned(rest.to_owned());
        }
    }
}

/// Every line in single quotation marks, with or without a comma behind, as a program prints a list.
fn unquote_strings(lines: &mut [Cow<'_, str>]) {
    let inner = |l: &str| {
        let line = l.trim_end().trim_end_matches(',');
        line.strip_prefix('\'').and_then(|l| l.strip_suffix('\'')).map(|l| l.replace("''", "'"))
    };
    if !lines.iter().filter(|l| !l.trim().is_empty()).all(|l| inner(l).is_some()) {
        return;
    }
    for line in lines {
        if let Some(rest) = inner(line) {
            *line = Cow::Owned(rest);
        }
    }
}

/// `+` at the end of every line but the last: a row of psql whose header was left behind.
fn without_marks(lines: &mut [Cow<'_, str>]) {
    let filled: Vec<usize> = (0..lines.len()).filter(|at| !lines[*at].trim().is_empty()).collect();
    let Some((_, continued)) = filled.split_last() else { return };
    if continued.is_empty() || !continued.iter().all(|at| lines[*at].trim_end().ends_with('+')) {
        return;
    }
    for at in continued {
        let line = lines[*at].trim_end();
        lines[*at] = Cow::Owned(line[..line.len() - 1].trim_end().to_owned());
    }
}

/// A message of auto_explain that stands in no log.
pub(super) struct Message {
    pub(super) duration_ms: Option<f64>,
    pub(super) line: usize,
    pub(super) text: String,
}

/// The messages: each behind its `duration: … ms  plan:`, or one that begins with `Query Text:`.
pub(super) fn messages(lines: &[Line<'_>]) -> Vec<Message> {
    let marks: Vec<(usize, Option<f64>)> = lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| log::marker(line.text.trim_start()).map(|(_, ms, _)| (at + 1, Some(ms))))
        .collect();
    let marks = if marks.is_empty() {
        let first = lines.iter().position(|l| !l.text.trim().is_empty());
        let first = first.filter(|at| lines[*at].text.trim_start().starts_with("Query Text:"));
        first.map(|at| (at, None)).into_iter().collect()
    } else {
        marks
    };
    let mut found = Vec::new();
    for (number, (start, duration_ms)) in marks.iter().enumerate() {
        let next = marks.get(number + 1).map_or(lines.len(), |(at, _)| at - 1);
        let body = &lines[*start..next.max(*start)];
        let other =
            body.iter().position(|l| SEVERITIES.iter().any(|s| l.text.contains(s))).unwrap_or(body.len());
        let tags =
            body[..other].iter().rev().take_while(|l| l.text.trim().is_empty() || is_tag(&l.text)).count();
        let other = other - tags;
        let mut texts: Vec<Cow<'_, str>> =
            body[..other].iter().map(|l| Cow::Borrowed(l.text.as_ref())).collect();
        dedent(&mut texts);
        let text = texts.join("\n");
        if let Some(first) = body[..other].iter().find(|l| !l.text.trim().is_empty()) {
            let text = text.trim_start_matches('\n').trim_end().to_owned();
            found.push(Message { duration_ms: *duration_ms, line: first.number, text });
        }
    }
    found
}

/// What psql says when a command is done: `DO`, `INSERT 0 1`.
fn is_tag(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let command = words.next().is_some_and(|w| w.bytes().all(|b| b.is_ascii_uppercase()));
    command
        && words.all(|w| w.bytes().all(|b| b.is_ascii_digit()) || w.bytes().all(|b| b.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "Aggregate  (cost=1.00..2.00 rows=1 width=8)\n  ->  Seq Scan on t  (cost=0.00..1.00 rows=9 width=4)\n        Filter: (a > 'x'::text)";

    fn with(before: &str, after: &str) -> String {
        PLAN.lines().map(|l| format!("{before}{l}{after}")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_stands_around_each_line_goes() {
        for (before, after) in [("> ", ""), (">", ""), ("    ", ""), ("\t", ""), ("", "")] {
            assert_eq!(clean(&with(before, after)), PLAN, "{before:?}");
        }
        let marked = with("", "  +");
        assert_eq!(clean(marked.trim_end_matches('+').trim_end()), PLAN);
        assert_eq!(clean(&with("", "").replace(' ', "\u{a0}")), PLAN);
        assert_eq!(clean(&with("", "").replace("->", "-&gt;").replace("a >", "a &gt;")), PLAN);
        assert_eq!(clean(&with("", "").replace("->", "→")), PLAN);
        assert_eq!(clean(&format!("```sql\n{PLAN}\n```")), format!("\n{PLAN}\n"));
        let quoted: Vec<String> = PLAN.lines().map(|l| format!("'{}',", l.replace('\'', "''"))).collect();
        assert_eq!(clean(&quoted.join("\n")), PLAN);
    }

    #[test]
    fn a_statement_stays_as_it_is() {
        for sql in ["select 1\n  where a\n> 5\n> 6", "  select 1\n  from t", "select 'a' +\n 1"] {
            assert!(matches!(clean(sql), Cow::Borrowed(text) if text == sql), "{sql}");
        }
        assert!(matches!(clean(PLAN), Cow::Borrowed(_)));
    }
}
