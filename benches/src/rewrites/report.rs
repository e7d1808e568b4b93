//! What was found, as a table, and as JSON.

use std::collections::BTreeSet;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::Data;
use super::offers::Offer;
use crate::measurement::WithAndWithout;

/// One offered rewrite.
#[derive(Debug)]
pub struct Line {
    /// The statement's name.
    pub statement: String,
    /// What pgwright says.
    pub offer: Offer,
    /// What was measured here, when it is recommended: the rewrite is `with`.
    pub by_turns: Option<WithAndWithout>,
    /// Whether the answers are the same, where that was looked at.
    pub same: Option<bool>,
}

impl Line {
    fn is_slower(&self) -> bool {
        self.by_turns.is_some_and(|m| m.is_slower())
    }

    /// Recommended by its cost, and slower when pgwright measured it.
    fn stopped(&self) -> bool {
        self.offer.by_cost() && self.offer.measured_ms.is_some() && !self.offer.recommended
    }
}

/// Everything that was found.
#[derive(Debug)]
pub struct Report {
    data: Data,
    scale: f64,
    rules: BTreeSet<String>,
    /// Statements that pgwright was asked about.
    pub statements: usize,
    /// Rules that gave something.
    pub fired: BTreeSet<String>,
    /// Statements that are not rewritten, with the reason.
    pub passed_over: Vec<(String, String)>,
    /// The offered rewrites.
    pub lines: Vec<Line>,
}

impl Report {
    /// Nothing yet.
    pub fn new(data: Data, scale: f64, rules: BTreeSet<String>) -> Self {
        Self {
            data,
            scale,
            rules,
            statements: 0,
            fired: BTreeSet::new(),
            passed_over: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// The rules that no statement woke.
    fn asleep(&self) -> Vec<&str> {
        self.rules.difference(&self.fired).map(String::as_str).collect()
    }

    fn names(&self, accept: impl Fn(&Line) -> bool) -> Vec<String> {
        let name = |l: &Line| format!("{}: {}", l.statement, l.offer.rules.join(", "));
        self.lines.iter().filter(|l| accept(l)).map(name).collect()
    }

    /// The table and what follows from it.
    pub fn text(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header([
            "statement",
            "rules",
            "state",
            "cost after/before",
            "pgwright: ms before",
            "after",
            "here: CPU ms before",
            "after",
            "verdict",
        ]);
        for line in &self.lines {
            let (before, after) = line
                .offer
                .measured_ms
                .map_or((String::new(), String::new()), |(b, a)| (format!("{b:.2}"), format!("{a:.2}")));
            let (cpu_before, cpu_after) = line.by_turns.map_or((String::new(), String::new()), |m| {
                (format!("{:.2}", m.without_s * 1e3), format!("{:.2}", m.with_s * 1e3))
            });
            let verdict = match (line.offer.recommended, line.is_slower(), line.same) {
                (_, _, Some(false)) => "ANOTHER ANSWER",
                (true, true, _) => "SLOWER",
                (true, false, _) => "recommended",
                _ if line.stopped() => "stopped: not faster",
                _ if line.offer.by_cost() => "recommended by cost, not measured",
                _ => "not recommended",
            };
            table.add_row([
                line.statement.clone(),
                line.offer.rules.join(", "),
                line.offer.state.clone(),
                format!("{:.4}", line.offer.cost_ratio),
                before,
                after,
                cpu_before,
                cpu_after,
                verdict.to_owned(),
            ]);
        }
        for column in 3..8 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut out = format!("{table}\n\n");
        for (statement, reason) in &self.passed_over {
            out.push_str(&format!("{statement} is not rewritten: {reason}\n"));
        }
        let asleep = self.asleep();
        if !asleep.is_empty() {
            out.push_str(&format!("rules that no statement woke: {}\n", asleep.join(", ")));
        }
        out
    }

    /// One line of JSON.
    pub fn summary(&self) -> Value {
        let slower = self.names(Line::is_slower);
        let differing = self.names(|l| l.same == Some(false));
        json!({
            "benchmark": "rewrites",
            "data": match self.data { Data::Tpch => "tpch", Data::Demo => "demo" },
            "scale": self.scale,
            "statements": self.statements,
            "rules": self.rules.len(),
            "rules_asleep": self.asleep(),
            "offered": self.lines.len(),
            "recommended_by_cost": self.names(|l| l.offer.by_cost()).len(),
            "stopped_by_measuring": self.names(Line::stopped),
            "recommended": self.names(|l| l.offer.recommended).len(),
            "same_rows": self.names(|l| l.same == Some(true)).len(),
            "slower": slower,
            "other_answers": differing,
        })
    }
}
