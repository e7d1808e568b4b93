//! Snapshots for tests, from the DDL that a server would be given.

use std::collections::BTreeMap;

use chrono::{TimeZone as _, Utc};
use model::change::{IndexDefinition, IndexKey};
use model::snapshot::{
    Column, Constraint, ConstraintKind, FORMAT_VERSION, ForeignKeyTarget, Index, Relation, RelationKind,
    Server, Setting,
};
use model::{Bytes, QualifiedName, Snapshot};
use pg_query::NodeEnum;
use pg_query::protobuf::{AlterTableType, ColumnDef, ConstrType, Constraint as Clause};

use super::reading::string;

/// Customers, orders, items and reviews.
pub(crate) fn shop() -> Snapshot {
    snapshot(
        "create table customers (id int primary key, name text not null, email text unique, active boolean not null, \
           referrer_id int references customers (id), joined date not null, settings jsonb);\n\
         create table orders (id bigint primary key, customer_id int not null references customers (id), note text, \
           total numeric(10,2) not null, placed_at timestamp not null, shipped_at timestamptz, weight double precision);\n\
         create table products (sku text primary key, title text not null, price numeric(10,2));\n\
         create table items (id bigint primary key, order_id bigint not null references orders (id), \
           sku text references products (sku), price numeric(10,2) not null, quantity int not null, unique (order_id, sku));\n\
         create table reviews (id bigint primary key, order_id bigint not null references orders (id), \
           customer_id int not null, stars int not null, body text);\n\
         create table codes (code char(5) not null, factor double precision not null, token uuid not null primary key);\n\
         create view active_customers as select customers.id, customers.name from public.customers where customers.active;\n\
         create function tenant() returns int language sql stable as 'select 1';\n",
    )
}

/// A snapshot of what these statements would create.
pub(crate) fn snapshot(ddl: &str) -> Snapshot {
    let mut snapshot = Snapshot {
        format_version: FORMAT_VERSION,
        taken_at: Utc.with_ymd_and_hms(2026, 1, 1, 12, 0, 0).unwrap(),
        server: Server {
            version_num: 150_000,
            version: "15.0".into(),
            database: "test".into(),
            user: "owner".into(),
            in_recovery: false,
            started_at: None,
            stats_reset: None,
            encoding: "UTF8".into(),
            collate: "C.UTF-8".into(),
            ctype: "C.UTF-8".into(),
            database_bytes: Bytes(1 << 20),
        },
        settings: BTreeMap::new(),
        extensions: Vec::new(),
        available_extensions: Vec::new(),
        schema_sql: String::new(),
        relations: Vec::new(),
        indexes: Vec::new(),
        constraints: Vec::new(),
        extended_statistics: Vec::new(),
        schema: model::schema::SchemaFacts::default(),
        statements: Vec::new(),
        statements_info: None,
        notes: Vec::new(),
    };
    set(&mut snapshot, "TimeZone", "Europe/Berlin");
    let mut domains: BTreeMap<String, String> = BTreeMap::new();
    // Types of the user's, by their category.
    let mut types: BTreeMap<String, char> = BTreeMap::new();
    let parsed = pg_query::parse(ddl, pg_query::ParserOptions::DEFAULT).unwrap().protobuf;
    for statement in parsed.stmts {
        let node = statement.stmt.unwrap().node.unwrap();
        match &node {
            NodeEnum::CreateStmt(create) => {
                let table = QualifiedName::new("public", create.relation.as_ref().unwrap().relname.clone());
                let mut relation = relation(&table);
                if create.partspec.is_some() {
                    relation.kind = RelationKind::PartitionedTable;
                    relation.partition_key = Some("RANGE".into());
                }
                if let Some(parent) = create.inh_relations.first().and_then(|n| n.node.as_ref()) {
                    let NodeEnum::RangeVar(parent) = parent else { panic!("{parent:?}") };
                    relation.parent = Some(QualifiedName::new("public", parent.relname.clone()));
                    relation.partition_bound = create.partbound.as_ref().map(|_| "FOR VALUES".to_owned());
                    relation.columns = of(&mut snapshot, &relation.parent.clone().unwrap()).columns.clone();
                }
                snapshot.relations.push(relation);
                for element in &create.table_elts {
                    match element.node.as_ref().unwrap() {
                        NodeEnum::ColumnDef(definition) => {
                            column(&mut snapshot, &table, definition, &domains, &types)
                        }
                        NodeEnum::Constraint(clause) => constraint(&mut snapshot, &table, clause, None),
                        other => panic!("{other:?}"),
                    }
                }
            }
            NodeEnum::AlterTableStmt(alter) => {
                let table = QualifiedName::new("public", alter.relation.as_ref().unwrap().relname.clone());
                for command in &alter.cmds {
                    let NodeEnum::AlterTableCmd(command) = command.node.as_ref().unwrap() else { panic!() };
                    if command.subtype == AlterTableType::AtEnableRowSecurity as i32 {
                        of(&mut snapshot, &table).row_security = true;
                    }
                    if let Some(NodeEnum::Constraint(clause)) =
                        command.def.as_ref().and_then(|d| d.node.as_ref())
                    {
                        constraint(&mut snapshot, &table, clause, None);
                    }
                }
            }
            NodeEnum::IndexStmt(index) => {
                let table = QualifiedName::new("public", index.relation.as_ref().unwrap().relname.clone());
                let columns: Vec<String> = index
                    .index_params
                    .iter()
                    .map(|p| match p.node.as_ref().unwrap() {
                        NodeEnum::IndexElem(element) => element.name.clone(),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                add_index(&mut snapshot, &table, &index.idxname, &columns, index.unique, None);
                if let Some(clause) = &index.where_clause {
                    let predicate = crate::idea::expression((**clause).clone()).unwrap();
                    snapshot.indexes.last_mut().unwrap().definition.predicate = Some(predicate);
                }
            }
            NodeEnum::CompositeTypeStmt(created) => {
                types.extend(created.typevar.as_ref().map(|name| (name.relname.clone(), 'C')));
            }
            NodeEnum::CreateEnumStmt(created) => {
                let text = NodeEnum::CreateEnumStmt(created.clone());
                let text = text.deparse(pg_query::DeparseOptions::default()).unwrap();
                let text = text.replacen("CREATE TYPE ", "CREATE TYPE public.", 1);
                snapshot.schema_sql.push_str(&format!("{text};\n"));
                types.extend(created.type_name.last().and_then(string).map(|name| (name, 'E')));
            }
            NodeEnum::CreateDomainStmt(domain) => {
                let name = string(domain.domainname.last().unwrap()).unwrap();
                let base = string(domain.type_name.as_ref().unwrap().names.last().unwrap()).unwrap();
                // PostgreSQL keeps NOT NULL of a domain out of pg_attribute, and so does a snapshot.
                domains.insert(name, base);
            }
            other => {
                let text = other.deparse(pg_query::DeparseOptions::default()).unwrap();
                let text = if text.contains("CREATE VIEW public.") {
                    text
                } else {
                    text.replacen("CREATE VIEW ", "CREATE VIEW public.", 1)
                };
                snapshot.schema_sql.push_str(&format!("{text};\n"));
            }
        }
    }
    snapshot
}

/// Sets a parameter.
pub(crate) fn set(snapshot: &mut Snapshot, name: &str, value: &str) {
    let setting = Setting {
        setting: value.into(),
        unit: None,
        vartype: "string".into(),
        source: "default".into(),
        context: "user".into(),
        category: String::new(),
    };
    snapshot.settings.insert(name.into(), setting);
}

fn relation(table: &QualifiedName) -> Relation {
    Relation {
        oid: 1,
        name: table.clone(),
        kind: RelationKind::Table,
        reltuples: 1000.0,
        relpages: 10,
        relallvisible: 10,
        pages: 10,
        table_bytes: Bytes(80_000),
        toast_pages: 0,
        indexes_bytes: Bytes(0),
        options: Vec::new(),
        unlogged: false,
        row_security: false,
        access_method: None,
        tablespace: None,
        parent: None,
        partition_key: None,
        partition_bound: None,
        extension: None,
        columns: Vec::new(),
        activity: None,
    }
}

fn of<'s>(snapshot: &'s mut Snapshot, table: &QualifiedName) -> &'s mut Relation {
    snapshot.relations.iter_mut().find(|r| &r.name == table).unwrap()
}

fn column(
    snapshot: &mut Snapshot,
    table: &QualifiedName,
    definition: &ColumnDef,
    domains: &BTreeMap<String, String>,
    types: &BTreeMap<String, char>,
) {
    let type_name = definition.type_name.as_ref().unwrap();
    let mut base = string(type_name.names.last().unwrap()).unwrap();
    if let Some(of) = domains.get(&base) {
        base.clone_from(of);
    }
    if !type_name.array_bounds.is_empty() {
        base = format!("_{base}");
    }
    let number = of(snapshot, table).columns.len();
    of(snapshot, table).columns.push(Column {
        attnum: i16::try_from(number).unwrap() + 1,
        name: definition.colname.clone(),
        type_name: base.clone(),
        type_category: match base.as_str() {
            "text" | "varchar" | "bpchar" => 'S',
            name if types.contains_key(name) => types[name],
            _ => 'U',
        },
        has_btree_opclass: base != "json",
        base_type: QualifiedName::new(
            if types.contains_key(&base) || base == "place" { "public" } else { "pg_catalog" },
            base,
        ),
        type_length: 8,
        type_align: 'i',
        not_null: false,
        generated: false,
        default: None,
        collation: definition
            .coll_clause
            .as_ref()
            .map(|c| QualifiedName::new("public", string(c.collname.last().unwrap()).unwrap())),
        statistics_target: None,
        options: Vec::new(),
        statistics: None,
        inherited_statistics: None,
    });
    for clause in &definition.constraints {
        if let NodeEnum::Constraint(clause) = clause.node.as_ref().unwrap() {
            constraint(snapshot, table, clause, Some(&definition.colname));
        }
    }
}

fn constraint(snapshot: &mut Snapshot, table: &QualifiedName, clause: &Clause, column: Option<&str>) {
    let names = |nodes: &[pg_query::protobuf::Node]| nodes.iter().filter_map(string).collect::<Vec<_>>();
    let own = || column.map(|c| vec![c.to_owned()]);
    let deferrable = if clause.deferrable { " DEFERRABLE" } else { "" };
    match ConstrType::try_from(clause.contype).unwrap() {
        ConstrType::ConstrNotnull => {
            let relation = of(snapshot, table);
            relation.columns.iter_mut().find(|c| Some(c.name.as_str()) == column).unwrap().not_null = true;
        }
        kind @ (ConstrType::ConstrPrimary | ConstrType::ConstrUnique) => {
            let primary = kind == ConstrType::ConstrPrimary;
            let columns = own().unwrap_or_else(|| names(&clause.keys));
            if primary {
                for c in of(snapshot, table).columns.iter_mut().filter(|c| columns.contains(&c.name)) {
                    c.not_null = true;
                }
            }
            let suffix = if primary { "pkey".to_owned() } else { format!("{}_key", columns.join("_")) };
            let name = format!("{}_{suffix}", table.name);
            add_index(snapshot, table, &name, &columns, true, Some(&name));
            snapshot.indexes.last_mut().unwrap().primary = primary;
            let kind = if primary { ConstraintKind::PrimaryKey } else { ConstraintKind::Unique };
            snapshot.constraints.push(Constraint {
                name,
                table: table.clone(),
                kind,
                definition: format!("KEY ({}){deferrable}", columns.join(", ")),
                columns,
                references: None,
                validated: true,
            });
        }
        ConstrType::ConstrForeign => {
            let columns = own().unwrap_or_else(|| names(&clause.fk_attrs));
            let target = QualifiedName::new("public", clause.pktable.as_ref().unwrap().relname.clone());
            snapshot.constraints.push(Constraint {
                name: format!("{}_{}_fkey", table.name, columns.join("_")),
                table: table.clone(),
                kind: ConstraintKind::ForeignKey,
                definition: format!("FOREIGN KEY ({}){deferrable}", columns.join(", ")),
                columns,
                references: Some(ForeignKeyTarget {
                    table: target,
                    columns: names(&clause.pk_attrs),
                    enforced_here: true,
                }),
                validated: !clause.skip_validation,
            });
        }
        ConstrType::ConstrCheck => {
            let condition = crate::idea::expression(*clause.raw_expr.clone().unwrap()).unwrap();
            snapshot.constraints.push(Constraint {
                name: format!("{}_check", table.name),
                table: table.clone(),
                kind: ConstraintKind::Check,
                definition: format!(
                    "CHECK ({condition}){}",
                    if clause.is_no_inherit { " NO INHERIT" } else { "" }
                ),
                columns: Vec::new(),
                references: None,
                validated: !clause.skip_validation,
            });
        }
        ConstrType::ConstrDefault
        | ConstrType::ConstrNull
        | ConstrType::ConstrGenerated
        | ConstrType::ConstrIdentity => {}
        // Said of the constraint before it.
        ConstrType::ConstrAttrDeferrable => {
            snapshot.constraints.last_mut().unwrap().definition.push_str(" DEFERRABLE")
        }
        other => panic!("{other:?}"),
    }
}

fn add_index(
    snapshot: &mut Snapshot,
    table: &QualifiedName,
    name: &str,
    columns: &[String],
    unique: bool,
    constraint: Option<&str>,
) {
    let keys = columns.iter().map(IndexKey::column).collect();
    let mut definition = IndexDefinition::btree(table.clone(), name, keys);
    definition.unique = unique;
    snapshot.indexes.push(Index {
        oid: 2,
        name: QualifiedName::new("public", name),
        indexdef: definition.create_sql(false),
        definition,
        primary: false,
        exclusion: false,
        valid: true,
        nulls_not_distinct: false,
        constraint: constraint.map(str::to_owned),
        replica_identity: false,
        clustered: false,
        deferrable: false,
        referenced: false,
        building: false,
        parent: None,
        relpages: 10,
        reltuples: 1000.0,
        pages: 10,
        bytes: Bytes(80_000),
        idx_scan: 0,
        idx_tup_read: 0,
        last_idx_scan: None,
        expression_statistics: BTreeMap::new(),
    });
}

/// Whether a pair is proved on a schema.
pub(crate) fn proved(ddl: &str, before: &str, after: &str) -> bool {
    let snapshot = snapshot(ddl);
    super::Rewriter::new(&snapshot)
        .prove(before, after)
        .unwrap_or_else(|e| panic!("{e:?}\n{before}\n{after}"))
        .is_some()
}

/// What the rules make of a statement on the [`shop`], each text with the rule before it.
#[track_caller]
pub(crate) fn check(sql: &str, expect: &[&str]) {
    let snapshot = shop();
    let found = super::Rewriter::new(&snapshot).rewrites(sql).unwrap();
    let texts: Vec<String> = found
        .into_iter()
        .filter_map(|r| {
            Some(format!("{}: {}", r.rule, r.sql?.split_whitespace().collect::<Vec<_>>().join(" ")))
        })
        .collect();
    assert_eq!(texts, expect, "{sql}");
}
