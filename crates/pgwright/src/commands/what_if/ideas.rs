//! What do the user's ideas mean in this database? Names get their schemas, indexes their place in the
//! cost model, and what makes no sense is refused before anything is planned.
//!
//! Source: PostgreSQL manual, "CREATE INDEX" and "DROP INDEX" (what is refused and why), and
//! `pg_settings.category` (which settings the planner reads).

use advice::index_semantics::replaces;
use advice::what_if::IndexNames;
use model::cost_model::{Configuration, CostError, CostModel, Registered};
use model::snapshot::{Index, RelationKind};
use model::{Bytes, IndexDefinition, IndexKey, QualifiedName, Snapshot};
use sql::{Catalog as _, Idea, NewIndex, SnapshotCatalog, WrittenName};

use crate::commands::cost_model::Model;
use crate::error::CommandError;

/// Settings outside of "Query Tuning" that change plans or costs.
const PLANNER_SETTINGS: &[&str] = &[
    "hash_mem_multiplier",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "parallel_leader_participation",
    "transform_null_equals",
    "work_mem",
];

/// Settings of "Query Tuning" that change nothing here, each with the reason.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("default_statistics_target", "It takes effect when ANALYZE reads the table again."),
    ("plan_cache_mode", "Statements are planned with values, so no cached plan is chosen from."),
    ("cursor_tuple_fraction", "Statements are planned as they are, not as cursors."),
];

/// What is changed.
pub enum What {
    /// A new index.
    Create {
        /// The index, under the name that plans show.
        definition: Box<IndexDefinition>,
        /// Its predicted size.
        bytes: Bytes,
    },
    /// An index that goes away.
    Drop {
        /// The index.
        index: Box<Index>,
    },
    /// A setting.
    Set {
        /// Its name.
        name: String,
        /// The value before.
        before: String,
        /// The value after.
        after: String,
    },
    /// Nothing, for the reason in the notes.
    Nothing,
}

/// A change that is tried.
pub struct Change {
    /// The change as SQL.
    pub sql: String,
    /// What it is.
    pub what: What,
    /// What is to be known of it, in sentences.
    pub notes: Vec<String>,
}

/// Everything that is tried at once.
pub struct Changes {
    /// In the order of the command line.
    pub list: Vec<Change>,
    /// The indexes after them.
    pub after: Configuration,
    /// Settings after them, by name.
    pub settings: Vec<(String, String)>,
}

/// Refuses what the snapshot alone can tell to be impossible, before a cost model is started.
///
/// # Errors
/// Fails when a name is unknown or a setting does not decide plans.
pub fn check(snapshot: &Snapshot, ideas: &[Idea]) -> Result<(), CommandError> {
    let mut resolver = Resolver::new(snapshot);
    for idea in ideas {
        match idea {
            Idea::CreateIndex(index) => drop(resolver.table(&index.table)?),
            Idea::DropIndex { if_exists: true, .. } => {}
            Idea::DropIndex { names, .. } => {
                for name in names {
                    resolver.index(name)?;
                }
            }
            Idea::Set { name, value } => resolver.set(name, value.clone())?,
        }
    }
    Ok(())
}

/// Makes the ideas known to the cost model.
///
/// # Errors
/// Fails as [`check`] does, and when PostgreSQL refuses an index.
pub async fn resolve(
    snapshot: &Snapshot,
    model: &mut Model,
    ideas: Vec<Idea>,
) -> Result<Changes, CommandError> {
    let mut resolver = Resolver::new(snapshot);
    for idea in ideas {
        match idea {
            Idea::CreateIndex(index) => resolver.create(model, *index).await?,
            Idea::DropIndex { names, if_exists } => {
                for name in names {
                    resolver.drop(model, &name, if_exists)?;
                }
            }
            Idea::Set { name, value } => resolver.set(&name, value)?,
        }
    }
    resolver.changes.after.added.sort_unstable();
    resolver.changes.after.dropped.sort_unstable();
    Ok(resolver.changes)
}

struct Resolver<'a> {
    snapshot: &'a Snapshot,
    catalog: SnapshotCatalog<'a>,
    names: IndexNames,
    changes: Changes,
}

impl<'a> Resolver<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            catalog: SnapshotCatalog::new(snapshot),
            names: IndexNames::new(snapshot),
            changes: Changes { list: Vec::new(), after: Configuration::current(), settings: Vec::new() },
        }
    }

    async fn create(&mut self, model: &mut Model, index: NewIndex) -> Result<(), CommandError> {
        let mut notes = Vec::new();
        let table = self.table(&index.table)?;
        let mut definition = IndexDefinition {
            table: table.clone(),
            name: index.name.clone().unwrap_or_default(),
            access_method: index.access_method.clone(),
            unique: index.unique,
            keys: Vec::new(),
            include: index.include.clone(),
            predicate: index.predicate.clone(),
            with: index.with.clone(),
        };
        for key in &index.keys {
            definition.keys.push(IndexKey {
                target: key.target.clone(),
                collation: match &key.collation {
                    Some(written) => Some(collation(model, written).await?),
                    None => None,
                },
                opclass: match &key.opclass {
                    Some(written) => {
                        Some(operator_class(model, &index.access_method, written, self.snapshot).await?)
                    }
                    None => None,
                },
                opclass_options: key.opclass_options.clone(),
                order: key.order,
                nulls: key.nulls,
            });
        }
        let Some(sql) = self.choose_name(&mut definition, index.if_not_exists, &mut notes)? else {
            let sql = definition.create_sql(false);
            self.changes.list.push(Change { sql, what: What::Nothing, notes });
            return Ok(());
        };
        self.tell_of(&index, &definition, &mut notes);
        let answer = model.register(std::slice::from_ref(&definition)).await?.pop();
        let (id, bytes) = match answer {
            Some(Registered::Ready { id, bytes }) => (id, bytes),
            Some(Registered::Refused { reason }) => {
                let error = CommandError::new(format!("the index on {table} cannot be created"))
                    .detail(format!("PostgreSQL says of \"{sql}\": {reason}."));
                return Err(match model {
                    Model::HypoPg(_) => error.hint(
                        "The planner twin knows every access method of the server: leave --what-if hypopg out.",
                    ),
                    Model::Twin(_) => error,
                });
            }
            None => return Err(CommandError::new(format!("the index on {table} got no answer"))),
        };
        if self.changes.after.added.contains(&id) {
            notes.push("It was named twice and counts once.".into());
            self.changes.list.push(Change { sql, what: What::Nothing, notes });
            return Ok(());
        }
        self.changes.after.added.push(id);
        let what = What::Create { definition: Box::new(definition), bytes };
        self.changes.list.push(Change { sql, what, notes });
        Ok(())
    }

    fn table(&self, written: &WrittenName) -> Result<QualifiedName, CommandError> {
        let found = self.catalog.relation(written.schema.as_deref(), &written.name);
        let name = found.map(|r| r.name).ok_or_else(|| {
            let places = places(self.snapshot.relations.iter().map(|r| &r.name), &written.name);
            let error = CommandError::new(format!("table {written} is not in the snapshot"));
            match places {
                Some(places) => error.hint(format!("There is {places}; name the one that is meant.")),
                None => error.detail(
                    "Tables, partitioned tables and materialized views of user schemas that the role may see are \
                     there.",
                ),
            }
        })?;
        match self.snapshot.relation(&name).map(|r| r.kind) {
            Some(RelationKind::ForeignTable) => {
                Err(CommandError::new(format!("the index on {name} cannot be created"))
                    .detail("It is a foreign table, which has no indexes here."))
            }
            _ => Ok(name),
        }
    }

    /// Gives the index a name; gives back the statement under the name that the user will see, or `None`
    /// when `IF NOT EXISTS` finds it there.
    fn choose_name(
        &mut self,
        definition: &mut IndexDefinition,
        if_not_exists: bool,
        notes: &mut Vec<String>,
    ) -> Result<Option<String>, CommandError> {
        if definition.name.is_empty() {
            definition.name = self.names.choose(definition);
            return Ok(Some(definition.create_sql(false)));
        }
        let name = definition.qualified_name();
        let sql = definition.create_sql(false);
        if self.names.take(&name) {
            return Ok(Some(sql));
        }
        if self.changes.after.dropped.contains(&name) {
            // Plans must tell the old one from the new one.
            definition.name.push_str(" (new)");
            notes.push(format!("Plans show it as {}.", model::quote_identifier(&definition.name)));
            return Ok(Some(sql));
        }
        if if_not_exists {
            notes.push(format!("{name} exists already, so IF NOT EXISTS creates nothing."));
            return Ok(None);
        }
        Err(CommandError::new(format!("{name} exists already"))
            .hint("Name it otherwise, leave the name out, or drop the old one in the same call."))
    }

    /// What a person should know before they run this statement.
    fn tell_of(&self, index: &NewIndex, definition: &IndexDefinition, notes: &mut Vec<String>) {
        let same = self.snapshot.indexes_of(&definition.table).find(|existing| {
            existing.valid
                && !self.changes.after.dropped.contains(&existing.name)
                && replaces(&existing.definition, definition)
        });
        if let Some(same) = same {
            notes.push(format!("Index {} gives all that it would.", same.name));
        }
        let relation = self.snapshot.relation(&definition.table);
        let partitioned = relation.is_some_and(|r| r.kind == RelationKind::PartitionedTable);
        if partitioned && index.only {
            notes.push(
                "ON ONLY creates nothing on the partitions; it is planned as if an index of each partition were \
                 attached."
                    .into(),
            );
        } else if partitioned {
            notes.push(format!(
                "{}CREATE INDEX on a partitioned table stops writes to every partition while it runs; build with \
                 CONCURRENTLY on each partition and attach the indexes to one created with ON ONLY.",
                if index.concurrently { "PostgreSQL refuses CONCURRENTLY here. " } else { "" }
            ));
        }
        if definition.unique {
            notes.push(
                "Whether the values are unique is not known here; building fails if they are not.".into(),
            );
        }
        if let Some(tablespace) = &index.tablespace {
            notes.push(format!("Costs are those of the default tablespace, not of \"{tablespace}\"."));
        }
    }

    fn index(&self, written: &WrittenName) -> Result<&'a Index, CommandError> {
        let found = self.catalog.index(written.schema.as_deref(), &written.name);
        found.ok_or_else(|| {
            let error = CommandError::new(format!("index {written} is not in the snapshot"));
            match places(self.snapshot.indexes.iter().map(|i| &i.name), &written.name) {
                Some(places) => error.hint(format!("There is {places}; name the one that is meant.")),
                None => error,
            }
        })
    }

    fn drop(&mut self, model: &Model, written: &WrittenName, if_exists: bool) -> Result<(), CommandError> {
        let index = match self.index(written) {
            Ok(index) => index,
            Err(_) if if_exists => {
                let sql = format!("DROP INDEX IF EXISTS {written}");
                let notes = vec!["There is no such index, so nothing is dropped.".into()];
                self.changes.list.push(Change { sql, what: What::Nothing, notes });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if !model.hides_indexes() {
            return Err(CommandError::new(format!("dropping {} cannot be tried", index.name))
                .detail("HypoPG can hide an index from version 1.4 on, and the server has an older one.")
                .hint("Leave --what-if hypopg out: the planner twin can."));
        }
        let mut notes = Vec::new();
        if let Some(constraint) = &index.constraint {
            notes.push(format!(
                "It implements constraint {}: PostgreSQL refuses to drop it without the constraint.",
                model::quote_identifier(constraint)
            ));
        }
        if let Some(parent) = &index.parent {
            notes.push(format!("It is a part of {parent}: PostgreSQL refuses to drop it alone."));
        }
        if index.replica_identity {
            notes.push("It is the replica identity of its table, which logical replication needs.".into());
        }
        if index.definition.unique && index.constraint.is_none() {
            notes.push("It keeps values unique, and nothing else may.".into());
        }
        if !index.valid {
            notes.push("It is invalid: no plan uses it, and every write maintains it.".into());
        }
        let sql = format!("DROP INDEX {}", index.name);
        if self.changes.after.dropped.contains(&index.name) {
            notes.push("It was named twice and counts once.".into());
            self.changes.list.push(Change { sql, what: What::Nothing, notes });
            return Ok(());
        }
        self.changes.after.dropped.push(index.name.clone());
        self.changes.list.push(Change { sql, what: What::Drop { index: Box::new(index.clone()) }, notes });
        Ok(())
    }

    fn set(&mut self, name: &str, value: Option<String>) -> Result<(), CommandError> {
        let known = self.snapshot.settings.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((name, setting)) = known else {
            return Err(CommandError::new(format!("the server has no setting \"{name}\"")));
        };
        let refused = |reason: &str| {
            CommandError::new(format!("setting \"{name}\" does not decide plans"))
                .detail(reason)
                .hint("Settings of the categories \"Query Tuning\" and \"Resource Usage / Memory\" that SET can change do.")
        };
        if let Some((_, reason)) = WITHOUT_EFFECT.iter().find(|(without, _)| without == name) {
            return Err(refused(reason));
        }
        if matches!(setting.context.as_str(), "internal" | "postmaster" | "sighup" | "backend") {
            return Err(refused("A session cannot change it."));
        }
        if !setting.category.starts_with("Query Tuning") && !PLANNER_SETTINGS.contains(&name.as_str()) {
            return Err(refused(&format!("It is of the category \"{}\".", setting.category)));
        }
        let own = readable(&setting.setting, setting.unit.as_deref());
        let mut notes = Vec::new();
        if value.is_none() {
            notes.push("The value of the snapshot is taken for the default.".into());
        }
        let raw = value.clone().unwrap_or_else(|| setting.setting.clone());
        let after = value.unwrap_or_else(|| own.clone());
        self.changes.settings.retain(|(known, _)| known != name);
        self.changes.settings.push((name.clone(), raw));
        let what = What::Set { name: name.clone(), before: own, after: after.clone() };
        self.changes.list.push(Change { sql: format!("SET {name} = {after}"), what, notes });
        Ok(())
    }
}

impl Changes {
    /// Makes the settings of the session that plans.
    ///
    /// # Errors
    /// Fails when PostgreSQL refuses a value.
    pub async fn make_settings(&self, model: &mut Model) -> Result<(), CommandError> {
        for (name, value) in &self.settings {
            model.set_planner_setting(name, value).await.map_err(|e| match e {
                CostError::Statement { message, .. } => {
                    CommandError::new(format!("setting \"{name}\" does not take the value \"{value}\""))
                        .detail(format!("PostgreSQL says: {message}."))
                }
                failed => failed.into(),
            })?;
        }
        Ok(())
    }
}

async fn collation(model: &Model, written: &WrittenName) -> Result<QualifiedName, CommandError> {
    if let Some(schema) = &written.schema {
        return Ok(QualifiedName::new(schema.clone(), written.name.clone()));
    }
    let found = model.collation(&written.name).await?;
    found.ok_or_else(|| CommandError::new(format!("collation {written} does not exist")))
}

async fn operator_class(
    model: &Model,
    access_method: &str,
    written: &WrittenName,
    snapshot: &Snapshot,
) -> Result<QualifiedName, CommandError> {
    if let Some(schema) = &written.schema {
        return Ok(QualifiedName::new(schema.clone(), written.name.clone()));
    }
    if let Some(found) = model.operator_class(access_method, &written.name).await? {
        return Ok(found);
    }
    let error = CommandError::new(format!(
        "operator class {written} does not exist for access method \"{access_method}\""
    ));
    let extensions: Vec<&str> = snapshot.extensions.iter().map(|e| e.name.as_str()).collect();
    Err(error
        .detail(format!("The database has the extensions {}.", extensions.join(", ")))
        .hint("Operator classes of an extension are there after CREATE EXTENSION; those of pg_trgm are gin_trgm_ops and gist_trgm_ops."))
}

/// A value of `pg_settings` with its unit, memory as people write it.
fn readable(value: &str, unit: Option<&str>) -> String {
    let factor = match unit {
        Some("B") => 1,
        Some("kB") => 1 << 10,
        Some("8kB") => 8 << 10,
        Some("MB") => 1 << 20,
        Some(unit) => return format!("{value}{unit}"),
        None => return value.to_owned(),
    };
    match value.parse::<u64>() {
        Ok(number) => Bytes(number.saturating_mul(factor)).to_string(),
        // -1 means that another setting decides.
        Err(_) => value.to_owned(),
    }
}

/// Where things of a name are, in words.
fn places<'a>(all: impl Iterator<Item = &'a QualifiedName>, name: &str) -> Option<String> {
    let found: Vec<String> = all.filter(|n| n.name == name).map(ToString::to_string).collect();
    (!found.is_empty()).then(|| found.join(" and "))
}
