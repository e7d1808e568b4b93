//! Locks that are not to be had, transactions that do not end, the wish to stop, and two at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use apply::{Cancellation, Error, Event, ExecuteOptions, Orphans, Status, UndoTarget};

use crate::world::{World, create, execute, plain_table, plan_of, quick, shown};

fn failure(error: Error) -> Box<apply::StepFailure> {
    match error {
        Error::Step(failure) => failure,
        other => panic!("{}", shown(&other)),
    }
}

#[tokio::test]
async fn a_lock_that_stays_ends_in_an_error_that_names_its_holder() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        let before = world.schema_dump().await;
        let blocker = world.another_client().await;
        blocker
            .batch_execute("set application_name = 'nightly'; begin; lock plain in share mode")
            .await
            .unwrap();
        let mut retries = 0;
        let plan =
            plan_of("r", vec![create(plain_table(), "i", &["x"]), create(plain_table(), "j", &["y", "x"])]);
        let run = apply::execute(&world.target, &plan, &quick(), &mut |e| {
            retries += u32::from(matches!(e, Event::Retrying { .. }));
        })
        .await
        .unwrap();
        assert_eq!(retries, 2);
        let statuses: Vec<_> = run.entries[0].steps.iter().map(|s| s.status).collect();
        assert_eq!(statuses, [Status::Failed, Status::Skipped]);
        let error = run.into_result().unwrap_err();
        assert_eq!(error.sqlstate().as_deref(), Some("55P03"));
        let text = shown(&error);
        assert!(text.starts_with("error: could not create index public.i\n"), "{text}");
        assert!(
            text.contains(
                "Another session held a lock on public.plain for longer than lock_timeout (100.0 ms)"
            ),
            "{text}"
        );
        assert!(text.contains("nightly") && text.contains("idle in transaction"), "{text}");
        assert!(text.contains("Nothing was left behind."), "{text}");
        assert_eq!(world.schema_dump().await, before);
        let journal = apply::journal(&world.target).await.unwrap();
        assert_eq!(journal[0].status, "failed");
        assert_eq!(journal[0].steps[0].error.as_ref().unwrap()["sqlstate"], "55P03");
        assert_eq!(journal[0].steps[0].attempts, 3);
    }
}

#[tokio::test]
async fn a_lock_that_goes_is_waited_for_by_trying_again() {
    let world = World::on(testkit::any_server()).await;
    let blocker = world.another_client().await;
    blocker.batch_execute("begin; lock plain in share mode").await.unwrap();
    let options = ExecuteOptions { tries: 50, ..quick() };
    let plan = plan_of("r", vec![create(plain_table(), "i", &["x"])]);
    let retried = tokio::sync::Notify::new();
    let release = async {
        retried.notified().await;
        blocker.batch_execute("commit").await.unwrap();
    };
    let mut on_event = |event| {
        if let Event::Retrying { .. } = event {
            retried.notify_one();
        }
    };
    let (run, ()) = tokio::join!(apply::execute(&world.target, &plan, &options, &mut on_event), release);
    let run = run.unwrap().into_result().unwrap();
    assert!(run.entries[0].steps[0].attempts > 1);
    assert!(world.indexes().await.contains("INDEX i "));
}

#[tokio::test]
async fn a_table_that_cannot_even_be_looked_at_is_waited_for() {
    let world = World::on(testkit::any_server()).await;
    let blocker = world.another_client().await;
    blocker.batch_execute("begin; lock plain in access exclusive mode").await.unwrap();
    let plan = plan_of("r", vec![create(plain_table(), "i", &["x"])]);
    // One look waits two seconds.
    let error = execute(&world, &plan, &ExecuteOptions { tries: 1, ..quick() }).await.unwrap_err();
    let failure = failure(error);
    assert_eq!((failure.sqlstate.as_deref(), failure.blockers.len()), (Some("55P03"), 1));
    assert_eq!(world.value("to_regnamespace('pgwright')").await, "");
    let release = async {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        blocker.batch_execute("commit").await.unwrap();
    };
    let options = quick();
    let (run, ()) = tokio::join!(execute(&world, &plan, &options), release);
    run.unwrap().into_result().unwrap();
}

#[tokio::test]
async fn an_old_transaction_is_waited_for_and_named() {
    let world = World::on(testkit::any_server()).await;
    let writer = world.another_client().await;
    writer
        .batch_execute("set application_name = 'slow writer'; begin; insert into plain values (-1)")
        .await
        .unwrap();
    let waited = Arc::new(Mutex::new(Vec::new()));
    let seen = waited.clone();
    let plan = plan_of("r", vec![create(plain_table(), "i", &["x"])]);
    let named = tokio::sync::Notify::new();
    let release = async {
        named.notified().await;
        // Longer than lock_timeout: that limit is for the table's lock only.
        tokio::time::sleep(Duration::from_millis(400)).await;
        writer.batch_execute("commit").await.unwrap();
    };
    let options = quick();
    let mut on_event = |event| {
        if let Event::Progress { activity, .. } = event
            && let Some(blocker) = activity.waiting_for.first()
        {
            seen.lock().unwrap().push((activity.phase.clone(), blocker.to_string()));
            named.notify_one();
        }
    };
    let (run, ()) = tokio::join!(apply::execute(&world.target, &plan, &options, &mut on_event), release);
    assert_eq!(run.unwrap().into_result().unwrap().entries[0].steps[0].attempts, 1);
    let waited = waited.lock().unwrap();
    assert!(
        waited.iter().any(|(phase, blocker)| phase.as_deref() == Some("waiting for writers before build")
            && blocker.contains("slow writer")),
        "{waited:?}"
    );
}

#[tokio::test]
async fn a_transaction_that_does_not_end_leaves_its_remains_to_the_next_run() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        let before = world.schema_dump().await;
        let writer = world.another_client().await;
        writer.batch_execute("begin; insert into plain values (-1)").await.unwrap();
        let options = ExecuteOptions {
            transaction_timeout: Duration::from_millis(300),
            cleanup_timeout: Duration::from_millis(100),
            ..quick()
        };
        let plan = plan_of("r", vec![create(plain_table(), "i", &["x"])]);
        let error = execute(&world, &plan, &options).await.unwrap().into_result().unwrap_err();
        let text = shown(&error);
        assert!(
            text.contains("Transactions that are older than the statement did not end within 300"),
            "{text}"
        );
        assert!(
            text.contains("invalid index public.i could not be removed yet")
                || text.contains("Invalid index public.i could not be removed yet"),
            "{text}"
        );
        let failure = failure(error);
        assert!(failure.old_transactions && failure.left_behind.is_some() && failure.attempts == 1);
        assert!(world.indexes().await.contains("INVALID CREATE INDEX i "));

        writer.batch_execute("commit").await.unwrap();
        let recovered = apply::recover(&world.target, &quick(), &mut |_| {}).await.unwrap();
        assert_eq!(recovered.len(), 1);
        assert_eq!((recovered[0].was, recovered[0].is), (Status::Failed, Status::Cleaned));
        assert!(
            recovered[0].sentence.contains("invalid index public.i was removed"),
            "{}",
            recovered[0].sentence
        );
        assert_eq!(world.schema_dump().await, before);
        assert_eq!(apply::recover(&world.target, &quick(), &mut |_| {}).await.unwrap(), []);
    }
}

/// A build that takes as long as a test needs.
async fn slow_table(world: &World, rows: u32) {
    world
        .sql(&format!(
            "create function slow(n integer) returns integer immutable language plpgsql \
               as $$ begin perform pg_catalog.pg_sleep(0.02); return n; end $$; \
             create table slow (n integer); insert into slow select generate_series(1, {rows})"
        ))
        .await;
}

/// Waits until an index is being built.
async fn until_building(world: &World) {
    // Not the rehearsal on an empty copy, which is a build too.
    let building = "select count(*) from pg_stat_progress_create_index join pg_stat_activity using (pid) \
        where phase like 'building index%' and application_name = 'pgwright apply'";
    while world.value(building).await == "0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn slow_index(name: &str) -> model::Change {
    let key = model::IndexKey {
        target: model::KeyTarget::Expression("public.slow(n)".into()),
        ..model::IndexKey::column("")
    };
    let table = model::QualifiedName::new("public", "slow");
    model::Change::CreateIndex { index: model::IndexDefinition::btree(table, name, vec![key]) }
}

#[tokio::test]
async fn a_wish_to_stop_reaches_the_server_and_leaves_nothing() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        slow_table(&world, 500).await;
        let before = world.schema_dump().await;
        let cancellation = Cancellation::default();
        let options = ExecuteOptions { cancellation: cancellation.clone(), ..quick() };
        let plan = plan_of(
            "r",
            vec![
                create(plain_table(), "i", &["x"]),
                slow_index("s"),
                create(plain_table(), "j", &["y", "x"]),
            ],
        );
        let mut phases = Vec::new();
        let run = apply::execute(&world.target, &plan, &options, &mut |event| {
            if let Event::Progress { activity, .. } = event
                && let Some(phase) = activity.phase
                && phase.starts_with("building index")
            {
                phases.push(phase);
                cancellation.cancel();
            }
        })
        .await
        .unwrap();
        assert!(!phases.is_empty());
        let statuses: Vec<_> = run.entries[0].steps.iter().map(|s| s.status).collect();
        // The last is the ANALYZE that belongs to the index on an expression.
        assert_eq!(statuses, [Status::Done, Status::Failed, Status::Skipped, Status::Skipped]);
        let failure = failure(run.into_result().unwrap_err());
        assert!(
            failure.cancelled
                && failure.left_behind.is_none()
                && failure.sqlstate.as_deref() == Some("57014")
        );
        assert!(!world.indexes().await.contains("INVALID"));
        apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {})
            .await
            .unwrap()
            .into_result()
            .unwrap();
        assert_eq!(world.schema_dump().await, before);
    }
}

#[tokio::test]
async fn a_worker_that_is_terminated_is_cleaned_up_after() {
    let world = World::on(testkit::any_server()).await;
    slow_table(&world, 500).await;
    let before = world.schema_dump().await;
    let killer = world.another_client().await;
    let plan = plan_of("r", vec![slow_index("s")]);
    let options = quick();
    let kill = async {
        until_building(&world).await;
        killer
            .execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgwright apply'", &[])
            .await
            .unwrap();
    };
    let (run, ()) = tokio::join!(execute(&world, &plan, &options), kill);
    let failure = failure(run.unwrap().into_result().unwrap_err());
    assert_eq!((failure.sqlstate.as_deref(), failure.left_behind.as_deref()), (Some("57P01"), None));
    assert_eq!(world.schema_dump().await, before);
}

#[tokio::test]
async fn a_journal_session_that_is_lost_leaves_a_step_that_the_next_run_settles() {
    let world = World::on(testkit::any_server()).await;
    slow_table(&world, 100).await;
    let killer = world.another_client().await;
    let plan = plan_of("r", vec![slow_index("s")]);
    let options = quick();
    let kill = async {
        until_building(&world).await;
        killer
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgwright journal'",
                &[],
            )
            .await
            .unwrap();
    };
    let (run, ()) = tokio::join!(execute(&world, &plan, &options), kill);
    let error = run.unwrap_err();
    assert_eq!(error.to_string(), "could not write the journal", "{}", shown(&error));
    // The build went on: it is done, and now the journal says so.
    let recovered = apply::recover(&world.target, &quick(), &mut |_| {}).await.unwrap();
    let states: Vec<_> = recovered.iter().map(|r| (r.was, r.is)).collect();
    assert_eq!(states, [(Status::Running, Status::Done), (Status::Planned, Status::Skipped)]);
    assert!(world.indexes().await.contains("INDEX s "));
    apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {})
        .await
        .unwrap()
        .into_result()
        .unwrap();
}

#[tokio::test]
async fn the_victim_of_a_deadlock_is_cleaned_up_and_tries_again() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        let other = world.another_client().await;
        // Who looks for the deadlock first is its victim: not this session.
        other
            .batch_execute("set deadlock_timeout = '10min'; begin; insert into plain values (-1)")
            .await
            .unwrap();
        let plan = plan_of("r", vec![create(plain_table(), "i", &["x"])]);
        let options = ExecuteOptions { tries: 10, cleanup_timeout: Duration::from_secs(2), ..quick() };
        let cross = async {
            // The build waits for this transaction; now this transaction waits for the build's lock.
            let waiting = "select count(*) from pg_stat_activity where application_name = 'pgwright apply' \
                and wait_event = 'virtualxid'";
            while world.value(waiting).await == "0" {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            other.batch_execute("lock plain in share update exclusive mode").await.unwrap();
            other.batch_execute("commit").await.unwrap();
        };
        let mut states = Vec::new();
        let mut on_event = |event| match event {
            Event::Retrying { sqlstate, .. } => states.push(sqlstate),
            Event::Mending { sql, .. } => states.push(sql),
            _ => {}
        };
        let (run, ()) = tokio::join!(apply::execute(&world.target, &plan, &options, &mut on_event), cross);
        run.unwrap().into_result().unwrap();
        assert_eq!(states, ["DROP INDEX CONCURRENTLY public.i", "40P01"]);
        assert!(world.indexes().await.contains("INDEX i ") && !world.indexes().await.contains("INVALID"));
    }
}

#[tokio::test]
async fn an_undo_that_cannot_end_is_ended_by_the_next_run() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        let before = world.schema_dump().await;
        let plan = plan_of("r", vec![create(plain_table(), "i", &["x"])]);
        execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap();
        let reader = world.another_client().await;
        reader.batch_execute("begin; select count(*) from plain").await.unwrap();
        let options = ExecuteOptions {
            transaction_timeout: Duration::from_millis(300),
            cleanup_timeout: Duration::from_millis(100),
            ..quick()
        };
        let undo = apply::undo(&world.target, &UndoTarget::Last, &options, &mut |_| {}).await.unwrap();
        let error = undo.into_result().unwrap_err();
        assert_eq!(error.to_string(), "could not drop index public.i");
        assert!(failure(error).left_behind.is_some());
        assert_eq!(apply::journal(&world.target).await.unwrap()[0].status, "undoing");
        reader.batch_execute("commit").await.unwrap();
        // Any later run begins with that.
        let run = execute(&world, &plan_of("s", vec![]), &quick()).await.unwrap();
        assert_eq!((run.recovered[0].was, run.recovered[0].is), (Status::Undoing, Status::Undone));
        assert_eq!(world.schema_dump().await, before);
    }
}

#[tokio::test]
async fn a_setting_that_the_server_refuses_stops_the_run_before_the_journal() {
    let world = World::on(testkit::any_server()).await;
    let options = ExecuteOptions { maintenance_work_mem: Some("much".into()), ..quick() };
    let plan = plan_of("r", vec![create(plain_table(), "i", &["x"])]);
    let error = execute(&world, &plan, &options).await.unwrap_err();
    assert_eq!(error.to_string(), "could not set maintenance_work_mem");
    assert_eq!(world.value("to_regnamespace('pgwright')").await, "");
    let options = ExecuteOptions { maintenance_work_mem: Some("64MB".into()), ..quick() };
    execute(&world, &plan, &options).await.unwrap().into_result().unwrap();
}

#[tokio::test]
async fn two_runs_at_once_are_refused_and_the_lock_goes_with_the_first() {
    let world = World::on(testkit::any_server()).await;
    slow_table(&world, 120).await;
    let (first_plan, second_plan) =
        (plan_of("a", vec![slow_index("s")]), plan_of("b", vec![create(plain_table(), "i", &["x"])]));
    let options = quick();
    let second = async {
        until_building(&world).await;
        // A look at the journal and a recovery do not disturb the run that is alive.
        assert_eq!(apply::recover(&world.target, &quick(), &mut |_| {}).await.unwrap(), []);
        assert_eq!(apply::journal(&world.target).await.unwrap()[0].status, "running");
        execute(&world, &second_plan, &quick()).await
    };
    let (first, refused) = tokio::join!(execute(&world, &first_plan, &options), second);
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::Locked { pid: Some(_), since: Some(_) }), "{}", shown(&error));
    first.unwrap().into_result().unwrap();
    execute(&world, &second_plan, &quick()).await.unwrap().into_result().unwrap();
    assert_eq!(Orphans::default(), Orphans::Wait);
}

#[tokio::test]
async fn duplicate_keys_leave_nothing_behind() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        let before = world.schema_dump().await;
        let unique =
            model::IndexDefinition { unique: true, ..crate::world::index(plain_table(), "u", &["x"]) };
        let plan = plan_of("r", vec![model::Change::CreateIndex { index: unique }]);
        let error = execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap_err();
        let text = shown(&error);
        assert!(
            text.contains("(23505)")
                && text.contains("is duplicated")
                && text.contains("Nothing was left behind."),
            "{text}"
        );
        assert_eq!(world.schema_dump().await, before);
    }
}
