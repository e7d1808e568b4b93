//! What was measured, as a table beside the peers, and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::advisor::MB;
use crate::fidelity::Difference;
use crate::measurement::{Execution, WithAndWithout};
use crate::peers::{BEST_KNOWN, PEERS, Peer};

/// A recommended index.
#[derive(Debug, Serialize)]
pub struct IndexReport {
    /// The statement that builds it.
    pub sql: String,
    /// What the twin thinks it weighs.
    pub predicted_bytes: u64,
    /// What it weighs.
    pub real_bytes: Option<u64>,
}

/// A query that looked slower, and what looking again said.
#[derive(Debug, Serialize)]
pub struct SlowerStatement {
    /// Its name.
    pub query: String,
    /// Whether it is slower.
    pub slower: bool,
    /// The measurement by turns.
    pub measured: WithAndWithout,
}

/// One budget.
#[derive(Debug, Serialize)]
pub struct BudgetReport {
    /// Who advised, under what.
    pub advisor: String,
    /// The budget.
    pub budget_mb: u64,
    /// What is recommended.
    pub indexes: Vec<IndexReport>,
    /// What is recommended besides new indexes, which is not done here.
    pub other_changes: Vec<String>,
    /// Candidates that were planned with.
    pub candidates: Option<usize>,
    /// How often the planner was called.
    pub planner_calls: u64,
    /// Seconds to build the twin.
    pub twin_s: Option<f64>,
    /// Seconds of advice on it.
    pub advise_s: f64,
    /// Processor seconds of both, the twin's server included.
    pub advise_cpu_s: Option<f64>,
    /// How far from the optimum the set may be, as a share.
    pub bound_gap: Option<f64>,
    /// What each query costs with the set on the twin.
    pub promised_costs: Vec<f64>,
    /// What each query costs with the set really built.
    pub real_costs: Option<Vec<f64>>,
    /// What each query took.
    pub executions: Option<Vec<Execution>>,
    /// Indexes that no plan uses.
    pub unused: Vec<String>,
    /// Indexes that an existing one gives.
    pub redundant: Vec<String>,
    /// Indexes that another new one gives, though more slowly because it is larger.
    pub nested: Vec<String>,
    /// Queries that looked slower.
    pub slower: Option<Vec<SlowerStatement>>,
    /// Statements that were left out, by reason.
    pub skipped: BTreeMap<String, usize>,
}

impl BudgetReport {
    fn promised_cost(&self) -> f64 {
        self.promised_costs.iter().sum()
    }

    fn real_cost(&self) -> Option<f64> {
        self.real_costs.as_ref().map(|c| c.iter().sum())
    }

    fn predicted_mb(&self) -> f64 {
        self.indexes.iter().map(|i| i.predicted_bytes).sum::<u64>() as f64 / MB as f64
    }

    /// What the set really weighs.
    pub fn real_mb(&self) -> Option<f64> {
        let bytes: Option<u64> = self.indexes.iter().map(|i| i.real_bytes).sum();
        bytes.filter(|_| self.real_costs.is_some()).map(|b| b as f64 / MB as f64)
    }

    fn cpu_s(&self) -> Option<f64> {
        self.executions.as_ref().map(|e| e.iter().map(|e| e.cpu_s).sum())
    }

    fn slower_count(&self) -> Option<usize> {
        self.slower.as_ref().map(|s| s.iter().filter(|s| s.slower).count())
    }
}

/// Advice from the texts of `pg_stat_statements`.
#[derive(Debug, Serialize)]
pub struct TextsReport {
    /// How many queries there are.
    pub queries: usize,
    /// How many texts there are of them.
    pub statements: usize,
    /// Those that were left out, by reason.
    pub skipped: BTreeMap<String, usize>,
    /// The budget.
    pub budget_mb: u64,
    /// What is recommended.
    pub indexes: Vec<String>,
    /// What that weighs, as the twin thinks.
    pub predicted_bytes: u64,
    /// What the queries with their own values cost with it, on the twin.
    pub promised_cost: f64,
    /// How often the planner was called.
    pub planner_calls: u64,
    /// Seconds, building the twin included.
    pub seconds: f64,
}

/// Everything.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The workload's name.
    pub workload: &'static str,
    /// The numbers of its queries.
    pub queries: Vec<u32>,
    /// Those whose cost without indexes dwarfs all others.
    pub dwarfing: &'static [u32],
    /// Whether the peers' figures are of this workload.
    pub peers: bool,
    /// The scale factor.
    pub scale: f64,
    /// PostgreSQL's version.
    pub version: String,
    /// What each query costs without indexes.
    pub base_costs: Vec<f64>,
    /// Processor seconds of all queries without indexes.
    pub base_cpu_s: Option<f64>,
    /// How many of them were ended by the time-out.
    pub base_unfinished: Option<usize>,
    /// One per budget.
    pub budgets: Vec<BudgetReport>,
    /// What a rival recommends, measured in the same run.
    pub rivals: Vec<BudgetReport>,
    /// Advice from normalised texts.
    pub texts: Option<TextsReport>,
    /// Median of the twin's errors of cost, as a share.
    pub median_cost_error: Option<f64>,
    /// Share of the twin's plans that are the server's.
    pub plan_shape_equal: Option<f64>,
    /// Median of the errors of predicted sizes, as a share.
    pub size_error_median: Option<f64>,
    /// How many plans were compared.
    pub plans_compared: usize,
    /// Plans that differ.
    pub differences: Vec<Difference>,
    /// The most memory that this process had; the servers have theirs.
    pub peak_memory_bytes: Option<u64>,
}

fn or_dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

/// 2622928 as `2,622,928`.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (mut out, length) = (String::new(), digits.len());
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (length - i) % 3 == 0 && digit.is_ascii_digit() {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Report {
    /// The sum without the queries that dwarf everything.
    fn ordinary(&self, costs: &[f64]) -> f64 {
        let costs = self.queries.iter().zip(costs);
        costs.filter(|(number, _)| !self.dwarfing.contains(number)).map(|(_, cost)| cost).sum()
    }

    /// The last line: the figures that are watched over time.
    pub fn summary(&self) -> serde_json::Value {
        let round = |value: f64, digits: i32| (value * 10_f64.powi(digits)).round() / 10_f64.powi(digits);
        let budgets: Vec<_> = self
            .budgets
            .iter()
            .map(|b| {
                serde_json::json!({
                    "real_mb": b.real_mb().map(|v| round(v, 1)),
                    "cost": b.real_cost().map(|v| round(v, 0)),
                    "planner_calls": b.planner_calls,
                    "seconds": round(b.twin_s.unwrap_or_default() + b.advise_s, 2),
                    "bound_gap": b.bound_gap.map(|v| round(v, 4)),
                    "cpu_s": b.cpu_s().map(|v| round(v, 2)),
                    "unused": b.unused.len(),
                    "slower_statements": b.slower_count(),
                })
            })
            .collect();
        serde_json::json!({
            "budgets": budgets,
            "twin": {
                "median_cost_error": self.median_cost_error.map(|v| round(v, 5)),
                "plan_shape_equal": self.plan_shape_equal.map(|v| round(v, 4)),
                "size_error_median": self.size_error_median.map(|v| round(v, 4)),
            },
        })
    }

    /// The table and what stands around it.
    pub fn text(&self, queries: bool) -> String {
        let mut out = format!(
            "{}, scale {}, primary keys only, PostgreSQL {}; without indexes: cost {}, {}\n\n",
            self.workload,
            self.scale,
            self.version,
            thousands(self.base_costs.iter().sum()),
            or_dash(self.base_cpu_s.zip(self.base_unfinished), |(cpu, unfinished)| format!(
                "{cpu:.1} CPU s ({unfinished} queries ended by the time-out)"
            )),
        );
        let _ = writeln!(out, "{}\n", self.table());
        for budget in self.budgets.iter().chain(&self.rivals) {
            self.budget_text(&mut out, budget);
        }
        if let Some(texts) = &self.texts {
            let left_out: usize = texts.skipped.values().sum();
            let _ = writeln!(
                out,
                "texts of pg_stat_statements: {} of {} planned, of {} queries; {} indexes for {} MB ({:.0} MB predicted) from them \
                 bring the queries to {} on the twin ({} planner calls, {:.2} s)",
                texts.statements - left_out,
                texts.statements,
                texts.queries,
                texts.indexes.len(),
                texts.budget_mb,
                texts.predicted_bytes as f64 / MB as f64,
                thousands(texts.promised_cost),
                texts.planner_calls,
                texts.seconds
            );
            for (reason, count) in &texts.skipped {
                let _ = writeln!(out, "  left out, {count}: {reason}");
            }
        }
        if self.plans_compared > 0 {
            let percent = |v: f64| format!("{:.2} %", 100.0 * v);
            let _ = writeln!(
                out,
                "twin: {} plans compared, {} of the same shape, median cost error {}, median size error {}",
                self.plans_compared,
                or_dash(self.plan_shape_equal, percent),
                or_dash(self.median_cost_error, percent),
                or_dash(self.size_error_median, percent)
            );
            for d in &self.differences {
                let (query, set) = (&d.query, &d.set);
                let (twin, real) = (thousands(d.twin_cost), thousands(d.real_cost));
                let _ = writeln!(out, "  another plan: {query} {set}, {twin} on the twin and {real} really");
            }
        }
        let _ = writeln!(
            out,
            "memory of the advisor's process at its peak: {}",
            or_dash(self.peak_memory_bytes, |b| format!("{} MB", b / MB))
        );
        if queries {
            let _ = writeln!(out, "\n{}", self.queries_table());
        }
        out
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN).set_header([
            "advisor",
            "indexes",
            "MB promised",
            "MB real",
            "cost promised",
            "cost real",
            "of base",
            "calls",
            "twin s",
            "advice s",
            "CPU s",
            "bound gap",
            "unused",
            "redundant",
            "slower",
            "queries CPU s",
        ]);
        let base = self.ordinary(&self.base_costs);
        for b in self.budgets.iter().chain(&self.rivals) {
            let costs = b.real_costs.as_ref().unwrap_or(&b.promised_costs);
            table.add_row([
                b.advisor.clone(),
                b.indexes.len().to_string(),
                format!("{:.1}", b.predicted_mb()),
                or_dash(b.real_mb(), |v| format!("{v:.1}")),
                thousands(b.promised_cost()),
                or_dash(b.real_cost(), thousands),
                format!("{:.1} %", 100.0 * self.ordinary(costs) / base),
                thousands(b.planner_calls as f64),
                or_dash(b.twin_s, |v| format!("{v:.2}")),
                format!("{:.2}", b.advise_s),
                or_dash(b.advise_cpu_s, |v| format!("{v:.2}")),
                or_dash(b.bound_gap, |v| format!("{:.2} %", 100.0 * v)),
                b.unused.len().to_string(),
                b.redundant.len().to_string(),
                or_dash(b.slower_count(), |v| v.to_string()),
                or_dash(b.cpu_s(), |v| format!("{v:.1}")),
            ]);
        }
        if self.peers {
            let budgets: Vec<u64> = self.budgets.iter().map(|b| b.budget_mb).collect();
            let best = BEST_KNOWN.iter().filter(|b| budgets.contains(&b.budget_mb)).map(|b| b.set);
            best.chain(PEERS.iter().copied()).for_each(|peer| peer_row(&mut table, &peer));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn budget_text(&self, out: &mut String, budget: &BudgetReport) {
        let candidates = budget.candidates.map_or_else(String::new, |n| format!(": {n} candidates"));
        let _ = writeln!(out, "{}{candidates}", budget.advisor);
        for index in &budget.indexes {
            let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / MB as f64);
            let _ = writeln!(
                out,
                "  {:>7} MB ({:>7} promised)  {}",
                or_dash(index.real_bytes, megabytes),
                megabytes(index.predicted_bytes),
                index.sql
            );
        }
        if let Some(over) = budget.real_mb().map(|mb| mb - budget.budget_mb as f64).filter(|over| *over > 0.0)
        {
            let _ = writeln!(out, "  over the budget by {over:.1} MB");
        }
        for change in &budget.other_changes {
            let _ = writeln!(out, "  recommended too, not done here: {change}");
        }
        for (what, indexes) in [
            ("no plan uses it", &budget.unused),
            ("an existing index gives it", &budget.redundant),
            ("a larger new index gives it too", &budget.nested),
        ] {
            for index in indexes {
                let _ = writeln!(out, "  {what}: {index}");
            }
        }
        for s in budget.slower.iter().flatten() {
            let _ = writeln!(
                out,
                "  {}: {:.3} s with, {:.3} s without by turns, slower in {} of {}: {}",
                s.query,
                s.measured.with_s,
                s.measured.without_s,
                s.measured.slower_in,
                s.measured.rounds,
                if s.slower { "slower" } else { "noise, or less than a fifth" }
            );
        }
        for (reason, count) in &budget.skipped {
            let _ = writeln!(out, "  left out, {count}: {reason}");
        }
        out.push('\n');
    }

    fn queries_table(&self) -> Table {
        let mut table = Table::new();
        let mut header = vec!["query".to_owned(), "cost without".to_owned()];
        for b in self.budgets.iter().chain(&self.rivals) {
            header.extend(["promised", "real", "CPU s"].map(|figure| format!("{} {figure}", b.advisor)));
        }
        table.load_preset(presets::ASCII_MARKDOWN).set_header(header);
        for (i, number) in self.queries.iter().enumerate() {
            let mut row = vec![format!("Q{number}"), or_dash(self.base_costs.get(i), |c| thousands(*c))];
            for b in self.budgets.iter().chain(&self.rivals) {
                row.push(or_dash(b.promised_costs.get(i), |c| thousands(*c)));
                row.push(or_dash(b.real_costs.as_ref().and_then(|c| c.get(i)), |c| thousands(*c)));
                let execution = b.executions.as_ref().and_then(|e| e.get(i));
                row.push(or_dash(execution, |e| format!("{:.3}", e.cpu_s)));
            }
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

fn peer_row(table: &mut Table, peer: &Peer) {
    let cost = thousands(peer.cost_millions * 1e6);
    let (promised, real) = if peer.cost_is_real { ("–".into(), cost) } else { (cost, "–".into()) };
    table.add_row([
        peer.name.to_owned(),
        peer.indexes.to_string(),
        "–".into(),
        or_dash(peer.real_mb, |v| format!("{v:.0}")),
        promised,
        real,
        "–".into(),
        or_dash(peer.planner_calls, |v| thousands(f64::from(v))),
        "–".into(),
        or_dash(peer.seconds, |v| format!("{v:.1}")),
        "–".into(),
        "–".into(),
        "–".into(),
        "–".into(),
        "–".into(),
        or_dash(peer.cpu_s, |v| format!("{v:.1}")),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        assert_eq!(thousands(2_622_928.4), "2,622,928");
        assert_eq!(thousands(12.0), "12");
        assert_eq!(thousands(999_999.9), "1,000,000");
    }
}
