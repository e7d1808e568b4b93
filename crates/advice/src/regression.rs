//! Did a statement become worse, what changed, and what undoes it?
//!
//! What decides does not jitter: rows returned, pages touched, temporary files, and the shape of the plan, all
//! measured without parallel workers and after a warm-up that is dropped. Repeating twenty statements, they
//! vary by nothing, where milliseconds vary by 63 to 127 %. Milliseconds therefore advise only, by a
//! permutation test of two samples (Good, *Permutation, Parametric and Bootstrap Tests of Hypotheses*, 3.2).

mod causes;

use std::collections::BTreeMap;

use model::QualifiedName;
use plan::Plan;
use plan::diff::{ChangeKind, Figures, PlanDiff, diff, total_figures};
use serde::{Deserialize, Serialize};

pub use causes::{Cause, CauseKind};

/// When something counts as worse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gates {
    /// Pages grew by more than this share. 0.2.
    pub buffers_growth: f64,
    /// … and by at least this many pages. 32.
    pub buffers_min: f64,
    /// Pages of temporary files grew by more than this share. 0.2.
    pub temp_growth: f64,
    /// … and by at least this many pages. 16.
    pub temp_min: f64,
    /// Planner cost grew by more than this share, where the statement could only be planned. 0.2.
    pub cost_growth: f64,
    /// … and by at least so much. 10.
    pub cost_min: f64,
    /// Rows returned differ by more than this share. 0.2.
    pub rows_share: f64,
    /// … and by at least so many rows. 10.
    pub rows_min: f64,
    /// Milliseconds are worth a word when a permutation test gives less than this probability. 0.01.
    pub time_probability: f64,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            buffers_growth: 0.2,
            buffers_min: 32.0,
            temp_growth: 0.2,
            temp_min: 16.0,
            cost_growth: 0.2,
            cost_min: 10.0,
            rows_share: 0.2,
            rows_min: 10.0,
            time_probability: 0.01,
        }
    }
}

/// A statement as it was measured once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurement {
    /// The statement, values in place of parameters.
    pub text: String,
    /// Its plan: executed, or only planned when it must not be run.
    pub plan: Plan,
    /// Milliseconds of the runs that count; empty when it was only planned.
    pub times_ms: Vec<f64>,
}

/// What a plan depends on besides the statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Surroundings {
    /// Tables by name.
    pub tables: BTreeMap<String, TableState>,
    /// Definitions of valid indexes, by their qualified names.
    pub indexes: BTreeMap<String, IndexState>,
    /// Settings that bear on plans.
    pub settings: BTreeMap<String, String>,
    /// `server_version_num`; 0 where it was not stored.
    pub version_num: i32,
}

/// A table as far as plans depend on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableState {
    /// Rows at the last ANALYZE or VACUUM; -1 when there was none.
    pub reltuples: f64,
    /// Rows as the planner sees them: the density of the last ANALYZE or VACUUM times the pages of now.
    pub rows: f64,
    /// Rows as the counters know them.
    pub live_rows: f64,
    /// Dead rows as the counters know them.
    pub dead_rows: f64,
    /// Rows changed since ANALYZE.
    pub changed_rows: f64,
    /// Pages of its file.
    pub pages: f64,
    /// Pages that are all-visible, which index-only scans need.
    pub visible_pages: f64,
    /// A hash of its columns' statistics.
    pub statistics: String,
}

/// An index as far as plans depend on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexState {
    /// Its table.
    pub table: String,
    /// `pg_get_indexdef()`.
    pub definition: String,
    /// Pages of its file.
    pub pages: f64,
}

impl Surroundings {
    /// What a snapshot holds of it.
    pub fn of_snapshot(snapshot: &model::Snapshot) -> Self {
        let tables = snapshot.relations.iter().map(|r| {
            let activity = r.activity.clone().unwrap_or_default();
            let state = TableState {
                reltuples: r.reltuples,
                rows: r.rows(),
                live_rows: activity.n_live_tup as f64,
                dead_rows: activity.n_dead_tup as f64,
                changed_rows: activity.n_mod_since_analyze as f64,
                pages: r.pages as f64,
                visible_pages: r.relallvisible as f64,
                statistics: fingerprint(r),
            };
            (r.name.to_string(), state)
        });
        let indexes = snapshot.indexes.iter().filter(|i| i.valid).map(|i| {
            let state = IndexState {
                table: i.definition.table.to_string(),
                definition: i.indexdef.clone(),
                pages: i.pages as f64,
            };
            (i.name.to_string(), state)
        });
        let bears_on_plans =
            |c: &str| c.starts_with("Query Tuning") || c.starts_with("Resource Usage / Memory");
        let settings =
            snapshot.settings.iter().filter(|(_, s)| bears_on_plans(&s.category)).map(|(name, s)| {
                (name.clone(), format!("{}{}", s.setting, s.unit.as_deref().unwrap_or_default()))
            });
        Self {
            tables: tables.collect(),
            indexes: indexes.collect(),
            settings: settings.collect(),
            version_num: snapshot.server.version_num,
        }
    }
}

/// FNV-1a over what `pg_stats` says of the columns: equal statistics give equal plans.
fn fingerprint(relation: &model::snapshot::Relation) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for column in &relation.columns {
        let text = format!("{} {:?} {:?};", column.name, column.statistics, column.inherited_statistics);
        for byte in text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// What became of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It fails now.
    Fails,
    /// It does more than before.
    Worse,
    /// Something changed that does no harm by itself: the plan, the rows, the time.
    Changed,
    /// It does less than before.
    Better,
    /// Nothing that counts changed.
    Same,
}

/// A statement before and now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
    /// What decided, in sentences without a full stop.
    pub reasons: Vec<String>,
    /// What can have caused it, the likeliest first, each with what undoes it.
    pub causes: Vec<Cause>,
    /// What was observed and does not decide: milliseconds, a plan that costs no more.
    pub remarks: Vec<String>,
    /// What changed in the plan, in words.
    pub differences: Vec<String>,
    /// Sums before.
    pub before: Figures,
    /// Sums now.
    pub after: Figures,
}

/// A statement that fails now.
pub fn failed(name: &str, before: &Measurement, message: &str) -> Outcome {
    Outcome {
        name: name.to_owned(),
        verdict: Verdict::Fails,
        reasons: vec![format!("it fails: {message}")],
        causes: Vec::new(),
        remarks: Vec::new(),
        differences: Vec::new(),
        before: total_figures(&before.plan),
        after: Figures::default(),
    }
}

/// Compares a statement before and now. `surroundings` are those of both sides.
pub fn compare(
    name: &str,
    (before, after): (&Measurement, &Measurement),
    surroundings: (&Surroundings, &Surroundings),
    gates: &Gates,
) -> Outcome {
    let found = diff(&before.plan, &after.plan);
    let (old, new) = (found.totals.before, found.totals.after);
    let (mut reasons, mut remarks) = (Vec::new(), Vec::new());
    let mut less = false;
    let measured = old.buffers.is_some() && new.buffers.is_some();
    if let (Some(a), Some(b)) = (old.buffers, new.buffers) {
        let (a, b) = (a as f64, b as f64);
        if grew(a, b, gates.buffers_growth, gates.buffers_min) {
            reasons.push(format!("touches {} pages instead of {}", whole(b), whole(a)));
        }
        less |= grew(b, a, gates.buffers_growth, gates.buffers_min);
    }
    let (a, b) = (old.temp_pages as f64, new.temp_pages as f64);
    if grew(a, b, gates.temp_growth, gates.temp_min) {
        reasons.push(format!(
            "writes and reads {} pages of temporary files instead of {}",
            whole(b),
            whole(a)
        ));
    }
    less |= grew(b, a, gates.temp_growth, gates.temp_min);
    if let (Some(a), Some(b)) = (old.rows, new.rows) {
        let differs =
            grew(a, b, gates.rows_share, gates.rows_min) || grew(b, a, gates.rows_share, gates.rows_min);
        if differs && b > a {
            reasons.push(format!("returns {} rows instead of {}", whole(b), whole(a)));
        } else if differs {
            remarks.push(format!("returns {} rows instead of {}", whole(b), whole(a)));
        }
    }
    let flipped = !found.same_shape;
    if !measured {
        // Only planned: the planner's opinion is all there is.
        if grew(old.cost, new.cost, gates.cost_growth, gates.cost_min) {
            reasons.push(format!("is planned at cost {} instead of {}", whole(new.cost), whole(old.cost)));
        }
        less |= grew(new.cost, old.cost, gates.cost_growth, gates.cost_min);
    } else if flipped && reasons.is_empty() {
        remarks.push("has another plan, which touches no more than the one before".into());
    }
    if let Some(text) = time_remark(&before.times_ms, &after.times_ms, gates) {
        remarks.push(text);
    }
    let worse = !reasons.is_empty();
    let verdict = match (worse, less, remarks.is_empty()) {
        (true, _, _) => Verdict::Worse,
        (false, true, _) => Verdict::Better,
        (false, false, false) => Verdict::Changed,
        (false, false, true) => Verdict::Same,
    };
    let causes = if verdict == Verdict::Same {
        Vec::new()
    } else {
        causes::find(&found, (before, after), surroundings)
    };
    if worse && flipped {
        reasons.push(flip(&found));
    }
    Outcome {
        name: name.to_owned(),
        verdict,
        reasons,
        causes,
        remarks,
        differences: found.changes.iter().map(|c| c.text.clone()).collect(),
        before: old,
        after: new,
    }
}

/// The change of the plan that says most.
fn flip(found: &PlanDiff) -> String {
    let telling = found.changes.iter().find(|c| c.kind <= ChangeKind::Spill);
    telling.map_or_else(|| "has another plan".into(), |c| format!("has another plan: {}", c.text))
}

fn grew(before: f64, after: f64, share: f64, least: f64) -> bool {
    after - before >= least && after > before * (1.0 + share)
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

/// What the milliseconds say, when they say something.
fn time_remark(before: &[f64], after: &[f64], gates: &Gates) -> Option<String> {
    let probability = permutation_probability(before, after)?;
    let (a, b) = (median(before)?, median(after)?);
    (probability < gates.time_probability && (a - b).abs() >= 0.1).then(|| {
        let word = if b > a { "slower" } else { "faster" };
        format!("was {word}: median {b:.2} ms instead of {a:.2} ms (permutation test, p = {probability:.4}); times do not decide")
    })
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// How probable a difference of means as large as this is, when both samples are of one distribution; two-sided.
/// `None` when a sample has less than five values: then no difference could be significant.
pub fn permutation_probability(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() < 5 || b.len() < 5 {
        return None;
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let observed = (mean(a) - mean(b)).abs();
    let mut all: Vec<f64> = a.iter().chain(b).copied().collect();
    // The same samples give the same answer.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let rounds = 5_000;
    let mut as_large = 0;
    for _ in 0..rounds {
        for at in (1..all.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let other = usize::try_from((state >> 33) % (at as u64 + 1)).unwrap_or(0);
            all.swap(at, other);
        }
        let (x, y) = all.split_at(a.len());
        // Rounding of sums in another order must not hide an equal difference.
        if (mean(x) - mean(y)).abs() >= observed * (1.0 - 1e-12) {
            as_large += 1;
        }
    }
    Some(f64::from(as_large + 1) / f64::from(rounds + 1))
}

/// The unquoted name of a qualified index, as plans print it.
pub(crate) fn bare(name: &str, indexes: &BTreeMap<String, IndexState>, plain: &str) -> bool {
    let quoted = model::quote_identifier(plain);
    indexes.contains_key(name) && (name.ends_with(&format!(".{quoted}")) || *name == quoted)
}

/// `schema.table` of a relation, as surroundings name it.
pub fn table_key(name: &QualifiedName) -> String {
    name.to_string()
}

#[cfg(test)]
mod tests;
