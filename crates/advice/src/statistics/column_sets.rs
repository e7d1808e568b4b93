//! Which columns does the workload look at together, and what could mend their estimate?
//!
//! Source: `extended_stats.c`: conditions of one table that are joined by AND are estimated together where
//! statistics cover their columns; `estimate_num_groups` in `selfuncs.c` for GROUP BY. Eight columns at most
//! (`STATS_MAX_DIMENSIONS`), of types with a B-tree order.

use std::collections::{BTreeMap, BTreeSet};

use model::estimate::{Attempt, ColumnSet, Comparison, Member, NotMeasured};
use model::snapshot::{Column, ColumnStatistics, Relation, RelationKind};
use model::{QualifiedName, Snapshot, StatisticsDefinition, StatisticsKind};
use sql::{KeyExpression, Operator, RelationUse};

use super::Candidate;
use crate::tables::{Tables, statistics};
use crate::typical_values::{Assumed, written};
use crate::workload::{Source, Workload};

/// Below so many rows an estimate decides nothing.
const MIN_ROWS: f64 = 1_000.0;
/// How many sets are tried.
const MAX_SETS: usize = 40;
/// `STATS_MAX_DIMENSIONS`
const MAX_MEMBERS: usize = 8;
/// `WIDTH_THRESHOLD` of `analyze.c`: wider values are not looked at.
const MAX_WIDTH: i32 = 1_024;
/// The target that is tried beside the default.
const LARGE_TARGET: i32 = 1_000;

/// What is worth trying, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// By table.
    pub by_table: BTreeMap<QualifiedName, Vec<Candidate>>,
    /// Sets that cannot be tried, with the reason.
    pub not_measured: Vec<NotMeasured>,
}

/// The sets of a workload, those of the most time first.
pub fn candidates(snapshot: &Snapshot, workload: &Workload) -> Candidates {
    let mut sets: BTreeMap<(QualifiedName, Vec<Member>), ColumnSet> = BTreeMap::new();
    let mut sets_of_hidden: BTreeMap<(QualifiedName, Member), (Vec<i64>, f64)> = BTreeMap::new();
    for statement in workload.statements.iter().filter(|s| s.source == Source::Statement) {
        let mut of_statement = BTreeSet::new();
        for used in &statement.analysis.relations {
            let assumed = &statement.assumed;
            for members in [compared(used, assumed)].into_iter().chain(grouped(used, assumed)) {
                if !members.is_empty() {
                    of_statement.insert((used.name.clone(), members));
                }
            }
            for member in hidden(used, assumed) {
                let unknown = sets_of_hidden.entry((used.name.clone(), member)).or_default();
                if !unknown.0.contains(&statement.queryid) {
                    unknown.0.push(statement.queryid);
                    unknown.1 += statement.total_ms;
                }
            }
        }
        for (table, members) in of_statement {
            let set = sets.entry((table.clone(), members.clone())).or_insert_with(|| ColumnSet {
                table,
                members,
                statements: Vec::new(),
                total_ms: 0.0,
            });
            set.statements.push(statement.queryid);
            set.total_ms += statement.total_ms;
        }
    }
    let mut sets: Vec<ColumnSet> = sets.into_values().collect();
    sets.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms).then_with(|| a.label().cmp(&b.label())));
    let tables = Tables::new(snapshot);
    let mut found = Candidates::default();
    for ((table, member), (statements, total_ms)) in sets_of_hidden {
        if tables.relation(&table).is_some_and(|r| tables.extent(r).rows >= MIN_ROWS) {
            let set = ColumnSet { table, members: vec![member], statements, total_ms };
            let reason = "pg_stat_statements does not show its constant, and neither the statistics of the column nor \
                          the rows of a call tell which it is";
            found.not_measured.push(NotMeasured { set, reason: reason.into() });
        }
    }
    let mut number = 0;
    for set in sets {
        let Some(relation) = tables.relation(&set.table) else { continue };
        if tables.extent(relation).rows < MIN_ROWS {
            continue;
        }
        let attempts = attempts(snapshot, relation, &set);
        if attempts.is_empty() {
            continue;
        }
        if let Some(reason) = obstacle(snapshot, relation, &set) {
            found.not_measured.push(NotMeasured { set, reason });
        } else if number == MAX_SETS {
            let reason = format!("{MAX_SETS} sets of statements that take more time were tried");
            found.not_measured.push(NotMeasured { set, reason });
        } else {
            number += 1;
            found.by_table.entry(set.table.clone()).or_default().push((set, attempts));
        }
    }
    found
}

/// What a definition of somebody's own would do: for the sets of the workload that it covers in part, else for
/// equalities of all its members and their groups.
pub fn for_definition(
    snapshot: &Snapshot,
    workload: &Workload,
    wanted: &StatisticsDefinition,
) -> (Vec<Candidate>, Vec<NotMeasured>) {
    let attempt = Attempt::Extended {
        kinds: wanted.kinds.clone(),
        columns: wanted.columns.clone(),
        expressions: wanted.expressions.clone(),
        target: None,
    };
    let own: BTreeSet<&str> = wanted.columns.iter().map(String::as_str).collect();
    let covers = |set: &ColumnSet| {
        let shared = set.members.iter().filter(|m| match &m.column {
            Some(column) => own.contains(column.as_str()),
            None => wanted.expressions.iter().any(|e| sql::same_expression(e, &m.sql)),
        });
        shared.count() >= 2.min(wanted.columns.len() + wanted.expressions.len())
    };
    let mut sets: BTreeMap<Vec<Member>, ColumnSet> = BTreeMap::new();
    for statement in workload.statements.iter().filter(|s| s.source == Source::Statement) {
        for used in statement.analysis.uses_of(&wanted.table) {
            let assumed = &statement.assumed;
            for members in [compared(used, assumed)].into_iter().chain(grouped(used, assumed)) {
                let set = ColumnSet {
                    table: wanted.table.clone(),
                    members: members.clone(),
                    statements: Vec::new(),
                    total_ms: 0.0,
                };
                if members.is_empty() || !covers(&set) {
                    continue;
                }
                let set = sets.entry(members).or_insert(set);
                if !set.statements.contains(&statement.queryid) {
                    set.statements.push(statement.queryid);
                    set.total_ms += statement.total_ms;
                }
            }
        }
    }
    if sets.is_empty() {
        let members = |comparison: Comparison| -> Vec<Member> {
            let columns = wanted.columns.iter().map(|c| Member::column(c.clone(), comparison));
            let expressions = wanted.expressions.iter().map(|e| of_expression(e, comparison));
            columns.chain(expressions).collect()
        };
        for comparison in [Comparison::Equal, Comparison::Grouped] {
            let members = members(comparison);
            sets.insert(
                members.clone(),
                ColumnSet { table: wanted.table.clone(), members, statements: Vec::new(), total_ms: 0.0 },
            );
        }
    }
    let (mut found, mut not_measured) = (Vec::new(), Vec::new());
    for set in sets.into_values() {
        let relation = snapshot.relation(&wanted.table);
        match relation.and_then(|r| obstacle(snapshot, r, &set)) {
            Some(reason) => not_measured.push(NotMeasured { set, reason }),
            None => {
                // Beside the idea what would be tried without it.
                let mut all = vec![attempt.clone()];
                let others = relation.map(|r| attempts(snapshot, r, &set)).unwrap_or_default();
                all.extend(others.into_iter().filter(|other| *other != attempt));
                found.push((set, all));
            }
        }
    }
    (found, not_measured)
}

fn of_expression(text: &str, comparison: Comparison) -> Member {
    let columns = sql::expression_ingredients(text).columns.into_iter().collect();
    Member { sql: text.to_owned(), column: None, columns, comparison }
}

/// What is looked at, constants in place that `pg_stat_statements` took out as far as they can be told. Statistics
/// may be of what no index can hold (`date_trunc` of a moment depends on the time zone).
pub(super) fn member(key: &KeyExpression, assumed: &Assumed, comparison: Comparison) -> Option<Member> {
    match key {
        KeyExpression::Column(name) => Some(Member::column(name.clone(), comparison)),
        KeyExpression::Expression { expression, .. } => {
            let text = assumed.in_place(expression).index_sql()?;
            Some(of_expression(&text, comparison))
        }
    }
}

/// What one occurrence of a table is filtered by, each key once.
fn compared(used: &RelationUse, assumed: &Assumed) -> Vec<Member> {
    let mut members: BTreeMap<String, Member> = BTreeMap::new();
    for predicate in used.predicates.iter().filter(|p| p.disjunct.is_none() && !p.outer_join) {
        // Compared with another column it is a join, which statistics of one table say nothing about.
        if predicate.values.iter().any(|v| !v.columns().is_empty()) {
            continue;
        }
        let comparison = match &predicate.operator {
            Operator::Equal => Comparison::Equal,
            Operator::In | Operator::AnyOf => Comparison::List,
            Operator::Less | Operator::LessOrEqual => Comparison::Below,
            Operator::Greater | Operator::GreaterOrEqual => Comparison::Above,
            Operator::Between => Comparison::Between,
            Operator::IsNull => Comparison::IsNull,
            Operator::IsNotNull => Comparison::IsNotNull,
            Operator::IsTrue => Comparison::IsTrue,
            Operator::IsFalse => Comparison::IsFalse,
            _ => continue,
        };
        let Some(made) = member(&predicate.key, assumed, comparison) else { continue };
        match members.get_mut(&made.sql) {
            // From both sides.
            Some(known)
                if matches!(
                    (known.comparison, comparison),
                    (Comparison::Above, Comparison::Below) | (Comparison::Below, Comparison::Above)
                ) =>
            {
                known.comparison = Comparison::Between;
            }
            Some(_) => {}
            None => drop(members.insert(made.sql.clone(), made)),
        }
    }
    members.into_values().collect()
}

/// Expressions of which a constant is not known, so that nothing can be tried on them.
fn hidden(used: &RelationUse, assumed: &Assumed) -> Vec<Member> {
    let made = |key: &KeyExpression, comparison: Comparison| match key {
        KeyExpression::Expression { expression, .. }
            if !assumed.in_place(expression).parameters().is_empty() =>
        {
            let columns = expression.columns().into_iter().map(|c| c.column.clone()).collect();
            Some(Member { sql: written(key), column: None, columns, comparison })
        }
        _ => None,
    };
    let equal = used.predicates.iter().filter(|p| p.operator == Operator::Equal && p.disjunct.is_none());
    let grouped = used.groups.iter().flat_map(|g| &g.keys).filter_map(|key| made(key, Comparison::Grouped));
    equal.filter_map(|p| made(&p.key, Comparison::Equal)).chain(grouped).collect()
}

/// What its rows are grouped by.
fn grouped(used: &RelationUse, assumed: &Assumed) -> Vec<Vec<Member>> {
    let sets = used.groups.iter().map(|grouping| {
        let members = grouping.keys.iter().filter_map(|key| member(key, assumed, Comparison::Grouped));
        let by_name: BTreeMap<String, Member> = members.map(|m| (m.sql.clone(), m)).collect();
        by_name.into_values().collect()
    });
    sets.collect()
}

/// Whether statistics hold an estimate of a column that cannot be far off.
fn is_well_known(statistics: Option<&ColumnStatistics>) -> bool {
    let Some(statistics) = statistics else { return false };
    let listed: f32 = statistics.most_common_freqs.iter().flatten().sum();
    // Unique, or nearly every row has one of the common values.
    statistics.n_distinct <= -0.95 || listed + statistics.null_frac > 0.98
}

/// What could mend the estimate of a set, the cheapest first; nothing when it cannot be far off.
fn attempts(snapshot: &Snapshot, relation: &Relation, set: &ColumnSet) -> Vec<Attempt> {
    let (columns, expressions) = (set.plain_columns(), set.expressions());
    let extended = |kind: StatisticsKind, target: Option<i32>| Attempt::Extended {
        kinds: vec![kind],
        columns: columns.clone(),
        expressions: expressions.clone(),
        target,
    };
    let default: i32 =
        snapshot.setting("default_statistics_target").and_then(|t| t.parse().ok()).unwrap_or(100);
    if let [only] = set.members.as_slice() {
        let Some(name) = &only.column else {
            // An index on the expression has statistics of it.
            let indexed = snapshot.indexes_of(&set.table).any(|i| {
                i.definition.keys.iter().any(|k| match &k.target {
                    model::KeyTarget::Expression(text) => sql::same_expression(text, &only.sql),
                    model::KeyTarget::Column(_) => false,
                })
            });
            if indexed {
                return Vec::new();
            }
            return vec![Attempt::Extended {
                kinds: Vec::new(),
                columns: Vec::new(),
                expressions,
                target: None,
            }];
        };
        let Some(column) = relation.column(name) else { return Vec::new() };
        if is_well_known(statistics(relation, column)) {
            return Vec::new();
        }
        let distinct = Attempt::Distinct { column: name.clone() };
        let target = Attempt::Target { column: name.clone(), target: LARGE_TARGET };
        let more_room = column.statistics_target.unwrap_or(default) < LARGE_TARGET;
        return match only.comparison {
            Comparison::Equal | Comparison::List if more_room => vec![target, distinct],
            Comparison::Equal | Comparison::List | Comparison::Grouped => vec![distinct],
            _ => Vec::new(),
        };
    }
    if set.members.len() > MAX_MEMBERS {
        return Vec::new();
    }
    // Where one column tells rows apart, others add nothing.
    let tells_apart = |m: &Member| {
        m.comparison == Comparison::Equal
            && m.column
                .as_deref()
                .and_then(|c| relation.column(c))
                .is_some_and(|c: &Column| statistics(relation, c).is_some_and(|s| s.n_distinct <= -0.95))
    };
    if set.members.iter().any(tells_apart) {
        return Vec::new();
    }
    if set.is_grouped() {
        return vec![extended(StatisticsKind::Ndistinct, None)];
    }
    let mut all = Vec::new();
    if set.members.iter().filter(|m| m.comparison.is_equality()).count() > 1 {
        all.push(extended(StatisticsKind::Dependencies, None));
    }
    all.push(extended(StatisticsKind::Mcv, None));
    if default < LARGE_TARGET {
        all.push(extended(StatisticsKind::Mcv, Some(LARGE_TARGET)));
    }
    all
}

/// Why a set cannot be tried.
fn obstacle(snapshot: &Snapshot, relation: &Relation, set: &ColumnSet) -> Option<String> {
    let major = snapshot.server.major();
    if relation.kind == RelationKind::ForeignTable {
        return Some("a foreign table has no rows here to draw a sample from".into());
    }
    if major < 14 && set.members.iter().any(|m| m.column.is_none()) {
        return Some(format!("PostgreSQL {major} has no statistics of expressions; 14 has"));
    }
    if major < 15 && relation.kind == RelationKind::PartitionedTable && set.members.len() > 1 {
        return Some(format!(
            "ANALYZE of PostgreSQL {major} collects no statistics of several columns for a partitioned table; 15 does"
        ));
    }
    for name in set.needed_columns() {
        let Some(column) = relation.column(&name) else {
            return Some(format!("{} has no column {name}", set.table));
        };
        if !column.has_btree_opclass && set.members.iter().any(|m| m.column.as_ref() == Some(&name)) {
            return Some(format!(
                "values of type {} have no order, so ANALYZE cannot count them",
                column.type_name
            ));
        }
        if column.average_width() >= MAX_WIDTH {
            return Some(format!(
                "values of {name} take {} on average, and ANALYZE passes over those of more than 1 kB",
                model::Bytes(column.average_width().max(0) as u64)
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{registry, statement};

    fn found(queries: &[&str]) -> Vec<String> {
        let mut snapshot = registry();
        for (number, query) in queries.iter().enumerate() {
            snapshot.statements.push(statement(number as i64 + 1, query, 10, 5.0, 1));
        }
        let workload = Workload::from_snapshot(&snapshot, &BTreeMap::new());
        let candidates = candidates(&snapshot, &workload);
        let tried = candidates.by_table.values().flatten().map(|(set, attempts)| {
            let titles: Vec<String> = attempts.iter().map(Attempt::title).collect();
            format!("{}: {}", set.label(), titles.join("; "))
        });
        let not = candidates.not_measured.iter().map(|n| format!("{}: {}", n.set.label(), n.reason));
        tried.chain(not).collect()
    }

    #[test]
    fn columns_that_are_compared_together_are_tried_together() {
        assert_eq!(
            found(&[
                "SELECT * FROM deployments WHERE environment_id = $1 AND status = $2 AND deployed_at > $3"
            ]),
            ["deployed_at >, environment_id =, status =: dependencies; mcv; mcv, target 1000"]
        );
        // One equality beside a range: functional dependencies say nothing.
        assert_eq!(
            found(&[
                "SELECT * FROM training_runs WHERE experiment_name = $1 AND created_at >= $2 AND created_at < $3"
            ]),
            ["created_at BETWEEN, experiment_name =: mcv; mcv, target 1000"]
        );
        assert_eq!(
            found(&[
                "SELECT environment_id, status, count(*) FROM deployments GROUP BY environment_id, status"
            ]),
            ["GROUP BY environment_id, status: ndistinct"]
        );
    }

    #[test]
    fn what_is_known_well_is_left_alone() {
        // A key; a column whose common values are all there are; OR; a join.
        assert!(
            found(&[
                "SELECT * FROM deployments WHERE deployment_id = $1 AND status = $2",
                "SELECT * FROM deployments WHERE status = $1",
                "SELECT * FROM deployments WHERE status = $1 OR environment_id = $2",
                "SELECT * FROM deployments d JOIN training_runs t ON t.version_id = d.version_id",
            ])
            .is_empty()
        );
    }

    #[test]
    fn constants_of_groups_are_told_by_the_number_of_groups() {
        let found = found(&["SELECT date_trunc($1, created_at), count(*) FROM training_runs GROUP BY 1"]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("GROUP BY date_trunc('"), "{found:?}");
        assert!(found[0].ends_with("', created_at): expression"), "{found:?}");
    }

    #[test]
    fn one_column_gets_room_and_a_count_and_an_expression_statistics() {
        assert_eq!(
            found(&["SELECT * FROM training_runs WHERE experiment_name = $1"]),
            ["experiment_name =: column target 1000; n_distinct"]
        );
        assert_eq!(
            found(&["SELECT * FROM training_runs WHERE lower(experiment_name) = $1"]),
            ["lower(experiment_name) =: expression"]
        );
    }
}
