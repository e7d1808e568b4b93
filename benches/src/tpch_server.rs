//! Where does the benchmark run? On a PostgreSQL server of its own, with TPC-H loaded once and kept.
//!
//! The planner's settings are those under which the peers' figures were measured
//! (`docs/reference/benchmarks.md`): an SSD's `random_page_cost`, no parallel plans, no JIT.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use chrono::TimeDelta;
use cluster::{Binaries, Search, Server, ServerOptions};
use model::Snapshot;
use model::snapshot::{Statement, StatementsInfo};
use postgres::{Environment, SessionOptions, SnapshotOptions, Target};
use tokio_postgres::{Client, NoTls};

use crate::peers::PEERS_MAJOR;
use crate::tpch::{KEYS, QUERIES, SCHEMA, load};

/// The database of the measurements.
const DATABASE: &str = "tpch";
/// The small database in which the queries are run for their normalised texts.
const TEXTS_DATABASE: &str = "tpch_texts";
const TEXTS_SCALE: f64 = 0.01;

/// What the server runs with beyond its defaults.
const SETTINGS: &[(&str, &str)] = &[
    // What the planner looks at.
    ("random_page_cost", "1.1"),
    ("work_mem", "64MB"),
    ("effective_cache_size", "12GB"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
    // Statistics stay as they were made.
    ("autovacuum", "off"),
    // What makes loading and building fast, and measuring calm.
    ("shared_buffers", "1GB"),
    ("maintenance_work_mem", "512MB"),
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "1h"),
    ("max_connections", "20"),
    ("timezone", "UTC"),
    ("shared_preload_libraries", "pg_stat_statements"),
    ("compute_query_id", "on"),
];

/// Where the benchmark keeps what it need not make twice.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    scale: f64,
    major: u32,
}

impl Cache {
    /// The cache of one scale factor and one version of PostgreSQL.
    pub fn new(root: PathBuf, scale: f64, major: u32) -> Self {
        Self { root, scale, major }
    }

    fn stem(&self) -> String {
        if self.major == PEERS_MAJOR {
            format!("tpch-{}", self.scale)
        } else {
            format!("tpch-{}-pg{}", self.scale, self.major)
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.root.join(format!("{}.data", self.stem()))
    }

    /// Written when everything is loaded; says what with.
    fn loaded_marker(&self) -> PathBuf {
        self.root.join(format!("{}.loaded", self.stem()))
    }

    /// The snapshot whose statements are the raw queries.
    pub fn snapshot_file(&self) -> PathBuf {
        self.root.join(format!("{}.snapshot.zst", self.stem()))
    }

    /// The snapshot whose statements are the texts that `pg_stat_statements` keeps.
    pub fn normalised_snapshot_file(&self) -> PathBuf {
        self.root.join(format!("{}-normalised.snapshot.zst", self.stem()))
    }

    /// What the queries took without indexes.
    pub fn base_file(&self) -> PathBuf {
        self.root.join(format!("{}.base.json", self.stem()))
    }
}

/// The installations on this machine: Debian's and those that `scripts/setup.sh` fetched.
pub fn search() -> Search {
    let fetched = repository().join(".cache/postgres");
    let extra =
        std::fs::read_dir(fetched).map(|dir| dir.flatten().map(|e| e.path()).collect()).unwrap_or_default();
    Search { explicit: None, path: std::env::var_os("PATH"), extra }
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// A running server that holds TPC-H.
pub struct TpchServer {
    server: Server,
    cache: Cache,
}

impl TpchServer {
    /// Starts the server, and loads the data when that was not done before.
    ///
    /// # Errors
    /// When the server does not start or refuses something.
    pub async fn start(cache: Cache, say: &dyn Fn(&str)) -> Result<Self> {
        let binaries = Binaries::for_major(cache.major, &search())?;
        std::fs::create_dir_all(&cache.root)?;
        let wanted = format!("{SCHEMA}{KEYS}");
        let data_dir = cache.data_dir();
        let loaded = std::fs::read_to_string(cache.loaded_marker()).is_ok_and(|found| found == wanted);
        if !loaded && data_dir.exists() {
            say("removing data that were not loaded to the end");
            std::fs::remove_dir_all(&data_dir)?;
        }
        let options = ServerOptions {
            settings: SETTINGS.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            data_dir: Some(data_dir),
            ..ServerOptions::default()
        };
        let server = Server::start(&binaries, options).map_err(|error| {
            let detail = error.detail().unwrap_or_default();
            anyhow::Error::new(error).context(format!("starting PostgreSQL {}: {detail}", cache.major))
        })?;
        let this = Self { server, cache };
        if !loaded {
            say(&format!("loading TPC-H, scale {}; once, the data are kept", this.cache.scale));
            this.load().await?;
            std::fs::write(this.cache.loaded_marker(), wanted)?;
        }
        this.drop_left_indexes().await?;
        Ok(this)
    }

    /// The process id of the postmaster.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// The programs of the server.
    pub fn binaries(&self) -> &Binaries {
        self.server.binaries()
    }

    /// Opens a session in the database of the measurements.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connect(&self) -> Result<Client> {
        self.connect_to(DATABASE).await
    }

    async fn connect_to(&self, database: &str) -> Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.server.url(database), NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Stops the server; the data stay.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(self) -> Result<()> {
        Ok(self.server.stop()?)
    }

    async fn load(&self) -> Result<()> {
        let client = self.connect_to("postgres").await?;
        for (database, scale) in [(TEXTS_DATABASE, TEXTS_SCALE), (DATABASE, self.cache.scale)] {
            client.batch_execute(&format!("CREATE DATABASE {database} TEMPLATE template0")).await?;
            load::load(&self.connect_to(database).await?, scale).await?;
        }
        let texts = self.connect_to(TEXTS_DATABASE).await?;
        texts.batch_execute("CREATE EXTENSION pg_stat_statements").await?;
        client.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// Drops what a run that was ended early left behind.
    async fn drop_left_indexes(&self) -> Result<()> {
        let client = self.connect().await?;
        let rows = client
            .query(
                "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
                 FROM pg_catalog.pg_index AS i
                 JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE n.nspname = 'public' AND NOT i.indisprimary",
                &[],
            )
            .await?;
        for row in rows {
            client.batch_execute(&format!("DROP INDEX {}", row.try_get::<_, String>(0)?)).await?;
        }
        Ok(())
    }

    /// Reads the database as it is, without statements.
    ///
    /// # Errors
    /// When the catalog cannot be read or `pg_dump` fails.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let target = Target::parse(Some(&self.server.url(DATABASE)), &Environment::default())?;
        let session = target.connect(&SessionOptions::default()).await?;
        let newest = Binaries::discover(&search()).into_iter().find_map(|b| b.program("pg_dump"));
        let pg_dump = self
            .binaries()
            .program("pg_dump")
            .or(newest)
            .context("could not find pg_dump, which a snapshot needs for the schema")?;
        let mut snapshot =
            postgres::snapshot::read(&session, &target, &SnapshotOptions::new(pg_dump)).await?;
        snapshot.notes.clear();
        // One hour of observation, so that nothing depends on when the server was started.
        snapshot.statements_info = Some(StatementsInfo {
            version: "1.10".into(),
            dealloc: 0,
            stats_reset: Some(snapshot.taken_at - TimeDelta::hours(1)),
            max: 5_000,
            track: "top".into(),
        });
        Ok(snapshot)
    }

    /// The texts that `pg_stat_statements` keeps of the queries, in their order.
    ///
    /// # Errors
    /// When a query fails or is not counted.
    pub async fn normalised_texts(&self) -> Result<Vec<String>> {
        let client = self.connect_to(TEXTS_DATABASE).await?;
        let target = Target::parse(Some(&self.server.url(TEXTS_DATABASE)), &Environment::default())?;
        let session = target.connect(&SessionOptions::default()).await?;
        let mut texts = Vec::with_capacity(QUERIES.len());
        for query in QUERIES {
            client.batch_execute("SELECT /* pgwright:bench_reset */ pg_stat_statements_reset()").await?;
            client.simple_query(query.sql).await?;
            let (statements, _) = postgres::statements::read(&session).await?;
            let counted = statements.into_iter().find(|s| s.query.starts_with(&query.sql[..4]));
            let counted = counted.with_context(|| format!("{} was not counted", query.name()))?;
            texts.push(counted.query);
        }
        Ok(texts)
    }
}

/// A statement of a snapshot that was called once and took as many milliseconds as it costs, so that time
/// and planner cost are the same objective.
pub fn statement(queryid: i64, query: &str, cost: f64, rows: i64) -> Statement {
    let time = model::Millis(cost);
    Statement {
        queryid,
        query: query.to_owned(),
        toplevel: true,
        calls: 1,
        total_exec_time: time,
        min_exec_time: time,
        max_exec_time: time,
        mean_exec_time: time,
        rows,
        ..Statement::default()
    }
}
