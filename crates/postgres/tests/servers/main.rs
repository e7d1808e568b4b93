//! Everything that needs a real server, in one binary: the servers are started once.

#![allow(clippy::unwrap_used)] // A test that cannot go on should stop where it is.

mod capabilities;
mod checksum;
mod connect;
mod explain;
mod hypopg;
mod pooler;
mod queries;
mod snapshot;

use std::path::PathBuf;

use cluster::Server;
use postgres::{Environment, Session, SessionOptions, Target};

/// A target as the tests' superuser reaches it.
fn target(url: &str) -> Target {
    Target::parse(Some(url), &Environment::default()).unwrap()
}

async fn session(url: &str) -> Session {
    target(url).connect(&SessionOptions::default()).await.unwrap()
}

/// The newest `pg_dump` of this machine, with its major version: one beside a server, in PATH, where
/// Debian puts them, or the one that PGWRIGHT_TEST_PG_DUMP names.
fn newest_pg_dump() -> (u32, PathBuf) {
    let named = std::env::var_os("PGWRIGHT_TEST_PG_DUMP").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path)
        .chain((testkit::SUPPORTED).map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))))
        .chain(testkit::versions().into_iter().map(|b| b.dir));
    let candidates = directories.map(|d| d.join("pg_dump")).filter(|p| p.is_file()).chain(named);
    candidates
        .filter_map(|path| {
            let output = std::process::Command::new(&path).arg("--version").output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?;
            let version = text.strip_prefix("pg_dump (PostgreSQL) ")?;
            Some((version.split(['.', ' ']).next()?.parse().ok()?, path))
        })
        .max()
        .expect("no pg_dump; scripts/setup.sh gets it")
}

/// The oldest server that tests can start, which a `pg_dump` of this machine can always dump.
fn oldest_server() -> &'static Server {
    testkit::servers().next().unwrap()
}
