//! Do partitions lie side by side, whatever zone, interval and key, and has each a name of its own?

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use model::partition_set::{Division, Interval, ListPart, TimeUnit};
use model::{KeyKind, QualifiedName};
use partitioning::{Bound, Edge, Error, Grid, Part, key_text};
use proptest::prelude::*;

fn division(kind: KeyKind, interval: &str) -> Division {
    Division { key: "at".into(), kind, interval: interval.parse().unwrap() }
}

fn grid(kind: KeyKind, interval: &str, zone: &str) -> Grid {
    Grid::new(&division(kind, interval), zone, None).unwrap()
}

fn table() -> QualifiedName {
    QualifiedName::new("public", "runs")
}

/// `name lower..upper` of the partitions from one key to another.
fn laid_out(grid: &Grid, from: &str, to: &str) -> Vec<String> {
    let parts = grid.covering(grid.key(from).unwrap(), grid.key(to).unwrap(), 1000).unwrap();
    parts.iter().map(|part| described(grid, part)).collect()
}

fn described(grid: &Grid, part: &Part) -> String {
    let kind = grid.division().kind;
    let name = grid.name(&table(), part).unwrap().name;
    let edge = |edge| match edge {
        Edge::Min => "min".to_owned(),
        Edge::Max => "max".to_owned(),
        Edge::At(key) => key_text(key, kind),
    };
    let (lower, upper) = part.bound.range().unwrap();
    format!("{name} {}..{}", edge(lower), edge(upper))
}

#[test]
fn months_begin_in_the_zone_of_the_set_and_are_written_as_instants() {
    // Summer time ends on 2024-10-27 and begins on 2024-03-31.
    assert_eq!(
        laid_out(
            &grid(KeyKind::TimestampTz, "month", "Europe/Zurich"),
            "2024-03-15 00:00:00+01",
            "2024-04-15 00:00:00+02"
        ),
        [
            "runs_2024_03 2024-02-29 23:00:00+00..2024-03-31 22:00:00+00",
            "runs_2024_04 2024-03-31 22:00:00+00..2024-04-30 22:00:00+00"
        ]
    );
    assert_eq!(
        laid_out(
            &grid(KeyKind::Timestamp, "month", "Europe/Zurich"),
            "2024-02-29 23:59:59.999999",
            "2024-03-01 00:00:00"
        ),
        [
            "runs_2024_02 2024-02-01 00:00:00..2024-03-01 00:00:00",
            "runs_2024_03 2024-03-01 00:00:00..2024-04-01 00:00:00"
        ]
    );
}

#[test]
fn february_has_its_29th_in_leap_years_only() {
    let days = |from: &str, to: &str| laid_out(&grid(KeyKind::Date, "day", "UTC"), from, to);
    assert_eq!(
        days("2024-02-28", "2024-03-01"),
        [
            "runs_2024_02_28 2024-02-28..2024-02-29",
            "runs_2024_02_29 2024-02-29..2024-03-01",
            "runs_2024_03_01 2024-03-01..2024-03-02"
        ]
    );
    assert_eq!(days("2100-02-28", "2100-03-01").len(), 2);
    assert_eq!(days("2000-02-28", "2000-03-01").len(), 3);
}

#[test]
fn the_hour_that_is_skipped_has_no_partition_and_the_one_that_comes_twice_is_longer() {
    let hours = grid(KeyKind::TimestampTz, "hour", "Europe/Zurich");
    assert_eq!(
        laid_out(&hours, "2024-03-31 00:30:00+00", "2024-03-31 01:30:00+00"),
        [
            "runs_2024_03_31_01 2024-03-31 00:00:00+00..2024-03-31 01:00:00+00",
            "runs_2024_03_31_03 2024-03-31 01:00:00+00..2024-03-31 02:00:00+00"
        ]
    );
    // 02:00 in Zurich comes at 00:00 and at 01:00 UTC.
    assert_eq!(
        laid_out(&hours, "2024-10-27 01:30:00+00", "2024-10-27 02:00:00+00"),
        [
            "runs_2024_10_27_02 2024-10-27 00:00:00+00..2024-10-27 02:00:00+00",
            "runs_2024_10_27_03 2024-10-27 02:00:00+00..2024-10-27 03:00:00+00"
        ]
    );
}

#[test]
fn a_day_without_midnight_begins_when_the_clock_goes_on() {
    // In Beirut the clock goes from 00:00 to 01:00.
    assert_eq!(
        laid_out(
            &grid(KeyKind::TimestampTz, "day", "Asia/Beirut"),
            "2024-03-31 12:00:00+00",
            "2024-03-31 12:00:00+00"
        ),
        ["runs_2024_03_31 2024-03-30 22:00:00+00..2024-03-31 21:00:00+00"]
    );
    // Samoa skipped the 30th of December 2011.
    let names: Vec<String> = laid_out(
        &grid(KeyKind::TimestampTz, "day", "Pacific/Apia"),
        "2011-12-30 00:00:00+00",
        "2011-12-31 00:00:00+00",
    );
    assert_eq!(
        names,
        [
            "runs_2011_12_29 2011-12-29 10:00:00+00..2011-12-30 10:00:00+00",
            "runs_2011_12_31 2011-12-30 10:00:00+00..2011-12-31 10:00:00+00"
        ]
    );
}

#[test]
fn intervals_that_do_not_divide_a_day_go_on_over_midnight() {
    assert_eq!(
        laid_out(
            &grid(KeyKind::TimestampTz, "5 hours", "UTC"),
            "2024-01-01 20:00:00+00",
            "2024-01-02 03:00:00+00"
        ),
        [
            "runs_2024_01_01_18 2024-01-01 18:00:00+00..2024-01-01 23:00:00+00",
            "runs_2024_01_01_23 2024-01-01 23:00:00+00..2024-01-02 04:00:00+00"
        ]
    );
    assert_eq!(
        laid_out(
            &grid(KeyKind::TimestampTz, "week", "UTC"),
            "2024-12-31 00:00:00+00",
            "2024-12-31 00:00:00+00"
        ),
        ["runs_2025_w01 2024-12-30 00:00:00+00..2025-01-06 00:00:00+00"]
    );
    assert_eq!(
        laid_out(&grid(KeyKind::Date, "quarter", "UTC"), "2024-12-31", "2025-01-01"),
        ["runs_2024_q4 2024-10-01..2025-01-01", "runs_2025_q1 2025-01-01..2025-04-01"]
    );
}

#[test]
fn uuids_of_version_7_are_divided_by_their_milliseconds() {
    let months = grid(KeyKind::UuidV7, "month", "UTC");
    let part = months.at(months.key("018d0000-0000-7000-8000-000000000000").unwrap()).unwrap().unwrap();
    assert_eq!(
        part.bound.sql(KeyKind::UuidV7),
        "FOR VALUES FROM ('018cc251-f400-0000-0000-000000000000') TO ('018d61f7-1800-0000-0000-000000000000')"
    );
    assert_eq!(months.name(&table(), &part).unwrap().name, "runs_2024_01");
}

#[test]
fn numbers_go_below_zero_and_end_where_their_type_does() {
    let thousands = grid(KeyKind::BigInt, "1000", "UTC");
    assert_eq!(laid_out(&thousands, "-1", "0"), ["runs_m1000 -1000..0", "runs_0 0..1000"]);
    let last = thousands.at(i64::MAX).unwrap().unwrap();
    assert_eq!(last.bound.range().unwrap().1, Edge::Max);
    assert_eq!(thousands.after(&last), Ok(None));
    assert_eq!(thousands.at(i64::MIN).unwrap().unwrap().bound.range().unwrap().0, Edge::Min);
    let small = grid(KeyKind::SmallInt, "30000", "UTC");
    assert_eq!(laid_out(&small, "-32768", "32767").len(), 4);
    assert!(laid_out(&small, "32767", "32767")[0].ends_with("30000..max"));
}

#[test]
fn lists_and_hashes_have_the_partitions_that_were_named() {
    let parts = vec![
        ListPart { name: "eu".into(), values: vec![Some("ch".into()), Some("it's".into())] },
        ListPart { name: "none".into(), values: vec![None] },
    ];
    let list = Division { key: "a\"b".into(), kind: KeyKind::List, interval: Interval::Values(parts) };
    let grid = Grid::new(&list, "UTC", None).unwrap();
    let all = grid.covering(0, 0, 10).unwrap();
    assert_eq!(grid.name(&table(), &all[0]).unwrap().name, "runs_eu");
    assert_eq!(all[0].bound.sql(KeyKind::List), "FOR VALUES IN ('ch', 'it''s')");
    assert_eq!(
        all[0].bound.check_sql(&list).unwrap(),
        "\"a\"\"b\" IS NOT NULL AND \"a\"\"b\" IN ('ch', 'it''s')"
    );
    assert_eq!(all[1].bound.check_sql(&list).unwrap(), "\"a\"\"b\" IS NULL");
    let hash = Division { key: "id".into(), kind: KeyKind::Hash, interval: Interval::Remainders(3) };
    let grid = Grid::new(&hash, "UTC", None).unwrap();
    let all = grid.covering(0, 0, 10).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(all[2].bound.sql(KeyKind::Hash), "FOR VALUES WITH (modulus 3, remainder 2)");
    assert_eq!(grid.name(&table(), &all[2]).unwrap().name, "runs_h2");
}

#[test]
fn what_the_server_prints_is_read() {
    let tz = |text: &str| Bound::parse(text, KeyKind::TimestampTz);
    assert_eq!(
        tz("FOR VALUES FROM ('2024-01-01 01:00:00+01') TO ('2024-02-01 05:30:00+05:30')"),
        tz("FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')")
    );
    assert_eq!(
        tz("FOR VALUES FROM (MINVALUE) TO ('infinity')"),
        Some(Bound::Range { lower: Edge::Min, upper: Edge::At(i64::MAX) })
    );
    assert_eq!(tz("FOR VALUES FROM ('2024-01-01 00:00:00+00', 1) TO ('2024-02-01 00:00:00+00', 1)"), None);
    assert_eq!(tz("DEFAULT"), Some(Bound::Default));
    let list = |text: &str| Bound::parse(text, KeyKind::List);
    assert_eq!(
        list("FOR VALUES IN ('a, b', 'it''s', NULL, E'\\\\')"),
        Some(Bound::Values(vec![Some("a, b".into()), Some("it's".into()), None, Some("\\".into())]))
    );
    assert_eq!(list("FOR VALUES IN (1, 2)"), Some(Bound::Values(vec![Some("1".into()), Some("2".into())])));
    assert_eq!(list("FOR VALUES IN ('a"), None);
    assert_eq!(
        Bound::parse("FOR VALUES WITH (modulus 4, remainder 1)", KeyKind::Hash),
        Some(Bound::Remainder { modulus: 4, remainder: 1 })
    );
    assert_eq!(Bound::parse("FOR VALUES FROM ('-5') TO (7)", KeyKind::Integer), Some(Bound::between(-5, 7)));
}

#[test]
fn what_does_not_fit_is_refused() {
    let new = |kind, interval: &str, zone: &str, naming| {
        Grid::new(&division(kind, interval), zone, naming).map(|_| ())
    };
    assert_eq!(
        new(KeyKind::TimestampTz, "month", "Mars/Base", None),
        Err(Error::TimeZone("Mars/Base".into()))
    );
    assert!(matches!(new(KeyKind::Date, "hour", "UTC", None), Err(Error::Interval { .. })));
    assert!(matches!(new(KeyKind::Integer, "month", "UTC", None), Err(Error::Interval { .. })));
    assert!(matches!(new(KeyKind::SmallInt, "40000", "UTC", None), Err(Error::Interval { .. })));
    for pattern in ["{table}_{YYYY}", "{table}_{MM}", "{table}_{n}", "{table}_{nothing}", "{table}_{YYYY"] {
        assert!(
            matches!(new(KeyKind::Date, "month", "UTC", Some(pattern)), Err(Error::Pattern { .. })),
            "{pattern}"
        );
    }
    assert_eq!(new(KeyKind::Date, "month", "UTC", Some("{table}_y{YYYY}m{MM}")), Ok(()));
    let grid = grid(KeyKind::TimestampTz, "month", "UTC");
    for text in ["infinity", "-infinity", "", "2024", "2024-13-01 00:00:00+00", "2024-01-01 00:00:00"] {
        assert!(grid.key(text).is_err(), "{text}");
    }
    assert!(matches!(grid.covering(0, i64::MAX / 2, 100), Err(Error::TooMany(100) | Error::OutOfRange(_))));
}

#[test]
fn a_row_of_2099_has_its_partition_with_the_clock_of_then() {
    assert_eq!(
        laid_out(
            &grid(KeyKind::TimestampTz, "month", "Europe/Zurich"),
            "2099-07-01 00:00:00+00",
            "2099-07-01 00:00:00+00"
        ),
        ["runs_2099_07 2099-06-30 22:00:00+00..2099-07-31 22:00:00+00"]
    );
}

#[test]
fn a_month_before_the_31st_is_the_end_of_the_month_before() {
    let grid = grid(KeyKind::Date, "day", "UTC");
    let back = |from: &str, interval: &str| {
        key_text(grid.back(grid.key(from).unwrap(), &interval.parse().unwrap()).unwrap(), KeyKind::Date)
    };
    assert_eq!(back("2024-03-31", "month"), "2024-02-29");
    assert_eq!(back("2023-03-31", "month"), "2023-02-28");
    assert_eq!(back("2024-02-29", "year"), "2023-02-28");
    assert_eq!(back("2024-05-31", "quarter"), "2024-02-29");
}

const ZONES: &[&str] = &[
    "UTC",
    "Europe/Zurich",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Antarctica/Troll",
];

proptest! {
    #[test]
    fn partitions_lie_side_by_side_with_names_of_their_own(
        seconds in -2_000_000_000_i64..5_000_000_000,
        zone in 0..ZONES.len(),
        unit in 0..TimeUnit::ALL.len(),
        count in 1_u32..30,
        kind in 0..3_usize,
        table in "[a-zäö\"]{1,70}",
    ) {
        let kind = [KeyKind::TimestampTz, KeyKind::Timestamp, KeyKind::Date][kind];
        let unit = TimeUnit::ALL[unit];
        prop_assume!(kind != KeyKind::Date || !unit.is_within_a_day());
        let division = Division { key: "at".into(), kind, interval: Interval::Time { count, unit } };
        let grid = Grid::new(&division, ZONES[zone], None).unwrap();
        let parent = QualifiedName::new("s", table);
        let start = seconds * 1_000_000;
        let mut part = grid.at(start).unwrap().unwrap();
        let (lower, upper) = part.bound.range().unwrap();
        prop_assert!(lower <= Edge::At(start) && Edge::At(start) < upper);
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..40 {
            let name = grid.name(&parent, &part).unwrap().name;
            prop_assert!(name.len() <= 63, "{name}");
            prop_assert!(names.insert(name));
            // What is written is read again as the same.
            let sql = part.bound.sql(kind);
            prop_assert_eq!(Bound::parse(&sql, kind), Some(part.bound.clone()));
            let next = grid.after(&part).unwrap().unwrap();
            prop_assert_eq!(next.bound.range().unwrap().0, part.bound.range().unwrap().1);
            prop_assert!(next.bound.range().unwrap().0 < next.bound.range().unwrap().1);
            // Its first and its last key are in it.
            if let (Edge::At(first), Edge::At(end)) = next.bound.range().unwrap() {
                prop_assert_eq!(grid.at(first).unwrap().unwrap(), next.clone());
                prop_assert_eq!(grid.at(end - 1).unwrap().unwrap(), next.clone());
            }
            part = next;
        }
    }

    #[test]
    fn numbers_are_divided_without_gaps(start in any::<i64>(), step in 1_u64..1_000_000_000_000) {
        let division = Division { key: "id".into(), kind: KeyKind::BigInt, interval: Interval::Numbers(step) };
        let grid = Grid::new(&division, "UTC", None).unwrap();
        let part = grid.at(start).unwrap().unwrap();
        let (lower, upper) = part.bound.range().unwrap();
        prop_assert!(lower <= Edge::At(start) && Edge::At(start) < upper);
        if let Some(next) = grid.after(&part).unwrap() {
            prop_assert_eq!(next.bound.range().unwrap().0, upper);
        } else {
            prop_assert_eq!(upper, Edge::Max);
        }
    }

    #[test]
    fn reading_a_bound_never_panics(text in "(FOR VALUES )?(FROM|IN|WITH)? ?\\(?.{0,40}\\)?") {
        for kind in [KeyKind::TimestampTz, KeyKind::UuidV7, KeyKind::BigInt, KeyKind::List, KeyKind::Hash] {
            let _ = Bound::parse(&text, kind);
        }
    }
}

#[test]
fn two_long_tables_that_begin_alike_do_not_share_names() {
    let grid = grid(KeyKind::Date, "month", "UTC");
    let part = grid.at(0).unwrap().unwrap();
    let name = |end: &str| {
        grid.name(&QualifiedName::new("s", format!("{}{end}", "x".repeat(60))), &part).unwrap().name
    };
    assert_ne!(name("1"), name("2"));
    assert!(name("1").ends_with("_1970_01"));
    assert_eq!(name("1").len(), 63);
}
