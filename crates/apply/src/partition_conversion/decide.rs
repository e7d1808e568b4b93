//! Which way suits a table, into which partitions, and what has to be known before? Reads, and changes nothing.

use chrono::Utc;
use model::{KeyKind, LockLevel, Millis, QualifiedName, quote_identifier};
use partitioning::{Bound, Edge, Grid, Part};
use postgres::{Session, Target};
use tokio_postgres::Client;

use super::attachments::{Attachment, Fate, judge};
use super::divide::{self, divided};
use super::failure;
use super::options::{ConversionRequest, DividedBy};
use super::plan::{ConversionPlan, ConversionStep, KEPT, Method, NEW, NewPartition, suffixed};
use super::script;
use super::site::open_session;
use super::state;
use super::subject::{self, Column, Subject};
use crate::catalog;
use crate::error::Error;
use crate::preflight::server_objections;

/// More partitions than this are a mistake in the interval: planning and locking grow with their number.
pub(super) const MOST_PARTITIONS: usize = 2000;

/// Rows per second that one session copies, for the estimate; measured on two cores of 2020.
const COPIED_PER_SECOND: f64 = 150_000.0;
/// Rows per second and index that a build takes in.
const INDEXED_PER_SECOND: f64 = 600_000.0;
/// Rows per second that a check of all rows passes.
const CHECKED_PER_SECOND: f64 = 3_000_000.0;

/// Plans a conversion without writing anything.
///
/// # Errors
/// When the table does not exist, cannot be divided as asked, or the server cannot be asked. What hangs on the table
/// and cannot be carried is no error but part of the plan: [`ConversionPlan::refusals`].
pub async fn plan_conversion(target: &Target, request: &ConversionRequest) -> Result<ConversionPlan, Error> {
    let session = open_session(target, &super::options::ConversionOptions::default()).await?;
    if let Some(open) = state::open(&session, &request.table).await? {
        return Ok(open.plan);
    }
    decide(&session, request).await
}

/// What keeps a table from being rewritten into partitions by a column, from the catalog alone: no row is read.
///
/// # Errors
/// When there is no such table or it cannot be converted at all, or the server cannot be asked.
pub async fn obstacles(
    target: &Target,
    table: &QualifiedName,
    column: &str,
    weaken_unique: bool,
) -> Result<Vec<Attachment>, Error> {
    let session = open_session(target, &super::options::ConversionOptions::default()).await?;
    let missing = || failure::new(format!("table {table} does not exist"), "", "");
    let found = catalog::table_facts(&session, table).await?.ok_or_else(missing)?;
    let subject = subject::read(&session, found.oid).await?.ok_or_else(missing)?;
    check_table(&subject)?;
    if subject.key().is_none() {
        return Err(no_key(table));
    }
    let all = judge(&subject, column, Method::Rewrite, weaken_unique, session.version_num());
    Ok(all.into_iter().filter(|a| matches!(a.fate, Fate::Refused { .. })).collect())
}

/// Reads the table and decides.
pub(crate) async fn decide(session: &Session, request: &ConversionRequest) -> Result<ConversionPlan, Error> {
    let table = &request.table;
    let facts = catalog::session_facts(session).await?;
    if let Some(objection) = server_objections(&facts).into_iter().next() {
        return Err(failure::new(
            objection.message(),
            objection.detail().unwrap_or_default(),
            objection.hint().unwrap_or_default(),
        ));
    }
    let found = catalog::table_facts(session, table).await?;
    let Some(found) = found else {
        return Err(failure::new(
            format!("table {table} does not exist"),
            "",
            "Write it with its schema, and in double quotes where the name needs them.",
        ));
    };
    let subject = subject::read(session, found.oid).await?;
    let Some(subject) = subject else {
        return Err(failure::new(format!("table {table} does not exist"), "", ""));
    };
    check_table(&subject)?;
    let Some(column) = subject.column(&request.column) else {
        let names: Vec<&str> = subject.columns.iter().map(|c| c.name.as_str()).collect();
        return Err(failure::new(
            format!("table {table} has no column {}", quote_identifier(&request.column)),
            format!("It has {}.", names.join(", ")),
            "",
        ));
    };
    if !column.generated.is_empty() {
        return Err(failure::new(
            format!("column {} is generated and cannot be a partition key", quote_identifier(&column.name)),
            "",
            "",
        ));
    }
    let nulls = !column.not_null && has_null(session, &subject, &column.name).await?;
    if nulls && becomes_not_null(request, &subject, column) {
        return Err(failure::new(
            format!("column {} of {table} holds nulls", quote_identifier(&column.name)),
            "A row without a partition key has no partition, and a unique key cannot hold it.",
            "Give those rows a value first.",
        ));
    }
    let division = divided(session, request, &subject, column).await?;
    let grid = Grid::new(&division, &request.time_zone, None).map_err(|e| misfit(table, &e))?;
    let mut notices = Vec::new();
    let (chosen, partitions, history) = match request.by {
        DividedBy::Range(_) => {
            let extent = extent(session, &subject, &grid).await?;
            let infinite =
                request.method != Some(Method::Rewrite) && is_endless(session, &subject, &grid).await?;
            let chosen = choose(request, &subject, &grid, &extent, infinite)?;
            let (partitions, history) = match chosen.method {
                Method::Rewrite => (rewrite_layout(request, table, &grid, &extent, &mut notices)?, None),
                Method::Attach => attach_layout(request, table, &grid, &extent)?,
            };
            (chosen, partitions, history)
        }
        DividedBy::List | DividedBy::Hash(_) => {
            let (chosen, partitions) = divide::layout(request, &subject, &grid, &mut notices)?;
            (chosen, partitions, None)
        }
    };
    let identity = match (subject.key(), chosen.method) {
        (Some(key), _) => {
            let mut columns = key.key_columns();
            if !columns.contains(&column.name) {
                columns.push(column.name.clone());
            }
            columns
        }
        (None, Method::Attach) => Vec::new(),
        (None, Method::Rewrite) => return Err(no_key(table)),
    };
    let strange = identity.iter().filter_map(|c| subject.column(c)).find(|c| !c.equality_is_builtin);
    if let (Some(strange), Method::Rewrite) = (strange, chosen.method) {
        return Err(failure::new(
            format!("rows of {table} cannot be told apart by column {}", quote_identifier(&strange.name)),
            format!(
                "It is part of the key, and its type is {}, whose equality is no operator of PostgreSQL itself.",
                strange.type_name
            ),
            "Use --method attach, or a key of a built-in type.",
        ));
    }
    if becomes_not_null(request, &subject, column) {
        notices.push(format!(
            "Column {} becomes NOT NULL: a partition key that is part of a unique key cannot be null.",
            quote_identifier(&column.name)
        ));
    }
    if !subject.event_triggers.is_empty() {
        notices.push(format!(
            "Event triggers fire for the statements of the conversion too, and one that refuses them stops it where it \
             is: {}.",
            subject.event_triggers.join(", ")
        ));
    }
    let attachments =
        judge(&subject, &column.name, chosen.method, request.weaken_unique, session.version_num());
    let named = |suffix: &str| QualifiedName::new(&table.schema, suffixed(&table.name, suffix));
    let kept = match chosen.method {
        Method::Attach => named("_history"),
        Method::Rewrite => named(KEPT),
    };
    let mut plan = ConversionPlan {
        table: table.clone(),
        shadow: named(NEW),
        kept,
        column: column.name.clone(),
        division,
        method: chosen.method,
        why: chosen.why,
        partitions,
        history,
        identity,
        attachments,
        steps: Vec::new(),
        notices,
        rows_estimate: subject.rows_estimate,
        bytes: subject.bytes,
        version_num: session.version_num(),
        subject,
    };
    divide::without_clashes(&mut plan, &wanted, &request.time_zone)?;
    plan.steps = steps(&plan);
    names_are_free(session, &plan).await?;
    Ok(plan)
}

fn check_table(subject: &Subject) -> Result<(), Error> {
    let table = &subject.table;
    let (message, hint) = if subject.kind == "p" {
        (
            format!("table {table} is partitioned already"),
            "\"pgwright partition adopt\" takes over what is there.",
        )
    } else if subject.kind != "r" {
        (format!("{table} is no table"), "")
    } else if subject.persistence != "p" {
        (format!("table {table} is not logged or temporary"), "ALTER TABLE … SET LOGGED makes it permanent.")
    } else if subject.typed {
        (format!("table {table} is a typed table"), "ALTER TABLE … NOT OF makes it an ordinary one.")
    } else if !subject.is_owner {
        (
            format!("the role does not own table {table}"),
            "Run pgwright with a role that has the owner's privileges.",
        )
    } else if !subject.may_create {
        (format!("the role may not create in the schema of {table}"), "GRANT CREATE ON SCHEMA … TO the role.")
    } else if !subject.may_create_temp {
        ("the role may not create temporary tables".to_owned(), "GRANT TEMPORARY ON DATABASE … TO the role.")
    } else if subject.row_security && !subject.bypasses_row_security {
        (
            format!("row-level security hides rows of {table} from the role"),
            "Run pgwright with a role that has BYPASSRLS.",
        )
    } else {
        return Ok(());
    };
    Err(failure::new(message, "", hint))
}

/// Whether the partition column cannot be null any more: lists and hashes take nulls, a primary key does not.
fn becomes_not_null(request: &ConversionRequest, subject: &Subject, column: &Column) -> bool {
    let takes_null = !matches!(request.by, DividedBy::Range(_)) && subject.takes_null_keys();
    !column.not_null && !takes_null
}

pub(super) fn misfit(table: &QualifiedName, error: &partitioning::Error) -> Error {
    let hint = match error {
        partitioning::Error::TooMany(_) => {
            "Choose a longer interval, or leave old rows to the default partition with --from."
        }
        _ => "",
    };
    failure::new(
        format!("table {table} cannot be divided like that"),
        format!("{}.", capital(&error.to_string())),
        hint,
    )
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

fn no_key(table: &QualifiedName) -> Error {
    failure::new(
        format!("table {table} has no key that tells its rows apart"),
        "Rows that change while they are copied are found again by a primary key, or by a unique index on columns that \
         are NOT NULL.",
        "Add one (CREATE UNIQUE INDEX CONCURRENTLY), or use --method attach, which copies nothing.",
    )
}

/// What a partition column of a built-in type holds.
pub(super) fn kind_of(type_oid: u32) -> Option<KeyKind> {
    Some(match type_oid {
        1184 => KeyKind::TimestampTz,
        1114 => KeyKind::Timestamp,
        1082 => KeyKind::Date,
        21 => KeyKind::SmallInt,
        23 => KeyKind::Integer,
        20 => KeyKind::BigInt,
        2950 => KeyKind::UuidV7,
        _ => return None,
    })
}

/// How far the values of the partition column reach, without infinite ones.
struct Extent {
    min: Option<i64>,
    max: Option<i64>,
    now: Option<i64>,
}

async fn extent(client: &Client, subject: &Subject, grid: &Grid) -> Result<Extent, Error> {
    let division = grid.division();
    let key = quote_identifier(&division.key);
    let finite = match division.kind {
        KeyKind::TimestampTz | KeyKind::Timestamp | KeyKind::Date => format!("pg_catalog.isfinite({key})"),
        _ => format!("{key} is not null"),
    };
    let text = grid.key_text_sql();
    let end = |direction: &str| {
        format!(
            "(select {text} from only {} t where {finite} order by t.{key} {direction} limit 1)",
            subject.table
        )
    };
    let sql = format!(
        "select /* pgwright:conversion_extent */ {} as least, {} as greatest",
        end("asc nulls last"),
        end("desc nulls last")
    );
    let doing = || Error::query("read the smallest and the largest value of the partition column");
    let row = client.query_one(&sql, &[]).await.map_err(doing())?;
    let (min, max): (Option<String>, Option<String>) =
        (row.try_get("least").map_err(doing())?, row.try_get("greatest").map_err(doing())?);
    let parse =
        |text: Option<String>| text.map(|t| grid.key(&t)).transpose().map_err(|e| misfit(&subject.table, &e));
    let now = grid.now(Utc::now().timestamp_micros()).map_err(|e| misfit(&subject.table, &e))?;
    Ok(Extent { min: parse(min)?, max: parse(max)?, now })
}

async fn has_null(client: &Client, subject: &Subject, column: &str) -> Result<bool, Error> {
    let sql = format!(
        "select /* pgwright:conversion_nulls */ exists (select from only {} where {} is null) as found",
        subject.table,
        quote_identifier(column)
    );
    let doing = || Error::query("look for rows without a partition key");
    let row = client.query_one(&sql, &[]).await.map_err(doing())?;
    row.try_get("found").map_err(doing())
}

/// Whether rows lie at the infinite end of the key, which no partition but the default one reaches.
async fn is_endless(client: &Client, subject: &Subject, grid: &Grid) -> Result<bool, Error> {
    let division = grid.division();
    if !matches!(division.kind, KeyKind::TimestampTz | KeyKind::Timestamp | KeyKind::Date) {
        return Ok(false);
    }
    let sql = format!(
        "select /* pgwright:conversion_endless */ exists (select from only {} where {} = 'infinity') as found",
        subject.table,
        quote_identifier(&division.key)
    );
    let doing = || Error::query("look for rows at infinity");
    let row = client.query_one(&sql, &[]).await.map_err(doing())?;
    row.try_get("found").map_err(doing())
}

pub(super) struct Chosen {
    pub method: Method,
    pub why: String,
}

fn choose(
    request: &ConversionRequest,
    subject: &Subject,
    grid: &Grid,
    extent: &Extent,
    infinite: bool,
) -> Result<Chosen, Error> {
    let table = &subject.table;
    // How many partitions the rows would be in, and whether the old table can end soon.
    let misfits = |e: partitioning::Error| misfit(table, &e);
    let cells = match (extent.min, extent.max) {
        (Some(min), Some(max)) => {
            let first = grid.at(min).map_err(misfits)?;
            let last = grid.at(max).map_err(misfits)?;
            first.zip(last).map_or(1, |(first, last)| last.cell - first.cell + 1)
        }
        _ => 0,
    };
    let beyond = |(max, now)| {
        let cell = |key| grid.at(key).ok().flatten().map(|p| p.cell);
        cell(max).zip(cell(now)).is_some_and(|(max, now)| max > now + i64::from(request.premake) + 1)
    };
    let far = infinite || extent.max.zip(extent.now).is_some_and(beyond);
    let has_key = subject.key().is_some();
    let (method, why) = match request.method {
        Some(method) => (method, "It was asked for.".to_owned()),
        None if !has_key && !far => (
            Method::Attach,
            "The table has no key by which rows that change while they are copied could be found.".into(),
        ),
        None if cells <= 2 && !far => (
            Method::Attach,
            format!(
                "All rows belong to {cells} partition(s), so that dividing them would gain nothing: the table becomes one partition as it is."
            ),
        ),
        None => (
            Method::Rewrite,
            format!(
                "The rows belong to {cells} partitions: only when they are copied do statements read fewer of them and can \
                 old ones be dropped."
            ),
        ),
    };
    if method == Method::Attach && far {
        return Err(failure::new(
            format!("table {table} has rows far in the future"),
            "As one partition it would have to reach beyond them, so that new rows would go on to be stored there.",
            "Use --method rewrite, which leaves such rows to the default partition.",
        ));
    }
    Ok(Chosen { method, why })
}

/// The partitions from the first row to some ahead of now, and one for everything else.
fn rewrite_layout(
    request: &ConversionRequest,
    table: &QualifiedName,
    grid: &Grid,
    extent: &Extent,
    notices: &mut Vec<String>,
) -> Result<Vec<NewPartition>, Error> {
    let misfits = |e: partitioning::Error| misfit(table, &e);
    let from = request.from.as_deref().map(|text| grid.key(text)).transpose().map_err(misfits)?;
    let now = extent.now.or(extent.max).unwrap_or(0);
    let first = from.or(extent.min).unwrap_or(now).min(now);
    let mut parts = grid.covering(first, now, MOST_PARTITIONS).map_err(misfits)?;
    ahead(grid, &mut parts, request.premake).map_err(misfits)?;
    let upper = parts.last().and_then(|p| p.bound.range()).map(|(_, upper)| upper);
    if let (Some(max), Some(Edge::At(upper))) = (extent.max, upper)
        && max >= upper
    {
        notices.push("Some rows lie further in the future than partitions are made for; the default partition takes them.".into());
    }
    named(table, grid, &parts, true).map_err(misfits)
}

/// The partitions that follow, as many as asked for.
fn ahead(grid: &Grid, parts: &mut Vec<Part>, count: u32) -> Result<(), partitioning::Error> {
    for _ in 0..count {
        let next = match parts.last() {
            Some(last) => grid.after(last)?,
            None => None,
        };
        match next {
            Some(part) => parts.push(part),
            None => break,
        }
    }
    Ok(())
}

/// The partitions with their names, and one for everything else: hashes leave nothing for it.
pub(super) fn named(
    table: &QualifiedName,
    grid: &Grid,
    parts: &[Part],
    default: bool,
) -> Result<Vec<NewPartition>, partitioning::Error> {
    let mut all = Vec::with_capacity(parts.len() + 1);
    for part in parts {
        all.push(NewPartition { name: grid.name(table, part)?, bound: part.bound.clone() });
    }
    if default {
        let name = QualifiedName::new(&table.schema, suffixed(&table.name, "_default"));
        all.push(NewPartition { name, bound: Bound::Default });
    }
    Ok(all)
}

/// The old table takes all rows up to the beginning of a partition that is not too near.
fn attach_layout(
    request: &ConversionRequest,
    table: &QualifiedName,
    grid: &Grid,
    extent: &Extent,
) -> Result<(Vec<NewPartition>, Option<Bound>), Error> {
    let misfits = |e: partitioning::Error| misfit(table, &e);
    // While the constraint is checked nobody can write beyond the end, so it is not within the next day, nor near the
    // largest number.
    let day = 86_400_000_000;
    let latest = match (extent.now, extent.max) {
        (Some(now), max) => (now + day).max(max.unwrap_or(now)),
        (None, max) => max.unwrap_or(0),
    };
    let mut parts: Vec<Part> = grid.at(latest).map_err(misfits)?.into_iter().collect();
    if extent.now.is_none() {
        ahead(grid, &mut parts, 1).map_err(misfits)?;
    }
    let Some((_, upper)) = parts.last().and_then(|p| p.bound.range()) else {
        return Err(failure::new(format!("table {table} cannot be divided by ranges"), "", ""));
    };
    let skip = parts.len();
    ahead(grid, &mut parts, request.premake.max(1)).map_err(misfits)?;
    let partitions = named(table, grid, &parts[skip..], true).map_err(misfits)?;
    Ok((partitions, Some(Bound::Range { lower: Edge::Min, upper })))
}

/// What the relations are called that the conversion makes or renames.
fn wanted(plan: &ConversionPlan) -> Vec<QualifiedName> {
    let schema = &plan.table.schema;
    // The old table's type is renamed with it, and out of the way of another of the same name.
    let mut relations = vec![plan.shadow.clone(), plan.kept.clone()];
    relations.extend(plan.partitions.iter().map(|p| p.name.clone()));
    for (position, index) in plan.subject.indexes.iter().enumerate() {
        relations.extend([plan.new_index(index), plan.kept_index(index)]);
        let of_partition = |p: &NewPartition| plan.partition_index(&p.name, position, index);
        relations.extend(plan.partitions.iter().map(|p| QualifiedName::new(schema, of_partition(p))));
    }
    let beside = |name: &QualifiedName| [NEW, KEPT].map(|s| plan.beside(&name.schema, &name.name, s));
    let identities = plan.subject.sequences.iter().filter(|s| s.identity);
    relations.extend(identities.flat_map(|s| beside(&s.name)));
    relations
}

/// The names that the conversion needs must not be in use: by relations, by types (each table has one of its name),
/// or by statistics objects.
async fn names_are_free(client: &Client, plan: &ConversionPlan) -> Result<(), Error> {
    let schema = &plan.table.schema;
    let relations = wanted(plan);
    let mut tables: Vec<QualifiedName> = vec![plan.shadow.clone()];
    tables.extend(plan.partitions.iter().map(|p| p.name.clone()));
    let beside = |name: &QualifiedName| [NEW, KEPT].map(|s| plan.beside(&name.schema, &name.name, s));
    let statistics: Vec<QualifiedName> =
        plan.subject.statistics.iter().flat_map(|s| beside(&s.name)).collect();
    let schemas = |names: &[QualifiedName]| names.iter().map(|n| n.schema.clone()).collect::<Vec<_>>();
    let bare = |names: &[QualifiedName]| names.iter().map(|n| n.name.clone()).collect::<Vec<_>>();
    let doing = || Error::query("look for names in use");
    let rows = client
        .query(
            include_str!("../../queries/conversion_names.sql"),
            &[
                &schemas(&relations),
                &bare(&relations),
                &schemas(&tables),
                &bare(&tables),
                &schemas(&statistics),
                &bare(&statistics),
            ],
        )
        .await
        .map_err(doing())?;
    let taken: Vec<String> =
        rows.iter().map(|r| r.try_get::<_, String>("name")).collect::<Result<_, _>>().map_err(doing())?;
    if taken.is_empty() {
        return Ok(());
    }
    Err(failure::new(
        format!("names that the conversion of {} needs are taken", plan.table),
        format!("In schema {}: {}.", quote_identifier(schema), taken.join(", ")),
        "Rename or drop what bears them.",
    ))
}

/// The steps as they are shown.
fn steps(plan: &ConversionPlan) -> Vec<ConversionStep> {
    let rows = plan.rows_estimate as f64;
    let table = &plan.table;
    let indexes = plan.subject.indexes.len() as f64;
    let brief = "Writers wait for the lock and the work under it, together no longer than --max-lock.";
    let mut steps = Vec::new();
    let mut step = |title: &str, sql: Vec<String>, lock: LockLevel, detail: &str, seconds: Option<f64>| {
        let expected = seconds.map(|s| Millis(s * 1000.0));
        steps.push(ConversionStep { title: title.into(), sql, lock, lock_detail: detail.into(), expected });
    };
    let nullable = plan.becomes_not_null();
    let check = super::not_null::condition(plan);
    if let Some(check) = &check {
        step(
            "promise where the rows lie",
            vec![format!("ALTER TABLE {table} ADD CONSTRAINT pgwright_conversion CHECK ({check}) NOT VALID")],
            LockLevel::AccessExclusive,
            brief,
            None,
        );
        step(
            "check that they do",
            vec![format!("ALTER TABLE {table} VALIDATE CONSTRAINT pgwright_conversion")],
            LockLevel::ShareUpdateExclusive,
            "Nobody waits.",
            Some(rows / CHECKED_PER_SECOND),
        );
    }
    if nullable {
        step(
            "make the partition column NOT NULL",
            vec![format!("ALTER TABLE {table} ALTER COLUMN {} SET NOT NULL", quote_identifier(&plan.column))],
            LockLevel::AccessExclusive,
            brief,
            None,
        );
    }
    let shadow = script::shadow(plan).into_iter().filter(|s| s.starts_with("CREATE TABLE")).collect();
    step(
        "make the partitioned table under another name",
        shadow,
        LockLevel::AccessShare,
        "Nobody waits.",
        None,
    );
    match plan.method {
        Method::Attach => {
            for index in super::attach::wider(plan) {
                step(
                    "build a key with the partition column",
                    vec![super::attach::build_wider(plan, index)],
                    LockLevel::ShareUpdateExclusive,
                    "Nobody waits.",
                    Some(rows / INDEXED_PER_SECOND),
                );
            }
        }
        Method::Rewrite => {
            step(
                "write down what changes, by triggers",
                vec![format!(
                    "CREATE TRIGGER pgwright_capture AFTER INSERT OR UPDATE OR DELETE ON {table} …"
                )],
                LockLevel::ShareRowExclusive,
                brief,
                None,
            );
            step(
                "copy the rows, several ranges of pages at once",
                vec![format!(
                    "INSERT INTO {} SELECT … FROM ONLY {table} WHERE ctid >= … AND ctid < …",
                    plan.shadow
                )],
                LockLevel::AccessShare,
                "Nobody waits.",
                Some(rows / COPIED_PER_SECOND / 2.0),
            );
            step(
                "build the indexes of each partition",
                script::parent_indexes(plan),
                LockLevel::AccessShare,
                "Nobody waits.",
                Some(rows * indexes / INDEXED_PER_SECOND / 2.0),
            );
            step(
                "carry over what changed meanwhile, and compare both tables",
                Vec::new(),
                LockLevel::AccessShare,
                "Nobody waits.",
                Some(rows / CHECKED_PER_SECOND),
            );
        }
    }
    let mut swap = script::exchange(plan);
    swap.extend(script::hang_on(plan));
    swap.extend(script::reference_again(plan));
    step("put the partitioned table in the old one's place", swap, LockLevel::AccessExclusive, brief, None);
    let mut after = script::validate_references(plan);
    if plan.method == Method::Rewrite {
        after.extend(plan.subject.foreign_keys.iter().map(|k| script::add_foreign_key(table, k, true)));
    }
    if !after.is_empty() {
        step(
            "validate foreign keys",
            after,
            LockLevel::ShareUpdateExclusive,
            "Nobody waits but for the moment in which a key is added to the whole.",
            Some(rows / CHECKED_PER_SECOND),
        );
    }
    steps
}
