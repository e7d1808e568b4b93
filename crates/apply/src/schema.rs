//! Where does pgwright keep what it knows? In schema `pgwright` of the database itself, made on the
//! first write and never by a command that only reads.
//!
//! Each file in `migrations/` takes the schema from one version to the next, in one transaction
//! with the row that records it. An older program refuses a newer schema.

use tokio_postgres::Client;

use crate::error::Error;

/// The migrations, the first making version 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/1.sql"),
    include_str!("../migrations/2.sql"),
    include_str!("../migrations/3.sql"),
    include_str!("../migrations/4.sql"),
    include_str!("../migrations/5.sql"),
];

/// The version that this program writes.
pub const SCHEMA_VERSION: i32 = MIGRATIONS.len() as i32;

/// The first of the two keys of pgwright's advisory locks: "pgwr" in ASCII.
pub(crate) const LOCK_CLASS: i32 = 0x7067_7772;
/// The second key of the lock that keeps two migrations apart.
const MIGRATION_LOCK: i32 = 2;

/// What there is of schema `pgwright`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// No schema, or an empty one that somebody prepared.
    Absent,
    /// The schema at a version.
    Version(i32),
}

/// Looks whether the schema is there.
pub(crate) async fn presence(client: &Client) -> Result<Presence, Error> {
    let read = || Error::query("read the version of schema pgwright");
    let row = client
        .query_one(
            "select /* pgwright:schema_presence */ \
               pg_catalog.to_regclass('pgwright.schema_version') is not null as versioned, \
               exists (select from pg_catalog.pg_class c \
                       join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
                       where n.nspname = 'pgwright') as occupied",
            &[],
        )
        .await
        .map_err(read())?;
    if !row.try_get::<_, bool>("versioned").map_err(read())? {
        return match row.try_get::<_, bool>("occupied").map_err(read())? {
            true => Err(Error::ForeignSchema),
            false => Ok(Presence::Absent),
        };
    }
    let row = client
        .query_one(
            "select /* pgwright:schema_version */ coalesce(pg_catalog.max(version), 0) as version \
             from pgwright.schema_version",
            &[],
        )
        .await
        .map_err(read())?;
    let found: i32 = row.try_get("version").map_err(read())?;
    if found > SCHEMA_VERSION {
        return Err(Error::SchemaTooNew { found, known: SCHEMA_VERSION });
    }
    Ok(Presence::Version(found))
}

/// Makes the schema, or brings it to this program's version.
///
/// # Errors
/// [`Error::SchemaTooNew`] and [`Error::ForeignSchema`], or what the server says.
pub(crate) async fn ensure(client: &Client) -> Result<(), Error> {
    if presence(client).await? == Presence::Version(SCHEMA_VERSION) {
        return Ok(());
    }
    let made = Error::query("create or update schema pgwright");
    client.batch_execute("begin /* pgwright:migrate_begin */").await.map_err(made)?;
    let result = migrate(client).await;
    let end = if result.is_ok() { "commit /* pgwright:migrate_end */" } else { "rollback" };
    let ended = client.batch_execute(end).await.map_err(Error::query("create or update schema pgwright"));
    result.and(ended)
}

async fn migrate(client: &Client) -> Result<(), Error> {
    let doing = || Error::query("create or update schema pgwright");
    client
        .execute(
            "select /* pgwright:migrate_lock */ pg_catalog.pg_advisory_xact_lock($1, $2)",
            &[&LOCK_CLASS, &MIGRATION_LOCK],
        )
        .await
        .map_err(doing())?;
    // Asked again under the lock: another session may have done it meanwhile.
    let from = match presence(client).await? {
        Presence::Absent => {
            // A role that may not create schemas can be given one, and then must not try.
            let prepared = client
                .query_one(
                    "select /* pgwright:schema_exists */ exists (select from pg_catalog.pg_namespace \
                     where nspname = 'pgwright') as prepared",
                    &[],
                )
                .await
                .and_then(|row| row.try_get::<_, bool>("prepared"))
                .map_err(doing())?;
            if !prepared {
                client
                    .batch_execute("create /* pgwright:create_schema */ schema pgwright")
                    .await
                    .map_err(doing())?;
            }
            0
        }
        Presence::Version(version) => version,
    };
    for (version, sql) in (1_i32..).zip(MIGRATIONS) {
        if version <= from {
            continue;
        }
        client.batch_execute(sql).await.map_err(doing())?;
        client
            .execute(
                "insert /* pgwright:record_version */ into pgwright.schema_version (version) values ($1)",
                &[&version],
            )
            .await
            .map_err(doing())?;
    }
    Ok(())
}

/// Removes the schema and everything that pgwright put there. What others put there stays, and then
/// so does the schema.
pub(crate) async fn drop_schema(client: &Client) -> Result<bool, Error> {
    let doing = || Error::query("drop schema pgwright");
    if presence(client).await? == Presence::Absent {
        return Ok(false);
    }
    client.batch_execute("begin /* pgwright:purge_begin */").await.map_err(doing())?;
    let dropped = client
        .batch_execute(
            "drop /* pgwright:purge */ view pgwright.applied; \
             drop /* pgwright:purge */ table if exists pgwright.measured_index; \
             drop /* pgwright:purge */ table if exists pgwright.conversion_history, pgwright.conversion_task, \
               pgwright.conversion; \
             drop /* pgwright:purge */ table if exists \
               pgwright.history_interval_raw, pgwright.history_interval_minute, pgwright.history_interval_hour, \
               pgwright.history_interval_day, pgwright.history_statement_raw, pgwright.history_statement_minute, \
               pgwright.history_statement_hour, pgwright.history_statement_day, pgwright.history_wait_raw, \
               pgwright.history_wait_minute, pgwright.history_wait_hour, pgwright.history_wait_day, \
               pgwright.history_value_raw, pgwright.history_value_minute, pgwright.history_value_hour, \
               pgwright.history_value_day, pgwright.history_series_counter, pgwright.history_counter, \
               pgwright.history_series, pgwright.history_event, pgwright.history_text, pgwright.history_statement, \
               pgwright.history_plan_day, pgwright.history_plan, \
               pgwright.history_level, pgwright.history_source; \
             drop /* pgwright:purge */ table pgwright.baseline_index, pgwright.baseline_plan, pgwright.baseline_statement, \
               pgwright.baseline, pgwright.journal_step, pgwright.journal, pgwright.schema_version; \
             drop /* pgwright:purge */ schema pgwright restrict;",
        )
        .await;
    match dropped {
        Ok(()) => {
            client.batch_execute("commit /* pgwright:purge_end */").await.map_err(doing())?;
            Ok(true)
        }
        Err(error) => {
            client.batch_execute("rollback").await.map_err(doing())?;
            Err(doing()(error))
        }
    }
}
