//! What is wrong with a plan? One file per diagnosis, one registry, causes before symptoms.
//!
//! Source: `plans-and-rewrites` of the design notes; each file names the EXPLAIN fields that it rests
//! on. A check sees a normalised [`Plan`] and the [`Thresholds`]; it returns diagnoses with what they
//! weigh (milliseconds, or planner cost without `ANALYZE`). [`run`] then folds a symptom into its
//! cause, drops what weighs too little and puts the heaviest first.

mod thresholds;

use model::{Evidence, Finding, ObjectRef, Severity, Snapshot};

use crate::node::{Node, Plan, Relationship};
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

    fn with_all(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
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
    /// What mends it.
    pub remedy: Remedy,
    pub(crate) run: Run,
}

/// What a diagnosis is made from.
pub(crate) enum Run {
    /// The plan alone.
    Plan(fn(&Plan, &Thresholds) -> Vec<Diagnosis>),
    /// The plan, and the catalog and statistics of its database where they are known.
    Database(fn(&Plan, &Thresholds, Option<&Snapshot>) -> Vec<Diagnosis>),
}

/// What kind of change mends a diagnosis; [`crate::remedy`] makes a concrete one of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Nothing that could be named beforehand.
    None,
    /// An index, which the index advisor looks for.
    Index,
    /// An index on the referencing columns of a foreign key.
    ForeignKeyIndex,
    /// Fresh statistics.
    Analyze,
    /// Fresh statistics, or those of several columns together.
    Statistics,
    /// Another way to write the statement.
    Rewrite,
    /// More memory for this statement.
    WorkMem,
    /// No JIT for statements like this.
    NoJit,
    /// No Memoize for statements like this.
    NoMemoize,
    /// Back to the default of an `enable_…` setting.
    Enable,
    /// Workers that are there when they are planned.
    Workers,
    /// A prepared statement.
    Prepare,
    /// A plan for the values of the parameters.
    CustomPlan,
    /// The true number of different values of a column.
    Distinct,
    /// VACUUM.
    Vacuum,
    /// Giving the space back.
    Rebuild,
    /// Indexes that nobody uses taken away.
    FewerIndexes,
    /// Room in each page for new versions of its rows.
    FillFactor,
    /// A faster compression of wide values.
    Compression,
    /// What a trigger does, or how often.
    Trigger,
    /// More done by the other server, or fewer round trips to it.
    Foreign,
    /// The end of the transaction that holds the lock.
    Blocker,
}

impl Check {
    /// What this check alone says.
    pub(crate) fn diagnose(
        &self,
        plan: &Plan,
        thresholds: &Thresholds,
        database: Option<&Snapshot>,
    ) -> Vec<Diagnosis> {
        match self.run {
            Run::Plan(run) => run(plan, thresholds),
            Run::Database(run) => run(plan, thresholds, database),
        }
    }
}

macro_rules! checks {
    ($($module:ident,)*) => {
        $(mod $module;)*

        /// Every check, in the order of their files.
        pub const CHECKS: &[Check] = &[$($module::CHECK,)*];
    };
}

checks! {
    arithmetic_blocks_index,
    bloat_suspected,
    cast_blocks_index,
    cold_cache,
    correlated_subplan,
    cte_fence,
    disabled_node,
    filter_after_index,
    foreign_key_without_index,
    foreign_rows_fetched,
    function_blocks_index,
    generic_plan,
    hash_spill,
    heap_fetches,
    index_upkeep,
    jit_dominates,
    join_reads_whole_table,
    large_offset,
    late_join_filter,
    lock_wait,
    lossy_bitmap,
    many_index_searches,
    nested_loop_gone_wrong,
    no_pruning,
    not_in_blow_up,
    operator_blocks_index,
    planning_dominates,
    row_misestimate,
    seq_scan_reads_too_much,
    sort_on_disk,
    stale_statistics,
    temp_io,
    triggers_dominate,
    updates_not_hot,
    useless_memoize,
    vacuum_for_index_only,
    wide_values_written,
    worker_skew,
    workers_missing,
    wrong_index_for_order_by,
}

/// Runs all checks. Causes only, the heaviest first; a symptom is evidence of its cause.
pub fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Finding> {
    run_on(plan, thresholds, None)
}

/// The same with the plan's database at hand: sizes, statistics, constraints and indexes.
pub fn run_on(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Finding> {
    let mut all: Vec<(&Check, Diagnosis)> = CHECKS
        .iter()
        .filter(|check| !thresholds.disabled.iter().any(|id| id == check.id))
        .flat_map(|check| check.diagnose(plan, thresholds, database).into_iter().map(move |d| (check, d)))
        .collect();
    fold_symptoms(plan, &mut all);
    merge_alike(plan, &mut all);
    // Only now: a hundred partitions of one per cent each are one cause that weighs all of it.
    all.retain(|(_, d)| plan.share(d.weight) >= thresholds.min_share);
    // What rests on old statistics comes after them.
    let later = |check: &Check| check.remedy != Remedy::Analyze;
    all.sort_by(|(a, x), (b, y)| {
        let weight = y.weight.total_cmp(&x.weight).then(x.node.cmp(&y.node));
        weight.then(later(a).cmp(&later(b))).then(a.id.cmp(b.id))
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

/// Whether the node of a finding was planned for any value of a parameter, so that its estimate is an average.
pub fn rests_on_parameters(plan: &Plan, finding: &Finding) -> bool {
    let ObjectRef::PlanNode { node } = finding.object else { return false };
    plan.nodes.get(node).is_some_and(|node| !generic_plan::parameters(plan, node).is_empty())
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

/// Makes one diagnosis of those that have one cause: the same check on the partitions of a table, on the
/// subqueries of one OR chain, on several scans of a table with the same condition. The heaviest stays
/// and weighs as much as all of them.
fn merge_alike(plan: &Plan, all: &mut Vec<(&Check, Diagnosis)>) {
    let group = |check: &Check, at: usize| {
        let node = plan.nodes.get(at)?;
        let parent = node.parent.filter(|_| {
            matches!(node.relationship, Relationship::Member | Relationship::SubPlan | Relationship::InitPlan)
        });
        let place = match (parent, node.relation_name()) {
            (Some(parent), _) => format!("below {parent}"),
            (None, Some(relation)) => {
                let conditions: Vec<&str> = node.conditions().map(|(_, text)| text).collect();
                format!("{relation} {}", conditions.join(" "))
            }
            (None, None) => format!("node {at}"),
        };
        Some((check.id, place))
    };
    let mut heaviest: std::collections::BTreeMap<(&str, String), usize> = std::collections::BTreeMap::new();
    let mut into: Vec<usize> = (0..all.len()).collect();
    for (at, (check, diagnosis)) in all.iter().enumerate() {
        let Some(key) = group(check, diagnosis.node) else { continue };
        let first = *heaviest.entry(key.clone()).or_insert(at);
        if all[first].1.weight < diagnosis.weight {
            heaviest.insert(key, at);
        }
    }
    for (at, (check, diagnosis)) in all.iter().enumerate() {
        if let Some(chosen) = group(check, diagnosis.node).and_then(|key| heaviest.get(&key)) {
            into[at] = *chosen;
        }
    }
    for at in 0..all.len() {
        if into[at] != at {
            let (node, weight) = (all[at].1.node, all[at].1.weight);
            let chosen = &mut all[into[at]].1;
            chosen.weight += weight;
            match chosen.evidence.iter_mut().find(|e| e.name == "also at nodes") {
                Some(also) => also.value.push_str(&format!(", {node}")),
                None => chosen.evidence.push(Evidence::new("also at nodes", node)),
            }
        }
    }
    let mut kept = into.iter().enumerate().map(|(at, into)| at == *into);
    all.retain(|_| kept.next().unwrap_or(true));
}

/// The index that would serve the bare column, or that there is none; nothing where the catalogue is not known.
fn kept_from_use(database: Option<&Snapshot>, node: &Node, column: &str) -> Option<Evidence> {
    let database = database?;
    let relation = crate::facts::relation_of(database, node)?;
    let column = column.rsplit('.').next()?.trim_matches('"');
    relation.column(column)?;
    let first = |index: &model::snapshot::Index| {
        let key = index.definition.keys.first();
        index.valid
            && key.is_some_and(|k| matches!(&k.target, model::KeyTarget::Column(name) if name == column))
    };
    let found = database.indexes_of(&relation.name).find(|index| first(index));
    Some(match found {
        Some(index) => Evidence::new("index kept from use", model::quote_identifier(&index.name.name)),
        None => Evidence::new("index kept from use", "none: no index begins with the column"),
    })
}

/// What to call the relation of a node in a sentence.
fn subject(node: &Node) -> String {
    let name = node.relation_name().or_else(|| node.cte.as_deref().map(model::quote_identifier));
    name.unwrap_or_else(|| node.label())
}

#[cfg(test)]
pub(crate) mod testing {
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
        check.diagnose(plan, &Thresholds::default(), None).into_iter().map(|d| d.node).collect()
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

    /// A database of one table that was analyzed, for what a check needs beside the plan.
    pub(crate) fn database(schema: &str, table: &str) -> Snapshot {
        let name = serde_json::json!({ "schema": schema, "name": table });
        let mut activity =
            serde_json::to_value(model::snapshot::RelationActivity::default()).unwrap_or_default();
        activity["last_analyze"] = "2026-01-01T00:00:00Z".into();
        let value = serde_json::json!({
            "format_version": 1, "taken_at": "2026-01-01T00:00:00Z",
            "server": { "version_num": 170000, "version": "17", "database": "d", "user": "u", "in_recovery": false,
                "started_at": null, "stats_reset": null, "encoding": "UTF8", "collate": "C", "ctype": "C", "database_bytes": 0 },
            "settings": {}, "extensions": [], "schema_sql": "", "indexes": [], "constraints": [], "extended_statistics": [],
            "statements": [], "statements_info": null, "notes": [],
            "relations": [{ "oid": 1, "name": name, "kind": "table", "reltuples": 1000.0, "relpages": 100, "relallvisible": 0,
                "pages": 100, "table_bytes": 0, "indexes_bytes": 0, "options": [], "unlogged": false, "row_security": false,
                "parent": null, "partition_key": null, "partition_bound": null, "extension": null, "columns": [],
                "activity": activity }],
        });
        serde_json::from_value(value).unwrap_or_else(|e| panic!("{e}"))
    }

    /// A B-tree index on columns.
    pub(crate) fn index(schema: &str, table: &str, name: &str, columns: &[&str]) -> model::snapshot::Index {
        let table = model::QualifiedName::new(schema, table);
        let keys = columns.iter().map(|c| model::IndexKey::column(*c)).collect();
        let definition = serde_json::to_value(model::IndexDefinition::btree(table, name, keys));
        let value = serde_json::json!({
            "oid": 2, "name": { "schema": schema, "name": name }, "definition": definition.unwrap_or_default(),
            "indexdef": "", "primary": false, "exclusion": false, "valid": true, "nulls_not_distinct": false,
            "constraint": null, "replica_identity": false, "parent": null, "relpages": 1, "reltuples": 1.0, "pages": 1,
            "bytes": 0, "idx_scan": 0, "idx_tup_read": 0, "last_idx_scan": null, "expression_statistics": {},
        });
        serde_json::from_value(value).unwrap_or_else(|e| panic!("{e}"))
    }

    /// A column of the only table with this number of distinct values.
    pub(crate) fn column(database: &mut Snapshot, name: &str, n_distinct: f32, options: &[&str]) {
        let value = serde_json::json!({
            "attnum": 1, "name": name, "type_name": "bigint", "base_type": { "schema": "pg_catalog", "name": "int8" },
            "type_category": "N", "type_length": 8, "type_align": "d", "has_btree_opclass": true, "not_null": true,
            "generated": false, "default": null, "collation": null, "statistics_target": null, "options": options,
            "statistics": { "null_frac": 0.0, "avg_width": 8, "n_distinct": n_distinct, "most_common_vals": null,
                "most_common_freqs": null, "histogram_bounds": null, "correlation": null, "most_common_elems": null,
                "most_common_elem_freqs": null, "elem_count_histogram": null },
            "inherited_statistics": null,
        });
        database.relations[0].columns.push(serde_json::from_value(value).unwrap_or_else(|e| panic!("{e}")));
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
