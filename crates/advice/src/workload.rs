//! What do users run, how often, and what do they write?
//!
//! From the snapshot's statement counters to statements that can be planned: parsed, resolved, with
//! typical values. What cannot be used is listed with a reason, never dropped silently.

use std::collections::{BTreeMap, BTreeSet};

use model::snapshot::{ConstraintKind, RelationKind, Statement};
use model::{QualifiedName, Snapshot, quote_identifier, quote_literal};
use serde::{Deserialize, Serialize};
use sql::{Analysis, ParsedStatement, SnapshotCatalog, StatementKind};

use crate::index_semantics::covers_foreign_key;
use crate::tables::{Tables, statistics};
use crate::typical_values::{self, Assumed, Binding, Evidence, ObservedValues};

/// A statement that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedStatement {
    /// Its `queryid`.
    pub queryid: i64,
    /// Why, in a sentence fragment.
    pub reason: String,
}

/// Where a workload statement comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A text of `pg_stat_statements`.
    Statement,
    /// The look-up that a foreign key makes when a referenced row goes away.
    ForeignKeyCheck {
        /// The constraint.
        constraint: String,
        /// The referencing table.
        table: QualifiedName,
    },
}

/// A statement that can be planned.
#[derive(Clone, Debug)]
pub struct WorkloadStatement {
    /// Its `queryid`; a foreign-key check has that of the `DELETE` that causes it.
    pub queryid: i64,
    /// The normalised text.
    pub query: String,
    /// Where it comes from.
    pub source: Source,
    /// Calls in the snapshot.
    pub calls: i64,
    /// Mean execution time in milliseconds.
    pub mean_ms: f64,
    /// Standard deviation of the execution time in milliseconds.
    pub stddev_ms: f64,
    /// All execution time in milliseconds.
    pub total_ms: f64,
    /// Rows per call.
    pub rows_per_call: f64,
    /// Whether rows per call say something about selectivity.
    pub rows_are_evidence: bool,
    /// What it does.
    pub kind: StatementKind,
    /// Its facts.
    pub analysis: Analysis,
    /// Typical executions.
    pub bindings: Vec<Binding>,
    /// Values that it was seen with.
    pub observed: Vec<ObservedValues>,
    /// What is assumed of constants that its text no longer shows.
    pub assumed: Assumed,
}

/// What is written to a table while the workload runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableWrites {
    /// Rows inserted.
    pub inserted: f64,
    /// Statements that inserted them, as far as they are known.
    pub insert_statements: f64,
    /// Rows deleted.
    pub deleted: f64,
    /// Rows updated, by the set of columns that the statement assigns; `None` when only the number is
    /// known.
    pub updated: Vec<(Option<BTreeSet<String>>, f64)>,
    /// Statements that updated them, as far as they are known; a row by itself otherwise.
    pub update_statements: f64,
    /// Mean time of inserting one row, in milliseconds, where a statement shows it.
    pub insert_ms: Option<f64>,
    /// Share of updates that were HOT.
    pub hot_share: f64,
}

impl TableWrites {
    /// Rows updated, whatever was assigned.
    pub fn rows_updated(&self) -> f64 {
        self.updated.iter().map(|(_, rows)| rows).sum()
    }
}

/// Statements, writes and totals.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What can be planned, the most time first.
    pub statements: Vec<WorkloadStatement>,
    /// What was left out.
    pub skipped: Vec<SkippedStatement>,
    /// Writes by table.
    pub writes: BTreeMap<QualifiedName, TableWrites>,
    /// All execution time of the snapshot in milliseconds, skipped statements included.
    pub total_ms: f64,
    /// Execution time of the statements that write, in milliseconds.
    pub write_ms: f64,
    /// Hours over which the counters were collected.
    pub hours: f64,
}

impl Workload {
    /// Reads the workload out of a snapshot.
    pub fn from_snapshot(snapshot: &Snapshot, observed: &BTreeMap<i64, Vec<ObservedValues>>) -> Self {
        Self::read(snapshot, observed, true)
    }

    /// The workload with `now()` as it is written: partitions that it excludes are excluded when a plan is started,
    /// and not while it is made.
    pub fn with_running_clock(snapshot: &Snapshot) -> Self {
        Self::read(snapshot, &BTreeMap::new(), false)
    }

    fn read(snapshot: &Snapshot, observed: &BTreeMap<i64, Vec<ObservedValues>>, stops_clock: bool) -> Self {
        let catalog = SnapshotCatalog::new(snapshot);
        let tables = Tables::new(snapshot);
        let mut loads = Loads::default();
        let mut workload = Self {
            statements: Vec::new(),
            skipped: Vec::new(),
            writes: BTreeMap::new(),
            total_ms: snapshot.statements.iter().map(|s| s.total_exec_time.0).sum(),
            write_ms: 0.0,
            hours: snapshot.observed_hours(),
        };
        let none = Vec::new();
        for statement in &snapshot.statements {
            let seen = observed.get(&statement.queryid).unwrap_or(&none);
            let source = Reading {
                snapshot,
                tables: &tables,
                catalog: &catalog,
                statement,
                observed: seen,
                stops_clock,
            };
            match read_statement(&source, &mut workload, &mut loads) {
                Ok(read) => workload.statements.push(read),
                Err(reason) => {
                    workload.skipped.push(SkippedStatement { queryid: statement.queryid, reason });
                }
            }
        }
        loads.settle(&tables, &mut workload);
        workload.add_foreign_key_checks(snapshot, &catalog);
        workload.add_counted_writes(snapshot);
        workload.statements.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms).then(a.queryid.cmp(&b.queryid)));
        workload
    }

    /// Makes a statement's time the given share of what was measured.
    pub fn correct(&mut self, statement: &mut WorkloadStatement, share: f64) {
        let gone_ms = (1.0 - share) * statement.total_ms;
        statement.total_ms -= gone_ms;
        statement.mean_ms *= share;
        statement.stddev_ms *= share;
        self.total_ms -= gone_ms;
        if statement.analysis.target.is_some() && statement.source == Source::Statement {
            self.write_ms -= gone_ms;
        }
    }

    /// Writes that statements account for; of tables without such statements the table's own counters
    /// are used when statements were evicted and may be missing.
    fn add_counted_writes(&mut self, snapshot: &Snapshot) {
        let evicted = snapshot.statements_info.as_ref().is_none_or(|i| i.dealloc > 0);
        let counted_since = snapshot.server.stats_reset.or(snapshot.server.started_at);
        let counted_hours = counted_since
            .map_or(self.hours, |s| (snapshot.taken_at - s).num_seconds() as f64 / 3_600.0)
            .max(1.0 / 60.0);
        for relation in &snapshot.relations {
            let Some(activity) = &relation.activity else { continue };
            let updates = activity.n_tup_upd as f64;
            let hot_share = if updates > 0.0 { activity.n_tup_hot_upd as f64 / updates } else { 0.5 };
            let known = self.writes.contains_key(&relation.name);
            let writes = self.writes.entry(relation.name.clone()).or_default();
            writes.hot_share = hot_share.clamp(0.0, 1.0);
            if !known && evicted {
                let scale = self.hours / counted_hours;
                writes.inserted = activity.n_tup_ins as f64 * scale;
                writes.deleted = activity.n_tup_del as f64 * scale;
                if updates > 0.0 {
                    writes.updated.push((None, updates * scale));
                    writes.update_statements += updates * scale;
                }
            }
        }
    }

    /// A `DELETE` of a referenced row looks for rows that reference it, with a sequential scan when no
    /// index supports the key. The time is measured as part of the `DELETE` and planned nowhere, so the
    /// look-up (`RI_FKey_noaction_del`) becomes a statement of its own.
    fn add_foreign_key_checks(&mut self, snapshot: &Snapshot, catalog: &SnapshotCatalog<'_>) {
        let mut checks = Vec::new();
        for statement in &mut self.statements {
            let Some(target) = &statement.analysis.target else { continue };
            let rows = statement.rows_per_call * statement.calls as f64;
            if statement.kind != StatementKind::Delete || rows < 1.0 {
                continue;
            }
            let keys: Vec<_> = snapshot
                .constraints
                .iter()
                .filter(|c| c.kind == ConstraintKind::ForeignKey)
                .filter(|c| c.references.as_ref().is_some_and(|r| r.table == target.table && r.enforced_here))
                .filter(|c| {
                    let relation = snapshot.relation(&c.table);
                    !snapshot.indexes_of(&c.table).any(|i| covers_foreign_key(i, &c.columns, relation))
                })
                .collect();
            if keys.is_empty() {
                continue;
            }
            // The plan of the DELETE itself cannot explain its time; the checks can.
            let share = 0.95 * statement.total_ms / keys.len() as f64;
            for key in keys {
                let Some(query) = foreign_key_check(snapshot, key) else { continue };
                let Ok(parsed) = ParsedStatement::parse(&query) else { continue };
                let mut analysis = parsed.analyze(catalog);
                // The row lock is taken on few rows; what matters is finding them.
                analysis.limited = false;
                checks.push(WorkloadStatement {
                    queryid: statement.queryid,
                    query: query.clone(),
                    source: Source::ForeignKeyCheck {
                        constraint: key.name.clone(),
                        table: key.table.clone(),
                    },
                    calls: rows as i64,
                    mean_ms: share / rows,
                    stddev_ms: 0.0,
                    total_ms: share,
                    rows_per_call: 0.0,
                    rows_are_evidence: false,
                    kind: StatementKind::Select,
                    analysis,
                    bindings: vec![Binding { variants: vec![query], weight: 1.0, guess: 0 }],
                    observed: Vec::new(),
                    assumed: Assumed::default(),
                });
                statement.total_ms -= share;
            }
            statement.mean_ms = statement.total_ms / statement.calls.max(1) as f64;
        }
        self.statements.extend(checks);
    }
}

/// The query of `RI_FKey_noaction_del` with a value that the column holds. Rows of a partitioned table are in its
/// partitions, so there PostgreSQL leaves the `ONLY` out.
fn foreign_key_check(snapshot: &Snapshot, key: &model::snapshot::Constraint) -> Option<String> {
    let relation = snapshot.relation(&key.table)?;
    let mut conditions = Vec::new();
    for name in &key.columns {
        let column = relation.column(name)?;
        let value = statistics(relation, column)
            .and_then(|s| {
                s.histogram().into_iter().nth(50).or_else(|| s.common_values().pop().map(|(v, _)| v))
            })
            .map_or_else(|| "NULL".to_owned(), |v| quote_literal(&v));
        conditions.push(format!("{} = {value}::{}", quote_identifier(name), column.type_name));
    }
    let only = if relation.kind == RelationKind::PartitionedTable { "" } else { "ONLY " };
    Some(format!("SELECT 1 FROM {only}{} x WHERE {} FOR KEY SHARE OF x", key.table, conditions.join(" AND ")))
}

/// Whether a name that the snapshot does not know is that of a catalog. PostgreSQL itself reserves `pg_`.
fn is_system(name: &str) -> bool {
    ["pg_", "\"pg_", "information_schema."].iter().any(|prefix| name.starts_with(prefix))
}

/// A statement and what it is read with.
struct Reading<'a> {
    snapshot: &'a Snapshot,
    tables: &'a Tables<'a>,
    catalog: &'a SnapshotCatalog<'a>,
    statement: &'a Statement,
    observed: &'a [ObservedValues],
    stops_clock: bool,
}

/// Rows that came in bulk, by table.
///
/// A table is filled once, before or after its indexes are built, whenever the statistics happened to be reset:
/// rows that it still holds and that came by the thousand say nothing about what keeping an index costs from day to
/// day. What came beyond that, by a table that is emptied and filled every night, does.
#[derive(Debug, Default)]
struct Loads {
    rows: BTreeMap<QualifiedName, f64>,
}

/// From so many rows per call on it is a load.
const BULK_ROWS: f64 = 100.0;
/// The share of a table that loads must have brought to have filled it.
const FILLED: f64 = 0.5;

impl Loads {
    /// Whether rows came in bulk, which are counted later then.
    fn take(&mut self, table: &QualifiedName, rows: f64, calls: i64) -> bool {
        let bulk = rows >= BULK_ROWS * calls.max(1) as f64;
        if bulk {
            *self.rows.entry(table.clone()).or_default() += rows;
        }
        bulk
    }

    fn settle(self, tables: &Tables<'_>, workload: &mut Workload) {
        for (table, loaded) in self.rows {
            let held = tables.relation(&table).map_or(0.0, |r| tables.extent(r).rows);
            let once = if loaded >= FILLED * held { loaded.min(held) } else { 0.0 };
            workload.writes.entry(table).or_default().inserted += loaded - once;
        }
    }
}

fn read_statement(
    source: &Reading<'_>,
    workload: &mut Workload,
    loads: &mut Loads,
) -> Result<WorkloadStatement, String> {
    let Reading { snapshot, tables, catalog, statement, observed, stops_clock } = *source;
    if sql::is_utility(&statement.query) {
        record_copy(statement, catalog, workload, loads);
        return Err("it is a utility statement, which the planner never sees".into());
    }
    let parsed = ParsedStatement::parse(&statement.query).map_err(|e| match e.detail() {
        Some(detail) => format!("{e}: {detail}"),
        None => e.to_string(),
    })?;
    if parsed.kind() == StatementKind::Utility {
        return Err("it is a utility statement, which the planner never sees".into());
    }
    let analysis = parsed.analyze(catalog);
    record_writes(source, &parsed, &analysis, workload, loads);
    if analysis.relations.is_empty() {
        return Err(match analysis.unknown_relations.as_slice() {
            [] => "it reads no table".into(),
            names if names.iter().all(|name| is_system(name)) => "it reads system catalogs only".into(),
            names => {
                format!("{} is not in the snapshot: a temporary table, or dropped", names.join(", "))
            }
        });
    }
    if parsed.kind() == StatementKind::Insert && analysis.relations.len() <= 1 {
        return Err("it inserts given rows and searches nothing; it counts as a write".into());
    }
    let evidence =
        Evidence { snapshot, tables, statement, parsed: &parsed, analysis: &analysis, observed, stops_clock };
    let assumed = typical_values::assume(evidence);
    let bindings = typical_values::bindings(evidence, &assumed);
    let rows_are_evidence = evidence.rows_are_evidence() && observed.is_empty();
    Ok(WorkloadStatement {
        queryid: statement.queryid,
        query: statement.query.clone(),
        source: Source::Statement,
        calls: statement.calls,
        mean_ms: statement.mean_exec_time.0,
        stddev_ms: statement.stddev_exec_time.0,
        total_ms: statement.total_exec_time.0,
        rows_per_call: evidence.rows_per_call(),
        rows_are_evidence,
        kind: parsed.kind(),
        analysis,
        bindings,
        observed: observed.to_vec(),
        assumed,
    })
}

fn record_writes(
    source: &Reading<'_>,
    parsed: &ParsedStatement,
    analysis: &Analysis,
    workload: &mut Workload,
    loads: &mut Loads,
) {
    let statement = source.statement;
    let Some(target) = &analysis.target else { return };
    workload.write_ms += statement.total_exec_time.0;
    let writes = workload.writes.entry(target.table.clone()).or_default();
    let rows = statement.rows.max(0) as f64;
    let calls = (statement.calls.max(0) as f64).min(rows);
    match parsed.kind() {
        StatementKind::Insert => {
            if !loads.take(&target.table, rows, statement.calls) {
                writes.inserted += rows;
                writes.insert_statements += statement.calls.max(0) as f64;
            }
            // An upsert that assigns may have updated every row; which, the counters do not tell.
            if !target.assigned.is_empty() {
                writes.updated.push((Some(target.assigned.clone()), rows / 2.0));
                writes.update_statements += calls / 2.0;
            }
            if rows > 0.0 && analysis.relations.len() <= 1 {
                let per_row = statement.total_exec_time.0 / rows;
                writes.insert_ms = Some(writes.insert_ms.map_or(per_row, |known: f64| known.min(per_row)));
            }
        }
        StatementKind::Update | StatementKind::Merge => {
            // A statement that ran once and changed most rows filled a column that was added.
            let held = source.tables.relation(&target.table).map_or(0.0, |r| source.tables.extent(r).rows);
            let once = statement.calls == 1 && rows >= BULK_ROWS && rows >= FILLED * held;
            if !once {
                writes.updated.push((Some(target.assigned.clone()), rows));
                writes.update_statements += calls;
            }
        }
        StatementKind::Delete => writes.deleted += rows,
        // A data-modifying CTE: the rows are those of the outer query, which is all that is known.
        _ => {
            if target.assigned.is_empty() {
                writes.inserted += rows;
            } else {
                writes.updated.push((Some(target.assigned.clone()), rows));
                writes.update_statements += calls;
            }
        }
    }
}

/// `COPY table FROM` writes rows as an `INSERT` does.
fn record_copy(
    statement: &Statement,
    catalog: &SnapshotCatalog<'_>,
    workload: &mut Workload,
    loads: &mut Loads,
) {
    use sql::Catalog as _;
    let words: Vec<&str> = statement.query.split_whitespace().take(3).collect();
    let [copy, name, ..] = words.as_slice() else { return };
    if !copy.eq_ignore_ascii_case("copy") || !statement.query.to_ascii_lowercase().contains(" from ") {
        return;
    }
    let name = name.split('(').next().unwrap_or(name);
    let Ok(parsed) = QualifiedName::parse(name, "") else { return };
    let schema = (!parsed.schema.is_empty()).then_some(parsed.schema.as_str());
    let Some(table) = catalog.relation(schema, &parsed.name) else { return };
    let rows = statement.rows.max(0) as f64;
    let writes = workload.writes.entry(table.name.clone()).or_default();
    if !loads.take(&table.name, rows, statement.calls) {
        writes.inserted += rows;
    }
}

#[cfg(test)]
mod tests;
