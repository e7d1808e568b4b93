//! Which candidates does a statement bring, and which values is it planned with?

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use model::Snapshot;
use model::snapshot::RelationKind;

use super::generate;
use crate::fixture::{index, name, registry, statement, table, with_trigrams};
use crate::index_advisor::Options;
use crate::typical_values::ObservedValues;
use crate::workload::Workload;

fn listed(snapshot: &Snapshot, options: &Options) -> String {
    let workload = Workload::from_snapshot(snapshot, &options.observed_values);
    let candidates = generate(snapshot, &workload, options);
    let mut lines: Vec<String> = candidates
        .list
        .iter()
        .map(|c| {
            let sql = c.definition.create_sql(false);
            sql.split_once(" ON public.").map_or(sql.clone(), |(_, rest)| rest.replace(" USING btree", ""))
        })
        .collect();
    lines.extend(
        candidates.ruled_out.iter().map(|r| format!("ruled out: {}: {}", r.definition.name, r.reason)),
    );
    lines.extend(candidates.passed_over.iter().map(|(t, r)| format!("passed over: {t}: {r}")));
    lines.extend(workload.skipped.iter().map(|s| format!("skipped: {}", s.reason)));
    if lines.is_empty() { "nothing\n".into() } else { lines.join("\n") + "\n" }
}

fn check(query: &str, expect: Expect) {
    let mut snapshot = with_trigrams(registry());
    snapshot.statements = vec![statement(1, query, 100, 10.0, 5)];
    expect.assert_eq(&listed(&snapshot, &Options::default()));
}

#[test]
fn equality_range_order_and_covering() {
    check(
        "SELECT run_id FROM training_runs WHERE experiment_name = $1 AND created_at > now() - interval $2 \
         ORDER BY accuracy DESC NULLS LAST LIMIT $3",
        expect![[r#"
            training_runs (accuracy DESC NULLS LAST)
            training_runs (accuracy DESC NULLS LAST) INCLUDE (created_at, experiment_name, run_id)
            training_runs (accuracy DESC NULLS LAST, created_at)
            training_runs (accuracy DESC NULLS LAST, created_at) INCLUDE (experiment_name, run_id)
            training_runs (created_at)
            training_runs (created_at) INCLUDE (accuracy, experiment_name, run_id)
            training_runs (experiment_name)
            training_runs (experiment_name) INCLUDE (accuracy, created_at, run_id)
            training_runs (experiment_name, accuracy DESC NULLS LAST)
            training_runs (experiment_name, accuracy DESC NULLS LAST) INCLUDE (created_at, run_id)
            training_runs (experiment_name, accuracy DESC NULLS LAST, created_at)
            training_runs (experiment_name, accuracy DESC NULLS LAST, created_at) INCLUDE (run_id)
            training_runs (experiment_name, created_at)
            training_runs (experiment_name, created_at) INCLUDE (accuracy, run_id)
        "#]],
    );
}

#[test]
fn a_join_over_a_mostly_null_column_brings_a_partial_index() {
    check(
        "SELECT d.version_id, max(r.accuracy) FROM deployments d JOIN training_runs r USING (version_id) \
         GROUP BY d.version_id",
        expect![[r#"
            deployments (version_id)
            training_runs (version_id)
            training_runs (version_id) WHERE version_id IS NOT NULL
            training_runs (version_id) INCLUDE (accuracy)
            training_runs (version_id) INCLUDE (accuracy) WHERE version_id IS NOT NULL
        "#]],
    );
}

#[test]
fn constants_in_the_text_bring_partial_indexes() {
    check(
        "SELECT count(*) FROM deployments WHERE status = 'failed' AND environment_id = $1",
        expect![[r#"
            deployments (environment_id) WHERE status = 'failed'
            deployments (environment_id) INCLUDE (status)
            deployments (environment_id, status)
            deployments (status) WHERE status = 'failed'
            deployments (status) INCLUDE (environment_id)
            deployments (status) INCLUDE (environment_id) WHERE status = 'failed'
            deployments (status, environment_id)
        "#]],
    );
}

#[test]
fn documents_patterns_and_expressions() {
    check(
        "SELECT run_id FROM training_runs WHERE hyperparameters @> $1",
        expect![[r#"
        training_runs USING gin (hyperparameters pg_catalog.jsonb_path_ops)
    "#]],
    );
    check(
        "SELECT run_id FROM training_runs WHERE experiment_name LIKE $1",
        expect![[r#"
        training_runs (experiment_name pg_catalog.text_pattern_ops)
        training_runs (experiment_name pg_catalog.text_pattern_ops) INCLUDE (run_id)
        training_runs USING gin (experiment_name ext.gin_trgm_ops)
    "#]],
    );
    check(
        "SELECT * FROM training_runs WHERE lower(experiment_name) = $1",
        expect![[r#"
        training_runs ((lower(experiment_name)))
    "#]],
    );
    check(
        "SELECT * FROM training_runs WHERE hyperparameters ->> 'lr' = $1",
        expect![[r#"
        training_runs (((hyperparameters ->> 'lr')))
    "#]],
    );
}

#[test]
fn what_exists_and_what_is_no_use_is_not_proposed() {
    check(
        "SELECT * FROM training_runs WHERE run_id = $1",
        expect![[r#"
            nothing
        "#]],
    );
    check(
        "SELECT * FROM training_runs WHERE run_id = $1 AND experiment_name = $2",
        expect![[r#"
            nothing
        "#]],
    );
    check(
        "SELECT count(*) FROM training_runs",
        expect![[r#"
            nothing
        "#]],
    );
    check(
        "VACUUM training_runs",
        expect![[r#"
        skipped: it is a utility statement, which the planner never sees
    "#]],
    );
    check(
        "SELECT * FROM gone WHERE x = $1",
        expect![[r#"
            skipped: gone is not in the snapshot: a temporary table, or dropped
        "#]],
    );
    check(
        "SELECT * FROM training_runs WHERE run_id =",
        expect![[r#"
        skipped: statement text is truncated: The parser says: syntax error at end of input.
    "#]],
    );
    check(
        "INSERT INTO training_runs (run_id) VALUES ($1)",
        expect![[r#"
        skipped: it inserts given rows and searches nothing; it counts as a write
    "#]],
    );
}

#[test]
fn observed_values_allow_partial_indexes_on_values() {
    let mut snapshot = registry();
    snapshot.statements =
        vec![statement(7, "SELECT * FROM deployments WHERE status = $1 ORDER BY deployed_at", 100, 10.0, 5)];
    let values = BTreeMap::from([(1, Some("active".to_owned()))]);
    let observed_values = BTreeMap::from([(7, vec![ObservedValues { values, times: 100 }])]);
    let options = Options { observed_values, ..Options::default() };
    expect![[r#"
        deployments (deployed_at)
        deployments (deployed_at) WHERE status = 'active'
        deployments (status) WHERE status = 'active'
        deployments (status, deployed_at)
    "#]]
    .assert_eq(&listed(&snapshot, &options));
}

#[test]
fn orders_of_groups_windows_and_rows() {
    check(
        "SELECT DISTINCT ON (version_id) version_id, deployed_at FROM deployments ORDER BY version_id, deployed_at DESC",
        expect![[r#"
            deployments (version_id, deployed_at DESC)
        "#]],
    );
    check(
        "SELECT version_id, row_number() OVER (PARTITION BY version_id ORDER BY deployed_at DESC) FROM deployments",
        expect![[r#"
            deployments (version_id, deployed_at DESC)
        "#]],
    );
    check(
        "SELECT * FROM deployments WHERE (deployed_at, deployment_id) < ($1, $2) ORDER BY deployed_at DESC, \
         deployment_id DESC LIMIT $3",
        expect![[r#"
            deployments (deployed_at)
            deployments (deployed_at, deployment_id)
        "#]],
    );
    check(
        "SELECT max(accuracy) FROM training_runs WHERE experiment_name = $1",
        expect![[r#"
        training_runs (accuracy)
        training_runs (accuracy) INCLUDE (experiment_name)
        training_runs (experiment_name)
        training_runs (experiment_name) INCLUDE (accuracy)
        training_runs (experiment_name, accuracy)
    "#]],
    );
}

#[test]
fn arms_of_an_or_and_rows_in_a_list() {
    check(
        "SELECT * FROM training_runs WHERE (experiment_name = $1 AND version_id = $2) OR run_id = $3",
        expect![[r#"
            training_runs (experiment_name, version_id)
        "#]],
    );
    check(
        "SELECT * FROM deployments WHERE (version_id, environment_id) IN (($1, $2), ($3, $4))",
        expect![[r#"
        deployments (environment_id, version_id)
        deployments (version_id)
        deployments (version_id, environment_id)
    "#]],
    );
}

#[test]
fn rare_nulls_and_rare_values_bring_partial_indexes() {
    check(
        "SELECT run_id FROM training_runs WHERE version_id IS NOT NULL ORDER BY created_at LIMIT $1",
        expect![[r#"
        training_runs (created_at)
        training_runs (created_at) WHERE version_id IS NOT NULL
        training_runs (created_at) INCLUDE (run_id) WHERE version_id IS NOT NULL
        training_runs (created_at) INCLUDE (run_id, version_id)
        training_runs (created_at, version_id)
        training_runs (created_at, version_id) WHERE version_id IS NOT NULL
        training_runs (created_at, version_id) INCLUDE (run_id)
        training_runs (created_at, version_id) INCLUDE (run_id) WHERE version_id IS NOT NULL
        training_runs (version_id)
        training_runs (version_id) WHERE version_id IS NOT NULL
        training_runs (version_id) INCLUDE (created_at, run_id)
        training_runs (version_id) INCLUDE (created_at, run_id) WHERE version_id IS NOT NULL
    "#]],
    );
}

#[test]
fn an_index_that_exists_is_made_wider() {
    let mut snapshot = registry();
    snapshot.indexes.push(index("deployments", "by_version", &["version_id", "deployed_at"], false));
    snapshot.statements =
        vec![statement(1, "SELECT environment_id FROM deployments WHERE version_id = $1", 100, 10.0, 5)];
    expect![[r#"
        deployments (version_id) INCLUDE (environment_id)
        deployments (version_id, deployed_at) INCLUDE (environment_id)
        ruled out: deployments_version_id_idx: the existing index public.by_version gives the same
        ruled out: deployments_version_id_deployed_at_idx: the existing index public.by_version gives the same
    "#]]
    .assert_eq(&listed(&snapshot, &Options::default()));
}

/// Two partitions under one more, and a table with an heir.
fn family() -> Snapshot {
    let mut snapshot = registry();
    let mut parent = table("readings", -1.0, &["device int distinct=900", "at timestamptz"]);
    parent.kind = RelationKind::PartitionedTable;
    (parent.pages, parent.relpages) = (0, -1);
    for column in &mut parent.columns {
        column.inherited_statistics = column.statistics.take();
    }
    snapshot.relations.push(parent);
    for (child, above) in [("readings_1", "readings"), ("readings_2", "readings")] {
        let mut partition = table(child, 50_000.0, &["device int distinct=900", "at timestamptz"]);
        partition.parent = Some(name(above));
        partition.partition_bound = Some("FOR VALUES".into());
        snapshot.relations.push(partition);
    }
    snapshot.relations.push(table("assets", 20_000.0, &["serial text", "site int distinct=40"]));
    let mut heir = table("phones", 30_000.0, &["serial text", "site int distinct=40"]);
    heir.parent = Some(name("assets"));
    snapshot.relations.push(heir);
    snapshot
}

#[test]
fn partitions_have_one_index_and_heirs_their_own() {
    let mut snapshot = family();
    snapshot.statements = vec![
        statement(1, "SELECT * FROM readings WHERE device = $1", 100, 10.0, 5),
        statement(2, "SELECT * FROM assets WHERE serial = $1", 100, 10.0, 1),
        statement(3, "SELECT * FROM ONLY phones WHERE site = $1", 100, 10.0, 1),
    ];
    expect![[r#"
        assets (serial)
        phones (serial)
        phones (site)
        readings (device)
    "#]]
    .assert_eq(&listed(&snapshot, &Options::default()));
}

#[test]
fn views_bring_candidates_of_their_tables() {
    let mut snapshot = registry();
    snapshot.schema_sql =
        "CREATE VIEW public.live AS\n SELECT d.version_id AS version, d.environment_id\n   FROM \
                           public.deployments d\n  WHERE (d.status = 'active'::text);\n"
            .into();
    snapshot.statements = vec![statement(1, "SELECT * FROM live WHERE version = $1", 100, 10.0, 5)];
    expect![[r#"
        deployments (status) WHERE status = 'active'
        deployments (status) INCLUDE (environment_id, version_id)
        deployments (status) INCLUDE (environment_id, version_id) WHERE status = 'active'
        deployments (status, version_id)
        deployments (status, version_id) INCLUDE (environment_id)
        deployments (version_id)
        deployments (version_id) WHERE status = 'active'
        deployments (version_id) INCLUDE (environment_id) WHERE status = 'active'
        deployments (version_id) INCLUDE (environment_id, status)
        deployments (version_id, status)
        deployments (version_id, status) INCLUDE (environment_id)
    "#]]
    .assert_eq(&listed(&snapshot, &Options::default()));
}

/// A registry whose documents have these values.
fn with_documents(documents: &[String]) -> Snapshot {
    let mut snapshot = registry();
    let runs = snapshot.relations.iter_mut().find(|r| r.name == name("training_runs")).unwrap();
    let column = runs.columns.iter_mut().find(|c| c.name == "hyperparameters").unwrap();
    let quoted: Vec<String> = documents.iter().map(|d| format!("\"{}\"", d.replace('"', "\\\""))).collect();
    column.statistics.as_mut().unwrap().histogram_bounds = Some(format!("{{{}}}", quoted.join(",")));
    snapshot
}

#[test]
fn keys_of_documents_are_found_where_the_evidence_allows() {
    let documents: Vec<String> = (0..100)
        .map(|n| format!(r#"{{"job_id": "j{n}", "kind": "k{}", "tags": ["a"], "size": {}}}"#, n % 3, n % 50))
        .collect();
    let with = |query: &str, rows: i64| {
        let mut snapshot = with_documents(&documents);
        snapshot.statements = vec![statement(1, query, 100, 10.0, rows)];
        let workload = Workload::from_snapshot(&snapshot, &BTreeMap::new());
        let mut out = listed(&snapshot, &Options::default());
        for finding in super::hints(&snapshot, &workload).findings {
            out.push_str(&format!("{}: {}\n", finding.check, finding.summary));
        }
        out
    };
    // One row of a million: what names a thing.
    expect![[r#"
        training_runs (((hyperparameters ->> 'job_id')))
    "#]]
    .assert_eq(&with("SELECT * FROM training_runs WHERE hyperparameters ->> $1 = $2", 1));
    // A third of them: the kind.
    expect![[r#"
        training_runs (((hyperparameters ->> 'kind')))
    "#]]
    .assert_eq(&with("SELECT * FROM training_runs WHERE hyperparameters ->> $1 = $2", 333_000));
    // Only one key is a number.
    expect![[r#"
        training_runs ((((hyperparameters ->> 'size'))::integer))
    "#]]
    .assert_eq(&with("SELECT * FROM training_runs WHERE (hyperparameters ->> $1)::int > $2", 20_000));
    expect![[r#"
        training_runs USING gin (((hyperparameters -> 'tags')))
    "#]]
    .assert_eq(&with("SELECT * FROM training_runs WHERE hyperparameters -> $1 ? $2", 20_000));
    // The length of a beginning could be anything.
    expect![[r#"
        nothing
        hidden-constant: no index on "left"(experiment_name, $1) was tried: its constant is not known
    "#]]
    .assert_eq(&with("SELECT * FROM training_runs WHERE left(experiment_name, $1) = $2", 10));
}

#[test]
fn many_statements_bring_few_candidates_each() {
    let mut snapshot = registry();
    let columns: Vec<String> = (0..12).map(|c| format!("c{c} int distinct={}", 10 + 400 * c)).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    for n in 0..60 {
        snapshot.relations.push(table(&format!("t{n}"), 100_000.0, &columns));
    }
    for n in 0..240_i64 {
        let (a, b) = (n % 60, (n * 7 + 3) % 60);
        let query = format!(
            "SELECT x.c0, y.c1, count(*) FROM t{a} x JOIN t{b} y ON x.c2 = y.c3 AND x.c4 = y.c5 WHERE x.c6 = $1 AND \
             x.c7 = $2 AND x.c8 IN ($3, $4) AND y.c9 > $5 AND y.c{} = $6 AND (x.c10 = $7 OR x.c11 = $8) GROUP BY \
             x.c0, y.c1 ORDER BY x.c0, y.c1 DESC",
            6 + n % 5
        );
        snapshot.statements.push(statement(n, &query, 100, 10.0, 5));
    }
    let workload = Workload::from_snapshot(&snapshot, &BTreeMap::new());
    assert_eq!(workload.statements.len(), 240, "{:?}", workload.skipped);
    let candidates = generate(&snapshot, &workload, &Options::default());
    let mut of_statement: BTreeMap<usize, usize> = BTreeMap::new();
    for statement in candidates.list.iter().flat_map(|c| &c.statements) {
        *of_statement.entry(*statement).or_default() += 1;
    }
    let most = of_statement.values().max().unwrap();
    assert!(*most <= 150, "{most} candidates for one statement");
}

fn check_values(query: &str, rows: i64, expect: Expect) {
    let mut snapshot = registry();
    snapshot.statements = vec![statement(1, query, 100, 10.0, rows)];
    let workload = Workload::from_snapshot(&snapshot, &BTreeMap::new());
    let mut out = String::new();
    for statement in &workload.statements {
        for binding in &statement.bindings {
            let more = if binding.variants.len() > 1 { " (or other spellings)" } else { "" };
            out.push_str(&format!("{:.2} {}{more}\n", binding.weight, binding.variants[0]));
        }
    }
    expect.assert_eq(&out);
}

#[test]
fn values_come_from_statistics() {
    check_values(
        "SELECT 1 FROM deployments WHERE status = $1 AND deployed_at > now() - interval $2 LIMIT $3",
        20,
        expect![[r#"
            0.76 SELECT 1 FROM deployments WHERE status = 'retired'::text AND deployed_at > '2026-01-01 12:00:00.000000+00'::timestamp with time zone - interval '7 days' LIMIT 20
            0.13 SELECT 1 FROM deployments WHERE status = 'active'::text AND deployed_at > '2026-01-01 12:00:00.000000+00'::timestamp with time zone - interval '1 day' LIMIT 20
            0.11 SELECT 1 FROM deployments WHERE status = 'failed'::text AND deployed_at > '2026-01-01 12:00:00.000000+00'::timestamp with time zone - interval '30 days' LIMIT 20
        "#]],
    );
    check_values(
        "SELECT count(*) FROM deployments WHERE deployed_at >= $1 AND deployed_at < $2",
        1,
        expect![[r#"
            0.50 SELECT count(*) FROM deployments WHERE deployed_at >= '2025-12-24 16:48:00.000000+00'::timestamp with time zone AND deployed_at < '2026-01-01 00:00:00.000000+00'::timestamp with time zone
            0.28 SELECT count(*) FROM deployments WHERE deployed_at >= '2025-10-20 00:00:00.000000+00'::timestamp with time zone AND deployed_at < '2026-01-01 00:00:00.000000+00'::timestamp with time zone
            0.22 SELECT count(*) FROM deployments WHERE deployed_at >= '2025-12-31 06:28:48.000000+00'::timestamp with time zone AND deployed_at < '2026-01-01 00:00:00.000000+00'::timestamp with time zone
        "#]],
    );
    check_values(
        "SELECT 1 FROM deployments WHERE environment_id IN ($1 /*, ... */) AND status = ANY($2)",
        9,
        expect![[r#"
            0.24 SELECT 1 FROM deployments WHERE environment_id IN ('3'::integer, '2'::integer /*, ... */) AND status = ANY('{"retired","active"}'::text[])
            0.12 SELECT 1 FROM deployments WHERE environment_id IN ('3'::integer, '2'::integer /*, ... */) AND status = ANY('{"active","failed"}'::text[])
            0.10 SELECT 1 FROM deployments WHERE environment_id IN ('3'::integer, '2'::integer /*, ... */) AND status = ANY('{"failed","retired"}'::text[])
            0.15 SELECT 1 FROM deployments WHERE environment_id IN ('2'::integer, '1'::integer /*, ... */) AND status = ANY('{"retired","active"}'::text[])
            0.08 SELECT 1 FROM deployments WHERE environment_id IN ('2'::integer, '1'::integer /*, ... */) AND status = ANY('{"active","failed"}'::text[])
            0.06 SELECT 1 FROM deployments WHERE environment_id IN ('2'::integer, '1'::integer /*, ... */) AND status = ANY('{"failed","retired"}'::text[])
            0.12 SELECT 1 FROM deployments WHERE environment_id IN ('1'::integer, '3'::integer /*, ... */) AND status = ANY('{"retired","active"}'::text[])
            0.06 SELECT 1 FROM deployments WHERE environment_id IN ('1'::integer, '3'::integer /*, ... */) AND status = ANY('{"active","failed"}'::text[])
            0.05 SELECT 1 FROM deployments WHERE environment_id IN ('1'::integer, '3'::integer /*, ... */) AND status = ANY('{"failed","retired"}'::text[])
        "#]],
    );
    check_values(
        "UPDATE deployments SET status = $1 WHERE deployment_id = $2",
        1,
        expect![[r#"
        1.00 UPDATE deployments SET status = 'retired'::text WHERE deployment_id = '00000000-0000-4000-8000-000000000000'::uuid
    "#]],
    );
    check_values(
        "SELECT foo($1) FROM deployments LIMIT 1",
        1,
        expect![[r#"
        1.00 SELECT foo('1') FROM deployments LIMIT 1 (or other spellings)
    "#]],
    );
}

#[test]
fn truth_values() {
    let mut snapshot = crate::fixture::snapshot();
    snapshot.relations = vec![table(
        "tasks",
        1e6,
        &[
            "id int distinct=-1",
            "done bool mcv=t:0.98,f:0.02",
            "checked bool null=0.03 mcv=t:0.97",
            "note text",
            "doc jsonb",
        ],
    )];
    for (query, expected) in [
        (
            "SELECT id FROM tasks WHERE done IS NOT TRUE",
            expect![[r#"
            tasks (done) WHERE done IS NOT TRUE
            tasks (done) INCLUDE (id) WHERE done IS NOT TRUE
        "#]],
        ),
        (
            "SELECT id FROM tasks WHERE checked IS NOT TRUE AND done IS NOT FALSE",
            expect![[r#"
                tasks (checked) WHERE checked IS NOT TRUE
                tasks (checked) INCLUDE (done, id) WHERE checked IS NOT TRUE
            "#]],
        ),
        (
            "SELECT id FROM tasks WHERE note::boolean",
            expect![[r#"
                tasks (id) WHERE (note::boolean)
                tasks (id) INCLUDE (note) WHERE (note::boolean)
                tasks ((note::boolean))
                tasks ((note::boolean)) INCLUDE (id, note)
            "#]],
        ),
        (
            "SELECT id FROM tasks WHERE NOT (doc ->> 'done')::boolean",
            expect![[r#"
                tasks (id) WHERE NOT (((doc ->> 'done'))::boolean)
                tasks (id) INCLUDE (doc) WHERE NOT (((doc ->> 'done'))::boolean)
                tasks ((((doc ->> 'done'))::boolean))
                tasks ((((doc ->> 'done'))::boolean)) INCLUDE (doc, id)
            "#]],
        ),
    ] {
        snapshot.statements = vec![statement(1, query, 100, 10.0, 5)];
        expected.assert_eq(&listed(&snapshot, &Options::default()));
    }
}

#[test]
fn a_function_or_a_form_is_a_key_and_a_predicate() {
    let mut snapshot = crate::fixture::snapshot();
    snapshot.relations =
        vec![table("notes", 1e6, &["id int distinct=-1", "body text", "stars int distinct=90"])];
    for (query, expected) in [
        (
            "SELECT stars FROM notes WHERE is_spam(body)",
            expect![[r#"
                notes (stars) WHERE (is_spam(body))
                notes (stars) INCLUDE (body) WHERE (is_spam(body))
                notes ((is_spam(body)))
                notes ((is_spam(body))) INCLUDE (body, stars)
            "#]],
        ),
        (
            "SELECT body FROM notes WHERE is_spam(body) AND NOT is_old(id) ORDER BY stars LIMIT 5",
            expect![[r#"
                notes (body) WHERE NOT (is_old(id))
                notes (id) WHERE (is_spam(body))
                notes (id) WHERE (is_spam(body)) AND NOT (is_old(id))
                notes (id) INCLUDE (body, stars) WHERE (is_spam(body)) AND NOT (is_old(id))
                notes (stars)
                notes (stars) WHERE (is_spam(body))
                notes (stars) WHERE (is_spam(body)) AND NOT (is_old(id))
                notes (stars) WHERE NOT (is_old(id))
                notes (stars) INCLUDE (body, id) WHERE (is_spam(body))
                notes (stars) INCLUDE (body, id) WHERE (is_spam(body)) AND NOT (is_old(id))
                notes (stars) INCLUDE (body, id) WHERE NOT (is_old(id))
                notes ((is_old(id)))
                notes ((is_old(id))) WHERE (is_spam(body))
                notes ((is_old(id))) INCLUDE (body, id, stars) WHERE (is_spam(body))
                notes ((is_old(id)), stars)
                notes ((is_old(id)), stars) WHERE (is_spam(body))
                notes ((is_old(id)), stars) INCLUDE (body, id)
                notes ((is_old(id)), stars) INCLUDE (body, id) WHERE (is_spam(body))
                notes ((is_old(id)), (is_spam(body)))
                notes ((is_old(id)), (is_spam(body))) INCLUDE (body, id, stars)
                notes ((is_old(id)), (is_spam(body)), stars)
                notes ((is_old(id)), (is_spam(body)), stars) INCLUDE (body, id)
                notes ((is_spam(body)))
                notes ((is_spam(body))) WHERE NOT (is_old(id))
                notes ((is_spam(body))) INCLUDE (body, id, stars) WHERE NOT (is_old(id))
                notes ((is_spam(body)), stars)
                notes ((is_spam(body)), stars) WHERE NOT (is_old(id))
                notes ((is_spam(body)), stars) INCLUDE (body, id)
                notes ((is_spam(body)), stars) INCLUDE (body, id) WHERE NOT (is_old(id))
                notes ((is_spam(body)), (is_old(id)))
                notes ((is_spam(body)), (is_old(id))) INCLUDE (body, id, stars)
                notes ((is_spam(body)), (is_old(id)), stars)
                notes ((is_spam(body)), (is_old(id)), stars) INCLUDE (body, id)
            "#]],
        ),
        (
            "SELECT body FROM notes WHERE CASE WHEN stars IS NULL THEN 0 ELSE stars END > 80",
            expect![[r#"
            notes ((CASE WHEN (stars IS NULL) THEN 0 ELSE stars END))
            notes ((CASE WHEN (stars IS NULL) THEN 0 ELSE stars END)) INCLUDE (body, stars)
        "#]],
        ),
        (
            "SELECT body FROM notes WHERE CASE WHEN stars > 3 THEN true ELSE body LIKE 'x%' END",
            expect![[r#"
            notes (id) WHERE (CASE WHEN (stars > 3) THEN true ELSE (body LIKE 'x%') END)
            notes (id) INCLUDE (body, stars) WHERE (CASE WHEN (stars > 3) THEN true ELSE (body LIKE 'x%') END)
            notes ((CASE WHEN (stars > 3) THEN true ELSE (body LIKE 'x%') END))
            notes ((CASE WHEN (stars > 3) THEN true ELSE (body LIKE 'x%') END)) INCLUDE (body, stars)
        "#]],
        ),
    ] {
        snapshot.statements = vec![statement(1, query, 100, 10.0, 5)];
        expected.assert_eq(&listed(&snapshot, &Options::default()));
    }
}

#[test]
fn the_few_rows_of_a_queue_have_an_index_beside_one_of_all() {
    let mut snapshot = crate::fixture::snapshot();
    snapshot.relations =
        vec![table("outbox", 1e6, &["id int distinct=-1", "sent_at timestamptz null=0.004", "body text"])];
    snapshot.indexes = vec![index("outbox", "outbox_pkey", &["id"], true)];
    let query = "SELECT body FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT 20 FOR UPDATE SKIP LOCKED";
    snapshot.statements = vec![statement(1, query, 100, 10.0, 20)];
    expect![[r#"
        outbox (id) WHERE sent_at IS NULL
        outbox (sent_at)
        outbox (sent_at) WHERE sent_at IS NULL
        outbox (sent_at, id)
    "#]]
    .assert_eq(&listed(&snapshot, &Options::default()));
}

#[test]
fn a_range_of_few_values_keeps_some() {
    let mut snapshot = crate::fixture::snapshot();
    snapshot.relations =
        vec![table("outbox", 1e6, &["id int distinct=-1", "attempts int mcv=0:0.9,1:0.06,2:0.03,3:0.01"])];
    for (condition, values) in [
        ("attempts < $1", "1"),
        ("attempts <= $1", "0"),
        ("attempts > $1", "0 2"),
        ("attempts >= $1", "1 3"),
        ("$1 > attempts", "1"),
    ] {
        let query = format!("SELECT id FROM outbox WHERE {condition} LIMIT 5");
        snapshot.statements = vec![statement(1, &query, 100, 10.0, 5)];
        let workload = Workload::from_snapshot(&snapshot, &BTreeMap::new());
        let all = workload.statements[0].bindings.iter().map(|b| b.variants[0].split('\'').nth(1).unwrap());
        let all: std::collections::BTreeSet<&str> = all.collect();
        assert_eq!(all.into_iter().collect::<Vec<_>>().join(" "), values, "{condition}");
    }
}
