//! How is a database read once, as one value?
//!
//! Catalog and statistics come from one REPEATABLE READ READ ONLY transaction in a fixed number of
//! set-based queries, whatever the number of tables; the schema comes from `pg_dump` meanwhile;
//! statement counters, which know no transactions, come beside.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use model::Snapshot;
use model::schema::SchemaFacts;
use model::snapshot::{
    Column, ColumnStatistics, Constraint, ExtendedStatistics, Extension, FORMAT_VERSION, Index, Relation,
    Server, Setting, StatementsInfo,
};

use crate::catalog::{
    AccessRow, AvailableExtensionRow, ColumnRow, ConstraintRow, ExtendedStatisticsRow, ExtensionRow,
    IndexRow, RelationRow, ServerRow, SettingRow, schema_facts,
};
use crate::catalog_query::{CatalogRow, read as read_catalog};
use crate::error::Error;
use crate::schema_dump::{self, DumpRequest};
use crate::session::{PINNED, Session};
use crate::statistics::{
    ColumnStatisticsRow, ExtendedStatisticsDataRow, ExtendedStatisticsExpressionRow, extended_statistics,
    statements,
};
use crate::target::Target;

/// What a snapshot needs besides a session.
#[derive(Clone, Debug)]
pub struct SnapshotOptions {
    /// The program `pg_dump`, not older than the server.
    pub pg_dump: PathBuf,
    /// How long `pg_dump` and the sizes of relations may wait for a lock on a table.
    pub lock_timeout: Duration,
}

impl SnapshotOptions {
    /// Options with a lock time-out of ten seconds.
    pub fn new(pg_dump: impl Into<PathBuf>) -> Self {
        Self { pg_dump: pg_dump.into(), lock_timeout: Duration::from_secs(10) }
    }
}

/// Reads the snapshot of the session's database. `target` is where `pg_dump` connects; of several
/// hosts it is given the one that the session reached.
///
/// # Errors
/// Those of the queries and of `pg_dump`. That `pg_stat_statements` cannot be read is not an error
/// but a note in the snapshot.
pub async fn read(session: &Session, target: &Target, options: &SnapshotOptions) -> Result<Snapshot, Error> {
    let access = first::<AccessRow>(read_catalog(session, session.version_num(), &[]).await?)?;
    // Before pg_dump runs, so that its queries are not taken for the user's.
    let statements = statements::read_with_hidden(session).await;
    let target = match session.target().endpoints.first() {
        Some(endpoint) => target.narrowed_to(endpoint),
        None => target.clone(),
    };
    let request = DumpRequest {
        program: &options.pg_dump,
        target: &target,
        server_version_num: session.version_num(),
        lock_wait_timeout: options.lock_timeout,
        untracked: access.superuser && !session.behind_pooler(),
    };
    let (schema_sql, rows) =
        tokio::try_join!(schema_dump::dump(&request), read_consistently(session, options.lock_timeout))?;
    assemble(&access, schema_sql, rows, statements)
}

/// The note of a snapshot without a schema.
pub const NOT_DUMPED: &str = "The schema was not dumped, so nothing can be planned with this snapshot.";

/// Reads the snapshot without running `pg_dump`: `schema_sql` is empty, and a note says so. Enough to
/// profile, not to plan with.
///
/// # Errors
/// Those of the queries.
pub async fn read_without_schema(session: &Session, lock_timeout: Duration) -> Result<Snapshot, Error> {
    let access = first::<AccessRow>(read_catalog(session, session.version_num(), &[]).await?)?;
    let statements = statements::read_with_hidden(session).await;
    let rows = read_consistently(session, lock_timeout).await?;
    let mut snapshot = assemble(&access, String::new(), rows, statements)?;
    snapshot.notes.push(NOT_DUMPED.into());
    Ok(snapshot)
}

/// Reads relations, indexes and their statistics alone: neither schema nor statements, for who does nothing but
/// estimate sizes.
///
/// # Errors
/// Those of the queries.
pub async fn read_relations(session: &Session, lock_timeout: Duration) -> Result<Snapshot, Error> {
    let access = first::<AccessRow>(read_catalog(session, session.version_num(), &[]).await?)?;
    let rows = read_consistently(session, lock_timeout).await?;
    let (name, database) = ("pg_stat_statements".into(), session.target().database().to_owned());
    let not_read = Err(Error::ExtensionMissing { name, database });
    assemble(&access, String::new(), rows, not_read)
}

fn assemble(
    access: &AccessRow,
    schema_sql: String,
    rows: Rows,
    statements: Result<statements::Reading, Error>,
) -> Result<Snapshot, Error> {
    let mut notes = rows.notes(access);
    let mut search_paths = Vec::new();
    let (statements, statements_info) = match statements {
        Ok(reading) => {
            notes.extend(statement_notes(&reading.info, reading.hidden));
            search_paths = reading.search_paths;
            (reading.statements, Some(reading.info))
        }
        Err(
            error @ (Error::ExtensionMissing { .. }
            | Error::NotPreloaded { .. }
            | Error::PrivilegeDenied { .. }
            | Error::UnsupportedVersion { .. }),
        ) => {
            let hint = error.hint().unwrap_or_default();
            notes.push(format!("Statements were not read: {error}. {hint}").trim_end().to_owned());
            (Vec::new(), None)
        }
        Err(error) => return Err(error),
    };
    let block_size = rows.block_size();
    let mut settings: BTreeMap<String, Setting> = rows.settings.into_iter().map(Into::into).collect();
    // The statements mean what they mean to the roles that ran them, not to the role that reads them.
    if let Some(path) = settings.get_mut("search_path") {
        let joined = statements::joined_search_path(&search_paths, &path.setting);
        if !joined.is_empty() {
            path.setting = joined;
        }
    }
    // pg_settings spells some names with capitals; SET does not care.
    let known = |name: &str| settings.keys().any(|known| known.eq_ignore_ascii_case(name));
    let schema_sql = schema_dump::without_unknown_settings(&schema_sql, known);
    let mut statistics = StatisticsByColumn::new(rows.statistics);
    let mut columns: HashMap<u32, Vec<Column>> = HashMap::new();
    for row in rows.columns {
        let table_oid = row.table_oid;
        let mut column = Column::from(row);
        column.statistics = statistics.take(table_oid, column.attnum, false);
        column.inherited_statistics = statistics.take(table_oid, column.attnum, true);
        columns.entry(table_oid).or_default().push(column);
    }
    let relations = rows
        .relations
        .into_iter()
        .map(|row| {
            let mut relation = row.into_relation(block_size);
            relation.columns = columns.remove(&relation.oid).unwrap_or_default();
            relation
        })
        .collect::<Vec<Relation>>();
    let indexes = rows
        .indexes
        .into_iter()
        .map(|row| {
            let mut index = row.into_index(block_size)?;
            index.expression_statistics = statistics.take_all(index.oid);
            Ok(index)
        })
        .collect::<Result<Vec<Index>, Error>>()?;
    let mut extended: Vec<ExtendedStatistics> =
        rows.extended.into_iter().map(ExtendedStatistics::from).collect();
    extended_statistics::fill(&mut extended, rows.extended_data, rows.extended_expressions);
    Ok(Snapshot {
        format_version: FORMAT_VERSION,
        taken_at: rows.server.taken_at,
        server: Server::from(rows.server),
        settings,
        extensions: rows.extensions.into_iter().map(Extension::from).collect(),
        available_extensions: rows.available_extensions.into_iter().map(|row| row.name).collect(),
        schema_sql,
        relations,
        indexes,
        constraints: rows.constraints.into_iter().map(Constraint::from).collect(),
        extended_statistics: extended,
        schema: rows.schema,
        statements,
        statements_info,
        notes,
    })
}

/// Everything that one transaction sees.
struct Rows {
    server: ServerRow,
    settings: Vec<SettingRow>,
    extensions: Vec<ExtensionRow>,
    available_extensions: Vec<AvailableExtensionRow>,
    relations: Vec<RelationRow>,
    columns: Vec<ColumnRow>,
    statistics: Vec<ColumnStatisticsRow>,
    indexes: Vec<IndexRow>,
    constraints: Vec<ConstraintRow>,
    extended: Vec<ExtendedStatisticsRow>,
    extended_data: Vec<ExtendedStatisticsDataRow>,
    extended_expressions: Vec<ExtendedStatisticsExpressionRow>,
    schema: SchemaFacts,
}

/// `cache lookup failed`: a function such as `pg_get_indexdef()` looks at the catalog of this moment
/// and not of the transaction, and the object has just been dropped.
const INTERNAL_ERROR: &str = "XX000";
/// The same for functions that say so properly.
const UNDEFINED_OBJECTS: [&str; 2] = ["42P01", "42704"];

/// Concurrent DDL may pull an object away between the scan of a catalog and a function's look at it.
const ATTEMPTS: usize = 4;

async fn read_consistently(session: &Session, lock_timeout: Duration) -> Result<Rows, Error> {
    for _ in 1..ATTEMPTS {
        match read_in_transaction(session, lock_timeout).await {
            Err(Error::Query { name, sqlstate, message, .. })
                if sqlstate == INTERNAL_ERROR || UNDEFINED_OBJECTS.contains(&sqlstate.as_str()) =>
            {
                tracing::debug!("query \"{name}\" met concurrent DDL, reading again: {message}");
            }
            other => return other,
        }
    }
    read_in_transaction(session, lock_timeout).await
}

async fn read_in_transaction(session: &Session, lock_timeout: Duration) -> Result<Rows, Error> {
    let statement = |sql: String| async move {
        session.batch_execute(&sql).await.map_err(|error| Error::from_query("snapshot", &error))
    };
    // Behind a pooler the session's own settings could not be made, so the transaction makes them;
    // elsewhere this changes nothing but the lock time-out.
    let mut locals = vec![("lock_timeout", format!("{}ms", lock_timeout.as_millis().max(1)))];
    locals.push(("search_path", "pg_catalog".into()));
    locals.extend(PINNED.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let settings: Vec<String> = locals
        .iter()
        .map(|(name, value)| {
            let (name, value) = (model::quote_literal(name), model::quote_literal(value));
            format!("pg_catalog.set_config({name}, {value}, true)")
        })
        .collect();
    statement("BEGIN /* pgwright:snapshot */ ISOLATION LEVEL REPEATABLE READ READ ONLY".into()).await?;
    statement(format!("SELECT /* pgwright:snapshot */ {}", settings.join(", "))).await?;
    let rows = read_rows(session).await;
    // Whether it went well or not, nothing may be left open; there is nothing to commit.
    let end = statement("ROLLBACK /* pgwright:snapshot */".into()).await;
    let rows = rows?;
    end?;
    Ok(rows)
}

async fn read_rows(session: &Session) -> Result<Rows, Error> {
    async fn all<R: CatalogRow>(session: &Session) -> Result<Vec<R>, Error> {
        read_catalog(session, session.version_num(), &[]).await
    }
    // The queries travel together and run one after the other.
    let (
        server,
        settings,
        extensions,
        available_extensions,
        relations,
        columns,
        statistics,
        indexes,
        constraints,
        extended,
        extended_data,
        extended_expressions,
        schema,
    ) = tokio::try_join!(
        all::<ServerRow>(session),
        all::<SettingRow>(session),
        all::<ExtensionRow>(session),
        all::<AvailableExtensionRow>(session),
        all::<RelationRow>(session),
        all::<ColumnRow>(session),
        all::<ColumnStatisticsRow>(session),
        all::<IndexRow>(session),
        all::<ConstraintRow>(session),
        all::<ExtendedStatisticsRow>(session),
        all::<ExtendedStatisticsDataRow>(session),
        all::<ExtendedStatisticsExpressionRow>(session),
        schema_facts(session),
    )?;
    Ok(Rows {
        server: first(server)?,
        settings,
        extensions,
        available_extensions,
        relations,
        columns,
        statistics,
        indexes,
        constraints,
        extended,
        extended_data,
        extended_expressions,
        schema,
    })
}

fn first<R: CatalogRow>(rows: Vec<R>) -> Result<R, Error> {
    rows.into_iter().next().ok_or_else(|| Error::Decode {
        query: R::QUERY.name.into(),
        column: R::QUERY.columns.first().map_or("", |c| c.name).into(),
        reason: "the query returned no row".into(),
    })
}

impl Rows {
    fn block_size(&self) -> i64 {
        let setting = self.settings.iter().find(|s| s.name == "block_size");
        setting.and_then(|s| s.setting.as_deref()?.parse().ok()).filter(|b| *b > 0).unwrap_or(8192)
    }

    fn notes(&self, access: &AccessRow) -> Vec<String> {
        let mut notes = Vec::new();
        if !access.superuser && !access.pg_read_all_data {
            let analyzed: std::collections::HashSet<u32> =
                self.statistics.iter().map(|s| s.table_oid).collect();
            let blind =
                self.relations.iter().filter(|r| r.reltuples > 0.0 && !analyzed.contains(&r.oid)).count();
            if blind > 0 {
                notes.push(format!(
                    "Column statistics of {blind} relations could not be read: role {} may not read the \
                     relations. GRANT pg_read_all_data TO the role shows them.",
                    model::quote_identifier(&access.user)
                ));
            }
        }
        notes
    }
}

fn statement_notes(info: &StatementsInfo, hidden: i64) -> Vec<String> {
    let mut notes = Vec::new();
    if hidden > 0 {
        notes.push(format!(
            "{hidden} statements of other roles are hidden. GRANT pg_read_all_stats TO the role shows them."
        ));
    }
    if info.dealloc > 0 {
        notes.push(format!(
            "pg_stat_statements has thrown out entries {} times since its last reset because \
             pg_stat_statements.max ({}) was reached; rare statements are missing.",
            info.dealloc, info.max
        ));
    }
    notes
}

/// Statistics waiting for their columns.
struct StatisticsByColumn(HashMap<u32, BTreeMap<(i16, bool), ColumnStatistics>>);

impl StatisticsByColumn {
    fn new(rows: Vec<ColumnStatisticsRow>) -> Self {
        let mut by_table: HashMap<u32, BTreeMap<(i16, bool), ColumnStatistics>> = HashMap::new();
        for row in rows {
            let key = (row.attnum, row.inherited);
            by_table.entry(row.table_oid).or_default().insert(key, row.into());
        }
        Self(by_table)
    }

    fn take(&mut self, table_oid: u32, attnum: i16, inherited: bool) -> Option<ColumnStatistics> {
        self.0.get_mut(&table_oid)?.remove(&(attnum, inherited))
    }

    /// Those of an index; an index has no children, so none is inherited.
    fn take_all(&mut self, index_oid: u32) -> BTreeMap<i16, ColumnStatistics> {
        let columns = self.0.remove(&index_oid).unwrap_or_default();
        columns.into_iter().map(|((attnum, _), statistics)| (attnum, statistics)).collect()
    }
}
