//! What becomes of statements that no advice can be made of, and of files that are no snapshots? Each is left out
//! with a reason that can be listed, or refused with an error, and nothing ends the program.

use std::process::Stdio;

use model::QualifiedName;
use model::snapshot::{Relation, RelationKind, Snapshot, Statement};
use model::{Bytes, Millis};

use crate::program::{Output, User, finish};
use crate::world::World;

/// The statements that were left out, each with its reason, in the order of their texts.
fn left_out(user: &User, source: &[&str]) -> Vec<(String, String)> {
    let json = user.run(&[&["advise", "--json"], source].concat()).exits(0).json("advise");
    let texts = user.run(&[&["advise", "--skipped"], source].concat()).exits(0);
    let profile = user.run(&[&["profile", "--json", "-n", "1000"], source].concat()).exits(0).json("profile");
    let statements = profile["statements"].as_array().unwrap();
    let mut found = Vec::new();
    for skipped in json["advice"]["skipped"].as_array().unwrap() {
        let reason = skipped["reason"].as_str().unwrap().to_owned();
        // The list for people has the same.
        let beginning: String = reason.chars().take(60).collect();
        assert!(texts.stdout.contains(&beginning), "{reason}\n{texts}");
        let statement = statements.iter().find(|s| s["queryid"] == skipped["queryid"]).unwrap();
        found.push((statement["query"].as_str().unwrap().chars().take(50).collect(), reason));
    }
    found.sort();
    found
}

fn reason<'a>(left_out: &'a [(String, String)], beginning: &str) -> &'a str {
    let found = left_out.iter().find(|(text, _)| text.starts_with(beginning));
    &found.unwrap_or_else(|| panic!("{beginning} was not left out: {left_out:#?}")).1
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_no_advice_can_be_made_of() {
    let world = World::new().await;
    world
        .load(
            "create table kept (id int primary key, n int, note text); \
             insert into kept select g, g % 3000, 'note ' || g from generate_series(1, 40000) g; \
             create table gone (id int)",
        )
        .await;
    world.repeat("select * from kept where n = 7", 20).await;
    world.repeat("select * from gone where id = 7", 5).await;
    world.sql("create temporary table scratch (id int)").await;
    world.repeat("select * from scratch where id = 7", 5).await;
    world.repeat("select * from gone join kept using (id) where kept.n = 5", 5).await;
    world.sql("drop table gone").await;
    for utility in [
        "vacuum kept",
        "set work_mem = '5MB'",
        "checkpoint",
        "create table other (id int)",
        "begin",
        "commit",
    ] {
        world.sql(utility).await;
    }
    world.sql("do 'begin perform 1; end'").await;
    world.sql("select 1").await;
    world.sql("select count(*) from pg_class").await;
    // A megabyte of SQL, once as one constant and once as a list.
    let long = format!("select * from kept where note = '{}'", "x".repeat(1 << 20));
    world.repeat(&long, 3).await;
    let numbers: Vec<String> = (0..5_000).map(|n| format!("{:200}", n * 3)).collect();
    let list = format!("select * from kept where n in ({})", numbers.join(","));
    assert!(list.len() > 1_000_000);
    world.sql(&list).await;

    let user = User::new();
    let found = left_out(&user, &[&world.url]);
    assert_eq!(
        reason(&found, "select * from gone where"),
        "gone is not in the snapshot: a temporary table, or dropped"
    );
    assert_eq!(
        reason(&found, "select * from scratch"),
        "scratch is not in the snapshot: a temporary table, or dropped"
    );
    assert_eq!(
        reason(&found, "select * from gone join"),
        "the planner refuses it: relation \"gone\" does not exist"
    );
    for utility in ["vacuum kept", "set work_mem", "checkpoint", "create table other", "begin", "do "] {
        assert_eq!(reason(&found, utility), "it is a utility statement, which the planner never sees");
    }
    assert_eq!(reason(&found, "select $1"), "it reads no table");
    assert_eq!(reason(&found, "select count(*) from pg_class"), "it reads system catalogs only");
    // The rest has its advice, and the number of those left out is told.
    let advice = user.run(&["advise", &world.url]).exits(0).says("ON public.kept USING btree (n)");
    advice.clone().says(&format!("{} statements were left out; --skipped shows each", found.len()));
    assert!(!found.iter().any(|(text, _)| text.starts_with("select * from kept")), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_that_this_machine_does_not_have() {
    let world = World::new().await;
    world
        .load(
            "create table kept (id int primary key, n int); \
             insert into kept select g, g % 3000 from generate_series(1, 40000) g; \
             create table places (id int, at int); insert into places select g, g from generate_series(1, 40000) g",
        )
        .await;
    world.repeat("select * from kept where n = 7", 20).await;
    world.repeat("select * from places where at = 7", 20).await;
    world.repeat("select k.* from kept k join places p on p.id = k.id where k.n = 8", 5).await;
    let user = User::new();
    user.run(&["snapshot", "save", "s.zst", &world.url]).exits(0);
    let mut snapshot = postgres::snapshot_file::load(&user.file("s.zst")).unwrap();
    // As if the type came with an extension.
    let table = "CREATE TABLE public.places (\n    id integer,\n    at integer\n);";
    assert!(snapshot.schema_sql.contains(table), "{}", snapshot.schema_sql);
    snapshot.schema_sql = snapshot.schema_sql.replace(
        table,
        "CREATE EXTENSION IF NOT EXISTS postgis_elsewhere WITH SCHEMA public;\n\
         CREATE TABLE public.places (id integer, at public.geometry);",
    );
    let at =
        snapshot.relations.iter_mut().find(|r| r.name.name == "places").unwrap().columns.get_mut(1).unwrap();
    at.type_name = "public.geometry".into();
    at.base_type = QualifiedName::new("public", "geometry");
    postgres::snapshot_file::save(&user.file("elsewhere.zst"), &snapshot).unwrap();
    let source = ["--snapshot", "elsewhere.zst"];
    let found = left_out(&user, &source);
    for beginning in ["select * from places", "select k.* from kept k join places"] {
        assert_eq!(
            reason(&found, beginning),
            "the planner refuses it: relation \"places\" does not exist; the planner twin lacks what extension \
             postgis_elsewhere brings"
        );
    }
    user.run(&["advise", "--snapshot", "elsewhere.zst"])
        .exits(0)
        .says("ON public.kept USING btree (n)")
        .tells("Extension postgis_elsewhere is not available to the local server");
}

fn partition_of(parent: &Relation, like: &Relation, number: usize) -> Relation {
    Relation {
        oid: 1_000_000 + u32::try_from(number).unwrap(),
        name: QualifiedName::new("public", format!("readings_{number}")),
        partition_bound: Some(format!("FOR VALUES FROM ({number}) TO ({})", number + 1)),
        parent: Some(parent.name.clone()),
        ..like.clone()
    }
}

/// A snapshot of a table with that many partitions, made out of a real one with two.
fn with_partitions(snapshot: &Snapshot, count: usize) -> Snapshot {
    let mut new = snapshot.clone();
    let parent = snapshot.relation(&QualifiedName::new("public", "readings")).unwrap().clone();
    let like = snapshot.relation(&QualifiedName::new("public", "readings_0")).unwrap().clone();
    assert_eq!(parent.kind, RelationKind::PartitionedTable);
    // As pg_dump has it: all tables, and then what attaches them.
    let (mut tables, mut attachments) = (String::new(), String::new());
    for number in 2..count {
        new.relations.push(partition_of(&parent, &like, number));
        tables.push_str(&format!(
            "CREATE TABLE public.readings_{number} (sensor integer NOT NULL, at integer NOT NULL, value double precision);\n"
        ));
        attachments.push_str(&format!(
            "ALTER TABLE ONLY public.readings ATTACH PARTITION public.readings_{number} FOR VALUES FROM ({number}) TO ({});\n",
            number + 1
        ));
    }
    new.schema_sql.push_str(&tables);
    new.schema_sql.push_str(&attachments);
    new.relations.sort_by(|a, b| a.name.cmp(&b.name));
    new
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_partitions() {
    let world = World::new().await;
    world
        .load(
            "create table readings (sensor int not null, at int not null, value float8) partition by range (at); \
             create table readings_0 partition of readings for values from (0) to (1); \
             create table readings_1 partition of readings for values from (1) to (2); \
             insert into readings select g % 5000, g % 2, g from generate_series(1, 40000) g",
        )
        .await;
    world.repeat("select * from readings where at = 1 and sensor = 7", 20).await;
    let user = User::new();
    user.run(&["snapshot", "save", "two.zst", &world.url]).exits(0);
    let many = with_partitions(&postgres::snapshot_file::load(&user.file("two.zst")).unwrap(), 10_000);
    postgres::snapshot_file::save(&user.file("many.zst"), &many).unwrap();
    user.run(&["snapshot", "show", "many.zst"]).exits(0).says("10001 relations");
    let advice = user.run(&["advise", "--skipped", "--snapshot", "many.zst"]).exits(0);
    assert!(advice.stdout.contains("ON public.readings") || advice.stdout.contains("left out"), "\n{advice}");
}

/// Runs pgwright with a limit on its address space in kilobytes.
fn within(user: &User, kilobytes: u64, arguments: &[&str]) -> Output {
    let command = user.command(arguments);
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", &format!("ulimit -v {kilobytes}; exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(user.work())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(&mut limited)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_made_to_do_harm() {
    let world = World::new().await;
    world.load("create table t (id int primary key, n int); insert into t select g, g from generate_series(1, 5000) g").await;
    world.repeat("select * from t where n = 7", 5).await;
    let user = User::new();
    user.run(&["snapshot", "save", "good.zst", &world.url]).exits(0);
    let good = std::fs::read(user.file("good.zst")).unwrap();

    // Every byte may be another one, and every end may be missing; a checksum notices.
    for at in (0..good.len()).step_by(good.len() / 60) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x15;
        let flipped = postgres::snapshot_file::load(&user.write("flipped.zst", &bytes));
        assert!(flipped.is_err(), "byte {at} of {}", good.len());
        assert!(postgres::snapshot_file::load(&user.write("cut.zst", &good[..at])).is_err(), "cut at {at}");
    }
    user.write("flipped.zst", {
        let mut b = good.clone();
        b[good.len() / 3] ^= 0x40;
        b
    });
    user.write("cut.zst", &good[..good.len() - 1]);
    for name in ["flipped.zst", "cut.zst"] {
        let said = user.run(&["advise", "--snapshot", name]).fails(2);
        assert!(
            said.error().starts_with(&format!("error: snapshot file \"{name}\" is cut off or damaged")),
            "\n{said}"
        );
    }

    // A gigabyte in a few kilobytes, as white space, as one text and as a list.
    let gigabyte = 1_u64 << 30;
    for (name, head, filler) in [
        ("spaces", "", b' '),
        ("text", "{\"format_version\":1,\"schema_sql\":\"", b'x'),
        ("list", "{\"notes\":[", b'['),
    ] {
        let bytes =
            std::io::Read::chain(head.as_bytes(), std::io::Read::take(std::io::repeat(filler), gigabyte));
        let file = user.write(&format!("{name}.zst"), "");
        zstd::stream::copy_encode(bytes, std::fs::File::create(&file).unwrap(), 1).unwrap();
        assert!(std::fs::metadata(&file).unwrap().len() < 1 << 20);
        let said = within(&user, 700_000, &["advise", "--snapshot", &format!("{name}.zst")]).fails(2);
        assert!(
            said.error()
                .starts_with(&format!("error: snapshot file \"{name}.zst\" is not a snapshot of pgwright")),
            "\n{said}"
        );
    }

    // JSON that PostgreSQL could not have given: each is an error or an answer, never a panic.
    let snapshot = postgres::snapshot_file::load(&user.file("good.zst")).unwrap();
    let mut odd = snapshot.clone();
    odd.statements.push(Statement {
        query: "select * from t where n = $1 \u{0} \u{1b}[31m".into(),
        calls: i64::MIN,
        total_exec_time: Millis(f64::MAX),
        mean_exec_time: Millis(-1.0),
        ..snapshot.statements[0].clone()
    });
    for relation in &mut odd.relations {
        relation.pages = i64::MIN;
        relation.relpages = -5;
        relation.reltuples = f64::MAX;
        relation.table_bytes = Bytes(u64::MAX);
        for column in &mut relation.columns {
            column.attnum = i16::MIN;
            let statistics = column.statistics.get_or_insert_default();
            statistics.n_distinct = -7.5;
            statistics.avg_width = i32::MIN;
            statistics.most_common_vals = Some("{not, \"an array".into());
            statistics.most_common_freqs = Some(vec![-1.0, 5.0]);
            statistics.histogram_bounds = Some("{".into());
        }
    }
    postgres::snapshot_file::save(&user.file("odd.zst"), &odd).unwrap();
    for command in ["advise", "profile", "report"] {
        let output = user.run(&[command, "--snapshot", "odd.zst"]);
        assert!(matches!(output.code, Some(0 | 2)), "\n{output}");
        assert!(!output.stderr.contains("panicked"), "\n{output}");
    }
}
