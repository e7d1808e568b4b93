//! What happens when the programs on this machine and the server are of different versions?

use std::os::unix::fs::symlink;

use cluster::Binaries;
use postgres::{Environment, SessionOptions, SnapshotOptions, Target};

use crate::program::{User, finish};
use crate::world::{World, pg_dump_for};

/// A folder with links to programs.
fn folder(user: &User, name: &str, programs: &[std::path::PathBuf]) -> String {
    let folder = user.file(name);
    std::fs::create_dir(&folder).unwrap();
    for program in programs {
        symlink(program, folder.join(program.file_name().unwrap())).unwrap();
    }
    folder.display().to_string()
}

async fn busy_world(major: u32) -> World {
    let world = World::on(testkit::server(major)).await;
    world
        .load(
            "create table t (id int primary key, n int, note text); \
             insert into t select g, g % 3000, 'note ' || g from generate_series(1, 40000) g",
        )
        .await;
    world.repeat("select * from t where n = 7", 20).await;
    world
}

/// An old server beside newer client programs, which come in packages of their own.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_pg_dump_in_the_path_dumps() {
    let versions = testkit::versions();
    let (oldest, newest) = (&versions[0], &versions[versions.len() - 1]);
    let world = busy_world(newest.major).await;
    let user = User::new();
    let old = folder(&user, "old", &oldest.program("pg_dump").into_iter().collect::<Vec<_>>());
    let path = |folders: &[&str]| format!("{}:/usr/bin:/bin", folders.join(":"));
    let mut save = user.command(&["snapshot", "save", "s.zst", "--bin-dir", &old, &world.url]);
    let saved = finish(save.env("PATH", path(&[&old])));
    if oldest.major < newest.major {
        let error = saved.fails(2);
        assert!(error.error().contains("cannot dump a server of version"), "\n{error}");
        assert!(error.error().contains(&format!("postgresql-client-{}", newest.major)), "\n{error}");
    } else {
        saved.exits(0);
    }
    if let Some(pg_dump) = pg_dump_for(newest.major) {
        let new = folder(&user, "new", &[pg_dump]);
        let mut save = user.command(&["snapshot", "save", "s.zst", &world.url]);
        finish(save.env("PATH", path(&[&old, &new]))).exits(0);
        assert!(user.file("s.zst").is_file());
    }
}

/// The nearest version plans, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_twin_of_another_major_version_warns() {
    let versions = testkit::versions();
    let (oldest, newest) = (&versions[0], &versions[versions.len() - 1]);
    let world = busy_world(oldest.major).await;
    let user = User::new();
    user.run(&["snapshot", "save", "s.zst", &world.url]).exits(0);
    let dir = newest.dir.display().to_string();
    let output = user.run(&["advise", "--snapshot", "s.zst", "--bin-dir", &dir]).exits(0);
    assert!(output.stdout.contains("ON public.t USING btree (n)"), "\n{output}");
    let warning = format!(
        "warning: The server is PostgreSQL {} and plans are made by PostgreSQL {}",
        oldest.major, newest.major
    );
    assert_eq!(output.stderr.contains(&warning), oldest.major != newest.major, "\n{output}");
    // The other way round: an older twin for a newer server.
    if let (Some(_), true) = (pg_dump_for(newest.major), oldest.major < newest.major) {
        let world = busy_world(newest.major).await;
        let all = User::with_every_version();
        all.run(&["snapshot", "save", "new.zst", &world.url]).exits(0);
        let dir = oldest.dir.display().to_string();
        let output = all.run(&["advise", "--snapshot", "new.zst", "--bin-dir", &dir]).exits(0);
        assert!(output.stdout.contains("ON public.t USING btree (n)"), "\n{output}");
        assert!(output.stderr.contains("costs may differ. Install the server package"), "\n{output}");
    }
}

/// A server without `pg_stat_statements`: its snapshot holds no statements, until somebody adds some.
#[tokio::test(flavor = "multi_thread")]
async fn servers_without_contrib_modules() {
    for server in testkit::all_servers().into_iter().filter(|s| is_bare(s.binaries())) {
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        client
            .batch_execute(
                "create table t (id int primary key, n int, note text); \
                 insert into t select g, g % 3000, 'note ' || g from generate_series(1, 40000) g; analyze",
            )
            .await
            .unwrap();
        let user = User::with_every_version();
        user.run(&["doctor", &database.url]).exits(1).says("pg_stat_statements");
        user.run(&["snapshot", "save", "s.zst", &database.url])
            .exits(0)
            .says("0 statements")
            .says("Statements were not read");
        user.run(&["advise", "--snapshot", "s.zst"]).fails(2).tells("snapshot holds no statements");
        let target = Target::parse(Some(&database.url), &Environment::default()).unwrap();
        let session = target.connect(&SessionOptions::default()).await.unwrap();
        let options = SnapshotOptions::new(server.binaries().program("pg_dump").unwrap());
        let mut snapshot = postgres::snapshot::read(&session, &target, &options).await.unwrap();
        snapshot.statements.push(model::snapshot::Statement {
            queryid: 1,
            query: "select * from t where n = $1".into(),
            toplevel: true,
            calls: 100,
            total_exec_time: model::Millis(500.0),
            mean_exec_time: model::Millis(5.0),
            rows: 1300,
            ..model::snapshot::Statement::default()
        });
        postgres::snapshot_file::save(&user.file("s.zst"), &snapshot).unwrap();
        let advice =
            user.run(&["advise", "--snapshot", "s.zst"]).exits(0).says("ON public.t USING btree (n)");
        assert!(!advice.stderr.contains("warning"), "\n{advice}");
        user.run(&["snapshot", "save", "--redact", "r.zst", &database.url]).exits(0);
    }
}

fn is_bare(binaries: &Binaries) -> bool {
    testkit::versions().iter().all(|b| b.major != binaries.major)
}
