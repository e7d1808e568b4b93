//! Is what changed between two plans said in the words of a person who reads both?

use expect_test::{Expect, expect};
use plan::{Plan, diff};

use crate::{fixture, fixtures};

fn check(before: &str, after: &str, expected: &Expect) {
    let read = |text: &str| -> Plan {
        text.parse().unwrap_or_else(|e: plan::PlanError| panic!("{e}: {:?}\n{text}", e.detail()))
    };
    let found = diff::diff(&read(before), &read(after));
    expected.assert_eq(&format!("{}\n", found.lines().join("\n")));
}

const BY_INDEX: &str = "\
Limit  (cost=0.42..8.55 rows=5 width=40) (actual time=0.031..0.044 rows=5 loops=1)
  Buffers: shared hit=8
  ->  Index Scan using orders_customer_placed_idx on orders o  (cost=0.42..81.20 rows=50 width=40) (actual time=0.030..0.041 rows=5 loops=1)
        Index Cond: (customer_id = 7)
        Buffers: shared hit=8
Planning Time: 0.150 ms
Execution Time: 0.060 ms";

const BY_SCAN: &str = "\
Limit  (cost=1640.10..1640.11 rows=5 width=40) (actual time=14.210..14.215 rows=5 loops=1)
  Buffers: shared hit=870 read=20
  ->  Sort  (cost=1640.10..1640.22 rows=50 width=40) (actual time=14.209..14.211 rows=5 loops=1)
        Sort Key: placed_at DESC
        Sort Method: top-N heapsort  Memory: 25kB
        Buffers: shared hit=870 read=20
        ->  Seq Scan on orders o  (cost=0.00..1639.27 rows=50 width=40) (actual time=0.011..14.150 rows=52 loops=1)
              Filter: (customer_id = 7)
              Rows Removed by Filter: 59948
              Buffers: shared hit=870 read=20
Planning Time: 0.120 ms
Execution Time: 14.250 ms";

#[test]
fn an_index_that_is_gone() {
    check(
        BY_INDEX,
        BY_SCAN,
        &expect![[r#"
        planner cost: 9 → 1640 (192× as much)
        time: 0.06 ms → 14.2 ms (238× as much)
        buffers: 8 → 890 (111× as much)
        rows: 5 → 5 (the same)
        orders: Index Scan using orders_customer_placed_idx → Seq Scan
        new: Sort of orders by placed_at DESC
        orders: rows 5 → 52
        orders: rows removed by the filter 0 → 59,948
        orders: buffers 8 → 890
        orders: self time 0.04 ms → 14.2 ms
    "#]],
    );
    let (before, after): (Plan, Plan) = (BY_INDEX.parse().unwrap(), BY_SCAN.parse().unwrap());
    let found = diff::diff(&before, &after);
    assert_eq!(found.indexes_lost().collect::<Vec<_>>(), ["orders_customer_placed_idx"]);
    assert!(!found.same_shape);
}

#[test]
fn another_order_and_method_of_joins() {
    check(
        "\
Nested Loop  (cost=10.00..900.00 rows=100 width=8)
  ->  Hash Join  (cost=10.00..500.00 rows=100 width=8)
        Hash Cond: (o.customer_id = c.id)
        ->  Seq Scan on orders o  (cost=0.00..400.00 rows=1000 width=8)
        ->  Hash  (cost=9.00..9.00 rows=100 width=4)
              ->  Seq Scan on customers c  (cost=0.00..9.00 rows=100 width=4)
  ->  Index Scan using items_order_id_idx on items i  (cost=0.30..4.00 rows=4 width=8)
        Index Cond: (order_id = o.id)",
        "\
Hash Join  (cost=100.00..1900.00 rows=4000 width=8)
  Hash Cond: (o.customer_id = c.id)
  ->  Hash Join  (cost=90.00..1500.00 rows=4000 width=8)
        Hash Cond: (i.order_id = o.id)
        ->  Seq Scan on items i  (cost=0.00..900.00 rows=4000 width=8)
        ->  Hash  (cost=40.00..40.00 rows=1000 width=8)
              ->  Seq Scan on orders o  (cost=0.00..40.00 rows=1000 width=8)
  ->  Hash  (cost=9.00..9.00 rows=100 width=4)
        ->  Seq Scan on customers c  (cost=0.00..9.00 rows=100 width=4)
Settings: work_mem = '64MB'",
        &expect![[r#"
            planner cost: 900 → 1900 (2.1× as much)
            items: Index Scan using items_order_id_idx → Seq Scan
            joins in another order: ((orders × customers) × items) → ((items × orders) × customers)
            join of customers, items and orders: Nested Loop → Hash Join
            join of customers, items and orders: estimated rows 100 → 4,000
            items: estimated rows 4 → 4,000
            setting work_mem: default → 64MB
        "#]],
    );
}

#[test]
fn partitions_that_are_no_longer_pruned() {
    let scan = |n: usize| {
        format!(
            "  ->  Seq Scan on events_{n} e_{n}  (cost=0.00..10.00 rows=10 width=8) (actual time=0.010..0.100 rows=10 loops=1)\n        Buffers: shared hit=30\n"
        )
    };
    let append = |partitions: std::ops::RangeInclusive<usize>| {
        let head = "Append  (cost=0.00..99.00 rows=99 width=8) (actual time=0.010..1.000 rows=99 loops=1)\n  Buffers: shared hit=99\n";
        format!("{head}{}", partitions.map(scan).collect::<String>())
    };
    check(
        &append(3..=4),
        &append(1..=8),
        &expect![[r#"
            planner cost: 99 → 99 (the same)
            time: 1.00 ms → 1.00 ms (the same)
            buffers: 99 → 99 (the same)
            rows: 99 → 99 (the same)
            e: partitions read 2 → 8
            e: buffers 99 → 240
        "#]],
    );
    let one = "Seq Scan on events_3 e  (cost=0.00..10.00 rows=10 width=8) (actual time=0.010..0.100 rows=10 loops=1)\n  Buffers: shared hit=30\n";
    check(
        one,
        &append(1..=8),
        &expect![[r#"
            planner cost: 10 → 99 (9.9× as much)
            time: 0.10 ms → 1.00 ms (10.0× as much)
            buffers: 30 → 99 (3.3× as much)
            rows: 10 → 99 (9.9× as much)
            events_3: partitions read 1 → 8
            events_3: rows 10 → 99
            events_3: estimated rows 10 → 99
            events_3: buffers 30 → 240
        "#]],
    );
}

#[test]
fn a_sort_that_spills_and_an_estimate_that_moved() {
    check(
        "\
Sort  (cost=100.00..101.00 rows=2000 width=8) (actual time=5.000..5.500 rows=2000 loops=1)
  Sort Key: a
  Sort Method: quicksort  Memory: 200kB
  ->  Seq Scan on t  (cost=0.00..50.00 rows=2000 width=8) (actual time=0.010..1.000 rows=2000 loops=1)",
        "\
Sort  (cost=100.00..101.00 rows=200 width=8) (actual time=25.000..27.500 rows=90000 loops=1)
  Sort Key: a
  Sort Method: external merge  Disk: 4200kB
  Buffers: temp read=500 written=510
  ->  Seq Scan on t  (cost=0.00..50.00 rows=200 width=8) (actual time=0.010..9.000 rows=90000 loops=1)",
        &expect![[r#"
            planner cost: 101 → 101 (the same)
            time: 5.50 ms → 27.5 ms (5.0× as much)
            temporary pages: 0 → 1,010 (more)
            rows: 2,000 → 90,000 (45.0× as much)
            Sort of t: spills 4.1 MB to disk, before it fit into memory
            t: rows 2,000 → 90,000
            t: estimated rows 2,000 → 200
            Sort of t: self time 4.50 ms → 18.5 ms
            t: self time 1.00 ms → 9.00 ms
        "#]],
    );
}

#[test]
fn the_same_plan_has_no_differences_and_any_two_can_be_compared() {
    let all: Vec<(String, Plan)> =
        fixtures().into_iter().map(|(name, text)| (name, text.parse().unwrap())).collect();
    for (name, plan) in &all {
        let found = diff::diff(plan, plan);
        assert!(found.same_shape && found.changes.is_empty(), "{name}: {:?}", found.changes);
    }
    for pair in all.windows(2) {
        diff::diff(&pair[0].1, &pair[1].1).lines();
    }
}

#[test]
fn two_majors_execute_one_statement_alike() {
    for name in ["hash_join", "index_scan", "seq_scan_filter", "sort_on_disk"] {
        let found = diff::diff(&fixture(&format!("17/{name}")), &fixture(&format!("18/{name}")));
        assert!(found.same_shape, "{name}: {:?}", found.changes);
        assert_eq!(found.of_kind(diff::ChangeKind::AccessPath).count(), 0, "{name}");
    }
}
