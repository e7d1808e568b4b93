//! Which tables deserve to be partitioned, and by what? Proposals from the workload and the statistics; what they are
//! worth is tried on twins and judged here.
//!
//! Sources: PostgreSQL manual, "Table Partitioning" (when it pays, best practices); the figures of planning by the
//! number of partitions are in `docs/reference/commands/partition-check.md`.

use std::collections::{BTreeMap, BTreeSet};

use model::partition_set::{Division, Interval, ListPart, TimeUnit};
use model::snapshot::{Column, ColumnStatistics, Relation, RelationKind};
use model::{Bytes, KeyKind, QualifiedName, Snapshot, quote_identifier};
use partitioning::{Grid, list_names};
use serde::Serialize;
use sql::{Operator, StatementKind};

use super::losses::{Loss, in_words, losses, percent, weight};
use super::trial::{MANY_TIMES, Trial};
use crate::tables::{Tables, statistics};
use crate::workload::{Source, Workload, WorkloadStatement};

/// What is looked at.
#[derive(Clone, Debug)]
pub struct AdviseOptions {
    /// These tables, whatever their size; all that are large enough when it is empty.
    pub tables: BTreeSet<QualifiedName>,
    /// The size from which on a table is tried without being named, indexes included.
    pub min_bytes: Bytes,
    /// The time zone in which days and months begin.
    pub time_zone: String,
}

/// What is known of a table that might be divided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableFacts {
    /// The table.
    pub table: QualifiedName,
    /// Estimated rows.
    pub rows: f64,
    /// The table with its TOAST.
    pub table_bytes: Bytes,
    /// Its indexes.
    pub index_bytes: Bytes,
    /// Rows inserted per day since the counters began.
    pub inserted_per_day: f64,
    /// Days over which they were counted.
    pub counted_days: f64,
    /// Measured time of the statements that touch it, in milliseconds.
    pub workload_ms: f64,
    /// Their share of the whole workload's time.
    pub workload_share: f64,
    /// Milliseconds of statements that compare a column as partitions could be left out by it, by column.
    pub compared_ms: BTreeMap<String, f64>,
    /// `DELETE … WHERE column < …`.
    pub deletes_by_age: Option<DeletesByAge>,
}

/// Deletes of what is old.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeletesByAge {
    /// The column.
    pub column: String,
    /// Calls.
    pub calls: i64,
    /// Rows deleted.
    pub rows: f64,
    /// Measured time in milliseconds.
    pub total_ms: f64,
}

/// One way to divide a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// By which column and into what.
    pub division: Division,
    /// Why, in a sentence fragment.
    pub why: String,
}

/// A table with the ways that are worth a try.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// What is known of it.
    pub facts: TableFacts,
    /// The ways, the most promising first.
    pub proposals: Vec<Proposal>,
    /// Why there is none, in a sentence.
    pub why_none: Option<String>,
}

/// Whether a table deserves it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether it does.
    pub worth: bool,
    /// The number of the best trial.
    pub best: Option<usize>,
    /// The share of the time of its statements that has to be saved, so that it is worth it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<f64>,
    /// What the best division takes away, which is part of that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
    /// Why, in sentences.
    pub reasons: Vec<String>,
}

impl Verdict {
    /// Not worth it, and nothing was tried.
    pub fn untried(reasons: Vec<String>) -> Self {
        Self { worth: false, best: None, needed: None, losses: Vec::new(), reasons }
    }
}

/// How many ways of one table are tried.
const MOST_PROPOSALS: usize = 4;
/// As many partitions as are usually right: few enough to plan quickly, enough to leave most of them out.
const USUAL_PARTITIONS: f64 = 36.0;
/// What has to be saved of the time of a table's statements.
const WORTH_SAVING: f64 = 0.1;
/// The size, indexes included, below which a table is read as a whole in no time: what is tried without being named.
const SMALL: u64 = 100 << 20;
/// What has to be saved of the time of the statements of such a table.
const WORTH_SAVING_OF_SMALL: f64 = 0.5;
/// What upkeep may cost of it, when there are other reasons, all that is lost counted.
const MAY_COST: f64 = 0.1;
/// From this size on VACUUM, REINDEX and a restore of the whole take hours, and those of a part minutes.
const HARD_TO_KEEP: u64 = 32 << 30;
/// Shares of the time that differ by less are the same.
const THE_SAME: f64 = 0.05;
/// The share of a table's time that deletes of what is old have to take to be a reason of their own.
const MUCH_DELETING: f64 = 0.05;

/// The tables that might deserve it, the largest first.
pub fn candidates(snapshot: &Snapshot, options: &AdviseOptions) -> Vec<Candidate> {
    let workload = Workload::from_snapshot(snapshot, &BTreeMap::new());
    let tables = Tables::new(snapshot);
    let mut found: Vec<Candidate> = snapshot
        .relations
        .iter()
        .filter(|r| r.extension.is_none() && r.partition_bound.is_none())
        .filter(|r| match options.tables.is_empty() {
            true => {
                r.kind == RelationKind::Table && r.table_bytes.0 + r.indexes_bytes.0 >= options.min_bytes.0
            }
            false => options.tables.contains(&r.name),
        })
        .map(|r| candidate(snapshot, &tables, &workload, r, options))
        .collect();
    found.sort_by(|a, b| {
        let bytes = |c: &Candidate| c.facts.table_bytes.0 + c.facts.index_bytes.0;
        bytes(b).cmp(&bytes(a)).then_with(|| a.facts.table.cmp(&b.facts.table))
    });
    found
}

fn candidate(
    snapshot: &Snapshot,
    tables: &Tables<'_>,
    workload: &Workload,
    relation: &Relation,
    options: &AdviseOptions,
) -> Candidate {
    let facts = facts(snapshot, tables, workload, relation);
    let none = |why: String| Candidate { facts: facts.clone(), proposals: Vec::new(), why_none: Some(why) };
    match relation.kind {
        RelationKind::Table => {}
        RelationKind::PartitionedTable => {
            return none("It is partitioned; \"pgwright partition check\" judges how.".into());
        }
        _ => return none("It is no ordinary table.".into()),
    }
    if relation.reltuples >= 0.0 && facts.rows < 10_000.0 {
        return none(format!(
            "It has {:.0} rows: reading all of them takes less than planning for partitions.",
            facts.rows
        ));
    }
    if relation.columns.iter().all(|c| c.statistics.is_none()) {
        return none("It was never analyzed; run ANALYZE on it first.".into());
    }
    let mut proposals = range_proposals(relation, &facts, options);
    proposals.extend(list_proposal(relation, &facts));
    if proposals.is_empty() {
        proposals.extend(hash_proposal(relation, &facts));
    }
    proposals.truncate(MOST_PROPOSALS);
    if proposals.is_empty() {
        return none(
            "No column divides it: none that tells the time or counts up is compared by its statements, none with few values \
             is asked for again and again, and none is asked for by nearly all of them."
                .into(),
        );
    }
    Candidate { facts, proposals, why_none: None }
}

fn facts(snapshot: &Snapshot, tables: &Tables<'_>, workload: &Workload, relation: &Relation) -> TableFacts {
    let since = snapshot.server.stats_reset.or(snapshot.server.started_at);
    let counted_days =
        since.map_or(1.0, |s| (snapshot.taken_at - s).num_seconds() as f64 / 86_400.0).max(1.0 / 24.0);
    let touching: Vec<&WorkloadStatement> = workload
        .statements
        .iter()
        .filter(|s| s.source == Source::Statement && s.analysis.tables().contains(&relation.name))
        .collect();
    let workload_ms = touching.iter().map(|s| s.total_ms).fold(0.0, |sum, ms| sum + ms);
    let mut compared_ms = BTreeMap::new();
    for statement in &touching {
        for column in compared(statement, &relation.name) {
            *compared_ms.entry(column).or_insert(0.0) += statement.total_ms;
        }
    }
    TableFacts {
        table: relation.name.clone(),
        rows: tables.extent(relation).rows,
        table_bytes: relation.table_bytes,
        index_bytes: relation.indexes_bytes,
        inserted_per_day: relation.activity.as_ref().map_or(0.0, |a| a.n_tup_ins as f64) / counted_days,
        counted_days,
        workload_ms,
        workload_share: workload_ms / workload.total_ms.max(f64::MIN_POSITIVE),
        compared_ms,
        deletes_by_age: deletes_by_age(&touching, relation),
    }
}

/// Columns of a table that a statement compares as partitions can be left out by, in every occurrence of the table.
fn compared(statement: &WorkloadStatement, table: &QualifiedName) -> BTreeSet<String> {
    let mut all: Option<BTreeSet<String>> = None;
    for occurrence in statement.analysis.uses_of(table) {
        let columns: BTreeSet<String> = occurrence
            .predicates
            .iter()
            .filter(|p| p.disjunct.is_none() && !p.outer_join)
            .filter(|p| {
                p.operator.is_range()
                    || matches!(p.operator, Operator::Equal | Operator::In | Operator::AnyOf)
            })
            .filter(|p| p.values.iter().all(|v| v.columns().is_empty()))
            .filter_map(|p| p.key.column().map(str::to_owned))
            .collect();
        all = Some(match all {
            Some(known) => known.intersection(&columns).cloned().collect(),
            None => columns,
        });
    }
    all.unwrap_or_default()
}

fn deletes_by_age(touching: &[&WorkloadStatement], relation: &Relation) -> Option<DeletesByAge> {
    let mut by_column: BTreeMap<String, DeletesByAge> = BTreeMap::new();
    let deletes = touching.iter().filter(|s| {
        s.kind == StatementKind::Delete
            && s.analysis.target.as_ref().is_some_and(|t| t.table == relation.name)
    });
    for statement in deletes {
        let older = statement.analysis.uses_of(&relation.name).flat_map(|r| &r.predicates).find_map(|p| {
            let older = matches!(p.operator, Operator::Less | Operator::LessOrEqual) && p.disjunct.is_none();
            let column = p.key.column().filter(|_| older)?;
            relation.column(column).and_then(kind).filter(|k| k.is_time() || k.is_number()).map(|_| column)
        });
        let Some(column) = older else { continue };
        let sum = by_column.entry(column.to_owned()).or_insert_with(|| DeletesByAge {
            column: column.to_owned(),
            calls: 0,
            rows: 0.0,
            total_ms: 0.0,
        });
        sum.calls += statement.calls;
        sum.rows += statement.rows_per_call * statement.calls as f64;
        sum.total_ms += statement.total_ms;
    }
    by_column.into_values().max_by(|a, b| a.total_ms.total_cmp(&b.total_ms))
}

/// What a column could divide ranges by.
fn kind(column: &Column) -> Option<KeyKind> {
    Some(match column.type_name.as_str() {
        "timestamp with time zone" => KeyKind::TimestampTz,
        "timestamp without time zone" => KeyKind::Timestamp,
        "date" => KeyKind::Date,
        "smallint" => KeyKind::SmallInt,
        "integer" => KeyKind::Integer,
        "bigint" => KeyKind::BigInt,
        "uuid" => {
            // Version 7 stands in the 15th place of the text.
            let values = column.statistics.as_ref()?.histogram();
            let is_7 = |v: &String| v.as_bytes().get(14) == Some(&b'7');
            (!values.is_empty() && values.iter().all(is_7)).then_some(KeyKind::UuidV7)?
        }
        _ => return None,
    })
}

/// Ranges of the column that statements compare most and that tells the time or counts up.
fn range_proposals(relation: &Relation, facts: &TableFacts, options: &AdviseOptions) -> Vec<Proposal> {
    let by_age = facts.deletes_by_age.as_ref();
    let weight = |column: &Column| {
        let compared = facts.compared_ms.get(&column.name).copied().unwrap_or(0.0);
        compared + by_age.filter(|d| d.column == column.name).map_or(0.0, |d| d.total_ms)
    };
    let mut columns: Vec<(&Column, KeyKind)> = relation
        .columns
        .iter()
        .filter(|c| !c.generated)
        .filter_map(|c| Some((c, kind(c)?)))
        .filter(|(c, kind)| weight(c) > 0.0 && (kind.is_time() || counts_up(c)))
        .collect();
    columns.sort_by(|(a, _), (b, _)| weight(b).total_cmp(&weight(a)).then(a.attnum.cmp(&b.attnum)));
    let mut proposals = Vec::new();
    for (column, kind) in columns.into_iter().take(2) {
        let share = 100.0 * facts.compared_ms.get(&column.name).copied().unwrap_or(0.0)
            / facts.workload_ms.max(f64::MIN_POSITIVE);
        let mut why =
            format!("{share:.0} % of the time of its statements compares {}", quote_identifier(&column.name));
        if by_age.is_some_and(|d| d.column == column.name) {
            why.push_str(", and old rows are deleted by it");
        }
        let intervals = intervals(relation, column, kind, &options.time_zone);
        proposals.extend(intervals.into_iter().map(|interval| Proposal {
            division: Division { key: column.name.clone(), kind, interval },
            why: why.clone(),
        }));
    }
    proposals
}

/// Whether a number counts up with the rows: nearly unique, and in their order.
fn counts_up(column: &Column) -> bool {
    column.statistics.as_ref().is_some_and(|s| s.n_distinct <= -0.5 && s.correlation.unwrap_or(0.0) > 0.9)
}

/// The intervals that give a sensible number of partitions, the most usual first, two at most.
fn intervals(relation: &Relation, column: &Column, kind: KeyKind, time_zone: &str) -> Vec<Interval> {
    let Some(known) = statistics(relation, column) else { return Vec::new() };
    let mut counted: Vec<(Interval, f64)> = possible(known, kind)
        .into_iter()
        .filter_map(|interval| {
            let count = count_of(known, column, kind, &interval, time_zone)? as f64;
            (3.0..=1000.0).contains(&count).then_some((interval, count))
        })
        .collect();
    counted.sort_by(|(_, a), (_, b)| {
        let far = |count: &f64| (count / USUAL_PARTITIONS).ln().abs();
        far(a).total_cmp(&far(b))
    });
    counted.into_iter().take(2).map(|(interval, _)| interval).collect()
}

/// The intervals that people use: units of the calendar, or 1, 2 and 5 with noughts.
fn possible(known: &ColumnStatistics, kind: KeyKind) -> Vec<Interval> {
    if kind.is_time() {
        let units = TimeUnit::usual().filter(|u| kind != KeyKind::Date || !u.is_within_a_day());
        return units.map(|unit| Interval::Time { count: 1, unit }).collect();
    }
    let ends: Vec<i128> = known.histogram().iter().filter_map(|v| v.parse().ok()).collect();
    let (Some(first), Some(last)) = (ends.first(), ends.last()) else { return Vec::new() };
    let span = u64::try_from(last.saturating_sub(*first)).unwrap_or(0);
    let nought = |n: u32| 10_u64.checked_pow(n);
    (0..18)
        .filter_map(nought)
        .flat_map(|power| [1, 2, 5].map(|n| power.saturating_mul(n)))
        .filter(|step| *step > 0 && (3..=1000).contains(&(span / step)))
        .map(Interval::Numbers)
        .collect()
}

/// How many partitions take a column's values.
fn count_of(
    known: &ColumnStatistics,
    column: &Column,
    kind: KeyKind,
    interval: &Interval,
    time_zone: &str,
) -> Option<usize> {
    let division = Division { key: column.name.clone(), kind, interval: interval.clone() };
    let grid = Grid::new(&division, time_zone, None).ok()?;
    let keys: Vec<i64> = known.histogram().iter().filter_map(|v| grid.key(v).ok()).collect();
    let (min, max) = (keys.iter().min()?, keys.iter().max()?);
    grid.covering(*min, *max, 1000).ok().map(|cells| cells.len())
}

/// A list of the few values of a column that most statements ask for.
fn list_proposal(relation: &Relation, facts: &TableFacts) -> Option<Proposal> {
    const MOST: usize = 30;
    let column = relation
        .columns
        .iter()
        .filter(|c| matches!(c.type_category, 'S' | 'E') && !c.generated)
        .filter(|c| facts.compared_ms.get(&c.name).is_some_and(|ms| *ms >= 0.5 * facts.workload_ms))
        .find(|c| {
            c.statistics.as_ref().is_some_and(|s| {
                let common = s.common_values();
                (2..=MOST).contains(&common.len()) && s.distinct(facts.rows) <= common.len() as f64
            })
        })?;
    let values = column.statistics.as_ref()?.common_values();
    let values: Vec<Option<String>> = values.into_iter().map(|(value, _)| Some(value)).collect();
    let parts = list_names(&values)
        .into_iter()
        .zip(values)
        .map(|(name, value)| ListPart { name, values: vec![value] })
        .collect();
    Some(Proposal {
        division: Division {
            key: column.name.clone(),
            kind: KeyKind::List,
            interval: Interval::Values(parts),
        },
        why: format!(
            "{:.0} % of the time of its statements asks for one of few values of {}",
            100.0 * facts.compared_ms.get(&column.name).copied().unwrap_or(0.0) / facts.workload_ms,
            quote_identifier(&column.name)
        ),
    })
}

/// Hashes of the column that nearly every statement asks for.
fn hash_proposal(relation: &Relation, facts: &TableFacts) -> Option<Proposal> {
    const PARTS: u32 = 16;
    let column = relation
        .columns
        .iter()
        .filter(|c| !c.generated && c.has_btree_opclass)
        .filter(|c| c.statistics.as_ref().is_some_and(|s| s.distinct(facts.rows) >= 1000.0))
        .find(|c| {
            facts.compared_ms.get(&c.name).is_some_and(|ms| *ms >= 0.8 * facts.workload_ms && *ms > 0.0)
        })?;
    Some(Proposal {
        division: Division {
            key: column.name.clone(),
            kind: KeyKind::Hash,
            interval: Interval::Remainders(PARTS),
        },
        why: format!("nearly every statement compares {}", quote_identifier(&column.name)),
    })
}

/// Judges what was tried.
pub fn judge(facts: &TableFacts, trials: &[Trial]) -> Verdict {
    let refuses = |t: &Trial| t.worse.iter().any(|w| w.refusal.is_some());
    // What is refused counts before what is saved; of those that save the same, the one with the fewest partitions.
    let refused = trials.iter().map(refuses).min().unwrap_or(false);
    let tried = || trials.iter().enumerate().filter(|(_, t)| refuses(t) == refused);
    let gain = |t: &Trial| t.net_share() - weight(&losses(t));
    let most = tried().map(|(_, t)| gain(t)).fold(f64::NEG_INFINITY, f64::max);
    let best = tried().filter(|(_, t)| gain(t) >= most - THE_SAME).min_by_key(|(_, t)| t.partitions);
    let Some((at, trial)) = best else {
        return Verdict::untried(vec!["Nothing could be tried.".into()]);
    };
    let net = trial.net_share();
    let mut reasons = Vec::new();
    let bytes = facts.table_bytes.0 + facts.index_bytes.0;
    let in_a_year = bytes as f64 * (1.0 + 365.0 * facts.inserted_per_day / facts.rows.max(1.0));
    // Days of counting that are no more than the loading of the table tell nothing of its growth.
    let growth_is_known = facts.counted_days >= 7.0;
    if net >= 0.0 {
        reasons.push(format!("Its statements would take {} less time, planning counted.", percent(net)));
    } else {
        reasons.push(format!("Its statements would take {} more time, planning counted.", percent(-net)));
    }
    let mut other_reasons = false;
    if let Some(deletes) = &facts.deletes_by_age {
        let share = deletes.total_ms / facts.workload_ms.max(f64::MIN_POSITIVE);
        if share >= MUCH_DELETING {
            other_reasons = true;
            reasons.push(format!(
                "Deleting old rows takes {} of their time ({:.0} rows); dropping a partition takes an instant and leaves \
                 nothing to vacuum.",
                percent(share),
                deletes.rows
            ));
        }
    }
    if bytes >= HARD_TO_KEEP {
        other_reasons = true;
        reasons.push(format!(
            "It occupies {}: VACUUM, REINDEX and a restore work on parts instead.",
            Bytes(bytes)
        ));
    } else if growth_is_known && in_a_year >= HARD_TO_KEEP as f64 {
        other_reasons = true;
        reasons.push(format!(
            "At {:.0} rows a day it occupies about {} in a year; converting is the dearer the later.",
            facts.inserted_per_day,
            Bytes(in_a_year as u64)
        ));
    }
    let of_itself = match (other_reasons, bytes < SMALL) {
        (true, _) => -MAY_COST,
        (false, true) => WORTH_SAVING_OF_SMALL,
        (false, false) => WORTH_SAVING,
    };
    let losses = losses(trial);
    let needed = of_itself + weight(&losses);
    let worth = net >= needed;
    if !worth {
        reasons.push(why_not(facts, trial, net, other_reasons, of_itself, &losses));
    }
    Verdict { worth, best: Some(at), needed: Some(needed), losses, reasons }
}

fn why_not(
    facts: &TableFacts,
    trial: &Trial,
    net: f64,
    other_reasons: bool,
    of_itself: f64,
    losses: &[Loss],
) -> String {
    if net >= of_itself {
        let needed = of_itself + weight(losses);
        let (bound, whatever) = match (needed >= 0.0, other_reasons) {
            (false, _) => (
                format!("they may take {} more at most", percent(-needed)),
                format!("{} for less upkeep", percent(-of_itself)),
            ),
            (true, true) => (
                format!("{} less would be needed", percent(needed)),
                format!("{} more being allowed for less upkeep", percent(-of_itself)),
            ),
            (true, false) => (
                format!("{} less would be needed", percent(needed)),
                format!("{} whatever the method", percent(of_itself)),
            ),
        };
        return format!("What it takes away weighs more: {bound}, {whatever}, and {}.", in_words(losses));
    }
    if other_reasons {
        return "That is more than upkeep would gain.".into();
    }
    if trial.pruning == 0 {
        return "No statement would leave partitions out.".into();
    }
    let dearest =
        trial.worse.iter().filter(|w| w.refusal.is_none()).max_by(|a, b| a.factor.total_cmp(&b.factor));
    if let Some(worse) = dearest.filter(|w| net < 0.0 && w.factor >= MANY_TIMES) {
        return format!(
            "Those that do not compare the column would search every partition: {} of them cost more, {} {:.0} times as much.",
            trial.worse.len(),
            worse.queryid,
            worse.factor
        );
    }
    let bytes = Bytes(facts.table_bytes.0 + facts.index_bytes.0);
    if net >= WORTH_SAVING {
        return format!(
            "It occupies {bytes}: below {} less than {:.0} % is not worth what partitions ask for, and no old rows are deleted \
             in bulk.",
            Bytes(SMALL),
            100.0 * WORTH_SAVING_OF_SMALL
        );
    }
    format!(
        "Less than {:.0} % is not worth what partitions ask for, no old rows are deleted in bulk, and {bytes} are no burden to \
         keep: its indexes find what is asked for.",
        100.0 * WORTH_SAVING
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Bytes, QualifiedName};

    use super::{DeletesByAge, SMALL, TableFacts, judge};
    use crate::partitions::{LostReference, Trial, WidenedKey};

    fn of_size(bytes: u64) -> TableFacts {
        TableFacts {
            table: QualifiedName::new("public", "t"),
            rows: 500_000.0,
            table_bytes: Bytes(bytes - 1000),
            index_bytes: Bytes(1000),
            inserted_per_day: 0.0,
            counted_days: 30.0,
            workload_ms: 1000.0,
            workload_share: 1.0,
            compared_ms: BTreeMap::new(),
            deletes_by_age: None,
        }
    }

    #[test]
    fn a_small_table_has_to_gain_much() {
        for (bytes, saved_ms, worth) in [
            (SMALL, 100.0, true),
            (SMALL, 99.0, false),
            (SMALL - 1, 100.0, false),
            (SMALL - 1, 499.0, false),
            (SMALL - 1, 500.0, true),
        ] {
            let verdict = judge(&of_size(bytes), &[Trial::that_saves(saved_ms)]);
            assert_eq!(verdict.worth, worth, "{bytes} {saved_ms}: {verdict:#?}");
        }
        let small = of_size(97 << 20);
        let why = judge(&small, &[Trial::that_saves(300.0)]).reasons.join(" ");
        assert!(why.contains("It occupies 97.0 MB: below 100 MB less than 50 % is not worth"), "{why}");
        let why = judge(&small, &[Trial::that_saves(50.0)]).reasons.join(" ");
        assert!(why.contains("Less than 10 % is not worth"), "{why}");
        // Old rows that go are a reason at any size.
        let deletes = DeletesByAge { column: "at".into(), calls: 10, rows: 1e5, total_ms: 50.0 };
        let verdict =
            judge(&TableFacts { deletes_by_age: Some(deletes), ..small }, &[Trial::that_saves(0.0)]);
        assert!(verdict.worth, "{verdict:#?}");
    }

    /// A list of states whose rows change state, which would take away two keys and two foreign keys.
    #[test]
    fn what_is_taken_away_weighs_against_what_is_saved() {
        let key = |name: &str, surrogate| WidenedKey {
            name: name.into(),
            primary: surrogate,
            columns: vec!["c".into()],
            with: "status".into(),
            surrogate,
        };
        let reference = |constraint: &str| LostReference {
            table: QualifiedName::new("public", "r"),
            constraint: constraint.into(),
            columns: vec!["c".into()],
        };
        let facts = of_size(260 << 20);
        let losing = |saved_ms: f64| Trial {
            widened: vec![key("t_pkey", true), key("t_code_key", false)],
            lost_references: vec![reference("r_fkey"), reference("s_fkey")],
            moving_share: 0.2,
            dearer_share: 0.5,
            ..Trial::that_saves(saved_ms)
        };
        for (saved_ms, worth) in [(190.0, false), (840.0, false), (860.0, true)] {
            let verdict = judge(&facts, &[losing(saved_ms)]);
            assert_eq!(verdict.worth, worth, "{saved_ms}: {verdict:#?}");
        }
        let verdict = judge(&facts, &[losing(190.0)]);
        let why = verdict.reasons.join(" ");
        assert!(
            why.contains("85 % less would be needed, 10 % whatever the method, and 20 % for rows that"),
            "{why}"
        );
        assert!(why.contains("15 % for the foreign key r_fkey of public.r"), "{why}");
        assert!(why.contains("10 % for t_code_key (c) unique by itself"), "{why}");
        assert!(why.contains("5 % for t_pkey (c) unique by itself"), "{why}");
        // Of two ways the one is better that leaves more when all is counted.
        let verdict = judge(&facts, &[losing(400.0), Trial::that_saves(150.0)]);
        assert!(verdict.worth && verdict.best == Some(1), "{verdict:#?}");
        // A key that something counts up keeps nobody from dividing a table whose old rows go.
        let deletes = DeletesByAge { column: "at".into(), calls: 10, rows: 1e5, total_ms: 100.0 };
        let log = TableFacts { deletes_by_age: Some(deletes), ..facts };
        let trial = |saved_ms| Trial { widened: vec![key("t_pkey", true)], ..Trial::that_saves(saved_ms) };
        assert!(judge(&log, &[trial(-49.0)]).worth);
        assert!(!judge(&log, &[trial(-51.0)]).worth);
    }
}
