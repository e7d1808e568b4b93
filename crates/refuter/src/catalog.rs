//! Which tables have to hold rows for a statement to answer, what may stand in their columns, and what do
//! their constraints ask for?
//!
//! Source: PostgreSQL manual, "System Catalogs". Read from the local server, where the schema was restored.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use model::QualifiedName;
use tokio_postgres::Client;
use tokio_postgres::types::Oid;

use crate::error::Error;

/// A type, domains resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeFacts {
    /// As `format_type()` prints it, which is how it is written in a cast.
    pub(crate) name: String,
    /// `typname` of the base type.
    pub(crate) base: String,
    /// `typtype` of the base type.
    pub(crate) kind: char,
    /// `typcategory` of the base type.
    pub(crate) category: char,
    /// Labels of an enum.
    pub(crate) labels: Vec<String>,
    /// Element type of an array, or subtype of a range.
    pub(crate) element: Option<Box<TypeFacts>>,
}

/// A column that rows can be inserted with.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) column_type: TypeFacts,
    pub(crate) not_null: bool,
    /// Whether leaving it out gives something else than NULL.
    pub(crate) has_default: bool,
    /// Whether that is the same each time.
    pub(crate) plain_default: bool,
    /// `GENERATED ALWAYS AS IDENTITY`, which takes no values without being told so.
    pub(crate) always_identity: bool,
}

/// A foreign key between two of the tables.
#[derive(Clone, Debug)]
pub(crate) struct ForeignKey {
    pub(crate) columns: Vec<usize>,
    pub(crate) table: usize,
    pub(crate) referenced: Vec<usize>,
    /// `MATCH FULL`: either all columns are NULL or none. Otherwise one that is NULL frees the others.
    pub(crate) match_full: bool,
}

/// A table that is filled.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: QualifiedName,
    pub(crate) columns: Vec<Column>,
    /// Conditions on a row, as the schema has them: of CHECK constraints and partition bounds.
    pub(crate) checks: Vec<String>,
    /// Unique keys of plain columns.
    pub(crate) keys: Vec<Vec<usize>>,
    /// Whether a key is DEFERRABLE, so that `ON CONFLICT` is refused.
    pub(crate) deferrable_key: bool,
    pub(crate) foreign_keys: Vec<ForeignKey>,
}

/// Everything that is filled, referenced tables first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    pub(crate) tables: Vec<Table>,
    pub(crate) materialized_views: Vec<QualifiedName>,
}

impl Tables {
    /// Stretches of tables that reference each other in a circle: of each, one key at least references a table
    /// that comes later.
    pub(crate) fn circles(&self) -> Vec<RangeInclusive<usize>> {
        let mut found: Vec<RangeInclusive<usize>> = Vec::new();
        for (at, table) in self.tables.iter().enumerate() {
            let Some(last) = table.foreign_keys.iter().map(|key| key.table).filter(|to| *to > at).max()
            else {
                continue;
            };
            match found.last_mut().filter(|before| before.contains(&at)) {
                Some(before) => *before = *before.start()..=last.max(*before.end()),
                None => found.push(at..=last),
            }
        }
        found
    }
}

/// What a statement reads, as the server understands it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses {
    pub(crate) relations: BTreeSet<Oid>,
    /// Names of volatile functions.
    pub(crate) volatile: Vec<String>,
    /// Relations whose rows cannot be made up.
    pub(crate) foreign: Vec<String>,
    /// Whether it has `UNION`, `INTERSECT` or `EXCEPT`, itself or in a view.
    pub(crate) set_operations: bool,
}

const VIEW: &str = "pg_temp.pgwright_refuter_uses";

/// What a statement without parameters reads, through views. The stored tree of a view names it all.
pub(crate) async fn uses(client: &Client, statement: &str) -> Result<Uses, tokio_postgres::Error> {
    client.batch_execute("BEGIN").await?;
    let found = uses_in_transaction(client, statement).await;
    client.batch_execute("ROLLBACK").await?;
    found
}

async fn uses_in_transaction(client: &Client, statement: &str) -> Result<Uses, tokio_postgres::Error> {
    // EXISTS, because output columns of a view must have different names.
    client
        .batch_execute(&format!(
            "CREATE TEMPORARY VIEW pgwright_refuter_uses AS SELECT EXISTS (\n{statement}\n) AS any"
        ))
        .await?;
    let relations = client
        .query(
            "WITH RECURSIVE used (oid) AS (
                 SELECT pg_catalog.to_regclass($1)::pg_catalog.oid
                 UNION
                 SELECT m.found[1]::pg_catalog.oid
                 FROM used AS u
                 JOIN pg_catalog.pg_class AS c ON c.oid = u.oid AND c.relkind = 'v'
                 JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = u.oid AND r.ev_type = '1'
                 CROSS JOIN LATERAL pg_catalog.regexp_matches(r.ev_action::pg_catalog.text, ':relid ([0-9]+)', 'g')
                     AS m (found)
             )
             SELECT /* pgwright:refuter_uses */ c.oid, c.relkind::pg_catalog.text AS kind,
                 n.nspname = ANY (ARRAY['pg_catalog', 'information_schema']) AS system,
                 pg_catalog.format('%s.%s', n.nspname, c.relname) AS name
             FROM used AS u
             JOIN pg_catalog.pg_class AS c ON c.oid = u.oid
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace",
            &[&VIEW],
        )
        .await?;
    let mut found = Uses::default();
    let mut views = Vec::new();
    for row in relations {
        let (oid, kind): (Oid, String) = (row.try_get("oid")?, row.try_get("kind")?);
        let system: bool = row.try_get("system")?;
        match kind.as_str() {
            "v" => views.push(oid),
            "r" | "p" | "m" if !system => drop(found.relations.insert(oid)),
            _ => found.foreign.push(row.try_get("name")?),
        }
    }
    let functions = client
        .query(
            "SELECT DISTINCT /* pgwright:refuter_functions */ p.proname::pg_catalog.text AS name
             FROM pg_catalog.pg_rewrite AS r
             CROSS JOIN LATERAL pg_catalog.regexp_matches(
                 r.ev_action::pg_catalog.text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') AS m (found)
             JOIN pg_catalog.pg_proc AS p ON p.oid = m.found[1]::pg_catalog.oid
             WHERE r.ev_class = ANY ($1) AND p.provolatile = 'v'
             ORDER BY 1",
            &[&views],
        )
        .await?;
    for row in functions {
        found.volatile.push(row.try_get("name")?);
    }
    let sets = client
        .query_one(
            "SELECT /* pgwright:refuter_sets */ COALESCE(pg_catalog.bool_or(
                 pg_catalog.strpos(r.ev_action::pg_catalog.text, '{SETOPERATIONSTMT') > 0), false)
             FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = ANY ($1)",
            &[&views],
        )
        .await?;
    found.set_operations = sets.try_get(0)?;
    Ok(found)
}

/// Reads the tables that must be filled for these relations: themselves, the tables that their foreign keys
/// reference, further ones where a foreign key cannot be NULL, partitions through their roots.
pub(crate) async fn tables(client: &Client, relations: &BTreeSet<Oid>) -> Result<Tables, Error> {
    read(client, relations).await.map_err(Error::sql("reading the local catalog"))
}

const NEEDED: &str = "
WITH RECURSIVE needed (oid, used) AS (
    SELECT u.oid, true FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS u (oid)
    UNION
    SELECT x.oid, x.used FROM needed AS n CROSS JOIN LATERAL (
        SELECT k.confrelid AS oid, false AS used FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid = n.oid AND k.contype = 'f' AND k.conparentid = 0 AND (n.used OR NOT EXISTS (
            SELECT FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) AND NOT a.attnotnull))
        UNION ALL
        SELECT i.inhparent, n.used FROM pg_catalog.pg_inherits AS i
        JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhrelid = n.oid AND c.relispartition
        UNION ALL
        SELECT i.inhrelid, n.used FROM pg_catalog.pg_inherits AS i
        JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = n.oid AND NOT c.relispartition
        UNION ALL
        SELECT m.found[1]::pg_catalog.oid, n.used FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = c.oid
        CROSS JOIN LATERAL pg_catalog.regexp_matches(r.ev_action::pg_catalog.text, ':relid ([0-9]+)', 'g') AS m (found)
        WHERE c.oid = n.oid AND c.relkind IN ('m', 'v') AND m.found[1]::pg_catalog.oid <> n.oid
    ) AS x
)
SELECT DISTINCT /* pgwright:refuter_tables */ c.oid, c.relkind::pg_catalog.text AS kind,
    n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name
FROM needed AS d
JOIN pg_catalog.pg_class AS c ON c.oid = d.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
ORDER BY 3, 4";

const COLUMNS: &str = "
WITH RECURSIVE resolved (type_oid, oid, not_null) AS (
    SELECT t.oid, t.oid, false FROM pg_catalog.pg_type AS t
    WHERE t.oid IN (SELECT a.atttypid FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = ANY ($1))
    UNION ALL
    SELECT r.type_oid, t.typbasetype, r.not_null OR t.typnotnull
    FROM resolved AS r JOIN pg_catalog.pg_type AS t ON t.oid = r.oid WHERE t.typtype = 'd'
)
SELECT /* pgwright:refuter_columns */ a.attrelid, a.attname::pg_catalog.text AS name, a.attnum,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
    a.attnotnull OR r.not_null AS not_null,
    a.atthasdef OR a.attidentity <> '' OR b.typdefault IS NOT NULL AS has_default,
    a.attidentity = 'a' AS always_identity,
    COALESCE(pg_catalog.pg_get_expr(f.adbin, f.adrelid) !~ '\\(', false) AS plain_default,
    b.typname::pg_catalog.text AS base, b.typtype::pg_catalog.text AS kind, b.typcategory::pg_catalog.text AS category,
    ARRAY(SELECT e.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = b.oid
          ORDER BY e.enumsortorder) AS labels,
    pg_catalog.format_type(s.oid, NULL) AS element, s.typname::pg_catalog.text AS element_base,
    s.typtype::pg_catalog.text AS element_kind, s.typcategory::pg_catalog.text AS element_category,
    ARRAY(SELECT e.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = s.oid
          ORDER BY e.enumsortorder) AS element_labels
FROM pg_catalog.pg_attribute AS a
JOIN resolved AS r ON r.type_oid = a.atttypid
JOIN pg_catalog.pg_type AS b ON b.oid = r.oid AND b.typtype <> 'd'
LEFT JOIN pg_catalog.pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
LEFT JOIN pg_catalog.pg_range AS g ON g.rngtypid = b.oid
LEFT JOIN pg_catalog.pg_type AS s ON s.oid = CASE
    WHEN g.rngsubtype IS NOT NULL THEN g.rngsubtype WHEN b.typcategory = 'A' THEN b.typelem END
WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attrelid, a.attnum";

const CONSTRAINTS: &str = "
SELECT /* pgwright:refuter_constraints */ k.conrelid, k.contype::pg_catalog.text AS kind, k.conkey, k.confrelid,
    k.confkey, pg_catalog.pg_get_expr(k.conbin, k.conrelid) AS expression, k.confmatchtype = 'f' AS match_full
FROM pg_catalog.pg_constraint AS k
WHERE k.conrelid = ANY ($1) AND k.contype IN ('c', 'f')
UNION ALL
SELECT i.indrelid, 'u', ARRAY(SELECT a.number FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[])
        WITH ORDINALITY AS a (number, place) WHERE a.place <= i.indnkeyatts ORDER BY a.place), 0::pg_catalog.oid, NULL, NULL, false
FROM pg_catalog.pg_index AS i
WHERE i.indrelid = ANY ($1) AND i.indisunique AND i.indpred IS NULL
UNION ALL
SELECT i.indrelid, 'd', NULL, 0::pg_catalog.oid, NULL, NULL, false
FROM pg_catalog.pg_index AS i
WHERE i.indrelid = ANY ($1) AND NOT i.indimmediate
UNION ALL
SELECT t.root, 'p', NULL, 0::pg_catalog.oid, NULL, pg_catalog.pg_get_partition_constraintdef(p.relid), false
FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS t (root)
CROSS JOIN LATERAL pg_catalog.pg_partition_tree(t.root::pg_catalog.regclass) AS p
WHERE p.isleaf AND p.relid <> t.root
ORDER BY 1, 2, 3, 6";

/// Beyond this number of partitions their bounds are not asked for row by row.
const PARTITIONS_MAX: usize = 40;

async fn read(client: &Client, relations: &BTreeSet<Oid>) -> Result<Tables, tokio_postgres::Error> {
    let wanted: Vec<Oid> = relations.iter().copied().collect();
    let mut found = Tables::default();
    let mut oids: Vec<Oid> = Vec::new();
    let mut names: HashMap<Oid, QualifiedName> = HashMap::new();
    for row in client.query(NEEDED, &[&wanted]).await? {
        let name = QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?);
        let kind: String = row.try_get("kind")?;
        if kind == "m" {
            found.materialized_views.push(name);
        } else {
            let oid: Oid = row.try_get("oid")?;
            oids.push(oid);
            names.insert(oid, name);
        }
    }
    let mut columns: HashMap<Oid, Vec<(i16, Column)>> = HashMap::new();
    for row in client.query(COLUMNS, &[&oids]).await? {
        let column_type = facts(&row)?;
        let column = Column {
            name: row.try_get("name")?,
            column_type,
            not_null: row.try_get("not_null")?,
            has_default: row.try_get("has_default")?,
            plain_default: row.try_get("plain_default")?,
            always_identity: row.try_get("always_identity")?,
        };
        columns.entry(row.try_get("attrelid")?).or_default().push((row.try_get("attnum")?, column));
    }
    let rows = client.query(CONSTRAINTS, &[&oids]).await?;
    let mut constraints: Vec<Row> = Vec::new();
    for row in &rows {
        constraints.push(Row {
            table: row.try_get("conrelid")?,
            kind: row.try_get("kind")?,
            key: row.try_get::<_, Option<Vec<i16>>>("conkey")?.unwrap_or_default(),
            referenced_table: row.try_get("confrelid")?,
            referenced: row.try_get::<_, Option<Vec<i16>>>("confkey")?.unwrap_or_default(),
            expression: row.try_get("expression")?,
            match_full: row.try_get("match_full")?,
        });
    }
    let optional = |row: &Row| {
        let own = columns.get(&row.table).into_iter().flatten();
        own.filter(|(number, _)| row.key.contains(number)).any(|(_, column)| !column.not_null)
    };
    let order = referenced_first(&oids, &constraints, optional);
    let place: BTreeMap<Oid, usize> = order.iter().enumerate().map(|(at, oid)| (*oid, at)).collect();
    let numbers: HashMap<Oid, Vec<i16>> =
        columns.iter().map(|(oid, list)| (*oid, list.iter().map(|(number, _)| *number).collect())).collect();
    let at = |table: Oid, keys: &[i16]| -> Option<Vec<usize>> {
        let numbers = numbers.get(&table)?;
        keys.iter().map(|key| numbers.iter().position(|n| n == key)).collect()
    };
    for oid in order {
        let Some(name) = names.remove(&oid) else { continue };
        let mut table = Table {
            name,
            columns: columns.remove(&oid).unwrap_or_default().into_iter().map(|(_, c)| c).collect(),
            checks: Vec::new(),
            keys: Vec::new(),
            deferrable_key: constraints.iter().any(|r| r.table == oid && r.kind == "d"),
            foreign_keys: Vec::new(),
        };
        let own: Vec<&Row> = constraints.iter().filter(|r| r.table == oid).collect();
        for row in own.iter().filter(|r| r.kind == "c") {
            table.checks.extend(row.expression.clone());
        }
        for row in own.iter().filter(|r| r.kind == "u") {
            table.keys.extend(at(oid, &row.key).filter(|key| !key.is_empty()));
        }
        for row in own.iter().filter(|r| r.kind == "f") {
            let (Some(columns), Some(referenced)) =
                (at(oid, &row.key), at(row.referenced_table, &row.referenced))
            else {
                continue;
            };
            if let Some(referenced_table) = place.get(&row.referenced_table) {
                let match_full = row.match_full;
                table.foreign_keys.push(ForeignKey {
                    columns,
                    table: *referenced_table,
                    referenced,
                    match_full,
                });
            }
        }
        let bounds: Vec<&str> =
            own.iter().filter(|r| r.kind == "p").filter_map(|r| r.expression.as_deref()).collect();
        if !bounds.is_empty() && bounds.len() <= PARTITIONS_MAX {
            table.checks.push(bounds.iter().map(|b| format!("({b})")).collect::<Vec<_>>().join(" OR "));
        }
        found.tables.push(table);
    }
    Ok(found)
}

const TYPES: &str = "
SELECT /* pgwright:refuter_types */ pg_catalog.format_type(t.oid, NULL) AS type, t.typname::pg_catalog.text AS base,
    t.typtype::pg_catalog.text AS kind, t.typcategory::pg_catalog.text AS category,
    ARRAY(SELECT e.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = t.oid
          ORDER BY e.enumsortorder) AS labels,
    pg_catalog.format_type(s.oid, NULL) AS element, s.typname::pg_catalog.text AS element_base,
    s.typtype::pg_catalog.text AS element_kind, s.typcategory::pg_catalog.text AS element_category,
    ARRAY(SELECT e.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = s.oid
          ORDER BY e.enumsortorder) AS element_labels
FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY AS w (oid, place)
JOIN pg_catalog.pg_type AS t ON t.oid = w.oid
LEFT JOIN pg_catalog.pg_range AS g ON g.rngtypid = t.oid
LEFT JOIN pg_catalog.pg_type AS s ON s.oid = CASE
    WHEN g.rngsubtype IS NOT NULL THEN g.rngsubtype WHEN t.typcategory = 'A' THEN t.typelem END
ORDER BY w.place";

/// What is known of these types, in their order.
pub(crate) async fn types(client: &Client, oids: &[Oid]) -> Result<Vec<TypeFacts>, tokio_postgres::Error> {
    client.query(TYPES, &[&oids]).await?.iter().map(facts).collect()
}

fn facts(row: &tokio_postgres::Row) -> Result<TypeFacts, tokio_postgres::Error> {
    let letter = |text: Option<String>| text.and_then(|t| t.chars().next()).unwrap_or(' ');
    let element = match row.try_get::<_, Option<String>>("element_base")? {
        None => None,
        Some(base) => Some(Box::new(TypeFacts {
            name: row.try_get("element")?,
            base,
            kind: letter(row.try_get("element_kind")?),
            category: letter(row.try_get("element_category")?),
            labels: row.try_get("element_labels")?,
            element: None,
        })),
    };
    Ok(TypeFacts {
        name: row.try_get("type")?,
        base: row.try_get("base")?,
        kind: letter(row.try_get("kind")?),
        category: letter(row.try_get("category")?),
        labels: row.try_get("labels")?,
        element,
    })
}

struct Row {
    table: Oid,
    kind: String,
    key: Vec<i16>,
    referenced_table: Oid,
    referenced: Vec<i16>,
    expression: Option<String>,
    match_full: bool,
}

/// The tables with those that they reference before them. A circle is broken where a reference may be NULL,
/// else by name.
fn referenced_first(tables: &[Oid], constraints: &[Row], optional: impl Fn(&Row) -> bool) -> Vec<Oid> {
    let mut order: Vec<Oid> = Vec::new();
    let mut left: Vec<Oid> = tables.to_vec();
    while !left.is_empty() {
        let waits = |table: &Oid, for_optional: bool| {
            constraints
                .iter()
                .filter(|r| r.kind == "f" && r.table == *table && r.referenced_table != *table)
                .any(|r| left.contains(&r.referenced_table) && (for_optional || !optional(r)))
        };
        let ready = left.iter().position(|table| !waits(table, true));
        let ready = ready.or_else(|| left.iter().position(|table| !waits(table, false)));
        order.push(left.remove(ready.unwrap_or(0)));
    }
    order
}
