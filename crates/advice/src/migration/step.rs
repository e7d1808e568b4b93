//! What does a check of migrations ask: which table, how large, under which lock, for how long?

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use model::snapshot::{Relation, RelationKind};
use model::{Bytes, Finding, LockLevel, Millis, ObjectRef, QualifiedName, Severity, quote_identifier};
use sql::{Action, Block, Domain, ScriptStatement, TableChange, WrittenName};

use super::Check;
use crate::schema::{Facts, LintFinding, Remedy};

/// What happened before a statement.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Whether a transaction is open, one that the file is wrapped in included.
    pub in_transaction: bool,
    wrapped: bool,
    lock_timeout: bool,
    local_lock_timeout: bool,
    /// What `TimeZone` was set to, for the session and for the transaction.
    time_zone: Option<String>,
    local_time_zone: Option<String>,
    /// Tables and indexes that the migrations made.
    pub made: BTreeSet<QualifiedName>,
    /// Constraints that the open transaction added NOT VALID.
    pub unvalidated: BTreeSet<(QualifiedName, String)>,
    /// Checks that were added: their table, name, expression, and whether they are valid.
    pub checks: Vec<(QualifiedName, Option<String>, String, bool)>,
    /// The types that the migrations gave to columns: the table's name and the column's, and the type as SQL.
    pub types: BTreeMap<(QualifiedName, String), String>,
    /// Domains that the migrations made, or gave their first constraint.
    pub domains: Vec<Domain>,
    /// Constraints that the migrations validated.
    pub validated: BTreeSet<(QualifiedName, String)>,
    /// Routines that the migrations made and have not called yet, by name.
    pub routines: BTreeMap<String, Block>,
    /// Whether it was told already that `lock_timeout` is missing in this file.
    pub told_of_lock_timeout: Cell<bool>,
}

impl State {
    pub(super) fn begin_file(&mut self, single_transaction: bool) {
        self.wrapped = single_transaction;
        self.in_transaction = single_transaction;
        self.lock_timeout = false;
        self.local_lock_timeout = false;
        self.time_zone = None;
        self.local_time_zone = None;
        self.told_of_lock_timeout.set(false);
        self.unvalidated.clear();
    }

    pub(super) fn begin(&mut self) {
        self.in_transaction = true;
        self.unvalidated.clear();
    }

    pub(super) fn end(&mut self) {
        self.in_transaction = self.wrapped;
        self.local_lock_timeout = false;
        self.local_time_zone = None;
        self.unvalidated.clear();
    }

    /// A body runs within one transaction, be it the statement's own. Gives whether one was open before.
    pub(super) fn begin_block(&mut self) -> bool {
        std::mem::replace(&mut self.in_transaction, true)
    }

    pub(super) fn end_block(&mut self, outer: bool) {
        self.in_transaction = outer;
        if !outer {
            self.local_lock_timeout = false;
            self.local_time_zone = None;
            self.unvalidated.clear();
        }
    }

    pub(super) fn set_lock_timeout(&mut self, on: bool, local: bool) {
        if local {
            self.local_lock_timeout = on && self.in_transaction;
        } else {
            self.lock_timeout = on;
        }
    }

    pub(super) fn set_time_zone(&mut self, zone: Option<&str>, local: bool) {
        let zone = zone.map(str::to_owned);
        if !local {
            self.local_time_zone = None;
            self.time_zone = zone;
        } else if self.in_transaction {
            self.local_time_zone = zone;
        }
    }

    /// The `TimeZone` that the migration set.
    pub(crate) fn time_zone(&self) -> Option<&str> {
        self.local_time_zone.as_deref().or(self.time_zone.as_deref())
    }

    pub(crate) fn has_lock_timeout(&self) -> bool {
        self.lock_timeout || self.local_lock_timeout
    }
}

/// For how long a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// The catalog is changed and nothing else.
    Instant,
    /// The table is read once.
    Scan,
    /// The table is read, and each row's key is looked up.
    Lookup,
    /// The table is read and sorted for an index.
    Build,
    /// The table and its indexes are written anew.
    Rewrite,
}

/// Below this a lock is held no longer than a person or a pool of connections notices.
const SHORT_MS: f64 = 100.0;

/// A statement, or a part of one, with what is known around it.
pub(crate) struct Step<'a> {
    pub facts: &'a Facts<'a>,
    pub state: &'a State,
    pub file: &'a str,
    pub statement: &'a ScriptStatement,
    pub action: &'a Action,
}

/// The relation that a name means, by the search path of the snapshot; without one of that name, in `public`.
pub(super) fn resolve(facts: &Facts<'_>, name: &WrittenName) -> QualifiedName {
    if let Some(schema) = &name.schema {
        return QualifiedName::new(schema.clone(), name.name.clone());
    }
    let path = facts.snapshot.setting("search_path").unwrap_or("\"$user\", public");
    let mut schemas: Vec<String> = path
        .split(',')
        .map(|part| part.trim().trim_matches('"').to_owned())
        .map(|part| if part == "$user" { facts.snapshot.server.user.clone() } else { part })
        .filter(|part| !part.is_empty())
        .collect();
    if !schemas.iter().any(|s| s == "public") {
        schemas.push("public".into());
    }
    let known =
        |name: &QualifiedName| facts.tables.relation(name).is_some() || facts.snapshot.index(name).is_some();
    schemas
        .into_iter()
        .map(|schema| QualifiedName::new(schema, name.name.clone()))
        .find(known)
        .unwrap_or_else(|| QualifiedName::new("public", name.name.clone()))
}

/// The domain that a type is, as the migration made it or the schema has it.
pub(super) fn domain<'a>(facts: &'a Facts<'_>, state: &'a State, type_name: &str) -> Option<&'a Domain> {
    let is = |domain: &&Domain| {
        type_name == quote_identifier(&domain.name.name) || type_name == domain.name.to_string()
    };
    state.domains.iter().rev().find(is).or_else(|| facts.domains().iter().find(is))
}

impl<'a> Step<'a> {
    pub(crate) fn name(&self, name: &WrittenName) -> QualifiedName {
        resolve(self.facts, name)
    }

    /// Whether the migration made it itself.
    pub(crate) fn is_new(&self, name: &QualifiedName) -> bool {
        self.state.made.contains(name)
    }

    pub(crate) fn relation(&self, name: &QualifiedName) -> Option<&'a Relation> {
        self.facts.tables.relation(name)
    }

    /// The type of a column as SQL, when it is known: what the migrations made of it, or what the catalog says.
    pub(crate) fn column_type(&self, table: &QualifiedName, column: &str) -> Option<&'a str> {
        let given = self.state.types.get(&(table.clone(), column.to_owned()));
        given.map(String::as_str).or_else(|| Some(&self.relation(table)?.column(column)?.type_name))
    }

    pub(crate) fn major(&self) -> u32 {
        self.facts.snapshot.server.major()
    }

    pub(crate) fn is_partitioned(&self, name: &QualifiedName) -> bool {
        self.relation(name).is_some_and(|r| r.kind == RelationKind::PartitionedTable)
    }

    /// Whether a valid check constraint, of the catalog or of the migration, says that a column is not NULL.
    pub(crate) fn has_not_null_check(&self, table: &QualifiedName, column: &str) -> bool {
        let wanted = format!("{} IS NOT NULL", quote_identifier(column));
        self.valid_checks(table)
            .into_iter()
            .any(|check| sql::check_implies(check, &wanted, &BTreeMap::new(), false))
    }

    /// The expressions of a table's valid check constraints, of the catalog and of the migration.
    pub(crate) fn valid_checks(&self, table: &QualifiedName) -> Vec<&str> {
        let in_catalog = self.facts.constraints(table).iter().filter_map(|c| {
            let validated = c.validated || self.state.validated.contains(&(table.clone(), c.name.clone()));
            c.check_condition().filter(|_| validated).map(|check| check.expression)
        });
        let in_migration = self.state.checks.iter().filter(|(of, _, _, valid)| of == table && *valid);
        in_catalog.chain(in_migration.map(|(_, _, expression, _)| expression.as_str())).collect()
    }

    /// Whether texts of moments without an offset are UTC, as far as the server's configuration tells.
    pub(crate) fn writes_utc(&self) -> bool {
        self.server_zone().is_some_and(is_utc)
    }

    /// The `TimeZone` that sessions get, as far as the server's configuration tells.
    pub(crate) fn server_zone(&self) -> Option<&'a str> {
        let zone = self.facts.snapshot.settings.get("TimeZone").filter(|s| s.source != "session");
        zone.map(|s| s.setting.as_str())
    }

    /// The domain that a type is, as a statement or the catalog writes it.
    pub(crate) fn domain(&self, type_name: &str) -> Option<&Domain> {
        domain(self.facts, self.state, type_name)
    }

    /// The tables that a statement works through: partitions, and the tables that inherit where the statement goes
    /// on to them.
    fn reached(&self, relation: &'a Relation, held: Held) -> Vec<&'a Relation> {
        let leaves = self.facts.leaves(relation);
        let inherited = matches!(
            self.action,
            Action::AlterTable {
                change: TableChange::SetType { .. }
                    | TableChange::AddColumn(_)
                    | TableChange::AddConstraint(_),
                ..
            }
        );
        if !inherited || !matches!(held, Held::Rewrite | Held::Scan) {
            return leaves;
        }
        let (mut found, mut seen, mut waiting) = (Vec::new(), BTreeSet::new(), leaves);
        while let Some(next) = waiting.pop() {
            // A circle in a broken file ends.
            if seen.insert(&next.name) {
                found.push(next);
                waiting.extend(self.facts.tables.children(&next.name));
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// Size and rows of a table with all that the statement works through; `None` when the snapshot does not have it.
    fn extent(&self, name: &QualifiedName, held: Held) -> Option<(Bytes, Bytes, f64)> {
        let relation = self.relation(name)?;
        let leaves = self.reached(relation, held);
        let tables = leaves.iter().map(|l| l.table_bytes).sum();
        let indexes = leaves.iter().map(|l| l.indexes_bytes).sum();
        Some((tables, indexes, leaves.iter().map(|l| l.rows()).sum()))
    }

    fn held_for(&self, name: &QualifiedName, held: Held) -> Option<Millis> {
        let relation = self.relation(name)?;
        let leaves = self.reached(relation, held);
        let total = |of: &dyn Fn(&Relation) -> f64| leaves.iter().map(|l| of(l)).sum::<f64>();
        Some(Millis(match held {
            Held::Instant => 0.0,
            Held::Scan => total(&|l| crate::schema::scan_ms(l).0),
            Held::Lookup | Held::Build => total(&|l| crate::schema::build_ms(l).0),
            Held::Rewrite => total(&|l| crate::schema::rewrite_ms(l).0),
        }))
    }

    /// Whom a lock stops and about for how long, in a sentence.
    fn lock_sentence(&self, name: &QualifiedName, lock: LockLevel, held: Held) -> String {
        let whom = if lock.blocks_reads() {
            "reads and writes wait"
        } else if lock.blocks_writes() {
            "writes wait, reads go on"
        } else {
            "reads and writes go on"
        };
        let how = match held {
            Held::Instant => {
                return format!(
                    "It takes {lock} on {name} for an instant, but queues behind every transaction that uses it, and \
                     {whom} behind it meanwhile."
                );
            }
            Held::Scan => "read once",
            Held::Lookup => "read and every key is looked up",
            Held::Build => "read, sorted and written as an index",
            Held::Rewrite => "written anew with its indexes",
        };
        match (self.held_for(name, held), self.extent(name, held)) {
            (Some(ms), Some((table, indexes, rows))) => format!(
                "It holds {lock} on {name} while the table ({table} and {indexes} of indexes, {rows:.0} rows) is {how}, about \
                 {ms} at 250 MB and a million rows a second: {whom}."
            ),
            _ => format!(
                "It holds {lock} on {name} while the table is {how}: {whom}. How large it is, is not known here."
            ),
        }
    }

    /// A finding about a table.
    pub(crate) fn finding(
        &self,
        check: &Check,
        table: &QualifiedName,
        (lock, held): (LockLevel, Held),
        summary: impl Into<String>,
        why: &str,
    ) -> LintFinding {
        let sentence = self.lock_sentence(table, lock, held);
        let mut found = self.remark(check, table, summary, &format!("{sentence} {why}"));
        if let Some((bytes, indexes, rows)) = self.extent(table, held) {
            found = found.with("size", bytes).with("indexes", indexes).with("rows", format!("{rows:.0}"));
        }
        let known = self.held_for(table, held).filter(|_| held != Held::Instant);
        if let Some(ms) = known {
            found = found.with("held for about", ms);
            if ms.0 < SHORT_MS {
                found.finding.severity = found.finding.severity.min(Severity::Info);
            }
        }
        found.with("lock", lock)
    }

    /// Adds what goes beside a table, or a column of it, that is dropped: the foreign keys of other tables that reference it, and the
    /// tables at either end of its foreign keys, whose triggers are dropped under ACCESS EXCLUSIVE. `goes` tells of a table
    /// whether it is dropped as well.
    ///
    /// Source: `RemoveTriggerById()` in trigger.c.
    pub(crate) fn with_foreign_keys(
        &self,
        found: LintFinding,
        table: &QualifiedName,
        column: Option<&str>,
        goes: impl Fn(&QualifiedName) -> bool,
    ) -> LintFinding {
        let (mut gone, mut locked) = (Vec::new(), BTreeSet::new());
        let has = |columns: &[String]| column.is_none_or(|column| columns.iter().any(|c| c == column));
        for (foreign, target) in self.facts.foreign_keys() {
            if target.table == *table && has(&target.columns) && !goes(&foreign.table) {
                gone.push(format!("{} of {}", quote_identifier(&foreign.name), foreign.table));
                locked.insert(&foreign.table);
            }
            if foreign.table == *table && has(&foreign.columns) && !goes(&target.table) {
                locked.insert(&target.table);
            }
        }
        locked.remove(table);
        let locked: Vec<String> = locked.into_iter().map(ToString::to_string).collect();
        let found = if locked.is_empty() { found } else { found.with("also locked", locked.join(", ")) };
        if gone.is_empty() { found } else { found.with("foreign keys that go with it", gone.join(", ")) }
    }

    /// A finding that is not about a lock.
    pub(crate) fn remark(
        &self,
        check: &Check,
        subject: &dyn std::fmt::Display,
        summary: impl Into<String>,
        detail: &str,
    ) -> LintFinding {
        let at = self.statement.at;
        let object = ObjectRef::Source { file: self.file.to_owned(), line: at.line, column: at.column };
        let mut finding = Finding::new(check.id, object, check.severity, summary, detail.trim());
        // Lines move; a file and a table stay.
        finding.key = format!("{}:{}:{subject}", check.id, self.file);
        LintFinding { finding, remedy: None }
    }
}

/// Whether a `TimeZone` is UTC by one of its names.
pub(crate) fn is_utc(zone: &str) -> bool {
    ["UTC", "Etc/UTC", "GMT", "Etc/GMT", "Zulu"].iter().any(|name| zone.eq_ignore_ascii_case(name))
}

/// The safe sequence.
pub(crate) fn instead(sql: Vec<String>, lock: LockLevel, note: impl Into<String>) -> Remedy {
    Remedy { changes: Vec::new(), sql, lock: Some(lock), lock_duration: note.into() }
}

/// A name for a constraint that the statement leaves to PostgreSQL.
pub(crate) fn constraint_name(
    given: Option<&String>,
    table: &QualifiedName,
    columns: &[String],
    suffix: &str,
) -> String {
    let own = || {
        let base =
            std::iter::once(&table.name).chain(columns).map(String::as_str).collect::<Vec<_>>().join("_");
        let cut: String = base.chars().take(40).collect();
        format!("{cut}_{suffix}")
    };
    quote_identifier(&given.cloned().unwrap_or_else(own))
}

/// Columns as a list of SQL.
pub(crate) fn list(columns: &[String]) -> String {
    columns.iter().map(|c| quote_identifier(c)).collect::<Vec<_>>().join(", ")
}
