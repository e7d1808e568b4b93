//! What is in the schema beside tables and indexes, and who may log in?
//!
//! Source: `pg_sequence`, `pg_policy`, `pg_proc`, `pg_description`, the transaction ages of `pg_class` and
//! `pg_database`, and `pg_hba_file_rules`.

use model::QualifiedName;
use model::schema::{DatabaseAge, DefinerFunction, HbaRule, Policy, RelationAge, SchemaFacts, Sequence};

use super::relations::optional_name;
use crate::catalog_query;
use crate::catalog_query::{CatalogRow, read};
use crate::error::Error;
use crate::session::Session;

catalog_query! {
    /// A sequence, with the column that it feeds.
    pub struct SequenceRow {
        schema: String,
        name: String,
        data_type: String,
        increment: i64,
        min_value: i64,
        max_value: i64,
        cycle: bool,
        last_value: Option<i64>,
        table_schema: Option<String>,
        table_name: Option<String>,
        column_name: Option<String>,
        owned: bool,
        identity: bool,
    }
    name "sequences"
    server { 13 => "sequences.sql" }
}

catalog_query! {
    /// A row-security policy.
    pub struct PolicyRow {
        name: String,
        table_schema: String,
        table_name: String,
        command: String,
        using: Option<String>,
        check: Option<String>,
    }
    name "policies"
    server { 13 => "policies.sql" }
}

catalog_query! {
    /// A function that runs as its owner.
    pub struct DefinerFunctionRow {
        schema: String,
        name: String,
        arguments: String,
        procedure: bool,
        owner: String,
        owner_is_superuser: bool,
        search_path: Option<String>,
        public: bool,
    }
    name "definer_functions"
    server { 13 => "definer_functions.sql" }
}

catalog_query! {
    /// A relation with a comment.
    pub struct CommentedRelationRow { schema: String, name: String }
    name "commented_relations"
    server { 13 => "commented_relations.sql" }
}

catalog_query! {
    /// How old the rows of a table are, TOAST tables and the catalog's own among them.
    pub struct RelationAgeRow {
        schema: String,
        name: String,
        toast_of_schema: Option<String>,
        toast_of_name: Option<String>,
        xid_age: i64,
        mxid_age: i64,
    }
    name "relation_ages"
    server { 13 => "relation_ages.sql" }
}

catalog_query! {
    /// How old the rows of a database are.
    pub struct DatabaseAgeRow { name: String, xid_age: i64, mxid_age: i64 }
    name "database_ages"
    server { 13 => "database_ages.sql" }
}

catalog_query! {
    /// Whether the role may read `pg_hba_file_rules`.
    pub struct HbaAccessRow { readable: bool }
    name "hba_access"
    server { 13 => "hba_access.sql" }
}

catalog_query! {
    /// A rule of `pg_hba.conf` that the server understood.
    pub struct HbaRuleRow {
        line: i32,
        kind: String,
        databases: Vec<String>,
        users: Vec<String>,
        address: Option<String>,
        method: String,
    }
    name "hba_rules"
    server { 13 => "hba_rules.sql" }
}

/// Reads all of it, within the caller's transaction.
///
/// # Errors
/// Those of the queries. That the role may not read `pg_hba_file_rules` is none.
pub(crate) async fn schema_facts(session: &Session) -> Result<SchemaFacts, Error> {
    async fn all<R: CatalogRow>(session: &Session) -> Result<Vec<R>, Error> {
        read(session, session.version_num(), &[]).await
    }
    let (sequences, policies, functions, commented, ages, databases, access) = tokio::try_join!(
        all::<SequenceRow>(session),
        all::<PolicyRow>(session),
        all::<DefinerFunctionRow>(session),
        all::<CommentedRelationRow>(session),
        all::<RelationAgeRow>(session),
        all::<DatabaseAgeRow>(session),
        all::<HbaAccessRow>(session),
    )?;
    let readable = access.first().is_some_and(|row| row.readable);
    let hba_rules = if readable { Some(all::<HbaRuleRow>(session).await?) } else { None };
    Ok(SchemaFacts {
        read: true,
        sequences: sequences.into_iter().map(Into::into).collect(),
        policies: policies.into_iter().map(Into::into).collect(),
        definer_functions: functions.into_iter().map(Into::into).collect(),
        commented: commented.into_iter().map(|row| QualifiedName::new(row.schema, row.name)).collect(),
        ages: ages.into_iter().map(Into::into).collect(),
        database_ages: databases.into_iter().map(Into::into).collect(),
        hba_rules: hba_rules.map(|rules| rules.into_iter().map(Into::into).collect()),
    })
}

impl From<SequenceRow> for Sequence {
    fn from(row: SequenceRow) -> Self {
        Self {
            name: QualifiedName::new(row.schema, row.name),
            data_type: row.data_type,
            increment: row.increment,
            min_value: row.min_value,
            max_value: row.max_value,
            cycle: row.cycle,
            last_value: row.last_value,
            table: optional_name(row.table_schema, row.table_name),
            column: row.column_name,
            owned: row.owned,
            identity: row.identity,
        }
    }
}

impl From<PolicyRow> for Policy {
    fn from(row: PolicyRow) -> Self {
        Self {
            name: row.name,
            table: QualifiedName::new(row.table_schema, row.table_name),
            command: row.command,
            using: row.using,
            check: row.check,
        }
    }
}

impl From<DefinerFunctionRow> for DefinerFunction {
    fn from(row: DefinerFunctionRow) -> Self {
        Self {
            name: QualifiedName::new(row.schema, row.name),
            arguments: row.arguments,
            procedure: row.procedure,
            owner: row.owner,
            owner_is_superuser: row.owner_is_superuser,
            search_path: row.search_path,
            public: row.public,
        }
    }
}

impl From<RelationAgeRow> for RelationAge {
    fn from(row: RelationAgeRow) -> Self {
        Self {
            name: QualifiedName::new(row.schema, row.name),
            toast_of: optional_name(row.toast_of_schema, row.toast_of_name),
            xid_age: row.xid_age,
            mxid_age: row.mxid_age,
        }
    }
}

impl From<DatabaseAgeRow> for DatabaseAge {
    fn from(row: DatabaseAgeRow) -> Self {
        Self { name: row.name, xid_age: row.xid_age, mxid_age: row.mxid_age }
    }
}

impl From<HbaRuleRow> for HbaRule {
    fn from(row: HbaRuleRow) -> Self {
        Self {
            line: row.line,
            kind: row.kind,
            databases: row.databases,
            users: row.users,
            address: row.address,
            method: row.method,
        }
    }
}
