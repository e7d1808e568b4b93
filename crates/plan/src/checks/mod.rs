//! What is wrong with a plan? One file per diagnosis, one registry, causes before symptoms.
//!
//! Source: `plans-and-rewrites` of the design notes; each file names the EXPLAIN fields that it rests
//! on. A check sees a normalised [`Plan`] and the [`Thresholds`]; it returns diagnoses with what they
//! weigh (milliseconds, or planner cost without `ANALYZE`). [`run`] then folds a symptom into its
//! cause, drops what weighs too little and puts the heaviest first.

mod thresholds;

use model::{Evidence, Finding, ObjectRef, Severity};

use crate::node::{Node, Plan};
use crate::render::percent;

pub use thresholds::Thresholds;

/// A diagnosis before it is ranked.
pub(crate) struct Diagnosis {
    node: usize,
    severity: Severity,
    summary: String,
    detail: String,
    evidence: Vec<Evidence>,
    /// What is at stake, in the unit of [`Plan::total_weight`].
    weight: f64,
}

impl Diagnosis {
    fn new(node: &Node, severity: Severity, summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            node: node.id,
            severity,
            summary: summary.into(),
            detail: detail.into(),
            evidence: Vec::new(),
            weight: 0.0,
        }
    }

    fn weighing(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.evidence.push(Evidence::new(name, value));
        self
    }
}

/// Where a symptom stands, seen from its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the same node.
    Same,
    /// On a node below.
    Below,
    /// On the parent or a child.
    Near,
    /// On the node, above or below it.
    Line,
}

impl Place {
    fn holds(self, cause: &Node, symptom: &Node) -> bool {
        let below = |a: &Node, b: &Node| a.id < b.id && b.id < a.end;
        match self {
            Self::Same => cause.id == symptom.id,
            Self::Below => below(cause, symptom),
            Self::Near => cause.parent == Some(symptom.id) || symptom.parent == Some(cause.id),
            Self::Line => cause.id == symptom.id || below(cause, symptom) || below(symptom, cause),
        }
    }
}

/// One diagnosis that can be made.
pub struct Check {
    /// Kebab-case, permanent, the name of its file.
    pub id: &'static str,
    /// What it finds, in a few words.
    pub title: &'static str,
    /// Findings of other checks that this one accounts for.
    pub explains: &'static [(&'static str, Place)],
    pub(crate) run: fn(&Plan, &Thresholds) -> Vec<Diagnosis>,
}

macro_rules! checks {
    ($($module:ident,)*) => {
        $(mod $module;)*

        /// Every check, in the order of their files.
        pub const CHECKS: &[Check] = &[$($module::CHECK,)*];
    };
}

checks! {
    cast_blocks_index,
    cold_cache,
    correlated_subplan,
    cte_fence,
    disabled_node,
    filter_after_index,
    function_blocks_index,
    hash_spill,
    heap_fetches,
    jit_dominates,
    large_offset,
    late_join_filter,
    lossy_bitmap,
    many_index_searches,
    nested_loop_gone_wrong,
    no_pruning,
    not_in_blow_up,
    planning_dominates,
    row_misestimate,
    seq_scan_reads_too_much,
    sort_on_disk,
    temp_io,
    triggers_dominate,
    useless_memoize,
    worker_skew,
    workers_missing,
    wrong_index_for_order_by,
}

/// Runs all checks. Causes only, the heaviest first; a symptom is evidence of its cause.
pub fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Finding> {
    let mut all: Vec<(&Check, Diagnosis)> = CHECKS
        .iter()
        .filter(|check| !thresholds.disabled.iter().any(|id| id == check.id))
        .flat_map(|check| (check.run)(plan, thresholds).into_iter().map(move |d| (check, d)))
        .filter(|(_, d)| plan.share(d.weight) >= thresholds.min_share)
        .collect();
    fold_symptoms(plan, &mut all);
    all.sort_by(|(a, x), (b, y)| {
        y.weight.total_cmp(&x.weight).then(x.node.cmp(&y.node)).then(a.id.cmp(b.id))
    });
    all.into_iter()
        .map(|(check, d)| {
            let share = plan.share(d.weight);
            let unit = if plan.timed() { "share of execution time" } else { "share of planner cost" };
            let object = ObjectRef::PlanNode { node: d.node };
            let mut finding = Finding::new(check.id, object, d.severity, d.summary, d.detail);
            finding.evidence = d.evidence;
            finding.with(unit, percent(share))
        })
        .collect()
}

/// Removes each diagnosis that another one explains and names it in that one's evidence. What a check
/// explains is acyclic (a test says so), so every chain of symptoms ends at a cause that stays.
fn fold_symptoms(plan: &Plan, all: &mut Vec<(&Check, Diagnosis)>) {
    let cause_of = |symptom: usize| {
        let (check, diagnosis) = &all[symptom];
        let node = plan.nodes.get(diagnosis.node)?;
        (0..all.len()).find(|candidate| {
            let (cause, at) = &all[*candidate];
            let Some(cause_node) = plan.nodes.get(at.node) else { return false };
            cause.explains.iter().any(|(id, place)| *id == check.id && place.holds(cause_node, node))
        })
    };
    let causes: Vec<Option<usize>> = (0..all.len()).map(cause_of).collect();
    for symptom in 0..all.len() {
        let Some(mut cause) = causes[symptom] else { continue };
        while let Some(above) = causes[cause] {
            cause = above;
        }
        let (check, diagnosis) = &all[symptom];
        let evidence = Evidence::new(
            "leads to",
            format!("{} at node {}: {}", check.id, diagnosis.node, diagnosis.summary),
        );
        let weight = diagnosis.weight;
        all[cause].1.evidence.push(evidence);
        all[cause].1.weight = all[cause].1.weight.max(weight);
    }
    let mut kept = causes.iter().map(Option::is_none);
    all.retain(|_| kept.next().unwrap_or(true));
}

/// What to call the relation of a node in a sentence.
fn subject(node: &Node) -> String {
    let name = node.relation_name().or_else(|| node.cte.as_deref().map(model::quote_identifier));
    name.unwrap_or_else(|| node.label())
}

#[cfg(test)]
mod testing {
    //! Checks are tested on plans that real servers printed.

    use super::*;

    /// Reads `tests/fixtures/plans/<name>.json` of the workspace.
    pub(crate) fn fixture(name: &str) -> Plan {
        let path = format!("{}/../../tests/fixtures/plans/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        text.parse().unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// What one check alone says of a plan: the nodes.
    pub(crate) fn nodes(check: &Check, plan: &Plan) -> Vec<usize> {
        (check.run)(plan, &Thresholds::default()).into_iter().map(|d| d.node).collect()
    }

    /// Asserts that the check fires on the fixture of every given major, on a node of this type.
    pub(crate) fn assert_found(check: &Check, majors: &[u32], fixture_name: &str, node_type: &str) {
        for major in majors {
            let plan = fixture(&format!("{major}/{fixture_name}"));
            let found = nodes(check, &plan);
            assert!(!found.is_empty(), "{} found nothing in {major}/{fixture_name}", check.id);
            for id in found {
                assert_eq!(plan.nodes[id].node_type, node_type, "{} in {major}/{fixture_name}", check.id);
            }
        }
    }

    /// Asserts that the check is silent on the fixture of every major.
    pub(crate) fn assert_silent(check: &Check, majors: &[u32], fixture_name: &str) {
        for major in majors {
            let plan = fixture(&format!("{major}/{fixture_name}"));
            assert_eq!(nodes(check, &plan), Vec::<usize>::new(), "{} in {major}/{fixture_name}", check.id);
        }
    }

    /// The majors whose plans stand in the fixtures.
    pub(crate) const MAJORS: &[u32] = &[15, 17, 18];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_kebab_case_and_the_names_of_their_files() {
        let files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/checks"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|f| f != "mod.rs" && f != "thresholds.rs")
            .map(|f| f.trim_end_matches(".rs").replace('_', "-"))
            .collect();
        let ids: Vec<&str> = CHECKS.iter().map(|c| c.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        for id in &ids {
            assert!(files.iter().any(|f| f == id), "{id} has no file of its name");
        }
        assert_eq!(files.len(), ids.len());
    }

    #[test]
    fn what_checks_explain_exists_and_is_acyclic() {
        let position = |id: &str| CHECKS.iter().position(|c| c.id == id);
        let edges: Vec<Vec<usize>> = CHECKS
            .iter()
            .map(|c| {
                c.explains.iter().map(|(id, _)| position(id).unwrap_or_else(|| panic!("{id}"))).collect()
            })
            .collect();
        // Remove checks that explain nothing that is left until none can be removed.
        let mut left: Vec<usize> = (0..CHECKS.len()).collect();
        loop {
            let before = left.len();
            let now = left.clone();
            left.retain(|c| edges[*c].iter().any(|e| now.contains(e)));
            if left.len() == before {
                break;
            }
        }
        let cycle: Vec<_> = left.iter().map(|c| CHECKS[*c].id).collect();
        assert!(cycle.is_empty(), "{cycle:?} explain each other");
    }
}
