//! How does one get a server for tiny databases with a snapshot's schema, and as whom is it used?

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use cluster::{Binaries, Server};
use model::Snapshot;
use model::snapshot::FORMAT_VERSION;
use tokio_postgres::Client;

use crate::error::Error;

const DATABASE: &str = "refuter";
const OWNER: &str = "pgwright_refuter";

/// How much is tried, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many databases are tried at most.
    pub databases: u32,
    /// Decides which databases these are.
    pub seed: u64,
    /// No further database is begun after this time.
    pub time_limit: Duration,
    /// Settings that hold for both statements on every database, for instance `TimeZone` of the application;
    /// of those that matter the others are varied.
    pub pinned: BTreeMap<String, String>,
    /// Where the server's directory is made; `None` means in memory where there is room, else `/tmp`.
    pub parent_dir: Option<PathBuf>,
    /// Where clusters are kept that a new server is copied from; `None` runs `initdb` each time.
    pub template_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            databases: 400,
            seed: 1,
            time_limit: Duration::from_secs(20),
            pinned: BTreeMap::new(),
            parent_dir: None,
            template_dir: None,
        }
    }
}

/// A server of its own that holds a schema and, for moments, tiny databases.
pub struct Refuter {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) options: Options,
    pub(crate) settings: Vec<(String, String)>,
    notes: Vec<String>,
}

/// More than the largest schema and its tiny databases take.
const ROOM: u64 = 1 << 28;

impl Refuter {
    /// Starts a server and restores the snapshot's schema in it.
    ///
    /// # Errors
    /// When the server does not start; statements of the schema that fail become [`Refuter::notes`].
    pub async fn start(snapshot: &Snapshot, binaries: &Binaries, options: Options) -> Result<Self, Error> {
        let server = start_server(binaries, &options).await?;
        let mut notes = Vec::new();
        let same_locale = schema::create_database(&server, DATABASE, OWNER, snapshot).await?;
        // A schema that was written as plain DDL is of no server.
        if !same_locale && !snapshot.relations.is_empty() {
            notes.push(format!(
                "This machine does not have the locale \"{}\" of the server: texts are compared by a similar one.",
                snapshot.server.collate
            ));
        }
        let admin = schema::connect(&server, DATABASE, None).await?;
        let owner = schema::connect(&server, DATABASE, Some(OWNER)).await?;
        let view = |sql: &str| sql.to_owned();
        let restored = schema::restore(
            &snapshot.schema_sql,
            &owner,
            &admin,
            &view,
            schema::ForeignKeys::AsWritten,
            binaries.major,
        )
        .await?;
        notes.extend(restored.notes);
        let settings = schema::settings::of_source(snapshot);
        let client = connect(&server, &settings, &options).await?;
        client.batch_execute(NOT_VALIDATED).await.map_err(Error::sql("preparing the local database"))?;
        client.batch_execute(FUNCTIONS).await.map_err(Error::sql("preparing the local database"))?;
        Ok(Self { server, client, options, settings, notes })
    }

    /// The snapshot's own major version among local installations, else the nearest newer one, which
    /// understands its schema, else the nearest older one.
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

    /// The connection URI of the local database, as superuser.
    pub fn url(&self) -> String {
        self.server.url(DATABASE)
    }

    /// Changes what further comparisons try. The directories have no effect any more.
    ///
    /// # Errors
    /// When the local server fails.
    pub async fn set_options(&mut self, options: Options) -> Result<(), Error> {
        self.client = connect(&self.server, &self.settings, &options).await?;
        self.options = options;
        Ok(())
    }

    /// Opens the session anew when a statement made the server close it.
    pub(crate) async fn reopen(&mut self) -> Result<(), Error> {
        if self.client.is_closed() {
            self.client = connect(&self.server, &self.settings, &self.options).await?;
        }
        Ok(())
    }
}

/// Rows that were there before a constraint NOT VALID need not respect it, and no row one that is NOT ENFORCED.
const NOT_VALIDATED: &str = "
DO /* pgwright:refuter_not_validated */ $$
DECLARE
    found pg_catalog.text;
BEGIN
    FOR found IN
        SELECT CASE WHEN k.conrelid <> 0
            THEN pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::pg_catalog.regclass, k.conname)
            ELSE pg_catalog.format('ALTER DOMAIN %s DROP CONSTRAINT %I', k.contypid::pg_catalog.regtype, k.conname) END
        FROM pg_catalog.pg_constraint AS k
        WHERE NOT k.convalidated AND k.contype IN ('c', 'f', 'n') AND k.conparentid = 0 AND k.coninhcount = 0
    LOOP
        EXECUTE found;
    END LOOP;
END $$";

/// What helps to fill tables: the value of an expression, and an insertion that may fail, and keys
/// that can be looked up late.
const FUNCTIONS: &str = "
CREATE SCHEMA pgwright_refuter;
CREATE FUNCTION pgwright_refuter.value(expression text, type_name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    EXECUTE 'SELECT ((' || expression || ')::' || type_name || ')::pg_catalog.text' INTO found;
    RETURN found;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;
CREATE FUNCTION pgwright_refuter.try(statement text, looks_up_keys bool) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
    inserted bigint;
BEGIN
    EXECUTE statement;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    IF looks_up_keys THEN
        SET CONSTRAINTS ALL IMMEDIATE;
    END IF;
    RETURN inserted > 0;
EXCEPTION WHEN OTHERS THEN
    RETURN false;
END $$;
CREATE FUNCTION pgwright_refuter.make_deferrable(tables text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT k.conrelid::pg_catalog.regclass AS relation, k.conname FROM pg_catalog.pg_constraint AS k
        WHERE k.contype = 'f' AND k.conparentid = 0 AND NOT k.condeferrable
            AND k.conrelid = ANY (tables::pg_catalog.regclass[])
            AND k.confrelid = ANY (tables::pg_catalog.regclass[])
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s ALTER CONSTRAINT %I DEFERRABLE', found.relation, found.conname);
    END LOOP;
END $$";

async fn connect(server: &Server, settings: &[(String, String)], options: &Options) -> Result<Client, Error> {
    let client = schema::connect(server, DATABASE, Some(OWNER)).await?;
    schema::settings::apply(&client, settings).await;
    let own = [
        ("statement_timeout", "3000"),
        ("max_parallel_workers_per_gather", "0"),
        ("work_mem", "4096"),
        ("client_min_messages", "error"),
        ("DateStyle", "ISO, MDY"),
    ];
    let own = own.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
    let pinned = options.pinned.iter().map(|(n, v)| (n.clone(), v.clone()));
    schema::settings::apply(&client, &own.chain(pinned).collect::<Vec<_>>()).await;
    Ok(client)
}

async fn start_server(binaries: &Binaries, options: &Options) -> Result<Server, Error> {
    let place = schema::Place {
        parent_dir: options.parent_dir.clone(),
        template_dir: options.template_dir.clone(),
        room: ROOM,
    };
    let own = &[("max_connections", "10"), ("wal_level", "minimal")];
    Ok(schema::start_server(binaries, place, own).await?)
}

/// A snapshot that holds nothing but a schema, written as plain DDL.
pub fn ddl_snapshot(ddl: &str, binaries: &Binaries) -> Snapshot {
    let major = i32::try_from(binaries.major).unwrap_or(0);
    Snapshot {
        format_version: FORMAT_VERSION,
        taken_at: Default::default(),
        server: model::snapshot::Server {
            version_num: major * 10_000,
            version: major.to_string(),
            database: DATABASE.into(),
            user: OWNER.into(),
            in_recovery: false,
            started_at: None,
            stats_reset: None,
            encoding: "UTF8".into(),
            // What most servers have.
            collate: "en_US.UTF-8".into(),
            ctype: "en_US.UTF-8".into(),
            database_bytes: model::Bytes(0),
        },
        settings: BTreeMap::new(),
        extensions: Vec::new(),
        available_extensions: Vec::new(),
        schema_sql: ddl.to_owned(),
        relations: Vec::new(),
        indexes: Vec::new(),
        constraints: Vec::new(),
        extended_statistics: Vec::new(),
        schema: model::schema::SchemaFacts::default(),
        statements: Vec::new(),
        statements_info: None,
        notes: Vec::new(),
    }
}
