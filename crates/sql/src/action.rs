//! What does a statement of a migration do, to which table?
//!
//! Source: PostgreSQL manual, "ALTER TABLE" and its neighbours; `gram.y` for the parse nodes. Names come back as they
//! were written: which schema an unqualified one means is for a catalog to say.

mod moves;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType, ColumnDef, ConstrType, Constraint, CreateStmt,
    DropBehavior, DropStmt, Node, ObjectType, RangeVar, ReindexObjectType, RenameStmt, TransactionStmtKind,
    VariableSetKind,
};

use crate::domain::{Domain, DomainChange};
use crate::idea::{NewIndex, WrittenName};
use crate::lowering::{string, type_name};
use crate::partition_bound::PartitionBound;
use crate::script::ScriptStatement;

/// What a statement does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `ROLLBACK`, `PREPARE TRANSACTION`.
    End,
    /// `SET` and `RESET`; `None` for the default.
    Set {
        /// In lower case.
        name: String,
        /// The value as text.
        value: Option<String>,
        /// `SET LOCAL`.
        local: bool,
    },
    /// `CREATE TABLE` and `CREATE TABLE AS`.
    CreateTable {
        /// The table.
        table: WrittenName,
        /// The table that it is a partition of.
        partition_of: Option<WrittenName>,
        /// Tables that its foreign keys reference.
        references: Vec<WrittenName>,
    },
    /// `CREATE INDEX`.
    CreateIndex(Box<NewIndex>),
    /// `ALTER TABLE`, one action for each part.
    AlterTable {
        /// The table or other relation.
        table: WrittenName,
        /// The part.
        change: TableChange,
    },
    /// `ALTER … RENAME`.
    Rename {
        /// The relation that is renamed or whose column or constraint is.
        table: WrittenName,
        /// What is renamed.
        what: Renamed,
        /// Its new name.
        to: String,
    },
    /// `DROP TABLE`, `DROP INDEX`, `DROP VIEW`, …
    Drop {
        /// What kind.
        kind: Dropped,
        /// Which.
        names: Vec<WrittenName>,
        /// `CONCURRENTLY`.
        concurrently: bool,
        /// `CASCADE`.
        cascade: bool,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// `TRUNCATE`.
    Truncate {
        /// The tables.
        tables: Vec<WrittenName>,
        /// `CASCADE`.
        cascade: bool,
    },
    /// `LOCK TABLE`.
    Lock {
        /// The tables.
        tables: Vec<WrittenName>,
        /// 1 for ACCESS SHARE to 8 for ACCESS EXCLUSIVE.
        mode: u32,
    },
    /// `VACUUM`; no tables for the whole database.
    Vacuum {
        /// The tables.
        tables: Vec<WrittenName>,
        /// `FULL`.
        full: bool,
    },
    /// `CLUSTER`.
    Cluster {
        /// The table; `None` for all that were clustered before.
        table: Option<WrittenName>,
    },
    /// `REINDEX`.
    Reindex {
        /// What its name is of.
        of: Reindexed,
        /// The index, table, schema or database.
        name: Option<WrittenName>,
        /// `CONCURRENTLY`.
        concurrently: bool,
    },
    /// `ALTER INDEX … SET TABLESPACE`.
    MoveIndex {
        /// The index.
        index: WrittenName,
        /// The tablespace.
        to: String,
    },
    /// `ALTER TABLE ALL IN TABLESPACE … SET TABLESPACE` and its like for indexes and materialized views.
    MoveAll {
        /// `TABLE`, `INDEX` or `MATERIALIZED VIEW`.
        what: &'static str,
        /// The tablespace that they are in.
        from: String,
    },
    /// `REFRESH MATERIALIZED VIEW`.
    Refresh {
        /// The view.
        view: WrittenName,
        /// `CONCURRENTLY`.
        concurrently: bool,
    },
    /// `UPDATE` or `DELETE`.
    Change {
        /// The table.
        table: WrittenName,
        /// Whether rows are deleted.
        deletes: bool,
        /// Whether it has a `WHERE`.
        restricted: bool,
    },
    /// `CREATE TRIGGER`.
    CreateTrigger {
        /// The table.
        table: WrittenName,
    },
    /// `CREATE DOMAIN`.
    CreateDomain(Domain),
    /// `ALTER DOMAIN`.
    AlterDomain {
        /// The domain.
        domain: WrittenName,
        /// What changes.
        change: DomainChange,
    },
    /// Anything else.
    Other,
}

/// A part of `ALTER TABLE`.
#[derive(Clone, Debug, PartialEq)]
pub enum TableChange {
    /// `ADD COLUMN`.
    AddColumn(Box<NewColumn>),
    /// `DROP COLUMN`.
    DropColumn {
        /// The column.
        column: String,
    },
    /// `ALTER COLUMN … TYPE`.
    SetType {
        /// The column.
        column: String,
        /// The new type as SQL.
        to: String,
        /// `USING`, as SQL.
        using: Option<String>,
        /// `COLLATE`, the name without its schema.
        collation: Option<String>,
    },
    /// `ALTER COLUMN … SET NOT NULL`.
    SetNotNull {
        /// The column.
        column: String,
    },
    /// `ADD CONSTRAINT`.
    AddConstraint(Box<NewConstraint>),
    /// `VALIDATE CONSTRAINT`.
    Validate {
        /// The constraint.
        name: String,
    },
    /// `DROP CONSTRAINT`.
    DropConstraint {
        /// The constraint.
        name: String,
        /// `CASCADE`.
        cascade: bool,
    },
    /// `ATTACH PARTITION`.
    Attach {
        /// The partition.
        partition: WrittenName,
        /// What it is to hold; `None` when that is not understood.
        bound: Option<PartitionBound>,
    },
    /// `DETACH PARTITION`.
    Detach {
        /// The partition.
        partition: WrittenName,
        /// `CONCURRENTLY` or `FINALIZE`.
        concurrently: bool,
    },
    /// What writes the table anew: `SET TABLESPACE`, `SET LOGGED`, `SET UNLOGGED`, `SET ACCESS METHOD`, `SET EXPRESSION`.
    Rewrite {
        /// In words of SQL.
        what: &'static str,
        /// The access method or the tablespace, when one is named.
        to: Option<String>,
    },
    /// Storage parameters, statistics targets and the like: SHARE UPDATE EXCLUSIVE.
    Parameters,
    /// Anything else that changes the catalog only, under ACCESS EXCLUSIVE.
    Catalog,
}

/// A column to add.
#[derive(Clone, Debug, PartialEq)]
pub struct NewColumn {
    /// Its name.
    pub name: String,
    /// Its type as SQL.
    pub type_name: String,
    /// `NOT NULL` or `PRIMARY KEY`.
    pub not_null: bool,
    /// The default as SQL.
    pub default: Option<String>,
    /// Functions that the default calls, without `pg_catalog`.
    pub default_calls: Vec<String>,
    /// `GENERATED ALWAYS AS (…) STORED`.
    pub stored: bool,
    /// Identity, or a type of the `serial` family: each row gets its own number.
    pub numbered: bool,
    /// Its constraints other than those above.
    pub constraints: Vec<NewConstraint>,
}

/// A constraint to add.
#[derive(Clone, Debug, PartialEq)]
pub struct NewConstraint {
    /// Its kind.
    pub kind: ConstraintKind,
    /// Its name, when one was given.
    pub name: Option<String>,
    /// Its columns; of a check none.
    pub columns: Vec<String>,
    /// What a foreign key references.
    pub references: Option<WrittenName>,
    /// Referenced columns, when they were given.
    pub referenced_columns: Vec<String>,
    /// The expression of a check as SQL.
    pub expression: Option<String>,
    /// `NOT VALID`.
    pub not_valid: bool,
    /// `USING INDEX`.
    pub using_index: Option<String>,
}

/// What a constraint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are SQL's own.
pub enum ConstraintKind {
    PrimaryKey,
    Unique,
    ForeignKey,
    Check,
    Exclusion,
    NotNull,
}

/// What is renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renamed {
    /// A table or view.
    Relation,
    /// A column, by its old name.
    Column(String),
    /// A table or view that goes to another schema.
    Schema,
    /// An index, a constraint, a sequence: nobody asks for them by name.
    Other,
}

/// What is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are SQL's own.
pub enum Dropped {
    Table,
    Index,
    View,
    MaterializedView,
    Schema,
    Database,
    Other,
}

/// What REINDEX is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are SQL's own.
pub enum Reindexed {
    Index,
    Table,
    Schema,
    Database,
    System,
}

impl ScriptStatement {
    /// What it does; `ALTER TABLE` with several parts does several things.
    pub fn actions(&self) -> Vec<Action> {
        match &self.node {
            NodeEnum::AlterTableStmt(alter) => alter_table(alter),
            other => vec![action(other)],
        }
    }
}

fn action(node: &NodeEnum) -> Action {
    match node {
        NodeEnum::TransactionStmt(statement) => match TransactionStmtKind::try_from(statement.kind) {
            Ok(TransactionStmtKind::TransStmtBegin | TransactionStmtKind::TransStmtStart) => Action::Begin,
            Ok(
                TransactionStmtKind::TransStmtCommit
                | TransactionStmtKind::TransStmtRollback
                | TransactionStmtKind::TransStmtPrepare,
            ) => Action::End,
            _ => Action::Other,
        },
        NodeEnum::VariableSetStmt(set) => match VariableSetKind::try_from(set.kind) {
            Ok(VariableSetKind::VarSetValue) => Action::Set {
                name: set.name.to_ascii_lowercase(),
                value: set.args.first().and_then(crate::idea::constant),
                local: set.is_local,
            },
            Ok(VariableSetKind::VarSetDefault | VariableSetKind::VarReset) => {
                Action::Set { name: set.name.to_ascii_lowercase(), value: None, local: set.is_local }
            }
            _ => Action::Other,
        },
        NodeEnum::CreateStmt(create) => create_table(create),
        NodeEnum::CreateTableAsStmt(create) => {
            let relation = create.into.as_ref().and_then(|i| i.rel.as_ref());
            Action::CreateTable {
                table: relation.map_or_else(nameless, written),
                partition_of: None,
                references: Vec::new(),
            }
        }
        NodeEnum::IndexStmt(index) => crate::idea::new_index((**index).clone())
            .map_or(Action::Other, |i| Action::CreateIndex(Box::new(i))),
        NodeEnum::RenameStmt(rename) => renamed(rename),
        NodeEnum::AlterObjectSchemaStmt(moved) => moves::to_schema(moved),
        NodeEnum::DropdbStmt(drop) => Action::Drop {
            kind: Dropped::Database,
            names: vec![WrittenName { schema: None, name: drop.dbname.clone() }],
            concurrently: false,
            cascade: false,
            if_exists: drop.missing_ok,
        },
        NodeEnum::DropStmt(drop) => dropped(drop),
        NodeEnum::TruncateStmt(truncate) => Action::Truncate {
            tables: relations(&truncate.relations),
            cascade: truncate.behavior == DropBehavior::DropCascade as i32,
        },
        NodeEnum::LockStmt(lock) => {
            Action::Lock { tables: relations(&lock.relations), mode: u32::try_from(lock.mode).unwrap_or(8) }
        }
        NodeEnum::VacuumStmt(vacuum) if vacuum.is_vacuumcmd => Action::Vacuum {
            tables: vacuum
                .rels
                .iter()
                .filter_map(|rel| match &rel.node {
                    Some(NodeEnum::VacuumRelation(relation)) => relation.relation.as_ref().map(written),
                    _ => None,
                })
                .collect(),
            full: has_option(&vacuum.options, "full"),
        },
        NodeEnum::ClusterStmt(cluster) => Action::Cluster { table: cluster.relation.as_ref().map(written) },
        NodeEnum::AlterTableMoveAllStmt(all) => Action::MoveAll {
            what: match ObjectType::try_from(all.objtype) {
                Ok(ObjectType::ObjectIndex) => "INDEX",
                Ok(ObjectType::ObjectMatview) => "MATERIALIZED VIEW",
                _ => "TABLE",
            },
            from: all.orig_tablespacename.clone(),
        },
        NodeEnum::ReindexStmt(reindex) => Action::Reindex {
            of: match ReindexObjectType::try_from(reindex.kind) {
                Ok(ReindexObjectType::ReindexObjectIndex) => Reindexed::Index,
                Ok(ReindexObjectType::ReindexObjectTable) => Reindexed::Table,
                Ok(ReindexObjectType::ReindexObjectSchema) => Reindexed::Schema,
                Ok(ReindexObjectType::ReindexObjectSystem) => Reindexed::System,
                _ => Reindexed::Database,
            },
            name: reindex.relation.as_ref().map(written).or_else(|| {
                (!reindex.name.is_empty()).then(|| WrittenName { schema: None, name: reindex.name.clone() })
            }),
            concurrently: has_option(&reindex.params, "concurrently"),
        },
        NodeEnum::RefreshMatViewStmt(refresh) => Action::Refresh {
            view: refresh.relation.as_ref().map_or_else(nameless, written),
            concurrently: refresh.concurrent,
        },
        NodeEnum::UpdateStmt(update) => Action::Change {
            table: update.relation.as_ref().map_or_else(nameless, written),
            deletes: false,
            restricted: update.where_clause.is_some(),
        },
        NodeEnum::DeleteStmt(delete) => Action::Change {
            table: delete.relation.as_ref().map_or_else(nameless, written),
            deletes: true,
            restricted: delete.where_clause.is_some(),
        },
        NodeEnum::CreateTrigStmt(trigger) => {
            Action::CreateTrigger { table: trigger.relation.as_ref().map_or_else(nameless, written) }
        }
        NodeEnum::CreateDomainStmt(create) => {
            crate::domain::created(create).map_or(Action::Other, Action::CreateDomain)
        }
        NodeEnum::AlterDomainStmt(alter) => crate::domain::changed(alter)
            .map_or(Action::Other, |(domain, change)| Action::AlterDomain { domain, change }),
        _ => Action::Other,
    }
}

fn nameless() -> WrittenName {
    WrittenName { schema: None, name: String::new() }
}

fn written(relation: &RangeVar) -> WrittenName {
    let schema = (!relation.schemaname.is_empty()).then(|| relation.schemaname.clone());
    WrittenName { schema, name: relation.relname.clone() }
}

fn relations(nodes: &[Node]) -> Vec<WrittenName> {
    nodes
        .iter()
        .filter_map(|node| match &node.node {
            Some(NodeEnum::RangeVar(relation)) => Some(written(relation)),
            _ => None,
        })
        .collect()
}

/// An option in brackets that is on: `(FULL)`, `(FULL true)`.
fn has_option(options: &[Node], name: &str) -> bool {
    options.iter().any(|node| match &node.node {
        Some(NodeEnum::DefElem(element)) => {
            let value = element.arg.as_deref().and_then(crate::idea::constant);
            let off = value.is_some_and(|v| ["false", "off", "0"].contains(&v.to_ascii_lowercase().as_str()));
            element.defname.eq_ignore_ascii_case(name) && !off
        }
        _ => false,
    })
}

fn create_table(create: &CreateStmt) -> Action {
    let parent = create.inh_relations.first().and_then(|n| relations(std::slice::from_ref(n)).pop());
    let mut references = Vec::new();
    for element in create.table_elts.iter().chain(&create.constraints) {
        match &element.node {
            Some(NodeEnum::ColumnDef(column)) => {
                references
                    .extend(column.constraints.iter().filter_map(constraint).filter_map(|c| c.references));
            }
            Some(NodeEnum::Constraint(_)) => {
                references.extend(constraint(element).and_then(|c| c.references))
            }
            _ => {}
        }
    }
    Action::CreateTable {
        table: create.relation.as_ref().map_or_else(nameless, written),
        partition_of: parent.filter(|_| create.partbound.is_some()),
        references,
    }
}

fn renamed(rename: &RenameStmt) -> Action {
    let table = rename.relation.as_ref().map_or_else(nameless, written);
    let what = match ObjectType::try_from(rename.rename_type) {
        Ok(ObjectType::ObjectTable | ObjectType::ObjectView | ObjectType::ObjectMatview) => Renamed::Relation,
        Ok(ObjectType::ObjectColumn) => Renamed::Column(rename.subname.clone()),
        _ => Renamed::Other,
    };
    Action::Rename { table, what, to: rename.newname.clone() }
}

fn dropped(drop: &DropStmt) -> Action {
    let kind = match ObjectType::try_from(drop.remove_type) {
        Ok(ObjectType::ObjectTable | ObjectType::ObjectForeignTable) => Dropped::Table,
        Ok(ObjectType::ObjectIndex) => Dropped::Index,
        Ok(ObjectType::ObjectView) => Dropped::View,
        Ok(ObjectType::ObjectMatview) => Dropped::MaterializedView,
        Ok(ObjectType::ObjectSchema) => Dropped::Schema,
        _ => Dropped::Other,
    };
    Action::Drop {
        kind,
        names: crate::idea::dropped(drop),
        concurrently: drop.concurrent,
        if_exists: drop.missing_ok,
        cascade: drop.behavior == DropBehavior::DropCascade as i32,
    }
}

fn alter_table(alter: &AlterTableStmt) -> Vec<Action> {
    let Some(relation) = &alter.relation else { return vec![Action::Other] };
    let table = written(relation);
    if ObjectType::try_from(alter.objtype) == Ok(ObjectType::ObjectIndex) {
        return alter.cmds.iter().map(|node| moves::of_index(&table, node)).collect();
    }
    let relation_kind = matches!(
        ObjectType::try_from(alter.objtype),
        Ok(ObjectType::ObjectTable | ObjectType::ObjectMatview | ObjectType::ObjectForeignTable)
    );
    if !relation_kind {
        return vec![Action::Other];
    }
    alter
        .cmds
        .iter()
        .map(|node| match &node.node {
            Some(NodeEnum::AlterTableCmd(command)) => {
                Action::AlterTable { table: table.clone(), change: table_change(command) }
            }
            _ => Action::Other,
        })
        .collect()
}

fn table_change(command: &AlterTableCmd) -> TableChange {
    let def = command.def.as_ref().and_then(|d| d.node.as_ref());
    let column = || command.name.clone();
    let rewrite = |what| TableChange::Rewrite { what, to: None };
    let Ok(kind) = AlterTableType::try_from(command.subtype) else { return TableChange::Catalog };
    match (kind, def) {
        (AlterTableType::AtAddColumn, Some(NodeEnum::ColumnDef(column))) => {
            TableChange::AddColumn(Box::new(new_column(column)))
        }
        (AlterTableType::AtDropColumn, _) => TableChange::DropColumn { column: column() },
        (AlterTableType::AtAlterColumnType, Some(NodeEnum::ColumnDef(definition))) => TableChange::SetType {
            column: column(),
            to: definition.type_name.as_ref().map(type_name).unwrap_or_default(),
            using: definition.raw_default.as_ref().and_then(|e| crate::idea::expression((**e).clone()).ok()),
            collation: definition
                .coll_clause
                .as_ref()
                .and_then(|clause| clause.collname.iter().filter_map(string).next_back()),
        },
        (AlterTableType::AtSetNotNull, _) => TableChange::SetNotNull { column: column() },
        (AlterTableType::AtAddConstraint, Some(NodeEnum::Constraint(_))) => {
            match command.def.as_deref().and_then(constraint) {
                Some(constraint) => TableChange::AddConstraint(Box::new(constraint)),
                None => TableChange::Catalog,
            }
        }
        (AlterTableType::AtValidateConstraint, _) => TableChange::Validate { name: column() },
        (AlterTableType::AtDropConstraint, _) => TableChange::DropConstraint {
            name: column(),
            cascade: command.behavior == DropBehavior::DropCascade as i32,
        },
        (AlterTableType::AtAttachPartition, Some(NodeEnum::PartitionCmd(partition))) => TableChange::Attach {
            partition: partition.name.as_ref().map_or_else(nameless, written),
            bound: partition.bound.as_ref().and_then(crate::partition_bound::written),
        },
        (AlterTableType::AtDetachPartition, Some(NodeEnum::PartitionCmd(partition))) => TableChange::Detach {
            partition: partition.name.as_ref().map_or_else(nameless, written),
            concurrently: partition.concurrent,
        },
        (AlterTableType::AtSetTableSpace, _) => {
            TableChange::Rewrite { what: "SET TABLESPACE", to: Some(column()) }
        }
        (AlterTableType::AtSetLogged, _) => rewrite("SET LOGGED"),
        (AlterTableType::AtSetUnLogged, _) => rewrite("SET UNLOGGED"),
        (AlterTableType::AtSetAccessMethod, _) => TableChange::Rewrite {
            what: "SET ACCESS METHOD",
            to: Some(column()).filter(|name| !name.is_empty()),
        },
        (AlterTableType::AtSetExpression, _) => rewrite("SET EXPRESSION"),
        (
            AlterTableType::AtDetachPartitionFinalize
            | AlterTableType::AtSetStatistics
            | AlterTableType::AtSetOptions
            | AlterTableType::AtResetOptions
            | AlterTableType::AtSetRelOptions
            | AlterTableType::AtResetRelOptions
            | AlterTableType::AtClusterOn
            | AlterTableType::AtDropCluster,
            _,
        ) => TableChange::Parameters,
        _ => TableChange::Catalog,
    }
}

fn new_column(column: &ColumnDef) -> NewColumn {
    let type_name = column.type_name.as_ref().map(type_name).unwrap_or_default();
    let serial = ["serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"];
    let mut new = NewColumn {
        name: column.colname.clone(),
        not_null: column.is_not_null,
        default: None,
        default_calls: Vec::new(),
        stored: false,
        numbered: serial.contains(&type_name.as_str()),
        type_name,
        constraints: Vec::new(),
    };
    for node in &column.constraints {
        let Some(NodeEnum::Constraint(inner)) = &node.node else { continue };
        match ConstrType::try_from(inner.contype) {
            Ok(ConstrType::ConstrNotnull) => new.not_null = true,
            Ok(ConstrType::ConstrDefault) => {
                if let Some(expression) = &inner.raw_expr {
                    new.default = crate::idea::expression((**expression).clone()).ok();
                    new.default_calls = crate::idea::calls(expression);
                }
            }
            Ok(ConstrType::ConstrIdentity) => new.numbered = true,
            Ok(ConstrType::ConstrGenerated) => new.stored = inner.generated_kind != "v",
            _ => {
                if let Some(mut constraint) = constraint(node) {
                    if constraint.kind == ConstraintKind::PrimaryKey {
                        new.not_null = true;
                    }
                    if constraint.columns.is_empty() && constraint.kind != ConstraintKind::Check {
                        constraint.columns = vec![new.name.clone()];
                    }
                    new.constraints.push(constraint);
                }
            }
        }
    }
    if new.default.as_deref() == Some("NULL") {
        new.default = None;
    }
    new
}

fn constraint(node: &Node) -> Option<NewConstraint> {
    let Some(NodeEnum::Constraint(inner)) = &node.node else { return None };
    let inner: &Constraint = inner;
    let kind = match ConstrType::try_from(inner.contype) {
        Ok(ConstrType::ConstrPrimary) => ConstraintKind::PrimaryKey,
        Ok(ConstrType::ConstrUnique) => ConstraintKind::Unique,
        Ok(ConstrType::ConstrForeign) => ConstraintKind::ForeignKey,
        Ok(ConstrType::ConstrCheck) => ConstraintKind::Check,
        Ok(ConstrType::ConstrExclusion) => ConstraintKind::Exclusion,
        Ok(ConstrType::ConstrNotnull) => ConstraintKind::NotNull,
        _ => return None,
    };
    let text = |t: &String| (!t.is_empty()).then(|| t.clone());
    let keys = if kind == ConstraintKind::ForeignKey { &inner.fk_attrs } else { &inner.keys };
    Some(NewConstraint {
        kind,
        name: text(&inner.conname),
        columns: keys.iter().filter_map(string).collect(),
        references: inner.pktable.as_ref().map(written),
        referenced_columns: inner.pk_attrs.iter().filter_map(string).collect(),
        expression: inner.raw_expr.as_ref().and_then(|e| crate::idea::expression((**e).clone()).ok()),
        not_valid: inner.skip_validation,
        using_index: text(&inner.indexname),
    })
}

#[cfg(test)]
mod tests;
