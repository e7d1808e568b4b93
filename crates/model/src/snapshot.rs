//! Everything that advice needs to know about a database, read once.
//!
//! A snapshot is a value and a file, so the same advice runs on a live server, on a file that a
//! customer sent and on a test fixture. Fields carry the names of the catalog columns they were
//! read from. Sequences are sorted by the reader, so equal databases give equal snapshots.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::change::IndexDefinition;
use crate::name::QualifiedName;
use crate::schema::SchemaFacts;
use crate::units::{Bytes, Millis};

mod constraints;

pub use constraints::{CheckCondition, Constraint, ConstraintKind, ForeignKeyTarget};

/// The version of the file format. A reader refuses files of a newer one.
pub const FORMAT_VERSION: u32 = 1;

/// A database as pgwright saw it at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// See [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The server's clock when the snapshot was taken.
    pub taken_at: DateTime<Utc>,
    /// The server and the database.
    pub server: Server,
    /// Every row of `pg_settings` that the role may see, by name.
    pub settings: BTreeMap<String, Setting>,
    /// Installed extensions, by name.
    pub extensions: Vec<Extension>,
    /// Names of extensions that the server has and the database has not; empty in files of before.
    #[serde(default)]
    pub available_extensions: Vec<String>,
    /// The output of `pg_dump --schema-only`, which rebuilds the empty schema.
    pub schema_sql: String,
    /// Tables, partitioned tables, materialized views and foreign tables of user schemas, by name.
    pub relations: Vec<Relation>,
    /// Indexes of those relations, by name.
    pub indexes: Vec<Index>,
    /// Primary keys, unique constraints and foreign keys, by table and name.
    pub constraints: Vec<Constraint>,
    /// Extended statistics objects, by name.
    pub extended_statistics: Vec<ExtendedStatistics>,
    /// Sequences, policies, functions, ages: what lint looks at beyond tables and indexes.
    #[serde(default)]
    pub schema: SchemaFacts,
    /// Statements of this database from `pg_stat_statements`, the most expensive first; pgwright's
    /// own are left out.
    pub statements: Vec<Statement>,
    /// The state of `pg_stat_statements` itself; `None` when it could not be read.
    pub statements_info: Option<StatementsInfo>,
    /// What could not be read, and why, in sentences.
    pub notes: Vec<String>,
}

/// The server and the database a snapshot is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// `server_version_num`, for instance 150012.
    pub version_num: i32,
    /// `server_version`, for instance `15.12 (Debian 15.12-1)`.
    pub version: String,
    /// The database.
    pub database: String,
    /// `current_user`.
    pub user: String,
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
    /// `pg_postmaster_start_time()`.
    pub started_at: Option<DateTime<Utc>>,
    /// `pg_stat_database.stats_reset`.
    pub stats_reset: Option<DateTime<Utc>>,
    /// `pg_database.encoding` as a name.
    pub encoding: String,
    /// `pg_database.datcollate`.
    pub collate: String,
    /// `pg_database.datctype`.
    pub ctype: String,
    /// Size of the database on disk.
    pub database_bytes: Bytes,
}

impl Server {
    /// The major version, for instance 15.
    pub fn major(&self) -> u32 {
        u32::try_from(self.version_num / 10_000).unwrap_or(0)
    }
}

/// A row of `pg_settings`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The value in `unit`, as text.
    pub setting: String,
    /// The unit, for instance `8kB` or `ms`.
    pub unit: Option<String>,
    /// `vartype`: `bool`, `integer`, `real`, `string` or `enum`.
    pub vartype: String,
    /// Where the value comes from, for instance `configuration file`.
    pub source: String,
    /// When a change takes effect, for instance `postmaster` or `user`.
    pub context: String,
    /// `category`, for instance `Query Tuning / Planner Cost Constants`.
    pub category: String,
}

/// An installed extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// `extname`.
    pub name: String,
    /// `extversion`.
    pub version: String,
    /// The schema it lives in.
    pub schema: String,
}

/// What kind of relation (`pg_class.relkind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The names are PostgreSQL's own.
pub enum RelationKind {
    Table,
    PartitionedTable,
    MaterializedView,
    ForeignTable,
}

/// A relation that holds rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Its OID at the source; only meaningful within this snapshot.
    pub oid: u32,
    /// Its name.
    pub name: QualifiedName,
    /// Its kind.
    pub kind: RelationKind,
    /// `pg_class.reltuples`; -1 when it was never vacuumed or analysed.
    pub reltuples: f64,
    /// `pg_class.relpages`.
    pub relpages: i64,
    /// `pg_class.relallvisible`.
    pub relallvisible: i64,
    /// The current length of the main fork in pages, which is what the planner uses.
    pub pages: i64,
    /// Size of main fork, maps and TOAST.
    pub table_bytes: Bytes,
    /// The current length of the main fork of its TOAST table in pages. 0 without one and in files of before.
    #[serde(default)]
    pub toast_pages: i64,
    /// Size of all its indexes.
    pub indexes_bytes: Bytes,
    /// `pg_class.reloptions`.
    pub options: Vec<String>,
    /// `pg_class.relpersistence` is `u`.
    pub unlogged: bool,
    /// `pg_class.relrowsecurity`.
    pub row_security: bool,
    /// The method that keeps its rows; `None` without one and in files of before.
    #[serde(default)]
    pub access_method: Option<String>,
    /// Where its files are, the database's own tablespace by name; `None` in files of before.
    #[serde(default)]
    pub tablespace: Option<String>,
    /// The partitioned or inherited parent.
    pub parent: Option<QualifiedName>,
    /// `pg_get_partkeydef` of a partitioned table.
    pub partition_key: Option<String>,
    /// `pg_get_expr(relpartbound)` of a partition.
    pub partition_bound: Option<String>,
    /// The extension that owns it, if one does.
    pub extension: Option<String>,
    /// Its columns in order, dropped ones left out.
    pub columns: Vec<Column>,
    /// Access counters; `None` for a foreign table.
    pub activity: Option<RelationActivity>,
}

impl Relation {
    /// Finds a column by its unquoted name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The number of rows as the planner sees it: the density of the last statistics times the
    /// current length of the file.
    pub fn rows(&self) -> f64 {
        if self.reltuples < 0.0 {
            // Never analysed: the planner assumes ten pages at least and guesses the width.
            let width: f64 = self.columns.iter().map(|c| f64::from(c.average_width())).sum::<f64>() + 28.0;
            return (self.pages.max(10) as f64 * 8168.0 / width).max(1.0).round();
        }
        if self.relpages > 0 && self.pages > 0 {
            self.reltuples / self.relpages as f64 * self.pages as f64
        } else {
            self.reltuples
        }
    }

    /// Rows that changed since ANALYZE, as far as the counters can be believed. What a session inserted it reports up to
    /// a second later, and so sometimes after the ANALYZE that saw those rows: then they are counted as changes, and
    /// twice among the live rows, of which the file holds only half. Source: `pgstat_report_stat` and
    /// `pgstat_report_analyze` in `pgstat_relation.c`.
    pub fn changed_since_analyze(&self) -> f64 {
        let Some(activity) = &self.activity else { return 0.0 };
        let changed = activity.n_mod_since_analyze as f64;
        let counted_twice = activity.n_live_tup as f64 - self.rows();
        if changed > 0.0 && self.reltuples > 0.0 && counted_twice >= 0.8 * changed {
            (changed - counted_twice).max(0.0)
        } else {
            changed
        }
    }
}

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// `attnum`.
    pub attnum: i16,
    /// The unquoted name.
    pub name: String,
    /// `format_type()`, for instance `character varying(40)`.
    pub type_name: String,
    /// The type's qualified name after domains are resolved, for instance `pg_catalog.varchar`.
    pub base_type: QualifiedName,
    /// `pg_type.typcategory` of the base type, for instance `S` for strings, `A` for arrays.
    pub type_category: char,
    /// `pg_type.typlen`: bytes, -1 for varlena, -2 for C strings.
    pub type_length: i16,
    /// `pg_type.typalign`: `c`, `s`, `i` or `d`.
    pub type_align: char,
    /// Whether the type has a default B-tree operator class.
    pub has_btree_opclass: bool,
    /// `attnotnull`.
    pub not_null: bool,
    /// Whether it is generated (`attgenerated`).
    pub generated: bool,
    /// The default or generation expression.
    pub default: Option<String>,
    /// A collation other than the type's default.
    pub collation: Option<QualifiedName>,
    /// `attstattarget`; `None` means the server's default.
    pub statistics_target: Option<i32>,
    /// `attoptions`, for instance `n_distinct=-0.5`; empty in files of before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Statistics of this relation's own rows.
    pub statistics: Option<ColumnStatistics>,
    /// Statistics that cover child tables as well (`inherited`).
    pub inherited_statistics: Option<ColumnStatistics>,
}

impl Column {
    /// Average width in bytes: from the statistics, else the type's length, else 32 as the planner
    /// assumes for varlena types (`get_typavgwidth`).
    pub fn average_width(&self) -> i32 {
        match self.statistics.as_ref().or(self.inherited_statistics.as_ref()) {
            Some(s) if s.avg_width > 0 => s.avg_width,
            _ if self.type_length > 0 => i32::from(self.type_length),
            _ => 32,
        }
    }
}

/// A row of `pg_stats`: what the planner knows of a column or an index expression.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// Fraction of NULLs.
    pub null_frac: f32,
    /// Average width in bytes.
    pub avg_width: i32,
    /// Distinct values; negative means minus the fraction of rows.
    pub n_distinct: f32,
    /// Most common values, in the text form of an array (`array_out`).
    pub most_common_vals: Option<String>,
    /// Their frequencies.
    pub most_common_freqs: Option<Vec<f32>>,
    /// Histogram bounds, in the text form of an array.
    pub histogram_bounds: Option<String>,
    /// Physical correlation, -1 to 1.
    pub correlation: Option<f32>,
    /// Most common elements, in the text form of an array.
    pub most_common_elems: Option<String>,
    /// Their frequencies, with the trailing minimum, maximum and NULL frequency.
    pub most_common_elem_freqs: Option<Vec<f32>>,
    /// Histogram of distinct element counts, with the trailing average.
    pub elem_count_histogram: Option<Vec<f32>>,
    /// Of a range type; `None` before 17, which does not show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<RangeStatistics>,
}

/// What `pg_stats` has of columns of range types since 17.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RangeStatistics {
    /// Lengths of ranges that are not empty, in the text form of an array.
    pub length_histogram: Option<String>,
    /// Fraction of empty ranges.
    pub empty_frac: Option<f32>,
    /// Lower and upper bounds, as ranges, in the text form of an array.
    pub bounds_histogram: Option<String>,
}

impl ColumnStatistics {
    /// The number of distinct values among `rows` rows.
    pub fn distinct(&self, rows: f64) -> f64 {
        let n = f64::from(self.n_distinct);
        if n < 0.0 { (-n * rows).max(1.0) } else { n.max(1.0) }
    }

    /// Most common values with their frequencies.
    pub fn common_values(&self) -> Vec<(String, f32)> {
        let values = self.most_common_vals.as_deref().map(array_elements).unwrap_or_default();
        let freqs = self.most_common_freqs.as_deref().unwrap_or_default();
        values.into_iter().zip(freqs).filter_map(|(v, f)| Some((v?, *f))).collect()
    }

    /// The bounds of the histogram.
    pub fn histogram(&self) -> Vec<String> {
        self.histogram_bounds
            .as_deref()
            .map(array_elements)
            .unwrap_or_default()
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Splits the text form of a one-dimensional array (`{a,"b c",NULL}`) into its elements.
///
/// Elements of a nested array come back in their own text form. Text that is not an array gives
/// nothing.
pub fn array_elements(text: &str) -> Vec<Option<String>> {
    // `[0:2]={…}` carries its bounds when they are unusual.
    let body = match text.find('{') {
        Some(start) if text.ends_with('}') => &text[start + 1..text.len() - 1],
        _ => return Vec::new(),
    };
    let mut elements = Vec::new();
    let mut current = String::new();
    let (mut quoted, mut was_quoted, mut depth, mut any) = (false, false, 0_usize, false);
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        any = true;
        match c {
            // Within a nested array the inner text is kept as it stands, escapes included.
            '\\' => {
                if depth > 0 {
                    current.push(c);
                }
                current.extend(chars.next());
            }
            '"' => {
                quoted = !quoted;
                was_quoted = true;
                if depth > 0 {
                    current.push(c);
                }
            }
            '{' if !quoted => {
                depth += 1;
                current.push(c);
            }
            '}' if !quoted => {
                depth = depth.saturating_sub(1);
                current.push(c);
            }
            ',' if !quoted && depth == 0 => {
                elements.push(element(&mut current, &mut was_quoted));
            }
            _ => current.push(c),
        }
    }
    if any {
        elements.push(element(&mut current, &mut was_quoted));
    }
    elements
}

fn element(current: &mut String, was_quoted: &mut bool) -> Option<String> {
    let text = std::mem::take(current);
    let quoted = std::mem::take(was_quoted);
    if !quoted && text.eq_ignore_ascii_case("null") { None } else { Some(text) }
}

/// A row of `pg_stat_all_tables` with the I/O of `pg_statio_all_tables`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are PostgreSQL's own.
pub struct RelationActivity {
    pub seq_scan: i64,
    pub seq_tup_read: i64,
    pub idx_scan: i64,
    pub idx_tup_fetch: i64,
    pub n_tup_ins: i64,
    pub n_tup_upd: i64,
    pub n_tup_del: i64,
    pub n_tup_hot_upd: i64,
    pub n_live_tup: i64,
    pub n_dead_tup: i64,
    pub n_mod_since_analyze: i64,
    pub last_vacuum: Option<DateTime<Utc>>,
    pub last_autovacuum: Option<DateTime<Utc>>,
    pub last_analyze: Option<DateTime<Utc>>,
    pub last_autoanalyze: Option<DateTime<Utc>>,
    pub heap_blks_read: i64,
    pub heap_blks_hit: i64,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Its OID at the source; only meaningful within this snapshot.
    pub oid: u32,
    /// Its name.
    pub name: QualifiedName,
    /// What it holds, with `definition.name` equal to `name.name`. Operator classes and collations
    /// are given only where they are not the default.
    pub definition: IndexDefinition,
    /// `pg_get_indexdef()`.
    pub indexdef: String,
    /// `indisprimary`.
    pub primary: bool,
    /// `indisexclusion`.
    pub exclusion: bool,
    /// `indisvalid`.
    pub valid: bool,
    /// `indnullsnotdistinct`; false before 15.
    pub nulls_not_distinct: bool,
    /// The constraint it implements.
    pub constraint: Option<String>,
    /// Whether it is the table's replica identity.
    pub replica_identity: bool,
    /// `indisclustered`: the order that a bare `CLUSTER` of the table goes by. False in files of before.
    #[serde(default)]
    pub clustered: bool,
    /// Not `indimmediate`: duplicates are looked for at the end of a statement or transaction, so that neither
    /// `ON CONFLICT` nor a foreign key can use it. False in files of before.
    #[serde(default)]
    pub deferrable: bool,
    /// Whether a foreign key references the table by it (`pg_constraint.conindid`), so that it cannot be dropped.
    /// False in files of before.
    #[serde(default)]
    pub referenced: bool,
    /// Whether a concurrent build of it ran while the snapshot was taken. False in files of before.
    #[serde(default)]
    pub building: bool,
    /// The partitioned index it is attached to.
    pub parent: Option<QualifiedName>,
    /// `pg_class.relpages`.
    pub relpages: i64,
    /// `pg_class.reltuples`.
    pub reltuples: f64,
    /// The current length of its file in pages.
    pub pages: i64,
    /// Its size.
    pub bytes: Bytes,
    /// `pg_stat_all_indexes.idx_scan`.
    pub idx_scan: i64,
    /// `pg_stat_all_indexes.idx_tup_read`.
    pub idx_tup_read: i64,
    /// `pg_stat_all_indexes.last_idx_scan`; `None` before 16 or when never scanned.
    pub last_idx_scan: Option<DateTime<Utc>>,
    /// Statistics of its expressions, by attribute number within the index (from 1).
    pub expression_statistics: BTreeMap<i16, ColumnStatistics>,
}

/// A row of `pg_statistic_ext`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExtendedStatistics {
    /// Its name.
    pub name: QualifiedName,
    /// The table.
    pub table: QualifiedName,
    /// `pg_get_statisticsobjdef()`.
    pub definition: String,
    /// The unquoted columns.
    pub columns: Vec<String>,
    /// `stxstattarget`; `None` means that of the columns, and in files of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<i32>,
    /// `stxkind`: `d` ndistinct, `f` dependencies, `m` most-common values, `e` expressions.
    pub kinds: Vec<char>,
    /// Its expressions, in order.
    #[serde(default)]
    pub expressions: Vec<String>,
    /// What ANALYZE found, of the table's own rows and of those of its children too.
    #[serde(default)]
    pub data: Vec<ExtendedStatisticsData>,
}

/// A row of `pg_stats_ext`: what the planner knows of several columns together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExtendedStatisticsData {
    /// Whether children are covered as well; always false before 15.
    pub inherited: bool,
    /// Distinct combinations, as `pg_ndistinct` prints them, by attribute number.
    pub n_distinct: Option<String>,
    /// Functional dependencies, as `pg_dependencies` prints them, by attribute number.
    pub dependencies: Option<String>,
    /// Most common combinations, in the text form of an array of arrays.
    pub most_common_vals: Option<String>,
    /// Their frequencies.
    pub most_common_freqs: Option<Vec<f64>>,
    /// Their frequencies if the columns were independent.
    pub most_common_base_freqs: Option<Vec<f64>>,
    /// Statistics of the expressions, in their order.
    #[serde(default)]
    pub expressions: Vec<ColumnStatistics>,
}

/// A row of `pg_stat_statements`, summed over users.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are the extension's own.
pub struct Statement {
    pub queryid: i64,
    /// The normalised text, passwords masked.
    pub query: String,
    pub toplevel: bool,
    pub calls: i64,
    pub plans: i64,
    pub total_plan_time: Millis,
    pub total_exec_time: Millis,
    pub min_exec_time: Millis,
    pub max_exec_time: Millis,
    pub mean_exec_time: Millis,
    pub stddev_exec_time: Millis,
    pub rows: i64,
    pub shared_blks_hit: i64,
    pub shared_blks_read: i64,
    pub shared_blks_dirtied: i64,
    pub shared_blks_written: i64,
    pub temp_blks_read: i64,
    pub temp_blks_written: i64,
    pub blk_read_time: Millis,
    pub blk_write_time: Millis,
    pub wal_records: i64,
    pub wal_bytes: Bytes,
    /// `stats_since` of the extension's version 1.11; when statistics of this entry began.
    pub stats_since: Option<DateTime<Utc>>,
}

impl Statement {
    /// Shared-buffer hits as a share of all accesses, `None` when it touched nothing.
    pub fn cache_hit_ratio(&self) -> Option<f64> {
        let all = self.shared_blks_hit + self.shared_blks_read;
        (all > 0).then(|| self.shared_blks_hit as f64 / all as f64)
    }
}

/// The state of `pg_stat_statements` as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatementsInfo {
    /// The extension's version, for instance `1.10`.
    pub version: String,
    /// Entries thrown out because `max` was reached (`pg_stat_statements_info.dealloc`).
    pub dealloc: i64,
    /// When counters were last reset.
    pub stats_reset: Option<DateTime<Utc>>,
    /// `pg_stat_statements.max`.
    pub max: i64,
    /// `pg_stat_statements.track`.
    pub track: String,
}

impl Snapshot {
    /// A snapshot of nothing: no table, no statement, the newest version.
    pub fn nothing() -> Self {
        Self {
            format_version: FORMAT_VERSION,
            taken_at: DateTime::UNIX_EPOCH,
            server: Server {
                version_num: 180_000,
                version: "18".into(),
                database: String::new(),
                user: String::new(),
                in_recovery: false,
                started_at: None,
                stats_reset: None,
                encoding: "UTF8".into(),
                collate: "C".into(),
                ctype: "C".into(),
                database_bytes: Bytes(0),
            },
            settings: BTreeMap::new(),
            extensions: Vec::new(),
            available_extensions: Vec::new(),
            schema_sql: String::new(),
            relations: Vec::new(),
            indexes: Vec::new(),
            constraints: Vec::new(),
            extended_statistics: Vec::new(),
            schema: SchemaFacts::default(),
            statements: Vec::new(),
            statements_info: None,
            notes: Vec::new(),
        }
    }

    /// Finds a relation by name.
    pub fn relation(&self, name: &QualifiedName) -> Option<&Relation> {
        self.relations.iter().find(|r| &r.name == name)
    }

    /// Finds an index by name.
    pub fn index(&self, name: &QualifiedName) -> Option<&Index> {
        self.indexes.iter().find(|i| &i.name == name)
    }

    /// The indexes of a relation.
    pub fn indexes_of<'a>(&'a self, table: &'a QualifiedName) -> impl Iterator<Item = &'a Index> {
        self.indexes.iter().filter(move |i| &i.definition.table == table)
    }

    /// The value of a setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(|s| s.setting.as_str())
    }

    /// For how long the statement counters have been collected, in hours; at least one minute.
    pub fn observed_hours(&self) -> f64 {
        let since = self.statements_info.as_ref().and_then(|i| i.stats_reset).or(self.server.started_at);
        let hours = since.map_or(1.0, |s| (self.taken_at - s).num_milliseconds() as f64 / 3_600_000.0);
        hours.max(1.0 / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_text_splits_into_elements() {
        let strings = |t: &str| {
            array_elements(t).into_iter().map(|e| e.unwrap_or_else(|| "<null>".into())).collect::<Vec<_>>()
        };
        assert_eq!(strings("{a,\"b c\",NULL,\"NULL\"}"), ["a", "b c", "<null>", "NULL"]);
        assert_eq!(strings("{}"), Vec::<String>::new());
        assert_eq!(strings(r#"{"say \"hi\"","back\\slash","x,y"}"#), ["say \"hi\"", "back\\slash", "x,y"]);
        assert_eq!(strings("{{1,2},{3,4}}"), ["{1,2}", "{3,4}"]);
        assert_eq!(strings("not an array"), Vec::<String>::new());
    }
}
