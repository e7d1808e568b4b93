//! A database of thousands of tables, as software for many customers has it: modules of ten tables each, with the
//! columns, keys and sizes that such tables have. Everything is computed from numbers, so it is always the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use model::snapshot::{
    Column, ColumnStatistics, Constraint, ConstraintKind, FORMAT_VERSION, ForeignKeyTarget, Index, Relation,
    RelationActivity, RelationKind, Server, Setting, StatementsInfo,
};
use model::{Bytes, IndexDefinition, IndexKey, QualifiedName, Snapshot};

/// The tables of a module: what they are called, rows for each account of the module, and columns.
pub const TABLES: [(&str, f64, &[&str]); 10] = [
    (
        "account",
        1.0,
        &["id", "email", "tenant_id", "status5", "country60", "created_at", "balance", "deleted_at"],
    ),
    (
        "orders",
        8.0,
        &["id", "account_id", "tenant_id", "status5", "placed_at", "total", "shipped_at", "note"],
    ),
    ("line", 24.0, &["id", "orders_id", "product_id", "quantity9", "price"]),
    ("product", 0.5, &["id", "sku", "title", "category300", "price", "active"]),
    ("event", 60.0, &["id", "account_id", "kind20", "at", "session", "payload"]),
    ("document", 2.0, &["id", "account_id", "title", "body", "changed_at", "state4", "folder900"]),
    ("job", 3.0, &["id", "queue12", "state4", "run_at", "priority9", "attempts4"]),
    ("log", 40.0, &["id", "at", "level5", "source200", "message"]),
    ("member", 4.0, &["id", "account_id", "group5000", "role6", "created_at"]),
    ("setting", 0.01, &["id", "name", "value"]),
];

/// A number that looks random.
pub fn scatter(n: u64) -> u64 {
    // splitmix64 (Steele, Lea and Flood 2014).
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// From 0 to 1.
pub fn share(n: u64) -> f64 {
    (scatter(n) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The name of a table of a module.
pub fn table_name(module: usize, table: &str) -> String {
    format!("m{module:04}_{table}")
}

fn taken_at() -> DateTime<Utc> {
    Utc.timestamp_opt(1_767_268_800, 0).single().unwrap_or_default()
}

/// The schema with so many tables, without statements.
pub fn generate(tables: usize) -> Snapshot {
    let taken_at = taken_at();
    let mut snapshot = Snapshot {
        format_version: FORMAT_VERSION,
        taken_at,
        server: Server {
            version_num: 150_000,
            version: "15.0".into(),
            database: "scale".into(),
            user: "owner".into(),
            in_recovery: false,
            started_at: Some(taken_at - TimeDelta::hours(24)),
            stats_reset: Some(taken_at - TimeDelta::hours(24)),
            encoding: "UTF8".into(),
            collate: "C.UTF-8".into(),
            ctype: "C.UTF-8".into(),
            database_bytes: Bytes(0),
        },
        settings: settings(),
        extensions: Vec::new(),
        available_extensions: Vec::new(),
        schema_sql: String::new(),
        schema: model::schema::SchemaFacts::default(),
        relations: Vec::new(),
        indexes: Vec::new(),
        constraints: Vec::new(),
        extended_statistics: Vec::new(),
        statements: Vec::new(),
        statements_info: Some(StatementsInfo {
            version: "1.10".into(),
            dealloc: 0,
            stats_reset: Some(taken_at - TimeDelta::hours(24)),
            max: 5_000,
            track: "top".into(),
        }),
        notes: Vec::new(),
    };
    let mut keys = String::new();
    for number in 0..tables {
        let (module, (table, per_account, columns)) = (number / TABLES.len(), TABLES[number % TABLES.len()]);
        // From a thousand accounts to a million.
        let accounts = 10.0_f64.powf(3.0 + 3.0 * share(module as u64));
        let rows = (accounts * per_account).max(10.0).round();
        add_table(&mut snapshot, &mut keys, module, table, rows, columns);
    }
    snapshot.schema_sql.push_str(&keys);
    snapshot.server.database_bytes = Bytes(snapshot.relations.iter().map(|r| r.table_bytes.0).sum());
    snapshot
}

fn settings() -> BTreeMap<String, Setting> {
    let of = |value: &str, unit: Option<&str>, vartype: &str| Setting {
        setting: value.into(),
        unit: unit.map(str::to_owned),
        vartype: vartype.into(),
        source: "configuration file".into(),
        context: "user".into(),
        category: "Query Tuning / Planner Cost Constants".into(),
    };
    BTreeMap::from([
        ("random_page_cost".to_owned(), of("1.1", None, "real")),
        ("effective_cache_size".to_owned(), of("1572864", Some("8kB"), "integer")),
        ("work_mem".to_owned(), of("16384", Some("kB"), "integer")),
    ])
}

fn add_table(
    snapshot: &mut Snapshot,
    keys: &mut String,
    module: usize,
    table: &str,
    rows: f64,
    specs: &[&str],
) {
    let text = table_name(module, table);
    let name = QualifiedName::new("public", text.clone());
    let columns: Vec<Column> =
        specs.iter().zip(1_i16..).map(|(spec, attnum)| column(spec, attnum, rows)).collect();
    let width: f64 = columns.iter().map(|c| f64::from(c.average_width())).sum::<f64>() + 32.0;
    let pages = (rows * width / 8000.0).ceil().max(1.0) as i64;
    let definitions: Vec<String> = columns
        .iter()
        .map(|c| {
            format!(
                "    {} {}{}",
                model::quote_identifier(&c.name),
                c.type_name,
                if c.not_null { " NOT NULL" } else { "" }
            )
        })
        .collect();
    let _ = writeln!(snapshot.schema_sql, "CREATE TABLE {name} (\n{}\n);", definitions.join(",\n"));
    let key_name = format!("{text}_pkey");
    let _ = writeln!(keys, "ALTER TABLE ONLY {name} ADD CONSTRAINT {key_name} PRIMARY KEY (id);");
    let key_pages = (rows * 20.0 / 8000.0).ceil().max(1.0) as i64 + 1;
    let mut definition = IndexDefinition::btree(name.clone(), key_name.clone(), vec![IndexKey::column("id")]);
    definition.unique = true;
    let oid = u32::try_from(20_000 + 10 * snapshot.relations.len()).unwrap_or(u32::MAX);
    snapshot.indexes.push(Index {
        oid: oid + 1,
        name: QualifiedName::new("public", key_name.clone()),
        indexdef: definition.create_sql(false),
        definition,
        primary: true,
        exclusion: false,
        valid: true,
        nulls_not_distinct: false,
        constraint: Some(key_name.clone()),
        replica_identity: false,
        clustered: false,
        deferrable: false,
        referenced: false,
        building: false,
        parent: None,
        relpages: key_pages,
        reltuples: rows,
        pages: key_pages,
        bytes: Bytes::from_pages(key_pages as u64),
        idx_scan: 1_000,
        idx_tup_read: 1_000,
        last_idx_scan: None,
        expression_statistics: BTreeMap::new(),
    });
    let constraint = |name: String, kind, columns: Vec<String>, references, definition: String| Constraint {
        name,
        table: QualifiedName::new("public", text.clone()),
        kind,
        columns,
        references,
        validated: true,
        definition,
    };
    let primary =
        constraint(key_name, ConstraintKind::PrimaryKey, vec!["id".into()], None, "PRIMARY KEY (id)".into());
    snapshot.constraints.push(primary);
    for (column, parent) in [("account_id", "account"), ("orders_id", "orders"), ("product_id", "product")] {
        let parent_name = QualifiedName::new("public", table_name(module, parent));
        if !columns.iter().any(|c| c.name == column) || snapshot.relation(&parent_name).is_none() {
            continue;
        }
        let definition = format!("FOREIGN KEY ({column}) REFERENCES {parent_name}(id)");
        let _ = writeln!(keys, "ALTER TABLE ONLY {name} ADD CONSTRAINT {text}_{column}_fkey {definition};");
        let references =
            ForeignKeyTarget { table: parent_name, columns: vec!["id".into()], enforced_here: true };
        snapshot.constraints.push(constraint(
            format!("{text}_{column}_fkey"),
            ConstraintKind::ForeignKey,
            vec![column.into()],
            Some(references),
            definition,
        ));
    }
    snapshot.relations.push(Relation {
        oid,
        name,
        kind: RelationKind::Table,
        reltuples: rows,
        relpages: pages,
        relallvisible: pages * 9 / 10,
        pages,
        table_bytes: Bytes::from_pages(pages as u64),
        toast_pages: 0,
        indexes_bytes: Bytes::from_pages(key_pages as u64),
        options: Vec::new(),
        unlogged: false,
        row_security: false,
        access_method: Some("heap".into()),
        tablespace: None,
        parent: None,
        partition_key: None,
        partition_bound: None,
        extension: None,
        columns,
        activity: Some(RelationActivity {
            n_live_tup: rows as i64,
            last_analyze: Some(snapshot.taken_at),
            ..RelationActivity::default()
        }),
    });
}

/// A column as its name says: `status5` is one of five words, `account_id` points to a row.
fn column(spec: &str, attnum: i16, rows: f64) -> Column {
    let digits = spec.trim_start_matches(|c: char| !c.is_ascii_digit());
    let values: f64 = digits.parse().unwrap_or(0.0);
    let name = spec.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let (type_name, base, category, length, width) = match name.as_str() {
        "id" => ("bigint", "int8", 'N', 8, 8),
        n if n.ends_with("_id") || values > 100.0 && n != "source" => ("bigint", "int8", 'N', 8, 8),
        "quantity" | "priority" | "attempts" => ("integer", "int4", 'N', 4, 4),
        "price" | "total" | "balance" => ("numeric(12,2)", "numeric", 'N', -1, 6),
        n if n == "at" || n.ends_with("_at") => ("timestamp with time zone", "timestamptz", 'D', 8, 8),
        "active" => ("boolean", "bool", 'B', 1, 1),
        "session" => ("uuid", "uuid", 'U', 16, 16),
        "payload" => ("jsonb", "jsonb", 'U', -1, 180),
        "body" | "message" => ("text", "text", 'S', -1, 220),
        "note" | "title" | "value" => ("text", "text", 'S', -1, 40),
        _ => ("text", "text", 'S', -1, 12),
    };
    let times = matches!(base, "timestamptz");
    let mut statistics = ColumnStatistics {
        avg_width: width,
        n_distinct: -1.0,
        correlation: Some(if name == "id" || times { 0.99 } else { 0.02 }),
        ..ColumnStatistics::default()
    };
    match name.as_str() {
        "deleted_at" => statistics.null_frac = 0.97,
        "shipped_at" => statistics.null_frac = 0.08,
        _ => {}
    }
    if values > 0.0 || name == "active" {
        common_values(&mut statistics, &name, base, if name == "active" { 2.0 } else { values });
    } else if name.ends_with("_id") {
        let distinct = match name.as_str() {
            "tenant_id" => 200.0_f64.min(rows / 10.0),
            "product_id" => rows / 48.0,
            "orders_id" => rows / 3.0,
            _ => rows / 20.0,
        };
        statistics.n_distinct = distinct.max(1.0).round() as f32;
        statistics.histogram_bounds = Some(numbers(distinct.max(2.0), 100));
    } else if base == "int8" || base == "numeric" {
        statistics.histogram_bounds = Some(numbers(rows.max(2.0), 100));
    } else if times {
        statistics.histogram_bounds = Some(moments());
    } else if base == "text" || base == "uuid" {
        let of = |n: u64| match base {
            "uuid" => format!("{:08x}-0000-4000-8000-000000000000", n * 42_949_672),
            _ => format!("{}-{n:04}", name),
        };
        let bounds: Vec<String> = (0..100).map(|n| format!("\"{}\"", of(n))).collect();
        statistics.histogram_bounds = Some(format!("{{{}}}", bounds.join(",")));
    }
    if base == "jsonb" {
        statistics.histogram_bounds = None;
    }
    Column {
        attnum,
        not_null: !matches!(name.as_str(), "deleted_at" | "shipped_at" | "note"),
        name,
        type_name: type_name.into(),
        base_type: QualifiedName::new("pg_catalog", base),
        type_category: category,
        type_length: length,
        type_align: if length == 4 {
            'i'
        } else if length == 1 || length == 16 {
            'c'
        } else {
            'd'
        },
        has_btree_opclass: true,
        generated: false,
        default: None,
        collation: None,
        statistics_target: None,
        options: Vec::new(),
        statistics: Some(statistics),
        inherited_statistics: None,
    }
}

/// A few values, each half as common as the one before it, as far as the statistics go.
fn common_values(statistics: &mut ColumnStatistics, name: &str, base: &str, values: f64) {
    let kept = (values as usize).min(100);
    let mut left = 1.0_f64;
    let (mut texts, mut frequencies) = (Vec::new(), Vec::new());
    for n in 0..kept {
        let frequency = if n + 1 == kept && values <= 100.0 {
            left
        } else if values <= 12.0 {
            0.5 * left
        } else {
            left / (values - n as f64) * 1.2
        };
        left = (left - frequency).max(0.0);
        texts.push(match base {
            "bool" => if n == 0 { "t" } else { "f" }.to_owned(),
            "int8" | "int4" => (n + 1).to_string(),
            _ => format!("{name}-{n}"),
        });
        frequencies.push(frequency.max(1e-6) as f32);
    }
    statistics.n_distinct = values as f32;
    statistics.most_common_vals = Some(format!("{{{}}}", texts.join(",")));
    statistics.most_common_freqs = Some(frequencies);
    if values > 100.0 {
        let bounds: Vec<String> = (0..50)
            .map(|n| 101 + n * ((values as usize - 101) / 50).max(1))
            .map(|n| if base == "int8" { n.to_string() } else { format!("{name}-{n}") })
            .collect();
        // Texts stand in the order of their bytes.
        let mut bounds = bounds;
        if base != "int8" {
            bounds.sort();
        }
        statistics.histogram_bounds = Some(format!("{{{}}}", bounds.join(",")));
    }
}

fn numbers(most: f64, steps: usize) -> String {
    let mut bounds: Vec<i64> = (0..=steps).map(|n| 1 + (most * n as f64 / steps as f64) as i64).collect();
    bounds.dedup();
    let texts: Vec<String> = bounds.iter().map(i64::to_string).collect();
    format!("{{{}}}", texts.join(","))
}

/// The last two years, evenly.
fn moments() -> String {
    let texts: Vec<String> = (0..=100)
        .map(|n| taken_at() - TimeDelta::hours((100 - n) * 175))
        .map(|at| format!("\"{}\"", at.format("%Y-%m-%d %H:%M:%S+00")))
        .collect();
    format!("{{{}}}", texts.join(","))
}
