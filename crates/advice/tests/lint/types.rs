//! Whether a change of type writes the table anew, or its index, is what the server does.

use model::Snapshot;

use crate::migrations::{found, judge, run};
use crate::snapshot;

/// `TimeZone`, the type before, the type after.
const CHANGES: &[(&str, &str, &str)] = &[
    ("UTC", "timestamptz", "timestamp"),
    ("GMT", "timestamp", "timestamptz"),
    ("UTC", "timestamptz(3)", "timestamp"),
    ("UTC", "timestamp(3)", "timestamptz(2)"),
    ("Europe/Berlin", "timestamptz", "timestamp"),
    ("Europe/London", "timestamp", "timestamptz"),
    ("UTC", "timestamptz", "timestamp with time zone"),
    ("UTC", "timestamp", "date"),
    ("UTC", "citext", "text"),
    ("UTC", "citext", "varchar"),
    ("UTC", "citext", "varchar(4)"),
    ("UTC", "text", "citext"),
    ("UTC", "varchar(9)", "citext"),
    ("UTC", "varchar(9)", "text"),
    ("UTC", "varbit(9)", "varbit(12)"),
    ("UTC", "int", "bigint"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_type_writes_what_lint_says() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        let has_citext = client.batch_execute("create extension citext").await.is_ok();
        let known = |name: &str| has_citext || name != "citext";
        let cases: Vec<_> =
            CHANGES.iter().enumerate().filter(|(_, (_, from, to))| known(from) && known(to)).collect();
        for (number, (_, from, _)) in &cases {
            let sql = format!("create table t{number} (c {from}); create index i{number} on t{number} (c)");
            run(&client, &sql, from).await;
        }
        let snapshot = snapshot(&database.url).await;
        for (number, (zone, from, to)) in cases {
            let sql = format!("set timezone = '{zone}'; alter table t{number} alter column c type {to}");
            let files = async || {
                let sql = format!(
                    "select pg_relation_filenode('t{number}')::int8, pg_relation_filenode('i{number}')::int8"
                );
                let row = client.query_one(&sql, &[]).await.unwrap();
                (row.get::<_, i64>(0), row.get::<_, i64>(1))
            };
            let before = files().await;
            run(&client, &sql, from).await;
            let after = files().await;
            let expected: &[&str] = match (before.0 == after.0, before.1 == after.1) {
                (true, true) => &[],
                (true, false) => &["builds public.i again"],
                (false, _) => &["writes the table anew"],
            };
            let (report, _) = judge(&snapshot, &sql);
            let told: Vec<String> = found(&report, "change-column-type")
                .iter()
                .map(|f| f.finding.summary.replace(&format!("public.i{number} "), "public.i "))
                .collect();
            let of = format!("{from} to {to} in {zone} on {}: {told:?}", server.binaries().major);
            assert_eq!(told.len(), expected.len(), "{of}");
            assert!(told.iter().zip(expected).all(|(t, e)| t.ends_with(e)), "{of}");
        }
    }
}

/// What is said of a change to `timestamp` where nobody sets `TimeZone`, and how severe it is.
fn unset(zone: Option<&str>) -> Vec<(model::Severity, String)> {
    let mut snapshot = Snapshot::nothing();
    if let Some(zone) = zone {
        let setting = serde_json::json!({ "setting": zone, "unit": null, "vartype": "string",
            "source": "configuration file", "context": "user", "category": "" });
        snapshot.settings.insert("TimeZone".into(), serde_json::from_value(setting).unwrap());
    }
    let sql = "alter table t add column c timestamptz; alter table t alter column c type timestamp";
    let (report, _) = judge(&snapshot, sql);
    let found = found(&report, "change-column-type");
    found
        .iter()
        .map(|f| (f.finding.severity, format!("{} {}", f.finding.summary, f.finding.detail)))
        .collect()
}

#[test]
fn the_zone_of_the_session_is_told_to_matter() {
    let [(severity, text)] = &unset(Some("Etc/UTC"))[..] else { panic!() };
    assert_eq!(*severity, model::Severity::Info);
    assert!(text.contains("unless TimeZone is UTC") && text.contains("TimeZone Etc/UTC"), "{text}");
    let [(severity, text)] = &unset(Some("Europe/Berlin"))[..] else { panic!() };
    assert_eq!(*severity, model::Severity::Warning);
    assert!(text.contains("The server gives sessions TimeZone Europe/Berlin"), "{text}");
    let [(_, text)] = &unset(None)[..] else { panic!() };
    assert!(text.contains("In a session with TimeZone UTC the table stays as it is"), "{text}");
}
