//! How close is the twin on whole databases, without and with indexes that are really built? The model
//! registry and the meters of the demo, the meters by month, and TPC-H.
//!
//! `cargo nextest run -p pgwright-twin --test fidelity databases --no-capture` prints each plan that differs,
//! and the table of the documentation.

use model::QualifiedName;
use model::change::{IndexDefinition, IndexKey, KeyTarget};
use model::cost_model::{CandidateId, Configuration, CostModel, Registered};
use twin::{Clock, Twin, TwinOptions};

use crate::comparison::{cost, error, explain, median, parts_of, rename, shape};
use crate::source::{Source, options, snapshot};

const REGISTRY: &str = concat!(
    include_str!("../../../pgwright/src/demo/registry_tables.sql"),
    include_str!("../../../pgwright/src/demo/registry_constraints.sql")
);
const METERS: &str = concat!(
    include_str!("../../../pgwright/src/demo/meters_tables.sql"),
    "ALTER TABLE public.m_customerinfo ADD CONSTRAINT m_customerinfo_pkey PRIMARY KEY (customer_id);
     ALTER TABLE public.m_meterinfo ADD CONSTRAINT m_meterinfo_pkey PRIMARY KEY (meter_id);
     ALTER TABLE public.m_meterinfo ADD CONSTRAINT m_meterinfo_customer_id_fkey
         FOREIGN KEY (customer_id) REFERENCES public.m_customerinfo (customer_id);
     ALTER TABLE public.t_dlpdata ADD CONSTRAINT t_dlpdata_meter_id_fkey
         FOREIGN KEY (meter_id) REFERENCES public.m_meterinfo (meter_id);"
);

/// A database, its statements, and indexes that somebody could want.
struct Database {
    schema: String,
    /// What fills it; nothing for TPC-H, which brings its own rows.
    data: &'static str,
    settings: &'static [(&'static str, &'static str)],
    statements: Vec<String>,
    indexes: Vec<IndexDefinition>,
}

/// How one statement compared under one set of indexes.
struct Compared {
    cost_error: f64,
    same_shape: bool,
}

/// Loads the database, and compares all statements without any new index, with each one alone and with all.
async fn compare(server: &'static cluster::Server, name: &str, database: &Database) -> Vec<Compared> {
    let major = server.binaries().major;
    let source = load(server, database).await;
    // The server plans at the time it is, a little after the snapshot.
    let options = TwinOptions { clock: Clock::Wall, ..options() };
    let mut twin = Twin::build(&source.snapshot, server.binaries(), options).await.unwrap();
    assert_eq!(twin.notes(), Vec::<String>::new());
    let ids: Vec<CandidateId> = twin
        .register(&database.indexes)
        .await
        .unwrap()
        .into_iter()
        .map(|answer| match answer {
            Registered::Ready { id, .. } => id,
            Registered::Refused { reason } => panic!("{reason}"),
        })
        .collect();
    let mut sets: Vec<Vec<usize>> = vec![vec![]];
    sets.extend((0..ids.len()).map(|n| vec![n]));
    sets.push((0..ids.len()).collect());
    let mut compared = Vec::new();
    for set in sets {
        let mut parts = Vec::new();
        for n in &set {
            let index = &database.indexes[*n];
            source.client.batch_execute(&index.create_sql(false)).await.unwrap();
            parts.push((parts_of(&source.client, index).await, index.name.clone()));
        }
        let configuration = set.iter().fold(Configuration::current(), |all, n| all.with(ids[*n]));
        for sql in &database.statements {
            let mut real = explain(&source.client, sql).await;
            for (parts, name) in &parts {
                rename(&mut real, parts, name);
            }
            let planned = twin.plan(sql, &configuration).await.unwrap();
            let (real_shape, twin_shape) = (shape(&real["Plan"]), shape(&planned.explain["Plan"]));
            let one = Compared {
                cost_error: error(cost(&real), planned.total_cost),
                same_shape: real_shape == twin_shape,
            };
            if !one.same_shape || one.cost_error > 0.02 {
                let with = match set.as_slice() {
                    [] => "none".to_owned(),
                    [n] => database.indexes[*n].name.clone(),
                    _ => "all".to_owned(),
                };
                let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
                println!(
                    "{name} {major}, {with}: cost {:.2}, twin {:.2} ({:+.2} %): {}\n  server: {real_shape}\n  twin:   {}",
                    cost(&real),
                    planned.total_cost,
                    100.0 * (planned.total_cost / cost(&real) - 1.0),
                    sql.chars().take(120).collect::<String>(),
                    if one.same_shape { "the same" } else { &twin_shape },
                );
            }
            compared.push(one);
        }
        for n in &set {
            let index = database.indexes[*n].qualified_name();
            source.client.batch_execute(&format!("DROP INDEX {index}")).await.unwrap();
        }
    }
    twin.stop().await.unwrap();
    compared
}

async fn load(server: &'static cluster::Server, database: &Database) -> Source {
    if !database.data.is_empty() {
        return crate::source::source(server, &database.schema, database.data, database.settings).await;
    }
    let made = testkit::database(server).await;
    let client = testkit::connect(&made.url).await;
    testkit::tpch::load(&client, 0.05).await;
    for (name, value) in database.settings {
        let value = model::quote_literal(value);
        let alter = format!("ALTER DATABASE {} SET {name} = {value}; SET {name} = {value}", made.name);
        client.batch_execute(&alter).await.unwrap();
    }
    let snapshot = snapshot(&made.url, server, &database.schema).await;
    Source { client, snapshot, server }
}

/// Half of the costs are less than 1 % off, and 95 % of the plans have the same nodes, tables and indexes.
async fn check(name: &str, database: &Database) {
    for server in testkit::servers() {
        let compared = compare(server, name, database).await;
        let same = compared.iter().filter(|c| c.same_shape).count();
        let mut errors: Vec<f64> = compared.iter().map(|c| c.cost_error).collect();
        errors.sort_by(f64::total_cmp);
        let median = median(errors.clone());
        println!(
            "| {name} | {} | {} | {same} | {:.3} % | {:.2} % | {:.1} % |",
            server.binaries().major,
            compared.len(),
            100.0 * median,
            100.0 * errors[errors.len() * 95 / 100],
            100.0 * errors.last().unwrap(),
        );
        assert!(median < 0.01, "{name}: {median}");
        assert!(same as f64 >= 0.95 * compared.len() as f64, "{name}: {same} of {}", compared.len());
    }
}

/// `column`, `column desc` or `(expression)`.
fn key(text: &str) -> IndexKey {
    match (text.strip_prefix('(').and_then(|t| t.strip_suffix(')')), text.strip_suffix(" desc")) {
        (Some(expression), _) => {
            IndexKey { target: KeyTarget::Expression(expression.into()), ..IndexKey::column("") }
        }
        (None, Some(column)) => IndexKey::column(column).descending(),
        (None, None) => match text.split_once(' ') {
            Some((column, opclass)) => IndexKey {
                opclass: Some(QualifiedName::new("pg_catalog", opclass)),
                ..IndexKey::column(column)
            },
            None => IndexKey::column(text),
        },
    }
}

/// An index: method, table, keys, included columns, predicate. Its name says what it is.
fn index(method: &str, table: &str, keys: &[&str], include: &[&str], predicate: &str) -> IndexDefinition {
    let name = format!("x_{table}_{method}_{}_{}_{}", keys.join("_"), include.join("_"), predicate.len());
    let name: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).take(60).collect();
    IndexDefinition {
        access_method: method.into(),
        include: include.iter().map(|c| (*c).to_owned()).collect(),
        predicate: (!predicate.is_empty()).then(|| predicate.to_owned()),
        ..IndexDefinition::btree(
            QualifiedName::new("public", table),
            name,
            keys.iter().map(|k| key(k)).collect(),
        )
    }
}

fn btree(table: &str, keys: &[&str]) -> IndexDefinition {
    index("btree", table, keys, &[], "")
}

fn covering(table: &str, keys: &[&str], include: &[&str]) -> IndexDefinition {
    index("btree", table, keys, include, "")
}

/// The statements of a workload file of the demo, with values in place of its parameters.
fn statements(file: &str, values: &[(&str, &str)]) -> Vec<String> {
    let texts = file.split("[[statement]]").skip(1).filter_map(|s| s.split("\"\"\"").nth(1));
    texts
        .map(|sql| values.iter().fold(sql.to_owned(), |sql, (name, value)| sql.replace(name, value)))
        .filter(|sql| !sql.split(':').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase())))
        .collect()
}

#[tokio::test]
async fn databases_registry() {
    let mut all = statements(
        include_str!("../../../pgwright/src/demo/registry.workload.toml"),
        &[
            (":experiment", "'exp-3'"),
            (":recent_run", "'00000000-0000-4000-8000-000000000000'"),
            (":outcome", "'succeeded'"),
            (":accuracy", "0.9"),
            (":loss", "0.2"),
            (":recall", "0.8"),
            (":f1", "0.85"),
        ],
    );
    assert_eq!(all.len(), 6);
    all.extend([
        "SELECT count(*) FROM training_runs WHERE status = 'failed' AND created_at > now() - interval '90 days'".to_owned(),
        "SELECT * FROM approvals WHERE version_id = md5('v7')::uuid AND status = 'approved' ORDER BY approved_at DESC".into(),
        "SELECT model_name, max(accuracy) FROM training_runs WHERE status = 'succeeded' GROUP BY model_name".into(),
        "SELECT run_id FROM training_runs WHERE hyperparameters @> '{\"batch_size\": 64, \"epochs\": 50}'".into(),
        "SELECT count(*) FROM model_versions WHERE metadata_ @> '{\"dataset\": \"d17\"}'".into(),
        "SELECT * FROM training_runs WHERE started_at BETWEEN now() - interval '20 days' AND now() - interval '19 days'".into(),
        "DELETE FROM model_versions WHERE version_id = md5('v8')::uuid".into(),
        "SELECT d.*, a.approved_by FROM deployments d JOIN approvals a USING (version_id) WHERE d.status = 'active'
             AND d.environment_id = 1 AND a.status = 'approved'".into(),
    ]);
    let indexes = vec![
        btree("model_versions", &["model_id"]),
        btree("training_runs", &["version_id"]),
        btree("deployments", &["version_id"]),
        btree("deployments", &["environment_id"]),
        btree("approvals", &["version_id"]),
        btree("deployments", &["deployed_at desc"]),
        btree("training_runs", &["created_at desc"]),
        index("brin", "training_runs", &["started_at"], &[], ""),
        btree("model_versions", &["registered_at desc"]),
        covering("training_runs", &["experiment_name", "created_at desc"], &["accuracy", "status"]),
        covering("training_runs", &["model_name", "status"], &["accuracy", "created_at"]),
        covering("deployments", &["environment_id", "status", "deployed_at desc"], &["version_id"]),
        index(
            "btree",
            "deployments",
            &["version_id", "deployed_at desc"],
            &[],
            "environment_id = 1 AND status = 'active'",
        ),
        index(
            "btree",
            "training_runs",
            &["model_name", "created_at desc"],
            &["accuracy", "run_id"],
            "status = 'succeeded'",
        ),
        index("btree", "approvals", &["version_id", "approved_at desc"], &[], "status = 'approved'"),
        index("gin", "training_runs", &["hyperparameters jsonb_path_ops"], &[], ""),
        index("gin", "training_runs", &["metrics jsonb_path_ops"], &[], ""),
        index("gin", "model_versions", &["metadata_ jsonb_path_ops"], &[], ""),
    ];
    let settings = &[("random_page_cost", "1.1"), ("work_mem", "16MB")];
    let database = Database {
        schema: REGISTRY.into(),
        data: include_str!("registry.sql"),
        settings,
        statements: all,
        indexes,
    };
    check("registry", &database).await;
}

fn meters(schema: String) -> Database {
    let mut all = statements(
        include_str!("../../../pgwright/src/demo/meters.workload.toml"),
        &[
            (":meter", "4242"),
            (":customer", "77"),
            (":msn", "'MSN100000321'"),
            ("NOW()", "timestamptz '2026-11-20 12:00Z'"),
        ],
    );
    assert_eq!(all.len(), 4);
    all.extend([
        "SELECT date_trunc('day', reading_timestamp), sum(kwh_reading) FROM t_dlpdata
             WHERE reading_timestamp >= '2026-10-20' AND reading_timestamp < '2026-11-03' GROUP BY 1 ORDER BY 1"
            .to_owned(),
        "SELECT max(reading_timestamp) FROM t_dlpdata".into(),
        "SELECT c.city, avg(d.kwh_reading) FROM t_dlpdata d JOIN m_meterinfo m USING (meter_id)
             JOIN m_customerinfo c USING (customer_id) WHERE m.meter_type = 'heat-pump' GROUP BY c.city".into(),
        "SELECT * FROM t_dlpdata WHERE kwh_reading > 12 ORDER BY reading_timestamp DESC LIMIT 100".into(),
        "UPDATE t_dlpdata SET kwh_reading = 0 WHERE meter_id = 12 AND reading_timestamp = '2026-11-01 06:00:48Z'".into(),
        "DELETE FROM t_dlpdata WHERE reading_timestamp < '2026-09-25'".into(),
        "SELECT m.msn FROM m_meterinfo m WHERE NOT EXISTS (SELECT FROM t_dlpdata d WHERE d.meter_id = m.meter_id
             AND d.reading_timestamp > '2026-11-19')".into(),
    ]);
    let indexes = vec![
        btree("m_meterinfo", &["customer_id"]),
        btree("t_dlpdata", &["meter_id"]),
        btree("t_dlpdata", &["reading_timestamp desc"]),
        covering("t_dlpdata", &["meter_id", "reading_timestamp desc"], &["kwh_reading"]),
        btree("m_meterinfo", &["msn"]),
        index("brin", "t_dlpdata", &["reading_timestamp"], &[], ""),
        index("btree", "t_dlpdata", &["reading_timestamp"], &[], "kwh_reading > 9"),
        index("hash", "t_dlpdata", &["meter_id"], &[], ""),
    ];
    let settings = &[("random_page_cost", "1.1"), ("effective_cache_size", "12GB")];
    Database { schema, data: include_str!("meters.sql"), settings, statements: all, indexes }
}

#[tokio::test]
async fn databases_meters() {
    let schema = format!(
        "{METERS} ALTER TABLE public.t_dlpdata ADD CONSTRAINT t_dlpdata_pkey PRIMARY KEY (reading_id);"
    );
    check("meters", &meters(schema)).await;
}

#[tokio::test]
async fn databases_meters_by_month() {
    let by_month = METERS.replace(
        "kwh_reading numeric(10, 4) NOT NULL\n);",
        "kwh_reading numeric(10, 4) NOT NULL\n) PARTITION BY RANGE (reading_timestamp);",
    );
    assert!(by_month.contains("PARTITION BY"));
    let bounds = ["2026-09-01", "2026-10-01", "2026-11-01", "2026-12-01"];
    let partitions: String = bounds
        .windows(2)
        .enumerate()
        .map(|(n, b)| {
            format!(
                "CREATE TABLE public.t_dlpdata_{n} PARTITION OF public.t_dlpdata FOR VALUES FROM ('{} 00:00Z') TO ('{} 00:00Z');",
                b[0], b[1]
            )
        })
        .collect();
    let schema = by_month.replacen(
        "ALTER TABLE public.m_customerinfo",
        &format!("{partitions} ALTER TABLE public.m_customerinfo"),
        1,
    );
    check("meters by month", &meters(schema)).await;
}

#[tokio::test]
async fn databases_tpch() {
    let l = "lineitem";
    let indexes = vec![
        btree(l, &["l_shipdate"]),
        btree(l, &["l_partkey", "l_suppkey"]),
        btree(l, &["l_suppkey"]),
        covering(l, &["l_shipdate", "l_discount"], &["l_quantity", "l_extendedprice"]),
        covering(l, &["l_partkey"], &["l_quantity", "l_extendedprice"]),
        covering(l, &["l_orderkey", "l_suppkey"], &["l_commitdate", "l_receiptdate"]),
        btree(l, &["l_receiptdate", "l_shipmode"]),
        index("brin", l, &["l_shipdate"], &[], ""),
        index("btree", l, &["l_orderkey"], &[], "l_commitdate < l_receiptdate"),
        btree("orders", &["o_custkey"]),
        btree("orders", &["o_orderdate"]),
        covering("orders", &["o_orderdate"], &["o_orderkey", "o_custkey"]),
        btree("partsupp", &["ps_suppkey"]),
        btree("supplier", &["s_nationkey"]),
        btree("customer", &["c_nationkey"]),
        btree("customer", &["c_mktsegment", "c_custkey"]),
        btree("customer", &["(\"substring\"((c_phone)::text, 1, 2))"]),
        btree("part", &["p_brand", "p_container"]),
        btree("part", &["p_size", "p_type"]),
        index("hash", "orders", &["o_custkey"], &[], ""),
    ];
    let database = Database {
        schema: format!("{}{}", testkit::tpch::SCHEMA, testkit::tpch::KEYS),
        data: "",
        // As the published comparisons of index advisors have them.
        settings: &[
            ("random_page_cost", "1.1"),
            ("work_mem", "64MB"),
            ("effective_cache_size", "12GB"),
            ("max_parallel_workers_per_gather", "0"),
            ("jit", "off"),
        ],
        statements: testkit::tpch::QUERIES.map(String::from).to_vec(),
        indexes,
    };
    check("TPC-H", &database).await;
}
