//! Does `what-if` tell what a change would do: on the twin, with HypoPG, on another major version? And does
//! it refuse what cannot be tried with a reason?

use cluster::Server;
use expect_test::{Expect, expect};
use serde_json::Value;

use crate::program::{Output, User};
use crate::world::{World, oldest, with_hypopg};

const TABLES: &str = r#"
    create extension pg_trgm;
    create schema "My Schema";
    create table "My Schema"."a""b.c" (
        id int primary key, "we""ird" int, "Note" text, doc jsonb, at timestamptz, during int4range);
    insert into "My Schema"."a""b.c"
        select g, g % 5000, 'note ' || g, jsonb_build_object('k', g % 500),
            '2026-01-01'::timestamptz + g * interval '1 minute', int4range(g, g + 10)
        from generate_series(1, 60000) g;
    create index "odd ""idx" on "My Schema"."a""b.c" ("we""ird");
    create table parts (id int, at timestamptz not null, kind text) partition by range (at);
    create table parts_1 partition of parts for values from ('2026-01-01') to ('2026-06-01');
    create table parts_2 partition of parts for values from ('2026-06-01') to ('2027-01-01');
    insert into parts
        select g, '2026-01-01'::timestamptz + g * interval '4 minutes', 'k' || g % 700 from generate_series(1, 120000) g;
    create index parts_kind on parts (kind);
    create view seen as select * from parts"#;

const BY_WEIRD: &str = r#"select * from "My Schema"."a""b.c" where "we""ird" = 17"#;
const BY_TIME: &str = r#"select "Note" from "My Schema"."a""b.c" where at = '2026-01-05'"#;

async fn world_on(server: &Server) -> World {
    let world = World::on(server).await;
    world.load(TABLES).await;
    for statement in
        [BY_WEIRD, BY_TIME, "select * from parts where id = 17", "select * from parts where kind = 'k5'"]
    {
        world.repeat(statement, 10).await;
    }
    world.sql("vacuum analyze").await;
    world
}

async fn world() -> World {
    world_on(oldest()).await
}

fn what_if(user: &User, url: &str, arguments: &[&str]) -> Output {
    user.run(&[&["what-if"], arguments, &["--url", url]].concat())
}

fn json(user: &User, url: &str, arguments: &[&str]) -> Value {
    what_if(user, url, &[arguments, &["--json"]].concat()).exits(0).json("what-if")
}

/// The statement with a text, as `what-if --json` tells of it.
fn statement<'a>(json: &'a Value, part: &str) -> &'a Value {
    let statements = json["statements"].as_array().unwrap();
    statements.iter().find(|s| s["query"].as_str().unwrap().contains(part)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn winners_and_losers_cost_what_they_cost_with_the_real_index() {
    let world = world().await;
    let user = User::new();
    let before = world.schema_dump().await;
    let changes = [
        "create index by_time on \"My Schema\".\"a\"\"b.c\" (at) include (\"Note\")",
        "drop index \"odd \"\"idx\"",
    ];
    let json = json(&user, &world.url, &changes);
    let by_time = statement(&json, " at = ");
    assert_eq!(by_time["effect"], "faster");
    let by_weird = statement(&json, "\"we\"\"ird\" = ");
    assert_eq!(by_weird["effect"], "slower");
    assert_eq!(statement(&json, "kind = ")["effect"], "unchanged");
    assert_eq!(json["changes"][0]["used_by"], serde_json::json!([by_time["queryid"]]));
    assert_eq!(json["changes"][1]["used_by"], serde_json::json!([by_weird["queryid"]]));
    assert_eq!(world.schema_dump().await, before, "a question changes nothing");

    for change in changes {
        // The index is in the schema of its table; the session is not.
        world.sql(&change.replace("drop index ", "drop index \"My Schema\".")).await;
    }
    for outcome in [by_time, by_weird] {
        for execution in outcome["executions"].as_array().unwrap() {
            let sql = format!("explain (format json) {}", execution["sql"].as_str().unwrap());
            let plan: Value = world.client.query_one(&sql, &[]).await.unwrap().get(0);
            let real = plan[0]["Plan"]["Total Cost"].as_f64().unwrap();
            let told = execution["cost_after"].as_f64().unwrap();
            assert!((told / real - 1.0).abs() < 0.05, "{sql}: {told} and really {real}");
        }
    }
    let size: u64 = world.value("select pg_relation_size('\"My Schema\".by_time')").await.parse().unwrap();
    let told = json["changes"][0]["bytes"].as_u64().unwrap();
    assert!((told as f64 / size as f64 - 1.0).abs() < 0.1, "{told} bytes and really {size}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_for_a_person() {
    let world = world().await;
    let user = User::new();
    let url = world.url.as_str();
    let answer =
        what_if(&user, url, &["create index on \"a\"\"b.c\" (at)", "drop index parts_kind"]).exits(0);
    for part in [
        " statements planned before and after with ",
        "+ CREATE INDEX \"a\"\"b.c_at_idx\" ON \"My Schema\".\"a\"\"b.c\" USING btree (at)\n",
        " predicted, about ",
        "in the plans of 1 statement",
        "- DROP INDEX public.parts_kind\n    frees ",
        "was in the plans of 1 statement",
        "\n1 statement slower\n",
        "\n1 statement faster\n",
        "\n2 statements unchanged\n",
        " → Index Scan using \"a\"\"b.c_at_idx\" on \"a\"\"b.c\"",
    ] {
        assert!(answer.stdout.contains(part), "stdout lacks {part:?}\n{answer}");
    }
    assert!(!answer.stdout.contains("not executed"), "plans are shown when asked for\n{answer}");
    let plans = what_if(&user, url, &["create index on \"a\"\"b.c\" (at)", "--plans"]).exits(0);
    assert!(
        plans.stdout.contains("before\n") && plans.stdout.contains("Seq Scan on \"a\"\"b.c\""),
        "\n{plans}"
    );

    // One statement by its number, negative ones too.
    let json = json(&user, url, &["set enable_seqscan = off"]);
    for statement in json["statements"].as_array().unwrap() {
        let queryid = statement["queryid"].to_string();
        let one = what_if(&user, url, &["set enable_seqscan = off", "--statement", &queryid]).exits(0);
        assert!(one.stdout.contains("\n1 statement ") && one.stdout.contains("not executed"), "\n{one}");
    }
    // The changes may stand in a file, and the snapshot too.
    user.write("ideas.sql", "create index on parts (id);\ndrop index parts_kind;\n");
    user.run(&["snapshot", "save", "s.zst", url]).exits(0);
    user.run(&["what-if", "ideas.sql", "--snapshot", "s.zst"])
        .exits(0)
        .says("+ CREATE INDEX parts_id_idx ON public.parts USING btree (id)")
        .says("- DROP INDEX public.parts_kind");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_create_index_that_postgresql_takes() {
    let world = world().await;
    let user = User::new();
    world.sql("set search_path = \"My Schema\", public").await;
    let forms = [
        "create index on \"a\"\"b.c\" (id)",
        "create unique index u on \"My Schema\".\"a\"\"b.c\" (id, \"Note\")",
        "create index concurrently if not exists \"\u{1b}[31m\" on \"a\"\"b.c\" (\"we\"\"ird\" desc nulls last, at asc nulls first)",
        "create index on \"a\"\"b.c\" (lower(\"Note\") text_pattern_ops, (doc ->> 'k') collate \"C\")",
        "create index on \"a\"\"b.c\" using hash (\"Note\")",
        "create index on \"a\"\"b.c\" using gin (doc jsonb_path_ops)",
        "create index on \"a\"\"b.c\" using gin (\"Note\" gin_trgm_ops) with (fastupdate = off)",
        "create index on \"a\"\"b.c\" using gist (\"Note\" public.gist_trgm_ops (siglen = 64))",
        "create index on \"a\"\"b.c\" using spgist (during)",
        "create index on \"a\"\"b.c\" using brin (at) with (pages_per_range = 16, autosummarize)",
        "create index on \"a\"\"b.c\" (at) include (\"Note\", id) with (fillfactor = 70) where \"Note\" like 'note 1%' and id in (1, 2)",
        "create index on parts (id, kind)",
        "create index on only parts (kind, id)",
        "create index on parts_1 using btree (at) tablespace pg_default",
    ];
    for form in forms {
        world.sql(form).await;
    }
    // PostgreSQL took them; so does pgwright, under names that are free.
    let asked: Vec<String> = forms
        .iter()
        .map(|form| form.replace("index u on", "index u2 on").replace("\u{1b}[31m", "\u{1b}[32m"))
        .collect();
    let arguments: Vec<&str> = asked.iter().map(String::as_str).collect();
    let answer = json(&user, &world.url, &arguments);
    for (form, change) in forms.iter().zip(answer["changes"].as_array().unwrap()) {
        assert_eq!(change["change"], "create_index", "{form}: {change}");
        assert!(change["bytes"].as_u64() > Some(0), "{form}: {change}");
    }
    assert_eq!(answer["changes"].as_array().unwrap().len(), forms.len());
    let colored = what_if(&user, &world.url, &["create index \"\u{1b}[32m\" on \"a\"\"b.c\" (at)"]).exits(0);
    assert!(!colored.stdout.contains('\u{1b}'), "\n{colored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_known_of_a_change() {
    let world = world().await;
    let user = User::new();
    for (changes, notes) in [
        (
            &[
                "drop index \"a\"\"b.c_pkey\"",
                "drop index if exists nothing",
                "create index if not exists parts_kind on parts (at)",
                "create index on parts (kind)",
                "create index on only parts (at)",
                "create index concurrently on parts (at, id)",
                "create unique index on \"a\"\"b.c\" (id, at)",
                "reset work_mem",
            ][..],
            &[
                "It implements constraint \"a\"\"b.c_pkey\"",
                "There is no such index",
                "exists already, so IF NOT EXISTS creates nothing",
                "Index public.parts_kind gives all that it would.",
                "ON ONLY creates nothing on the partitions",
                "PostgreSQL refuses CONCURRENTLY here.",
                "Whether the values are unique is not known",
                "The value of the snapshot is taken for the default.",
            ][..],
        ),
        (
            &[
                "drop index parts_1_kind_idx",
                "drop index parts_kind; create index parts_kind on parts using hash (kind)",
                "drop index parts_kind",
            ],
            &[
                "It is a part of public.parts_kind",
                "Plans show it as \"parts_kind (new)\".",
                "It was named twice and counts once.",
            ],
        ),
    ] {
        let answer = what_if(&user, &world.url, changes).exits(0);
        for note in notes {
            assert!(answer.stdout.contains(note), "stdout lacks {note:?}\n{answer}");
        }
    }
    // The new one is told from the old one of the same name.
    let answer = json(
        &user,
        &world.url,
        &[
            "drop index \"odd \"\"idx\"",
            "create index \"odd \"\"idx\" on \"a\"\"b.c\" using hash (\"we\"\"ird\")",
        ],
    );
    let queryid = &statement(&answer, "\"we\"\"ird\" = ")["queryid"];
    assert_eq!(answer["changes"][0]["used_by"], serde_json::json!([queryid]));
    assert_eq!(answer["changes"][1]["used_by"], serde_json::json!([queryid]));
    // Parts on partitions have names of their own.
    let answer = json(&user, &world.url, &["create index on parts (id)"]);
    assert_eq!(
        answer["changes"][0]["used_by"],
        serde_json::json!([statement(&answer, "where id = ")["queryid"]])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_change_plans_and_their_units() {
    let world = world().await;
    let user = User::new();
    let off = json(&user, &world.url, &["set enable_indexscan = off; set enable_bitmapscan = off"]);
    assert_eq!(off["comparable"], true);
    assert_eq!(statement(&off, "\"we\"\"ird\" = ")["effect"], "slower");
    assert_eq!(statement(&off, "where id = ")["effect"], "unchanged");
    // With everything switched off the planner's surcharge of 10^10 is no time.
    let all = json(
        &user,
        &world.url,
        &["set enable_indexscan = off; set enable_bitmapscan = off; set enable_seqscan = off"],
    );
    for statement in all["statements"].as_array().unwrap() {
        assert!(statement["cost_after"].as_f64().unwrap() < 1e6, "{statement}");
    }
    // What a page costs says nothing about time: only another plan counts.
    let dear = json(&user, &world.url, &["set random_page_cost = 4000", "set seq_page_cost = 1000"]);
    assert_eq!(dear["comparable"], false);
    assert_eq!(statement(&dear, "where id = ")["effect"], "unchanged");
    assert_eq!(dear["saved_ms_per_hour"], 0.0);
    what_if(&user, &world.url, &["set random_page_cost = 4000"])
        .exits(0)
        .says("= SET random_page_cost = 4000\n    was 4\n")
        .says("costs before and after are in different units");
    what_if(&user, &world.url, &["set work_mem to '1GB'"])
        .exits(0)
        .says("= SET work_mem = 1GB\n    was 4.0 MB\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tried_is_refused() {
    let world = world().await;
    let user = User::new();
    let check = |change: &str, expected: Expect| {
        let output = what_if(&user, &world.url, &[change]).fails(2);
        assert_eq!(output.stdout, "", "\n{output}");
        expected.assert_eq(output.error());
    };
    check(
        "alter table parts add column x int",
        expect![[r#"
            error: "alter table parts …" cannot be tried
              hint: What can be tried are CREATE INDEX, DROP INDEX and SET of a planner setting."#]],
    );
    check(
        "create index on parts (id",
        expect![[r#"
            error: statement is not valid SQL
              detail: The parser says: syntax error at end of input."#]],
    );
    check(
        "create index on nothing (id)",
        expect![[r#"
            error: table nothing is not in the snapshot
              detail: Tables, partitioned tables and materialized views of user schemas that the role may see are there."#]],
    );
    check(
        "create index on nowhere.parts (id)",
        expect![[r#"
            error: table nowhere.parts is not in the snapshot
              hint: There is public.parts; name the one that is meant."#]],
    );
    check(
        "create index on parts (nothing)",
        expect![[r#"
            error: the index on public.parts cannot be created
              detail: PostgreSQL says of "CREATE INDEX parts_nothing_idx ON public.parts USING btree (nothing)": column "nothing" does not exist."#]],
    );
    check(
        "create index on parts (kind nothing_ops)",
        expect![[r#"
            error: operator class nothing_ops does not exist for access method "btree"
              detail: The database has the extensions pg_stat_statements, pg_trgm, plpgsql.
              hint: Operator classes of an extension are there after CREATE EXTENSION; those of pg_trgm are gin_trgm_ops and gist_trgm_ops."#]],
    );
    check(
        "create index on parts (kind collate nothing)",
        expect![["error: collation nothing does not exist"]],
    );
    check(
        "create index parts_kind on parts (id)",
        expect![[r#"
            error: public.parts_kind exists already
              hint: Name it otherwise, leave the name out, or drop the old one in the same call."#]],
    );
    check("drop index nothing", expect![["error: index nothing is not in the snapshot"]]);
    check(
        "set shared_buffers = '1GB'",
        expect![[r#"
            error: setting "shared_buffers" does not decide plans
              detail: A session cannot change it.
              hint: Settings of the categories "Query Tuning" and "Resource Usage / Memory" that SET can change do."#]],
    );
    check(
        "set default_statistics_target = 1000",
        expect![[r#"
            error: setting "default_statistics_target" does not decide plans
              detail: It takes effect when ANALYZE reads the table again.
              hint: Settings of the categories "Query Tuning" and "Resource Usage / Memory" that SET can change do."#]],
    );
    check(
        "set work_mem = 'much'",
        expect![[r#"
            error: setting "work_mem" does not take the value "much"
              detail: PostgreSQL says: invalid value for parameter "work_mem": "much"."#]],
    );
    check("set nothing = 1", expect![[r#"error: the server has no setting "nothing""#]]);
    let output = what_if(&user, &world.url, &["create index on parts (id)", "--statement", "4711"]).fails(2);
    assert!(output.stderr.contains("error: no statement has the queryid 4711"), "\n{output}");
    let output = user.run(&["what-if", "--url", &world.url]).exits(2);
    assert!(output.stderr.contains("<CHANGE>"), "\n{output}");
    world.forget_statements().await;
    world.sql("select pg_stat_statements_reset()").await;
    let output = what_if(&user, &world.url, &["create index on parts (id)"]);
    if output.code != Some(0) {
        output.fails(2).tells("snapshot holds no statements");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_of_another_major_version() {
    let world = world().await;
    let user = User::new();
    let url = world.url.as_str();
    let own: u32 =
        world.value("select current_setting('server_version_num')::int / 10000").await.parse().unwrap();
    let output = what_if(&user, url, &["--major", &own.to_string()]).fails(2);
    assert!(output.stderr.contains(&format!("error: the server is PostgreSQL {own} already")), "\n{output}");
    let output = what_if(&user, url, &["--major", "99"]).fails(2);
    for part in
        ["error: PostgreSQL 99 is not installed on this machine", "postgresql-99", "This machine has: "]
    {
        assert!(output.stderr.contains(part), "lacks {part}\n{output}");
    }
    what_if(&user, url, &["--major", "99", "create index on parts (id)"])
        .exits(2)
        .tells("cannot be used with");
    for binaries in testkit::versions().iter().filter(|b| b.major != own) {
        let major = binaries.major.to_string();
        let dir = binaries.dir.display().to_string();
        let arguments = ["--major", major.as_str(), "--bin-dir", dir.as_str()];
        let text = what_if(&user, url, &arguments).exits(0).says(&format!("and by {}", binaries.version));
        assert!(text.stdout.contains(" with the same plan at the same cost"), "\n{text}");
        let json =
            what_if(&user, url, &[&arguments[..], &["--json"]].concat()).exits(0).json("what-if-major");
        assert_eq!(json["major_before"], own);
        assert_eq!(json["major_after"], binaries.major);
        assert_eq!(json["statements"].as_array().unwrap().len(), 4, "{json}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_another_version_refuses_is_told() {
    let world = World::new().await;
    world
        .load(
            "create table t (id int, n int); insert into t select g, g % 50 from generate_series(1, 9000) g",
        )
        .await;
    let own: u32 =
        world.value("select current_setting('server_version_num')::int / 10000").await.parse().unwrap();
    // PostgreSQL 17 does not have this function any more.
    let gone = "select * from t where n = pg_stat_get_buf_fsync_backend()";
    for binaries in testkit::versions().iter().filter(|b| own < 17 && b.major >= 17) {
        world.repeat(gone, 5).await;
        let user = User::new();
        let dir = binaries.dir.display().to_string();
        what_if(&user, &world.url, &["--major", &binaries.major.to_string(), "--bin-dir", &dir])
            .exits(0)
            .says("1 statement that cannot be planned any more")
            .says("PostgreSQL says: function pg_stat_get_buf_fsync_backend() does not exist");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hypopg_on_the_server_answers_too() {
    let world = world_on(with_hypopg().await).await;
    let user = User::new();
    let url = world.url.as_str();
    let hypopg = ["--what-if", "hypopg"];
    let missing = what_if(&user, url, &[&["create index on parts (id)"], &hypopg[..]].concat()).fails(2);
    for part in ["error: extension \"hypopg\" is not installed in database", "CREATE EXTENSION hypopg"] {
        assert!(missing.stderr.contains(part), "lacks {part}\n{missing}");
    }
    let missing = user.run(&[&["advise"], &hypopg[..], &["--url", url]].concat()).fails(2);
    assert!(missing.stderr.contains("CREATE EXTENSION hypopg"), "\n{missing}");
    user.run(&["snapshot", "save", "s.zst", url]).exits(0);
    let file = user.run(&[&["advise", "--snapshot", "s.zst"], &hypopg[..]].concat()).fails(2);
    assert!(file.stderr.contains("error: a snapshot file cannot be planned with HypoPG"), "\n{file}");

    world.sql("create extension hypopg").await;
    let before = world.schema_dump().await;
    // No program of PostgreSQL is needed here, pg_dump neither.
    let mut command = user.command(
        &[&["what-if", "create index on parts (id)"], &hypopg[..], &["--json", "--url", url]].concat(),
    );
    let answer = crate::program::finish(command.env("PATH", "/nowhere")).exits(0).json("what-if");
    assert_eq!(statement(&answer, "where id = ")["effect"], "faster");
    assert_eq!(statement(&answer, "kind = ")["effect"], "unchanged");
    let gin = what_if(&user, url, &[&["create index on \"a\"\"b.c\" using gin (doc)"], &hypopg[..]].concat())
        .fails(2);
    assert!(gin.stderr.contains("access method \"gin\" is not supported"), "\n{gin}");
    let advice = user.run(&[&["advise", "--skipped"], &hypopg[..], &["--url", url]].concat()).exits(0);
    assert!(advice.stdout.contains("CREATE INDEX CONCURRENTLY \"a\"\"b.c_at_idx\""), "\n{advice}");
    assert!(advice.stderr.contains("without the merging of duplicates"), "\n{advice}");
    assert_eq!(world.schema_dump().await, before);
}
