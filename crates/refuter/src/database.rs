//! What is a tiny database, and by which statements does it come into being?
//!
//! Values made up at random break constraints now and then. A draft is therefore inserted through a filter
//! that asks CHECK constraints, partition bounds and foreign keys row by row, and skips rows that meet an
//! existing key; what survives is a database that the schema accepts, and is from then on inserted plainly.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use model::{quote_identifier, quote_literal};

use crate::catalog::{Table, Tables};

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Cell {
    Null,
    /// By its text.
    Text(String),
    /// An expression over the time at which it is inserted.
    Clock(String),
    /// What the column's default gives; only in databases that are inserted plainly.
    Default,
}

impl Cell {
    /// The value with its type.
    pub(crate) fn sql(&self, type_name: &str) -> String {
        match self {
            Self::Null => format!("NULL::{type_name}"),
            Self::Text(text) => format!("{}::{type_name}", quote_literal(text)),
            Self::Clock(sql) => format!("({sql})::{type_name}"),
            Self::Default => "DEFAULT".into(),
        }
    }

    /// The value as an INSERT statement wants it.
    pub(crate) fn plain_sql(&self) -> String {
        match self {
            Self::Null => "NULL".into(),
            Self::Text(text) => quote_literal(text),
            Self::Clock(sql) => sql.clone(),
            Self::Default => "DEFAULT".into(),
        }
    }
}

/// A row, one value per column of [`Table::columns`].
pub(crate) type Row = Vec<Cell>;

/// Rows of all tables, settings and parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Database {
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) parameters: Vec<(u32, Cell)>,
    pub(crate) rows: Vec<Vec<Row>>,
}

impl Database {
    /// Statements that set what has to be set, in a transaction.
    pub(crate) fn settings_sql(&self) -> String {
        let mut sql = String::new();
        for (name, value) in &self.settings {
            let _ = write!(sql, "SET LOCAL {} = {};", quote_identifier(name), quote_literal(value));
        }
        sql
    }

    /// One insertion per table through the filter, or per row where rows reference rows of their own table; one
    /// for all tables of a circle, because keys are looked up when a statement ends.
    pub(crate) fn filtered_inserts(&self, tables: &Tables) -> Vec<String> {
        let mut all = Vec::new();
        for places in stretches(tables) {
            let circle = (places.start() != places.end()).then_some(&places);
            let mut inserts = Vec::new();
            for at in places.clone() {
                let (Some(table), Some(rows)) = (tables.tables.get(at), self.rows.get(at)) else { continue };
                let alone = circle.is_none() && table.foreign_keys.iter().any(|key| key.table == at);
                match alone {
                    true => {
                        inserts.extend(rows.iter().filter_map(|row| {
                            filtered_insert(tables, table, std::slice::from_ref(row), circle)
                        }))
                    }
                    false => inserts.extend(filtered_insert(tables, table, rows, circle)),
                }
            }
            match circle {
                Some(_) => all.extend(at_once(inserts)),
                None => all.extend(inserts),
            }
        }
        all
    }

    /// One insertion per row through the filter, in the order of tables and rows. Within a circle no key is
    /// asked for.
    pub(crate) fn filtered_inserts_by_row(&self, tables: &Tables) -> Vec<String> {
        let mut all = Vec::new();
        for places in stretches(tables) {
            let circle = (places.start() != places.end()).then_some(&places);
            for at in places.clone() {
                let (Some(table), Some(rows)) = (tables.tables.get(at), self.rows.get(at)) else { continue };
                all.extend(
                    rows.iter()
                        .filter_map(|row| filtered_insert(tables, table, std::slice::from_ref(row), circle)),
                );
            }
        }
        all
    }

    /// Plain insertions, one per table, one for all tables of a circle.
    pub(crate) fn inserts(&self, tables: &Tables) -> Vec<String> {
        self.inserts_by(tables, insert)
    }

    /// The same in a text of one's own.
    pub(crate) fn inserts_by(
        &self,
        tables: &Tables,
        insert: impl Fn(&Table, &[Row]) -> String,
    ) -> Vec<String> {
        let mut all = Vec::new();
        for places in stretches(tables) {
            let filled = places
                .filter_map(|at| Some((tables.tables.get(at)?, self.rows.get(at)?)))
                .filter(|(_, rows)| !rows.is_empty());
            all.extend(at_once(filled.map(|(table, rows)| insert(table, rows)).collect()));
        }
        all
    }

    /// Leaves out rows of circles that reference a row that is not there, until there is none.
    pub(crate) fn drop_dangling(&mut self, tables: &Tables) {
        for places in tables.circles() {
            loop {
                let before = self.len();
                for at in places.clone() {
                    let Some(table) = tables.tables.get(at) else { continue };
                    for key in table.foreign_keys.iter().filter(|key| places.contains(&key.table)) {
                        let referenced: Vec<Vec<Cell>> = self.rows[key.table]
                            .iter()
                            .map(|row| key.referenced.iter().map(|c| row[*c].clone()).collect())
                            .collect();
                        self.rows[at].retain(|row| {
                            let own: Vec<Cell> = key.columns.iter().map(|c| row[*c].clone()).collect();
                            own.contains(&Cell::Null) || referenced.contains(&own)
                        });
                    }
                }
                if self.len() == before {
                    break;
                }
            }
        }
    }

    /// How many rows it holds.
    pub(crate) fn len(&self) -> usize {
        self.rows.iter().map(Vec::len).sum()
    }
}

/// All tables, those of a circle together.
fn stretches(tables: &Tables) -> Vec<RangeInclusive<usize>> {
    let circles = tables.circles();
    let alone = |at: &usize| !circles.iter().any(|circle| circle.contains(at));
    let mut all: Vec<RangeInclusive<usize>> =
        (0..tables.tables.len()).filter(alone).map(|at| at..=at).collect();
    all.extend(circles.iter().cloned());
    all.sort_by_key(|places| *places.start());
    all
}

/// Insertions as one statement, at whose end the foreign keys are looked up.
fn at_once(mut inserts: Vec<String>) -> Option<String> {
    let last = inserts.pop()?;
    if inserts.is_empty() {
        return Some(last);
    }
    let others: Vec<String> =
        inserts.iter().enumerate().map(|(at, insert)| format!("filled_{at} AS ({insert})")).collect();
    Some(format!("WITH {} {last}", others.join(", ")))
}

fn column_list(table: &Table) -> String {
    table.columns.iter().map(|c| quote_identifier(&c.name)).collect::<Vec<_>>().join(", ")
}

fn insert(table: &Table, rows: &[Row]) -> String {
    let rows: Vec<String> = rows
        .iter()
        .map(|row| format!("({})", row.iter().map(Cell::plain_sql).collect::<Vec<_>>().join(", ")))
        .collect();
    format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES {}",
        table.name,
        column_list(table),
        rows.join(", ")
    )
}

fn filtered_insert(
    tables: &Tables,
    table: &Table,
    rows: &[Row],
    circle: Option<&RangeInclusive<usize>>,
) -> Option<String> {
    if rows.is_empty() || table.columns.is_empty() {
        return None;
    }
    let columns = column_list(table);
    let values: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells =
                row.iter().zip(&table.columns).map(|(cell, column)| cell.sql(&column.column_type.name));
            format!("({})", cells.collect::<Vec<_>>().join(", "))
        })
        .collect();
    let mut sql = format!(
        "INSERT INTO {} ({columns}) OVERRIDING SYSTEM VALUE SELECT * FROM (VALUES {}) AS v ({columns}) WHERE true",
        table.name,
        values.join(", ")
    );
    for check in &table.checks {
        // A generated column has no value yet; the constraint itself will see it.
        let names = sql::expression_ingredients(check).columns;
        if names.iter().all(|name| table.columns.iter().any(|c| &c.name == name)) {
            let _ = write!(sql, " AND ({check}) IS NOT FALSE");
        }
    }
    for key in &table.foreign_keys {
        if circle.is_some_and(|circle| circle.contains(&key.table)) {
            continue;
        }
        let Some(referenced) = tables.tables.get(key.table) else { continue };
        let own = |at: &usize| table.columns.get(*at).map(|c| format!("v.{}", quote_identifier(&c.name)));
        let other =
            |at: &usize| referenced.columns.get(*at).map(|c| format!("p.{}", quote_identifier(&c.name)));
        let null: Vec<String> = key.columns.iter().filter_map(own).map(|c| format!("{c} IS NULL")).collect();
        let equal: Vec<String> = key
            .columns
            .iter()
            .zip(&key.referenced)
            .filter_map(|(a, b)| Some(format!("{} = {}", other(b)?, own(a)?)))
            .collect();
        // A row may reference itself.
        let itself: Vec<String> = key
            .columns
            .iter()
            .zip(&key.referenced)
            .filter_map(|(a, b)| Some(format!("{} = {}", own(b)?, own(a)?)))
            .collect();
        let _ = write!(
            sql,
            " AND ({} OR EXISTS (SELECT 1 FROM {} AS p WHERE {})",
            null.join(" OR "),
            referenced.name,
            equal.join(" AND ")
        );
        if referenced.name == table.name && rows.len() == 1 {
            let _ = write!(sql, " OR ({})", itself.join(" AND "));
        }
        sql.push(')');
    }
    if !table.deferrable_key {
        sql.push_str(" ON CONFLICT DO NOTHING");
    }
    Some(sql)
}
