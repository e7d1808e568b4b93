//! What if pgwright or the server is killed in the middle of a conversion? The next run goes on, or takes it back,
//! and no row is lost either way.

use std::time::Duration;

use apply::partition_conversion::{
    self as conversion, ConversionEvent, ConversionRequest, DividedBy, Method, Step,
};

use crate::conversion::{EVENTS, convert, events, finish, monthly, patient, revert, rows};
use crate::deaths::{CHILD, run_child, wait_for_unlock};
use crate::world::{World, shown, target};

/// The part of a test that runs in a process of its own and dies at an event.
fn is_child() -> bool {
    let Ok(order) = std::env::var(CHILD) else { return false };
    let (task, order) = order.split_once(' ').unwrap();
    let (at, url) = order.split_once(' ').unwrap();
    let at: usize = at.parse().unwrap();
    let mut seen = 0;
    let mut on_event = move |event: ConversionEvent| {
        let counts = match event {
            // One of the pieces, with others at work.
            ConversionEvent::Copied { batches_done, .. } => batches_done == 3,
            ConversionEvent::Built { done, .. } => done == 4,
            ConversionEvent::Drained { .. } | ConversionEvent::Retrying { .. } => false,
            _ => true,
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
        let (target, table, options) = (target(url), events(), patient());
        let done = match task {
            "rewrite" | "attach" | "list" => {
                conversion::convert(&target, &asked(task, None), &options, &mut on_event).await
            }
            "revert" => conversion::revert_conversion(&target, &table, &options, &mut on_event).await,
            _ => conversion::finish_conversion(&target, &table, &options, &mut on_event).await,
        };
        done.unwrap();
    });
    true
}

/// What a task asks for.
fn asked(task: &str, prepared: Option<Method>) -> ConversionRequest {
    let method = if task == "attach" { Method::Attach } else { prepared.unwrap_or(Method::Rewrite) };
    let request = monthly(events(), method);
    match task {
        "list" => ConversionRequest {
            column: "user_id".into(),
            by: DividedBy::List,
            weaken_unique: true,
            method: None,
            ..request
        },
        _ => request,
    }
}

/// Writes that somebody makes between a death and the next run.
async fn write(world: &World, n: usize) {
    world
        .sql(&format!(
            r#"insert into "S x"."a""b.c" (user_id, created_at, "select") values (1, '2026-02-02', 'written {n}');
               update "S x"."a""b.c" set created_at = created_at + interval '31 days', user_id = 2 where id = {};
               delete from "S x"."a""b.c" where id = {}"#,
            100 + n,
            200 + n
        ))
        .await;
}

async fn is_open(world: &World) -> bool {
    conversion::conversions(&world.target).await.unwrap().iter().any(|c| c.ended_at.is_none())
}

/// Kills a task at each of its events in turn, until it comes to its end.
async fn kill_everywhere(test: &str, task: &str, prepared: Option<Method>) {
    let request = asked(task, prepared);
    let table = events();
    let server = testkit::any_server();
    let mut at = 0;
    loop {
        let world = World::on(server).await;
        world.sql(EVENTS).await;
        if task == "list" {
            world.sql(r#"update "S x"."a""b.c" set user_id = 1 + id % 3"#).await;
        }
        let dump = world.schema_dump().await;
        if prepared.is_some() {
            convert(&world.target, &request).await.unwrap();
            write(&world, 50).await;
        }
        let finished = run_child(test, task, at, &world.url).success();
        wait_for_unlock(&world).await;
        write(&world, at % 40).await;
        let before = rows(&world, &table).await;
        let went_on = |e: apply::Error| panic!("{task} killed at event {at}: {}", shown(&e));
        match task {
            // Every second time it is taken back.
            "rewrite" | "attach" | "list" if at % 2 == 0 => {
                let done = convert(&world.target, &request).await.unwrap_or_else(went_on);
                assert_eq!(done.step, Step::Swapped);
                assert_eq!(rows(&world, &table).await, before, "{task} killed at event {at}");
                write(&world, 60).await;
            }
            "finish" if is_open(&world).await => {
                finish(&world.target, &table).await.unwrap_or_else(went_on);
            }
            _ => {}
        }
        let before = rows(&world, &table).await;
        if is_open(&world).await {
            let done = revert(&world.target, &table).await.unwrap_or_else(went_on);
            assert_eq!(done.step, Step::Reverted);
        }
        assert_eq!(rows(&world, &table).await, before, "{task} killed at event {at}");
        if task != "finish" {
            assert_eq!(world.schema_dump().await, dump, "{task} killed at event {at}");
        }
        if finished {
            break;
        }
        at += 1;
    }
    assert!(at > 2, "only {at} events");
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(future);
}

#[test]
fn a_rewrite_killed_at_every_event() {
    if !is_child() {
        run(kill_everywhere("conversion_deaths::a_rewrite_killed_at_every_event", "rewrite", None));
    }
}

#[test]
fn a_division_by_a_list_killed_at_every_event() {
    if !is_child() {
        run(kill_everywhere("conversion_deaths::a_division_by_a_list_killed_at_every_event", "list", None));
    }
}

#[test]
fn an_attachment_killed_at_every_event() {
    if !is_child() {
        run(kill_everywhere("conversion_deaths::an_attachment_killed_at_every_event", "attach", None));
    }
}

#[test]
fn a_return_killed_at_every_event() {
    if !is_child() {
        run(kill_everywhere(
            "conversion_deaths::a_return_killed_at_every_event",
            "revert",
            Some(Method::Rewrite),
        ));
    }
}

#[test]
fn a_finish_killed_at_every_event() {
    if !is_child() {
        run(kill_everywhere(
            "conversion_deaths::a_finish_killed_at_every_event",
            "finish",
            Some(Method::Rewrite),
        ));
    }
}

/// The steps during which the server crashes.
const CRASHES: [Step; 6] = [Step::Copy, Step::Fold, Step::Index, Step::CatchUp, Step::Verify, Step::Swap];

/// Calls a task that the server does not survive, starts the server again, and gives the world with a new session.
async fn crash(
    server: &mut cluster::Server,
    world: World,
    step: Step,
    call: impl AsyncFnOnce(&World, &mut (dyn FnMut(ConversionEvent) + Send)) -> bool,
) -> World {
    let pid = server.pid().unwrap().to_string();
    let mut on_event = |event: ConversionEvent| {
        let now = match (&event, step) {
            (ConversionEvent::Copied { batches_done: 3, .. }, Step::Copy)
            | (ConversionEvent::Built { done: 3, .. }, Step::Index) => true,
            (ConversionEvent::Began { step: began }, _) => {
                *began == step && !matches!(step, Step::Copy | Step::Index)
            }
            _ => false,
        };
        if now {
            let killed = std::process::Command::new("kill").args(["-QUIT", &pid]).status().unwrap();
            assert!(killed.success());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    assert!(call(&world, &mut on_event).await, "the server was not killed at {step:?}");
    server.restart(&[]).unwrap();
    World { client: testkit::connect(&world.url).await, ..world }
}

fn crashing_server() -> cluster::Server {
    // What is acknowledged has to survive a crash of the processes; the machine does not crash.
    testkit::server_with(testkit::versions()[0].major, &[("synchronous_commit", "on")])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_crashes_at_each_step() {
    let mut server = crashing_server();
    for step in CRASHES {
        let world = World::on(&server).await;
        world.sql(EVENTS).await;
        let table = events();
        let before = rows(&world, &table).await;
        let request = monthly(table.clone(), Method::Rewrite);
        let world = crash(&mut server, world, step, async |world, on_event| {
            conversion::convert(&world.target, &request, &patient(), on_event).await.is_err()
        })
        .await;
        assert_eq!(rows(&world, &table).await, before, "after a crash at {step:?}");
        write(&world, 3).await;
        let before = rows(&world, &table).await;
        let done =
            convert(&world.target, &request).await.unwrap_or_else(|e| panic!("{step:?}: {}", shown(&e)));
        assert!(done.resumed);
        assert_eq!(rows(&world, &table).await, before, "after a crash at {step:?}");
        finish(&world.target, &table).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_crashes_at_each_step_of_an_attachment() {
    let mut server = crashing_server();
    let table = events();
    let request = monthly(table.clone(), Method::Attach);
    let steps = [Step::NotNull, Step::Shadow, Step::WiderKey, Step::Swap, Step::Validate];
    for (n, step) in steps.into_iter().enumerate() {
        let world = World::on(&server).await;
        world.sql(EVENTS).await;
        let (before, dump) = (rows(&world, &table).await, world.schema_dump().await);
        let world = crash(&mut server, world, step, async |world, on_event| {
            conversion::convert(&world.target, &request, &patient(), on_event).await.is_err()
        })
        .await;
        assert_eq!(rows(&world, &table).await, before, "after a crash at {step:?}");
        write(&world, 3).await;
        let before = rows(&world, &table).await;
        let went_on = |e: apply::Error| panic!("{step:?}: {}", shown(&e));
        // Every second time it is taken back where the crash left it.
        if n % 2 == 0 {
            assert!(convert(&world.target, &request).await.unwrap_or_else(went_on).resumed);
            assert_eq!(rows(&world, &table).await, before, "after a crash at {step:?}");
            write(&world, 4).await;
        }
        let before = rows(&world, &table).await;
        revert(&world.target, &table).await.unwrap_or_else(went_on);
        assert_eq!(rows(&world, &table).await, before, "after a crash at {step:?}");
        assert_eq!(world.schema_dump().await, dump, "after a crash at {step:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_crashes_at_each_step_of_the_way_back_and_of_the_end() {
    let mut server = crashing_server();
    let table = events();
    let back = |method| [Step::CarryBack, Step::SwapBack, Step::Restore, Step::CleanUp].map(|s| (method, s));
    let mut cases: Vec<(Method, Step)> = back(Method::Rewrite).into_iter().collect();
    // Nothing is carried back into a table that has become a partition.
    cases.extend([(Method::Attach, Step::SwapBack), (Method::Attach, Step::Restore)]);
    cases.push((Method::Rewrite, Step::DropOld));
    for (method, step) in cases {
        let world = World::on(&server).await;
        world.sql(EVENTS).await;
        let dump = world.schema_dump().await;
        convert(&world.target, &monthly(table.clone(), method)).await.unwrap();
        write(&world, 50).await;
        let before = rows(&world, &table).await;
        let ends = step == Step::DropOld;
        let world = crash(&mut server, world, step, async |world, on_event| {
            let options = patient();
            match ends {
                true => {
                    conversion::finish_conversion(&world.target, &table, &options, on_event).await.is_err()
                }
                false => {
                    conversion::revert_conversion(&world.target, &table, &options, on_event).await.is_err()
                }
            }
        })
        .await;
        let at = format!("after a crash at {step:?} of {method:?}");
        assert_eq!(rows(&world, &table).await, before, "{at}");
        write(&world, 60).await;
        let before = rows(&world, &table).await;
        let went_on = |e: apply::Error| panic!("{at}: {}", shown(&e));
        if ends {
            finish(&world.target, &table).await.unwrap_or_else(went_on);
        } else {
            revert(&world.target, &table).await.unwrap_or_else(went_on);
            assert_eq!(world.schema_dump().await, dump, "{at}");
        }
        assert_eq!(rows(&world, &table).await, before, "{at}");
        assert!(!is_open(&world).await, "{at}");
    }
}
