//! Does the price follow what was measured: where entries go, how they come, what is not in the caches?

use std::collections::BTreeMap;

use model::snapshot::{Setting, Statement};
use model::{IndexDefinition, IndexKey, Snapshot};

use super::super::Options;
use super::{CandidatePrice, Pricing};
use crate::fixture::{index, name, snapshot, statement, table};
use crate::workload::Workload;

const INSERT_MANY: &str = "INSERT INTO runs (id) SELECT id FROM waiting";
const INSERT_ONE: &str = "INSERT INTO runs (id, at) VALUES ($1, $2)";

/// A million rows, of which a million more are inserted within the hour.
fn runs(statements: Vec<Statement>) -> Snapshot {
    let mut snapshot = snapshot();
    snapshot.relations = vec![
        table(
            "runs",
            1_000_000.0,
            &[
                "id uuid",
                "at timestamptz corr=1",
                "ended timestamptz null=0.99",
                "status text mcv=done:0.8,failed:0.14,other:0.06",
                "experiment text distinct=300",
                "note text width=400",
                "details jsonb width=96",
            ],
        ),
        table("waiting", 10.0, &["id uuid"]),
    ];
    snapshot.indexes = vec![index("runs", "runs_pkey", &["id"], true)];
    snapshot.statements = statements;
    snapshot
}

fn price(snapshot: &Snapshot, index: &IndexDefinition) -> CandidatePrice {
    let workload = Workload::from_snapshot(snapshot, &BTreeMap::new());
    Pricing::new(snapshot, &workload, &Options::default(), workload.total_ms).price(index, 40 << 20)
}

fn btree(columns: &[&str]) -> IndexDefinition {
    IndexDefinition::btree(name("runs"), "i", columns.iter().map(|c| IndexKey::column(*c)).collect())
}

/// Microseconds per row when a million rows are inserted by statements of fifty.
fn inserted(index: &IndexDefinition) -> f64 {
    price(&runs(vec![statement(1, INSERT_MANY, 20_000, 1.0, 50)]), index).write_ms / 1e3
}

#[track_caller]
fn check(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 0.25, "{found:.2} is not near {expected}");
}

#[test]
fn the_price_of_an_entry_is_that_of_where_it_goes() {
    // What `pgwright-benches upkeep` measured, in microseconds.
    check(inserted(&btree(&["at"])), 0.45);
    check(inserted(&btree(&["id"])), 2.9);
    check(inserted(&btree(&["status"])), 0.7);
    check(inserted(&btree(&["experiment"])), 1.7);
    check(inserted(&btree(&["experiment", "at"])), 2.2);
    check(inserted(&btree(&["at", "experiment"])), 0.75);
    let hash = IndexDefinition { access_method: "hash".into(), ..btree(&["id"]) };
    check(inserted(&hash), 2.1);
    let brin = IndexDefinition { access_method: "brin".into(), ..btree(&["at"]) };
    check(inserted(&brin), 0.2);
    // Of a row that is new, the end is not known yet: all go to one place.
    assert!(inserted(&btree(&["ended"])) < 0.8);
}

#[test]
fn included_columns_are_nearly_free() {
    let covering = IndexDefinition { include: vec!["note".into(), "status".into()], ..btree(&["id"]) };
    assert_eq!(inserted(&covering), inserted(&btree(&["id"])));
}

#[test]
fn gin_pays_for_each_key() {
    let gin = |opclass: Option<&str>| {
        let mut key = IndexKey::column("details");
        key.opclass = opclass.map(|name| model::QualifiedName::new("pg_catalog", name));
        IndexDefinition { access_method: "gin".into(), keys: vec![key], ..btree(&[]) }
    };
    let (paths, all) = (inserted(&gin(Some("jsonb_path_ops"))), inserted(&gin(None)));
    check(paths, 6.4);
    assert!(all > 1.5 * paths, "keys and values are entries of their own: {all}");
}

#[test]
fn a_partial_index_costs_a_look_where_it_holds_nothing() {
    let partial = IndexDefinition { predicate: Some("status = 'failed'".into()), ..btree(&["id"]) };
    // Of a hundred rows fourteen are held. Their pages are changed less often, so more of them are logged in full.
    let share = (inserted(&partial) - 0.25) / (inserted(&btree(&["id"])) - 0.1);
    assert!((0.14..0.2).contains(&share), "{share}");
}

#[test]
fn a_row_that_comes_alone_is_dearer() {
    let alone = price(&runs(vec![statement(1, INSERT_MANY, 1_000_000, 0.02, 1)]), &btree(&["id"]));
    check(alone.write_ms / 1e3 / inserted(&btree(&["id"])), 1.4);
}

#[test]
fn where_inserts_take_longer_than_expected_entries_do_too() {
    let at = |mean_ms: f64| {
        price(&runs(vec![statement(1, INSERT_ONE, 1_000_000, mean_ms, 1)]), &btree(&["id"])).write_ms
    };
    let expected_ms = 0.0079;
    check(at(10.0 * expected_ms) / at(expected_ms), 10.0);
    // Beyond that somebody waits for something that has nothing to do with indexes.
    assert_eq!(at(1.0), at(100.0));
    // A table that is only written by other statements is as slow as the rest.
    let mut others = runs(vec![statement(1, INSERT_ONE, 1_000_000, 10.0 * expected_ms, 1)]);
    others.statements.push(statement(2, "INSERT INTO waiting (id) SELECT id FROM runs", 1_000_000, 5.0, 1));
    let on_waiting = IndexDefinition { table: name("waiting"), ..btree(&["id"]) };
    let (slow, quick) = (price(&others, &on_waiting).write_ms, {
        others.statements.remove(0);
        price(&others, &on_waiting).write_ms
    });
    check(slow / quick, 10.0);
}

#[test]
fn an_update_that_is_not_hot_any_more_pays_for_every_index() {
    let update = "UPDATE runs SET status = $1 WHERE id = $2";
    let mut snapshot = runs(vec![statement(1, update, 1_000_000, 0.02, 1)]);
    let mut of = |upd: i64, hot: i64, version: i32, index: &IndexDefinition| {
        if let Some(activity) = &mut snapshot.relations[0].activity {
            (activity.n_tup_upd, activity.n_tup_hot_upd) = (upd, hot);
        }
        snapshot.server.version_num = version;
        let price = price(&snapshot, index);
        (price.write_ms / 1e3, price.hot_lost)
    };
    // All are HOT: an index on another column costs nothing, one on the assigned column also the entries in
    // the primary key.
    assert_eq!(of(100, 100, 150_000, &btree(&["at"])), (0.0, 0.0));
    let (us, lost) = of(100, 100, 150_000, &btree(&["status"]));
    assert_eq!(lost, 1e6);
    check(us, 0.1 + 1.5 * (0.6 + 3.0));
    // None is: every index pays for itself, whatever is assigned.
    let (us, lost) = of(100, 0, 150_000, &btree(&["status"]));
    assert_eq!(lost, 0.0);
    check(us, 0.1 + 1.5 * 0.6);
    assert!(of(100, 0, 150_000, &btree(&["at"])).0 > 0.5);
    // Since 16 BRIN leaves updates HOT.
    let brin = IndexDefinition { access_method: "brin".into(), ..btree(&["status"]) };
    assert_eq!((of(100, 100, 150_000, &brin).1, of(100, 100, 160_000, &brin).1), (1e6, 0.0));
}

#[test]
fn quick_writes_are_worth_the_more_the_larger_a_part_of_the_workload_they_are() {
    let beside = |reads: i64, index: &IndexDefinition| {
        let snapshot = runs(vec![
            statement(1, INSERT_ONE, 1_000_000, 0.02, 1),
            statement(2, "SELECT at FROM runs WHERE id = $1", reads, 0.02, 1),
        ]);
        let workload = Workload::from_snapshot(&snapshot, &BTreeMap::new());
        let of = |write_worth: f64| {
            let options = Options { write_worth, ..Options::default() };
            Pricing::new(&snapshot, &workload, &options, 1e6).price(index, 40 << 20)
        };
        assert_eq!(of(0.0).write_ms, of(1.0).write_ms);
        (of(1.0).space_ms - of(0.0).space_ms) / 1e6
    };
    // An entry at a random place is more than half of the work of a row that has one such entry already.
    let alone = beside(0, &btree(&["id"]));
    assert!((0.4..0.7).contains(&alone), "{alone}");
    check(beside(1_000_000, &btree(&["id"])), alone / 2.0);
    assert!(beside(1_000_000_000, &btree(&["id"])) < 0.001 * alone + 1e-6);
    // One at the right edge hardly matters.
    assert!(beside(0, &btree(&["at"])) < 0.3 * alone);
    // What is only read, or filled once, has no writes to keep quick.
    let still = IndexDefinition { table: name("waiting"), ..btree(&["id"]) };
    assert_eq!(beside(0, &still), 0.0);
}

#[test]
fn an_update_of_many_rows_is_one_of_the_writes_that_are_to_stay_quick() {
    let update = "UPDATE runs SET status = $1 WHERE experiment = $2";
    let read = "SELECT at FROM runs WHERE id = $1";
    // As many rows, by a statement each or by one for a thousand.
    let worth = |calls: i64, rows: i64| {
        let mut snapshot =
            runs(vec![statement(1, update, calls, 0.02, rows), statement(2, read, 100_000, 0.02, 1)]);
        if let Some(activity) = &mut snapshot.relations[0].activity {
            (activity.n_tup_upd, activity.n_tup_hot_upd) = (100, 0);
        }
        let workload = Workload::from_snapshot(&snapshot, &BTreeMap::new());
        let of = |write_worth: f64| {
            let options = Options { write_worth, ..Options::default() };
            Pricing::new(&snapshot, &workload, &options, 1e6).price(&btree(&["at"]), 40 << 20)
        };
        (of(1.0).space_ms - of(0.0).space_ms, of(1.0).write_ms)
    };
    let (alone, alone_ms) = worth(100_000, 1);
    let (together, together_ms) = worth(100, 1_000);
    check(together_ms, alone_ms);
    assert!(alone > 0.0 && together < 0.01 * alone, "{together} {alone}");
}

fn setting(value: &str) -> Setting {
    Setting {
        setting: value.into(),
        unit: None,
        vartype: "string".into(),
        source: "configuration file".into(),
        context: "sighup".into(),
        category: "Resource Usage".into(),
    }
}

#[test]
fn what_is_not_in_the_cache_and_what_is_logged_in_full_costs_more() {
    let with = |settings: &[(&str, &str)], index: &IndexDefinition| {
        let mut snapshot = runs(vec![statement(1, INSERT_MANY, 20_000, 1.0, 50)]);
        for (name, value) in settings {
            snapshot.settings.insert((*name).into(), setting(value));
        }
        price(&snapshot, index).write_ms / 1e3
    };
    let roomy = ("shared_buffers", "131072");
    let (random, growing) = (btree(&["id"]), btree(&["at"]));
    let calm = with(&[roomy, ("full_page_writes", "off")], &random);
    // 5,120 pages, of which 278 rows a second touch every one within five minutes, and then again: one row of
    // sixteen finds its page untouched.
    let usual = with(&[roomy, ("checkpoint_timeout", "300")], &random);
    let often = with(&[roomy, ("checkpoint_timeout", "1")], &random);
    assert!(calm < usual && usual < calm + 0.5 && often > calm + 3.0, "{calm} {usual} {often}");
    let crowded = with(&[("shared_buffers", "1024"), ("full_page_writes", "off")], &random);
    assert!(crowded > calm + 5.0, "{crowded}");
    assert_eq!(
        with(&[("shared_buffers", "16"), ("checkpoint_timeout", "1")], &growing),
        with(&[roomy, ("full_page_writes", "off")], &growing),
    );
}
