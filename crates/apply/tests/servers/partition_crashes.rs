//! What if the server is killed while a set is looked after or an archive is brought back, or pgwright while an archive is
//! brought back? The next run goes on, and every row is in exactly one place.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use apply::partition_archive::restore;
use apply::partition_sets::run;
use apply::{Event, ExecuteOptions};
use model::partition_set::RetentionAction;
use partitioning::settings::SetSettings;

use crate::deaths::{CHILD, recover, run_child};
use crate::partition_archive::archives_of;
use crate::partition_sets::looked_after;
use crate::world::{World, kind, quick, shown, target};

/// An old partition, and rows of this month in DEFAULT.
const TABLES: &str = r#"
    create table "r'r" (at date not null, n int) partition by range (at);
    create table r_2001_01 partition of "r'r" for values from ('2001-01-01') to ('2001-02-01');
    create table r_rest partition of "r'r" default;
    insert into "r'r" select '2001-01-05', n from generate_series(1, 100) n;
    insert into "r'r" select now(), n from generate_series(101, 20000) n"#;

const ROWS: &str = r#"select count(*) || ' ' || count(distinct n) || ' ' || sum(n) from "r'r""#;

fn set(folder: &Path) -> SetSettings {
    SetSettings {
        table: r#""r'r""#.into(),
        interval: Some("month".into()),
        premake: Some(0),
        retention: Some("1 month".into()),
        then: Some(RetentionAction::Archive),
        archive: Some(folder.display().to_string()),
        ..SetSettings::default()
    }
}

/// Where the server is killed, and how much later.
type Moment = (&'static str, fn(&Event) -> bool, u64);

fn sends(event: &Event, text: &str) -> bool {
    matches!(event, Event::Sending { sql, .. } if sql.contains(text))
}

fn starts(event: &Event, text: &str) -> bool {
    matches!(event, Event::Started { sql, .. } if sql.starts_with(text))
}

const MOMENTS: [Moment; 5] = [
    ("while rows are moved", |e| sends(e, "WITH idle"), 15),
    ("at the detach", |e| sends(e, " DETACH "), 0),
    ("while it is archived", |e| starts(e, "COPY"), 10),
    ("before the drop", |e| starts(e, "DROP TABLE"), 0),
    ("before the statistics", |e| starts(e, "ANALYZE"), 0),
];

/// Calls something that the server does not survive, and starts the server again.
async fn killed_at(
    server: &mut cluster::Server,
    world: World,
    (name, is_now, after_ms): Moment,
    call: impl AsyncFnOnce(&World, &mut (dyn FnMut(Event) + Send)),
) -> World {
    let pid = server.pid().unwrap().to_string();
    let mut killer = None;
    let mut on_event = |event: Event| {
        if killer.is_none() && is_now(&event) {
            let pid = pid.clone();
            let kill = move || {
                std::thread::sleep(Duration::from_millis(after_ms));
                // Immediate shutdown: no good-byes to anybody, and recovery from the log afterwards.
                assert!(Command::new("kill").args(["-QUIT", &pid]).status().unwrap().success());
                std::thread::sleep(Duration::from_millis(50));
            };
            let spawned = std::thread::spawn(kill);
            killer = Some(match after_ms {
                0 => spawned.join().map(|()| None).unwrap(),
                _ => Some(spawned),
            });
        }
    };
    call(&world, &mut on_event).await;
    let killer = killer.unwrap_or_else(|| panic!("it did not come to the moment {name}"));
    if let Some(killer) = killer {
        killer.join().unwrap();
    }
    server.restart(&[]).unwrap();
    World { client: testkit::connect(&world.url).await, ..world }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_crashes_while_a_set_is_looked_after_and_while_an_archive_is_brought_back() {
    let major = testkit::versions()[0].major;
    // What is acknowledged has to survive a crash of the processes; the machine does not crash.
    let mut server = testkit::server_with(major, &[("synchronous_commit", "on")]);
    for moment in MOMENTS {
        let folder = tempfile::tempdir().unwrap();
        let world = World::on(&server).await;
        world.sql(TABLES).await;
        let before = world.value(ROWS).await;
        let of_folder = set(folder.path());
        let world = killed_at(&mut server, world, moment, async |world, on_event| {
            let sets = [of_folder.clone()];
            // What it says depends on what the crash came between.
            let _ = run(&world.target, &sets, &quick(), on_event).await;
        })
        .await;
        let at = moment.0;
        looked_after(&world, std::slice::from_ref(&of_folder), &quick()).await;
        assert_eq!(world.value(r#"select count(*) from "r'r""#).await, "19900", "killed {at}");
        assert_eq!(world.value("select count(*) from only r_rest").await, "0", "killed {at}");
        assert_eq!(world.value("select to_regclass('r_2001_01') is null").await, "true", "killed {at}");
        let archives = archives_of(&folder.path().display().to_string(), &quick()).await;
        assert_eq!(archives.len(), 1, "killed {at}");
        for entry in apply::journal(&world.target).await.unwrap() {
            assert!(entry.steps.iter().all(|s| !s.status.is_open()), "killed {at}: {entry:?}");
        }
        let archive = &archives[0].0;
        // Sometimes it is brought back across another crash.
        let moment: Option<Moment> = match at {
            "before the drop" => Some(("while it is loaded", |e| matches!(e, Event::Sending { .. }), 0)),
            "while rows are moved" => {
                Some(("before it is attached", |e| matches!(e, Event::Answered { .. }), 0))
            }
            _ => None,
        };
        let world = match moment {
            None => world,
            Some(moment) => {
                killed_at(&mut server, world, moment, async |world, on_event| {
                    assert!(restore(&world.target, archive, true, &quick(), on_event).await.is_err());
                })
                .await
            }
        };
        restore(&world.target, archive, true, &quick(), &mut |_| {})
            .await
            .unwrap_or_else(|e| panic!("killed {at}: {}", shown(&e)));
        assert_eq!(world.value(ROWS).await, before, "killed {at}");
    }
}

/// The part of the next test that runs in a process of its own and dies at an event.
fn is_child() -> bool {
    let Ok(order) = std::env::var(CHILD) else { return false };
    let words: Vec<&str> = order.split(' ').collect();
    let [folder, at, url] = words.as_slice() else { panic!("{order}") };
    let at: usize = at.parse().unwrap();
    let mut seen = 0;
    let mut on_event = move |event: Event| {
        if kind(&event) != "progress" {
            if seen == at {
                // As SIGKILL does: neither destructors nor good-byes.
                std::process::abort();
            }
            seen += 1;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let archives = archives_of(folder, &quick()).await;
        let options = ExecuteOptions { tries: 1, ..quick() };
        restore(&target(url), &archives[0].0, true, &options, &mut on_event).await.unwrap();
    });
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_killed_at_every_event_is_done_or_not() {
    if tokio::task::spawn_blocking(is_child).await.unwrap() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(testkit::any_server()).await;
    world.sql(TABLES).await;
    let before = world.value(ROWS).await;
    looked_after(&world, &[set(folder.path())], &quick()).await;
    let place = folder.path().display().to_string();
    let archives = archives_of(&place, &quick()).await;
    for at in 0.. {
        let test = "partition_crashes::a_return_killed_at_every_event_is_done_or_not";
        let status = run_child(test, &place, at, &world.url);
        recover(&world, &quick()).await;
        let is_there = world.value("select to_regclass('r_2001_01') is not null").await;
        // All of it is one transaction.
        if is_there == "false" {
            assert_eq!(world.value(r#"select count(*) from "r'r""#).await, "19900", "killed at event {at}");
            restore(&world.target, &archives[0].0, true, &quick(), &mut |_| {})
                .await
                .unwrap_or_else(|e| panic!("killed at event {at}: {}", shown(&e)));
        }
        assert_eq!(world.value(ROWS).await, before, "killed at event {at}");
        for entry in apply::journal(&world.target).await.unwrap() {
            assert!(entry.steps.iter().all(|s| !s.status.is_open()), "killed at event {at}: {entry:?}");
        }
        world.sql("drop table r_2001_01").await;
        if status.success() {
            assert!(at > 4, "only {at} events were seen");
            break;
        }
    }
}
