//! Which rows are written, and how? Two tables like the registry's training runs, with a column of every
//! common type.
//!
//! The new rows are made beforehand and wait in a table of their own, so that making them costs both
//! tables the same. As in a real table, the new ones are about the few experiments that are under way, and
//! what has not happened yet is NULL.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::Mode;
use super::shapes::Shape;
use crate::cpu;

/// The name of the measured index.
pub const MEASURED: &str = "measured";
/// The table without it and the one with it.
const TABLES: [&str; 2] = ["runs_without", "runs_with"];
/// How the insertions look to `pg_stat_statements`.
pub const INSERT_TEXT: &str =
    "INSERT INTO runs_with (run_id, status) SELECT run_id, status FROM incoming WHERE n = $1";
/// How the updates look to `pg_stat_statements`: the columns that [`ASSIGN`] changes.
pub const UPDATE_TEXT: &str =
    "UPDATE runs_with SET status = $1, score = $2, created_at = $3 WHERE run_id = $4";

/// Rows that wait.
const INCOMING: u64 = 200_000;

const COLUMNS: &str = "run_id, sequence, created_at, version_id, status, experiment, city, customer_id, score, amount, \
                       note, model, details, tags, words, validity, place";

/// Rows that are there from the start, in the order of their time.
const HISTORY: &str = "\
    SELECT gen_random_uuid(), n, '2026-01-01'::timestamptz + n * interval '1 s', \
           CASE WHEN random() < 0.1 THEN gen_random_uuid() END, \
           (ARRAY['succeeded', 'failed', 'cancelled'])[1 + floor(random() * 3)::int], \
           'experiment-' || md5((x.pick)::text), 'Città ' || md5((x.pick)::text), \
           floor(random() * 200000)::int, random(), (random() * 1000)::numeric(12, 4), \
           md5(random()::text), 'Model-' || md5((x.pick)::text), \
           jsonb_build_object('optimizer', (ARRAY['adam', 'adamw', 'sgd', 'lion'])[1 + floor(random() * 4)::int], \
                              'batch_size', 16 * floor(random() * 32)::int, 'epochs', floor(random() * 100)::int, \
                              'rate', round(random()::numeric, 4)), \
           ARRAY['tag' || floor(random() * 500)::int, 'tag' || floor(random() * 500)::int, \
                 'tag' || floor(random() * 500)::int], \
           (SELECT string_agg(md5(floor(random() * 5000)::text), ' ') FROM generate_series(1, 6) WHERE n > 0), \
           tstzrange('2026-01-01'::timestamptz + n * interval '1 s', \
                     '2026-01-01'::timestamptz + n * interval '1 s' + random() * interval '1 hour'), \
           point(random() * 180, random() * 90) \
    FROM generate_series($FIRST::bigint, $LAST::bigint) AS n, \
         LATERAL (SELECT $PICK AS pick WHERE n > 0) AS x";

/// What a batch takes from the rows that wait; what has to be new is made here.
const TAKE: &str = "gen_random_uuid(), sequence, clock_timestamp(), NULL::uuid, 'running', experiment, city, customer_id, \
                    score, amount, note, model, details, tags, words, \
                    tstzrange(clock_timestamp(), clock_timestamp() + interval '1 hour'), place";

/// What an update changes, so that every index but those on other columns alone gets an entry for its sake,
/// and these because no update of full pages is HOT.
const ASSIGN: &str = "status = 'succeeded', score = random(), created_at = clock_timestamp()";

/// One turn of one table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    /// Processor seconds of the backend.
    pub cpu_s: f64,
    /// Write-ahead log.
    pub wal_bytes: f64,
}

/// The session that writes.
pub struct Writer {
    client: Client,
    pid: u32,
    next: u64,
    pause: Duration,
}

impl Writer {
    /// Makes the tables.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn new(client: Client, rows: u64, pause: Duration) -> Result<Self> {
        let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
        let writer = Self { client, pid: u32::try_from(pid)?, next: 0, pause };
        let columns = "run_id uuid NOT NULL, sequence bigint NOT NULL, created_at timestamptz NOT NULL, version_id uuid, \
                       status text NOT NULL, experiment text NOT NULL, city text COLLATE \"en-x-icu\" NOT NULL, \
                       customer_id integer NOT NULL, score double precision, amount numeric(12, 4), note text, model text, \
                       details jsonb, tags text[], words text, validity tstzrange, place point";
        let [without, with] = TABLES;
        let fill = |first: u64, last: u64, pick: &str| {
            HISTORY
                .replace("$FIRST", &first.to_string())
                .replace("$LAST", &last.to_string())
                .replace("$PICK", pick)
        };
        // The experiments move on: 2,000 in all, 300 under way at any time.
        let under_way = format!("floor(n::numeric / {rows} * 1700)::int + floor(random() * 300)::int");
        let late = "1700 + floor(random() * 300)::int";
        for sql in [
            "CREATE EXTENSION IF NOT EXISTS pg_prewarm".to_owned(),
            "CREATE EXTENSION IF NOT EXISTS pg_trgm".to_owned(),
            format!("CREATE TABLE {without} ({columns})"),
            format!("INSERT INTO {without} ({COLUMNS}) {}", fill(1, rows, &under_way)),
            format!("CREATE TABLE {with} ({columns})"),
            format!("INSERT INTO {with} SELECT * FROM {without}"),
            format!("ALTER TABLE {without} ADD PRIMARY KEY (run_id)"),
            format!("ALTER TABLE {with} ADD PRIMARY KEY (run_id)"),
            format!(
                "CREATE UNLOGGED TABLE incoming (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {columns})"
            ),
            format!("INSERT INTO incoming ({COLUMNS}) {}", fill(rows + 1, rows + INCOMING, late)),
            format!("VACUUM ANALYZE {without}, {with}, incoming"),
            format!("SELECT pg_prewarm('{without}'), pg_prewarm('{with}'), pg_prewarm('incoming')"),
        ] {
            writer.client.batch_execute(&sql).await.with_context(|| sql.clone())?;
        }
        for (arm, table) in TABLES.iter().enumerate() {
            let sql = format!(
                "PREPARE insert_{arm} (bigint) AS INSERT INTO {table} ({COLUMNS}) SELECT {TAKE} FROM incoming WHERE n = $1; \
                 PREPARE update_{arm} (uuid) AS UPDATE {table} SET {ASSIGN} WHERE run_id = $1"
            );
            writer.client.batch_execute(&sql).await?;
        }
        Ok(writer)
    }

    /// Builds the index, and reads it into the cache: building writes past it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn build(&self, shape: &Shape) -> Result<u64> {
        let unique = if shape.unique { "UNIQUE " } else { "" };
        let sql = format!("CREATE {unique}INDEX {MEASURED} ON {} {}", TABLES[1], shape.sql);
        self.client.batch_execute(&sql).await.with_context(|| sql.clone())?;
        // Statistics of expressions come with ANALYZE.
        for sql in [
            format!("ANALYZE {}", TABLES[1]),
            format!("SELECT pg_prewarm('{MEASURED}')"),
            format!("SELECT pg_prewarm('{}_pkey'), pg_prewarm('{}_pkey')", TABLES[0], TABLES[1]),
        ] {
            self.client.batch_execute(&sql).await?;
        }
        let bytes: i64 = self
            .client
            .query_one(&format!("SELECT pg_relation_size('{MEASURED}')"), &[])
            .await?
            .try_get(0)?;
        Ok(bytes.unsigned_abs())
    }

    /// Drops it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn drop_index(&self) -> Result<()> {
        Ok(self.client.batch_execute(&format!("DROP INDEX {MEASURED}")).await?)
    }

    /// Writes everything that changed to the files.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn checkpoint(&self) -> Result<()> {
        Ok(self.client.batch_execute("CHECKPOINT").await?)
    }

    /// The next rows that wait, from the first to the last.
    pub fn next_rows(&mut self, batch: u64) -> (u64, u64) {
        if self.next + batch > INCOMING {
            self.next = 0;
        }
        let first = self.next + 1;
        self.next += batch;
        (first, self.next)
    }

    /// Writes rows to one of the tables.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn turn(&self, arm: usize, shape: &Shape, mode: Mode, rows: (u64, u64)) -> Result<Turn> {
        let table = TABLES.get(arm).context("there are two tables")?;
        let (first, last) = rows;
        // Rows that are changed were inserted a moment before, as a run ends soon after it began, and the pages
        // that they fill have no room for another version of them.
        let keys = match mode {
            Mode::Update => self.insert_returning(table, rows).await?,
            Mode::Batch | Mode::Single => Vec::new(),
        };
        let (cpu, wal) = (self.cpu()?, self.wal_bytes().await?);
        match mode {
            Mode::Batch => {
                self.client
                    .batch_execute(&format!(
                        "INSERT INTO {table} ({COLUMNS}) SELECT {TAKE} FROM incoming WHERE n BETWEEN {first} AND {last}"
                    ))
                    .await?;
            }
            Mode::Single => {
                for n in first..=last {
                    self.pause().await;
                    self.client.batch_execute(&format!("EXECUTE insert_{arm}({n})")).await?;
                }
            }
            Mode::Update => {
                for key in keys {
                    self.pause().await;
                    self.client.batch_execute(&format!("EXECUTE update_{arm}('{key}')")).await?;
                }
            }
        }
        if arm == 1 && shape.pending_list {
            // What was put off is done now, and counted.
            self.client.batch_execute(&format!("SELECT gin_clean_pending_list('{MEASURED}')")).await?;
        }
        Ok(Turn { cpu_s: self.cpu()? - cpu, wal_bytes: self.wal_bytes().await? - wal })
    }

    async fn pause(&self) {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn insert_returning(&self, table: &str, (first, last): (u64, u64)) -> Result<Vec<String>> {
        let sql = format!(
            "INSERT INTO {table} ({COLUMNS}) SELECT {TAKE} FROM incoming WHERE n BETWEEN {first} AND {last} \
             RETURNING run_id"
        );
        let messages = self.client.simple_query(&sql).await?;
        let keys = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(keys.collect())
    }

    fn cpu(&self) -> Result<f64> {
        cpu::of_process(self.pid).context("the processor time of the backend cannot be read from /proc")
    }

    async fn wal_bytes(&self) -> Result<f64> {
        let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8";
        Ok(self.client.query_one(sql, &[]).await?.try_get(0)?)
    }
}
