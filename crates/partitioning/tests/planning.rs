//! Is it planned what is missing, and nothing that is there?

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::collections::BTreeSet;

use model::QualifiedName;
use model::partition_set::RetentionAction;
use model::partition_tree::{PartitionKey, PartitionTable};
use partitioning::inference::infer;
use partitioning::planning::{Seen, SetPlan, Step, plan};
use partitioning::settings::{SetSettings, SubSettings};
use partitioning::{Grid, Trees};

const PARENT: u32 = 1;

fn table(oid: u32, name: &str, bound: Option<&str>) -> PartitionTable {
    PartitionTable {
        oid,
        name: QualifiedName::new("public", name),
        parent_oid: bound.map(|_| PARENT),
        relkind: 'r',
        key: None,
        bound: bound.map(str::to_owned),
        detach_pending: false,
        owner: "postgres".into(),
        is_owner: true,
        rows: None,
        default_bytes: None,
        tablespace: None,
        has_statistics: false,
    }
}

fn trees(type_name: &str, partitions: &[(&str, &str)]) -> Trees {
    let mut tables: Vec<PartitionTable> =
        (2..).zip(partitions).map(|(oid, (name, bound))| table(oid, name, Some(bound))).collect();
    let key = PartitionKey {
        strategy: 'r',
        columns: vec![Some("at".into())],
        types: vec![Some(type_name.into())],
        definition: "RANGE (at)".into(),
    };
    tables.push(PartitionTable { key: Some(key), relkind: 'p', ..table(PARENT, "runs", None) });
    Trees::new(tables)
}

fn micros(text: &str) -> i64 {
    let settings =
        SetSettings { table: "runs".into(), interval: Some("day".into()), ..SetSettings::default() };
    let trees = trees("timestamp with time zone", &[]);
    let set = settings.resolve(trees.parents().next().unwrap()).unwrap();
    Grid::new(&set.division, "UTC", None).unwrap().key(text).unwrap()
}

fn planned(trees: &Trees, settings: &SetSettings, seen: &Seen) -> SetPlan {
    let parent = trees.parents().next().unwrap();
    plan(&settings.resolve(parent).unwrap(), trees, parent, seen).unwrap()
}

fn monthly() -> SetSettings {
    SetSettings {
        table: "runs".into(),
        interval: Some("month".into()),
        premake: Some(2),
        ..SetSettings::default()
    }
}

fn at(text: &str) -> Seen {
    Seen { now_micros: micros(text), ..Seen::default() }
}

fn text(step: &Step) -> String {
    match step {
        Step::Create(new) => format!("{} {}", new.name.name, new.bound.trim_start_matches("FOR VALUES ")),
        Step::Retire { name, action, .. } => format!("{action:?} {}", name.name),
        Step::Move { name, tablespace } => format!("{} to {tablespace}", name.name),
        Step::Analyze { table } => format!("analyze {}", table.name),
    }
}

fn texts(plan: &SetPlan) -> Vec<String> {
    plan.steps.iter().map(text).collect()
}

#[test]
fn partitions_are_made_ahead_of_now_and_once_only() {
    let empty = trees("timestamp with time zone", &[]);
    let now = at("2024-01-31 23:59:59+00");
    assert_eq!(
        texts(&planned(&empty, &monthly(), &now)),
        [
            "runs_2024_01 FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')",
            "runs_2024_02 FROM ('2024-02-01 00:00:00+00') TO ('2024-03-01 00:00:00+00')",
            "runs_2024_03 FROM ('2024-03-01 00:00:00+00') TO ('2024-04-01 00:00:00+00')"
        ]
    );
    let there = trees(
        "timestamp with time zone",
        &[
            ("runs_2024_01", "FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')"),
            ("runs_2024_02", "FOR VALUES FROM ('2024-02-01 00:00:00+00') TO ('2024-03-01 00:00:00+00')"),
            ("runs_2024_03", "FOR VALUES FROM ('2024-03-01 00:00:00+00') TO ('2024-04-01 00:00:00+00')"),
        ],
    );
    assert!(planned(&there, &monthly(), &now).steps.is_empty());
    // A second later it is February.
    assert_eq!(texts(&planned(&there, &monthly(), &at("2024-02-01 00:00:00+00"))).len(), 1);
}

#[test]
fn gaps_are_closed_beside_bounds_that_were_made_by_hand() {
    let there = trees(
        "timestamp with time zone",
        &[
            ("old", "FOR VALUES FROM (MINVALUE) TO ('2023-11-15 12:00:00+00')"),
            ("runs_2023_12", "FOR VALUES FROM ('2023-12-10 00:00:00+00') TO ('2023-12-20 00:00:00+00')"),
            ("far", "FOR VALUES FROM ('2099-01-01 00:00:00+00') TO (MAXVALUE)"),
        ],
    );
    assert_eq!(
        texts(&planned(
            &there,
            &SetSettings { premake: Some(0), ..monthly() },
            &at("2024-01-02 00:00:00+00")
        )),
        [
            "runs_2023_11 FROM ('2023-11-15 12:00:00+00') TO ('2023-12-01 00:00:00+00')",
            "runs_2023_12_2 FROM ('2023-12-01 00:00:00+00') TO ('2023-12-10 00:00:00+00')",
            "runs_2023_12_3 FROM ('2023-12-20 00:00:00+00') TO ('2024-01-01 00:00:00+00')",
            "runs_2024_01 FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')"
        ]
    );
}

#[test]
fn rows_in_default_get_their_partition_unless_they_are_of_2099_or_too_old() {
    let there = trees("timestamp with time zone", &[("d", "DEFAULT")]);
    let seen = Seen {
        default_keys: ["2020-05-05 00:00:00+00", "2023-12-31 00:00:00+00", "2099-01-01 00:00:00+00"]
            .map(micros)
            .to_vec(),
        has_odd_rows: true,
        ..at("2024-01-02 00:00:00+00")
    };
    let settings = SetSettings {
        premake: Some(0),
        retention: Some("1 year".into()),
        then: Some(RetentionAction::Drop),
        ..monthly()
    };
    let plan = planned(&there, &settings, &seen);
    assert_eq!(
        texts(&plan),
        [
            "runs_2023_12 FROM ('2023-12-01 00:00:00+00') TO ('2024-01-01 00:00:00+00')",
            "runs_2024_01 FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')",
            "analyze runs"
        ]
    );
    assert!(matches!(&plan.steps[0], Step::Create(new) if new.takes_from_default));
    assert_eq!(plan.notices.len(), 2, "{:?}", plan.notices);
}

/// The smallest key of a month in DEFAULT may be older than what is kept, and the month not.
#[test]
fn a_partition_that_reaches_beyond_the_retention_takes_its_rows_from_default() {
    let bound =
        |from: &str, to: &str| format!("FOR VALUES FROM ('{from} 00:00:00+00') TO ('{to} 00:00:00+00')");
    let (a, c) = (bound("2023-01-01", "2023-02-01"), bound("2023-03-01", "2024-03-01"));
    let there = trees("timestamp with time zone", &[("a", &a), ("c", &c), ("d", "DEFAULT")]);
    let seen = Seen { default_keys: vec![micros("2023-02-01 00:00:00+00")], ..at("2024-02-15 00:00:00+00") };
    let settings = SetSettings {
        premake: Some(0),
        retention: Some("12 months".into()),
        then: Some(RetentionAction::Keep),
        ..monthly()
    };
    let plan = planned(&there, &settings, &seen);
    let made = plan.steps.iter().find_map(|s| if let Step::Create(new) = s { Some(new) } else { None });
    let made = made.unwrap();
    assert!(made.bound.contains("2023-02-01") && made.takes_from_default, "{:?}", texts(&plan));
}

#[test]
fn what_is_older_than_the_retention_is_retired_when_all_of_it_is() {
    let bound =
        |from: &str, to: &str| format!("FOR VALUES FROM ('{from} 00:00:00+00') TO ('{to} 00:00:00+00')");
    let (a, b) = (bound("2023-01-01", "2023-02-01"), bound("2023-02-01", "2023-03-01"));
    let there = trees("timestamp with time zone", &[("a", &a), ("b", &b)]);
    let settings = SetSettings {
        premake: Some(0),
        retention: Some("12 months".into()),
        then: Some(RetentionAction::Detach),
        ..monthly()
    };
    // On February 28th, January of the year before is old, February is not.
    let plan = planned(&there, &settings, &at("2024-02-28 00:00:00+00"));
    assert_eq!(texts(&plan).last().unwrap(), "Detach a");
    assert!(!texts(&plan).contains(&"Detach b".to_owned()));
    let keep = SetSettings { then: Some(RetentionAction::Keep), ..settings };
    let plan = planned(&there, &keep, &at("2024-02-28 00:00:00+00"));
    assert!(plan.steps.iter().all(|s| matches!(s, Step::Create(_))));
    assert_eq!(plan.notices.len(), 1);
}

#[test]
fn numbers_go_ahead_of_the_largest_one() {
    let there = trees("bigint", &[("runs_0", "FOR VALUES FROM ('0') TO ('1000')")]);
    let settings = SetSettings { interval: Some("1000".into()), premake: Some(1), ..monthly() };
    let seen = Seen { max_key: Some(2500), ..Seen::default() };
    assert_eq!(
        texts(&planned(&there, &settings, &seen)),
        [
            "runs_1000 FROM ('1000') TO ('2000')",
            "runs_2000 FROM ('2000') TO ('3000')",
            "runs_3000 FROM ('3000') TO ('4000')"
        ]
    );
    assert_eq!(texts(&planned(&there, &settings, &Seen::default())), ["runs_1000 FROM ('1000') TO ('2000')"]);
}

#[test]
fn months_are_divided_into_days_or_hashes() {
    let empty = trees("timestamp with time zone", &[]);
    let sub = |sub: SubSettings| SetSettings { premake: Some(0), sub: Some(sub), ..monthly() };
    let days = sub(SubSettings { key: "at".into(), interval: Some("day".into()), ..SubSettings::default() });
    let plan = planned(&empty, &days, &at("2024-02-10 00:00:00+00"));
    let Step::Create(new) = &plan.steps[0] else { panic!() };
    assert_eq!(new.partition_by.as_deref(), Some("RANGE (at)"));
    assert_eq!(new.parts.len(), 29);
    assert_eq!(new.parts[28].0.name, "runs_2024_02_29");
    let hashes = sub(SubSettings { key: "a\"b".into(), partitions: Some(2), ..SubSettings::default() });
    let plan = planned(&empty, &hashes, &at("2024-02-10 00:00:00+00"));
    let Step::Create(new) = &plan.steps[0] else { panic!() };
    assert_eq!(new.partition_by.as_deref(), Some("HASH (\"a\"\"b\")"));
    assert_eq!(new.parts[1].0.name, "runs_2024_02_h1");
}

#[test]
fn a_name_that_a_stranger_has_is_not_taken() {
    let empty = trees("date", &[]);
    let seen = Seen { taken: BTreeSet::from(["runs_2024_01".to_owned()]), ..at("2024-01-02 00:00:00+00") };
    let plan = planned(&empty, &SetSettings { premake: Some(0), ..monthly() }, &seen);
    assert_eq!(texts(&plan), ["runs_2024_01_2 FROM ('2024-01-01') TO ('2024-02-01')"]);
}

#[test]
fn sets_of_other_tools_are_found_out() {
    let found = |type_name: &str, partitions: &[(&str, &str)]| {
        let trees = trees(type_name, partitions);
        let inferred =
            infer(&trees, trees.parents().next().unwrap(), "Europe/Zurich", micros("2024-02-10 00:00:00+00"))
                .unwrap();
        let set = inferred.set;
        (set.division.interval.to_string(), set.time_zone, set.naming, set.premake)
    };
    let tz = |from: &str, to: &str| format!("FOR VALUES FROM ('{from}+00') TO ('{to}+00')");
    // pg_partman 4, days in the server's zone.
    let (a, b) =
        (tz("2024-02-10 23:00:00", "2024-02-11 23:00:00"), tz("2024-02-11 23:00:00", "2024-02-12 23:00:00"));
    assert_eq!(
        found(
            "timestamp with time zone",
            &[("runs_p2024_02_11", &a), ("runs_p2024_02_12", &b), ("runs_default", "DEFAULT")]
        ),
        ("1 day".into(), "Europe/Zurich".into(), Some("{table}_p{YYYY}_{MM}_{DD}".into()), 2)
    );
    // pgslice.
    assert_eq!(
        found(
            "date",
            &[
                ("runs_202401", "FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')"),
                ("runs_202402", "FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')"),
            ]
        ),
        ("1 month".into(), "UTC".into(), Some("{table}_{YYYY}{MM}".into()), 4)
    );
    // Months of New York, by hand; the zone is one with those offsets.
    let (a, b) =
        (tz("2024-02-01 05:00:00", "2024-03-01 05:00:00"), tz("2024-03-01 05:00:00", "2024-04-01 04:00:00"));
    let (interval, zone, ..) = found("timestamp with time zone", &[("y2024m02", &a), ("y2024m03", &b)]);
    assert_eq!(interval, "1 month");
    let division = model::Division {
        key: "at".into(),
        kind: model::KeyKind::TimestampTz,
        interval: "1 month".parse().unwrap(),
    };
    let grid = Grid::new(&division, &zone, None).unwrap();
    let part = grid.at(micros("2024-03-05 00:00:00+00")).unwrap().unwrap();
    assert_eq!(part.bound.sql(model::KeyKind::TimestampTz), b);
    // Quarters of an hour, by hand and by pg_partman.
    let (a, b) =
        (tz("2024-02-10 23:00:00", "2024-02-10 23:15:00"), tz("2024-02-10 23:15:00", "2024-02-10 23:30:00"));
    for (pattern, names) in [
        (Some("{table}_{YYYY}{MM}{DD}_{HH24}{MI}"), ["runs_20240210_2300", "runs_20240210_2315"]),
        (Some("{table}_p{YYYY}_{MM}_{DD}_{HH24}{MI}"), ["runs_p2024_02_10_2300", "runs_p2024_02_10_2315"]),
        (None, ["runs_2024_02_10_2300", "runs_2024_02_10_2315"]),
    ] {
        assert_eq!(
            found("timestamp with time zone", &[(names[0], &a), (names[1], &b)]),
            ("15 minutes".into(), "UTC".into(), pattern.map(Into::into), 2)
        );
    }
    // Numbers.
    assert_eq!(
        found(
            "bigint",
            &[
                ("runs_p0", "FOR VALUES FROM ('0') TO ('10')"),
                ("runs_p10", "FOR VALUES FROM ('10') TO ('20')")
            ]
        ),
        ("10".into(), "UTC".into(), Some("{table}_p{n}".into()), 4)
    );
}

#[test]
fn a_set_that_is_written_down_is_read_as_the_same() {
    let trees = trees(
        "timestamp with time zone",
        &[("runs_2024_01", "FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')")],
    );
    let parent = trees.parents().next().unwrap();
    let set = infer(&trees, parent, "UTC", 0).unwrap().set;
    assert_eq!(SetSettings::of(&set).resolve(parent).unwrap(), set);
}

#[test]
fn a_list_that_takes_null_is_written_down_with_it() {
    let key = PartitionKey {
        strategy: 'l',
        columns: vec![Some("region".into())],
        types: vec![Some("text".into())],
        definition: "LIST (region)".into(),
    };
    let trees = Trees::new(vec![
        PartitionTable { key: Some(key), relkind: 'p', ..table(PARENT, "runs", None) },
        table(2, "runs_eu", Some("FOR VALUES IN ('de', 'ch')")),
        table(3, "runs_us", Some("FOR VALUES IN ('us', NULL)")),
    ]);
    let parent = trees.parents().next().unwrap();
    let set = infer(&trees, parent, "UTC", 0).unwrap().set;
    let written = SetSettings::of(&set);
    assert_eq!(written.null_in.as_deref(), Some("us"));
    assert_eq!(written.resolve(parent).unwrap(), set);
    // What is there is not made again, NULL included.
    assert_eq!(texts(&planned(&trees, &written, &at("2024-03-05 00:00:00+00"))), [""; 0]);
    let nowhere = SetSettings { null_in: Some("asia".into()), ..written };
    assert!(nowhere.resolve(parent).unwrap_err().contains("none of the values"));
}

/// A set of months whose partitions are divided again.
fn divided(strategy: char, column: &str, type_name: &str, names: &[(&str, &str)]) -> Trees {
    let key = |strategy, column: &str, type_name: &str| PartitionKey {
        strategy,
        columns: vec![Some(column.into())],
        types: vec![Some(type_name.into())],
        definition: format!("{} ({column})", if strategy == 'l' { "LIST" } else { "RANGE" }),
    };
    let bounds = [
        ("runs_2024_01", "FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')"),
        ("runs_2024_02", "FOR VALUES FROM ('2024-02-01 00:00:00+00') TO ('2024-03-01 00:00:00+00')"),
    ];
    let months = (10..).zip(bounds).map(|(oid, (name, bound))| PartitionTable {
        key: Some(key(strategy, column, type_name)),
        relkind: 'p',
        ..table(oid, name, Some(bound))
    });
    let mut tables: Vec<PartitionTable> = months.collect();
    let whole = key('r', "at", "timestamp with time zone");
    tables.push(PartitionTable { key: Some(whole), relkind: 'p', ..table(PARENT, "runs", None) });
    let parts = (20..)
        .zip(names)
        .map(|(oid, (name, bound))| PartitionTable { parent_oid: Some(11), ..table(oid, name, Some(bound)) });
    tables.extend(parts);
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Trees::new(tables)
}

#[test]
fn partitions_that_are_divided_again_stay_so() {
    let february = micros("2024-02-10 00:00:00+00");
    let adopted = |trees: &Trees| {
        let parent = trees.find(&QualifiedName::new("public", "runs")).unwrap();
        let inferred = infer(trees, parent, "UTC", february)?;
        // As it is written down and read again.
        let settings = SetSettings { premake: Some(1), ..SetSettings::of(&inferred.set) };
        let set = settings.resolve(parent).unwrap();
        let plan = plan(&set, trees, parent, &Seen { now_micros: february, ..Seen::default() }).unwrap();
        let Some(Step::Create(new)) = plan.steps.first().cloned() else { panic!("{plan:?}") };
        let parts: Vec<String> =
            new.parts.iter().map(|(name, bound)| format!("{} {bound}", name.name)).collect();
        Ok::<_, String>((new.partition_by.unwrap_or_default(), parts))
    };
    let by_region = divided(
        'l',
        "region",
        "text",
        &[("runs_2024_02_eu", "FOR VALUES IN ('eu')"), ("runs_2024_02_us", "FOR VALUES IN ('us', 'ca')")],
    );
    let (partition_by, parts) = adopted(&by_region).unwrap();
    assert_eq!(partition_by, "LIST (region)");
    assert_eq!(parts, ["runs_2024_03_eu FOR VALUES IN ('eu')", "runs_2024_03_us FOR VALUES IN ('us', 'ca')"]);
    let by_day = divided(
        'r',
        "at",
        "timestamp with time zone",
        &[
            ("runs_2024_02_01", "FOR VALUES FROM ('2024-02-01 00:00:00+00') TO ('2024-02-02 00:00:00+00')"),
            ("runs_2024_02_02", "FOR VALUES FROM ('2024-02-02 00:00:00+00') TO ('2024-02-03 00:00:00+00')"),
        ],
    );
    let (partition_by, parts) = adopted(&by_day).unwrap();
    assert_eq!((partition_by.as_str(), parts.len()), ("RANGE (at)", 31));
    assert!(parts[30].starts_with("runs_2024_03_31 FOR VALUES FROM ('2024-03-31"), "{}", parts[30]);
    // By another column, new ones would be of another kind than those that there are.
    let by_number = divided('r', "id", "bigint", &[("runs_2024_02_1", "FOR VALUES FROM ('1') TO ('1000')")]);
    assert!(adopted(&by_number).unwrap_err().contains("which pgwright does not do"));
}

#[test]
fn what_begins_within_an_interval_gets_no_partition_before_it() {
    let numbers = trees(
        "bigint",
        &[
            ("runs_1", "FOR VALUES FROM ('1') TO ('1000001')"),
            ("runs_2", "FOR VALUES FROM ('1000001') TO ('2000001')"),
        ],
    );
    let settings = SetSettings { interval: Some("1000000".into()), premake: Some(1), ..monthly() };
    let seen = Seen { max_key: Some(5), ..Seen::default() };
    assert!(texts(&planned(&numbers, &settings, &seen)).is_empty());
    let seen = Seen { max_key: Some(1_999_999), ..Seen::default() };
    assert_eq!(texts(&planned(&numbers, &settings, &seen)), ["runs_2000000 FROM ('2000001') TO ('3000000')"]);
    // Where rows come before the partitions that there are, they get one.
    let future = trees(
        "timestamp with time zone",
        &[("runs_2024_03", "FOR VALUES FROM ('2024-03-15 00:00:00+00') TO ('2024-04-01 00:00:00+00')")],
    );
    let plan =
        planned(&future, &SetSettings { premake: Some(0), ..monthly() }, &at("2024-03-10 00:00:00+00"));
    assert_eq!(
        texts(&plan),
        ["runs_2024_03_2 FROM ('2024-03-01 00:00:00+00') TO ('2024-03-15 00:00:00+00')"]
    );
}

#[test]
fn hashes_of_several_moduli_are_not_made_twice() {
    let mut tables: Vec<PartitionTable> = trees(
        "bigint",
        &[
            ("runs_0", "FOR VALUES WITH (modulus 2, remainder 0)"),
            ("runs_1", "FOR VALUES WITH (modulus 8, remainder 1)"),
        ],
    )
    .tables()
    .to_vec();
    for key in tables.iter_mut().filter_map(|t| t.key.as_mut()) {
        key.strategy = 'h';
    }
    let trees = Trees::new(tables);
    let parent = trees.parents().next().unwrap();
    let set = infer(&trees, parent, "UTC", 0).unwrap().set;
    let plan = plan(&set, &trees, parent, &Seen::default()).unwrap();
    let bounds: Vec<String> = texts(&plan).iter().map(|t| t.split_once(' ').unwrap().1.to_owned()).collect();
    let wanted = [3, 5, 7].map(|r| format!("WITH (modulus 8, remainder {r})"));
    assert_eq!(bounds, wanted);
}
