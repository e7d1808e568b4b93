//! Does every alert fire when it should and keep quiet when it should not, as Prometheus itself sees it, and is there a
//! metric of `pgwright serve` behind every name in an expression?

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod cases;

use std::collections::BTreeSet;
use std::process::Command;

use exporter::Exporter;
use monitoring::alerts::alerts;
use monitoring::dashboards::dashboards;
use monitoring::files::{Stack, files};
use monitoring::rules::rules;

use cases::{CASES, Case, SHORT, scraped};

fn test(case: &Case, step: &str, series: &[(&str, &str)], fires: bool) -> serde_json::Value {
    let Case { alert, minutes, .. } = case;
    let input: Vec<_> = series
        .iter()
        .map(|(series, values)| serde_json::json!({ "series": scraped(series), "values": values }))
        .collect();
    let samples = if fires { vec![serde_json::json!({ "labels": "{}", "value": 1 })] } else { Vec::new() };
    serde_json::json!({
        "name": format!("{alert} {}", if fires { "fires" } else { "keeps quiet" }),
        "interval": step,
        "input_series": input,
        "promql_expr_test": [{
            "expr": format!("count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}})"),
            "eval_time": format!("{minutes}m"),
            "exp_samples": samples,
        }],
    })
}

/// The same of two servers that one pgwright watches, of which the first is in trouble.
fn test_of_two(case: &Case, step: &str) -> serde_json::Value {
    let Case { alert, minutes, fires, quiet } = case;
    let of = |server: &str, series: &[(&str, &str)]| -> Vec<serde_json::Value> {
        let labelled = |series: &str| scraped(series).replacen('{', &format!("{{server=\"{server}\","), 1);
        series
            .iter()
            .map(|(series, values)| serde_json::json!({ "series": labelled(series), "values": values }))
            .collect()
    };
    let firing = |server: &str, samples: serde_json::Value| {
        serde_json::json!({
            "expr": format!("count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"{server}}})"),
            "eval_time": format!("{minutes}m"),
            "exp_samples": samples,
        })
    };
    let one = serde_json::json!([{ "labels": "{}", "value": 1 }]);
    let both = [of("shop", fires), of("billing", quiet)].concat();
    serde_json::json!({
        "name": format!("{alert} fires for one of two servers"),
        "interval": step,
        "input_series": both,
        "promql_expr_test": [firing("", one.clone()), firing(",server=\"shop\"", one)],
    })
}

fn promtool(arguments: &[&std::ffi::OsStr]) {
    let done = Command::new("promtool")
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("promtool: {e}; scripts/setup.sh test gets it"));
    let said = [done.stdout, done.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
    assert!(done.status.success(), "{said}");
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    let tried: Vec<&str> = CASES.iter().map(|c| c.alert).collect();
    let all: Vec<&str> = alerts().iter().map(|a| a.name).collect();
    assert_eq!(tried, all);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    std::fs::write(
        &file,
        rules(Some("https://example.com/alerts.html"), Some("https://pg.example.com/")).unwrap(),
    )
    .unwrap();
    promtool(&["check".as_ref(), "rules".as_ref(), "--lint-fatal".as_ref(), file.as_os_str()]);
    for (step, long) in [("1m", false), ("10m", true)] {
        let tests: Vec<_> = CASES
            .iter()
            .filter(|c| (c.minutes > SHORT) == long)
            .flat_map(|c| [test(c, step, c.fires, true), test(c, step, c.quiet, false), test_of_two(c, step)])
            .collect();
        let tests =
            serde_json::json!({ "rule_files": ["rules.yml"], "evaluation_interval": step, "tests": tests });
        let file = folder.path().join("tests.yml");
        std::fs::write(&file, serde_norway::to_string(&tests).unwrap()).unwrap();
        promtool(&["test".as_ref(), "rules".as_ref(), file.as_os_str()]);
    }
}

#[test]
fn links_and_words_of_an_alert_are_of_the_server_that_it_is_about() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), rules(None, Some("https://pg.example.com")).unwrap())
        .unwrap();
    let down = |server: &str, path: &str, name: &str| {
        let alert = alerts().iter().find(|a| a.name == "PostgresDown").unwrap();
        let mut labels = serde_json::json!({ "severity": alert.severity.as_str(), "datname": "d", "instance": "i", "job": "j" });
        if !server.is_empty() {
            labels["server"] = server.into();
        }
        let series = format!("pgwright_up{{server=\"{server}\",datname=\"d\",instance=\"i\",job=\"j\"}}");
        let mut annotations = serde_json::json!({
            "summary": format!("pgwright cannot connect to database d of {name}"),
            "description": alert.meaning,
            "action": alert.action,
            "finding_url": format!("https://pg.example.com{path}{}", alert.page().path),
            "runbook_url": format!("https://pg.example.com{path}/alerts#postgresdown"),
        });
        if let Some(finding) = alert.finding() {
            annotations["finding"] = finding.into();
        }
        serde_json::json!({
            "interval": "1m",
            "input_series": [{ "series": series, "values": "0x10" }],
            "alert_rule_test": [{
                "alertname": "PostgresDown",
                "eval_time": "5m",
                "exp_alerts": [{ "exp_labels": labels, "exp_annotations": annotations }],
            }],
        })
    };
    let tests = serde_json::json!({
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [down("shop", "/s/shop", "shop"), down("", "", "i")],
    });
    let file = folder.path().join("tests.yml");
    std::fs::write(&file, serde_norway::to_string(&tests).unwrap()).unwrap();
    promtool(&["test".as_ref(), "rules".as_ref(), file.as_os_str()]);
}

/// Names of metrics in an expression.
fn metrics(expression: &str) -> BTreeSet<String> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|w| w.starts_with("postgres_") || w.starts_with("pgwright_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_expression_names_metrics_that_are_there() {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (name, kind, _) in Exporter::metrics() {
        known.insert(name.to_owned());
        if kind.as_str() == "histogram" {
            known.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
        }
    }
    let panels = dashboards().iter().flat_map(|d| d.rows).flat_map(|(_, panels)| *panels);
    let drawn = panels.flat_map(|p| p.targets).map(|(expression, _)| *expression);
    for expression in alerts().iter().map(|a| a.expression).chain(drawn) {
        let named = metrics(expression);
        assert!(!named.is_empty(), "{expression}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{expression}: {unknown:?}");
    }
}

#[test]
fn prometheus_takes_the_whole_folder_and_the_page_tells_of_every_alert() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack {
        scraped: vec!["127.0.0.1:9187".into(), "db2:9187".into()],
        prometheus: "http://127.0.0.1:9090".into(),
        runbooks: None,
        external_url: None,
    };
    for (path, text) in files(&stack).unwrap() {
        let file = folder.path().join(&path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    promtool(&["check".as_ref(), "config".as_ref(), folder.path().join("prometheus.yml").as_os_str()]);
    let page = include_str!("../../../docs/reference/alerts.md");
    for alert in alerts() {
        assert!(
            page.contains(&format!("### {}\n", alert.name)),
            "{} is not in docs/reference/alerts.md",
            alert.name
        );
    }
}
