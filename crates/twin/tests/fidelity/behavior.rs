//! Does the twin do what it is told, and nothing else?

use std::time::Duration;

use model::QualifiedName;
use model::change::{IndexDefinition, IndexKey};
use model::cost_model::{Configuration, CostModel, Registered};
use model::snapshot::Snapshot;
use twin::{Clock, Twin, TwinOptions};

use crate::comparison::{cost, error, explain, shape};
use crate::events::{events, expression};
use crate::source::build;

#[tokio::test]
async fn a_dropped_index_is_gone_and_comes_back() {
    let server = testkit::any_server();
    let source = events(server).await;
    let mut twin = build(&source).await;
    let sql = "SELECT * FROM events WHERE token = '7f1b5a3e-0000-4000-8000-000000000000'";
    let with = twin.plan(sql, &Configuration::current()).await.unwrap();
    let dropped = Configuration {
        dropped: vec![QualifiedName::new("public", "events_token")],
        ..Configuration::current()
    };
    let without = twin.plan(sql, &dropped).await.unwrap();
    assert!(without.total_cost > 10.0 * with.total_cost);
    assert_eq!(twin.plan(sql, &Configuration::current()).await.unwrap(), with);
    // A partitioned index takes its partitions' along.
    let sql = "SELECT * FROM readings WHERE at = '2026-02-20'";
    let with = twin.plan(sql, &Configuration::current()).await.unwrap();
    let dropped = Configuration {
        dropped: vec![QualifiedName::new("public", "readings_at")],
        ..Configuration::current()
    };
    assert!(twin.plan(sql, &dropped).await.unwrap().total_cost > 10.0 * with.total_cost);
    let unknown = Configuration { dropped: vec![QualifiedName::new("public", "nothing")], ..dropped };
    assert!(twin.plan(sql, &unknown).await.is_err());
}

#[tokio::test]
async fn bad_statements_and_bad_candidates_do_no_harm() {
    use model::cost_model::CostError;
    let server = testkit::any_server();
    let source = events(server).await;
    let mut twin = build(&source).await;
    let current = Configuration::current();
    let good = "SELECT * FROM events WHERE user_id = 42";
    let before = twin.plan(good, &current).await.unwrap();
    for (bad, state) in [
        ("SELECT * FROM no_such_table", "42P01"),
        ("SELEC", "42601"),
        ("SELECT 1; DROP TABLE events", "42601"),
        ("SELECT * FROM events WHERE id = $1", "08P01"),
        ("VACUUM", "42601"),
    ] {
        match twin.plan(bad, &current).await {
            Err(CostError::Statement { sqlstate, message }) => {
                assert_eq!(sqlstate.as_deref(), Some(state), "{bad}: {message}");
            }
            other => panic!("{bad}: {other:?}"),
        }
    }
    let table = QualifiedName::new("public", "events");
    let index = |name: &str, key: IndexKey| IndexDefinition::btree(table.clone(), name, vec![key]);
    let definitions = [
        index("same_name", IndexKey::column("user_id")),
        index("refused", IndexKey::column("no_such_column")),
        index("volatile", expression("random()::text")),
        index("injected", expression("1); DROP TABLE events; --")),
        index("same_name", IndexKey::column("amount")),
        index("events_token", IndexKey::column("kind")),
        index("same_name", IndexKey::column("user_id")),
    ];
    let answers = twin.register(&definitions).await.unwrap();
    let ids: Vec<_> = answers
        .iter()
        .map(|a| match a {
            Registered::Ready { id, bytes } => {
                assert!(bytes.0 > 8192);
                Some(*id)
            }
            Registered::Refused { reason } => {
                assert!(!reason.is_empty());
                None
            }
        })
        .collect();
    assert!(ids[0].is_some() && ids[1].is_none() && ids[2].is_none() && ids[3].is_none());
    assert_eq!(ids[0], ids[6]);
    // Registering again makes nothing new, and candidates come in several rounds.
    assert_eq!(twin.register(&definitions[..1]).await.unwrap()[0], answers[0]);
    let more = [index("later", IndexKey::column("created_at"))];
    let Registered::Ready { id: later, .. } = twin.register(&more).await.unwrap()[0] else { panic!() };

    assert_eq!(twin.plan(good, &current).await.unwrap(), before);
    let by_user = twin.plan(good, &current.with(ids[0].unwrap())).await.unwrap();
    assert!(shape(&by_user.explain["Plan"]).contains("same_name"), "{}", by_user.explain);
    assert!(by_user.total_cost < before.total_cost / 2.0);
    let recent = "SELECT * FROM events ORDER BY created_at DESC LIMIT 5";
    let by_time = twin.plan(recent, &current.with(later)).await.unwrap();
    assert!(shape(&by_time.explain["Plan"]).contains("later"), "{}", by_time.explain);
}

#[tokio::test]
async fn time_on_the_twin_is_the_time_of_the_snapshot() {
    let server = testkit::any_server();
    let mut source = events(server).await;
    let sql = "SELECT * FROM recent";
    let real = cost(&explain(&source.client, sql).await);
    let mut twin = build(&source).await;
    assert!(error(real, twin.plan(sql, &Configuration::current()).await.unwrap().total_cost) < 0.01);
    let rows = |planned: &model::cost_model::Planned| planned.explain["Plan"]["Plan Rows"].as_f64().unwrap();
    let at_snapshot = rows(&twin.plan(sql, &Configuration::current()).await.unwrap());

    // Half of the events are younger than the time of the middle one.
    source.snapshot.taken_at -= Duration::from_secs(40_000 * 60);
    let mut earlier = build(&source).await;
    let then = rows(&earlier.plan(sql, &Configuration::current()).await.unwrap());
    assert!(then > 20.0 * at_snapshot, "{then} rows then, {at_snapshot} now");
    let options = TwinOptions { clock: Clock::Wall, ..TwinOptions::default() };
    let mut wall = Twin::build(&source.snapshot, server.binaries(), options).await.unwrap();
    let now = rows(&wall.plan(sql, &Configuration::current()).await.unwrap());
    assert!(error(at_snapshot, now) < 0.05, "{now} rows now, {at_snapshot} at the snapshot");
}

#[tokio::test]
async fn a_locale_of_another_machine_is_replaced_and_told() {
    let server = testkit::any_server();
    let mut source = events(server).await;
    source.snapshot.server.collate = "de_AT.UTF-8".into();
    source.snapshot.server.ctype = "de_AT.UTF-8".into();
    let mut twin = build(&source).await;
    assert!(twin.notes().iter().any(|n| n.contains("de_AT.UTF-8")), "{:?}", twin.notes());
    // Without the order of "C", an index cannot serve a prefix.
    let sql = "SELECT * FROM users WHERE email LIKE 'user123%'";
    let index =
        IndexDefinition::btree(QualifiedName::new("public", "users"), "x", vec![IndexKey::column("email")]);
    let Registered::Ready { id, .. } = twin.register(&[index]).await.unwrap()[0] else { panic!() };
    let planned = twin.plan(sql, &Configuration::current().with(id)).await.unwrap();
    assert_eq!(shape(&planned.explain["Plan"]), "Seq Scan users()");
}

#[test]
fn the_nearest_version_plans_and_another_one_warns() {
    let of = |major: u32| cluster::Binaries { dir: "/".into(), major, version: major.to_string() };
    let snapshot = |major: i32| {
        let text = format!(
            r#"{{"format_version": 1, "taken_at": "2026-01-01T00:00:00Z", "server": {{"version_num": {major}0001,
            "version": "{major}.1", "database": "d", "user": "u", "in_recovery": false, "started_at": null,
            "stats_reset": null, "encoding": "UTF8", "collate": "C", "ctype": "C", "database_bytes": 0}},
            "settings": {{}}, "extensions": [], "schema_sql": "", "relations": [], "indexes": [], "constraints": [],
            "extended_statistics": [], "statements": [], "statements_info": null, "notes": []}}"#
        );
        serde_json::from_str::<Snapshot>(&text).unwrap()
    };
    for (source, available, chosen, warns) in [
        (15, vec![18, 17, 15], 15, false),
        (16, vec![18, 17, 15], 17, true),
        (18, vec![15, 17], 17, true),
        (13, vec![18, 15], 15, true),
    ] {
        let available: Vec<_> = available.into_iter().map(of).collect();
        let (binaries, warning) = Twin::choose_binaries(&snapshot(source), &available).unwrap();
        assert_eq!((binaries.major, warning.is_some()), (chosen, warns), "{source}");
    }
    assert!(Twin::choose_binaries(&snapshot(15), &[]).is_err());
}
