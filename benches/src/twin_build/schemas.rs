//! Which databases are measured?

use std::fmt::Write as _;

use anyhow::Result;
use model::QualifiedName;
use model::change::{IndexDefinition, IndexKey};
use tokio_postgres::Client;

/// A database.
#[derive(Clone, Copy, Debug)]
pub enum Schema {
    /// That many tables.
    Tables(usize),
    /// A table of that many partitions.
    Partitions(usize),
}

impl Schema {
    /// What it consists of.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tables(_) => "tables",
            Self::Partitions(_) => "partitions",
        }
    }

    /// How many of them.
    pub fn count(self) -> usize {
        match self {
            Self::Tables(count) | Self::Partitions(count) => count,
        }
    }

    /// Makes it in an empty database.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn make(self, client: &Client) -> Result<()> {
        match self {
            Self::Tables(count) => tables(client, count).await,
            Self::Partitions(count) => partitions(client, count).await,
        }
    }

    /// Indexes that somebody could want.
    pub fn candidates(self) -> Vec<IndexDefinition> {
        match self {
            Self::Tables(count) => one_each(count),
            Self::Partitions(_) => on_the_parent(),
        }
    }

    /// Statements to plan.
    pub fn statements(self) -> Vec<String> {
        match self {
            Self::Tables(count) => (0..count).map(one_table).collect(),
            Self::Partitions(count) => of_partitions(count),
        }
    }
}

/// Tables as an application has them, each with 2,000 rows.
async fn tables(client: &Client, count: usize) -> Result<()> {
    let mut schema = String::new();
    for i in 0..count {
        let _ = write!(
            schema,
            "CREATE TABLE public.table_{i} (
                 id bigint NOT NULL, parent_id bigint NOT NULL, kind text NOT NULL, status character varying(20),
                 amount numeric(12,2) NOT NULL, payload jsonb, created_at timestamp with time zone NOT NULL,
                 flag boolean DEFAULT false NOT NULL, CONSTRAINT c_{i} CHECK ((amount >= (0)::numeric))
             );
             ALTER TABLE ONLY public.table_{i} ADD CONSTRAINT table_{i}_pkey PRIMARY KEY (id);
             CREATE INDEX table_{i}_kind ON public.table_{i} USING btree (kind, created_at);
             ALTER TABLE ONLY public.table_{i} ADD CONSTRAINT table_{i}_parent
                 FOREIGN KEY (parent_id) REFERENCES public.table_{}(id);",
            i / 2
        );
    }
    client.batch_execute(&schema).await?;
    let rows = "
        -- The keys are right; checking them takes a minute.
        SET session_replication_role = replica;
        CREATE TEMP TABLE source AS SELECT i AS id, 1 + i / 3 AS parent_id, 'kind ' || (i % 50) AS kind,
            (ARRAY['open', 'done', 'late'])[1 + i % 3] AS status, (i * 7919 % 10000)::numeric / 100 AS amount,
            jsonb_build_object('n', i % 100, 'kind', 'k' || i % 10) AS payload,
            timestamptz '2026-01-01 00:00Z' + i * interval '1 minute' AS created_at, i % 10 = 0 AS flag
        FROM generate_series(1, 2000) AS i";
    client.batch_execute(rows).await?;
    for i in 0..count {
        client.batch_execute(&format!("INSERT INTO table_{i} SELECT * FROM source")).await?;
    }
    client.batch_execute("VACUUM ANALYZE").await?;
    Ok(())
}

/// A table with that many partitions of 20 rows each.
async fn partitions(client: &Client, count: usize) -> Result<()> {
    let mut schema = String::from(
        "CREATE TABLE public.readings (sensor int NOT NULL, at int NOT NULL, value float8) PARTITION BY RANGE (at);",
    );
    for i in 0..count {
        let _ = write!(
            schema,
            "CREATE TABLE public.readings_{i} (sensor int NOT NULL, at int NOT NULL, value float8);
             ALTER TABLE ONLY public.readings ATTACH PARTITION public.readings_{i} FOR VALUES FROM ({i}) TO ({});",
            i + 1
        );
    }
    schema.push_str("CREATE INDEX readings_at ON public.readings USING btree (at);");
    // Locks of one transaction would be too many for one batch.
    for statements in schema.split(';').filter(|s| !s.trim().is_empty()).collect::<Vec<_>>().chunks(1000) {
        client.batch_execute(&statements.join(";")).await?;
    }
    let rows = format!(
        "INSERT INTO readings SELECT i % 100, i % {count}, random() FROM generate_series(1, {count} * 20) AS i"
    );
    client.batch_execute(&rows).await?;
    client.batch_execute("VACUUM ANALYZE").await?;
    Ok(())
}

fn one_each(count: usize) -> Vec<IndexDefinition> {
    let index = |i: usize| {
        let table = QualifiedName::new("public", format!("table_{i}"));
        let keys = match i % 3 {
            0 => vec![IndexKey::column("parent_id")],
            1 => vec![IndexKey::column("status"), IndexKey::column("amount")],
            _ => vec![IndexKey::column("created_at")],
        };
        let index = IndexDefinition::btree(table, format!("x_{i}"), keys);
        match i % 10 {
            9 => IndexDefinition { predicate: Some("status = 'open'".into()), ..index },
            _ => index,
        }
    };
    (0..count).map(index).collect()
}

fn one_table(i: usize) -> String {
    format!(
        "SELECT t.kind, p.amount FROM table_{i} t JOIN table_{} p ON p.id = t.parent_id
         WHERE t.status = 'open' AND t.amount > 10 ORDER BY t.created_at DESC LIMIT 10",
        i / 2
    )
}

fn on_the_parent() -> Vec<IndexDefinition> {
    let table = QualifiedName::new("public", "readings");
    vec![
        IndexDefinition::btree(
            table.clone(),
            "x_sensor",
            vec![IndexKey::column("sensor"), IndexKey::column("at")],
        ),
        IndexDefinition {
            access_method: "brin".into(),
            ..IndexDefinition::btree(table, "x_brin", vec![IndexKey::column("at")])
        },
    ]
}

fn of_partitions(count: usize) -> Vec<String> {
    let mut statements: Vec<String> = (0..20)
        .map(|i| format!("SELECT * FROM readings WHERE at = {} AND sensor = 5", i * count / 20))
        .collect();
    statements.push("SELECT sensor, avg(value) FROM readings GROUP BY sensor".into());
    statements
}
