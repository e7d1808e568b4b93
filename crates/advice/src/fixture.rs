//! Snapshots for tests, in a few words.

use std::collections::BTreeMap;

use chrono::{TimeZone as _, Utc};
use model::snapshot::{
    Column, ColumnStatistics, Extension, FORMAT_VERSION, Index, Relation, RelationActivity, RelationKind,
    Server, Statement,
};
use model::{Bytes, IndexDefinition, IndexKey, Millis, QualifiedName, Snapshot};

/// A database with one schema, `public`, taken on 2026-01-01 at noon, UTC.
pub fn snapshot() -> Snapshot {
    Snapshot {
        format_version: FORMAT_VERSION,
        taken_at: Utc.with_ymd_and_hms(2026, 1, 1, 12, 0, 0).unwrap(),
        server: Server {
            version_num: 150_000,
            version: "15.0".into(),
            database: "test".into(),
            user: "owner".into(),
            in_recovery: false,
            started_at: Some(Utc.with_ymd_and_hms(2026, 1, 1, 11, 0, 0).unwrap()),
            stats_reset: None,
            encoding: "UTF8".into(),
            collate: "C.UTF-8".into(),
            ctype: "C.UTF-8".into(),
            database_bytes: Bytes(1 << 30),
        },
        settings: BTreeMap::new(),
        extensions: Vec::new(),
        available_extensions: Vec::new(),
        schema_sql: String::new(),
        relations: Vec::new(),
        indexes: Vec::new(),
        constraints: Vec::new(),
        extended_statistics: Vec::new(),
        schema: model::schema::SchemaFacts::default(),
        statements: Vec::new(),
        statements_info: None,
        notes: Vec::new(),
    }
}

pub fn name(table: &str) -> QualifiedName {
    QualifiedName::new("public", table)
}

/// A table of `rows` rows; columns are given as `name type`, with statistics after it:
/// `null=0.9`, `distinct=20`, `mcv=a:0.5,b:0.3`, `hist=1,2,3`, `corr=0.99`, `width=8`.
pub fn table(table: &str, rows: f64, columns: &[&str]) -> Relation {
    let pages = (rows / 50.0).ceil() as i64;
    Relation {
        oid: 1,
        name: name(table),
        kind: RelationKind::Table,
        reltuples: rows,
        relpages: pages,
        relallvisible: pages,
        pages,
        table_bytes: Bytes::from_pages(pages as u64),
        toast_pages: 0,
        indexes_bytes: Bytes(0),
        options: Vec::new(),
        unlogged: false,
        row_security: false,
        access_method: None,
        tablespace: None,
        parent: None,
        partition_key: None,
        partition_bound: None,
        extension: None,
        columns: columns.iter().enumerate().map(|(i, c)| column(i, c)).collect(),
        activity: Some(RelationActivity::default()),
    }
}

fn column(number: usize, spec: &str) -> Column {
    let mut words = spec.split(' ');
    let name = words.next().unwrap().to_owned();
    let kind = words.next().unwrap();
    let (type_name, base, category, length) = match kind {
        "int" => ("integer", "int4", 'N', 4),
        "bool" => ("boolean", "bool", 'B', 1),
        "timestamptz" => ("timestamp with time zone", "timestamptz", 'D', 8),
        "text" => ("text", "text", 'S', -1),
        "uuid" => ("uuid", "uuid", 'U', 16),
        "jsonb" => ("jsonb", "jsonb", 'U', -1),
        "float" => ("double precision", "float8", 'N', 8),
        other => panic!("unknown type {other}"),
    };
    let mut statistics = ColumnStatistics {
        null_frac: 0.0,
        avg_width: 8,
        n_distinct: -1.0,
        most_common_vals: None,
        most_common_freqs: None,
        histogram_bounds: None,
        correlation: Some(0.0),
        most_common_elems: None,
        most_common_elem_freqs: None,
        elem_count_histogram: None,
        ranges: None,
    };
    for option in words {
        let (key, value) = option.split_once('=').unwrap();
        match key {
            "null" => statistics.null_frac = value.parse().unwrap(),
            "distinct" => statistics.n_distinct = value.parse().unwrap(),
            "corr" => statistics.correlation = Some(value.parse().unwrap()),
            "width" => statistics.avg_width = value.parse().unwrap(),
            "mcv" => {
                let pairs: Vec<_> = value.split(',').map(|p| p.rsplit_once(':').unwrap()).collect();
                statistics.most_common_vals =
                    Some(format!("{{{}}}", pairs.iter().map(|p| p.0).collect::<Vec<_>>().join(",")));
                statistics.most_common_freqs = Some(pairs.iter().map(|p| p.1.parse().unwrap()).collect());
                statistics.n_distinct = pairs.len() as f32;
            }
            "hist" => {
                let bounds: Vec<_> =
                    value.split(',').map(|b| format!("\"{}\"", b.replace('T', " "))).collect();
                statistics.histogram_bounds = Some(format!("{{{}}}", bounds.join(",")));
            }
            other => panic!("unknown option {other}"),
        }
    }
    Column {
        attnum: number as i16 + 1,
        name,
        type_name: type_name.into(),
        base_type: QualifiedName::new("pg_catalog", base),
        type_category: category,
        type_length: length,
        type_align: 'i',
        has_btree_opclass: true,
        not_null: false,
        generated: false,
        default: None,
        collation: None,
        statistics_target: None,
        options: Vec::new(),
        statistics: Some(statistics),
        inherited_statistics: None,
    }
}

/// A B-tree index; `columns` in order.
pub fn index(table: &str, index_name: &str, columns: &[&str], primary: bool) -> Index {
    let keys = columns.iter().map(|c| IndexKey::column(*c)).collect();
    let mut definition = IndexDefinition::btree(name(table), index_name, keys);
    definition.unique = primary;
    Index {
        oid: 2,
        name: name(index_name),
        indexdef: definition.create_sql(false),
        definition,
        primary,
        exclusion: false,
        valid: true,
        nulls_not_distinct: false,
        constraint: primary.then(|| index_name.to_owned()),
        replica_identity: false,
        clustered: false,
        deferrable: false,
        referenced: false,
        building: false,
        parent: None,
        relpages: 10,
        reltuples: 1000.0,
        pages: 10,
        bytes: Bytes::from_pages(10),
        idx_scan: 0,
        idx_tup_read: 0,
        last_idx_scan: None,
        expression_statistics: BTreeMap::new(),
    }
}

/// A statement with counters: calls, mean milliseconds, rows per call.
pub fn statement(queryid: i64, query: &str, calls: i64, mean_ms: f64, rows: i64) -> Statement {
    Statement {
        queryid,
        query: query.into(),
        toplevel: true,
        calls,
        mean_exec_time: Millis(mean_ms),
        total_exec_time: Millis(mean_ms * calls as f64),
        rows: rows * calls,
        ..Statement::default()
    }
}

/// The model registry in miniature.
pub fn registry() -> Snapshot {
    let mut snapshot = snapshot();
    snapshot.relations = vec![
        table(
            "deployments",
            200_000.0,
            &[
                "deployment_id uuid",
                "version_id uuid distinct=20000",
                "environment_id int mcv=3:0.6,2:0.25,1:0.15",
                "status text mcv=retired:0.7,active:0.2,failed:0.1",
                "deployed_at timestamptz hist=2024-01-01T00:00:00+00,2025-01-01T00:00:00+00,2026-01-01T00:00:00+00",
            ],
        ),
        table(
            "training_runs",
            1_000_000.0,
            &[
                "run_id uuid",
                "version_id uuid distinct=20000 null=0.98",
                "experiment_name text distinct=400",
                "accuracy float null=0.2",
                "created_at timestamptz hist=2024-01-01T00:00:00+00,2025-01-01T00:00:00+00,2026-01-01T00:00:00+00",
                "hyperparameters jsonb width=200",
            ],
        ),
    ];
    snapshot.indexes = vec![
        index("deployments", "deployments_pkey", &["deployment_id"], true),
        index("training_runs", "training_runs_pkey", &["run_id"], true),
    ];
    snapshot
}

/// With the trigram extension.
pub fn with_trigrams(mut snapshot: Snapshot) -> Snapshot {
    snapshot.extensions.push(Extension {
        name: "pg_trgm".into(),
        version: "1.6".into(),
        schema: "ext".into(),
    });
    snapshot
}
