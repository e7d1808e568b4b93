//! Is what became worse found and explained, and what did not change left alone?

use super::*;

fn plan(text: &str) -> Plan {
    text.parse().unwrap_or_else(|e: plan::PlanError| panic!("{e}: {:?}", e.detail()))
}

fn measured(text: &str) -> Measurement {
    Measurement { text: "select 1".into(), plan: plan(text), times_ms: vec![1.0; 5] }
}

const BY_INDEX: &str = "Index Scan using t_a_idx on t  (cost=0.29..8.30 rows=10 width=4) (actual rows=10 loops=1)\n  Index Cond: (a = 1)\n  Buffers: shared hit=12\n";
const BY_SCAN: &str = "Seq Scan on t  (cost=0.00..900.00 rows=10 width=4) (actual rows=10 loops=1)\n  Filter: (a = 1)\n  Rows Removed by Filter: 9990\n  Buffers: shared hit=300 read=100\n";

fn surroundings(with_index: bool) -> Surroundings {
    let mut all = Surroundings::default();
    let state = TableState {
        reltuples: 10_000.0,
        rows: 10_000.0,
        live_rows: 10_000.0,
        pages: 400.0,
        visible_pages: 400.0,
        ..Default::default()
    };
    all.tables.insert("public.t".into(), state);
    if with_index {
        let definition = "CREATE INDEX t_a_idx ON public.t USING btree (a)".into();
        all.indexes.insert(
            "public.t_a_idx".into(),
            IndexState { table: "public.t".into(), definition, pages: 30.0 },
        );
    }
    all.settings.insert("work_mem".into(), "4096kB".into());
    all
}

fn outcome(before: &str, after: &str, old: &Surroundings, new: &Surroundings) -> Outcome {
    compare("q", (&measured(before), &measured(after)), (old, new), &Gates::default())
}

#[test]
fn a_dropped_index_is_named_with_its_definition() {
    let found = outcome(BY_INDEX, BY_SCAN, &surroundings(true), &surroundings(false));
    assert_eq!(found.verdict, Verdict::Worse);
    assert_eq!(
        found.reasons,
        ["touches 400 pages instead of 12", "has another plan: t: Index Scan using t_a_idx → Seq Scan"]
    );
    assert_eq!(found.causes[0].kind, CauseKind::IndexGone);
    assert_eq!(found.causes[0].undo, "CREATE INDEX t_a_idx ON public.t USING btree (a)");
}

#[test]
fn an_index_under_another_name_is_not_gone() {
    let mut now = surroundings(true);
    let index = now.indexes.remove("public.t_a_idx").unwrap();
    let definition = index.definition.replace("t_a_idx", "renamed");
    now.indexes.insert("public.renamed".into(), IndexState { definition, ..index });
    let plan = BY_INDEX.replace("t_a_idx", "renamed");
    let found = outcome(BY_INDEX, &plan, &surroundings(true), &now);
    assert_eq!(found.verdict, Verdict::Changed, "{found:?}");
    assert!(found.causes.is_empty(), "{found:?}");
}

#[test]
fn the_same_measurement_is_the_same() {
    let found = outcome(BY_INDEX, BY_INDEX, &surroundings(true), &surroundings(true));
    assert_eq!((found.verdict, found.reasons.len(), found.causes.len()), (Verdict::Same, 0, 0));
    // Read or found in the cache: touched is touched.
    let warm = BY_SCAN.replace("hit=300 read=100", "hit=400");
    assert_eq!(outcome(BY_SCAN, &warm, &surroundings(true), &surroundings(true)).verdict, Verdict::Same);
}

#[test]
fn an_improvement_fails_nothing() {
    let found = outcome(BY_SCAN, BY_INDEX, &surroundings(false), &surroundings(true));
    assert_eq!(found.verdict, Verdict::Better);
}

#[test]
fn a_setting_that_makes_a_sort_spill() {
    let sort = |method: &str, temp: &str| {
        format!(
            "Sort  (cost=1.00..2.00 rows=9 width=4) (actual rows=9 loops=1)\n  Sort Key: a\n  Sort Method: {method}\n  Buffers: shared hit=30{temp}\n  ->  Seq Scan on t  (cost=0.00..1.00 rows=9 width=4) (actual rows=9 loops=1)\n        Buffers: shared hit=30\n"
        )
    };
    let mut now = surroundings(true);
    now.settings.insert("work_mem".into(), "64kB".into());
    let found = outcome(
        &sort("quicksort  Memory: 900kB", ""),
        &sort("external merge  Disk: 800kB", ", temp read=100 written=100"),
        &surroundings(true),
        &now,
    );
    assert_eq!(found.verdict, Verdict::Worse);
    assert_eq!(found.reasons[0], "writes and reads 200 pages of temporary files instead of 0");
    assert_eq!(found.causes[0].text, "setting work_mem is 64kB instead of 4096kB");
}

#[test]
fn another_version_of_the_server_is_named() {
    let at = |version_num| Surroundings { version_num, ..surroundings(true) };
    let of = |old: i32, new: i32| outcome(BY_INDEX, BY_SCAN, &at(old), &at(new)).causes;
    let causes = of(150_018, 170_002);
    assert_eq!(causes[0].kind, CauseKind::VersionChanged);
    assert_eq!(causes[0].text, "the server is PostgreSQL 17.2 instead of 15.18");
    assert!(causes[0].undo.contains("what-if --major 17"), "{causes:?}");
    assert_eq!(of(150_018, 150_019)[0].undo, "PostgreSQL 15.18");
    // A baseline of before versions were stored says nothing of them.
    assert!(of(0, 170_002).is_empty() && of(170_002, 170_002).is_empty());
}

#[test]
fn milliseconds_advise_and_do_not_decide() {
    let mut slow = measured(BY_INDEX);
    slow.times_ms = vec![9.0, 9.1, 9.2, 9.3, 9.4];
    let around = surroundings(true);
    let found = compare("q", (&measured(BY_INDEX), &slow), (&around, &around), &Gates::default());
    assert_eq!(found.verdict, Verdict::Changed);
    assert!(found.remarks[0].starts_with("was slower: median 9.20 ms instead of 1.00 ms"), "{found:?}");
}

#[test]
fn the_permutation_test_tells_shifts_from_noise() {
    let noise = |from: f64| (0..12).map(|n| from + f64::from(n * 7 % 12)).collect::<Vec<_>>();
    assert!(permutation_probability(&noise(10.0), &noise(10.0)).unwrap() > 0.5);
    assert!(permutation_probability(&noise(10.0), &noise(40.0)).unwrap() < 0.001);
    assert_eq!(permutation_probability(&[1.0], &[2.0]), None);
}
