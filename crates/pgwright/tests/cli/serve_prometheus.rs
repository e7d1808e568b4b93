//! Does the real Prometheus read what `serve` says, and do expressions over it give data?

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use monitoring::alerts::alerts;
use monitoring::dashboards::dashboards;
use serde_json::Value;

use crate::program::User;
use crate::serve::{Serving, get};
use crate::world::World;

/// A Prometheus of this test alone.
struct Prometheus {
    process: Child,
    address: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    fn start(user: &User, scraped: &str, more: &[&str]) -> Self {
        let configuration = format!(
            "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms }}\n\
             scrape_configs:\n  - job_name: pgwright\n    static_configs: [ {{ targets: [ '{scraped}' ] }} ]\n"
        );
        let file = user.write("prometheus.yml", configuration);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", user.file("prometheus").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("prometheus: {e}; scripts/setup.sh test gets it"));
        Self { process, address }
    }

    /// The answer to an expression.
    fn ask(&self, expression: &str) -> Value {
        let path = format!("/api/v1/query?query={}", url_encoded(expression));
        let answer = get(&self.address, &path, &[]);
        answer.ok().and_then(|a| serde_json::from_str(&a.body).ok()).unwrap_or_default()
    }

    /// The series of an expression, once there is one.
    fn query(&self, expression: &str) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let body = self.ask(expression);
            let series = body["data"]["result"].as_array().cloned().unwrap_or_default();
            if !series.is_empty() && series.iter().all(|s| s["value"][1] != "NaN") {
                return series;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{expression}: {body}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn url_encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_it_and_gives_percentiles() {
    let world = World::on(testkit::any_server()).await;
    let user = User::new();
    world.load("create table t (id int primary key); insert into t select generate_series(1, 1000)").await;
    let serving = Serving::start(
        &user,
        &world.url,
        &[
            "--interval",
            "statements=300ms",
            "--interval",
            "databases=300ms",
            "--interval",
            "tables=300ms",
            "--interval",
            "indexes=300ms",
        ],
    );
    let prometheus = Prometheus::start(&user, &serving.address, &[]);
    let client = testkit::connect(&world.url).await;
    let work = tokio::spawn(async move {
        loop {
            client.batch_execute("select pg_sleep(0.15)").await.unwrap();
            tokio::time::sleep(Duration::from_millis(120)).await;
        }
    });
    let value = |series: &[Value]| series[0]["value"][1].as_str().unwrap().parse::<f64>().unwrap();
    assert_eq!(value(&prometheus.query("up{job=\"pgwright\"}")), 1.0);
    // Every executed panel of the seed, over what is really there.
    let p99 =
        "max(histogram_quantile(0.99, sum by (le) (rate(postgres_statement_latency_seconds_bucket[5s]))))";
    let p99 = value(&prometheus.query(p99));
    assert!((0.1..=0.25).contains(&p99), "{p99}");
    for expression in [
        "postgres_database_size_bytes",
        "postgres_statements_slow",
        "sum by (state) (postgres_connections)",
        "sum(rate(postgres_database_deadlocks_total[5s]))",
        "sum(rate(postgres_database_blocks_hit_total[5s])) / sum(rate(postgres_database_blocks_hit_total[5s]) + rate(postgres_database_blocks_read_total[5s]))",
        "topk(5, rate(postgres_statement_execution_seconds_total[5s])) * on (datname, queryid) group_left (query) postgres_statement_info",
        "sum by (wait_event) (rate(postgres_wait_seconds_total[5s]))",
        "pgwright_collector_up == 1",
        "rate(postgres_table_sequential_rows_read_total[5s])",
        "postgres_index_scans_total == 0",
    ] {
        assert!(!prometheus.query(expression).is_empty());
    }
    // Every panel is computed without a complaint, and those that such a server has something for give data.
    let mut empty = Vec::new();
    for board in dashboards() {
        for panel in board.rows.iter().flat_map(|(_, panels)| *panels) {
            for (expression, _) in panel.targets {
                let expression = expression.replace("$instance", ".+").replace("$__rate_interval", "5s");
                let answer = prometheus.ask(&expression);
                assert_eq!(answer["status"], "success", "{expression}: {answer}");
                let given = answer["data"]["result"].as_array().is_some_and(|r| !r.is_empty());
                if !given {
                    empty.push(panel.title);
                }
            }
        }
    }
    // No table was updated.
    assert!(empty.iter().all(|t| *t == "HOT updates"), "{empty:?}");
    for alert in alerts() {
        let answer = prometheus.ask(alert.expression);
        assert_eq!(answer["status"], "success", "{}: {answer}", alert.expression);
    }
    work.abort();
    // And its own judge finds no fault in names, types and help texts.
    let text = serving.metrics().0;
    let file = user.write("metrics", text);
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(file).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && said.is_empty(), "{said}");
    drop(prometheus);
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_native_histograms_of_statements_and_users() {
    let world = World::on(testkit::any_server()).await;
    let user = User::new();
    let serving = Serving::start(&user, &world.url, &["--interval", "statements=300ms"]);
    let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let answer = get(&serving.address, "/metrics", &[("Accept", accept)]).unwrap();
    assert!(answer.head.contains("content-type: application/vnd.google.protobuf;"), "{}", answer.head);
    let prometheus = Prometheus::start(&user, &serving.address, &["--enable-feature=native-histograms"]);
    // What was called before the first reading is in no series.
    serving.wait_for("watching", |m| {
        m.value("pgwright_collector_runs_total", "\"statements\"") >= Some(2.0)
            && m.sum("pgwright_sampling_looks_total") >= 2.0
    });
    let client = testkit::connect(&world.url).await;
    for _ in 0..12 {
        client.batch_execute("select pg_sleep(0.15)").await.unwrap();
        tokio::time::sleep(Duration::from_millis(110)).await;
    }
    let value = |series: &[Value]| series[0]["value"][1].as_str().unwrap().parse::<f64>().unwrap();
    let here = format!("{{datname=\"{}\"}}", world.name);
    let quantile = |family: &str| format!("histogram_quantile(0.99, sum({family}{here}))");
    let counted = |family: &str| format!("sum(histogram_count({family}{here})) > 11");
    for family in ["postgres_statement_latency_seconds", "postgres_user_latency_seconds"] {
        prometheus.query(&counted(family));
        let p99 = value(&prometheus.query(&quantile(family)));
        assert!((0.148..=0.25).contains(&p99), "{family}: {p99}");
    }
    // What Prometheus has of the fine buckets is what pgwright tells of the classic ones, and nobody else was there.
    let of_text: f64 = serving
        .metrics()
        .0
        .lines()
        .filter(|line| {
            line.starts_with("postgres_statement_latency_seconds_count{") && line.contains(&world.name)
        })
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum();
    let wanted = format!("sum(histogram_count(postgres_statement_latency_seconds{here})) >= {of_text}");
    assert_eq!(value(&prometheus.query(&wanted)), of_text);
    // Of a series that is native, Prometheus takes no classic buckets.
    let classic = prometheus.ask("postgres_statement_latency_seconds_bucket");
    assert_eq!(classic["data"]["result"], Value::Array(Vec::new()), "{classic}");
    drop(prometheus);
    serving.stop();
}
