//! What if pgwright is killed? At every write to the journal and every statement, of a run and of an
//! undo, the process dies for real, and the next command leaves a clean database and a true journal.

use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use apply::{Error, Event, ExecuteOptions, Orphans, Status, UndoTarget};

use crate::statistics::{set, statistics};
use crate::world::{
    World, create, drop_plain_y, execute, hostile_table, plain_table, plan_of, quick, target,
};

pub const CHILD: &str = "PGWRIGHT_TEST_CHILD";

/// What a child does before it dies.
#[derive(Clone, Copy)]
enum Task {
    Execute,
    Undo,
    SlowBuild,
    Statistics,
    UndoStatistics,
}

impl Task {
    const ALL: [(&'static str, Self); 5] = [
        ("execute", Self::Execute),
        ("undo", Self::Undo),
        ("slow", Self::SlowBuild),
        ("statistics", Self::Statistics),
        ("undo_statistics", Self::UndoStatistics),
    ];

    fn plan(self) -> apply::ApplyPlan {
        match self {
            Self::SlowBuild => {
                let key = model::IndexKey {
                    target: model::KeyTarget::Expression("public.slow(n)".into()),
                    ..model::IndexKey::column("")
                };
                let table = model::QualifiedName::new("public", "slow");
                let index = model::IndexDefinition::btree(table, "s", vec![key]);
                plan_of("r", vec![model::Change::CreateIndex { index }])
            }
            Self::Statistics | Self::UndoStatistics => plan_of(
                "r",
                vec![
                    statistics(hostile_table(), &["Größe", "select"], &[model::StatisticsKind::Mcv]),
                    set(
                        hostile_table(),
                        model::Parameter::ColumnTarget { column: "Größe".into() },
                        "500",
                        None,
                    ),
                ],
            ),
            Self::Execute | Self::Undo => plan_of(
                "r",
                vec![
                    create(hostile_table(), "first.\"idx\"", &["Größe", "select"]),
                    drop_plain_y(),
                    model::Change::Analyze { table: plain_table() },
                ],
            ),
        }
    }
}

/// The part of a test that runs in a process of its own: does a task and dies at an event.
/// `false` when this is not such a process.
fn is_child() -> bool {
    let Ok(order) = std::env::var(CHILD) else { return false };
    let (task, order) = order.split_once(' ').unwrap();
    let (at, url) = order.split_once(' ').unwrap();
    let (_, task) = Task::ALL.into_iter().find(|(name, _)| *name == task).unwrap();
    let at: usize = at.parse().unwrap();
    let mut seen = 0;
    let mut on_event = move |event: Event| {
        let counts = match task {
            // Any look at the build, once it has begun.
            Task::SlowBuild => matches!(&event, Event::Progress { activity, .. }
                if activity.phase.as_deref().is_some_and(|p| p.starts_with("building index"))),
            _ => !matches!(event, Event::Progress { .. }),
        };
        if counts {
            if seen == at {
                // Neither destructors nor good-byes.
                std::process::abort();
            }
            seen += 1;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let target = target(url);
        match task {
            Task::Execute | Task::SlowBuild | Task::Statistics => {
                apply::execute(&target, &task.plan(), &quick(), &mut on_event)
                    .await
                    .unwrap()
                    .into_result()
                    .unwrap();
            }
            Task::Undo | Task::UndoStatistics => {
                apply::undo(&target, &UndoTarget::Last, &quick(), &mut on_event)
                    .await
                    .unwrap()
                    .into_result()
                    .unwrap();
            }
        }
    });
    true
}

/// Starts this very test again as a child and waits for its end.
pub fn run_child(test: &str, task: &str, at: usize, url: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, format!("{task} {at} {url}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

/// No invalid index, no open step, no lock, and the journal agrees with the catalog.
async fn assert_clean(world: &World, at: usize) {
    let indexes = world.indexes().await;
    assert!(!indexes.contains("INVALID"), "killed at event {at}: {indexes}");
    for entry in apply::journal(&world.target).await.unwrap() {
        for step in &entry.steps {
            assert!(!step.status.is_open(), "killed at event {at}: {step:?}");
            let applied = step.status == Status::Done;
            match step.position {
                0 => assert_eq!(
                    applied,
                    indexes.contains("first.") || indexes.contains("INDEX s "),
                    "event {at}: {step:?}"
                ),
                1 if !entry.title.contains("slow") && !indexes.contains(" slow ") => {
                    assert_eq!(applied, !indexes.contains("plain_y_idx"), "event {at}: {step:?}");
                }
                _ => {}
            }
            if step.status == Status::Done && step.undo_sql.is_some() && step.position == 0 {
                assert!(step.made_definition.is_some(), "an undo needs it: {step:?}");
            }
        }
    }
}

/// The lock of a killed process goes when the server notices.
pub async fn recover(world: &World, options: &ExecuteOptions) -> Vec<apply::Recovered> {
    wait_for_unlock(world).await;
    apply::recover(&world.target, options, &mut |_| {}).await.unwrap()
}

pub async fn wait_for_unlock(world: &World) {
    let began = Instant::now();
    let held = "select count(*) from pg_locks l join pg_database d on d.oid = l.database \
        where locktype = 'advisory' and datname = current_database()";
    while world.value(held).await != "0" {
        assert!(began.elapsed() < Duration::from_secs(10), "the lock outlives its session");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_run_killed_at_every_event_is_recovered() {
    if is_child() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // The oldest and the newest: each costs fifteen processes and databases.
        let versions = testkit::versions();
        for binaries in versions.first().into_iter().chain(versions.last().filter(|_| versions.len() > 1)) {
            let server = testkit::server(binaries.major);
            let mut outcomes = std::collections::BTreeSet::new();
            let mut at = 0;
            loop {
                let world = World::on(server).await;
                let before = world.schema_dump().await;
                let status =
                    run_child("deaths::a_run_killed_at_every_event_is_recovered", "execute", at, &world.url);
                let finished = status.success();
                let recovered = recover(&world, &quick()).await;
                assert!(!finished || recovered.is_empty());
                for r in &recovered {
                    assert!(r.sentence.ends_with('.'), "{r:?}");
                    outcomes.insert((r.was.as_str(), r.is.as_str()));
                }
                assert_clean(&world, at).await;
                // Whatever was done can be undone, and then all is as before.
                match apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await {
                    Ok(undo) => {
                        undo.into_result().unwrap();
                    }
                    Err(Error::NoEntry { .. }) => {}
                    Err(error) => panic!("killed at event {at}: {error}"),
                }
                assert_eq!(world.schema_dump().await, before, "killed at event {at}");
                // And the same plan can be carried out again.
                execute(&world, &Task::Execute.plan(), &quick()).await.unwrap().into_result().unwrap();
                if finished {
                    break;
                }
                at += 1;
            }
            // The lock, the entry, and four for each of the three steps.
            assert_eq!(at, 14);
            assert!(outcomes.contains(&("running", "done")), "{outcomes:?}");
            assert!(outcomes.contains(&("running", "cleaned")), "{outcomes:?}");
            assert!(outcomes.contains(&("planned", "skipped")), "{outcomes:?}");
        }
    });
}

#[test]
fn an_undo_killed_at_every_event_is_recovered() {
    if is_child() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = testkit::any_server();
        let mut outcomes = std::collections::BTreeSet::new();
        for at in 0.. {
            let world = World::on(server).await;
            let before = world.schema_dump().await;
            execute(&world, &Task::Undo.plan(), &quick()).await.unwrap().into_result().unwrap();
            let status =
                run_child("deaths::an_undo_killed_at_every_event_is_recovered", "undo", at, &world.url);
            for r in recover(&world, &quick()).await {
                outcomes.insert((r.was.as_str(), r.is.as_str()));
            }
            assert_clean(&world, at).await;
            if status.success() {
                assert_eq!(world.schema_dump().await, before);
                // The lock, two for ANALYZE which needs no statement, and four for each of the others.
                assert_eq!(at, 11);
                break;
            }
            // The undo is finished by asking again.
            match apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await {
                Ok(undo) => {
                    undo.into_result().unwrap();
                }
                Err(Error::NoEntry { .. }) => {}
                Err(error) => panic!("killed at event {at}: {error}"),
            }
            assert_eq!(world.schema_dump().await, before, "killed at event {at}");
        }
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), [("undoing", "done"), ("undoing", "undone")]);
    });
}

#[test]
fn a_build_that_outlives_its_pgwright_is_waited_for_or_stopped() {
    if is_child() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for server in testkit::servers() {
            for orphans in [Orphans::Wait, Orphans::Cancel] {
                let world = World::on(server).await;
                world
                    .sql(
                        "create function slow(n integer) returns integer immutable language plpgsql \
                           as $$ begin perform pg_catalog.pg_sleep(0.02); return n; end $$; \
                         create table slow (n integer); insert into slow select generate_series(1, 120)",
                    )
                    .await;
                let status = run_child(
                    "deaths::a_build_that_outlives_its_pgwright_is_waited_for_or_stopped",
                    "slow",
                    0,
                    &world.url,
                );
                assert!(!status.success());
                wait_for_unlock(&world).await;
                let mut waited = 0;
                let options = ExecuteOptions { orphans, ..quick() };
                let recovered = apply::recover(&world.target, &options, &mut |event| {
                    waited += u32::from(matches!(event, Event::Orphan { .. }));
                })
                .await
                .unwrap();
                assert!(waited > 0, "the server process had not outlived its client");
                let states: Vec<_> = recovered.iter().map(|r| (r.was, r.is)).collect();
                let expected = if orphans == Orphans::Wait { Status::Done } else { Status::Cleaned };
                assert_eq!(
                    states,
                    [(Status::Running, expected), (Status::Planned, Status::Skipped)],
                    "{recovered:?}"
                );
                let indexes = world.indexes().await;
                assert_eq!(indexes.contains("INDEX s "), orphans == Orphans::Wait);
                assert!(!indexes.contains("INVALID"));
            }
        }
    });
}

/// The server itself dies in the middle of a build. It commits asynchronously, as test servers do,
/// so that the journal's own writes are what is tried here.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_is_recovered_after_its_restart() {
    let major = testkit::versions().first().unwrap().major;
    let mut server = testkit::server_with(major, &[]);
    let world = World::on(&server).await;
    world
        .sql(
            "create function slow(n integer) returns integer immutable language plpgsql \
               as $$ begin perform pg_catalog.pg_sleep(0.02); return n; end $$; \
             create table slow (n integer); insert into slow select generate_series(1, 500)",
        )
        .await;
    let before = world.schema_dump().await;
    let (pid, began) = (server.pid().unwrap(), Instant::now());
    let mut killed = false;
    let run = apply::execute(&world.target, &Task::SlowBuild.plan(), &quick(), &mut |event| {
        let building = matches!(&event, Event::Progress { activity, .. }
            if activity.phase.as_deref().is_some_and(|p| p.starts_with("building index")));
        if building && !killed {
            killed = true;
            // Immediate shutdown: no good-byes to anybody, and recovery from the log afterwards.
            assert!(Command::new("kill").args(["-QUIT", &pid.to_string()]).status().unwrap().success());
        }
    })
    .await;
    assert!(killed && began.elapsed() < Duration::from_secs(30));
    // The journal cannot be written either, so this is an error of the run itself.
    let error = run.unwrap_err();
    assert!(matches!(error, Error::Query { .. } | Error::Connect(_)), "{error}");
    server.restart(&[]).unwrap();
    let recovered = apply::recover(&world.target, &quick(), &mut |_| {}).await.unwrap();
    assert_eq!((recovered[0].was, recovered[0].is), (Status::Running, Status::Cleaned), "{recovered:?}");
    let client = testkit::connect(&world.url).await;
    let world = World { client, ..world };
    assert_eq!(world.schema_dump().await, before);
}

#[test]
fn statistics_killed_at_every_event_are_made_or_not() {
    if is_child() {
        return;
    }
    const TEST: &str = "deaths::statistics_killed_at_every_event_are_made_or_not";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = testkit::any_server();
        for task in ["statistics", "undo_statistics"] {
            let mut at = 0;
            loop {
                let world = World::on(server).await;
                let before = world.schema_dump().await;
                if task == "undo_statistics" {
                    execute(&world, &Task::Statistics.plan(), &quick()).await.unwrap().into_result().unwrap();
                }
                let finished = run_child(TEST, task, at, &world.url).success();
                recover(&world, &quick()).await;
                let made = world.value("select count(*) from pg_statistic_ext").await == "1";
                let set =
                    world.value("select count(*) from pg_attribute where attstattarget = 500").await == "1";
                for entry in apply::journal(&world.target).await.unwrap() {
                    for step in entry.forward_steps() {
                        assert!(!step.status.is_open(), "{task} killed at event {at}: {step:?}");
                        let applied = step.status == Status::Done;
                        match step.position {
                            0 => assert_eq!(applied, made, "{task} killed at event {at}: {step:?}"),
                            1 => assert_eq!(applied, set, "{task} killed at event {at}: {step:?}"),
                            _ => {}
                        }
                    }
                }
                match apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await {
                    Ok(undo) => drop(undo.into_result().unwrap()),
                    Err(Error::NoEntry { .. }) => {}
                    Err(error) => panic!("{task} killed at event {at}: {error}"),
                }
                assert_eq!(world.schema_dump().await, before, "{task} killed at event {at}");
                if finished {
                    break;
                }
                at += 1;
            }
            assert!(at > 6, "{at}");
        }
    });
}
