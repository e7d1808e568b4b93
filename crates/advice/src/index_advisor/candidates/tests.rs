//! Which candidates does a statement bring, and which values is it planned with?

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use model::Snapshot;

use super::generate;
use crate::fixture::{registry, statement, with_trigrams};
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
