//! Is what pgwright writes what a program or a person can rely on: JSON, files, plain terminals?

use std::process::{Command, Stdio};

use crate::program::{User, finish};
use crate::world::{World, oldest, pg_dump_for};

const TABLE: &str = "
    create table t (id int primary key, n int, note text);
    insert into t select g, g % 5000, repeat('note ', 10) from generate_series(1, 60000) g;
    analyze t";

async fn world_with_statements() -> World {
    let world = World::new().await;
    world.load(TABLE).await;
    world.repeat("select * from t where n = 7", 30).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_reads_gives_one_json_object() {
    let world = world_with_statements().await;
    let user = User::new();
    user.write(
        "load.toml",
        "format = 1\n[[statement]]\nname = \"a\"\nweight = 1\nsql = \"select * from t where id = 1\"\n",
    );
    for (schema, arguments) in [
        ("doctor", &["doctor"][..]),
        ("profile", &["profile"]),
        ("profile", &["profile", "--for", "200ms"]),
        ("explain", &["explain", "select * from t where n = 1"]),
        ("explain", &["explain", "--analyze", "select * from t where n = 1"]),
        ("snapshot", &["snapshot", "save", "s.zst"]),
        ("snapshot", &["snapshot", "show", "s.zst"]),
        ("advise", &["advise"]),
        ("advise", &["advise", "--snapshot", "s.zst"]),
        ("advise", &["advise", "--budget", "--weigh-by", "cost"]),
        ("advise", &["advise", "--budget", "64kB,1MB", "--max-write-overhead", "10%"]),
        ("what-if", &["what-if", "create index on t (n)"]),
        ("what-if", &["what-if", "drop index t_pkey", "--snapshot", "s.zst", "--plans"]),
        ("lint", &["lint"]),
        ("rewrite", &["rewrite"]),
        ("rewrite-rules", &["rewrite", "--list"]),
        ("report", &["report"]),
        ("report", &["report", "--no-advice", "--snapshot", "s.zst"]),
        ("journal", &["journal"]),
        ("apply", &["apply"]),
        ("baseline-save", &["baseline", "save", "first"]),
        ("baseline-list", &["baseline", "list"]),
        ("baseline-compare", &["baseline", "compare"]),
        ("profile", &["profile", "--since", "first"]),
        (
            "workload",
            &["workload", "run", "load.toml", "--rate", "20", "--duration", "1s", "--warm-up", "0s"],
        ),
        ("apply", &["apply", "--execute"]),
        ("verify", &["verify"]),
        ("journal", &["journal"]),
        ("undo", &["undo"]),
        ("undo", &["undo", "--execute"]),
    ] {
        user.run(&[arguments, &["--json", world.url.as_str()][..]].concat()).exits(0).json(schema);
    }
    // An error leaves stdout empty, so a program never takes half an answer for a whole one.
    let error = user.run(&["explain", "--json", "selekt", &world.url]).fails(2);
    assert_eq!(error.stdout, "", "\n{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_every_kind_of_input() {
    let world = world_with_statements().await;
    let user = User::new();
    let url = world.url.as_str();
    let statement = "select * from t where n = 7";
    user.run(&["explain", statement, url]).exits(0).says("Seq Scan on t");
    user.write("slow.sql", format!("{statement};\n"));
    user.run(&["explain", "slow.sql", url]).exits(0).says("Seq Scan on t");
    user.run_with_input(&["explain", "-", url], statement).exits(0).says("Seq Scan on t");
    let profile = user.run(&["profile", "--json", url]).exits(0).json("profile");
    let queryid = profile["statements"][0]["queryid"].to_string();
    assert_eq!(profile["statements"][0]["query"], "select * from t where n = $1");
    user.run(&["explain", &queryid, url]).exits(0).says("Seq Scan on t").tells("planned with typical values");
    user.run(&["explain", "--generic", &queryid, url]).exits(0).says("Seq Scan on t");
    user.run(&["explain", "--analyze", &queryid, url]).exits(0).says("rows 12");
    let json = world
        .client
        .query_one(&format!("explain (analyze, buffers, format json) {statement}"), &[])
        .await
        .unwrap();
    let plan: serde_json::Value = json.get(0);
    user.write("plan.json", plan.to_string());
    user.run(&["explain", "plan.json"]).exits(0).says("Seq Scan on t");
    user.run_with_input(&["explain", "-"], &plan.to_string()).exits(0).says("Seq Scan on t");
    // A negative queryid is no option.
    let negative = user.run(&["explain", "-4711", url]);
    assert!(negative.stderr.contains("no statement has the queryid -4711"), "\n{negative}");
}

#[tokio::test(flavor = "multi_thread")]
async fn baselines_tell_a_regression() {
    let world = world_with_statements().await;
    world.sql("create index by_n on t (n)").await;
    world.forget_statements().await;
    world.repeat("select * from t where n = 7", 30).await;
    let user = User::new();
    let url = world.url.as_str();
    user.run(&["baseline", "save", "before", "--note", "with index", url])
        .exits(0)
        .says("stored baseline #1 \"before\"");
    let again = user.run(&["baseline", "save", "before", url]);
    assert!(again.stderr.contains("error: baseline \"before\" exists already"), "\n{again}");
    again.fails(2);
    user.run(&["baseline", "compare", url]).exits(0).says("0 worse");
    world.repeat("select * from t where n = 7", 30).await;
    user.run(&["baseline", "compare", "before", url]).exits(0).says("0 worse");
    world.sql("drop index by_n").await;
    world.repeat("select * from t where n = 7", 30).await;
    let compared = user.run(&["baseline", "compare", "before", url]).exits(1).says("1 worse");
    assert!(compared.stdout.contains("select * from t where n = $1"), "\n{compared}");
    // A threshold that is not reached is no finding.
    user.run(&["baseline", "compare", "before", "--threshold", "1000000", "--min-ms", "100000", url]);
    user.run(&["baseline", "save", "after", url]).exits(0);
    user.run(&["baseline", "compare", "before", "--with", "after", url]).exits(1).says("1 worse");
    user.run(&["profile", "--since", "after", url]).exits(0).says("since baseline \"after\"");
    user.run(&["profile", "--since", "latest", url]).exits(0).says("since baseline \"after\"");
    user.run(&["profile", "--since", "#1", url]).exits(0).says("select * from t where n");
    user.run(&["baseline", "list", url]).exits(0).says("before").says("after").says("with index");
    user.run(&["baseline", "delete", "before", url]).exits(0).tells("deleted baseline \"before\"");
    let list = user.run(&["baseline", "list", url]).exits(0);
    assert!(!list.stdout.contains("before"), "\n{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_over_a_while_shows_what_happened_in_it() {
    let world = world_with_statements().await;
    let user = User::new();
    let watching = user.start(&["profile", "--json", "--for", "2s", &world.url]);
    // pgwright has read the counters once its session is idle after one of the queries that go together.
    world.wait_until("select count(*) > 0 from pg_stat_activity where application_name like 'pgwright%' and state = 'idle' and query ~ 'pgwright:(statements|search_paths)'").await;
    world.repeat("select count(*) from t where id < 100", 5).await;
    let profile = watching.wait().exits(0).json("profile");
    let seen: Vec<_> = profile["statements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["query"].as_str().unwrap().to_owned(), s["calls"].as_i64().unwrap()))
        .collect();
    assert!(seen.contains(&("select count(*) from t where id < $1".into(), 5)), "{seen:?}");
    assert!(!seen.iter().any(|(query, _)| query.contains("where n = ")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_tells_budgets_its_bound_and_what_was_left_out() {
    let world = world_with_statements().await;
    world.sql("select 1 as nothing").await;
    let user = User::new();
    let url = world.url.as_str();
    let advice = user.run(&["advise", "--budget", "8kB,100MB", "--skipped", url]).exits(0);
    for part in [
        ", 1 recommendation, ",
        "\nthe recommended set is within ",
        "\nthe best set within each budget\n",
        "\n  8.0 kB  0 bytes        0   0.0 %\n",
        "it reads no table\n",
        "select $1 as nothing\n",
    ] {
        assert!(advice.stdout.contains(part), "stdout lacks {part:?}\n{advice}");
    }
    let usual = user.run(&["advise", url]).exits(0).says("; --skipped shows each\n");
    assert!(!usual.stdout.contains("each budget"), "\n{usual}");
    let json = user.run(&["advise", "--json", "--budget", "--weigh-by", "cost", url]).exits(0).json("advise");
    let curve = json["advice"]["curve"].as_array().unwrap();
    assert_eq!(curve.len(), 7, "{json}");
    let saved: Vec<f64> = curve.iter().map(|point| point["share_saved"].as_f64().unwrap()).collect();
    assert!(saved.is_sorted() && saved.last() > Some(&0.5), "{saved:?}");
    let none = user.run(&["advise", "--max-indexes", "0", url]).exits(0);
    assert!(!none.stdout.contains("CREATE INDEX CONCURRENTLY"), "\n{none}");
    for (option, value) in [("--budget", "much"), ("--max-write-overhead", "-1"), ("--weigh-by", "luck")] {
        user.run(&["advise", option, value, url]).exits(2).tells("error: ");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_in_every_format() {
    let world = world_with_statements().await;
    let user = User::new();
    let url = world.url.as_str();
    for (arguments, starts, holds) in [
        (&["report"][..], "# Database ", "CREATE INDEX CONCURRENTLY"),
        (&["report", "--format", "html"], "<!DOCTYPE html>", "CREATE INDEX CONCURRENTLY"),
        (&["report", "--format", "json"], "{", "CREATE INDEX CONCURRENTLY"),
        (&["report", "--no-advice"], "# Database ", "Statements by time"),
    ] {
        let output = user.run(&[arguments, &[url][..]].concat()).exits(0).says(holds);
        assert!(output.stdout.starts_with(starts), "\n{output}");
    }
    user.run(&["report", "--format", "html", url])
        .exits(0)
        .says("<svg class=\"chart\"")
        .says("What a budget buys");
    for (file, starts) in [("r.md", "# Database "), ("r.html", "<!DOCTYPE html>"), ("r.json", "{")] {
        let output =
            user.run(&["report", "--no-advice", "--out", file, url]).exits(0).tells(&format!("wrote {file}"));
        assert_eq!(output.stdout, "", "\n{output}");
        assert!(std::fs::read_to_string(user.file(file)).unwrap().starts_with(starts));
    }
    user.run(&["report", "--no-advice", "--out", "no/such/r.md", url]).fails(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_stands_in_for_a_server_that_is_gone() {
    let server = testkit::server_with(testkit::versions()[0].major, &[]);
    let world = World::on(&server).await;
    world.load(TABLE).await;
    world.repeat("select * from t where n = 7", 30).await;
    let user = User::new();
    user.run(&["snapshot", "save", "s.zst", &world.url]).exits(0);
    let live = user.run(&["advise", "--out", "live.json", &world.url]).exits(0);
    drop(world);
    server.stop().unwrap();
    let advice = user.run(&["advise", "--snapshot", "s.zst", "--out", "file.json"]).exits(0).says("t_n_idx");
    assert!(!advice.stderr.contains("pgwright apply"), "there is nothing to apply to\n{advice}");
    // The statement itself is the same, byte for byte.
    let sql = |text: &str| text.lines().find(|l| l.contains("CREATE INDEX")).map(str::to_owned);
    assert_eq!(sql(&advice.stdout), sql(&live.stdout));
    let twice = user.run(&["advise", "--snapshot", "s.zst"]).exits(0);
    assert_eq!(twice.stdout, advice.stdout);
    user.run(&["profile", "--snapshot", "s.zst"]).exits(0).says("select * from t where n = $1");
    user.run(&["report", "--snapshot", "s.zst"]).exits(0).says("t_n_idx");
    user.run(&["snapshot", "show", "s.zst"]).exits(0).says("1 relations, 1 indexes");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(user.file("s.zst")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o077, 0, "a snapshot holds values of columns");
}

#[tokio::test(flavor = "multi_thread")]
async fn escape_sequences_of_a_server_do_not_reach_the_terminal() {
    let world = world_with_statements().await;
    world.sql("create table \"\u{1b}[31mred\" (\"\u{1b}]0;title\u{7}\" int); insert into \"\u{1b}[31mred\" select generate_series(1, 60000); analyze").await;
    world
        .repeat("select count(*) from \"\u{1b}[31mred\" where \"\u{1b}]0;title\u{7}\" = 9 /* \u{1b}[2J\u{202e} */", 30)
        .await;
    let user = User::new();
    let url = world.url.as_str();
    let profile = user.run(&["profile", "--json", url]).exits(0).json("profile");
    let queryid = profile["statements"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["query"].as_str().unwrap().contains("red"))
        .unwrap()["queryid"]
        .to_string();
    for arguments in [
        &["profile"][..],
        &["explain", &queryid],
        &["explain", "select * from \"\u{1b}[31mred\""],
        &["explain", "select \"\u{1b}[31mnothing\""],
        &["explain", "--analyze", &queryid],
        &["advise", "--plans", "--rejected"],
        &["apply"],
        &["apply", "--execute"],
        &["verify"],
        &["journal"],
        &["baseline", "save", "x\u{1b}[1m", "--note", "y\u{1b}[1m"],
        &["baseline", "list"],
        &["baseline", "compare"],
        &["report"],
        &["report", "--format", "html"],
        &["report", "--format", "json"],
        &["journal", "--json"],
        &["undo"],
        &["undo", "--execute"],
    ] {
        let output = user.run(&[arguments, &[url][..]].concat());
        for text in [&output.stdout, &output.stderr] {
            let hostile = text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
            assert!(!hostile, "{:?}\n{output:#}", arguments);
            if !arguments.contains(&"--json") && !arguments.contains(&"json") {
                assert!(!text.contains('\u{202e}'), "{:?}\n{output}", arguments);
            }
        }
    }
}

/// Runs pgwright on a terminal, as `script` of util-linux gives one.
fn on_a_terminal(user: &User, arguments: &str, no_color: bool) -> String {
    let pgwright = user.command::<&str>(&[]);
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{} {arguments}", pgwright.get_program().to_string_lossy()), "/dev/null"]);
    command
        .env_clear()
        .envs(pgwright.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .env("TERM", "xterm-256color");
    if no_color {
        command.env("NO_COLOR", "1");
    }
    let output = command.current_dir(user.work()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn colors_are_for_terminals_that_want_them() {
    let world = world_with_statements().await;
    let user = User::new();
    let json = world
        .client
        .query_one("explain (analyze, format json) select * from t where n = 7", &[])
        .await
        .unwrap();
    let plan: serde_json::Value = json.get(0);
    user.write("plan.json", plan.to_string());
    assert!(on_a_terminal(&user, "explain plan.json", false).contains("\u{1b}["));
    assert!(!on_a_terminal(&user, "explain plan.json", true).contains("\u{1b}["));
    let output = user.run(&["explain", "plan.json"]).exits(0);
    assert!(!output.stdout.contains('\u{1b}'), "\n{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_role_can_do_what_is_promised() {
    for binaries in testkit::versions() {
        let world = World::on(testkit::server(binaries.major)).await;
        world.sql("create schema private; create table private.secret (id int primary key, n int); insert into private.secret select g, g % 5000 from generate_series(1, 60000) g; analyze").await;
        world.forget_statements().await;
        world.repeat("select * from private.secret where n = 7", 30).await;
        let user = User::with_every_version();
        let printed = user.run(&["doctor", "--print-sql", &world.url]).exits(0);
        world.sql(&printed.stdout).await;
        let url = world.url_as("pgwright");
        let doctor = user.run(&["doctor", &url]);
        if pg_dump_for(binaries.major).is_some() {
            doctor.exits(0).says("pgwright can work here");
        } else {
            // All is well with the role; the program on this machine is too old.
            doctor.exits(1).says("1 of ").says("NO    twin-programs");
        }
        user.run(&["profile", &url]).exits(0).says("select * from private.secret where n = $1");
        user.run(&["explain", "--analyze", "select * from private.secret where n = 7", &url])
            .exits(0)
            .says("rows 12");
        user.run(&["journal", &url]).exits(0);
        let save = user.run(&["snapshot", "save", "s.zst", &url]);
        if pg_dump_for(binaries.major).is_some() {
            save.exits(0);
            user.run(&["advise", &url]).exits(0).says("CREATE INDEX CONCURRENTLY");
            user.run(&["report", &url]).exits(0);
        } else {
            // Said with what to install.
            let save = save.fails(2);
            assert!(save.error().contains("cannot dump a server of version"), "\n{save}");
            assert!(save.error().contains(&format!("postgresql-client-{}", binaries.major)), "\n{save}");
        }
        // It may read everything and change nothing.
        let refused = user.run(&["baseline", "save", &url]);
        assert_ne!(refused.code, Some(0), "\n{refused}");
        let client = testkit::connect(&url).await;
        assert!(client.batch_execute("delete from private.secret").await.is_err());
        world.sql("drop owned by pgwright; drop role pgwright").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libpq_variables_name_the_database_as_well() {
    let world = world_with_statements().await;
    let user = User::new();
    let server = oldest();
    let mut command = user.command(&["profile"]);
    command
        .env("PGHOST", server.socket_dir())
        .env("PGPORT", server.port().to_string())
        .env("PGDATABASE", &world.name)
        .env("PGUSER", "postgres");
    finish(&mut command).exits(0).says("select * from t where n = $1");
    let mut command = user.command(&["profile"]);
    command.env("PGWRIGHT_URL", &world.url);
    finish(&mut command).exits(0).says("select * from t where n = $1");
}
