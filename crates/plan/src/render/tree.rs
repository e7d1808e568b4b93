//! Where does the time go, at a glance? The plan as a tree, self time in front, findings on the nodes.
//!
//! Every line is `self time, bar, percent | node`. A bar is also a number and a finding starts with
//! `!!`, `!` or `-`, so nothing is told by colour alone. Whatever comes from the database passes through
//! [`plain`].

use std::fmt::Write as _;

use model::{Bytes, Finding, ObjectRef, Severity};
use unicode_width::UnicodeWidthStr;

use super::figures::{count, factor, kilobytes, milliseconds};
use super::plain;
use crate::checks::{self, Thresholds};
use crate::node::{Node, Plan, Relationship};

/// How a tree is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns to use; lines are wrapped there where they can be.
    pub width: usize,
    /// Whether to add terminal colours.
    pub color: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { width: 100, color: false }
    }
}

/// Of a longer condition or list of keys only the beginning is drawn; as data it is whole.
const TEXT_CHARS_MAX: usize = 2_000;

const BAR: usize = 8;
/// Columns left of the tree: time, bar, percentage and the spaces between.
const GUTTER: usize = 10 + 1 + BAR + 1 + 5 + 2;
/// However deep the tree is, this much is left for words.
const LEAST: usize = 36;

#[derive(Clone, Copy)]
enum Paint {
    None,
    Strong,
    Dim,
    Warn,
    Alarm,
}

/// Draws the plan with the findings of [`checks::run`] at default thresholds.
pub fn tree(plan: &Plan, style: &Style) -> String {
    tree_with(plan, &checks::run(plan, &Thresholds::default()), style)
}

/// Draws the plan with these findings; those about no node of the plan are left out.
pub fn tree_with(plan: &Plan, findings: &[Finding], style: &Style) -> String {
    let mut out = String::new();
    for line in header(plan) {
        out.push_str(&line);
        out.push('\n');
    }
    out.push('\n');
    let unit = if plan.timed() { "self time" } else { "self cost" };
    let _ = writeln!(out, "{unit:>10}{:width$}plan", "", width = GUTTER - 10);
    for node in &plan.nodes {
        draw_node(plan, node, findings, style, &mut out);
    }
    out
}

pub(super) fn header(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    let mut first = Vec::new();
    // auto_explain writes no summary; the root's time is nearly all of it.
    if let Some(ms) = plan.execution_ms.or_else(|| plan.root().and_then(|r| r.total_ms)) {
        first.push(format!("execution {}", milliseconds(ms)));
    }
    if let Some(ms) = plan.planning_ms {
        first.push(format!("planning {}", milliseconds(ms)));
    }
    if let Some(root) = plan.root() {
        if !plan.analyzed {
            first.push(format!("not executed; planner cost {}", count(root.total_cost)));
        }
        let usage = root.usage;
        if usage.pages() > 0 {
            let pages = usage.pages();
            let hit = 1.0 - usage.pages_read() as f64 / pages as f64;
            first.push(format!(
                "{} buffers ({}), {:.0} % in cache",
                count(pages as f64),
                Bytes::from_pages(pages),
                hit * 100.0
            ));
        }
        if usage.read_ms() > 0.0 {
            first.push(format!("reading {}", milliseconds(usage.read_ms())));
        }
        if usage.temp_pages() > 0 {
            first.push(format!("temporary files {}", Bytes::from_pages(usage.temp_pages())));
        }
        if usage.wal_bytes > 0 {
            first.push(format!("WAL {}", Bytes(usage.wal_bytes)));
        }
    }
    lines.push(first.join(" · "));
    if let Some(jit) = &plan.jit {
        let time = jit.total_ms.map(|ms| format!(", {}", milliseconds(ms))).unwrap_or_default();
        lines.push(format!("JIT: {} functions{time}", jit.functions));
    }
    for trigger in &plan.triggers {
        let on = trigger.relation.as_deref().map(|r| format!(" on {}", plain(r))).unwrap_or_default();
        let time = trigger.time_ms.map(|ms| format!(", {}", milliseconds(ms))).unwrap_or_default();
        let name = trigger.constraint.as_deref().unwrap_or(&trigger.name);
        lines.push(format!("trigger {}{on}: {} calls{time}", plain(name), count(trigger.calls)));
    }
    if !plan.settings.is_empty() {
        let settings: Vec<_> =
            plan.settings.iter().map(|(k, v)| format!("{} = {}", plain(k), plain(v))).collect();
        lines.push(format!("settings: {}", settings.join(", ")));
    }
    lines
}

fn draw_node(plan: &Plan, node: &Node, findings: &[Finding], style: &Style, out: &mut String) {
    let (branch, trunk) = guides(plan, node);
    let weight = plan.own_weight(node);
    let share = plan.share(weight);
    let amount = if plan.timed() { milliseconds(weight) } else { format!("{weight:.2}") };
    let never = plan.analyzed && !node.executed();
    let gutter = if never {
        format!("{:>10} {:BAR$} {:>5}  ", "never run", "", "")
    } else {
        format!("{amount:>10} {} {:>3.0} %  ", bar(share), share * 100.0)
    };
    let heat = match share {
        s if s >= 0.5 => Paint::Alarm,
        s if s >= 0.2 => Paint::Warn,
        _ => Paint::None,
    };
    let mut pen = Pen { style, out, room: style.width.saturating_sub(GUTTER + trunk.width()).max(LEAST) };
    pen.paint(&gutter, heat);
    pen.out.push_str(&branch);
    let title = title(node);
    let figures = figures(plan, node);
    pen.paint(&title, Paint::Strong);
    let figures = figures.join(" · ");
    if !figures.is_empty() && title.width() + 2 + figures.width() <= pen.room {
        pen.out.push_str("  ");
        pen.paint(&figures, Paint::None);
        pen.out.push('\n');
    } else {
        pen.out.push('\n');
        pen.block(&trunk, &figures, Paint::None);
    }
    for detail in details(node) {
        pen.block(&trunk, &detail, Paint::Dim);
    }
    for finding in findings {
        if finding.object == (ObjectRef::PlanNode { node: node.id }) {
            let (mark, paint) = match finding.severity {
                Severity::Error => ("!!", Paint::Alarm),
                Severity::Warning => ("!", Paint::Warn),
                Severity::Info => ("-", Paint::None),
            };
            let text = format!("{mark} {} [{}]", plain(&finding.summary), plain(&finding.check));
            pen.block(&trunk, &text, paint);
        }
    }
}

/// What stands before the node's own line, and before the lines that follow it.
fn guides(plan: &Plan, node: &Node) -> (String, String) {
    let Some(parent) = plan.parent(node) else { return (String::new(), "  ".into()) };
    let is_last = |n: &Node, p: &Node| p.children.last() == Some(&n.id);
    let mut trunk = String::new();
    let mut below = parent;
    let mut columns = Vec::new();
    for above in plan.ancestors(parent) {
        columns.push(if is_last(below, above) { "   " } else { "│  " });
        below = above;
    }
    // Deeper than this the tree would leave no room; the number of the node still tells its place.
    let shown = columns.len().min(24);
    for column in columns[columns.len() - shown..].iter().rev() {
        trunk.push_str(column);
    }
    let last = is_last(node, parent);
    let branch = format!("{trunk}{}", if last { "└─ " } else { "├─ " });
    trunk.push_str(if last { "   " } else { "│  " });
    trunk.push_str(if node.children.is_empty() { "  " } else { "│ " });
    (branch, trunk)
}

pub(super) fn bar(share: f64) -> String {
    let eighths = (share * BAR as f64 * 8.0).round() as usize;
    let mut bar = "█".repeat((eighths / 8).min(BAR));
    if eighths / 8 < BAR && !eighths.is_multiple_of(8) {
        bar.push(['▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8 - 1]);
    }
    let missing = BAR.saturating_sub(bar.chars().count());
    bar.push_str(&" ".repeat(missing));
    bar
}

pub(super) fn title(node: &Node) -> String {
    let mut title = format!("#{} ", node.id);
    match node.relationship {
        Relationship::InitPlan | Relationship::SubPlan | Relationship::Cte => {
            let _ = write!(title, "{}: ", plain(node.subplan_name.as_deref().unwrap_or("SubPlan")));
        }
        _ => {}
    }
    title.push_str(&plain(&node.label()));
    if let Some(index) = &node.index {
        let _ = write!(title, " using {}", plain(&model::quote_identifier(index)));
    }
    let quoted = |name: &Option<String>| name.as_deref().map(model::quote_identifier);
    if let Some(target) = node.relation_name().or(quoted(&node.function)).or(quoted(&node.cte)) {
        let _ = write!(title, " on {}", plain(&target));
    }
    let named = node.relation.as_ref().or(node.function.as_ref()).or(node.cte.as_ref());
    if let Some(alias) = node.alias.as_ref().filter(|a| Some(*a) != named) {
        let _ = write!(title, " {}", plain(&model::quote_identifier(alias)));
    }
    title
}

pub(super) fn figures(plan: &Plan, node: &Node) -> Vec<String> {
    let mut figures = Vec::new();
    if node.executed() {
        let (rows, planned) = (node.rows(), node.planned_rows());
        let mut text = format!("rows {} (estimated {}", count(rows), count(planned));
        let off = rows.max(1.0) / planned.max(1.0);
        if off >= 10.0 {
            let _ = write!(text, ", {} too low", factor(off));
        } else if off <= 0.1 && !plan.may_stop_early(node) {
            let _ = write!(text, ", {} too high", factor(1.0 / off));
        }
        text.push(')');
        figures.push(text);
        if node.loops() > 1.0 {
            figures.push(format!("loops {}", count(node.loops())));
        }
    } else if !plan.analyzed {
        figures.push(format!("estimated rows {}", count(node.plan_rows)));
    }
    let usage = &node.own.usage;
    if usage.pages() > 0 {
        let mut text = format!("{} buffers", count(usage.pages() as f64));
        if usage.pages_read() > 0 {
            let _ = write!(text, ", {} read", count(usage.pages_read() as f64));
        }
        if usage.read_ms() > 0.0 {
            let _ = write!(text, " in {}", milliseconds(usage.read_ms()));
        }
        figures.push(text);
    }
    if usage.temp_pages() > 0 {
        figures.push(format!("temp {}", Bytes::from_pages(usage.temp_pages())));
    }
    figures
}

/// A text as it is shown, cut where nobody would read on.
fn beginning(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        None => plain(text).into_owned(),
        Some((end, _)) => {
            let more = count(text[end..].chars().count() as f64);
            format!("{}… (cut, {more} more characters; --json has them)", plain(&text[..end]))
        }
    }
}

pub(super) fn details(node: &Node) -> Vec<String> {
    let mut details = Vec::new();
    for (name, text) in node.conditions() {
        let removed = match name {
            "Filter" => node.rows_removed(),
            "Join Filter" => node.rows_removed_by_join(),
            "Recheck Cond" => node.removed_by_index_recheck * node.loops(),
            _ => 0.0,
        };
        let mut line = format!("{}: {}", name.to_lowercase(), beginning(text));
        if removed > 0.0 {
            let _ = write!(line, " (removed {} rows)", count(removed));
        }
        details.push(line);
    }
    for (name, keys) in
        [("sort key", &node.sort_key), ("presorted key", &node.presorted_key), ("group key", &node.group_key)]
    {
        if !keys.is_empty() {
            details.push(format!("{name}: {}", beginning(&keys.join(", "))));
        }
    }
    if let Some(sort) = &node.sort {
        let method = plain(&sort.method);
        details.push(match sort.disk_kb {
            0 => format!("{method}, memory {}", kilobytes(sort.memory_kb)),
            kb => format!("{method}, disk {}", kilobytes(kb)),
        });
    }
    if let Some(hash) = &node.hash {
        let memory = kilobytes(hash.peak_memory_kb);
        details
            .push(format!("batches: {} (planned {}), memory {memory}", hash.batches, hash.original_batches));
    }
    if let Some(agg) = &node.hash_agg {
        let disk = if agg.disk_kb > 0 { format!(", disk {}", kilobytes(agg.disk_kb)) } else { String::new() };
        details.push(format!("batches: {}, memory {}{disk}", agg.batches, kilobytes(agg.peak_memory_kb)));
    }
    if let Some(cache) = &node.memoize {
        details.push(format!(
            "hits {}, misses {}, evictions {}, overflows {}",
            count(cache.hits as f64),
            count(cache.misses as f64),
            count(cache.evictions as f64),
            count(cache.overflows as f64)
        ));
    }
    if node.exact_heap_blocks + node.lossy_heap_blocks > 0 {
        let (exact, lossy) = (node.exact_heap_blocks as f64, node.lossy_heap_blocks as f64);
        details.push(format!("heap blocks: {} exact, {} lossy", count(exact), count(lossy)));
    }
    if let Some(fetches) = node.heap_fetches.filter(|f| *f > 0.0) {
        details.push(format!("heap fetches: {}", count(fetches)));
    }
    if let Some(planned) = node.workers_planned {
        match node.workers_launched {
            Some(launched) => details.push(format!("workers: {launched} launched of {planned} planned")),
            None => details.push(format!("workers: {planned} planned")),
        }
    }
    if let Some(removed) = node.subplans_removed.filter(|n| *n > 0) {
        details.push(format!("subplans removed: {removed}"));
    }
    if node.disabled {
        details.push("disabled by a setting, but nothing else was possible".into());
    }
    details
}

struct Pen<'a> {
    style: &'a Style,
    out: &'a mut String,
    room: usize,
}

impl Pen<'_> {
    fn paint(&mut self, text: &str, paint: Paint) {
        let code = match paint {
            _ if !self.style.color => None,
            Paint::None => None,
            Paint::Strong => Some("1"),
            Paint::Dim => Some("2"),
            Paint::Warn => Some("33"),
            Paint::Alarm => Some("1;31"),
        };
        match code {
            Some(code) => {
                let _ = write!(self.out, "\x1b[{code}m{text}\x1b[0m");
            }
            None => self.out.push_str(text),
        }
    }

    /// Writes a text under the node, wrapped between words.
    fn block(&mut self, trunk: &str, text: &str, paint: Paint) {
        for (i, line) in wrap(text, self.room).into_iter().enumerate() {
            let _ = write!(self.out, "{:GUTTER$}{trunk}{}", "", if i > 0 { "  " } else { "" });
            self.paint(&line, paint);
            self.out.push('\n');
        }
    }
}

/// Lines of at most `room` columns, the following ones two columns narrower. A word that is longer
/// than a line keeps its line.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let limit = if lines.is_empty() { room } else { room.saturating_sub(2) };
        if !line.is_empty() && line.width() + 1 + word.width() > limit {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_wide_as_the_gutter_says() {
        for share in [0.0, 0.01, 0.3, 0.5, 0.99, 1.0] {
            assert_eq!(bar(share).chars().count(), BAR, "{share}");
        }
        assert_eq!(bar(1.0), "████████");
        assert_eq!(bar(0.5), "████    ");
    }

    #[test]
    fn long_texts_are_cut_and_say_so() {
        assert_eq!(beginning("(a > 1)"), "(a > 1)");
        let long = beginning(&"é".repeat(TEXT_CHARS_MAX + 1_500));
        assert!(long.ends_with("é… (cut, 1,500 more characters; --json has them)"), "{long}");
        assert_eq!(long.matches('é').count(), TEXT_CHARS_MAX);
    }

    #[test]
    fn lines_are_wrapped_between_words() {
        assert_eq!(wrap("a bb ccc dddd", 5), ["a bb", "ccc", "dddd"]);
        assert_eq!(wrap("", 5), Vec::<String>::new());
        assert_eq!(wrap("abcdefgh i", 4), ["abcdefgh", "i"]);
    }
}
