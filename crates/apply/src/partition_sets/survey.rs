//! What is there, and what is to be done? Reads only.

use std::collections::BTreeSet;

use model::partition_set::{Interval, PartitionSet};
use model::partition_tree::PartitionTable;
use model::{Change, QualifiedName, quote_identifier};
use partitioning::planning::{NewPartition, Seen, SetPlan, Step, plan};
use partitioning::settings::SetSettings;
use partitioning::{Grid, Key, Trees, typed_literal};
use postgres::Session;
use serde::Serialize;
use tokio_postgres::Client;

use crate::action::{Action, ArchivePlace, SetChange};
use crate::error::Error;
use crate::partition_archive::stem;
use crate::partition_sets::{LARGE_BYTES, UnreadDefault};
use crate::plan::PlannedStep;

/// All sets of a database and what is to be done for them.
#[derive(Debug, Serialize)]
pub struct Survey {
    /// One per set, in the order of the settings.
    pub sets: Vec<Surveyed>,
}

/// One set.
#[derive(Debug, Serialize)]
pub struct Surveyed {
    /// The parent as it was written.
    pub table: String,
    /// The set; `None` when it could not be understood.
    pub set: Option<PartitionSet>,
    /// The statements, in order.
    pub steps: Vec<PlannedStep>,
    /// What to know, in sentences.
    pub notices: Vec<String>,
    /// Why nothing can be done for it, in a sentence.
    pub problem: Option<String>,
}

/// How many intervals with rows in DEFAULT are looked for.
const CELLS: usize = 100;

/// Looks at sets. Sets that cannot be understood are told of and do not keep the others from being looked at.
///
/// # Errors
/// When the server cannot be asked.
pub async fn survey(session: &Session, settings: &[SetSettings]) -> Result<Survey, Error> {
    let version = session.version_num();
    let trees = Trees::new(postgres::catalog::partition_tables(session, version).await?);
    let (now_micros, _) = postgres::catalog::clock(session, version).await?;
    let mut surveyed = Vec::new();
    let uncounted = uncounted(session, &trees, settings).await?;
    for setting in settings {
        let mut looked = look(session, &trees, setting, now_micros).await?;
        if let (Some(set), Some((parent, seen, planned))) = (&looked.0.set, &mut looked.1)
            && uncounted.contains(&parent.oid)
        {
            seen.holds_uncounted_rows = true;
            *planned = plan(set, &trees, parent, seen).unwrap_or(planned.clone());
        }
        surveyed.push(looked);
    }
    // Names that are taken by others, asked for all sets at once.
    let (mut schemas, mut names) = (Vec::new(), Vec::new());
    for (_, planned) in &surveyed {
        for step in planned.iter().flat_map(|(_, _, plan)| &plan.steps) {
            if let Step::Create(new) = step {
                for name in std::iter::once(&new.name).chain(new.parts.iter().map(|(name, _)| name)) {
                    schemas.push(name.schema.clone());
                    names.push(name.name.clone());
                }
            }
        }
    }
    let taken =
        if names.is_empty() { BTreeSet::new() } else { taken_names(session, &schemas, &names).await? };
    let mut sets = Vec::new();
    for (mut surveyed, planned) in surveyed {
        if let (Some(set), Some((parent, mut seen, mut planned))) = (surveyed.set.clone(), planned) {
            let of_schema = |name: &&QualifiedName| name.schema == set.parent.schema;
            seen.taken = taken.iter().filter(of_schema).map(|name| name.name.clone()).collect();
            if !seen.taken.is_empty() {
                planned = plan(&set, &trees, parent, &seen).unwrap_or(planned);
            }
            surveyed.notices.extend(planned.notices.clone());
            let planned = (planned, now_micros);
            finish(session, &trees, parent, &set, planned, &mut surveyed).await?;
        }
        sets.push(surveyed);
    }
    Ok(Survey { sets })
}

/// The parents without statistics of which no partition was ever analyzed, although one is not empty: autovacuum never
/// comes to those that are only written to before it counts, and never to a parent.
async fn uncounted(client: &Client, trees: &Trees, settings: &[SetSettings]) -> Result<BTreeSet<u32>, Error> {
    let (mut parents, mut leaves) = (Vec::new(), Vec::new());
    for parent in settings.iter().filter_map(|s| trees.find(&s.table_name().ok()?)) {
        let below = trees.leaves(parent);
        if parent.has_statistics || below.iter().any(|t| t.rows.is_some_and(|rows| rows > 0.0)) {
            continue;
        }
        for leaf in below.iter().filter(|t| t.rows.is_none() && t.relkind == 'r') {
            parents.push(parent.oid);
            leaves.push(leaf.oid);
        }
    }
    if leaves.is_empty() {
        return Ok(BTreeSet::new());
    }
    let doing = || Error::query("look which partitions hold rows");
    let rows = client
        .query(include_str!("../../queries/uncounted_partitions.sql"), &[&parents, &leaves])
        .await
        .map_err(doing())?;
    rows.iter().map(|row| row.try_get(0)).collect::<Result<_, tokio_postgres::Error>>().map_err(doing())
}

pub(super) type Planned<'a> = Option<(&'a PartitionTable, Seen, SetPlan)>;

pub(super) async fn look<'a>(
    session: &Session,
    trees: &'a Trees,
    settings: &SetSettings,
    now_micros: i64,
) -> Result<(Surveyed, Planned<'a>), Error> {
    let mut surveyed = Surveyed {
        table: settings.table.clone(),
        set: None,
        steps: Vec::new(),
        notices: Vec::new(),
        problem: None,
    };
    let found = settings.table_name().and_then(|name| {
        let parent = trees.find(&name).ok_or_else(|| format!("there is no partitioned table {name}"))?;
        let set = settings.resolve(parent)?;
        let grid =
            Grid::new(&set.division, &set.time_zone, set.naming.as_deref()).map_err(|e| e.to_string())?;
        Ok((parent, set, grid))
    });
    let (parent, set, grid) = match found {
        Ok(found) => found,
        Err(reason) => {
            surveyed.problem = Some(reason);
            return Ok((surveyed, None));
        }
    };
    if !parent.is_owner {
        surveyed.problem = Some(format!("{} belongs to role \"{}\"", parent.name, parent.owner));
        return Ok((surveyed, None));
    }
    let mut seen = Seen { now_micros, ..Seen::default() };
    if let Some(default) = trees.default_of(parent)
        && (default.default_bytes.is_some_and(|bytes| bytes > 0) || default.relkind != 'r')
    {
        seen.default_has_rows = true;
        look_into_default(session, &grid, default, &mut seen).await?;
    }
    if set.division.kind.is_number() {
        seen.max_key = max_key(session, trees, parent, &grid).await?;
        // Numbers that have outrun the partitions are in DEFAULT. One far away from all others is a stray.
        for key in seen.default_keys.clone() {
            let from = seen.max_key.unwrap_or(key);
            if key > from && grid.covering(from, key, CELLS).is_err() {
                break;
            }
            seen.max_key = seen.max_key.max(Some(key));
        }
    }
    match plan(&set, trees, parent, &seen) {
        Ok(planned) => {
            surveyed.set = Some(set);
            Ok((surveyed, Some((parent, seen, planned))))
        }
        Err(error) => {
            surveyed.problem = Some(error.to_string());
            Ok((surveyed, None))
        }
    }
}

/// The largest number of a key: in the highest partition that has a row.
async fn max_key(
    client: &Client,
    trees: &Trees,
    parent: &PartitionTable,
    grid: &Grid,
) -> Result<Option<Key>, Error> {
    let kind = grid.division().kind;
    let mut children: Vec<_> =
        trees.children(parent).filter_map(|c| Some((c.bound(kind)?.range()?, c.table))).collect();
    children.sort_by_key(|(range, _)| std::cmp::Reverse(*range));
    for (_, table) in children {
        if let Some(key) = first_key(client, grid, &table.name, false, None, true).await? {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// The smallest (or largest) key of a table, from a key on.
async fn first_key(
    client: &Client,
    grid: &Grid,
    table: &QualifiedName,
    only: bool,
    from: Option<Key>,
    descending: bool,
) -> Result<Option<Key>, Error> {
    let key = quote_identifier(&grid.division().key);
    let kind = grid.division().kind;
    let mut conditions = vec![format!("{key} is not null")];
    if kind.is_time() && kind != model::KeyKind::UuidV7 {
        conditions.push(format!("pg_catalog.isfinite({key})"));
    }
    if let Some(from) = from {
        conditions.push(format!("{key} operator(pg_catalog.>=) {}", typed_literal(from, kind)));
    }
    let sql = format!(
        "select /* pgwright:first_key */ {} from {}{table} where {} order by {key} {} limit 1",
        grid.key_text_sql(),
        if only { "only " } else { "" },
        conditions.join(" and "),
        if descending { "desc" } else { "asc" },
    );
    let doing = || Error::query("look for the first key of a partition");
    let row = client.query_opt(&sql, &[]).await.map_err(doing())?;
    let text: Option<String> = row.map(|row| row.try_get(0)).transpose().map_err(doing())?;
    Ok(text.and_then(|text| grid.key(&text).ok()))
}

/// Of which intervals does DEFAULT hold rows? From one to the next, each with one look.
async fn look_into_default(
    client: &Client,
    grid: &Grid,
    default: &PartitionTable,
    seen: &mut Seen,
) -> Result<(), Error> {
    if !matches!(grid.division().interval, Interval::Time { .. } | Interval::Numbers(_)) {
        return Ok(());
    }
    let mut from = None;
    while seen.default_keys.len() < CELLS {
        let Some(key) = first_key(client, grid, &default.name, true, from, false).await? else { break };
        seen.default_keys.push(key);
        let end = grid.at(key).ok().flatten().and_then(|part| part.bound.range());
        match end {
            Some((_, partitioning::Edge::At(upper))) if upper > key => from = Some(upper),
            _ => break,
        }
    }
    let key = quote_identifier(&grid.division().key);
    let kind = grid.division().kind;
    // Conditions that an index answers.
    let mut odd = vec![format!("{key} is null")];
    if kind.is_time() && kind != model::KeyKind::UuidV7 {
        odd.push(format!("{key} operator(pg_catalog.=) any ('{{infinity,-infinity}}')"));
    }
    let exists: Vec<String> =
        odd.iter().map(|odd| format!("exists (select from only {} where {odd})", default.name)).collect();
    let sql = format!("select /* pgwright:odd_rows */ {}", exists.join(" or "));
    let doing = || Error::query("look into a DEFAULT partition");
    seen.has_odd_rows = client.query_one(&sql, &[]).await.and_then(|row| row.try_get(0)).map_err(doing())?;
    Ok(())
}

pub(super) async fn taken_names(
    client: &Client,
    schemas: &[String],
    names: &[String],
) -> Result<BTreeSet<QualifiedName>, Error> {
    let doing = || Error::query("look for names that are taken");
    let rows = client
        .query(include_str!("../../queries/taken_names.sql"), &[&schemas, &names])
        .await
        .map_err(doing())?;
    rows.iter()
        .map(|row| {
            Ok(QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?))
        })
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(doing())
}

/// Whether and how rows may be moved out of DEFAULT.
pub(super) struct DefaultFacts {
    obstacle: Option<&'static str>,
    columns: Vec<String>,
    /// Whether an index shows which keys it has, and nothing stands between that and the truth.
    pub shows_keys: bool,
}

pub(super) async fn default_facts(
    client: &Client,
    parent: &PartitionTable,
    default: &PartitionTable,
    key: &str,
) -> Result<DefaultFacts, Error> {
    let doing = || Error::query("look at a DEFAULT partition");
    let row = client
        .query_one(include_str!("../../queries/default_facts.sql"), &[&default.oid, &parent.oid, &key])
        .await
        .map_err(doing())?;
    let read = || -> Result<DefaultFacts, tokio_postgres::Error> {
        let (triggers, referenced): (bool, bool) =
            (row.try_get("has_triggers")?, row.try_get("is_referenced")?);
        let obstacle = if referenced {
            Some("a foreign key references the table, and moving its rows would look like deleting them")
        } else if triggers {
            Some("it has triggers, which would fire for rows that are only moved")
        } else if default.relkind != 'r' {
            Some("it is no plain table")
        } else {
            None
        };
        let shows_keys = row.try_get::<_, bool>("key_is_indexed")?
            && !row.try_get::<_, bool>("has_rules")?
            && default.relkind == 'r'
            && default.is_owner;
        Ok(DefaultFacts { obstacle, columns: row.try_get("columns")?, shows_keys })
    };
    read().map_err(doing())
}

/// Turns the steps of a plan into statements.
async fn finish(
    session: &Session,
    trees: &Trees,
    parent: &PartitionTable,
    set: &PartitionSet,
    (planned, now_micros): (SetPlan, i64),
    surveyed: &mut Surveyed,
) -> Result<(), Error> {
    let default = trees.default_of(parent);
    let moves = planned.steps.iter().any(|s| matches!(s, Step::Create(new) if new.takes_from_default));
    let creates = planned.steps.iter().any(|s| matches!(s, Step::Create(_)));
    let large = default.filter(|d| creates && d.default_bytes.is_some_and(|bytes| bytes >= LARGE_BYTES));
    let facts = match default.filter(|_| moves || large.is_some()) {
        Some(default) => Some(default_facts(session, parent, default, &set.division.key).await?),
        None => None,
    };
    let is_range = matches!(set.division.interval, Interval::Time { .. } | Interval::Numbers(_));
    let shows_keys = is_range && facts.as_ref().is_some_and(|facts| facts.shows_keys);
    let unread = large
        .filter(|_| shows_keys)
        .map(|default| UnreadDefault { name: default.name.clone(), oid: default.oid });
    if let (Some(default), None) = (large, &unread) {
        surveyed.notices.push(format!(
            "Each new partition reads all {} of DEFAULT {} while it is locked{}.",
            model::Bytes(default.default_bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or(0)),
            default.name,
            match is_range {
                true => format!("; an index on {} spares that", quote_identifier(&set.division.key)),
                false => String::new(),
            }
        ));
    }
    if let (Some(default), Some(DefaultFacts { obstacle: Some(obstacle), .. })) = (default, &facts) {
        surveyed.notices.push(format!(
            "Rows in DEFAULT {} are not moved, and the partitions that should take them are not made: {obstacle}.",
            default.name
        ));
    }
    // Before 14 there is no CONCURRENTLY, and beside DEFAULT it is refused.
    let concurrently = default.is_none() && session.version_num() >= 140_000;
    for step in planned.steps {
        let mut push = |action: Action| surveyed.steps.push(PlannedStep::new(action));
        match step {
            Step::Create(new) => {
                let from_default = match (default, &facts, new.takes_from_default) {
                    (Some(_), Some(DefaultFacts { obstacle: Some(_), .. }), true) => continue,
                    (Some(default), Some(facts), true) => Some((default.name.clone(), facts.columns.clone())),
                    _ => None,
                };
                // DEFAULT's own obstacles keep rows from being moved, not from being looked at.
                let unread = unread.clone().filter(|_| new.check.is_some());
                push(Action::Set(creation(session, parent, set, new, (from_default, unread))));
            }
            Step::Retire { name, bound, action } => {
                use model::partition_set::RetentionAction as A;
                let retired = bound.clone();
                push(Action::Set(SetChange::DetachPartition {
                    table: set.parent.clone(),
                    partition: name.clone(),
                    bound,
                    concurrently,
                }));
                let archive = match (action, &set.retention.archive, trees.find(&name)) {
                    (A::Archive, Some(folder), Some(found)) => Some(ArchivePlace {
                        folder: folder.clone(),
                        stem: stem(session.target().database(), &name, now_micros),
                        table: set.parent.clone(),
                        bound: retired,
                        oid: found.oid,
                    }),
                    _ => None,
                };
                if let Some(archive) = &archive {
                    let (partition, archive) = (name.clone(), archive.clone());
                    push(Action::Set(SetChange::ArchivePartition { partition, archive }));
                }
                if action == A::Drop || archive.is_some() {
                    push(Action::Set(SetChange::DropPartition { partition: name, archive }));
                }
            }
            Step::Move { name, tablespace } => {
                push(Action::Set(SetChange::MovePartition { partition: name, tablespace }));
            }
            Step::Analyze { table } => push(Action::Change(Change::Analyze { table })),
        }
    }
    Ok(())
}

pub(super) fn creation(
    session: &Session,
    parent: &PartitionTable,
    set: &PartitionSet,
    partition: NewPartition,
    (from_default, unread_default): (Option<(QualifiedName, Vec<String>)>, Option<UnreadDefault>),
) -> SetChange {
    let role = session.target().user();
    SetChange::CreatePartition {
        table: set.parent.clone(),
        partition,
        from_default,
        unread_default,
        storage: set.template.storage.clone(),
        tablespace: set.template.tablespace.clone(),
        owner: (parent.owner != role).then(|| parent.owner.clone()),
    }
}
