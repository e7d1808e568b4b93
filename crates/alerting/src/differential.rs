//! Do Prometheus and pgwright agree on what is pending and what fires, and on what is told of it? Both get the same series
//! at the same times; what pgwright found is what `promtool test rules` is told to expect.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::evaluation::Moment;
use crate::history::History;
use crate::judge::{Judge, Phase};
use crate::rules::{Rule, needs, rules};
use crate::settings::Settings;

#[path = "../../monitoring/tests/cases/mod.rs"]
mod cases;

use cases::{CASES, SHORT, scraped};

/// What the cases of single alerts do not have: counters that begin anew, series that end, several of a kind.
const SCENES: &[&[(&str, &str)]] = &[
    &[
        ("postgres_database_rollbacks_total{datname=\"d\"}", "0+600x20 0+900x20 5+100x30"),
        ("postgres_database_commits_total{datname=\"d\"}", "0+600x10 100+70x60"),
        ("postgres_database_blocks_hit_total{datname=\"d\"}", "50000+100000x30 0+90000x40"),
        ("postgres_database_blocks_read_total{datname=\"d\"}", "0+100000x35 7+100000x40"),
        ("postgres_database_temp_bytes_total{datname=\"d\"}", "1+5000000000x5 0+3100000000x70"),
    ],
    &[
        ("postgres_connections{datname=\"a\",state=\"idle\"}", "20x70"),
        ("postgres_connections{datname=\"a\",state=\"active\"}", "10+1x30 40x30"),
        ("postgres_connections{datname=\"b\",state=\"active\"}", "18x20 stale"),
        ("postgres_server_connections_allowed{version=\"15\"}", "100x70"),
        ("postgres_server_connections_reserved{version=\"15\"}", "3x70"),
        ("pgwright_up{datname=\"a\"}", "1x70"),
        ("pgwright_collector_up{collector=\"jobs\",datname=\"a\"}", "1x10 0x60"),
        ("pgwright_collector_up{collector=\"wal\",datname=\"a\"}", "0x22 1x5 0x60"),
    ],
    &[
        ("postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"1\",le=\"0.5\"}", "0+50x60"),
        ("postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"1\",le=\"1\"}", "0+90x60"),
        ("postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"1\",le=\"2.5\"}", "0+99x60"),
        ("postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"1\",le=\"+Inf\"}", "0+100x60"),
        (
            "postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"2\",le=\"1\"}",
            "0+10x30 300+200x30",
        ),
        (
            "postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"2\",le=\"+Inf\"}",
            "0+10x30 300+200x30",
        ),
        (
            "postgres_wait_seconds_total{datname=\"d\",wait_event_type=\"Lock\",wait_event=\"tuple\"}",
            "0+200x25 5000x40",
        ),
        (
            "postgres_wait_seconds_total{datname=\"d\",wait_event_type=\"Lock\",wait_event=\"relation\"}",
            "0+150x60",
        ),
        (
            "postgres_wait_seconds_total{datname=\"d\",wait_event_type=\"IO\",wait_event=\"DataFileRead\"}",
            "0+900x60",
        ),
        ("postgres_replication_replay_lag_seconds{application_name=\"a\"}", "61x60"),
        ("postgres_replication_unreplayed_bytes{application_name=\"a\"}", "2000000000x60"),
        ("postgres_replication_unreplayed_bytes{application_name=\"b\"}", "2000000000x60"),
        ("postgres_table_dead_rows{datname=\"d\",schema=\"s\",table=\"a\\\"b.c\"}", "50000x60"),
        ("postgres_table_autovacuum_trigger_rows{datname=\"d\",schema=\"s\",table=\"a\\\"b.c\"}", "20000x60"),
    ],
];

/// The values of a series in the notation of `promtool`; nothing where it is stale.
fn values(notation: &str) -> Vec<Option<f64>> {
    let mut values = Vec::new();
    for part in notation.split_whitespace() {
        if part == "stale" {
            values.push(None);
            continue;
        }
        let (value, times) = part.split_once('x').unwrap_or((part, "0"));
        let (begin, step) = value.split_once('+').unwrap_or((value, "0"));
        let (begin, step): (f64, f64) = (begin.parse().unwrap(), step.parse().unwrap());
        values.extend((0..=times.parse::<u32>().unwrap()).map(|n| Some(begin + step * f64::from(n))));
    }
    values
}

/// Conditions are looked at a little less often than series are read: whether a window holds the sample at its very
/// beginning differs between versions of Prometheus, and so no window begins at one.
const LATE_MS: i64 = 100;

fn milliseconds(ms: i64) -> String {
    format!("{ms}ms")
}

/// Series of many servers: each case is a server of its own, and so all of them are tried at once.
struct Trial {
    /// How far apart readings are.
    step_ms: i64,
    /// The series with all their labels, and their values in the notation of `promtool`.
    series: Vec<(String, String)>,
    /// Which alert fires, or not, for which server at which minute.
    promised: Vec<(&'static str, String, u32, bool)>,
}

impl Trial {
    fn add(&mut self, server: &str, series: &[(&str, &str)]) {
        for (name, notation) in series {
            let name = scraped(name).replace("instance=\"i\"", &format!("instance=\"{server}\""));
            // What ends is gone at once, for both.
            self.series.push((name, format!("{notation} stale")));
        }
    }

    /// What pgwright finds at many times, as a test for `promtool`.
    fn run(&self, rules: &[Rule]) -> Value {
        let mut judge = Judge::new(rules.to_vec());
        let mut history = History::new(&needs(rules), Vec::new());
        let expanded: Vec<_> =
            self.series.iter().map(|(series, notation)| (series, values(notation))).collect();
        let (mut read_ms, every_ms) = (0, self.step_ms + LATE_MS);
        let look_at = |minute: u32| i64::from(minute) * 60_000 / every_ms * every_ms;
        let last = self.promised.iter().map(|p| p.2).max().unwrap_or(0);
        let mut watched: BTreeSet<i64> = (0..=last).step_by(last as usize / 12).map(look_at).collect();
        watched.extend(self.promised.iter().map(|p| look_at(p.2)));
        let (mut alert_tests, mut standing_tests, mut kept_promises) = (Vec::new(), Vec::new(), 0);
        for at_ms in (0..=look_at(last)).step_by(every_ms as usize) {
            while read_ms <= at_ms {
                history.begin(read_ms);
                for (series, values) in &expanded {
                    if let Some(Some(value)) = values.get((read_ms / self.step_ms) as usize) {
                        history.add(&format!("{series} {value}\n"));
                    }
                }
                read_ms += self.step_ms;
            }
            judge.judge(&history, Moment { reading_ms: at_ms, wall_seconds: at_ms as f64 / 1000.0 });
            assert!(judge.failures.iter().all(Option::is_none), "{:?}", judge.failures);
            for (alert, server, minute, fires) in &self.promised {
                if look_at(*minute) == at_ms {
                    assert_eq!(is_firing(&judge, alert, server), *fires, "{alert} of {server}");
                    kept_promises += 1;
                }
            }
            if watched.contains(&at_ms) {
                alert_tests.extend(firing(&judge, at_ms));
                standing_tests.push(standing(&judge, at_ms));
            }
        }
        assert_eq!(kept_promises, self.promised.len());
        let input: Vec<_> = self.series.iter().map(|(s, v)| json!({ "series": s, "values": v })).collect();
        json!({
            "rule_files": ["rules.yml"],
            "evaluation_interval": milliseconds(every_ms),
            "tests": [{
                "interval": milliseconds(self.step_ms),
                "input_series": input,
                "alert_rule_test": alert_tests,
                "promql_expr_test": standing_tests,
            }],
        })
    }
}

fn is_firing(judge: &Judge, alert: &str, server: &str) -> bool {
    judge.rules.iter().zip(&judge.active).filter(|(rule, _)| rule.definition.name == alert).any(
        |(_, active)| {
            active.iter().any(|(labels, a)| a.phase == Phase::Firing && labels.get("instance") == server)
        },
    )
}

/// What fires, by alert, with what is told of it.
fn firing(judge: &Judge, at_ms: i64) -> Vec<Value> {
    let tests = judge.rules.iter().zip(&judge.active).map(|(rule, active)| {
        let definition = &rule.definition;
        let firing = active.iter().filter(|(_, a)| a.phase == Phase::Firing);
        let expected: Vec<Value> = firing
            .map(|(labels, a)| {
                let mut annotations = json!({
                    "summary": rule.summary.render(labels, a.value),
                    "description": definition.meaning,
                    "action": definition.action,
                });
                if let Some(finding) = rule.finding(labels) {
                    annotations["finding"] = finding.into();
                }
                json!({
                    "exp_labels": labels.with([("severity", definition.severity.as_str())]),
                    "exp_annotations": annotations,
                })
            })
            .collect();
        json!({ "eval_time": milliseconds(at_ms), "alertname": definition.name, "exp_alerts": expected })
    });
    tests.collect()
}

/// Everything that is pending or firing.
fn standing(judge: &Judge, at_ms: i64) -> Value {
    let alerts = judge.rules.iter().zip(&judge.active).flat_map(|(rule, active)| {
        active.iter().filter(|(_, a)| a.phase != Phase::Resolved).map(|(labels, a)| {
            let labels = labels.with([
                ("alertname", rule.definition.name.as_str()),
                ("alertstate", a.phase.as_str()),
                ("severity", rule.definition.severity.as_str()),
            ]);
            json!({ "labels": format!("ALERTS{labels}"), "value": 1 })
        })
    });
    json!({ "expr": "ALERTS", "eval_time": milliseconds(at_ms), "exp_samples": alerts.collect::<Vec<_>>() })
}

#[test]
fn prometheus_and_pgwright_agree_on_every_alert() {
    let rules = rules(&Settings::default(), exporter::gives).unwrap();
    assert_eq!(CASES.len(), rules.len());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), monitoring::rules::rules(None, None).unwrap()).unwrap();
    for (step_ms, long) in [(60_000, false), (600_000, true)] {
        let mut trial = Trial { step_ms, series: Vec::new(), promised: Vec::new() };
        for case in CASES.iter().filter(|c| (c.minutes > SHORT) == long) {
            for (series, fires) in [(case.fires, true), (case.quiet, false)] {
                let server = format!("{} {fires}", case.alert);
                trial.add(&server, series);
                trial.promised.push((case.alert, server, case.minutes, fires));
            }
        }
        for (number, series) in SCENES.iter().enumerate().filter(|_| !long) {
            trial.add(&format!("scene {number}"), series);
        }
        let file = folder.path().join("tests.yml");
        std::fs::write(&file, serde_norway::to_string(&trial.run(&rules)).unwrap()).unwrap();
        let done = Command::new("promtool")
            .args(["test".as_ref(), "rules".as_ref(), file.as_os_str()])
            .output()
            .unwrap_or_else(|e| panic!("promtool: {e}; scripts/setup.sh test gets it"));
        let said = [done.stdout, done.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
        assert!(done.status.success(), "{said}");
    }
}
