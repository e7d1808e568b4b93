//! How does a sample of a table come into a local server, and how does it go again?

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use cluster::{Binaries, Server};
use futures_util::SinkExt as _;
use model::estimate::{ColumnSet, SampleFacts};
use model::snapshot::Relation;
use model::{QualifiedName, Snapshot, quote_identifier};
use schema::{explain, pipeline};
use tokio_postgres::Client;

use crate::error::Error;

const DATABASE: &str = "trial";
const OWNER: &str = "pgwright_trial";
/// The schema of the samples.
pub(crate) const SCHEMA: &str = "pgwright_trial";

/// How trials are made.
#[derive(Clone, Debug)]
pub struct TrialOptions {
    /// After how long one statement of a trial is given up.
    pub statement_timeout: Duration,
    /// Where the server's directory is made; `None` means in memory where there is room, else `/tmp`.
    pub parent_dir: Option<PathBuf>,
    /// Where clusters are kept that a new server is copied from; `None` runs `initdb` each time.
    pub template_dir: Option<PathBuf>,
}

impl Default for TrialOptions {
    fn default() -> Self {
        Self { statement_timeout: Duration::from_secs(10), parent_dir: None, template_dir: None }
    }
}

/// A table and a sample of it.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The table.
    pub relation: &'a Relation,
    /// Unquoted columns of the sample, in the order of its text and of the table.
    pub columns: &'a [String],
    /// Rows in the text format of COPY.
    pub data: Vec<Bytes>,
    /// What the sample is.
    pub facts: SampleFacts,
    /// Statistics objects that the table has.
    pub existing: Vec<Existing>,
}

/// A statistics object of the table.
#[derive(Clone, Debug)]
pub struct Existing {
    /// Kinds, columns and expressions; its name does not matter.
    pub kinds: Vec<model::StatisticsKind>,
    /// Unquoted columns.
    pub columns: Vec<String>,
    /// Expressions.
    pub expressions: Vec<String>,
    /// `stxstattarget`
    pub target: Option<i32>,
}

/// A sample in the local server.
pub(crate) struct Loaded {
    pub(crate) table: QualifiedName,
    pub(crate) facts: SampleFacts,
    /// The numbers of its columns in the table that it is a sample of.
    pub(crate) numbers: Vec<i16>,
    /// Whether that table is one of partitions.
    pub(crate) inherited: bool,
    /// The unquoted columns of each statistics object of its own.
    pub(crate) existing: Vec<Vec<String>>,
}

impl Loaded {
    /// The quoted columns whose statistics bear on what is asked of a set: its own, and those of statistics objects that
    /// hold one of them, which ANALYZE makes only when it looks at all of their columns.
    pub(crate) fn columns_to_analyze(&self, set: &ColumnSet) -> Vec<String> {
        let own = set.needed_columns();
        let beside = self.existing.iter().filter(|columns| columns.iter().any(|c| own.contains(c)));
        let all: BTreeSet<&String> = own.iter().chain(beside.flatten()).collect();
        all.into_iter().map(|column| quote_identifier(column)).collect()
    }
}

/// A server of its own that holds a schema and, for moments, a sample. Dropping it stops the server and removes
/// its files.
pub struct Trial {
    server: Server,
    pub(crate) client: Client,
    pub(crate) options: TrialOptions,
    settings: Vec<(String, String)>,
    notes: Vec<String>,
}

/// More than the largest schema and its largest sample take.
const ROOM: u64 = 1 << 29;

/// Settings beside those that each local server has.
const SETTINGS: &[(&str, &str)] = &[("max_connections", "10"), ("wal_level", "minimal")];

impl Trial {
    /// Starts a server and restores the snapshot's schema in it.
    ///
    /// # Errors
    /// When the server does not start; statements of the schema that fail become [`Trial::notes`].
    pub async fn start(
        snapshot: &Snapshot,
        binaries: &Binaries,
        options: TrialOptions,
    ) -> Result<Self, Error> {
        let place = schema::Place {
            parent_dir: options.parent_dir.clone(),
            template_dir: options.template_dir.clone(),
            room: ROOM,
        };
        let server = schema::start_server(binaries, place, SETTINGS).await?;
        let mut notes = Vec::new();
        schema::create_database(&server, DATABASE, OWNER, snapshot).await?;
        let admin = schema::connect(&server, DATABASE, None).await?;
        let owner = schema::connect(&server, DATABASE, Some(OWNER)).await?;
        let view = |sql: &str| sql.to_owned();
        let restored = schema::restore(
            &snapshot.schema_sql,
            &owner,
            &admin,
            &view,
            schema::ForeignKeys::NotValid,
            binaries.major,
        )
        .await?;
        notes.extend(restored.notes);
        drop((admin, owner));
        let mut settings = schema::settings::of_source(snapshot);
        if let Some(target) = snapshot.setting("default_statistics_target") {
            settings.retain(|(name, _)| name != "default_statistics_target");
            settings.push(("default_statistics_target".into(), target.to_owned()));
        }
        // How values are stored and how indexes are built, which decides sizes.
        for name in ["default_toast_compression", "maintenance_work_mem"] {
            settings.extend(snapshot.setting(name).map(|value| (name.to_owned(), value.to_owned())));
        }
        let client = connect(&server, &settings, &options).await?;
        pipeline::one(&client, &format!("CREATE SCHEMA {SCHEMA}"))
            .await
            .map_err(Error::sql("preparing the local database"))?;
        Ok(Self { server, client, options, settings, notes })
    }

    /// The snapshot's own major version among local installations, else the nearest newer one, which understands
    /// its schema, else the nearest older one.
    ///
    /// # Errors
    /// [`Error::NoBinaries`] when there are none.
    pub fn choose_binaries(snapshot: &Snapshot, available: &[Binaries]) -> Result<Binaries, Error> {
        let source = snapshot.server.major();
        let distance = |b: &&Binaries| (b.major < source, b.major.abs_diff(source));
        available.iter().min_by_key(distance).cloned().ok_or(Error::NoBinaries)
    }

    /// What of the schema is missing, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The major version that plans.
    pub fn major(&self) -> u32 {
        self.server.binaries().major
    }

    /// The directory that holds the samples, which is gone with the server.
    pub fn directory(&self) -> &std::path::Path {
        self.server.data_dir()
    }

    pub(crate) async fn reopen(&mut self) -> Result<(), Error> {
        if self.client.is_closed() {
            self.client = connect(&self.server, &self.settings, &self.options).await?;
        }
        Ok(())
    }

    /// Makes a table of a sample, with the statistics targets and the statistics objects of its own. The message is
    /// PostgreSQL's when it cannot be made.
    pub(crate) async fn load(&mut self, source: &Source<'_>) -> Result<Result<Loaded, String>, Error> {
        self.reopen().await?;
        let table = QualifiedName::new(SCHEMA, "sample");
        let columns: Vec<String> = source.columns.iter().map(|c| quote_identifier(c)).collect();
        let mut statements = vec![
            format!("DROP TABLE IF EXISTS {table}"),
            // The types, typmods and collations of the user's own columns.
            format!(
                "CREATE TABLE {table} AS SELECT {} FROM ONLY {} WITH NO DATA",
                columns.join(", "),
                source.relation.name
            ),
        ];
        for name in source.columns {
            let Some(column) = source.relation.column(name) else { continue };
            let quoted = quote_identifier(name);
            if let Some(target) = column.statistics_target {
                statements.push(format!("ALTER TABLE {table} ALTER COLUMN {quoted} SET STATISTICS {target}"));
            }
            let set = column.options.iter().filter_map(|o| o.split_once('='));
            for (_, value) in set.filter(|(option, _)| *option == "n_distinct") {
                let value = model::quote_literal(value);
                statements
                    .push(format!("ALTER TABLE {table} ALTER COLUMN {quoted} SET (n_distinct = {value})"));
            }
        }
        for (number, existing) in source.existing.iter().enumerate() {
            let name = QualifiedName::new(SCHEMA, format!("existing_{number}"));
            let definition = model::StatisticsDefinition {
                table: table.clone(),
                name: name.clone(),
                kinds: existing.kinds.clone(),
                columns: existing.columns.clone(),
                expressions: existing.expressions.clone(),
            };
            statements.push(definition.create_sql());
            if let Some(target) = existing.target {
                statements.push(format!("ALTER STATISTICS {name} SET STATISTICS {target}"));
            }
        }
        let what = "loading a sample";
        for statement in &statements {
            if let Err(error) = pipeline::one(&self.client, statement).await {
                return message(error, what).map(Err);
            }
        }
        match self.copy(&table, &source.data).await {
            Ok(()) => {
                let number = |name: &String| source.relation.column(name).map_or(0, |c| c.attnum);
                Ok(Ok(Loaded {
                    table,
                    facts: source.facts,
                    numbers: source.columns.iter().map(number).collect(),
                    inherited: source.relation.partition_key.is_some(),
                    existing: source.existing.iter().map(|e| e.columns.clone()).collect(),
                }))
            }
            Err(error) => message(error, what).map(Err),
        }
    }

    /// Fills a table with rows in the text format of COPY.
    pub(crate) async fn copy(
        &self,
        table: &QualifiedName,
        data: &[Bytes],
    ) -> Result<(), tokio_postgres::Error> {
        let sink = self.client.copy_in::<_, Bytes>(&format!("COPY {table} FROM STDIN")).await?;
        let mut sink = std::pin::pin!(sink);
        for chunk in data {
            sink.feed(chunk.clone()).await?;
        }
        sink.as_mut().finish().await?;
        Ok(())
    }

    /// Drops what [`Self::load`] has made.
    pub(crate) async fn unload(&mut self, loaded: &Loaded) -> Result<(), Error> {
        self.reopen().await?;
        pipeline::one(&self.client, &format!("DROP TABLE IF EXISTS {}", loaded.table))
            .await
            .map_err(Error::sql("dropping a sample"))
    }

    /// Stops the server and removes its files.
    ///
    /// # Errors
    /// When the server does not stop.
    pub async fn stop(self) -> Result<(), Error> {
        let Self { server, client, .. } = self;
        drop(client);
        match tokio::task::spawn_blocking(|| server.stop()).await {
            Ok(stopped) => Ok(stopped?),
            // The task panicked; the server was dropped and so stopped.
            Err(_) => Ok(()),
        }
    }
}

/// PostgreSQL's message, or the error when it is the server that failed.
pub(crate) fn message(error: tokio_postgres::Error, what: &'static str) -> Result<String, Error> {
    match error.as_db_error() {
        Some(_) => Ok(explain(&error).0),
        None => Err(Error::sql(what)(error)),
    }
}

async fn connect(
    server: &Server,
    settings: &[(String, String)],
    options: &TrialOptions,
) -> Result<Client, Error> {
    let client = schema::connect(server, DATABASE, Some(OWNER)).await?;
    schema::settings::apply(&client, settings).await;
    let timeout = options.statement_timeout.as_millis().to_string();
    let own = [
        ("statement_timeout", timeout.as_str()),
        ("max_parallel_workers_per_gather", "0"),
        ("client_min_messages", "error"),
        // As the sample was written.
        ("DateStyle", "ISO, YMD"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "UTC"),
    ];
    let own: Vec<(String, String)> = own.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    schema::settings::apply(&client, &own).await;
    Ok(client)
}
