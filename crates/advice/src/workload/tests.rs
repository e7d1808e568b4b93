//! What counts as a write, and what is left out?

use std::collections::BTreeMap;

use model::snapshot::{Constraint, ConstraintKind, ForeignKeyTarget, RelationKind};

use super::{Source, Workload};
use crate::fixture::{name, registry, statement};

fn written(statements: &[(&str, i64, i64)]) -> f64 {
    let mut snapshot = registry();
    let texts = statements.iter().enumerate();
    snapshot.statements =
        texts.map(|(n, (text, calls, rows))| statement(n as i64, text, *calls, 1.0, *rows)).collect();
    let workload = Workload::from_snapshot(&snapshot, &BTreeMap::new());
    workload
        .writes
        .get(&name("deployments"))
        .map_or(0.0, |w| w.inserted + w.updated.iter().map(|(_, rows)| rows).sum::<f64>())
}

#[test]
fn filling_a_table_is_no_upkeep() {
    // The table holds 200,000 rows. Rows are per call.
    let load = "INSERT INTO deployments SELECT * FROM staging";
    assert_eq!(written(&[(load, 1, 200_000)]), 0.0);
    assert_eq!(written(&[(load, 20, 10_000)]), 0.0);
    assert_eq!(written(&[("COPY public.deployments (a, b) FROM STDIN", 200, 1_000)]), 0.0);
    // Filled every night: all but once counts.
    assert_eq!(written(&[(load, 30, 200_000)]), 29.0 * 200_000.0);
    // A batch of every day that brings a small part.
    assert_eq!(written(&[(load, 30, 1_000)]), 30_000.0);
    // Rows that come one by one are upkeep, however many.
    assert_eq!(written(&[("INSERT INTO deployments (status) VALUES ($1)", 200_000, 1)]), 200_000.0);
    assert_eq!(written(&[("COPY deployments FROM STDIN", 50_000, 3)]), 150_000.0);
    // Two loads that filled it together.
    let other = "INSERT INTO deployments SELECT * FROM elsewhere";
    assert_eq!(written(&[(load, 1, 90_000), (other, 1, 110_000)]), 0.0);
}

#[test]
fn a_column_that_was_filled_once_is_no_upkeep() {
    let fill = "UPDATE deployments SET status = $1";
    assert_eq!(written(&[(fill, 1, 200_000)]), 0.0);
    assert_eq!(written(&[(fill, 5, 200_000)]), 1_000_000.0);
    assert_eq!(written(&[("UPDATE deployments SET status = $1 WHERE version_id = $2", 1, 90)]), 90.0);
}

#[test]
fn the_check_of_a_foreign_key_reads_the_partitions_of_a_partitioned_table() {
    let texts = |kind: RelationKind| -> Vec<String> {
        let mut snapshot = registry();
        let referencing = snapshot.relations.iter_mut().find(|r| r.name == name("training_runs")).unwrap();
        referencing.kind = kind;
        snapshot.constraints.push(Constraint {
            name: "training_runs_version_id_fkey".into(),
            table: name("training_runs"),
            kind: ConstraintKind::ForeignKey,
            columns: vec!["version_id".into()],
            references: Some(ForeignKeyTarget {
                table: name("deployments"),
                columns: vec!["deployment_id".into()],
                enforced_here: true,
            }),
            validated: true,
            definition: String::new(),
        });
        snapshot.statements =
            vec![statement(1, "DELETE FROM deployments WHERE deployment_id = $1", 100, 5.0, 1)];
        let workload = Workload::from_snapshot(&snapshot, &BTreeMap::new());
        let checks = workload.statements.iter().filter(|s| s.source != Source::Statement);
        checks.map(|s| s.query.clone()).collect()
    };
    let [of_table] = texts(RelationKind::Table).try_into().unwrap();
    assert!(
        of_table.starts_with("SELECT 1 FROM ONLY public.training_runs x WHERE version_id = "),
        "{of_table}"
    );
    let [of_partitions] = texts(RelationKind::PartitionedTable).try_into().unwrap();
    assert!(of_partitions.starts_with("SELECT 1 FROM public.training_runs x WHERE "), "{of_partitions}");
}
