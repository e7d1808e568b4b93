//! What is said when the server cannot be reached, or does not let pgwright do what it needs?
//! Each with an error that tells what to do, exit code 2, and nothing changed.

use cluster::{Server, ServerOptions};
use expect_test::{Expect, expect};

use crate::program::User;
use crate::world::World;

/// Every command that needs a server.
const COMMANDS: &[&[&str]] = &[
    &["doctor"],
    &["snapshot", "save", "x.zst"],
    &["profile"],
    &["explain", "select 1"],
    &["advise"],
    &["undo"],
    &["verify"],
    &["journal"],
    &["baseline", "list"],
    &["baseline", "save"],
    &["report"],
];

/// The same refusal by every command.
fn every_command_refuses(url: &str, mask: &[(&str, &str)], expected: &Expect) {
    let user = User::new();
    let mut texts = std::collections::BTreeSet::new();
    for command in COMMANDS {
        let output = user.run(&[command, &[url][..]].concat()).fails(2);
        assert_eq!(output.stdout, "", "\n{output}");
        texts.insert(output.error_with(mask));
    }
    let texts: Vec<_> = texts.into_iter().collect();
    expected.assert_eq(&texts.join("\nor\n"));
    assert!(!user.file("x.zst").exists());
}

#[test]
fn nobody_answers() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    drop(socket);
    every_command_refuses(
        &format!("postgres://app@127.0.0.1:{port}/shop"),
        &[(&port, "PORT")],
        &expect![[r#"
            error: could not connect to server at 127.0.0.1:PORT
              detail: Connection refused (os error 111).
              hint: Check that the server runs, that it listens there (listen_addresses, port) and that no firewall stands between."#]],
    );
    every_command_refuses(
        "postgres://app@%2Fnonexistent/shop",
        &[],
        &expect![[r#"
        error: could not connect to server at /nonexistent:5432
          detail: No such file or directory (os error 2).
          hint: Check that the server runs, that it listens there (listen_addresses, port) and that no firewall stands between."#]],
    );
    every_command_refuses(
        "postgres://app@no-such-host.invalid/shop",
        &[],
        &expect![[r#"
        error: could not connect to server at no-such-host.invalid:5432
          detail: Failed to lookup address information: Name or service not known.
          hint: Check that the server runs, that it listens there (listen_addresses, port) and that no firewall stands between."#]],
    );
}

#[test]
fn a_connection_string_cannot_be_understood() {
    let user = User::new();
    for (url, expected) in [
        ("postgres://app@host:port/shop", expect![[r#"error: invalid port number: "port""#]]),
        ("postgres://app@host/shop?sslmode=perhaps", expect![[r#"error: invalid sslmode value: "perhaps""#]]),
        ("postgres://app@host/shop?colour=blue", expect![[r#"error: invalid connection option "colour""#]]),
        ("host=localhost dbname='open", expect!["error: unterminated quoted string in connection string"]),
    ] {
        let output = user.run(&["doctor", "--url", url]).fails(2);
        expected.assert_eq(output.error());
    }
}

/// A server on TCP that wants passwords, without TLS.
async fn server_with_passwords() -> Server {
    let binaries = testkit::versions().remove(0);
    let options = ServerOptions { tcp: true, ..ServerOptions::default() }.throw_away();
    let server = Server::start(&binaries, options).unwrap();
    let client = testkit::connect(&server.url("postgres")).await;
    client.batch_execute("create role app login password 'right'").await.unwrap();
    client.batch_execute("create database shop").await.unwrap();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_the_encryption_or_the_database_is_wrong() {
    let server = server_with_passwords().await;
    let port = server.port().to_string();
    let mask = [(port.as_str(), "PORT")];
    let user = User::new();

    let right = format!("postgres://app:right@127.0.0.1:{port}/shop");
    user.run(&["explain", "select 1", &right]).exits(0).says("Result");

    let wrong = format!("postgres://app:Wr0ng-secret@127.0.0.1:{port}/shop");
    every_command_refuses(
        &wrong,
        &mask,
        &expect![[r#"
        error: password authentication failed for role "app"
          hint: Check the role and its password."#]],
    );
    assert!(!user.run(&["doctor", &wrong]).stderr.contains("Wr0ng-secret"));
    every_command_refuses(
        &format!("postgres://app@127.0.0.1:{port}/shop"),
        &mask,
        &expect![[r#"
        error: password authentication failed for role "app"
          detail: The server asks for a password and none was given.
          hint: Give the password in PGPASSWORD or in a password file with mode 0600 (~/.pgpass)."#]],
    );
    every_command_refuses(
        &format!("{right}?sslmode=require"),
        &mask,
        &expect![[r#"
        error: server at 127.0.0.1:PORT does not accept TLS connections
          hint: Switch TLS on at the server (ssl = on), or connect with sslmode=prefer."#]],
    );
    every_command_refuses(
        &format!("postgres://app:right@127.0.0.1:{port}/missing"),
        &mask,
        &expect![[r#"
        error: database "missing" does not exist
          hint: List the databases with psql -l."#]],
    );

    // A password file is used, and one that others may read is not, which is said.
    let passfile = user.write("passfile", format!("127.0.0.1:{port}:*:app:right\n"));
    let url = format!("postgres://app@127.0.0.1:{port}/shop");
    for (mode, works) in [(0o600, true), (0o644, false)] {
        std::fs::set_permissions(&passfile, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let output =
            crate::program::finish(user.command(&["explain", "select 1", &url]).env("PGPASSFILE", &passfile));
        if works {
            output.exits(0);
        } else {
            output.fails(2).tells("passfile");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_may_not_read_the_statements() {
    let world = World::new().await;
    let role = format!("app_{}", world.name);
    world
        .sql(&format!("create role {role} login; create table secret (id int primary key); analyze secret"))
        .await;
    world.repeat("select count(*) from secret", 3).await;
    let url = world.url_as(&role);
    let user = User::new();
    // Of two queries that travel together either may be refused first.
    let mask =
        [(role.as_str(), "APP"), (world.name.as_str(), "SHOP"), ("\"statements_info\"", "\"statements\"")];

    // Other roles' texts are hidden without pg_read_all_stats.
    let doctor = user.run(&["doctor", &url]).exits(1);
    expect![[r#"
        NO    monitor-privilege: role APP is not a member of pg_monitor; other roles' statements are hidden
                GRANT pg_monitor TO APP;
              takes effect in new sessions; without it: profile and advise for the statements of this role alone
    "#]].assert_eq(&doctor.lines_with("NO  ", &mask));
    let profile = user.run(&["profile", &url]).exits(0);
    assert!(!profile.stdout.contains("secret"), "\n{profile}");
    assert!(profile.stderr.contains("statements of other roles are hidden"), "\n{profile}");

    // A privilege that PUBLIC has by default was taken away.
    world.sql("revoke all on pg_stat_statements from public").await;
    let doctor = user.run(&["doctor", &url]).exits(1);
    expect![[r#"
        NO    monitor-privilege: role APP is not a member of pg_monitor; other roles' statements are hidden
                GRANT pg_monitor TO APP;
              takes effect in new sessions; without it: profile and advise for the statements of this role alone
        NO    statements-readable: pg_stat_statements could not be read: permission denied for view pg_stat_statements
                GRANT USAGE ON SCHEMA public TO APP;
                GRANT SELECT ON public.pg_stat_statements, public.pg_stat_statements_info TO APP;
              takes effect at once; without it: explain for statements that you name yourself, snapshot, journal and undo
    "#]].assert_eq(&doctor.lines_with("NO  ", &mask));
    let output = user.run(&["profile", &url]).fails(2);
    expect![[r#"
        error: permission denied for view pg_stat_statements
          detail: pgwright's query "statements" needs to read it.
          hint: Grant the role SELECT on the extension's views; "pgwright doctor" prints the statement."#]]
    .assert_eq(&output.error_with(&mask));
    // A snapshot needs every table, and says which it lacks.
    let mut texts = std::collections::BTreeSet::new();
    for command in [&["snapshot", "save", "x.zst"][..], &["advise"], &["report"], &["baseline", "save"]] {
        texts.insert(user.run(&[command, &[url.as_str()][..]].concat()).fails(2).error_with(&mask));
    }
    expect![[r#"
        error: permission denied for table secret
          detail: pgwright's query "pg_dump" needs to read it.
          hint: pg_dump locks every table in ACCESS SHARE mode, which needs the privilege to read it: GRANT pg_read_all_data TO the role."#]].assert_eq(&texts.into_iter().collect::<Vec<_>>().join("\nor\n"));
    assert_eq!(world.value("select count(*) from pg_namespace where nspname = 'pgwright'").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_stat_statements_is_not_loaded_or_not_installed() {
    let major = testkit::versions()[0].major;
    let server = testkit::server_with(major, &[("shared_preload_libraries", "")]);
    let database = testkit::database(&server).await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute("create table t (id int primary key); analyze t").await.unwrap();
    let user = User::new();
    let mask = [(database.name.as_str(), "SHOP")];
    let url = database.url.as_str();

    let doctor = user.run(&["doctor", url]).exits(1);
    expect![[r#"
        NO    statements-preloaded: pg_stat_statements is not preloaded
                ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements';
              needs a restart of the server; without it: explain for statements that you name yourself, snapshot, journal and undo
        NO    statements-installed: pg_stat_statements is not installed in this database
                CREATE EXTENSION pg_stat_statements;
              takes effect at once; without it: explain for statements that you name yourself, snapshot, journal and undo
    "#]].assert_eq(&doctor.lines_with("NO  ", &mask));
    let checks = user.run(&["doctor", "--json", url]).exits(1).json("doctor");
    assert_eq!(checks["ready"], false);
    let preloaded =
        checks["checks"].as_array().unwrap().iter().find(|c| c["id"] == "statements-preloaded").unwrap();
    assert_eq!(preloaded["effect"], "restart");
    // What doctor prints is what mends it.
    client.batch_execute(preloaded["remedy"].as_str().unwrap()).await.unwrap();

    for (created, expected) in [
        (
            false,
            expect![[r#"
        error: extension "pg_stat_statements" is not installed in database "SHOP"
          hint: Run CREATE EXTENSION pg_stat_statements in this database.
        or
        error: there are no statement counters to store
          detail: Statements were not read: extension "pg_stat_statements" is not installed in database "SHOP". Run CREATE EXTENSION pg_stat_statements in this database.
          hint: "pgwright doctor" says how to make pg_stat_statements work."#]],
        ),
        (
            true,
            expect![[r#"
        error: extension "pg_stat_statements" is not loaded by the server
          hint: Add pg_stat_statements to shared_preload_libraries in postgresql.conf and restart the server.
        or
        error: there are no statement counters to store
          detail: Statements were not read: extension "pg_stat_statements" is not loaded by the server. Add pg_stat_statements to shared_preload_libraries in postgresql.conf and restart the server.
          hint: "pgwright doctor" says how to make pg_stat_statements work."#]],
        ),
    ] {
        if created {
            client.batch_execute("create extension pg_stat_statements").await.unwrap();
        }
        let mut texts = std::collections::BTreeSet::new();
        for command in
            [&["profile"][..], &["profile", "--for", "1s"], &["explain", "4711"], &["baseline", "save"]]
        {
            let output = user.run(&[command, &[url][..]].concat()).fails(2);
            texts.insert(output.error_with(&mask));
        }
        expected.assert_eq(&texts.into_iter().collect::<Vec<_>>().join("\nor\n"));
        // The rest works, and says what it lacks.
        user.run(&["explain", "select * from t", url]).exits(0).says("Seq Scan");
        let advice = user.run(&["advise", url]).fails(2);
        assert!(advice.error().starts_with("error: snapshot holds no statements\n"), "\n{advice}");
        assert!(advice.error().contains("pgwright doctor"), "\n{advice}");
        user.run(&["report", url]).exits(0).says("pg_stat_statements");
        user.run(&["snapshot", "save", "x.zst", url]).exits(0);
    }

    let mut server = server;
    drop(client);
    let settings: Vec<(String, String)> = Vec::new();
    server.restart(&settings).unwrap();
    user.run(&["doctor", &database.url]).exits(0).says("ok    statements-preloaded");
    user.run(&["profile", &database.url]).exits(0);
}
