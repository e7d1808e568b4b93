//! Does `serve --compat` tell what the real `postgres_exporter` tells, and does nothing of it without?

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::User;
use crate::serve::{Metrics, Serving, complete, get};
use crate::world::World;

/// A name of `postgres_exporter`, its labels, and what pgwright calls the same with the factor between them.
type Compatible = (&'static str, &'static [&'static str], Option<(&'static str, f64)>);

const COMPATIBLE: &[Compatible] = &[
    ("pg_up", &[], None),
    ("pg_static", &["short_version", "version"], None),
    ("pg_exporter_last_scrape_error", &[], None),
    ("pg_scrape_collector_success", &["collector"], None),
    ("pg_postmaster_start_time_seconds", &[], Some(("postgres_server_start_timestamp_seconds", 1.0))),
    ("pg_database_size_bytes", &["datname"], Some(("postgres_database_size_bytes", 1.0))),
    ("pg_locks_count", &["datname", "mode"], None),
    ("pg_replication_lag_seconds", &[], None),
    ("pg_replication_is_replica", &[], Some(("postgres_server_in_recovery", 1.0))),
    (
        "pg_stat_activity_count",
        &["application_name", "backend_type", "datname", "state", "usename", "wait_event", "wait_event_type"],
        None,
    ),
    ("pg_stat_activity_max_tx_duration", &["datname", "state"], None),
    ("pg_stat_database_xact_commit", &["datid", "datname"], None),
    ("pg_stat_database_blks_hit", &["datid", "datname"], None),
    ("pg_stat_database_numbackends", &["datid", "datname"], None),
    ("pg_stat_bgwriter_checkpoints_timed_total", &[], Some(("postgres_checkpoints_timed_total", 1.0))),
    (
        "pg_stat_bgwriter_checkpoint_write_time_total",
        &[],
        Some(("postgres_checkpoint_write_seconds_total", 1000.0)),
    ),
    ("pg_stat_bgwriter_buffers_alloc_total", &[], Some(("postgres_buffers_allocated_total", 1.0))),
    ("pg_settings_max_connections", &[], Some(("postgres_server_connections_allowed", 1.0))),
    ("pg_settings_work_mem_bytes", &[], None),
    ("pg_settings_statement_timeout_seconds", &[], None),
    (
        "pg_stat_user_tables_n_live_tup",
        &["datname", "relname", "schemaname"],
        Some(("postgres_table_live_rows", 1.0)),
    ),
    (
        "pg_stat_user_tables_seq_scan",
        &["datname", "relname", "schemaname"],
        Some(("postgres_table_sequential_scans_total", 1.0)),
    ),
    (
        "pg_stat_user_tables_n_tup_ins",
        &["datname", "relname", "schemaname"],
        Some(("postgres_table_rows_inserted_total", 1.0)),
    ),
    (
        "pg_stat_user_indexes_idx_scan",
        &["datname", "indexrelname", "relname", "schemaname"],
        Some(("postgres_index_scans_total", 1.0)),
    ),
    (
        "pg_stat_statements_calls_total",
        &["datname", "queryid"],
        Some(("postgres_statement_calls_total", 1.0)),
    ),
    (
        "pg_stat_statements_seconds_total",
        &["datname", "queryid"],
        Some(("postgres_statement_execution_seconds_total", 1.0)),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn names_of_postgres_exporter_are_told_with_its_labels_and_the_same_values() {
    let world = World::new().await;
    let user = User::new();
    world.load("create table \"a\"\"b.c\" (id int primary key); insert into \"a\"\"b.c\" select generate_series(1, 10)").await;
    let serving = Serving::start(&user, &world.url, &["--compat", "--interval", "statements=500ms"]);
    let told = |m: &Metrics, name: &str| !m.of(name).is_empty();
    let metrics = serving.wait_for("complete", |m| {
        complete(m) && COMPATIBLE.iter().all(|(name, _, _)| told(m, name)) && told(m, "pg_static")
    });
    for (name, labels, same) in COMPATIBLE {
        let series = metrics.of(name);
        // A label that is empty is the same as none.
        let fits = series.keys().any(|block| labels.iter().all(|l| block.contains(&format!("{l}=\""))));
        assert!(fits, "{name}: {series:?}");
        if let Some((own, factor)) = same {
            let sum = |name: &str| metrics.of(name).values().sum::<f64>();
            assert!((sum(name) - sum(own) * factor).abs() < 1e-3, "{name}: {} {}", sum(name), sum(own));
        }
    }
    let table = "schemaname=\"public\",relname=\"a\\\"b.c\"";
    assert!(metrics.value("pg_stat_user_tables_n_live_tup", table).is_some(), "{}", metrics.0);
    assert_eq!(metrics.value("pg_up", ""), Some(1.0));
    let datname = format!("datname=\"{}\"", world.name);
    let own = metrics.value("postgres_database_backends", &datname).unwrap();
    assert!((metrics.value("pg_stat_database_numbackends", &datname).unwrap() - own).abs() <= 2.0);
    serving.stop();
    // Without it nothing of that is told.
    let serving = Serving::start(&user, &world.url, &[]);
    let metrics = serving.wait_for("complete", complete);
    assert!(!metrics.0.contains("pg_stat_database_"), "{}", metrics.0);
    serving.stop();
}

/// A `postgres_exporter` of this test alone.
struct Theirs {
    process: Child,
    address: String,
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Theirs {
    fn start(url: &str) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        // It does not read the path of a socket out of a URI.
        let config: tokio_postgres::Config = url.parse().unwrap();
        let host = match &config.get_hosts()[0] {
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
        };
        let (port, database) = (config.get_ports()[0], config.get_dbname().unwrap());
        let process = Command::new("prometheus-postgres-exporter")
            .arg(format!("--web.listen-address={address}"))
            .env(
                "DATA_SOURCE_NAME",
                format!("host={host} port={port} user=postgres dbname={database} sslmode=disable"),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("prometheus-postgres-exporter: {e}; scripts/setup.sh test gets it"));
        Self { process, address }
    }

    fn metrics(&self) -> Metrics {
        let began = Instant::now();
        loop {
            if let Ok(answer) = get(&self.address, "/metrics", &[])
                && answer.body.contains("\npg_up")
            {
                return Metrics(answer.body);
            }
            assert!(began.elapsed() < Duration::from_secs(30), "postgres_exporter does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Samples by their name and labels, in the order of the labels; empty labels, and the one that only 0.11 has, are none.
fn series(metrics: &Metrics) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for line in metrics.0.lines().filter(|line| line.starts_with("pg_")) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, block) = series.split_once('{').unwrap_or((series, "}"));
        let block = block.strip_suffix('}').unwrap();
        let mut labels: Vec<&str> = block
            .split_inclusive("\",")
            .map(|pair| pair.strip_suffix(',').unwrap_or(pair))
            .filter(|pair| !pair.is_empty() && !pair.ends_with("=\"\"") && !pair.starts_with("server="))
            .collect();
        labels.sort_unstable();
        let value: f64 = value.parse().unwrap();
        if !value.is_nan() {
            found.insert(format!("{name}{{{}}}", labels.join(",")), value);
        }
    }
    found
}

/// The types of metrics that are said.
fn types(metrics: &Metrics) -> BTreeMap<&str, &str> {
    let lines = metrics.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    lines.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_series_of_the_real_postgres_exporter_is_there_with_its_type_and_value() {
    let world = World::new().await;
    let user = User::new();
    world.load("create table t (id int primary key); insert into t select generate_series(1, 1000)").await;
    let slot = format!("slot_{}", world.name);
    world.sql(&format!("select pg_create_physical_replication_slot('{slot}', true)")).await;
    let serving = Serving::start(&user, &world.url, &["--compat"]);
    let theirs = Theirs::start(&world.url);
    serving.wait_for("complete", |m| complete(m) && m.0.contains("\npg_roles_connection_limit"));
    let (theirs, ours) = (theirs.metrics(), serving.metrics());
    world.sql(&format!("select pg_drop_replication_slot('{slot}')")).await;
    serving.stop();
    let (their_types, our_types) = (types(&theirs), types(&ours));
    let (their_series, our_series) = (series(&theirs), series(&ours));
    assert!(their_series.len() > 300, "{}", their_series.len());
    let of_this = [format!("datname=\"{}\"", world.name), format!("slot_name=\"{slot}\"")];
    let mut compared = 0;
    for (series, value) in &their_series {
        let name = series.split('{').next().unwrap();
        // Collectors are called otherwise; sessions are told apart by more labels, as newer versions do.
        if name.starts_with("pg_scrape_collector_") || name.starts_with("pg_stat_activity_") {
            assert!(our_types.contains_key(name), "{name}");
            continue;
        }
        // Other tests make and drop databases and slots meanwhile.
        let of_others = (series.contains("datname=") || series.contains("slot_name="))
            && !series.contains("datname=\"postgres\"")
            && !of_this.iter().any(|label| series.contains(label));
        if of_others {
            continue;
        }
        let ours = our_series.get(series).unwrap_or_else(|| panic!("{series} is missing"));
        // What the old one cannot tell it calls untyped.
        let (their_type, our_type) = (their_types[name], our_types[name]);
        assert!(their_type == our_type || their_type == "untyped", "{name}: {their_type} {our_type}");
        // A few settings are those of its own session.
        let own =
            ["pg_settings_extra_float_digits", "pg_exporter_"].iter().any(|own| series.starts_with(own));
        let still = series.starts_with("pg_settings_")
            || name == "pg_static"
            || name == "pg_postmaster_start_time_seconds";
        let (difference, size) = ((value - ours).abs(), value.abs().max(ours.abs()));
        if still && !own {
            assert!(difference <= 1e-9 * size, "{series}: {value} {ours}");
            compared += 1;
        } else if of_this.iter().any(|label| series.contains(label)) && !name.ends_with("_time") {
            // Between the two readings both have read.
            assert!(difference <= 0.2 * size + 20.0, "{series}: {value} {ours}");
            compared += 1;
        }
    }
    assert!(compared > 200, "{compared}");
    let sum = |metrics: &Metrics, name: &str, state: &str| -> f64 {
        let all = metrics.of(name);
        all.iter().filter(|(l, _)| l.contains(&of_this[0]) && l.contains(state)).map(|(_, v)| v).sum()
    };
    for state in ["active", "idle", "idle in transaction", "disabled"] {
        let state = format!("state=\"{state}\"");
        let (a, b) =
            (sum(&theirs, "pg_stat_activity_count", &state), sum(&ours, "pg_stat_activity_count", &state));
        assert!((a - b).abs() <= 3.0, "{state}: {a} {b}");
    }
}
