//! Is a plan readable? Trees and shapes as they are printed; `UPDATE_EXPECT=1` writes them anew.

use expect_test::{Expect, expect};
use plan::render::{self, Style};
use plan::{Thresholds, checks};

use crate::fixture;

fn check_tree(name: &str, width: usize, expect: Expect) {
    expect.assert_eq(&render::tree(&fixture(name), &Style { width, color: false }));
}

fn check_shape(name: &str, expect: Expect) {
    expect.assert_eq(&render::shape(&fixture(name)));
}

#[test]
fn a_spilled_sort_in_parallel() {
    check_tree(
        "17/gather_merge",
        110,
        expect![[r#"
            execution 87.0 ms · planning 0.49 ms · 1,205 buffers (9.4 MB), 100 % in cache · temporary files 28.9 MB
            settings: jit = off, min_parallel_table_scan_size = 0, parallel_setup_cost = 0, parallel_tuple_cost = 0, work_mem = 64kB

             self time                 plan
               2.45 ms ▎          3 %  #0 Limit  rows 40,000 (estimated 40,000)
               43.2 ms ████      51 %  └─ #1 Gather Merge  rows 40,000 (estimated 50,000)
                                          │ workers: 2 launched of 2 planned
               36.6 ms ███▍      43 %     └─ #2 Sort
                                             │ rows 41,100 (estimated 75,000) · loops 3 · 114 buffers · temp 28.9 MB
                                             │ sort key: runs.payload
                                             │ external merge, disk 4.9 MB
                                             │ ! sort of runs.payload spilled 4.9 MB to disk [sort-on-disk]
               3.03 ms ▎          4 %        └─ #3 Parallel Seq Scan on public.runs
                                                  rows 60,000 (estimated 75,000) · loops 3 · 1,091 buffers
        "#]],
    );
}

#[test]
fn a_wrong_estimate_marked_where_it_begins() {
    check_tree(
        "18/nested_loop_misestimate",
        110,
        expect![[r#"
            execution 38.2 ms · planning 0.69 ms · 10,091 buffers (78.8 MB), 100 % in cache
            settings: enable_hashjoin = off, enable_memoize = off, enable_mergejoin = off, jit = off, max_parallel_workers_per_gather = 0

             self time                 plan
               0.14 ms            0 %  #0 Aggregate  rows 1 (estimated 1)
               0.53 ms ▏          1 %  └─ #1 Nested Loop  rows 3,000 (estimated 146, 20.5× too low)
               34.5 ms ███████▎  90 %     ├─ #2 Seq Scan on public.runs r
                                          │    rows 3,000 (estimated 146, 20.5× too low) · 1,091 buffers
                                          │    filter: ((r.model = 3) AND (r.framework = 3)) (removed 57,000 rows)
                                          │    ! planner expected 20.5 times fewer rows from public.runs: 146 instead of
                                          │      3,000 [row-misestimate]
               3.00 ms ▋          8 %     └─ #3 Index Scan using experiments_pkey on public.experiments e
                                               rows 3,000 (estimated 3,000) · loops 3,000 · 9,000 buffers
                                               index cond: (e.id = r.experiment_id)
        "#]],
    );
}

#[test]
fn with_queries_and_init_plans() {
    check_tree(
        "15/cte_twice",
        110,
        expect![[r#"
            execution 59.7 ms · planning 0.48 ms · 1,091 buffers (8.5 MB), 100 % in cache
            settings: jit = off, max_parallel_workers_per_gather = 0, work_mem = 32MB

             self time                 plan
               0.28 ms            0 %  #0 Aggregate  rows 1 (estimated 1)
               28.9 ms ███▉      49 %  ├─ #1 CTE best: HashAggregate  rows 3,000 (estimated 3,000)
                                       │  │ group key: runs.experiment_id
                                       │  │ batches: 1, memory 369 kB
               12.1 ms █▋        20 %  │  └─ #2 Seq Scan on public.runs  rows 60,000 (estimated 60,000) · 1,091 buffers
               0.17 ms            0 %  ├─ #3 CTE good: CTE Scan on best  rows 2,415 (estimated 1,000)
                                       │    filter: (best.accuracy > '0.9'::double precision) (removed 585 rows)
               0.23 ms            0 %  ├─ #4 InitPlan 3 (returns $2): Aggregate  rows 1 (estimated 1)
               8.97 ms █▎        15 %  │  └─ #5 CTE Scan on best best_1  rows 3,000 (estimated 3,000)
               0.96 ms ▏          2 %  └─ #6 Merge Join  rows 1,880 (estimated 5,000)
                                          │ merge cond: (b.experiment_id = g.experiment_id)
               6.15 ms ▉         10 %     ├─ #7 Sort  rows 1,880 (estimated 1,000)
                                          │  │ sort key: b.experiment_id
                                          │  │ quicksort, memory 49.0 kB
               0.94 ms ▏          2 %     │  └─ #8 CTE Scan on best b  rows 1,880 (estimated 1,000)
                                          │       filter: (b.accuracy >= $2) (removed 1,120 rows)
               0.38 ms            1 %     └─ #9 Sort  rows 2,415 (estimated 1,000)
                                             │ sort key: g.experiment_id
                                             │ quicksort, memory 97.0 kB
               0.29 ms            0 %        └─ #10 CTE Scan on good g  rows 2,415 (estimated 1,000)
        "#]],
    );
}

#[test]
fn costs_where_nothing_was_measured() {
    check_tree(
        "18/estimated",
        110,
        expect![[r#"
            not executed; planner cost 2,026

             self cost                 plan
                  0.00            0 %  #0 Limit  estimated rows 5
                  0.01            0 %  ├─ #1 InitPlan 2: Result  estimated rows 1
                  0.00            0 %  │  └─ #2 InitPlan 1: Limit  estimated rows 1
                  0.31            0 %  │     └─ #3 Index Only Scan Backward using links_pkey on links
                                       │          estimated rows 20,000
                  0.39            0 %  └─ #4 Sort  estimated rows 20
                                          │ sort key: (count(*)) DESC
                 37.80 ▏          2 %     └─ #5 HashAggregate  estimated rows 20
                                             │ group key: e.owner
                 57.27 ▎          3 %        └─ #6 Hash Join  estimated rows 7,520
                                                │ hash cond: (r.experiment_id = e.id)
               1877.37 ███████▍  93 %           ├─ #7 Index Scan using runs_started_at_idx on runs r
                                                │    estimated rows 7,520
                                                │    index cond: (started_at > '2024-06-01 00:00:00+00'::timestamp with
                                                │      time zone)
                                                │    filter: (status = 'failed'::text)
                  0.00            0 %           └─ #8 Hash  estimated rows 3,000
                 53.00 ▎          3 %              └─ #9 Seq Scan on experiments e  estimated rows 3,000
        "#]],
    );
}

#[test]
fn a_narrow_terminal() {
    check_tree(
        "15/order_by_wrong_index",
        60,
        expect![[r#"
            execution 10.9 ms · planning 0.44 ms · 839 buffers (6.6 MB), 87 % in cache
            settings: enable_sort = off, jit = off, max_parallel_workers_per_gather = 0

             self time                 plan
               0.01 ms            0 %  #0 Limit  rows 3 (estimated 3)
               10.8 ms ████████ 100 %  └─ #1 Index Scan using runs_started_at_idx on public.runs
                                            rows 3 (estimated 4) · 839 buffers,
                                              110 read
                                            filter: (runs.status = 'rare'::text)
                                              (removed 40,004 rows)
                                            ! index runs_started_at_idx was read
                                              for its order past 40,004 rows of
                                              public.runs to find 3
                                              [wrong-index-for-order-by]
        "#]],
    );
}

#[test]
fn hostile_names_are_shown_and_not_obeyed() {
    check_tree(
        "17/odd_names",
        110,
        expect![[r#"
            execution 0.05 ms · planning 0.28 ms · 1 buffers (8.0 kB), 0 % in cache

             self time                 plan
               0.03 ms ████████ 100 %  #0 Seq Scan on "Odd Schema"."a""b.c \x1b[31mred" "ali as"
                                         rows 0 (estimated 1) · 1 buffers, 1 read
                                         filter: (("ali as"."Na""me" > 3) AND ("ali as"."line\nbreak" =
                                           '\x1b[2J50'::text)) (removed 100 rows)
        "#]],
    );
}

#[test]
fn triggers_and_write_ahead_log() {
    check_tree(
        "17/foreign_key_trigger",
        110,
        expect![[r#"
            execution 140.9 ms · planning 0.36 ms · 608 buffers (4.8 MB), 99 % in cache · WAL 31.8 kB
            trigger children_parent_id_fkey on parents: 300 calls, 140.5 ms

             self time                 plan
               0.25 ms ██████▍   80 %  #0 Delete on public.parents  rows 0 (estimated 0) · 605 buffers, 4 read
                                         ! triggers took 100 % of the execution time [triggers-dominate]
               0.06 ms █▋        20 %  └─ #1 Seq Scan on public.parents  rows 300 (estimated 300) · 3 buffers, 3 read
                                            filter: (parents.id <= 300) (removed 200 rows)
        "#]],
    );
}

#[test]
fn colour_adds_escape_sequences_and_no_words() {
    let plan = fixture("17/gather_merge");
    let plain = render::tree(&plan, &Style { width: 110, color: false });
    let colored = render::tree(&plan, &Style { width: 110, color: true });
    assert!(colored.contains("\x1b[33m"));
    let mut stripped = String::new();
    let mut rest = colored.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        stripped.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
}

#[test]
fn lines_keep_to_the_width_where_words_allow() {
    for name in ["15/cte_twice", "17/partitions_not_pruned", "18/planning_dominates"] {
        let tree = render::tree(&fixture(name), &Style { width: 120, color: false });
        let longest = tree.lines().skip(3).map(|l| l.chars().count()).max().unwrap();
        assert!(longest <= 120, "{name}: {longest}\n{tree}");
    }
}

#[test]
fn shapes_have_no_numbers_that_change() {
    check_shape(
        "15/cte_twice",
        expect![[r#"
        Aggregate
          CTE best: HashAggregate
            Seq Scan on runs
          CTE good: CTE Scan on best
          InitPlan: Aggregate
            CTE Scan on best best_1
          Merge Join
            Sort
              CTE Scan on best b
            Sort
              CTE Scan on good g
    "#]],
    );
    check_shape(
        "17/parallel_hash_join",
        expect![[r#"
        Finalize Aggregate
          InitPlan: Finalize Aggregate
            Gather
              Partial Aggregate
                Parallel Index Only Scan using runs_accuracy_idx on runs
          Gather
            Partial Aggregate
              Parallel Hash Join
                Parallel Seq Scan on bare_large b
                Parallel Hash
                  Parallel Seq Scan on runs a
    "#]],
    );
}

#[test]
fn the_same_statement_has_the_same_shape_with_and_without_measurement() {
    let (a, b) = (fixture("17/seq_scan_filter"), fixture("17/without_buffers"));
    assert_eq!(render::shape_hash(&a), render::shape_hash(&b));
    let other = fixture("17/index_scan");
    assert_ne!(render::shape_hash(&a), render::shape_hash(&other));
}

#[test]
fn one_cause_is_reported_and_not_its_symptoms() {
    let ids = |name: &str| -> Vec<String> {
        checks::run(&fixture(name), &Thresholds::default()).into_iter().map(|f| f.check).collect()
    };
    for major in [15, 17, 18] {
        assert_eq!(ids(&format!("{major}/not_in")), ["not-in-blow-up"], "{major}");
        assert_eq!(ids(&format!("{major}/cast_blocks_index")), ["cast-blocks-index"], "{major}");
        assert_eq!(ids(&format!("{major}/sort_on_disk")), ["sort-on-disk"], "{major}");
        assert_eq!(ids(&format!("{major}/partitions_not_pruned")), ["no-pruning"], "{major}");
        assert_eq!(ids(&format!("{major}/index_scan")), Vec::<String>::new(), "{major}");
        assert_eq!(
            ids(&format!("{major}/nested_loop_inner_seq_scan")),
            ["nested-loop-gone-wrong"],
            "{major}"
        );
    }
}

#[test]
fn a_check_can_be_switched_off() {
    let thresholds = Thresholds { disabled: vec!["sort-on-disk".into()], ..Thresholds::default() };
    let findings = checks::run(&fixture("15/sort_on_disk"), &thresholds);
    assert!(findings.iter().all(|f| f.check != "sort-on-disk"));
}
