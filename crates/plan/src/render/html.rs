//! The tree as a page for a browser: the same words as in the terminal, nothing loaded from elsewhere.
//!
//! No scripts and a Content-Security-Policy that forbids them; maud escapes every text, and what comes from the
//! database passes through [`plain`] as well. The share of a node is a number and a bar, findings carry
//! their severity as a word, and the depth is said to screen readers, so nothing hangs on colour.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use model::{Finding, ObjectRef, Severity};

use super::figures::milliseconds;
use super::{plain, tree};
use crate::node::{Node, Plan};
use crate::remedy::Advised;

/// What stands on the page beside the plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// The statement.
    pub sql: Option<&'a str>,
    /// What was found in the plan.
    pub findings: &'a [Finding],
    /// What to do about it.
    pub remedies: &'a [Advised],
    /// What the reader should know, in sentences.
    pub notes: &'a [String],
}

const STYLE: &str = "
:root { color-scheme: light dark; --line: light-dark(#d5d9df, #3a4048); --dim: light-dark(#59626e, #9aa4b2);
  --bar: light-dark(#1f6feb, #6cb0ff); --hot: light-dark(#b42318, #ff8a80); --warm: light-dark(#8a5a00, #f2c14e); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 92rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2rem; border-bottom: 1px solid var(--line); font-size: 1.2rem; }
.dim { color: var(--dim); }
.scroll { overflow-x: auto; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid var(--line); border-radius: 4px; font-size: .85rem; white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th.num, td.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.share { min-width: 9rem; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; width: 5rem; height: .7rem; border: 1px solid var(--line); margin-right: .5rem; vertical-align: middle; }
.bar i { display: block; height: 100%; background: var(--bar); }
.node { overflow-wrap: anywhere; } .node p { margin: .1rem 0; } .node .title { font-weight: 600; }
.finding.warning { color: var(--warm); } .finding.error { color: var(--hot); }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
dt { font-weight: 600; margin-top: .8rem; } dd { margin-left: 1.2rem; overflow-wrap: anywhere; }
";

/// Deeper than this a node is indented no further; its number and its level still tell its place.
const MAX_INDENT: usize = 24;

/// The plan as one HTML page.
pub fn page(plan: &Plan, page: &Page<'_>) -> String {
    let unit = if plan.timed() { "Self time" } else { "Self cost" };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { "Execution plan" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Execution plan" }
                    @for line in tree::header(plan) { p.dim { (line) } }
                    @if let Some(sql) = page.sql { pre tabindex="0" aria-label="Statement" { code { (lines(sql)) } } }
                    h2 { "Plan" }
                    div.scroll tabindex="0" {
                        table {
                            caption.hidden { "Nodes of the plan, each below the one that it feeds" }
                            thead { tr {
                                th.num scope="col" { (unit) }
                                th scope="col" { "Share" }
                                th scope="col" { "Node" }
                            } }
                            tbody { @for node in &plan.nodes { (row(plan, node, page.findings)) } }
                        }
                    }
                    @if !page.findings.is_empty() {
                        h2 { "What was found" }
                        dl { @for finding in page.findings { (found(finding)) } }
                    }
                    @if !page.remedies.is_empty() {
                        h2 { "What to do" }
                        dl { @for remedy in page.remedies { (advised(remedy)) } }
                    }
                    @if !page.notes.is_empty() {
                        h2 { "Notes" }
                        ul { @for note in page.notes { li { (plain(note)) } } }
                    }
                }
            }
        }
    }
    .into_string()
}

/// A statement keeps its line breaks.
fn lines(sql: &str) -> String {
    sql.lines().map(|l| plain(&l.replace('\t', "    ")).into_owned()).collect::<Vec<_>>().join("\n")
}

fn row(plan: &Plan, node: &Node, findings: &[Finding]) -> Markup {
    let weight = plan.own_weight(node);
    let share = plan.share(weight);
    let never = plan.analyzed && !node.executed();
    let amount = match (never, plan.timed()) {
        (true, _) => "never run".to_owned(),
        (_, true) => milliseconds(weight),
        _ => format!("{weight:.2}"),
    };
    let indent = format!("padding-left: {:.1}rem", 1.3 * node.depth.min(MAX_INDENT) as f64);
    let width = format!("width: {:.0}%", share * 100.0);
    html! {
        tr {
            td.num { (amount) }
            td.share {
                @if !never {
                    span.bar aria-hidden="true" { i style=(width) {} }
                    (format!("{:.0} %", share * 100.0))
                }
            }
            td.node style=(indent) {
                p.title { span.hidden { "Level " (node.depth + 1) ": " } (tree::title(node)) }
                @let figures = tree::figures(plan, node);
                @if !figures.is_empty() { p { (figures.join(" · ")) } }
                @for detail in tree::details(node) { p.dim { (detail) } }
                @for finding in findings.iter().filter(|f| f.object == (ObjectRef::PlanNode { node: node.id })) {
                    p.finding.(severity(finding)) { strong { (severity(finding)) ": " } (plain(&finding.summary)) " [" (plain(&finding.check)) "]" }
                }
            }
        }
    }
}

fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

fn found(finding: &Finding) -> Markup {
    html! {
        dt { (plain(&finding.check)) ": " (plain(&finding.summary)) }
        dd {
            p { (plain(&finding.detail)) }
            @if !finding.evidence.is_empty() {
                ul { @for e in &finding.evidence { li { (plain(&e.name)) ": " (plain(&e.value)) } } }
            }
        }
    }
}

fn advised(remedy: &Advised) -> Markup {
    html! {
        dt { (plain(&remedy.title)) }
        dd {
            @for sql in &remedy.sql { pre tabindex="0" { code { (plain(sql)) ";" } } }
            @if let Some(estimate) = &remedy.estimate { p { (estimate.to_string()) } }
            p.dim { "for " (plain(&remedy.causes())) }
        }
    }
}
