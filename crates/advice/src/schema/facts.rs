//! What every check asks of a snapshot, looked up once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use model::snapshot::{Column, Constraint, ConstraintKind, ForeignKeyTarget, Index, Relation, RelationKind};
use model::{QualifiedName, Snapshot};
use sql::{Analysis, Domain, ParsedStatement, SnapshotCatalog};

use super::{Beside, Thresholds};
use crate::tables::Tables;

/// A snapshot as checks see it.
#[derive(Debug)]
pub struct Facts<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) beside: Beside<'a>,
    pub(crate) thresholds: &'a Thresholds,
    pub(crate) tables: Tables<'a>,
    constraints: BTreeMap<&'a QualifiedName, Vec<&'a Constraint>>,
    analyses: OnceLock<Vec<Analysis>>,
    domains: OnceLock<Vec<Domain>>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, beside: Beside<'a>, thresholds: &'a Thresholds) -> Self {
        let mut constraints: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for constraint in &snapshot.constraints {
            constraints.entry(&constraint.table).or_default().push(constraint);
        }
        Self {
            snapshot,
            beside,
            thresholds,
            tables: Tables::new(snapshot),
            constraints,
            analyses: OnceLock::new(),
            domains: OnceLock::new(),
        }
    }

    /// Relations that somebody designed here: those of extensions and of migration tools are left out, and partitions
    /// are what their table is.
    pub(crate) fn designed(&self) -> impl Iterator<Item = &'a Relation> {
        self.snapshot.relations.iter().filter(|r| {
            r.extension.is_none() && r.partition_bound.is_none() && !is_of_migration_tool(&r.name.name)
        })
    }

    /// Relations that have pages of their own here.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &'a Relation> {
        self.snapshot
            .relations
            .iter()
            .filter(|r| matches!(r.kind, RelationKind::Table | RelationKind::MaterializedView))
    }

    /// Indexes that somebody designed, with their table: not those of partitions that come with the parent's.
    pub(crate) fn designed_indexes(&self) -> impl Iterator<Item = (&'a Relation, &'a Index)> {
        self.snapshot.indexes.iter().filter(|i| i.parent.is_none()).filter_map(|index| {
            let relation = self.tables.relation(&index.definition.table)?;
            relation.extension.is_none().then_some((relation, index))
        })
    }

    /// The constraints of a table.
    pub(crate) fn constraints(&self, table: &QualifiedName) -> &[&'a Constraint] {
        self.constraints.get(table).map_or(&[], Vec::as_slice)
    }

    /// Foreign keys that somebody declared: a partition's copy of its table's is left out.
    pub(crate) fn foreign_keys(&self) -> impl Iterator<Item = (&'a Constraint, &'a ForeignKeyTarget)> {
        self.snapshot.constraints.iter().filter_map(|constraint| {
            let target = constraint.references.as_ref()?;
            (constraint.kind == ConstraintKind::ForeignKey && target.enforced_here)
                .then_some((constraint, target))
        })
    }

    /// The rows of a relation with everything below it.
    pub(crate) fn rows(&self, relation: &Relation) -> f64 {
        self.tables.extent(relation).rows
    }

    /// The columns of the first key of a table.
    pub(crate) fn primary_key(&self, table: &QualifiedName) -> Option<&'a Constraint> {
        self.constraints(table).iter().copied().find(|c| c.kind == ConstraintKind::PrimaryKey)
    }

    /// Relations that hold the rows of a relation: itself, or its leaf partitions.
    pub(crate) fn leaves(&self, relation: &'a Relation) -> Vec<&'a Relation> {
        if relation.kind != RelationKind::PartitionedTable {
            return vec![relation];
        }
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut waiting = vec![relation];
        while let Some(next) = waiting.pop() {
            // A circle in a broken file ends.
            if !seen.insert(&next.name) {
                continue;
            }
            match next.kind {
                RelationKind::PartitionedTable => waiting.extend(self.tables.children(&next.name)),
                _ => found.push(next),
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// A name that no relation of the schema has, of 63 bytes at most.
    pub(crate) fn free_name(&self, schema: &str, base: &str) -> String {
        let relations = self.snapshot.relations.iter().map(|r| &r.name);
        let sequences = self.snapshot.schema.sequences.iter().map(|s| &s.name);
        let taken: BTreeSet<&str> = relations
            .chain(self.snapshot.indexes.iter().map(|i| &i.name))
            .chain(sequences)
            .filter(|name| name.schema == schema)
            .map(|name| name.name.as_str())
            .collect();
        let cut = |most: usize| {
            let mut end = base.len().min(most);
            while !base.is_char_boundary(end) {
                end -= 1;
            }
            &base[..end]
        };
        let first = cut(63);
        if !taken.contains(first) {
            return first.to_owned();
        }
        let numbered = (1..).map(|n| format!("{}{n}", cut(58)));
        numbered.into_iter().find(|name| !taken.contains(name.as_str())).unwrap_or_default()
    }

    /// The domains of the schema.
    pub(crate) fn domains(&self) -> &[Domain] {
        self.domains.get_or_init(|| sql::domains(&self.snapshot.schema_sql))
    }

    /// What the statements of the workload say; those that cannot be parsed are left out.
    pub(crate) fn analyses(&self) -> &[Analysis] {
        self.analyses.get_or_init(|| {
            let catalog = SnapshotCatalog::new(self.snapshot);
            let statements = self.snapshot.statements.iter();
            statements
                .filter(|s| !sql::is_utility(&s.query))
                .filter_map(|s| Some(ParsedStatement::parse(&s.query).ok()?.analyze(&catalog)))
                .collect()
        })
    }
}

/// Types that share a family of B-tree operators, so that an index on one answers for the other.
pub(crate) fn family(column: &Column) -> &str {
    if column.base_type.schema != "pg_catalog" {
        return &column.base_type.name;
    }
    match column.base_type.name.as_str() {
        "int2" | "int4" | "int8" => "integer",
        "float4" | "float8" => "float",
        "text" | "varchar" | "name" => "text",
        "date" | "timestamp" | "timestamptz" => "datetime",
        other => other,
    }
}

/// A column of a table as SQL.
pub(crate) fn column_name(relation: &QualifiedName, column: &str) -> String {
    format!("{relation}.{}", model::quote_identifier(column))
}

/// A share as a person reads it.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// The tables in which migration tools keep what they have run: a tool makes them and decides how they look.
const OF_MIGRATION_TOOLS: &[&str] = &[
    "SequelizeMeta",               // Sequelize
    "__EFMigrationsHistory",       // Entity Framework
    "__diesel_schema_migrations",  // Diesel
    "_prisma_migrations",          // Prisma
    "_sqlx_migrations",            // sqlx
    "alembic_version",             // Alembic
    "ar_internal_metadata",        // Rails
    "atlas_schema_revisions",      // Atlas
    "databasechangelog",           // Liquibase
    "databasechangeloglock",       // Liquibase
    "django_migrations",           // Django
    "doctrine_migration_versions", // Doctrine
    "flyway_schema_history",       // Flyway
    "goose_db_version",            // goose
    "gorp_migrations",             // sql-migrate
    "knex_migrations",             // Knex
    "knex_migrations_lock",        // Knex
    "phinxlog",                    // Phinx
    "refinery_schema_history",     // Refinery
    "schema_migrations",           // Rails, Ecto, golang-migrate, dbmate
];

fn is_of_migration_tool(table: &str) -> bool {
    OF_MIGRATION_TOOLS.contains(&table)
}
