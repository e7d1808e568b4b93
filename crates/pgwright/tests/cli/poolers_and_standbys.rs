//! What works on a server that is not the primary itself: a standby, a pooler?

use cluster::{Server, ServerOptions};
use expect_test::expect;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use testkit::PgBouncer;

use crate::program::User;
use crate::serve::{Metrics, Serving};
use crate::world::{World, oldest, program_of};

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_in_transaction_mode() {
    let world = World::new().await;
    world.sql("create table t (id int primary key, n int); insert into t select g, g from generate_series(1, 60000) g; analyze t").await;
    world.forget_statements().await;
    world.repeat("select * from t where n = 7", 20).await;
    let user = User::new();
    let before = world.schema_dump().await;
    user.run(&["advise", "--out", "advice.json", &world.url]).exits(0).says("ON public.t USING btree (n)");

    let pooler = PgBouncer::start(oldest(), "transaction", 20).await;
    let url = pooler.url(&world.name);
    let socket = pooler.socket_dir().display().to_string();
    let mask = [(socket.as_str(), "SOCKET"), (world.name.as_str(), "SHOP")];
    let doctor = user.run(&["doctor", &url]).exits(1);
    expect![[r#"
        NO    direct-connection: a pooler in transaction mode stands between; session state and CREATE INDEX CONCURRENTLY do not work
                -- connect to the server's own port instead of the pooler's
              takes effect in new sessions; without it: doctor
    "#]].assert_eq(&doctor.lines_with("NO  ", &mask));
    let mut texts = std::collections::BTreeMap::<String, Vec<String>>::new();
    for command in [
        &["profile"][..],
        &["explain", "select * from t"],
        &["explain", "--analyze", "select * from t"],
        &["snapshot", "save", "x.zst"],
        &["advise"],
        &["report"],
        &["baseline", "save"],
        &["baseline", "list"],
        &["apply", "--advice", "advice.json"],
        &["apply", "--advice", "advice.json", "--execute"],
        &["undo", "--execute"],
        &["verify"],
        &["journal"],
    ] {
        let output = user.run(&[command, &[url.as_str()][..]].concat());
        let outcome = if output.code == Some(0) { "works".into() } else { output.error_with(&mask) };
        texts.entry(format!("{} {outcome}", output.code.unwrap())).or_default().push(command.join(" "));
        if output.code != Some(0) {
            let code = output.code.unwrap();
            output.fails(code);
        }
    }
    let texts: Vec<_> =
        texts.into_iter().map(|(text, commands)| format!("{}\n{text}\n", commands.join(", "))).collect();
    expect![[r#"
        profile, explain select * from t, explain --analyze select * from t, snapshot save x.zst, advise, report, baseline save, baseline list, verify, journal
        2 error: SOCKET:6432 is a connection pooler in transaction mode, not a PostgreSQL server
          detail: Transactions of one session are served by different server processes.
          hint: Connect to the PostgreSQL server itself, past the pooler.

        apply --advice advice.json, apply --advice advice.json --execute, undo --execute
        3 error: connection goes through a transaction pooler
          detail: Session settings, advisory locks and the wait for old transactions of CREATE INDEX CONCURRENTLY need one server connection for the whole run.
          hint: Connect to the server itself, past the pooler.
    "#]].assert_eq(&texts.join("\n"));
    assert_eq!(world.schema_dump().await, before);
    assert_eq!(world.value("select count(*) from pg_namespace where nspname = 'pgwright'").await, "0");

    // In session mode a pooler is as good as the server.
    drop(pooler);
    let pooler = PgBouncer::start(oldest(), "session", 20).await;
    let url = pooler.url(&world.name);
    user.run(&["doctor", &url]).exits(0).says("session mode");
    user.run(&["apply", "--advice", "advice.json", "--execute", &url]).exits(0);
    assert!(world.indexes().await.contains("(n)"), "{}", world.indexes().await);
}

/// A standby of a server, in step with it.
async fn standby_of(primary: &Server) -> Server {
    let binaries = primary.binaries().clone();
    let owner = std::fs::metadata(primary.data_dir()).unwrap();
    let directory = tempfile::Builder::new().prefix("pgs").tempdir_in("/tmp").unwrap().keep();
    std::os::unix::fs::chown(&directory, Some(owner.uid()), Some(owner.gid())).unwrap();
    let data = directory.join("data");
    let mut command =
        Command::new(program_of("pg_basebackup", binaries.major).expect("no pg_basebackup of that version"));
    command.args(["--write-recovery-conf", "--checkpoint=fast", "--pgdata"]).arg(&data);
    command.args(["--dbname", &primary.url("postgres")]);
    if std::fs::metadata("/proc/self").unwrap().uid() != owner.uid() {
        command.gid(owner.gid()).uid(owner.uid());
    }
    let output = command.current_dir("/").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let options = ServerOptions { data_dir: Some(data), ..ServerOptions::default() }
        .throw_away()
        .set("max_connections", "50")
        .set("max_prepared_transactions", "5")
        .set("shared_preload_libraries", "pg_stat_statements");
    Server::start(&binaries, options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_read_and_not_written() {
    let primary = testkit::server_with(testkit::versions()[0].major, &[]);
    let world = World::on(&primary).await;
    world.sql("create table t (id int primary key, n int); insert into t select g, g from generate_series(1, 60000) g; analyze t").await;
    let standby = standby_of(&primary).await;
    let url = standby.url(&world.name);
    let client = testkit::connect(&url).await;
    for _ in 0..20 {
        client.batch_execute("select * from t where n = 7").await.unwrap();
    }
    let user = User::new();
    let before = world.schema_dump().await;
    user.run(&["doctor", &url]).exits(0).says("warn  primary: the server is a standby");
    user.run(&["profile", &url]).exits(0).says("select * from t where n");
    user.run(&["explain", "--analyze", "select * from t where n = 7", &url]).exits(0).says("Seq Scan");
    user.run(&["snapshot", "save", "x.zst", &url]).exits(0);
    user.run(&["advise", &url]).exits(0).says("CREATE INDEX CONCURRENTLY");
    user.run(&["report", &url]).exits(0).says("CREATE INDEX CONCURRENTLY");
    user.run(&["journal", &url]).exits(0).tells("the journal is empty");
    user.run(&["baseline", "list", &url]).exits(0);
    let mut texts = Vec::new();
    for command in [
        &["apply"][..],
        &["apply", "--execute"],
        &["baseline", "save"],
        &["baseline", "delete", "x"],
        &["undo", "--execute"],
        &["verify"],
        &["journal", "--purge", "--execute"],
        &["baseline", "compare"],
    ] {
        let output = user.run(&[command, &[url.as_str()][..]].concat());
        texts.push(format!("{}: {} {}", command.join(" "), output.code.unwrap(), output.error()));
        let code = output.code.unwrap();
        output.fails(code);
    }
    expect![[r#"
        apply: 3 error: server is a standby and takes no changes
          detail: pg_is_in_recovery() is true.
          hint: Connect to the primary; its changes reach this server by replication.
        apply --execute: 3 error: server is a standby and takes no changes
          detail: pg_is_in_recovery() is true.
          hint: Connect to the primary; its changes reach this server by replication.
        baseline save: 3 error: server is a standby and takes no changes
          detail: pg_is_in_recovery() is true.
          hint: Connect to the primary; its changes reach this server by replication.
        baseline delete x: 3 error: server is a standby and takes no changes
          detail: pg_is_in_recovery() is true.
          hint: Connect to the primary; its changes reach this server by replication.
        undo --execute: 3 error: server is a standby and takes no changes
          detail: pg_is_in_recovery() is true.
          hint: Connect to the primary; its changes reach this server by replication.
        verify: 2 error: nothing that was applied can be verified
          hint: "pgwright journal" lists what was done.
        journal --purge --execute: 3 error: server is a standby and takes no changes
          detail: pg_is_in_recovery() is true.
          hint: Connect to the primary; its changes reach this server by replication.
        baseline compare: 2 error: there is no baseline yet
          hint: "pgwright baseline list" shows what is stored."#]]
    .assert_eq(&texts.join("\n"));
    assert_eq!(world.schema_dump().await, before);
    let data = standby.data_dir().parent().unwrap().to_owned();
    standby.stop().unwrap();
    std::fs::remove_dir_all(data).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_goes_on_when_its_server_becomes_a_primary_and_a_standby_again() {
    let major = testkit::versions()[0].major;
    let primary = testkit::server_with(major, &[]);
    let world = World::on(&primary).await;
    let mut standby = standby_of(&primary).await;
    let url = standby.url(&world.name);
    let user = User::new();
    // A standby takes no writes: its history is kept elsewhere.
    let serving = Serving::start(
        &user,
        &url,
        &[
            "--store",
            &world.url,
            "--source",
            "b",
            "--interval",
            "statements=300ms",
            "--interval",
            "server=300ms",
        ],
    );
    let side = |wanted: f64| {
        move |m: &Metrics| {
            m.value("postgres_server_in_recovery", "") == Some(wanted)
                && m.value("pgwright_history_up", "") == Some(1.0)
        }
    };
    let call = async |times: u32| {
        let client = testkit::connect(&url).await;
        for _ in 0..times {
            client.query("select 1 as sides", &[]).await.unwrap();
        }
    };
    let calls = "coalesce((select sum(r.calls) from pgwright.history_statement_raw r \
        join pgwright.history_statement s using (statement_id) \
        join pgwright.history_text t on t.source_id = s.source_id and t.queryid = s.queryid \
        where t.query like '%as sides%' and t.query not like '%history%'), 0)";
    serving.wait_for("a standby", side(1.0));
    call(3).await;
    world.wait_until(&format!("{calls} = 3")).await;
    testkit::connect(&url).await.query("select pg_promote()", &[]).await.unwrap();
    serving.wait_for("a primary", side(0.0));
    call(4).await;
    world.wait_until(&format!("{calls} = 7")).await;
    std::fs::write(standby.data_dir().join("standby.signal"), "").unwrap();
    let owner = std::fs::metadata(standby.data_dir()).unwrap();
    let signal = standby.data_dir().join("standby.signal");
    std::os::unix::fs::chown(signal, Some(owner.uid()), Some(owner.gid())).unwrap();
    let settings = [
        ("shared_preload_libraries".to_owned(), "pg_stat_statements".to_owned()),
        ("max_connections".to_owned(), "50".to_owned()),
        ("max_prepared_transactions".to_owned(), "5".to_owned()),
    ];
    standby.restart(&settings).unwrap();
    let metrics = serving.wait_for("a standby again", side(1.0));
    assert!(metrics.value("pgwright_connections_total", "") >= Some(2.0), "{}", metrics.0);
    call(5).await;
    world.wait_until(&format!("{calls} = 12")).await;
    serving.stop();
}
