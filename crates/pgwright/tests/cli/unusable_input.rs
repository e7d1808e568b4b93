//! What is said of input that cannot be used: statements, files, ids? Each with an error that tells
//! what to do, and nothing changed.

use expect_test::{Expect, expect};

use crate::program::User;
use crate::world::World;

const TABLES: &str = "
    create table t (id int primary key, n int, note text);
    insert into t select g, g % 5000, 'note ' || g from generate_series(1, 60000) g;
    create sequence s;
    create table log (n int);
    create function writes(n int) returns int language sql as 'insert into log values (n) returning n';
    create function lies(n int) returns int stable language plpgsql as
        'begin execute ''insert into log values (1)''; return n; end'";

fn check(user: &User, arguments: &[&str], code: i32, mask: &[(&str, &str)], expected: &Expect) {
    let output = user.run(arguments).fails(code);
    expected.assert_eq(&output.error_with(mask));
}

/// The same refusal by the preview and by the run.
fn refuses_both(user: &User, url: &str, mask: &[(&str, &str)], expected: &Expect) {
    let preview = user.run(&["apply", url]).fails(3).error_with(mask);
    let run = user.run(&["apply", "--execute", url]).fails(3).error_with(mask);
    assert_eq!(preview, run);
    expected.assert_eq(&run);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_cannot_or_must_not_be_explained() {
    let world = World::new().await;
    world.load(TABLES).await;
    let user = User::new();
    let url = world.url.as_str();
    let work = user.work().display().to_string();
    let mask = [(world.name.as_str(), "SHOP"), (work.as_str(), "WORK")];
    let explain = |what: &str, code: i32, expected: Expect| {
        check(&user, &["explain", what, url], code, &mask, &expected);
    };
    explain(
        "selekt * from t",
        2,
        expect![[r#"
            error: syntax error at or near "selekt" in line 1
              detail: Line 1:
                selekt * from t
                ^^^^^^"#]],
    );
    explain(
        "select * from",
        2,
        expect![[r#"
            error: syntax error at end of input in line 1
              detail: Line 1:
                select * from
                             ^"#]],
    );
    explain(
        "select * from nowhere",
        2,
        expect![[r#"
            error: relation "nowhere" does not exist
              detail: Line 1:
                select * from nowhere
                              ^^^^^^^"#]],
    );
    explain(
        "select nothing from t",
        2,
        expect![[r#"
            error: column "nothing" does not exist
              detail: Line 1:
                select nothing from t
                       ^^^^^^^"#]],
    );
    explain(
        "select 1; drop table t",
        2,
        expect![[r#"
            error: text holds 2 statements instead of one
              detail: The second one begins in line 1.
              hint: Choose one with --number."#]],
    );
    explain("", 2, expect!["error: there is no statement to explain"]);
    explain("  ", 2, expect!["error: there is no statement to explain"]);
    explain(
        "-- a comment",
        2,
        expect![[r#"
            error: unexpected argument '-- a comment' found

              tip: to pass '-- a comment' as a value, use '-- -- a comment'

            Usage: pgwright explain [OPTIONS] [WHAT]

            For more information, try '--help'."#]],
    );
    explain(
        "vacuum t",
        2,
        expect![[r#"
        error: a utility statement has no plan
          hint: SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES and TABLE can be explained."#]],
    );
    explain(
        "explain select 1",
        2,
        expect![[r#"
            error: a utility statement has no plan
              hint: Leave EXPLAIN out: pgwright adds it, and runs the statement only with --analyze."#]],
    );
    explain(
        "123456789",
        2,
        expect![[r#"
        error: no statement has the queryid 123456789
          detail: pg_stat_statements has no such entry for database "SHOP".
          hint: "pgwright profile" lists the queryids. An entry may have been evicted or reset."#]],
    );
    explain(
        "[{\"Plan\": ",
        2,
        expect![[r#"
            error: plan is not valid JSON
              detail: The JSON parser said: EOF while parsing a value at line 1 column 10.
              hint: Use the output of EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON), unaligned: psql -XAt."#]],
    );
    explain(
        "{}",
        2,
        expect![[r#"
        error: JSON is not the output of EXPLAIN (FORMAT JSON)
          detail: Found an object without "Plan".
          hint: Use the output of EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON), unaligned: psql -XAt."#]],
    );
    explain(
        "[1, 2]",
        2,
        expect![[r#"
        error: JSON is not the output of EXPLAIN (FORMAT JSON)
          detail: Found a number.
          hint: Use the output of EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON), unaligned: psql -XAt."#]],
    );
    explain(
        "missing.sql",
        2,
        expect![[r#"
            error: syntax error at or near "missing" in line 1
              detail: Line 1:
                missing.sql
                ^^^^^^^
              hint: There is no file "missing.sql" either."#]],
    );
    user.write("binary.sql", [0xff_u8, 0xfe, 0x00]);
    explain(
        "binary.sql",
        2,
        expect![[r#"
            error: could not read "binary.sql"
              detail: It is neither a plan nor text in UTF-8."#]],
    );

    let analyze = |what: &str, code: i32, expected: Expect| {
        check(&user, &["explain", "--analyze", what, url], code, &mask, &expected);
    };
    analyze(
        "delete from t",
        3,
        expect![[r#"
            error: the statement must not be analyzed
              detail: EXPLAIN ANALYZE runs a statement, and it deletes rows.
              hint: Leave --analyze out to see its plan without running it, or add --allow-writes to run it in a transaction that is rolled back; sequences that it advances do not go back."#]],
    );
    analyze(
        "with gone as (delete from t returning *) select count(*) from gone",
        3,
        expect![[r#"
            error: the statement must not be analyzed
              detail: EXPLAIN ANALYZE runs a statement, and it deletes rows.
              hint: Leave --analyze out to see its plan without running it, or add --allow-writes to run it in a transaction that is rolled back; sequences that it advances do not go back."#]],
    );
    analyze(
        "select * into copy from t",
        3,
        expect![[r#"
            error: the statement must not be analyzed
              detail: EXPLAIN ANALYZE runs a statement, and it creates a table.
              hint: Leave --analyze out to see its plan without running it, or add --allow-writes to run it in a transaction that is rolled back; sequences that it advances do not go back."#]],
    );
    analyze(
        "create table copy as select * from t",
        2,
        expect![[r#"
        error: a utility statement has no plan
          hint: SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES and TABLE can be explained."#]],
    );
    analyze(
        "select * from t for update",
        3,
        expect![[r#"
            error: the statement must not be analyzed
              detail: EXPLAIN ANALYZE runs a statement, and it locks rows.
              hint: Leave --analyze out to see its plan without running it, or add --allow-writes to run it in a transaction that is rolled back; sequences that it advances do not go back."#]],
    );
    analyze(
        "select nextval('s')",
        3,
        expect![[r#"
        error: the statement must not be analyzed
          detail: It calls functions that may do more than read: nextval.
          hint: Leave --analyze out, or add --allow-unknown-functions if you know them to be harmless."#]],
    );
    analyze(
        "select setval('s', 99)",
        3,
        expect![[r#"
        error: the statement must not be analyzed
          detail: It calls functions that may do more than read: setval.
          hint: Leave --analyze out, or add --allow-unknown-functions if you know them to be harmless."#]],
    );
    analyze(
        "select pg_terminate_backend(1)",
        3,
        expect![[r#"
        error: the statement must not be analyzed
          detail: It calls functions that may do more than read: pg_terminate_backend.
          hint: Leave --analyze out, or add --allow-unknown-functions if you know them to be harmless."#]],
    );
    analyze(
        "select writes(1)",
        3,
        expect![[r#"
        error: the statement must not be analyzed
          detail: It calls functions that may do more than read: writes.
          hint: Leave --analyze out, or add --allow-unknown-functions if you know them to be harmless."#]],
    );
    analyze(
        "select public.writes(id) from t",
        3,
        expect![[r#"
        error: the statement must not be analyzed
          detail: It calls functions that may do more than read: public.writes.
          hint: Leave --analyze out, or add --allow-unknown-functions if you know them to be harmless."#]],
    );
    // A function that says it only reads and runs what nobody can foresee.
    analyze(
        "select lies(1)",
        3,
        expect![[r#"
            error: the statement must not be analyzed
              detail: It calls functions that may do more than read: lies (its body has EXECUTE).
              hint: Leave --analyze out, or add --allow-unknown-functions if you know them to be harmless."#]],
    );
    let allowed = ["explain", "--analyze", "--allow-unknown-functions", "select writes(1)", url];
    check(
        &user,
        &allowed,
        2,
        &mask,
        &expect![[r#"error: query "explain" failed: cannot execute INSERT in a read-only transaction"#]],
    );
    analyze(
        "select pg_sleep(30)",
        3,
        expect![[r#"
        error: the statement must not be analyzed
          detail: It calls functions that may do more than read: pg_sleep.
          hint: Leave --analyze out, or add --allow-unknown-functions if you know them to be harmless."#]],
    );
    // What does not end is stopped, and its plan is judged.
    let slow =
        user.run(&["explain", "--analyze", "--timeout", "300ms", "select count(*) from t a, t b, t c", url]);
    let slow =
        slow.exits(0).says("not executed").tells("the statement did not end within 0.3 s and was stopped");
    assert!(!slow.stdout.contains("disabled-node"), "{slow}");

    assert_eq!(world.value("select count(*) from t").await, "60000");
    assert_eq!(world.value("select count(*) from log").await, "0");
    assert_eq!(world.value("select is_called from s").await, "false");
    assert_eq!(world.value("select to_regclass('copy') is null").await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_files_that_are_none() {
    let world = World::new().await;
    world.load(TABLES).await;
    let user = User::new();
    user.run(&["snapshot", "save", "good.zst", &world.url]).exits(0);
    let good = std::fs::read(user.file("good.zst")).unwrap();
    user.write("half.zst", &good[..good.len() / 2]);
    user.write("empty.zst", "");
    user.write("other.zst", "this is a letter to grandmother");
    // The end is the checksum of all.
    let flipped_at = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0xff;
        bytes
    };
    user.write("flipped.zst", flipped_at(good.len() - 1));
    user.write("middle.zst", flipped_at(good.len() / 2));
    let json = postgres::snapshot_file::load(&user.file("good.zst")).unwrap();
    let mut newer = serde_json::to_value(&json).unwrap();
    newer["format_version"] = 999.into();
    let newer = zstd::encode_all(serde_json::to_vec(&newer).unwrap().as_slice(), 1).unwrap();
    user.write("newer.zst", newer);
    let mut texts = Vec::new();
    for name in ["half.zst", "empty.zst", "other.zst", "flipped.zst", "newer.zst", "missing.zst", "."] {
        let mut said = std::collections::BTreeSet::new();
        for command in [&["advise"][..], &["profile"], &["report"]] {
            let output = user.run(&[command, &["--snapshot", name][..]].concat()).fails(2);
            assert_eq!(output.stdout, "", "\n{output}");
            said.insert(output.error().to_owned());
        }
        said.insert(user.run(&["snapshot", "show", name]).fails(2).error().to_owned());
        texts.extend(said);
    }
    expect![[r#"
        error: snapshot file "half.zst" is cut off or damaged
          detail: zstd: incomplete frame.
        error: snapshot file "empty.zst" is not a snapshot of pgwright
        error: snapshot file "other.zst" is not a snapshot of pgwright
        error: snapshot file "flipped.zst" is cut off or damaged
          detail: zstd: Restored data doesn't match checksum.
        error: snapshot file "newer.zst" was written by a newer pgwright
          detail: It has format version 999; this pgwright reads up to 1.
        error: snapshot file "missing.zst" could not be read
          detail: No such file or directory (os error 2).
        error: snapshot file "." could not be read
          detail: Is a directory (os error 21)."#]]
    .assert_eq(&texts.join("\n"));
    // What a byte in the middle was for differs from file to file.
    let said = user.run(&["advise", "--snapshot", "middle.zst"]).fails(2).error().to_owned();
    let exactly = |detail: &str| {
        format!("error: snapshot file \"middle.zst\" is cut off or damaged\n  detail: zstd: {detail}.")
    };
    let details = ["Data corruption detected", "Restored data doesn't match checksum"];
    assert!(details.map(exactly).contains(&said), "{said}");
    // A place that cannot be written, before and instead of half a file.
    let output = user.run(&["snapshot", "save", "no/such/folder/x.zst", &world.url]).fails(2);
    expect![[r#"
        error: snapshot file "no/such/folder/x.zst" could not be written
          detail: There is no folder "no/such/folder"."#]]
    .assert_eq(output.error());
    // The one that is there stays when another cannot be written over it.
    let output = user.run(&["snapshot", "save", "good.zst", "postgres://nobody@%2Fnonexistent/x"]).fails(2);
    assert!(output.error().contains("could not connect"), "{output}");
    assert_eq!(std::fs::read(user.file("good.zst")).unwrap(), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn workload_files_that_cannot_be_played() {
    let world = World::new().await;
    world.load(TABLES).await;
    let user = User::new();
    let url = world.url.as_str();
    let mut texts = Vec::new();
    for (name, text) in [
        (
            "parameter.toml",
            "format = 1\n[[statement]]\nname = \"a\"\nweight = 1\nsql = \"select * from t where id = :nobody\"\n",
        ),
        ("typo.toml", "format = 1\n[[statement]]\nname = \"a\"\nwieght = 1\nsql = \"select 1\"\n"),
        ("broken.toml", "[[statement\n"),
        ("empty.toml", ""),
    ] {
        user.write(name, text);
        let output = user.run(&["workload", "run", name, "--rate", "10", "--duration", "1s", url]).fails(2);
        texts.push(output.error().to_owned());
    }
    let output =
        user.run(&["workload", "run", "missing.toml", "--rate", "10", "--duration", "1s", url]).fails(2);
    texts.push(output.error().to_owned());
    expect![[r#"
        error: workload file "parameter.toml", line 5: statement "a" uses unknown parameter ":nobody"
          hint: Define it with [parameter.nobody]; a colon that is no parameter needs a space after it.
        error: workload file "typo.toml", line 4: unknown field `wieght`, expected one of `name`, `weight`, `sql`
        error: workload file "broken.toml", line 1: unclosed array table, expected `]]`
        error: workload file "empty.toml", line 1: missing field `format`
        error: workload file "missing.toml": could not be read
          detail: The operating system said: No such file or directory (os error 2)."#]].assert_eq(&texts.join("\n"));
    // What the server refuses is counted, and the run is not called a success.
    user.write(
        "table.toml",
        "format = 1\n[[statement]]\nname = \"a\"\nweight = 1\nsql = \"select * from nowhere\"\n",
    );
    user.run(&["workload", "run", "table.toml", "--rate", "20", "--duration", "1s", "--warm-up", "0s", url])
        .exits(1)
        .says("SQLSTATE 42P01: relation \"nowhere\" does not exist")
        .tells("warning: not every request was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_files_with_mistakes() {
    let world = World::new().await;
    let user = User::new();
    let mut texts = Vec::new();
    for text in [
        "ulr = \"postgres://x\"",
        "url = postgres://x",
        "lock_timeout_ms = \"soon\"",
        "lock_timeout_ms = -5",
        "[server]\nurl = \"x\"",
    ] {
        user.write("pgwright.toml", text);
        texts.push(user.run(&["doctor"]).fails(2).error().to_owned());
    }
    texts.push(user.run(&["doctor", "--config", "missing.toml"]).fails(2).error().to_owned());
    expect![[r#"
        error: could not understand "pgwright.toml"
          detail: Line 1, column 1: unknown field `ulr`, expected one of `url`, `bin_dir`, `lock_timeout_ms`, `statement_timeout_ms`, `checks`, `check`, `lint`, `partition_set`, `alerts`, `serve`, `object_storage`.
          hint: The keys are listed in docs/reference/configuration.md.
        error: could not understand "pgwright.toml"
          detail: Line 1, column 7: string values must be quoted, expected literal string.
          hint: The keys are listed in docs/reference/configuration.md.
        error: could not understand "pgwright.toml"
          detail: Line 1, column 19: invalid type: string "soon", expected u64.
          hint: The keys are listed in docs/reference/configuration.md.
        error: could not understand "pgwright.toml"
          detail: Line 1, column 19: invalid value: integer `-5`, expected u64.
          hint: The keys are listed in docs/reference/configuration.md.
        error: could not understand "pgwright.toml"
          detail: Line 1, column 2: unknown field `server`, expected one of `url`, `bin_dir`, `lock_timeout_ms`, `statement_timeout_ms`, `checks`, `check`, `lint`, `partition_set`, `alerts`, `serve`, `object_storage`.
          hint: The keys are listed in docs/reference/configuration.md.
        error: could not read "missing.toml"
          detail: No such file or directory (os error 2).
          hint: Name another file with --config, or create it; see docs/reference/configuration.md."#]].assert_eq(&texts.join("\n"));
    // A right one is used; the command line counts more.
    user.write("pgwright.toml", format!("url = \"{}\"\nlock_timeout_ms = 500\n", world.url));
    user.run(&["profile"]).exits(0);
    user.run(&["profile", "postgres://nobody@%2Fnonexistent/x"]).fails(2);
    let output = crate::program::finish(
        user.command(&["profile"]).env("PGWRIGHT_URL", "postgres://nobody@%2Fnonexistent/x"),
    );
    output.fails(2);
}

#[test]
fn calls_that_are_not_understood() {
    let user = User::new();
    for arguments in [
        &["advice"][..],
        &["profile", "--sort", "colour"],
        &["profile", "--for", "soon"],
        &["apply", "--tries", "x"],
        &[],
    ] {
        let output = user.run(arguments).exits(2);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "\n{output}");
    }
    for wrong in ["0.9", "-1", "NaN", "none"] {
        let told = format!("\"{wrong}\" is not a number from 1 on, nor \"off\"");
        user.run(&["advise", &format!("--max-slowdown={wrong}")]).fails(2).tells(&told);
    }
    user.run(&["--help"]).exits(0).says("Example");
    user.run(&["--version"]).exits(0).says("pgwright ");
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_that_cannot_be_applied() {
    let world = World::new().await;
    world.load(TABLES).await;
    let user = User::new();
    let url = world.url.as_str();
    let server = crate::world::oldest();
    let socket = server.socket_dir().display().to_string();
    let mask = [(world.name.as_str(), "SHOP"), (socket.as_str(), "SOCKET")];
    let before = world.schema_dump().await;

    check(
        &user,
        &["apply", url],
        2,
        &mask,
        &expect![[r#"
        error: no advice is kept for SOCKET:5432/SHOP
          detail: "apply" runs only what "advise" has shown.
          hint: Run "pgwright advise" on this database first, or name a file with --advice."#]],
    );
    check(
        &user,
        &["apply", "--execute", url],
        2,
        &mask,
        &expect![[r#"
        error: no advice is kept for SOCKET:5432/SHOP
          detail: "apply" runs only what "advise" has shown.
          hint: Run "pgwright advise" on this database first, or name a file with --advice."#]],
    );
    check(
        &user,
        &["undo", "--execute", url],
        2,
        &mask,
        &expect![[r#"
        error: journal has no change to undo
          hint: "pgwright journal" lists what was done."#]],
    );
    check(
        &user,
        &["undo", "12", "--execute", url],
        2,
        &mask,
        &expect![[r#"
        error: journal has no entry 12
          hint: "pgwright journal" lists what was done."#]],
    );
    check(
        &user,
        &["undo", "nonsense", "--execute", url],
        2,
        &mask,
        &expect![[r#"
        error: journal has no entry for "nonsense"
          hint: "pgwright journal" lists what was done."#]],
    );
    check(
        &user,
        &["verify", url],
        2,
        &mask,
        &expect![[r#"
        error: nothing that was applied can be verified
          hint: "pgwright journal" lists what was done."#]],
    );
    check(
        &user,
        &["baseline", "compare", url],
        2,
        &mask,
        &expect![[r#"
        error: there is no baseline yet
          hint: "pgwright baseline list" shows what is stored."#]],
    );
    check(
        &user,
        &["baseline", "delete", "missing", url],
        2,
        &mask,
        &expect![[r#"
        error: there is no baseline "missing"
          hint: "pgwright baseline list" shows what is stored."#]],
    );
    check(
        &user,
        &["profile", "--since", "missing", url],
        2,
        &mask,
        &expect![[r#"
        error: there is no baseline "missing"
          hint: "pgwright baseline list" shows what is stored."#]],
    );

    world.repeat("select * from t where n = 7", 30).await;
    user.run(&["advise", url]).exits(0).says("CREATE INDEX CONCURRENTLY t_n_idx ON public.t");
    let output = user.run(&["apply", "no-such-id", "--execute", url]).fails(2);
    assert!(
        output
            .error()
            .starts_with("error: no recommendation has the id \"no-such-id\"\n  hint: The last advice has ")
    );
    user.write("broken.json", "{\"target\": 1");
    check(
        &user,
        &["apply", "--advice", "broken.json", url],
        2,
        &mask,
        &expect![[r#"
        error: could not understand "broken.json"
          detail: invalid type: integer `1`, expected a string at line 1 column 12.
          hint: The file is written by "pgwright advise --out FILE"."#]],
    );
    check(
        &user,
        &["apply", "--advice", "missing.json", url],
        2,
        &mask,
        &expect![[r#"
        error: could not read "missing.json"
          detail: No such file or directory (os error 2)."#]],
    );
    assert_eq!(world.schema_dump().await, before);

    // Somebody took the name in the meantime.
    world.sql("create index t_n_idx on t (note)").await;
    let taken = world.schema_dump().await;
    refuses_both(
        &user,
        url,
        &mask,
        &expect![[r#"
        error: name public.t_n_idx is taken by an index
          detail: Indexes, tables, views and sequences of a schema share one space of names.
          hint: Rename the other relation, or advise again so that public.t_n_idx gets another name."#]],
    );
    assert_eq!(world.schema_dump().await, taken);
    // Somebody built the same index under another name.
    world.sql("drop index t_n_idx; create index theirs on t (n)").await;
    let equal = world.schema_dump().await;
    check(
        &user,
        &["apply", "--execute", url],
        3,
        &mask,
        &expect![[r#"
        error: index public.theirs is equal to the new one
          detail: public.t_n_idx would have the same access method, keys and predicate as public.theirs.
          hint: Nothing needs to be done."#]],
    );
    assert_eq!(world.schema_dump().await, equal);
    // The column, then the table has gone.
    world.sql("alter table t rename column n to m").await;
    check(
        &user,
        &["apply", "--execute", url],
        3,
        &mask,
        &expect![[r#"
        error: table public.t has no column n
          detail: The table may have been changed since the advice was given.
          hint: Run "pgwright advise" again."#]],
    );
    world.sql("drop table t").await;
    let gone = world.schema_dump().await;
    refuses_both(
        &user,
        url,
        &mask,
        &expect![[r#"
            error: table public.t does not exist
              detail: It may have been dropped or renamed since the advice was given.
              hint: Run "pgwright advise" again."#]],
    );
    assert_eq!(world.schema_dump().await, gone);
    assert_eq!(world.value("select count(*) from pg_namespace where nspname = 'pgwright'").await, "0");
}
