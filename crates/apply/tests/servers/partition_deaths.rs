//! What if pgwright is killed while it works on the index of a partitioned table, and others write? At
//! every event, forth and back, and whatever is done next: the same again, or undo.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apply::{Error, Event, Orphans, Status, UndoTarget};
use model::{Change, IndexDefinition, IndexKey, KeyTarget, QualifiedName};
use tokio::task::JoinHandle;

use crate::deaths::{recover, run_child};
use crate::world::{World, create, execute, plan_of, quick, shown, target};

const CHILD: &str = "PGWRIGHT_TEST_CHILD";

/// Two levels and an index that is there before.
const TREE: &str = r#"
    create table "a""b.c" (id integer not null, "x y" integer) partition by range (id);
    create table p1 partition of "a""b.c" for values from (0) to (100);
    create table p2 partition of "a""b.c" for values from (100) to (300) partition by range (id);
    create table p21 partition of p2 for values from (100) to (300);
    insert into "a""b.c" select n, n % 7 from generate_series(0, 299) n;
    create index before on p21 ("x y");
    create index dropped on "a""b.c" (id);
"#;

#[derive(Clone, Copy, PartialEq)]
enum Task {
    Create,
    UndoCreate,
    Drop,
    UndoDrop,
    Slow,
}

impl Task {
    const ALL: [(&'static str, Self); 5] = [
        ("create", Self::Create),
        ("undo_create", Self::UndoCreate),
        ("drop", Self::Drop),
        ("undo_drop", Self::UndoDrop),
        ("slow", Self::Slow),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, task)| *task == self).unwrap().0
    }

    fn is_undo(self) -> bool {
        matches!(self, Self::UndoCreate | Self::UndoDrop)
    }

    fn plan(self) -> apply::ApplyPlan {
        let table = QualifiedName::new("public", "a\"b.c");
        plan_of(
            "r",
            vec![match self {
                Self::Create | Self::UndoCreate => create(table, "whole", &["x y"]),
                Self::Slow => {
                    let target = KeyTarget::Expression("public.slow(n)".into());
                    let key = IndexKey { target, ..IndexKey::column("") };
                    Change::CreateIndex { index: IndexDefinition::btree(table, "whole", vec![key]) }
                }
                Self::Drop | Self::UndoDrop => Change::DropIndex {
                    name: QualifiedName::new("public", "dropped"),
                    table,
                    definition: "CREATE INDEX dropped ON ONLY public.\"a\"\"b.c\" USING btree (id)".into(),
                },
            }],
        )
    }
}

/// The part of a test that runs in a process of its own and dies at an event.
fn is_child() -> bool {
    let Ok(order) = std::env::var(CHILD) else { return false };
    let mut words = order.splitn(3, ' ');
    let name = words.next().unwrap();
    let at: usize = words.next().unwrap().parse().unwrap();
    let url = words.next().unwrap();
    let (_, task) = Task::ALL.into_iter().find(|(known, _)| *known == name).unwrap();
    let mut seen = 0;
    let mut on_event = move |event: Event| {
        let counts = match task {
            // A look at the build of the second partition, once it has begun.
            Task::Slow => matches!(&event, Event::Progress { elapsed, activity, .. }
                if elapsed.0 > 400.0 && activity.phase.as_deref().is_some_and(|p| p.starts_with("building"))),
            _ => !matches!(event, Event::Progress { .. } | Event::Retrying { .. }),
        };
        if !counts {
            return;
        }
        if seen == at {
            // As SIGKILL does: neither destructors nor good-byes.
            std::process::abort();
        }
        seen += 1;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let target = target(url);
        let options = apply::ExecuteOptions { tries: 20, ..quick() };
        if task.is_undo() {
            let undo = apply::undo(&target, &UndoTarget::Last, &options, &mut on_event).await;
            undo.unwrap().into_result().unwrap();
        } else {
            let run = apply::execute(&target, &task.plan(), &options, &mut on_event).await;
            run.unwrap().into_result().unwrap();
        }
    });
    true
}

/// Writes into all partitions until it is told to stop.
async fn writer(world: &World) -> (Arc<AtomicBool>, JoinHandle<u64>) {
    let client = world.another_client().await;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let task = tokio::spawn(async move {
        let mut written = 0;
        while !told.load(Ordering::Relaxed) {
            client
                .batch_execute(
                    "insert into \"a\"\"b.c\" select n * 7 % 300, n from generate_series(1, 20) n; \
                     update \"a\"\"b.c\" set \"x y\" = \"x y\" + 1 where id % 50 = 3",
                )
                .await
                .unwrap();
            written += 1;
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        written
    });
    (stop, task)
}

/// No invalid index that costs writes, and a journal without open steps.
async fn assert_clean(world: &World, at: usize) {
    let half_built = "select string_agg(indexrelid::regclass::text, ' ') from pg_index \
        join pg_class c on c.oid = indexrelid where not indisvalid and relkind = 'i'";
    assert_eq!(world.value(half_built).await, "", "killed at event {at}");
    for entry in apply::journal(&world.target).await.unwrap() {
        for step in &entry.steps {
            assert!(!step.status.is_open(), "killed at event {at}: {step:?}");
        }
    }
}

async fn undo(world: &World, at: usize) {
    let options = apply::ExecuteOptions { tries: 20, ..quick() };
    match apply::undo(&world.target, &UndoTarget::Last, &options, &mut |_| {}).await {
        Ok(undo) => {
            undo.into_result().unwrap_or_else(|e| panic!("killed at event {at}: {}", shown(&e)));
        }
        Err(Error::NoEntry { .. }) => {}
        Err(error) => panic!("killed at event {at}: {}", shown(&error)),
    }
}

/// Kills a task at each of its events in turn; `test` is the name of the test that calls.
async fn kill_everywhere(test: &str, server: &cluster::Server, task: Task) -> usize {
    let options = apply::ExecuteOptions { tries: 20, ..quick() };
    for at in 0.. {
        let world = World::on(server).await;
        world.sql(TREE).await;
        let before = world.schema_dump().await;
        if task.is_undo() {
            let run = execute(&world, &task.plan(), &options).await;
            run.unwrap().into_result().unwrap_or_else(|e| panic!("{}", shown(&e)));
        }
        let (stop, writing) = writer(&world).await;
        let status = run_child(test, task.name(), at, &world.url);
        let finished = status.success();
        for found in recover(&world, &options).await {
            assert!(
                found.sentence.ends_with('.') && found.is != found.was,
                "killed at event {at}: {found:?}"
            );
        }
        assert_clean(&world, at).await;
        if !task.is_undo() && at % 2 == 0 {
            // The same again does the rest, or says that all of it is done.
            match execute(&world, &task.plan(), &options).await {
                Ok(run) => {
                    run.into_result().unwrap_or_else(|e| panic!("killed at event {at}: {}", shown(&e)));
                }
                Err(Error::Refused(refusals)) => assert!(
                    apply::journal(&world.target).await.unwrap().last().unwrap().status == "done",
                    "killed at event {at}: {refusals:?}"
                ),
                Err(error) => panic!("killed at event {at}: {}", shown(&error)),
            }
            let invalid = "select count(*) from pg_index where not indisvalid";
            assert_eq!(world.value(invalid).await, "0", "killed at event {at}");
            let journal = apply::journal(&world.target).await.unwrap();
            assert_eq!(journal.last().unwrap().status, "done", "killed at event {at}: {journal:?}");
        }
        undo(&world, at).await;
        stop.store(true, Ordering::Relaxed);
        assert!(writing.await.unwrap() > 0, "nobody wrote meanwhile");
        assert_eq!(
            world.schema_dump().await,
            before,
            "killed at event {at} on {}",
            server.binaries().version
        );
        for entry in apply::journal(&world.target).await.unwrap() {
            assert!(
                entry.forward_steps().all(|s| s.status != Status::Done),
                "killed at event {at}: {entry:?}"
            );
        }
        if finished {
            return at;
        }
    }
    0
}

/// A table whose index takes seconds to build on the second partition.
const SLOW: &str = "
    create function slow(n integer) returns integer immutable language plpgsql
        as $$ begin perform pg_catalog.pg_sleep(0.02); return n; end $$;
    create table \"a\"\"b.c\" (id integer not null, n integer) partition by range (id);
    create table p1 partition of \"a\"\"b.c\" for values from (0) to (10);
    create table p2 partition of \"a\"\"b.c\" for values from (10) to (1000);
    insert into \"a\"\"b.c\" select n, n from generate_series(1, 150) n";

#[test]
fn killed_while_a_partition_is_indexed_the_server_goes_on_and_so_does_the_next_run() {
    if is_child() {
        return;
    }
    let test =
        "partition_deaths::killed_while_a_partition_is_indexed_the_server_goes_on_and_so_does_the_next_run";
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        for server in testkit::servers() {
            for orphans in [Orphans::Wait, Orphans::Cancel] {
                let world = World::on(server).await;
                world.sql(SLOW).await;
                let before = world.schema_dump().await;
                let status = run_child(test, Task::Slow.name(), 0, &world.url);
                assert!(!status.success());
                let options = apply::ExecuteOptions { orphans, ..quick() };
                let recovered = recover(&world, &options).await;
                let expected = if orphans == Orphans::Wait { Status::Done } else { Status::Cleaned };
                assert_eq!((recovered[0].was, recovered[0].is), (Status::Running, expected), "{recovered:?}");
                assert!(recovered[1..].iter().all(|r| r.is == Status::Skipped), "{recovered:?}");
                assert_clean(&world, 0).await;
                let run = execute(&world, &Task::Slow.plan(), &quick()).await.unwrap().into_result().unwrap();
                // The attachments and the statistics, and the build when it was stopped.
                let left = if orphans == Orphans::Wait { 3 } else { 4 };
                assert_eq!(run.entries[0].steps.len(), left, "{:?}", run.entries[0].steps);
                let invalid = "select count(*) from pg_index where not indisvalid";
                assert_eq!(world.value(invalid).await, "0");
                undo(&world, 0).await;
                assert_eq!(world.schema_dump().await, before, "on {}", server.binaries().version);
            }
        }
    });
}

fn kill_on(test: &str, major: u32) {
    if is_child() {
        return;
    }
    if !testkit::versions().iter().any(|b| b.major == major) {
        return;
    }
    let test = format!("partition_deaths::{test}");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let server = testkit::server(major);
        // At least four events for each statement; when a lock is not to be had at once there are more.
        for (task, statements) in
            [(Task::Create, 6), (Task::UndoCreate, 2), (Task::Drop, 1), (Task::UndoDrop, 7)]
        {
            let events = kill_everywhere(&test, server, task).await;
            assert!(events >= 4 * statements, "{}: {events}", task.name());
        }
    });
}

#[test]
fn killed_at_every_event_on_15() {
    kill_on("killed_at_every_event_on_15", 15);
}

#[test]
fn killed_at_every_event_on_17() {
    kill_on("killed_at_every_event_on_17", 17);
}

#[test]
fn killed_at_every_event_on_18() {
    kill_on("killed_at_every_event_on_18", 18);
}
