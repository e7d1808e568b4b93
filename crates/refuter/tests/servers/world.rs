//! A refuter on a schema of plain DDL.

use std::path::Path;

use cluster::Binaries;
use refuter::{Options, Refuter, ddl_snapshot};

/// Starts a refuter on the oldest version that this machine has.
pub async fn start(ddl: &str) -> Refuter {
    start_on(&testkit::versions().into_iter().next().unwrap(), ddl).await
}

/// Starts a refuter on a schema that may not be whole; `None` when a statement of it fails.
pub async fn start_weakened(ddl: &str) -> Option<Refuter> {
    let refuter = started(&testkit::versions().into_iter().next().unwrap(), ddl).await;
    refuter.notes().is_empty().then_some(refuter)
}

async fn started(binaries: &Binaries, ddl: &str) -> Refuter {
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/templates");
    let options = Options { template_dir: Some(templates), ..Options::default() };
    Refuter::start(&ddl_snapshot(ddl, binaries), binaries, options).await.unwrap()
}

/// Starts a refuter on one version.
pub async fn start_on(binaries: &Binaries, ddl: &str) -> Refuter {
    let refuter = started(binaries, ddl).await;
    assert_eq!(refuter.notes(), Vec::<String>::new());
    refuter
}
