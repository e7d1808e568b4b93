//! What is left when a change does not go through: pgwright killed or told to stop in the middle of a
//! build, two at once, a full disk? A clean database, a true journal, and words about it.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::Command;

use expect_test::expect;
use tokio_postgres::Client;

use crate::program::{Running, User};
use crate::world::{World, with_hypopg};

const TABLE: &str = "
    create table t (id int primary key, n int, note text);
    insert into t select g, g % 5000, repeat('note ', 10) from generate_series(1, 60000) g;
    analyze t";

/// Whether a build has made its index, which is not valid yet.
const BUILDING: &str = "select count(*) > 0 from pg_index where not indisvalid";

/// A database with kept advice to build one index.
async fn advised(user: &User) -> World {
    let world = World::new().await;
    world.load(TABLE).await;
    world.repeat("select * from t where n = 7", 30).await;
    user.run(&["advise", &world.url]).exits(0).says("CREATE INDEX CONCURRENTLY t_n_idx ON public.t");
    world
}

/// An apply that waits for a transaction which has written to the table.
async fn stuck(user: &User, world: &World) -> (Client, Running) {
    let writer = testkit::connect(&world.url).await;
    writer.batch_execute("begin; insert into t values (0, 0, 'open')").await.unwrap();
    let apply = user.start(&["apply", "--execute", "--lock-timeout", "60s", &world.url]);
    world.wait_until(BUILDING).await;
    (writer, apply)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_build_that_fails() {
    let user = User::new();
    let world = advised(&user).await;
    let before = world.schema_dump().await;
    let (writer, apply) = stuck(&user, &world).await;
    apply.signal("KILL");
    assert_eq!(apply.wait().code, None);
    // The server has not noticed; now it loses that session too.
    world.sql("select pg_terminate_backend(pid) from pg_stat_activity where query like 'CREATE%INDEX CONCURRENTLY%'").await;
    world
        .wait_until("select count(*) = 0 from pg_stat_activity where query like 'CREATE%INDEX CONCURRENTLY%'")
        .await;
    world.wait_for_unlock().await;
    writer.batch_execute("rollback").await.unwrap();
    assert!(world.indexes().await.contains("INVALID"));

    user.run(&["journal", &world.url]).exits(0).says("running").tells("note: a run was interrupted");
    user.run(&["apply", &world.url])
        .exits(0)
        .tells("exists and is invalid, left by a build that did not finish");
    user.run(&["apply", "--execute", &world.url])
        .exits(0)
        .tells("found after an interrupted run: Create index public.t_n_idx had been left half-done");
    let indexes = world.indexes().await;
    assert!(indexes.contains("t_n_idx") && !indexes.contains("INVALID"), "{indexes}");
    let journal = user.run(&["journal", &world.url]).exits(0).says("cleaned").says("done");
    assert!(!journal.stderr.contains("interrupted"), "\n{journal}");
    user.run(&["undo", "--execute", &world.url]).exits(0);
    assert_eq!(world.schema_dump().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_build_that_goes_on() {
    let user = User::new();
    let world = advised(&user).await;
    let before = world.schema_dump().await;
    let (writer, apply) = stuck(&user, &world).await;
    apply.signal("KILL");
    assert_eq!(apply.wait().code, None);
    world.wait_for_unlock().await;
    // The next one finds the session of the dead one at work and waits for it.
    let next = user.start(&["apply", "--execute", &world.url]);
    world.wait_until("select count(*) > 0 from pg_locks l join pg_database d on d.oid = l.database where locktype = 'advisory' and datname = current_database()").await;
    writer.batch_execute("rollback").await.unwrap();
    next.wait()
        .exits(0)
        .tells("waiting for it")
        .tells("had been finished when pgwright ended; it counts as done");
    let indexes = world.indexes().await;
    assert!(indexes.contains("t_n_idx") && !indexes.contains("INVALID"), "{indexes}");
    // Whatever else there was to do has been done as well.
    user.run(&["apply", "--execute", &world.url])
        .exits(0)
        .tells("applied already: ")
        .tells("there is nothing to do");
    user.run(&["apply", &world.url]).exits(0).tells("applied already: ");
    let json = user.run(&["apply", "--execute", "--json", &world.url]).exits(0).json("apply");
    assert_eq!(json["already_applied"].as_array().unwrap().len(), 1);
    user.run(&["verify", &world.url]).exits(0).says("no calls yet");
    user.run(&["undo", "--execute", &world.url]).exits(0).says("undone: ");
    assert_eq!(world.schema_dump().await, before);
    // What was undone, or dropped by somebody, can be applied again.
    user.run(&["apply", "--execute", &world.url]).exits(0);
    world.sql("drop index t_n_idx").await;
    user.run(&["apply", "--execute", &world.url]).exits(0);
    assert!(world.indexes().await.contains("t_n_idx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_in_the_middle_of_a_build() {
    let user = User::new();
    let world = advised(&user).await;
    let before = world.schema_dump().await;
    for signal in ["INT", "TERM", "HUP"] {
        // The build waits for whoever may see an older table; its removal does not.
        let reader = testkit::connect(&world.url).await;
        reader
            .batch_execute("begin isolation level repeatable read; select count(*) from pg_class")
            .await
            .unwrap();
        let apply = user.start(&["apply", "--execute", "--lock-timeout", "60s", &world.url]);
        world.wait_until(BUILDING).await;
        apply.signal(signal);
        let output = apply.wait().fails(3);
        assert!(output.error().contains("It was stopped on request. Nothing was left behind."), "\n{output}");
        assert!(!world.indexes().await.contains("t_n_idx"), "after SIG{signal}");
        reader.batch_execute("rollback").await.unwrap();
    }
    // With a writer in the way the removal has to wait too. Whoever does not want to leaves it to the next
    // run.
    let (writer, apply) = stuck(&user, &world).await;
    apply.signal("INT");
    world
        .wait_until("select count(*) > 0 from pg_stat_activity where query like 'DROP%INDEX CONCURRENTLY%' and state = 'active' and datname = current_database()")
        .await;
    apply.signal("INT");
    apply.wait().exits(3).tells("stopping and cleaning up").tells("stopped at once");
    world.wait_for_unlock().await;
    assert!(world.indexes().await.contains("INVALID"));
    writer.batch_execute("rollback").await.unwrap();
    assert_eq!(world.schema_dump().await, before);
    // And it can be done afterwards.
    user.run(&["apply", "--execute", &world.url]).exits(0).tells("found after an interrupted run");
    assert!(world.indexes().await.contains("t_n_idx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once() {
    let user = User::new();
    let world = advised(&user).await;
    let (writer, first) = stuck(&user, &world).await;
    for command in [&["apply", "--execute"][..], &["undo", "--execute"]] {
        let second = user.run(&[command, &[world.url.as_str()][..]].concat());
        let second = second.fails(3);
        assert!(
            second.error().starts_with("error: another pgwright is changing this database\n"),
            "\n{second}"
        );
        assert!(second.error().contains("hint: Wait"), "\n{second}");
    }
    // Who only reads is not kept waiting.
    user.run(&["journal", &world.url]).exits(0).says("running");
    user.run(&["profile", &world.url]).exits(0);
    writer.batch_execute("rollback").await.unwrap();
    first.wait().exits(0);
    assert!(world.indexes().await.contains("t_n_idx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_not_to_be_had() {
    let user = User::new();
    let world = advised(&user).await;
    let before = world.schema_dump().await;
    let writer = testkit::connect(&world.url).await;
    writer.batch_execute("begin; lock table t in share row exclusive mode").await.unwrap();
    let output =
        user.run(&["apply", "--execute", "--lock-timeout", "100ms", "--tries", "2", &world.url]).fails(3);
    let pid: String = {
        let row = writer.query_one("select pg_backend_pid()::text", &[]).await.unwrap();
        row.get(0)
    };
    assert!(output.error().starts_with("error: could not create index public.t_n_idx\n"), "\n{output}");
    assert!(output.error().contains(&format!("Pid {pid}")) || output.error().contains(&pid), "\n{output}");
    assert!(output.stderr.contains("try 1 of 2 gave way"), "\n{output}");
    writer.batch_execute("rollback").await.unwrap();
    assert_eq!(world.schema_dump().await, before);
}

/// A small file system of its own.
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounting is for root; `None` for others.
    fn mount(kilobytes: u32) -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("pgwright-disk").tempdir_in("/tmp").unwrap();
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k,mode=0777"), "pgwright-test"])
            .arg(directory.path())
            .output();
        match output {
            Ok(output) if output.status.success() => Some(Self { directory }),
            other => {
                eprintln!("skipped, a small file system could not be mounted: {other:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.directory.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_is_full() {
    let Some(disk) = SmallDisk::mount(708) else { return };
    let server = crate::world::oldest();
    let location = disk.path().join("space");
    std::fs::create_dir(&location).unwrap();
    let owner = std::fs::metadata(server.data_dir()).unwrap().uid();
    chown(&location, Some(owner), Some(owner)).unwrap();
    let user = User::new();
    let world = advised(&user).await;
    let space = format!("small_{}", world.name);
    world.sql(&format!("create tablespace {space} location '{}'", location.display())).await;
    // The journal finds its place; the index does not.
    world.sql("insert into t select g, g, 'more' from generate_series(70001, 160000) g").await;
    user.run(&["baseline", "save", "x", &world.url]).exits(0);
    world.sql(&format!("alter database {} set default_tablespace = {space}", world.name)).await;
    let before = world.schema_dump().await;
    let output = user.run(&["apply", "--execute", &world.url]).fails(3);
    let shown = output.error_with(&[(disk.path().to_str().unwrap(), "DISK")]);
    let shown = shown
        .lines()
        .map(|l| if l.contains("detail:") { "  detail: …" } else { l })
        .collect::<Vec<_>>()
        .join("\n");
    expect![[r#"
        error: could not create index public.t_n_idx
          detail: …
          hint: Free space on the server's disk, or build the index in another tablespace."#]]
    .assert_eq(&shown);
    assert!(output.error().contains("(53100)"), "\n{output}");
    assert_eq!(world.schema_dump().await, before);
    user.run(&["journal", &world.url]).exits(0).says("failed");
}

/// A search that is at a statement which takes seconds to plan: the planner evaluates what is immutable.
async fn searching(user: &User) -> (World, Running) {
    let world = World::on(with_hypopg().await).await;
    world
        .load(
            "create extension hypopg; create table t (id int primary key, n int); \
             insert into t select g, g % 5000 from generate_series(1, 60000) g; \
             create function slow(int) returns int immutable language plpgsql as $$ begin \
               if current_setting('application_name') like 'pgwright%' then perform pg_sleep(3); end if; \
               return $1; end $$",
        )
        .await;
    world.repeat("select * from t where n = 7", 50).await;
    for column in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        world.sql(&format!("select id as {column} from t where n = slow(7)")).await;
    }
    let search = user.start(&["advise", "--what-if", "hypopg", &world.url]);
    world
        .wait_until(
            "select count(*) > 0 from pg_stat_activity where datname = current_database() and state = 'active' \
             and query like 'EXPLAIN /* pgwright:hypopg */%slow(%'",
        )
        .await;
    (world, search)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_is_told_to_stop_answers_with_the_best_so_far() {
    let user = User::new();
    let (_world, mut search) = searching(&user).await;
    search.signal("INT");
    search.wait_to_tell("stopping with the best so far; interrupt again to end at once");
    let output = search.wait().exits(0);
    assert!(output.stderr.contains("stopped after "), "\n{output}");
    assert!(output.stdout.contains(" on PostgreSQL "), "\n{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_is_told_to_stop_twice_ends_at_once() {
    let user = User::new();
    let (world, mut search) = searching(&user).await;
    search.signal("INT");
    search.wait_to_tell("interrupt again to end at once");
    search.signal("INT");
    let output = search.wait().exits(130);
    assert_eq!(output.stdout, "", "\n{output}");
    // Its session ends with it.
    world.wait_until("select count(*) = 0 from pg_stat_activity where application_name like 'pgwright%' and datname = current_database()").await;
}
