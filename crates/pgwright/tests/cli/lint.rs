//! Does `lint` find, let be and say as its page promises?

use serde_json::Value;

use crate::program::User;
use crate::world::World;

const FAULTY: &str = "
    create table customers (id int primary key, email text);
    create table orders (id serial primary key, customer_id int references customers, amount money, note text);
    create index a on orders (customer_id, note);
    create index b on orders (customer_id, note);
    create table \"a\"\"b.c\" (\"x y\" char(10));
    insert into customers select n, n from generate_series(1, 100) n;
    insert into orders (customer_id) select 1 + n % 100 from generate_series(1, 5000) n;
    insert into \"a\"\"b.c\" values ('x')";

async fn faulty() -> World {
    let world = World::new().await;
    world.load(FAULTY).await;
    world
}

fn keys(value: &Value) -> Vec<&str> {
    value["findings"].as_array().unwrap().iter().map(|f| f["key"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_found_on_a_server_and_in_its_snapshot() {
    let world = faulty().await;
    let user = User::new();
    let url = world.url.as_str();
    let output = user.run(&["lint", url]).exits(0);
    let output = output.says("warning duplicate-index: index public.b is the same as public.a");
    let output = output.says("            DROP INDEX CONCURRENTLY public.b;\n");
    let output = output.says("note    char-column: column public.\"a\"\"b.c\".\"x y\" is character(10)\n");
    output.says("          key: money-column:column public.orders.amount\n");
    user.run(&["lint", "--fail-on", "warning", url]).exits(1);
    user.run(&["lint", "--fail-on", "warning", "json-column", url]).exits(0).says("nothing was found\n");
    user.run(&["lint", "char-column", "--verbose", url])
        .exits(0)
        .says("ALTER TABLE public.\"a\"\"b.c\" ALTER COLUMN \"x y\" TYPE text;");

    user.run(&["snapshot", "save", "s.zst", url]).exits(0);
    let checks = ["duplicate-index", "money-column", "serial-column", "no-primary-key"];
    let live = user.run(&[&["lint", "--json", url][..], &checks].concat()).exits(0).json("lint");
    let saved =
        user.run(&[&["lint", "--json", "--snapshot", "s.zst"][..], &checks].concat()).exits(0).json("lint");
    assert_eq!(live["findings"], saved["findings"]);
    assert_eq!(
        keys(&live),
        [
            "duplicate-index:index public.b",
            "money-column:column public.orders.amount",
            "no-primary-key:table public.\"a\"\"b.c\"",
            "serial-column:column public.orders.id",
        ]
    );
    let remedy = &live["findings"][0]["remedy"];
    assert_eq!(remedy["changes"][0]["change"], "drop_index");
    assert_eq!(remedy["lock"], "share_update_exclusive");

    // What apply can do, it does, and the finding is gone.
    user.run(&["lint", "duplicate-index", "--out", "todo.json", url]).exits(0);
    user.run(&["apply", "--advice", "todo.json", "--execute", url]).exits(0);
    user.run(&["lint", "duplicate-index", url]).exits(0).says("nothing was found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_to_be_no_fault_is_let_be() {
    let world = faulty().await;
    let user = User::new();
    let url = world.url.as_str();
    user.write(
        "pgwright.toml",
        "[lint]\ndisable = [\"serial-column\"]\nenable = [\"undocumented\"]\n\
         [lint.severity]\nchar-column = \"error\"\n\
         [[lint.suppress]]\nkey = \"duplicate-index:index public.?\"\nreason = \"on the way\"\n\
         [[lint.suppress]]\nkey = \"empty-table:*\"\nreason = \"left over\"\n",
    );
    let output = user.run(&["lint", "--json", "--fail-on", "error", url]).exits(1).json("lint");
    let found = keys(&output);
    assert_eq!(found[0], "char-column:column public.\"a\"\"b.c\".\"x y\"", "the most severe first");
    assert!(
        !found.iter().any(|k| k.starts_with("serial-column") || k.starts_with("duplicate-index")),
        "{found:?}"
    );
    assert!(found.contains(&"undocumented:schema public"), "{found:?}");
    assert_eq!(output["suppressed"][0]["reason"], "on the way");
    assert_eq!(output["unused_suppressions"][0]["key"], "empty-table:*");
    user.run(&["lint", url]).exits(0).says("the suppression of \"empty-table:*\" covers nothing any more\n");

    for (text, wanted) in [
        ("[[lint.suppress]]\nkey = \"x\"\n", "missing field `reason`"),
        ("[[lint.suppress]]\nkey = \"x\"\nreason = \"\"\n", "The suppression of \"x\" has no reason."),
        ("[lint]\ndisable = [\"no-such-check\"]\n", "There is no check \"no-such-check\"."),
        ("[lint.thresholds]\nbloat = 1\n", "unknown field `bloat`"),
    ] {
        user.write("pgwright.toml", text);
        let output = user.run(&["lint", url]).fails(2);
        assert!(output.error().contains(wanted), "{output}");
    }
    user.write("pgwright.toml", "");
    let output = user.run(&["lint", "foreign-key", url]).fails(2);
    assert!(output.error().contains("unindexed-foreign-key"), "{output}");
    let output = user.run(&["lint", "--exact", url]).fails(2);
    assert!(output.error().contains("CREATE EXTENSION pgstattuple"), "{output}");
    world.sql("create extension pgstattuple").await;
    user.run(&["lint", "--exact", "bloated-table", url]).exits(0);
    user.run(&["lint", "--list"]).exits(0).says("unindexed-foreign-key");
    assert!(
        user.run(&["lint", "--list", "--json"]).exits(0).json("lint-checks")["checks"]
            .as_array()
            .unwrap()
            .len()
            > 60
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn toast_and_other_indexes_are_measured_by_rewriting_a_sample() {
    let world = World::new().await;
    world
        .load(
            "create extension pgstattuple;
             create table \"Do\"\"cs\" (id int primary key, tags text[], at point, body text);
             alter table \"Do\"\"cs\" alter body set storage external;
             insert into \"Do\"\"cs\" select n, array['t' || n % 7, 'own ' || n], point(n % 100, n), repeat(md5(n::text), 100)
                from generate_series(1, 3000) n;
             create index tags on \"Do\"\"cs\" using gin (tags); create index at on \"Do\"\"cs\" using gist (at);
             delete from \"Do\"\"cs\" where id % 4 > 0",
        )
        .await;
    world.sql("vacuum (analyze) \"Do\"\"cs\"").await;
    let user = User::new();
    user.write("pgwright.toml", "[lint.thresholds]\nbloat_min_bytes = 100000\n");
    let url = world.url.as_str();
    let checks = ["bloated-table", "bloated-index"];
    let output = user.run(&[&["lint", "--exact", "--json", url][..], &checks].concat()).exits(0).json("lint");
    assert_eq!(
        keys(&output),
        [
            "bloated-index:index public.at",
            "bloated-index:index public.tags",
            "bloated-table:table public.\"Do\"\"cs\"",
        ]
    );
    assert_eq!(output["notes"].as_array().unwrap().len(), 0, "{output}");
    let evidence = |finding: usize, name: &str| {
        let evidence = output["findings"][finding]["evidence"].as_array().unwrap();
        let found = evidence.iter().find(|e| e["name"] == name).unwrap_or_else(|| panic!("{name}: {output}"));
        found["value"].as_str().unwrap().to_owned()
    };
    assert!(evidence(1, "how").starts_with("rewritten in a local server"), "{output}");
    // Of 3000 values of 3200 bytes a quarter is left, and each takes two rows of TOAST.
    let left: f64 = evidence(2, "TOAST after a rewrite").parse().unwrap();
    assert!((280.0..400.0).contains(&left), "{left}");

    // Statistics tell of neither.
    let output = user.run(&[&["lint", "--json", url][..], &checks].concat()).exits(0).json("lint");
    assert!(!keys(&output).iter().any(|k| k.starts_with("bloated-index")), "{output}");
    // A sample cannot be had where the role may not read the table, and that is said.
    world
        .sql(
            "do $$ begin if not exists (select from pg_roles where rolname = 'bloat_looker') then \
             create role bloat_looker login in role pg_stat_scan_tables; end if; end $$",
        )
        .await;
    let as_other = url.replacen("user=postgres", "user=bloat_looker", 1);
    if as_other != url {
        user.run(&["lint", "--exact", "bloated-index", &as_other]).exits(0);
    }
}

/// What the format and GitHub's code scanning ask of a log.
fn assert_sarif(log: &Value) {
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().contains("sarif-2.1.0"));
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(run["tool"]["driver"]["name"].is_string());
    for rule in rules {
        assert!(rule["id"].is_string() && rule["shortDescription"]["text"].is_string(), "{rule}");
        assert!(rule["fullDescription"]["text"].is_string() && rule["help"]["text"].is_string(), "{rule}");
        let level = rule["defaultConfiguration"]["level"].as_str().unwrap();
        assert!(["note", "warning", "error"].contains(&level), "{rule}");
    }
    let results = run["results"].as_array().unwrap();
    assert!(!results.is_empty());
    let mut fingerprints = std::collections::BTreeSet::new();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"], "{result}");
        assert!(
            ["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()),
            "{result}"
        );
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(!uri.is_empty() && !uri.starts_with('/') && !uri.contains(' '), "{uri}");
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1, "{result}");
        let fingerprint = result["partialFingerprints"]["pgwrightKey/v1"].as_str().unwrap();
        assert!(fingerprints.insert(fingerprint.to_owned()), "one fingerprint for two results: {result}");
        for suppression in result["suppressions"].as_array().into_iter().flatten() {
            assert!(["inSource", "external"].contains(&suppression["kind"].as_str().unwrap()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_hosts_get_what_they_ask_for() {
    let world = faulty().await;
    let user = User::new();
    let url = world.url.as_str();
    user.write("pgwright.toml", "[[lint.suppress]]\nkey = \"money-column:*\"\nreason = \"one currency\"\n");
    user.write("schema file.sql", "-- the schema\nCREATE TABLE customers (\n  id int\n);\nCREATE TABLE orders (\n  id serial,\n  amount money\n);\nCREATE INDEX b ON orders (customer_id);\n");
    user.run(&["lint", "--sarif", "out.sarif", "--schema-file", "schema file.sql", url]).exits(0);
    let log: Value = serde_json::from_str(&std::fs::read_to_string(user.file("out.sarif")).unwrap()).unwrap();
    assert_sarif(&log);
    let results = log["runs"][0]["results"].as_array().unwrap();
    let line = |rule: &str| {
        let result = results.iter().find(|r| r["ruleId"] == rule).unwrap();
        let place = &result["locations"][0]["physicalLocation"];
        (place["artifactLocation"]["uri"].as_str().unwrap(), place["region"]["startLine"].as_u64().unwrap())
    };
    assert_eq!(line("duplicate-index"), ("schema%20file.sql", 9));
    assert_eq!(line("serial-column"), ("schema%20file.sql", 6));
    let suppressed: Vec<&Value> = results.iter().filter(|r| r["suppressions"].is_array()).collect();
    assert_eq!(suppressed.len(), 1);
    assert_eq!(suppressed[0]["suppressions"][0]["justification"], "one currency");

    user.write("m.sql", "drop table orders;\ncreate index on customers (email);\n");
    user.run(&["lint", "--migration", "m.sql", "--sarif", "m.sarif", "-d", url]).exits(0);
    let log: Value = serde_json::from_str(&std::fs::read_to_string(user.file("m.sarif")).unwrap()).unwrap();
    assert_sarif(&log);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_judged_by_the_sizes_of_a_database() {
    let world = faulty().await;
    let user = User::new();
    let url = world.url.as_str();
    user.write(
        "1.sql",
        "\\set ON_ERROR_STOP on\n-- pgwright: ignore drop-column nobody reads it\nALTER TABLE orders DROP COLUMN note;\n\n\
         ALTER TABLE orders\n  ADD CONSTRAINT positive CHECK (id > 0);\n",
    );
    let output = user.run(&["lint", "--migration", "1.sql", "--verbose", "-d", url]).exits(0);
    let output = output.says("1.sql:5:1: ");
    let output = output.says("about").says("5000 rows");
    let output = output.says("            ALTER TABLE public.orders VALIDATE CONSTRAINT positive;\n");
    let output = output.says("; 1 suppressed");
    output.tells("note: 1.sql:1: a command of psql is passed over: \\set ON_ERROR_STOP on");
    user.run(&["lint", "--migration", "1.sql", "--fail-on", "warning", "-d", url]).exits(1);
    let value =
        user.run(&["lint", "--migration", "1.sql", "--json", "-d", url]).exits(0).json("lint-migration");
    assert_eq!(value["statements"], 2);
    assert!(keys(&value).contains(&"add-check-validating:1.sql:public.orders"), "{value}");

    user.write("2.sql", "SET lock_timeout = '2s';\nCREATE INDEX CONCURRENTLY i ON orders (amount);\n");
    user.run(&["lint", "--migration", "2.sql", "--offline"]).exits(0).says("nothing was found");
    user.run(&["lint", "--migration", "2.sql", "--offline", "--single-transaction", "--fail-on", "error"])
        .exits(1)
        .says("CREATE INDEX CONCURRENTLY cannot run within a transaction");

    // The way back does not run when the migration is applied; an index of which nothing is known is named itself.
    for (number, marker) in
        ["-- +goose Down", "-- migrate:down", "-- +migrate Down notransaction", "--//@UNDO"]
            .iter()
            .enumerate()
    {
        let name = format!("both-{number}.sql");
        user.write(
            &name,
            format!("SET lock_timeout = '2s';\nDROP INDEX old_idx;\n{marker}\nDROP TABLE a;\n"),
        );
        let output = user.run(&["lint", "--migration", &name, "--offline"]).exits(0);
        assert!(output.stdout.contains("ACCESS EXCLUSIVE on public.old_idx"), "{output}");
        assert!(!output.stdout.contains("public.a"), "{output}");
        assert!(output.stderr.contains(&format!("{name}:3: what follows \"{marker}\"")), "{output}");
    }

    user.write("3.sql", "DROP TABLE a;\nALTER TABLE b ADD COLUMN c int nott null;\nDROP TABLE d;\n");
    let output = user.run(&["lint", "--migration", "3.sql", "--offline"]).exits(2);
    let error = output.error().to_owned();
    assert!(error.contains("3.sql:2:32: "), "{output}");
    assert!(
        error.contains("ALTER TABLE b ADD COLUMN c int nott null;\n                               ^^^^\n"),
        "{output}"
    );
    // The others were judged all the same.
    assert!(
        output.stdout.contains("table public.a is dropped")
            && output.stdout.contains("table public.d is dropped"),
        "{output}"
    );
    user.run(&["lint", "--migration", "missing.sql", "--offline"]).fails(2);
    user.run(&["lint", "no-such", "--migration", "1.sql", "--offline"]).fails(2);
    for (name, text) in
        [("empty.sql", &b""[..]), ("bytes.sql", &b"\xff\xfe"[..]), ("quote.sql", &b"select '"[..])]
    {
        user.write(name, text);
        let output = user.run(&["lint", "--migration", name, "--offline"]);
        assert!(output.code == Some(0) || output.error().starts_with("error: "), "{output}");
    }
}
