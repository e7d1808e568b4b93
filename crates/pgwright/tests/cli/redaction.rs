//! Does a redacted snapshot hold nothing of the data, and does it still plan as the data would?

use std::collections::{BTreeMap, BTreeSet};

use model::Snapshot;
use model::snapshot::{ColumnStatistics, array_elements};

use crate::program::User;
use crate::world::World;

const REGISTRY: &str = concat!(
    include_str!("../../src/demo/registry_tables.sql"),
    include_str!("../../src/demo/registry_constraints.sql")
);
const ROWS: &str = include_str!("../../../twin/tests/fidelity/registry.sql");

fn unpacked(user: &User, name: &str) -> String {
    let file = std::fs::File::open(user.file(name)).unwrap();
    String::from_utf8(zstd::decode_all(file).unwrap()).unwrap()
}

/// Every value in the statistics of a snapshot that is long enough not to stand in a file by accident, unless
/// it is a label of an enumerated type.
fn values(snapshot: &Snapshot) -> BTreeSet<String> {
    fn of(statistics: &ColumnStatistics, found: &mut BTreeSet<String>) {
        let ranges = statistics.ranges.as_ref().and_then(|r| r.bounds_histogram.clone());
        for list in [
            &statistics.most_common_vals,
            &statistics.histogram_bounds,
            &statistics.most_common_elems,
            &ranges,
        ] {
            for value in list.as_deref().map(array_elements).unwrap_or_default().into_iter().flatten() {
                // The texts and numbers within documents and arrays as well.
                let parts =
                    value.split(['"', ',', '{', '}', '[', ']', '(', ')']).map(|p| p.trim_matches([' ', ':']));
                found.extend(parts.map(str::to_owned));
                found.insert(value);
            }
        }
    }
    let mut found = BTreeSet::new();
    for column in snapshot.relations.iter().flat_map(|r| &r.columns).filter(|c| c.type_category != 'E') {
        for statistics in [&column.statistics, &column.inherited_statistics].into_iter().flatten() {
            of(statistics, &mut found);
        }
    }
    for statistics in snapshot.indexes.iter().flat_map(|i| i.expression_statistics.values()) {
        of(statistics, &mut found);
    }
    for data in snapshot.extended_statistics.iter().flat_map(|e| &e.data) {
        data.expressions.iter().for_each(|s| of(s, &mut found));
        for row in
            data.most_common_vals.as_deref().map(array_elements).unwrap_or_default().into_iter().flatten()
        {
            found.extend(array_elements(&row).into_iter().flatten());
        }
    }
    // Digits stand in frequencies and counters as well.
    let is_telling = |v: &String| {
        let is_word = v.contains(|c: char| c.is_alphabetic() || "-:@/".contains(c));
        // A day has too few seconds for each to stand for itself.
        let is_clock = v.len() == 8 && v.matches(':').count() == 2;
        v.len() >= 12 || v.len() >= 7 && is_word && !is_clock
    };
    found.into_iter().filter(is_telling).collect()
}

/// A file without the names of tables, columns and settings, which stay.
fn without_names(text: &str, snapshot: &Snapshot) -> String {
    let columns = snapshot.relations.iter().flat_map(|r| r.columns.iter().map(|c| c.name.as_str()));
    let names: BTreeSet<&str> = columns
        .chain(snapshot.relations.iter().map(|r| r.name.name.as_str()))
        .filter(|n| n.len() > 5)
        .collect();
    let settings = snapshot.settings.keys().map(String::as_str);
    names.into_iter().chain(settings).fold(text.to_owned(), |text, name| text.replace(name, ""))
}

/// What each statement costs as things are, and with these indexes, by its queryid.
fn costs(user: &User, file: &str, indexes: &[&str]) -> BTreeMap<(i64, &'static str), f64> {
    let arguments = [&["what-if"], indexes, &["--json", "--snapshot", file]].concat();
    let json = user.run(&arguments).exits(0).json("what-if");
    let mut costs = BTreeMap::new();
    for statement in json["statements"].as_array().unwrap() {
        let id = statement["queryid"].as_i64().unwrap();
        for when in ["cost_before", "cost_after"] {
            costs.insert((id, when), statement[when].as_f64().unwrap());
        }
        println!(
            "{file} {id} {}: {} {}",
            statement["query"], statement["cost_before"], statement["cost_after"]
        );
    }
    costs
}

/// How far the costs of the same statements are apart: the median, and the worst.
fn apart(user: &User, plain: &str, redacted: &str, indexes: &[&str]) -> (f64, f64) {
    let (plain, redacted) = (costs(user, plain, indexes), costs(user, redacted, indexes));
    assert_eq!(plain.keys().collect::<Vec<_>>(), redacted.keys().collect::<Vec<_>>());
    let changed = plain
        .iter()
        .filter(|((id, when), cost)| *when == "cost_after" && **cost < plain[&(*id, "cost_before")]);
    assert!(changed.count() * 2 >= indexes.len(), "too few indexes are used to tell anything");
    let mut apart: Vec<f64> = plain
        .iter()
        .filter(|(_, cost)| **cost > 0.0)
        .map(|(statement, cost)| {
            let off = (redacted[statement] / cost - 1.0).abs();
            if off > 0.02 {
                println!("{statement:?}: {cost} became {}", redacted[statement]);
            }
            off
        })
        .collect();
    apart.sort_by(f64::total_cmp);
    (apart[apart.len() / 2], *apart.last().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_registry_plans_alike_without_its_values() {
    let world = World::new().await;
    world.sql(REGISTRY).await;
    for statement in ROWS.split(";\n").filter(|s| !s.trim().is_empty()) {
        world.sql(statement).await;
    }
    world.forget_statements().await;
    for (statement, times) in [
        (
            "SELECT m.model_name, mv.semver, d.environment_id, d.status FROM deployments d \
          JOIN model_versions mv ON d.version_id = mv.version_id JOIN models m ON mv.model_id = m.model_id \
          WHERE d.deployed_at > NOW() - INTERVAL '30 days' ORDER BY d.deployed_at DESC LIMIT 50",
            10,
        ),
        (
            "SELECT run_id, status, accuracy FROM training_runs WHERE experiment_name = 'exp-3' \
          AND created_at > NOW() - INTERVAL '7 days' ORDER BY accuracy DESC NULLS LAST LIMIT 20",
            20,
        ),
        (
            "SELECT count(*) FROM training_runs WHERE status = 'failed' AND created_at > now() - interval '90 days'",
            5,
        ),
        (
            "SELECT * FROM approvals WHERE version_id = md5('v7')::uuid AND status = 'approved' ORDER BY approved_at DESC",
            20,
        ),
        (
            "SELECT model_name, max(accuracy) FROM training_runs WHERE status = 'succeeded' GROUP BY model_name",
            3,
        ),
        (
            "SELECT run_id FROM training_runs WHERE hyperparameters @> '{\"batch_size\": 64, \"epochs\": 50}'",
            5,
        ),
        (
            "SELECT * FROM training_runs WHERE started_at BETWEEN now() - interval '20 days' AND now() - interval '19 days'",
            5,
        ),
        (
            "SELECT d.* FROM deployments d JOIN approvals a USING (version_id) WHERE d.status = 'active' \
          AND d.environment_id = 1 AND a.status = 'approved'",
            5,
        ),
        ("SELECT run_id FROM training_runs WHERE accuracy > 0.97 AND model_name = 'model-0003'", 5),
        ("SELECT * FROM models WHERE owner = 'team-3' AND model_name LIKE 'model-01%'", 5),
        (
            "UPDATE deployments SET status = 'retired' WHERE deployed_at < now() - interval '600 days' AND replicas = 7",
            1,
        ),
    ] {
        world.repeat(statement, times).await;
    }
    let user = User::new();
    user.run(&["snapshot", "save", "plain.zst", &world.url]).exits(0).tells("or write it with --redact");
    user.run(&["snapshot", "save", "--redact", "redacted.zst", &world.url])
        .exits(0)
        .says("note: This snapshot is redacted")
        .tells("names of tables");
    let plain = postgres::snapshot_file::load(&user.file("plain.zst")).unwrap();
    let text = without_names(&unpacked(&user, "redacted.zst"), &plain);
    let found = values(&plain);
    assert!(found.len() > 1500, "{}", found.len());
    let kept: Vec<&String> = found.iter().filter(|v| text.contains(v.as_str())).collect();
    assert!(kept.is_empty(), "{kept:?}");

    let indexes = [
        "create index on deployments (deployed_at)",
        "create index on training_runs (experiment_name, created_at)",
        "create index on training_runs (started_at)",
        "create index on training_runs (accuracy)",
        "create index on training_runs using gin (hyperparameters jsonb_path_ops)",
        "create index on approvals (version_id)",
        "create index on models (model_name text_pattern_ops)",
    ];
    let (median, worst) = apart(&user, "plain.zst", "redacted.zst", &indexes);
    assert!(median < 0.02, "{median}");
    assert!(worst < 0.25, "{worst}");
    // The advice is about the same columns.
    let advised = |file: &str| -> BTreeSet<String> {
        let json = user.run(&["advise", "--json", "--snapshot", file]).exits(0).json("advise");
        let recommendations = json["advice"]["recommendations"].as_array().unwrap().clone();
        recommendations.iter().map(|r| r["title"].as_str().unwrap().to_owned()).collect()
    };
    let (plain, redacted) = (advised("plain.zst"), advised("redacted.zst"));
    let shared = plain.intersection(&redacted).count();
    assert!(!plain.is_empty() && shared * 4 >= plain.len() * 3, "{plain:#?}\n{redacted:#?}");
    // Another key gives other stand-ins.
    user.run(&["snapshot", "save", "--redact", "again.zst", &world.url]).exits(0);
    let stand_ins = values(&postgres::snapshot_file::load(&user.file("redacted.zst")).unwrap());
    let again = unpacked(&user, "again.zst");
    let same = stand_ins.iter().filter(|v| again.contains(v.as_str())).count();
    assert!(same * 20 < stand_ins.len(), "{same} of {}", stand_ins.len());
}

/// Every kind of value, each with a mark that stands nowhere else, and in every place that can hold one.
const HOSTILE: &str = r#"
    create extension citext; create extension pg_trgm;
    create schema "Odd ""Schema""";
    create type "Odd ""Schema"""."Mood" as enum ('sad', 'happy');
    create type pair as (a int, b text);
    create domain code as text check (value <> 'zebra-domain');
    create table "Odd ""Schema"""."t;--" (
        id bigint primary key, "Te""xt" text default 'zebra-default', c text collate "C", fixed char(20), mail citext,
        m "Odd ""Schema"""."Mood", j jsonb, tags text[], nums int[], r int4range, during tstzrange, born date, at timestamptz,
        hour time, span interval, u uuid, i inet, net cidr, mac macaddr, b bytea, amount numeric(12,2), small smallint,
        real8 float8, t tsvector, q pair, d code, flag boolean,
        check ("Te""xt" <> 'zebra-check' and amount < 91234567.89)
    );
    comment on table "Odd ""Schema"""."t;--" is 'zebra-comment';
    create function greet(int) returns text immutable language sql as $$ select 'zebra-body' || $1 /* zebra-note */ $$;
    create function noise(int) returns text language plpgsql as 'begin return ''zebra-plpgsql''; end';
    create view seen as select * from "Odd ""Schema"""."t;--" where c like 'zebra-view%' and amount > 81234567.12;
    insert into "Odd ""Schema"""."t;--" select g, 'Zebra text ' || g % 900 || case when g % 7 = 0 then ' it''s "\ ä' else '' end,
        'zebra-c-' || g % 50, 'zebra fixed ' || g % 40, 'Zebra' || g % 3000 || '@Example.COM', (array['sad', 'happy'])[1 + g % 2]::"Odd ""Schema"""."Mood",
        jsonb_build_object('zebrakey', 'zebra-j-' || g % 30, 'n', 7354000 + g % 500, 'zebralist', jsonb_build_array('zebra-l-' || g % 9)),
        array['zebra-tag-' || g % 25, 'zebra-tag-' || g % 30], array[7354000 + g % 60, 7354000 + g % 70],
        int4range(7354000 + g % 900, 7354100 + g % 900 + g % 7), tstzrange('1973-03-04 05:06:07+00'::timestamptz + g * interval '61 seconds', null),
        '1973-07-21'::date + g % 400, '1973-03-04 05:06:07.123+00'::timestamptz + g * interval '61 seconds', '05:06:07'::time + g * interval '1 second',
        g % 4000 * interval '61 seconds', md5('u' || g % 5000)::uuid, '203.0.113.0'::inet + g % 200, '198.51.100.0/24',
        ('08:00:2b:' || lpad(to_hex(g / 65536), 2, '0') || ':' || lpad(to_hex(g / 256 % 256), 2, '0') || ':' || lpad(to_hex(g % 256), 2, '0'))::macaddr,
        decode(md5('b' || g % 300), 'hex'), 7354000.25 + g % 2000, 12345 + g % 300, 7354000.0625 + g / 7.0,
        to_tsvector('simple', 'zebraword' || g % 100 || ' common'), row(g, 'zebra-pair-' || g % 5)::pair, 'zebra-d-' || g % 12, g % 3 = 0
    from generate_series(1, 30000) g;
    create index "part zebra" on "Odd ""Schema"""."t;--" (id) where "Te""xt" = 'Zebra text 5' or d in ('zebra-d-1', 'zebra-d-2');
    create index on "Odd ""Schema"""."t;--" (lower("Te""xt")); create index on "Odd ""Schema"""."t;--" ((j ->> 'zebrakey'));
    create index on "Odd ""Schema"""."t;--" using gin (t); create index on "Odd ""Schema"""."t;--" ((amount * 2));
    create statistics s_all on "Te""xt", d, flag, (lower(c)) from "Odd ""Schema"""."t;--";
    create table parts (kind text, at date not null, n int) partition by list (kind);
    create table parts_a partition of parts for values in ('zebra-kind-a', 'zebra-kind-b') partition by range (at);
    create table parts_a1 partition of parts_a for values from ('1973-01-01') to ('1974-01-01');
    create table parts_b partition of parts for values in ('zebra-kind-c');
    insert into parts select 'zebra-kind-' || (array['a', 'b', 'c'])[1 + g % 3], '1973-01-01'::date + g % 365, g from generate_series(1, 9000) g;
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_hides_its_data_everywhere() {
    let world = World::new().await;
    world.load(HOSTILE).await;
    world.sql("vacuum analyze").await;
    world.forget_statements().await;
    let table = r#""Odd ""Schema"""."t;--""#;
    for condition in [
        r#""Te""xt" = 'Zebra text 5'"#,
        "c = 'zebra-c-7' and d = 'zebra-d-3'",
        "c like 'zebra-c-1%'",
        "mail = 'zebra17@example.com'",
        "fixed = 'zebra fixed 7'",
        "j ->> 'zebrakey' = 'zebra-j-3'",
        "j @> '{\"zebrakey\": \"zebra-j-7\"}'",
        "tags && array['zebra-tag-3']",
        "7354003 = any (nums)",
        "r @> 7354200",
        "born between '1974-01-01' and '1974-05-01'",
        "at > '1973-03-10' and at < '1973-03-12'",
        "u = md5('u17')::uuid",
        "i = '203.0.113.77'",
        "i << '203.0.113.0/25'",
        "b = decode(md5('b7'), 'hex')",
        "amount > 7355900",
        "small = 12400",
        "real8 < 7355000.5",
        "t @@ to_tsquery('simple', 'zebraword7')",
        "id = 12345",
        "span < interval '1 hour'",
        "hour > '08:00'",
        r#"lower("Te""xt") = 'zebra text 8'"#,
    ] {
        world.repeat(&format!("select id, flag from {table} where {condition}"), 3).await;
    }
    world.repeat("select count(*) from parts where kind = 'zebra-kind-a' and at < '1973-03-01'", 3).await;
    world.repeat("select * from seen", 3).await;
    // Texts that keep their constants.
    for statement in [
        "do $$ begin perform 'zebra-do'; end $$",
        "prepare p as select * from parts where kind = 'zebra-prepared'",
        "set application_name = 'zebra-name'",
        "create table zcopy as select 'zebra-ctas' as a",
        "comment on table parts is 'zebra-comment-2'",
        "select 1 /* zebra-tag='7' */ from parts where n = 7354321 -- zebra-trace",
    ] {
        world.sql(statement).await;
    }
    world.sql(&format!("alter database {} set zebra.tenant = 'zebra-tenant'", world.name)).await;

    let user = User::new();
    user.run(&["snapshot", "save", "plain.zst", &world.url]).exits(0);
    let saved = user.run(&["snapshot", "save", "--redact", "redacted.zst", &world.url]).exits(0);
    // What has no stand-in is dropped, and said.
    saved
        .says("Redaction dropped what has no stand-ins: ")
        .says("the values in the statistics of \"Odd \"\"Schema\"\"\".\"t;--\".q");
    let text = unpacked(&user, "redacted.zst");
    // Names stay.
    let without_names = text.replace("part zebra", "").replace("zebra.tenant", "").replace("zcopy", "");
    let at = without_names.to_lowercase().find("zebra");
    assert!(at.is_none(), "{}", at.map_or("", |at| &without_names[at.saturating_sub(300)..at + 100]));
    let around = |at: usize| &without_names[at.saturating_sub(300)..at + 60];
    for mark in ["203.0.113.", "198.51.100.", "08:00:2b", "91234567", "81234567"] {
        assert!(!without_names.contains(mark), "{mark}: {}", around(without_names.find(mark).unwrap()));
    }
    for (at, _) in without_names.match_indices("1973-0").chain(without_names.match_indices("1974-0")) {
        // A UUID has four digits there.
        assert_ne!(without_names.as_bytes()[at + 7], b'-', "{}", around(at));
    }
    // Counters of the server can hold any digits; statistics and SQL must not hold these.
    let redacted = postgres::snapshot_file::load(&user.file("redacted.zst")).unwrap();
    let mut texts = vec![redacted.schema_sql.clone()];
    texts.extend(redacted.statements.iter().map(|s| s.query.clone()));
    for statistics in redacted.relations.iter().flat_map(|r| &r.columns).filter_map(|c| c.statistics.as_ref())
    {
        let lists =
            [&statistics.most_common_vals, &statistics.histogram_bounds, &statistics.most_common_elems];
        texts.extend(lists.into_iter().flatten().cloned());
    }
    for text in &texts {
        let numbers = text.split(|c: char| !c.is_ascii_hexdigit() && c != '.');
        let whole = numbers.filter_map(|n| n.split('.').next());
        assert_eq!(whole.filter(|n| n.len() == 7).find(|n| n.starts_with("7354")), None, "{text}");
    }
    let plain = postgres::snapshot_file::load(&user.file("plain.zst")).unwrap();
    let kept: Vec<String> = values(&plain).into_iter().filter(|v| text.contains(v.as_str())).collect();
    assert!(kept.is_empty(), "{kept:?}");

    let advice = user.run(&["advise", "--skipped", "--snapshot", "redacted.zst"]).exits(0);
    assert!(!advice.stdout.contains("the planner refuses it"), "\n{advice}");
    assert!(!advice.stderr.contains("could not run"), "\n{advice}");
    assert!(!advice.stderr.contains("did not take"), "\n{advice}");
    let indexes: Vec<String> = [
        "id",
        "\"Te\"\"xt\"",
        "c text_pattern_ops",
        "mail",
        "fixed",
        "born",
        "at",
        "u",
        "i",
        "b",
        "amount",
        "small",
        "real8",
        "hour",
        "span",
        "d",
    ]
    .iter()
    .map(|key| format!("create index on {table} ({key})"))
    .collect();
    let mut indexes: Vec<&str> = indexes.iter().map(String::as_str).collect();
    let tags = format!("create index on {table} using gin (tags)");
    indexes.push(&tags);
    let (median, worst) = apart(&user, "plain.zst", "redacted.zst", &indexes);
    assert!(median < 0.02, "{median}");
    assert!(worst < 0.5, "{worst}");
}
