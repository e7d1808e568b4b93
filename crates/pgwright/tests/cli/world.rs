//! A database of one test, and what the tests ask about it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cluster::{Binaries, Search, Server, ServerOptions};
use tokio_postgres::Client;

/// A database with `pg_stat_statements`.
pub struct World {
    pub name: String,
    pub url: String,
    pub client: Client,
}

impl World {
    pub async fn on(server: &Server) -> Self {
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        let world = Self { name: database.name, url: database.url, client };
        world.sql("CREATE EXTENSION pg_stat_statements").await;
        world
    }

    /// A database on the oldest server that this machine has, which its `pg_dump` can always dump.
    pub async fn new() -> Self {
        Self::on(oldest()).await
    }

    /// The connection URI for another role.
    pub fn url_as(&self, role: &str) -> String {
        self.url.replacen("postgres@", &format!("{role}@"), 1)
    }

    pub async fn sql(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// The value of a query, as text.
    pub async fn value(&self, sql: &str) -> String {
        let sql = format!("select coalesce(({sql})::text, '')");
        self.client.query_one(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}")).get(0)
    }

    /// Fills the database, then forgets how.
    pub async fn load(&self, sql: &str) {
        self.sql(sql).await;
        // Apart: an ANALYZE in the transaction that filled a table leaves it looking out of date.
        self.sql("analyze").await;
        self.forget_statements().await;
    }

    /// Runs a statement a number of times, so that it is seen.
    pub async fn repeat(&self, sql: &str, times: usize) {
        for _ in 0..times {
            self.sql(sql).await;
        }
    }

    /// Forgets the statements of this database that were seen so far.
    pub async fn forget_statements(&self) {
        self.sql(
            "select pg_stat_statements_reset(0, (select oid from pg_database where datname = current_database()), 0)",
        )
        .await;
    }

    /// Every index by its definition, with a mark on the invalid ones.
    pub async fn indexes(&self) -> String {
        self.value(
            "select string_agg(format('%s%s', case when indisvalid then '' else 'INVALID ' end, \
               pg_get_indexdef(indexrelid)), E'\\n' order by pg_get_indexdef(indexrelid)) \
             from pg_index i join pg_class c on c.oid = indexrelid join pg_namespace n on n.oid = relnamespace \
             where nspname not in ('pg_catalog', 'pg_toast', 'information_schema', 'pgwright')",
        )
        .await
    }

    /// `pg_dump --schema-only` without schema `pgwright`, or the catalog's account of the indexes when
    /// this machine has no `pg_dump` for the server.
    pub async fn schema_dump(&self) -> String {
        let major: u32 =
            self.value("select current_setting('server_version_num')::int / 10000").await.parse().unwrap();
        let Some(pg_dump) = pg_dump_for(major) else { return self.indexes().await };
        let output = Command::new(pg_dump)
            .args(["--schema-only", "--exclude-schema=pgwright", "--dbname", &self.url])
            // Its queries must not be taken for the user's.
            .env("PGOPTIONS", "-c pg_stat_statements.track=none")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        // Newer minor versions fence the dump with a random key.
        text.lines().filter(|l| !l.contains("restrict ")).flat_map(|l| [l, "\n"]).collect()
    }

    /// Waits until a query gives `t`.
    pub async fn wait_until(&self, condition: &str) {
        let began = Instant::now();
        while self.value(condition).await != "true" {
            assert!(began.elapsed() < Duration::from_secs(30), "never came true: {condition}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a killed pgwright's session is gone, and its lock with it.
    pub async fn wait_for_unlock(&self) {
        self.wait_until(
            "select count(*) = 0 from pg_locks l join pg_database d on d.oid = l.database \
             where locktype = 'advisory' and datname = current_database()",
        )
        .await;
    }
}

/// The oldest server that this machine has.
pub fn oldest() -> &'static Server {
    testkit::server(testkit::versions()[0].major)
}

/// A server of this machine that has HypoPG.
pub async fn with_hypopg() -> &'static Server {
    for server in testkit::servers() {
        let client = testkit::connect(&server.url("postgres")).await;
        let sql = "select count(*) from pg_available_extensions where name = 'hypopg'";
        if client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            return server;
        }
    }
    panic!("no server of this machine has HypoPG; scripts/setup.sh test gets it");
}

/// A `pg_dump` of this machine that is not older than a server.
pub fn pg_dump_for(major: u32) -> Option<PathBuf> {
    programs("pg_dump").into_iter().find(|program| major_of(program).is_some_and(|found| found >= major))
}

/// A client program of this machine of the very version of a server.
pub fn program_of(name: &str, major: u32) -> Option<PathBuf> {
    programs(name).into_iter().find(|program| major_of(program) == Some(major))
}

/// Everything of that name: beside a server of the tests, in `PATH`, where packages put it.
fn programs(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = testkit::program_folders();
    let packaged = Binaries::discover(&Search::default()).into_iter().map(|b| b.dir);
    let folders = beside.into_iter().chain(std::env::split_paths(&path)).chain(packaged);
    folders.map(|folder| folder.join(name)).filter(|program| program.is_file()).collect()
}

/// `pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)` is of 15.
fn major_of(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A server that logs statements of 10 ms and more, with other settings besides: of the oldest version that tells which statement a
/// session runs, whose program has its contrib modules beside it.
pub fn server_that_logs(settings: &[(&str, &str)]) -> Server {
    let servers = testkit::all_servers();
    let binaries = servers.iter().map(|s| s.binaries()).find(|b| b.major == 15).unwrap();
    let options = ServerOptions::default()
        .set("shared_preload_libraries", "pg_stat_statements")
        .set("log_line_prefix", "%m [%p] %q%u@%d ")
        .set("log_min_duration_statement", "10ms");
    let options = settings.iter().fold(options, |options, (name, value)| options.set(*name, *value));
    Server::start(binaries, options).unwrap()
}
