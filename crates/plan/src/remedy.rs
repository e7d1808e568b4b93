//! What should be done about what was found? One remedy for all findings that it mends, the weightiest first.
//!
//! A remedy is concrete where the plan or the catalog allows it: `ANALYZE` of a table, a `work_mem` that would
//! have held what was spilled, an index for a foreign key. Which index helps a scan is the index advisor's
//! business and what it costs the planner twin's: the caller asks them and adds what they say.
//!
//! Source: PostgreSQL manual, "Resource Consumption" (work_mem, hash_mem_multiplier), "Just-in-Time
//! Compilation", "Routine Vacuuming"; tuplesort.c for what a row takes in memory.

mod foreign;
mod triggers;
mod writing;

use model::snapshot::Relation;
use model::{Finding, ObjectRef, Snapshot, StatisticsDefinition, StatisticsKind};
use serde::Serialize;

use crate::checks::{CHECKS, Check, Remedy};
use crate::facts;
use crate::node::{Node, Plan};

/// Something to do, for one or more findings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advised {
    /// What kind of change it is.
    pub kind: Remedy,
    /// What to do, one line.
    pub title: String,
    /// As SQL, where it can be said in SQL.
    pub sql: Vec<String>,
    /// A planner setting and a value to try, without units PostgreSQL would not take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<(String, String)>,
    /// Keys of the findings that it mends, the heaviest first.
    pub resolves: Vec<String>,
    /// What the planner twin says it would cost; added by who asked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
}

/// Planner cost of the whole statement without and with a remedy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Planner cost as things are.
    pub cost_before: f64,
    /// Planner cost with the remedy.
    pub cost_after: f64,
    /// Who says it: `planner twin`.
    pub by: &'static str,
    /// Whether the second cost rests on other row estimates than the first, so that their quotient is no gain.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rests_on_other_rows: bool,
}

impl Advised {
    /// The findings that it mends: `seq-scan-reads-too-much at node 2`.
    pub fn causes(&self) -> String {
        let all: Vec<String> =
            self.resolves.iter().map(|key| key.replace(":plan node ", " at node ")).collect();
        all.join(", ")
    }
}

/// The most `work_mem` that is proposed for one statement, in MB.
const MAX_WORK_MEM_MB: u64 = 2_048;

/// What to do about findings of [`crate::checks::run_on`], in their order.
pub fn remedies(plan: &Plan, findings: &[Finding], database: Option<&Snapshot>) -> Vec<Advised> {
    let mut all: Vec<Advised> = Vec::new();
    for finding in findings {
        let Some(check) = CHECKS.iter().find(|c| c.id == finding.check) else { continue };
        let node = match finding.object {
            ObjectRef::PlanNode { node } => plan.nodes.get(node),
            _ => None,
        };
        let Some(node) = node else { continue };
        if check.remedy == Remedy::Trigger {
            for made in triggers::advised(plan, database) {
                take(&mut all, made, &finding.key);
            }
            continue;
        }
        for made in kinds(plan, check, node)
            .into_iter()
            .filter_map(|kind| make(plan, node, kind, &finding.check, database))
        {
            take(&mut all, made, &finding.key);
        }
    }
    all
}

/// The foreign key whose missing index a statement of a remedy makes.
pub fn foreign_key_of<'s>(database: &'s Snapshot, sql: &str) -> Option<&'s model::snapshot::Constraint> {
    database.constraints.iter().find(|constraint| facts::create_index(constraint, &constraint.table) == sql)
}

/// How many rows were written to tables, or are to be.
pub fn written_rows(plan: &Plan) -> f64 {
    plan.nodes.iter().filter(|n| n.is("ModifyTable")).map(|n| crate::writes::rows(plan, n)).sum()
}

/// What mends findings of a check, the root first.
fn kinds(plan: &Plan, check: &Check, node: &Node) -> Vec<Remedy> {
    match check.id {
        // A list that fits is hashed, whether the text can be changed or not.
        "not-in-blow-up" => vec![check.remedy, Remedy::WorkMem],
        // A value on the other side works for the statement alone; an index on the expression leaves the text as it is.
        "cast-blocks-index" | "arithmetic-blocks-index" => vec![check.remedy, Remedy::Index],
        // What is a range of the bare column needs no other index.
        "function-blocks-index" if is_range(node) => vec![Remedy::Rewrite, check.remedy],
        // Rows that an index gives in order are not sorted.
        "sort-on-disk" => vec![check.remedy, Remedy::Index],
        "useless-memoize" => vec![Remedy::Distinct, check.remedy],
        // Where each run reads a whole table, an index is the smaller change.
        "correlated-subplan"
            if plan.subtree(node).iter().any(|n| n.is("Seq Scan") && n.rows_removed() > 0.0) =>
        {
            vec![Remedy::Index, check.remedy]
        }
        // No index serves an OR over the columns of two tables.
        "late-join-filter" if node.join_filter.as_deref().is_some_and(|f| f.contains(" OR ")) => {
            vec![Remedy::Rewrite, check.remedy]
        }
        _ => vec![check.remedy],
    }
}

/// Adds a remedy, or makes one of it and another.
fn take(all: &mut Vec<Advised>, made: Advised, key: &str) {
    // The same thing to do mends several findings; of two sizes of memory the larger serves both.
    let same = all.iter_mut().find(|a| {
        a.kind == made.kind
            && (a.sql == made.sql || matches!((&a.setting, &made.setting), (Some(x), Some(y)) if x.0 == y.0))
    });
    match same {
        Some(known) => {
            if megabytes(&made) > megabytes(known) {
                (known.title, known.sql, known.setting) = (made.title, made.sql, made.setting);
            }
            known.resolves.push(key.to_owned());
        }
        None => all.push(Advised { resolves: vec![key.to_owned()], ..made }),
    }
}

fn megabytes(advised: &Advised) -> u64 {
    let value = advised.setting.as_ref().map(|(_, value)| value.trim_end_matches("MB"));
    value.and_then(|v| v.parse().ok()).unwrap_or(0)
}

fn make(
    plan: &Plan,
    node: &Node,
    remedy: Remedy,
    check: &str,
    database: Option<&Snapshot>,
) -> Option<Advised> {
    let say = |title: String, sql: Vec<String>| Advised {
        kind: remedy,
        title,
        sql,
        setting: None,
        resolves: Vec::new(),
        estimate: None,
    };
    let set = |title: String, name: &str, value: &str| Advised {
        sql: vec![format!("SET {name} = {}", model::quote_literal(value))],
        setting: Some((name.to_owned(), value.to_owned())),
        ..say(title, Vec::new())
    };
    let relation = database.and_then(|d| facts::relation_of(d, node));
    let table = relation.map(|r| r.name.to_string()).or_else(|| node.relation_name());
    Some(match remedy {
        Remedy::None | Remedy::Trigger => return None,
        Remedy::Foreign => return Some(foreign::advised(node, &table?)),
        Remedy::FewerIndexes => return Some(writing::fewer_indexes(database?, relation?)),
        Remedy::FillFactor => return writing::fill_factor(relation?),
        Remedy::Compression => return writing::compression(plan, database?, relation?),
        Remedy::Blocker => say(
            match plan.waits.first() {
                Some(wait) => format!(
                    "the end of the transaction of {}: COMMIT or ROLLBACK in it, or pg_terminate_backend() if it is forgotten",
                    wait.blocker
                ),
                None => "lock_timeout and log_lock_waits, so that the next wait fails early and tells who is waited for".into(),
            },
            if plan.waits.is_empty() { vec!["SET lock_timeout = '2s'".into()] } else { Vec::new() },
        ),
        Remedy::Index => {
            say("an index; \"pgwright advise\" weighs it against the whole workload".into(), Vec::new())
        }
        Remedy::ForeignKeyIndex => {
            let table = relation?;
            let sql: Vec<String> = facts::unindexed_references(database?, table)
                .map(|(constraint, referencing)| facts::create_index(constraint, &referencing.name))
                .collect();
            say("an index on the referencing columns of the foreign key".into(), sql)
        }
        Remedy::Analyze => {
            let table = table?;
            say(format!("fresh statistics of {table}"), vec![format!("ANALYZE {table}")])
        }
        Remedy::Statistics => {
            if let Some(title) = of_an_unknown_value(plan, node) {
                return Some(say(title, Vec::new()));
            }
            if is_join(node) {
                return Some(say(of_a_join(plan, node), Vec::new()));
            }
            let relation = relation.or_else(|| database.and_then(|d| grouped_relation(d, plan, node)));
            let table = relation.map(|r| r.name.to_string()).or(table)?;
            let columns = relation.map(|r| filtered_columns(r, node)).unwrap_or_default();
            let mut sql = vec![format!("ANALYZE {table}")];
            let mut title = format!("fresh statistics of {table}");
            if let (true, Some(relation)) = (columns.len() > 1, relation) {
                let list: Vec<String> = columns.iter().map(|c| model::quote_identifier(c)).collect();
                let definition = StatisticsDefinition {
                    table: relation.name.clone(),
                    name: StatisticsDefinition::usual_name(
                        &relation.name,
                        columns.iter().map(String::as_str),
                    ),
                    kinds: vec![StatisticsKind::Ndistinct, StatisticsKind::Dependencies, StatisticsKind::Mcv],
                    columns,
                    expressions: Vec::new(),
                };
                sql.insert(0, definition.create_sql());
                title = format!(
                    "statistics of {} together, should ANALYZE alone not help; \"pgwright statistics\" tries that on a \
                     sample",
                    list.join(", ")
                );
            }
            say(title, sql)
        }
        Remedy::Rewrite => {
            say(format!("{}; \"pgwright rewrite\" tries and proves it", rewrite(check)), Vec::new())
        }
        Remedy::WorkMem => {
            let list = hashed_list_kb(plan, node, database);
            let megabytes = match list {
                Some(kb) => size_mb(kb)?,
                None => work_mem_mb(plan, node)?,
            };
            let value = format!("{megabytes}MB");
            let why = if list.is_some() { ", in which the list is hashed" } else { "" };
            set(
                format!("work_mem of {value} for this statement{why} (SET LOCAL in its transaction)"),
                "work_mem",
                &value,
            )
        }
        Remedy::NoJit => {
            let took = plan.jit.and_then(|jit| jit.total_ms).map(crate::render::milliseconds);
            let saves = took.map(|took| format!(", which saves the {took} of it")).unwrap_or_default();
            set(format!("no just-in-time compilation for statements of this cost{saves}"), "jit", "off")
        }
        Remedy::Distinct => {
            let wrong = crate::distinct::false_distinct(plan, node, database?)?;
            let title = if wrong.by_hand {
                format!("n_distinct of {} taken back, which was set by hand and is false", wrong.name())
            } else if wrong.right.is_some() {
                format!("the true number of distinct values of {}", wrong.name())
            } else {
                format!("a number of distinct values of {} of what was seen at least; count(DISTINCT …) tells it", wrong.name())
            };
            say(title, wrong.sql())
        }
        Remedy::NoMemoize => set("no Memoize for this statement".into(), "enable_memoize", "off"),
        Remedy::Enable => {
            let off =
                plan.settings.iter().filter(|(name, value)| name.starts_with("enable_") && *value == "off");
            let names: Vec<&str> = off.map(|(name, _)| name.as_str()).collect();
            let which = if names.len() == 1 { "its default" } else { "their defaults" };
            let first = set(format!("{} back to {which}", names.join(", ")), names.first()?, "on");
            Advised { sql: names.iter().map(|name| format!("SET {name} = 'on'")).collect(), ..first }
        }
        Remedy::Workers => say(
            "more max_parallel_workers and max_worker_processes, or fewer workers per Gather".into(),
            Vec::new(),
        ),
        Remedy::Prepare => {
            say("a prepared statement, which is planned once and executed often".into(), Vec::new())
        }
        Remedy::CustomPlan => say(
            "a plan for the values: plan_cache_mode = force_custom_plan for the role (ALTER ROLE … SET) or the function \
             (ALTER FUNCTION … SET), or a statement that is not prepared"
                .into(),
            vec!["SET plan_cache_mode = 'force_custom_plan'".into()],
        ),
        Remedy::Vacuum => {
            let table = table?;
            say(
                format!("a VACUUM of {table}, which sets its visibility map"),
                vec![format!("VACUUM {table}")],
            )
        }
        Remedy::Rebuild => {
            let table = table?;
            say(
                format!(
                    "a VACUUM of {table}, and a rebuild (pg_repack, or VACUUM FULL, which locks it) if the space stays"
                ),
                vec![format!("VACUUM (ANALYZE) {table}")],
            )
        }
    })
}

/// What to write instead.
fn rewrite(check: &str) -> &'static str {
    match check {
        "not-in-blow-up" => "NOT EXISTS instead of NOT IN, where neither side can be NULL",
        "correlated-subplan" => "a join with the grouped subquery instead of one execution per row",
        "cte-fence" => "the condition inside of the WITH query, or WITH … AS NOT MATERIALIZED",
        "large-offset" => {
            "keyset pagination: WHERE (sort columns, id) > (last row seen) … LIMIT instead of OFFSET"
        }
        "late-join-filter" => "a UNION of one statement for each side of the OR",
        "no-pruning" => "the bare partition key compared with a range: key >= from AND key < to",
        "arithmetic-blocks-index" => "the bare column compared with a value that is calculated once",
        "function-blocks-index" => {
            "the bare column compared with a half-open range (column >= from AND column < to), which its own index serves"
        }
        "cast-blocks-index" => {
            "the value cast to the column's type, or a half-open range, instead of a cast of the column"
        }
        _ => "another way to write the condition",
    }
}

/// Whether a filter asks a function for what is a range of the bare column: a part of a time, the beginning of a text.
fn is_range(node: &Node) -> bool {
    const OF_RANGES: &[&str] = &[
        "date_trunc",
        "date_part",
        "extract",
        "date",
        "to_char",
        "left",
        "substr",
        "substring",
        "floor",
        "trunc",
    ];
    let wrapped = node.filter.as_deref().map(crate::expression::wrapped_columns).unwrap_or_default();
    wrapped.iter().any(|w| match w {
        crate::expression::Wrapping::Call { function, .. } => {
            OF_RANGES.contains(&function.to_lowercase().trim_start_matches("pg_catalog.").trim_matches('"'))
        }
        _ => false,
    })
}

/// What helps where a condition compares with what a subquery returns: the planner knows the number of values and not which
/// one it will be. Source: `var_eq_non_const()` in selfuncs.c.
fn of_an_unknown_value(plan: &Plan, node: &Node) -> Option<String> {
    let names: Vec<String> = plan
        .nodes
        .iter()
        .filter(|n| n.relationship == crate::node::Relationship::InitPlan)
        .filter_map(|n| n.subplan_name.as_deref())
        .flat_map(|name| {
            // `(InitPlan 1).col1` since 17; before `InitPlan 1 (returns $0)`.
            let before = name.split_once("(returns ").map(|(_, rest)| rest.trim_end_matches(')').to_owned());
            [Some(format!("({name}).")), before]
        })
        .flatten()
        .collect();
    let compares = |text: &str| {
        names.iter().any(|name| text.contains(&format!("= {name}")) || text.contains(&format!("{name} =")))
    };
    node.conditions().any(|(_, text)| compares(text)).then(|| {
        "no statistics mend it: the value comes out of a subquery when the statement runs, so the planner takes an average \
         one. Ask for it first and give it to a second statement as a value"
            .to_owned()
    })
}

fn is_join(node: &Node) -> bool {
    matches!(node.node_type.as_str(), "Nested Loop" | "Hash Join" | "Merge Join")
}

/// What helps where the inputs of a join were estimated well and the join was not. Source: `clauselist_selectivity` in
/// `clausesel.c`: extended statistics are applied to the conditions of one relation; `eqjoinsel` in `selfuncs.c`: a join
/// is estimated from the most common values of its two columns.
fn of_a_join(plan: &Plan, node: &Node) -> String {
    let mut tables: Vec<String> = plan.subtree(node).iter().filter_map(Node::relation_name).collect();
    tables.dedup();
    format!(
        "no statistics mend it for sure: those of several columns are of one table, and {} are estimated well on their \
         own. A larger statistics target of the join columns helps where a few values have most of the rows; where \
         the condition on one table decides which rows of another match, write the first step into a temporary table \
         and ANALYZE it",
        match tables.as_slice() {
            [] => "the inputs".to_owned(),
            tables => tables.join(", "),
        }
    )
}

/// The table whose rows a node groups, if its keys are of one table alone.
fn grouped_relation<'s>(database: &'s Snapshot, plan: &Plan, node: &Node) -> Option<&'s Relation> {
    if node.group_key.is_empty() {
        return None;
    }
    let mut found: Option<&Relation> = None;
    for scan in plan.subtree(node) {
        let Some(relation) = facts::relation_of(database, scan) else { continue };
        if filtered_columns(relation, node).is_empty() || found.is_some_and(|f| f.name == relation.name) {
            continue;
        }
        if found.is_some() {
            return None;
        }
        found = Some(relation);
    }
    found
}

/// Columns of the relation that the node's conditions and group keys name.
fn filtered_columns(relation: &Relation, node: &Node) -> Vec<String> {
    let named = named_columns(node);
    relation.columns.iter().map(|c| c.name.clone()).filter(|c| named.contains(c.as_str())).collect()
}

/// Words of a node's conditions and group keys, columns among them.
pub fn named_columns(node: &Node) -> std::collections::BTreeSet<&str> {
    let texts = node.conditions().map(|(_, text)| text).chain(node.group_key.iter().map(String::as_str));
    texts.flat_map(|text| text.split(|c: char| !(c.is_alphanumeric() || c == '_'))).collect()
}

/// The memory that would have held what a node wrote to disk, rounded up to a power of two.
fn work_mem_mb(plan: &Plan, node: &Node) -> Option<u64> {
    // A sort in memory takes more than its rows on disk: a pointer and a header each.
    let from_sort = node.sort.as_ref().map_or(0, |s| s.disk_kb.saturating_mul(5) / 2);
    // The table was cut into batches so that each fits.
    let from_hash = node.hash.map_or(0, |h| h.peak_memory_kb.saturating_mul(h.batches.max(1)));
    let from_aggregate = node.hash_agg.map_or(0, |h| {
        let spilled = h.disk_kb.saturating_mul(2);
        if h.batches > 1 || h.disk_kb > 0 { h.peak_memory_kb.saturating_add(spilled) } else { 0 }
    });
    // An exact page of a bitmap takes about 100 bytes.
    let from_bitmap = (node.lossy_heap_blocks.saturating_add(node.exact_heap_blocks)) / 10;
    let from_files = node.own.usage.temp_pages().saturating_mul(8);
    let need = [from_sort, from_hash, from_aggregate].into_iter().max().filter(|kb| *kb > 0);
    let need = need.unwrap_or(if node.lossy_heap_blocks > 0 { from_bitmap } else { from_files });
    // Below a Gather each process has its own.
    let processes =
        plan.ancestors(node).find_map(|a| a.workers_launched).map_or(1, |workers| workers.saturating_add(1));
    size_mb(need / processes.max(1))
}

/// A round size of memory that is not less.
fn size_mb(need_kb: u64) -> Option<u64> {
    let megabytes = need_kb.div_ceil(1024).max(1).next_power_of_two();
    (need_kb > 0 && megabytes <= MAX_WORK_MEM_MB).then_some(megabytes.max(8))
}

/// The `work_mem` in which the lists of a node's NOT IN would be hashed. Source: `subplan_is_hashable()` in subselect.c: rows
/// times width and a tuple header, both aligned, against `work_mem` times `hash_mem_multiplier`, 2 since 15.
fn hashed_list_kb(plan: &Plan, node: &Node, database: Option<&Snapshot>) -> Option<u64> {
    let filter = node.filter.as_ref()?;
    let lists = plan.children(node).filter(|list| {
        let name = list.subplan_name.as_deref().unwrap_or_default();
        list.is("Materialize") && crate::expression::negates_subplan(filter, name)
    });
    let bytes =
        lists.map(|list| list.plan_rows * ((list.plan_width / 8.0).ceil() * 8.0 + 24.0)).fold(0.0, f64::max);
    let printed = plan.settings.get("hash_mem_multiplier").map(String::as_str);
    let known = printed.or_else(|| Some(database?.settings.get("hash_mem_multiplier")?.setting.as_str()));
    let by_version = || database.map_or(1.0, |d| if d.server.version_num >= 150_000 { 2.0 } else { 1.0 });
    let multiplier =
        known.and_then(|m| m.parse::<f64>().ok()).filter(|m| *m >= 1.0).unwrap_or_else(by_version);
    let kb = (bytes / 1024.0 / multiplier).ceil();
    (1.0..1e12).contains(&kb).then_some(kb as u64)
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cost = |c: f64| if c < 10.0 { format!("{c:.2}") } else { crate::render::count(c) };
        if self.cost_before == self.cost_after {
            return write!(
                f,
                "cost {} with and without it on the {}, which does not price it",
                cost(self.cost_before),
                self.by
            );
        }
        write!(f, "cost {} → {} on the {}", cost(self.cost_before), cost(self.cost_after), self.by)?;
        if self.rests_on_other_rows {
            f.write_str(", by other row estimates: no measure of a gain")
        } else {
            Ok(())
        }
    }
}
