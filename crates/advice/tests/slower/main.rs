//! Is a statement kept from becoming slower by indexes that the planner believes in? TPC-H's Q7 beside look-ups by supplier,
//! on a snapshot that was made a hundred times as large as the database that it was read from.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod enlarged;

use std::path::PathBuf;

use advice::{Advice, Options, advise};
use model::{Bytes, Change, Finding, IndexDefinition, Snapshot};
use postgres::{Environment, SessionOptions, SnapshotOptions, Target};
use twin::{Twin, TwinOptions};

use enlarged::{BY_SUPPLIER, enlarge_all, statement};

fn pg_dump() -> PathBuf {
    let folders = testkit::program_folders();
    folders.into_iter().map(|d| d.join("pg_dump")).find(|p| p.is_file()).expect("pg_dump is installed")
}

async fn snapshot() -> Snapshot {
    let server = testkit::servers().next().unwrap();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    testkit::tpch::load(&client, 0.01).await;
    let target = Target::parse(Some(&database.url), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    let mut snapshot =
        postgres::snapshot::read(&session, &target, &SnapshotOptions::new(pg_dump())).await.unwrap();
    enlarge_all(&mut snapshot);
    snapshot
}

async fn advised(snapshot: &Snapshot, max_slowdown: Option<f64>) -> Advice {
    let binaries = testkit::versions().remove(0);
    let mut twin = Twin::build(snapshot, &binaries, TwinOptions::default()).await.unwrap();
    let options = Options { max_bytes: Some(Bytes(75 << 20)), max_slowdown, ..Options::default() };
    let advice = advise(snapshot, &mut twin, &options).await.unwrap();
    twin.stop().await.unwrap();
    advice
}

fn on_lineitem(advice: &Advice) -> Vec<&IndexDefinition> {
    let changes = advice.recommendations.iter().flat_map(|r| &r.changes);
    let created = changes.filter_map(|c| match c {
        Change::CreateIndex { index } => Some(index),
        _ => None,
    });
    created.filter(|i| i.table.name == "lineitem").collect()
}

fn of_slower(advice: &Advice) -> Vec<&Finding> {
    advice.findings.iter().filter(|f| f.check == "slower-statement").collect()
}

fn knows_the_date(index: &IndexDefinition) -> bool {
    index.create_sql(false).contains("l_shipdate")
}

#[tokio::test]
async fn an_index_knows_the_condition_for_which_rows_would_be_visited() {
    let text = testkit::tpch::QUERIES[6];
    let normalised = text.replace("'1995-01-01'", "$1").replace("'1996-12-31'", "$2").replace("date $", "$");
    assert_ne!(text, normalised);
    let mut snapshot = snapshot().await;
    // Its constants say which rows need no visit; the column behind the key would make too large an index.
    for (q7, is_kept) in [(text, true), (normalised.as_str(), false)] {
        snapshot.statements = vec![statement(7, q7, 10, 750.0), statement(8, BY_SUPPLIER, 1_000, 400.0)];
        let believing = advised(&snapshot, None).await;
        let indexes = on_lineitem(&believing);
        assert!(indexes.iter().any(|i| !knows_the_date(i)), "{indexes:#?}");
        // Nothing that a text names is built on for gain alone.
        assert!(indexes.iter().all(|i| i.predicate.is_none()), "{indexes:#?}");
        assert_eq!(of_slower(&believing), Vec::<&Finding>::new());

        let careful = advised(&snapshot, Some(1.5)).await;
        let indexes = on_lineitem(&careful);
        let slower = of_slower(&careful);
        assert_eq!(slower.len(), 1, "{slower:#?} {indexes:#?}");
        let expected = if is_kept {
            "statement 7 is kept from becoming slower"
        } else {
            "statement 7 may become slower"
        };
        assert!(slower[0].summary.starts_with(expected), "{slower:#?} {indexes:#?}");
        assert_eq!(
            indexes.iter().any(|i| i.predicate.is_some() && knows_the_date(i)),
            is_kept,
            "{indexes:#?}"
        );
        // The look-ups have their index in any case.
        assert!(careful.workload_cost_after < 0.1 * careful.workload_cost_before, "{indexes:#?}");
        let gap = careful.bound.unwrap().gap;
        assert!(gap < 0.02, "{gap}");
    }
}
