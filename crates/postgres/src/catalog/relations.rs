//! Which tables are there, what do they hold, and what holds of them?
//!
//! Source: `pg_class`, `pg_attribute`, `pg_constraint` and `pg_statistic_ext`, with the counters of
//! `pg_stat_all_tables`. The counters are read by the view's functions, because the view joins the
//! catalog once more.

use chrono::{DateTime, Utc};
use model::snapshot::{
    Column, Constraint, ConstraintKind, ExtendedStatistics, ForeignKeyTarget, Relation, RelationActivity,
    RelationKind,
};
use model::{Bytes, QualifiedName};

use crate::catalog_query;

catalog_query! {
    /// A relation that holds rows, with its counters.
    pub struct RelationRow {
        oid: u32,
        schema: String,
        name: String,
        relkind: String,
        reltuples: f64,
        relpages: i32,
        relallvisible: i32,
        main_bytes: i64,
        table_bytes: i64,
        toast_bytes: i64,
        indexes_bytes: i64,
        options: Vec<String>,
        unlogged: bool,
        row_security: bool,
        access_method: Option<String>,
        tablespace: Option<String>,
        parent_schema: Option<String>,
        parent_name: Option<String>,
        partition_key: Option<String>,
        partition_bound: Option<String>,
        extension: Option<String>,
        counted: bool,
        seq_scan: i64,
        seq_tup_read: i64,
        idx_scan: i64,
        idx_tup_fetch: i64,
        n_tup_ins: i64,
        n_tup_upd: i64,
        n_tup_del: i64,
        n_tup_hot_upd: i64,
        n_live_tup: i64,
        n_dead_tup: i64,
        n_mod_since_analyze: i64,
        last_vacuum: Option<DateTime<Utc>>,
        last_autovacuum: Option<DateTime<Utc>>,
        last_analyze: Option<DateTime<Utc>>,
        last_autoanalyze: Option<DateTime<Utc>>,
        heap_blks_read: i64,
        heap_blks_hit: i64,
    }
    name "relations"
    server { 13 => "relations.sql" }
}

catalog_query! {
    /// A column of such a relation.
    pub struct ColumnRow {
        table_oid: u32,
        attnum: i16,
        name: String,
        type_name: String,
        base_type_schema: String,
        base_type_name: String,
        type_category: String,
        type_length: i16,
        type_align: String,
        has_btree_opclass: bool,
        not_null: bool,
        generated: bool,
        default: Option<String>,
        collation_schema: Option<String>,
        collation_name: Option<String>,
        statistics_target: Option<i32>,
        options: Vec<String>,
    }
    name "columns"
    server { 13 => "columns.sql" }
}

catalog_query! {
    /// A constraint of such a relation.
    pub struct ConstraintRow {
        name: String,
        table_schema: String,
        table_name: String,
        contype: String,
        columns: Vec<String>,
        referenced_schema: Option<String>,
        referenced_name: Option<String>,
        referenced_columns: Vec<String>,
        enforced_here: bool,
        validated: bool,
        definition: String,
    }
    name "constraints"
    server { 13 => "constraints.sql" }
}

catalog_query! {
    /// An extended statistics object.
    pub struct ExtendedStatisticsRow {
        schema: String,
        name: String,
        table_schema: String,
        table_name: String,
        definition: String,
        columns: Vec<String>,
        target: Option<i32>,
        kinds: Vec<String>,
    }
    name "extended_statistics"
    server { 13 => "extended_statistics.sql" }
}

/// A name of two columns that are NULL together.
pub(crate) fn optional_name(schema: Option<String>, name: Option<String>) -> Option<QualifiedName> {
    schema.zip(name).map(|(schema, name)| QualifiedName::new(schema, name))
}

pub(crate) fn bytes(value: i64) -> Bytes {
    Bytes(u64::try_from(value).unwrap_or(0))
}

fn character(text: &str) -> char {
    text.chars().next().unwrap_or(' ')
}

impl RelationRow {
    /// The relation without its columns, which come from another query.
    pub(crate) fn into_relation(self, block_size: i64) -> Relation {
        let activity = self.counted.then_some(RelationActivity {
            seq_scan: self.seq_scan,
            seq_tup_read: self.seq_tup_read,
            idx_scan: self.idx_scan,
            idx_tup_fetch: self.idx_tup_fetch,
            n_tup_ins: self.n_tup_ins,
            n_tup_upd: self.n_tup_upd,
            n_tup_del: self.n_tup_del,
            n_tup_hot_upd: self.n_tup_hot_upd,
            n_live_tup: self.n_live_tup,
            n_dead_tup: self.n_dead_tup,
            n_mod_since_analyze: self.n_mod_since_analyze,
            last_vacuum: self.last_vacuum,
            last_autovacuum: self.last_autovacuum,
            last_analyze: self.last_analyze,
            last_autoanalyze: self.last_autoanalyze,
            heap_blks_read: self.heap_blks_read,
            heap_blks_hit: self.heap_blks_hit,
        });
        Relation {
            oid: self.oid,
            name: QualifiedName::new(self.schema, self.name),
            kind: match self.relkind.as_str() {
                "p" => RelationKind::PartitionedTable,
                "m" => RelationKind::MaterializedView,
                "f" => RelationKind::ForeignTable,
                _ => RelationKind::Table,
            },
            reltuples: self.reltuples,
            relpages: i64::from(self.relpages),
            relallvisible: i64::from(self.relallvisible),
            pages: self.main_bytes / block_size,
            table_bytes: bytes(self.table_bytes),
            toast_pages: self.toast_bytes / block_size,
            indexes_bytes: bytes(self.indexes_bytes),
            options: self.options,
            unlogged: self.unlogged,
            row_security: self.row_security,
            access_method: self.access_method,
            tablespace: self.tablespace,
            parent: optional_name(self.parent_schema, self.parent_name),
            partition_key: self.partition_key,
            partition_bound: self.partition_bound,
            extension: self.extension,
            columns: Vec::new(),
            activity,
        }
    }
}

impl From<ColumnRow> for Column {
    fn from(row: ColumnRow) -> Self {
        Self {
            attnum: row.attnum,
            name: row.name,
            type_name: row.type_name,
            base_type: QualifiedName::new(row.base_type_schema, row.base_type_name),
            type_category: character(&row.type_category),
            type_length: row.type_length,
            type_align: character(&row.type_align),
            has_btree_opclass: row.has_btree_opclass,
            not_null: row.not_null,
            generated: row.generated,
            default: row.default,
            collation: optional_name(row.collation_schema, row.collation_name),
            statistics_target: row.statistics_target,
            options: row.options,
            statistics: None,
            inherited_statistics: None,
        }
    }
}

impl From<ConstraintRow> for Constraint {
    fn from(row: ConstraintRow) -> Self {
        Self {
            name: row.name,
            table: QualifiedName::new(row.table_schema, row.table_name),
            kind: match row.contype.as_str() {
                "p" => ConstraintKind::PrimaryKey,
                "u" => ConstraintKind::Unique,
                "f" => ConstraintKind::ForeignKey,
                "x" => ConstraintKind::Exclusion,
                _ => ConstraintKind::Check,
            },
            columns: row.columns,
            references: optional_name(row.referenced_schema, row.referenced_name).map(|table| {
                ForeignKeyTarget { table, columns: row.referenced_columns, enforced_here: row.enforced_here }
            }),
            validated: row.validated,
            definition: row.definition,
        }
    }
}

impl From<ExtendedStatisticsRow> for ExtendedStatistics {
    fn from(row: ExtendedStatisticsRow) -> Self {
        Self {
            name: QualifiedName::new(row.schema, row.name),
            table: QualifiedName::new(row.table_schema, row.table_name),
            definition: row.definition,
            columns: row.columns,
            target: row.target,
            kinds: row.kinds.iter().map(|kind| character(kind)).collect(),
            expressions: Vec::new(),
            data: Vec::new(),
        }
    }
}
