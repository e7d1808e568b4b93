//! Are statistics objects and parameters made, felt, refused and taken back as they should be?

use std::collections::BTreeSet;

use apply::{Error, Status, UndoTarget};
use model::{
    AutovacuumOption, Change, Number, Parameter, QualifiedName, StatisticsDefinition, StatisticsKind,
};

use crate::world::{World, execute, hostile_table, plain_table, plan_of, quick};

pub fn statistics(table: QualifiedName, columns: &[&str], kinds: &[StatisticsKind]) -> Change {
    Change::CreateStatistics {
        statistics: StatisticsDefinition {
            name: QualifiedName::new(table.schema.clone(), "st\"at.s"),
            table,
            kinds: kinds.to_vec(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            expressions: Vec::new(),
        },
    }
}

pub fn set(table: QualifiedName, parameter: Parameter, value: &str, former: Option<&str>) -> Change {
    let number = |text: &str| Number::parse(text).unwrap();
    Change::SetParameter { table, parameter, value: number(value), former: former.map(number) }
}

fn object_target() -> Parameter {
    Parameter::ObjectTarget { statistics: QualifiedName::new("My Schema", "st\"at.s") }
}

fn column_target(column: &str) -> Parameter {
    Parameter::ColumnTarget { column: column.into() }
}

fn everything() -> Vec<Change> {
    let table = hostile_table();
    vec![
        statistics(table.clone(), &["Größe", "select"], &[StatisticsKind::Dependencies, StatisticsKind::Mcv]),
        set(table.clone(), object_target(), "1000", None),
        set(table.clone(), column_target("Größe"), "500", None),
        set(
            table.clone(),
            Parameter::ColumnDistinct { column: "select".into(), inherited: false },
            "-0.5",
            None,
        ),
        set(table, Parameter::Autovacuum { option: AutovacuumOption::VacuumInsertScaleFactor }, "0.02", None),
    ]
}

#[tokio::test]
async fn statistics_and_parameters_are_made_and_taken_back() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        let before = world.schema_dump().await;
        let plan = plan_of("r", everything());
        // What was told to ANALYZE is felt at once.
        assert_eq!(plan.steps().last().unwrap().1.sql, "ANALYZE \"My Schema\".\"a\"\"b.c\"");
        assert_eq!(apply::preflight(&world.target, &plan).await.unwrap().refusals, []);
        let run = execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap();
        assert_eq!(run.entries[0].steps.len(), 6);
        let made = "select pg_get_statisticsobjdef(oid) || ' ' || stxstattarget from pg_statistic_ext";
        assert_eq!(
            world.value(made).await,
            "CREATE STATISTICS \"My Schema\".\"st\"\"at.s\" (dependencies, mcv) ON \"Größe\", \"select\" \
             FROM \"My Schema\".\"a\"\"b.c\" 1000"
        );
        assert_eq!(
            world.value("select array_length(most_common_vals, 1) > 100 from pg_stats_ext").await,
            "true",
            "ANALYZE has filled it with the new target"
        );
        let distinct = "select n_distinct from pg_stats where tablename = 'a\"b.c' and attname = 'select'";
        assert_eq!(world.value(distinct).await, "-0.5");

        apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {})
            .await
            .unwrap()
            .into_result()
            .unwrap();
        assert_eq!(world.schema_dump().await, before, "{}", server.binaries().version);
        assert_eq!(
            world.value("select count(*) from pg_attribute where attrelid = '\"My Schema\".\"a\"\"b.c\"'::regclass and attoptions is not null").await,
            "0"
        );
    }
}

#[tokio::test]
async fn the_former_value_comes_back() {
    let world = World::on(testkit::any_server()).await;
    world
        .sql("alter table plain alter column x set statistics 30, alter column x set (n_distinct = 7)")
        .await;
    let distinct = || Parameter::ColumnDistinct { column: "x".into(), inherited: false };
    let plan = plan_of(
        "r",
        vec![
            set(plain_table(), column_target("x"), "200", Some("30")),
            set(plain_table(), distinct(), "50", Some("7")),
        ],
    );
    execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap();
    let now = "select format('%s %s', attstattarget, attoptions) from pg_attribute \
        where attrelid = 'plain'::regclass and attname = 'x'";
    assert_eq!(world.value(now).await, "200 {n_distinct=50}");
    let undo = apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await.unwrap();
    undo.into_result().unwrap();
    assert_eq!(world.value(now).await, "30 {n_distinct=7}");
}

#[tokio::test]
async fn what_has_changed_since_is_left_alone() {
    let world = World::on(testkit::any_server()).await;
    let plan = plan_of("r", vec![set(plain_table(), column_target("x"), "200", None)]);
    world.sql("alter table plain alter column x set statistics 10").await;
    let refusals = apply::preflight(&world.target, &plan).await.unwrap().refusals;
    assert_eq!(
        refusals[0].objection.detail().unwrap(),
        "It was \"the statistics target of column x is not set\" and is now \"the statistics target of column x is 10\"."
    );
    world.sql("alter table plain alter column x set statistics -1").await;
    execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap();
    world.sql("alter table plain alter column x set statistics 300").await;
    let error = apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::ChangedSince { .. }), "{error}");

    // The same of an object: altered by somebody else it stays, dropped it is done with.
    let plan = plan_of("s", vec![statistics(plain_table(), &["x", "y"], &[StatisticsKind::Ndistinct])]);
    execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap();
    world.sql("alter statistics \"st\"\"at.s\" rename to other").await;
    let undo = UndoTarget::Recommendation("s".into());
    let error = apply::undo(&world.target, &undo, &quick(), &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::ChangedSince { .. }), "{error}");
    world.sql("drop statistics other").await;
    let undone = apply::undo(&world.target, &undo, &quick(), &mut |_| {}).await.unwrap();
    assert!(undone.notices.iter().any(|n| n.contains("already been dropped")), "{:?}", undone.notices);
    let undone = undone.into_result().unwrap();
    assert!(undone.steps.iter().all(|s| s.status == Status::Undone));
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_before_anything_happens() {
    let world = World::on(testkit::any_server()).await;
    let role = format!("reader_{}", world.value("current_database()").await);
    world
        .sql(&format!(
            "create role {role} login; grant create on database {} to {role}",
            world.value("current_database()").await
        ))
        .await;
    world
        .sql("create statistics taken (mcv) on x, y from plain; create view v as select 1 as x, 2 as y")
        .await;
    let taken = |kinds: &[StatisticsKind]| {
        let Change::CreateStatistics { statistics } = statistics(plain_table(), &["x", "y"], kinds) else {
            unreachable!()
        };
        Change::CreateStatistics {
            statistics: StatisticsDefinition { name: QualifiedName::new("public", "taken"), ..statistics },
        }
    };
    let gone = QualifiedName::new("public", "gone");
    for (change, expected) in [
        (taken(&[StatisticsKind::Mcv]), "statistics public.taken are there already"),
        (taken(&[StatisticsKind::Ndistinct]), "name public.taken is taken by other statistics"),
        (
            statistics(plain_table(), &["x", "nothing"], &[StatisticsKind::Mcv]),
            "table public.plain has no column nothing",
        ),
        (statistics(gone.clone(), &["x", "y"], &[StatisticsKind::Mcv]), "table public.gone does not exist"),
        (
            statistics(QualifiedName::new("public", "v"), &["x", "y"], &[StatisticsKind::Mcv]),
            "public.v is a view",
        ),
        (set(gone, column_target("x"), "10", None), "table public.gone does not exist"),
        (
            set(plain_table(), column_target("nothing"), "10", None),
            "table public.plain has no column nothing",
        ),
        (
            set(plain_table(), object_target(), "10", Some("5")),
            "statistics \"My Schema\".\"st\"\"at.s\" do not exist",
        ),
    ] {
        let refusals = apply::preflight(&world.target, &plan_of("r", vec![change])).await.unwrap().refusals;
        // The ANALYZE that follows may be refused for the same reason.
        let messages: BTreeSet<String> = refusals.iter().map(|r| r.objection.message()).collect();
        assert_eq!(messages, BTreeSet::from([expected.to_owned()]));
    }
    let separator = if world.url.contains('?') { '&' } else { '?' };
    let reader = crate::world::target(&format!("{}{separator}user={role}", world.url));
    let plan = plan_of("r", everything());
    let refusals = apply::preflight(&reader, &plan).await.unwrap().refusals;
    assert!(
        refusals
            .iter()
            .any(|r| r.objection.message().contains("does not own table \"My Schema\".\"a\"\"b.c\"")),
        "{refusals:?}"
    );
}
