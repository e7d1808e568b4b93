//! Where does the benchmark run? On a PostgreSQL server of its own, with the workload's data loaded once
//! and kept.
//!
//! The planner's settings are those under which the peers' figures were measured
//! (`docs/reference/benchmarks.md`): an SSD's `random_page_cost`, no parallel plans, no JIT.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use chrono::TimeDelta;
use cluster::{Binaries, Search, Server, ServerOptions};
use model::Snapshot;
use model::snapshot::{Statement, StatementsInfo};
use postgres::{Environment, SessionOptions, SnapshotOptions, Target};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::peers::PEERS_MAJOR;
use crate::workload::{Query, Workload};

/// The scale factor of the database in which the queries are run for their normalised texts.
const TEXTS_SCALE: f64 = 0.01;
/// Seconds after which a query there is given up.
const TEXTS_TIMEOUT_S: u32 = 30;

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
    workload: Workload,
    scale: f64,
    major: u32,
}

impl Cache {
    /// The cache of one workload, scale factor and version of PostgreSQL.
    pub fn new(root: PathBuf, workload: Workload, scale: f64, major: u32) -> Self {
        Self { root, workload, scale, major }
    }

    /// The queries of the workload.
    ///
    /// # Errors
    /// When they have to be fetched and cannot be.
    pub async fn queries(&self) -> Result<Vec<Query>> {
        std::fs::create_dir_all(&self.root)?;
        self.workload.queries(&self.root).await
    }

    fn stem(&self) -> String {
        let id = self.workload.id();
        if self.major == PEERS_MAJOR {
            format!("{id}-{}", self.scale)
        } else {
            format!("{id}-{}-pg{}", self.scale, self.major)
        }
    }

    /// The name of the database of the measurements.
    fn database(&self) -> String {
        self.workload.id().to_owned()
    }

    /// The name of the small database in which the queries are run for their normalised texts.
    fn texts_database(&self) -> String {
        format!("{}_texts", self.workload.id())
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

    /// The texts that `pg_stat_statements` keeps of the queries.
    fn texts_file(&self) -> PathBuf {
        self.root.join(format!("{}.texts.json", self.stem()))
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

/// A running server that holds the workload's data.
pub struct BenchmarkServer {
    server: Server,
    cache: Cache,
}

impl BenchmarkServer {
    /// Starts the server, and loads the data when that was not done before.
    ///
    /// # Errors
    /// When the server does not start or refuses something.
    pub async fn start(cache: Cache, say: &dyn Fn(&str)) -> Result<Self> {
        let binaries = Binaries::for_major(cache.major, &search())?;
        std::fs::create_dir_all(&cache.root)?;
        let wanted = cache.workload.recipe();
        let data_dir = cache.data_dir();
        let loaded = std::fs::read_to_string(cache.loaded_marker()).is_ok_and(|found| found == wanted);
        if !loaded {
            if data_dir.exists() {
                say("removing data of another make, or not loaded to the end");
                std::fs::remove_dir_all(&data_dir)?;
            }
            for measured in [cache.base_file(), cache.texts_file()] {
                if measured.exists() {
                    std::fs::remove_file(measured)?;
                }
            }
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
            let title = this.cache.workload.title();
            say(&format!("loading {title}, scale {}; once, the data are kept", this.cache.scale));
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
        self.connect_to(&self.cache.database()).await
    }

    /// The address of one of its databases.
    pub fn url(&self, database: &str) -> String {
        self.server.url(database)
    }

    /// Opens a session in one of its databases.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connect_to(&self, database: &str) -> Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await?;
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
        let (database, texts) = (self.cache.database(), self.cache.texts_database());
        for (database, scale) in [(&texts, TEXTS_SCALE), (&database, self.cache.scale)] {
            client.batch_execute(&format!("CREATE DATABASE {database} TEMPLATE template0")).await?;
            let client = self.connect_to(database).await?;
            self.cache.workload.load(&client, scale, &self.cache.root).await?;
        }
        let texts = self.connect_to(&self.cache.texts_database()).await?;
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
        let target = Target::parse(Some(&self.server.url(&self.cache.database())), &Environment::default())?;
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

    /// The texts that `pg_stat_statements` keeps of the queries, by the queries' numbers. One that does not
    /// come to its end on the small database is not counted and so has none.
    ///
    /// # Errors
    /// When a query fails for another reason than the time-out.
    pub async fn normalised_texts(&self, queries: &[Query]) -> Result<BTreeMap<i64, String>> {
        let kept = self.cache.texts_file();
        if let Ok(text) = std::fs::read_to_string(&kept) {
            return Ok(serde_json::from_str(&text)?);
        }
        let client = self.connect_to(&self.cache.texts_database()).await?;
        client.batch_execute(&format!("SET statement_timeout = '{TEXTS_TIMEOUT_S}s'")).await?;
        let target =
            Target::parse(Some(&self.server.url(&self.cache.texts_database())), &Environment::default())?;
        let session = target.connect(&SessionOptions::default()).await?;
        let mut texts = BTreeMap::new();
        for query in queries {
            client.batch_execute("SELECT pg_stat_statements_reset()").await?;
            match client.simple_query(&query.sql).await {
                Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => continue,
                other => other.with_context(|| format!("running {}", query.name()))?,
            };
            let (statements, _) = postgres::statements::read(&session).await?;
            // The reset counts itself when it is done.
            let counted = statements.into_iter().find(|s| !s.query.contains("pg_stat_statements"));
            let text = counted.with_context(|| format!("{} was not counted", query.name()))?.query;
            texts.insert(i64::from(query.number), text);
        }
        std::fs::write(kept, serde_json::to_string(&texts)?)?;
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
