//! How large will an index be when it is really built?
//!
//! Source: the build code of each access method in `src/backend/access`; each file names its own.
//! All sizes are those of an index that was just built: pages of 8192 bytes, filled as the build
//! fills them. The README of this crate compares predictions with real indexes.

mod btree;
mod distribution;
mod gin;
mod hash;
mod trees;
mod width;

use std::collections::BTreeSet;

use model::snapshot::{Column, ColumnStatistics, Relation};

pub(crate) use btree::height as btree_height;
pub(crate) use distribution::{Seen, results, samples};
use width::{average, tuple_bytes};

/// Bytes of a page.
const PAGE: f64 = 8192.0;
/// What a page header, a special area of 16 bytes and no items leave of a page.
const PAGE_SPACE: f64 = 8192.0 - 24.0 - 16.0;
/// A line pointer.
const ITEM_ID: f64 = 4.0;
/// `sizeof(IndexTupleData)`.
const TUPLE_HEADER: f64 = 8.0;

/// A new index as the catalog describes it after `CREATE INDEX`.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) access_method: String,
    pub(crate) unique: bool,
    /// `indnkeyatts`; what follows is `INCLUDE`.
    pub(crate) key_count: usize,
    pub(crate) attributes: Vec<Attribute>,
    /// `reloptions`.
    pub(crate) options: Vec<String>,
    /// Whether a B-tree says that equal keys are the same bytes.
    pub(crate) deduplicates: bool,
}

/// One attribute of an index.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    /// The table's attribute number, 0 for an expression.
    pub(crate) attnum: i16,
    /// `attlen` of what is stored, -1 for varlena.
    pub(crate) length: i16,
    /// `attalign` in bytes.
    pub(crate) align: u32,
    /// `typname` of what is stored.
    pub(crate) type_name: String,
    /// The operator class; empty for an included column.
    pub(crate) opclass: String,
    /// The collation that it is sorted by, 0 where there is none.
    pub(crate) collation: u32,
    /// The expression, when it is one.
    pub(crate) expression: Option<String>,
    /// What the expression makes of the values in its column's statistics.
    pub(crate) evaluated: Vec<Evaluated>,
    /// The statistics of the rows that a partial index holds, where the predicate tells.
    pub(crate) conditional: Option<ColumnStatistics>,
}

/// What an expression makes of one value that stands in its column's statistics.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Evaluated {
    /// As text; `None` for NULL.
    pub(crate) value: Option<String>,
    /// `pg_column_size`.
    pub(crate) bytes: f64,
    /// The share of rows that the value stands for.
    pub(crate) weight: f64,
    /// Whether it comes from one of the column's most common values.
    pub(crate) common: bool,
    /// Its place among the results in the order of their type, where that has one.
    pub(crate) rank: Option<i64>,
}

/// What an index is built over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap<'a> {
    pub(crate) relation: &'a Relation,
    /// Rows that the index will hold, after the predicate.
    pub(crate) rows: f64,
    pub(crate) pages: f64,
    /// The version that builds the index.
    pub(crate) major: u32,
    /// How many combinations of some columns' values there are.
    pub(crate) combinations: &'a [Combinations],
}

impl Heap<'_> {
    /// How many combinations of an index's keys occur among the rows of the table, when that is known.
    fn combinations_of(&self, shape: &Shape) -> Option<f64> {
        let keys: BTreeSet<i16> = shape.keys().iter().map(|a| a.attnum).collect();
        // An expression has a number of its own for nothing.
        if keys.contains(&0) {
            return None;
        }
        let unique =
            self.combinations.iter().find(|c| c.distinct.is_infinite() && c.columns.is_subset(&keys));
        if unique.is_none() && keys.len() > 1 && keys.iter().any(|number| self.all_different(*number)) {
            return Some(f64::INFINITY);
        }
        unique.or_else(|| self.combinations.iter().find(|c| c.columns == keys)).map(|c| c.distinct)
    }

    /// Whether ANALYZE saw no value of a column twice, so that it tells rows apart beside any other column.
    fn all_different(&self, number: i16) -> bool {
        let column = self.relation.columns.iter().find(|c| c.attnum == number);
        let statistics = column.and_then(|c| c.statistics.as_ref().or(c.inherited_statistics.as_ref()));
        statistics.is_some_and(|s| s.n_distinct <= -0.99 && s.null_frac <= 0.0)
    }
}

/// What is known of how many combinations of several columns' values occur: as many as rows where an index
/// is unique, or what extended statistics say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Combinations {
    /// The table's attribute numbers.
    pub(crate) columns: BTreeSet<i16>,
    /// Infinite where each row has its own.
    pub(crate) distinct: f64,
}

/// A predicted size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) pages: u64,
    /// Levels above the leaves; only a B-tree's matters to the planner.
    pub(crate) height: u32,
}

/// Predicts the size of an index.
pub(crate) fn predict(shape: &Shape, heap: Heap<'_>) -> Size {
    let pages = match shape.access_method.as_str() {
        "btree" => return btree::predict(shape, heap),
        "gin" => gin::pages(shape, heap),
        "hash" => hash::pages(shape, heap),
        "brin" => trees::brin_pages(shape, heap),
        "gist" => trees::gist_pages(shape, heap),
        "spgist" => trees::spgist_pages(shape, heap),
        "bloom" => trees::bloom_pages(shape, heap),
        // Another extension's: a tuple per row, as in an unordered tree.
        _ => trees::gist_pages(shape, heap),
    };
    Size { pages: whole(pages), height: 0 }
}

fn whole(pages: f64) -> u64 {
    // More than a relation can have would be a fault of the statistics.
    pages.ceil().clamp(1.0, f64::from(u32::MAX - 1)) as u64
}

impl Shape {
    fn option(&self, name: &str) -> Option<f64> {
        self.options
            .iter()
            .find_map(|o| o.split_once('=').filter(|(n, _)| *n == name))
            .and_then(|(_, v)| v.parse().ok())
    }

    fn switched_off(&self, name: &str) -> bool {
        self.options.iter().any(|o| {
            o.split_once('=').is_some_and(|(n, v)| n == name && ["off", "false", "no", "0"].contains(&v))
        })
    }

    fn keys(&self) -> &[Attribute] {
        &self.attributes[..self.key_count.min(self.attributes.len())]
    }
}

impl Attribute {
    /// The column that is stored, or the only one that an expression mentions: `lower(email)` is
    /// about as wide as `email` and has about as many values.
    pub(crate) fn column<'a>(&'a self, relation: &'a Relation) -> Option<&'a Column> {
        if self.attnum != 0 {
            return relation.columns.iter().find(|c| c.attnum == self.attnum);
        }
        let mut mentioned = self.mentioned(relation);
        match (mentioned.next(), mentioned.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// The columns that an expression mentions; none where it is a column.
    fn mentioned<'a>(&'a self, relation: &'a Relation) -> impl Iterator<Item = &'a Column> {
        let expression = self.expression.as_deref().filter(|_| self.attnum == 0);
        relation.columns.iter().filter(move |c| expression.is_some_and(|e| mentions(e, &c.name)))
    }

    pub(crate) fn statistics<'a>(&'a self, relation: &'a Relation) -> Option<&'a ColumnStatistics> {
        if self.conditional.is_some() {
            return self.conditional.as_ref();
        }
        self.column(relation).and_then(|c| c.statistics.as_ref().or(c.inherited_statistics.as_ref()))
    }

    fn null_fraction(&self, relation: &Relation) -> f64 {
        if !self.evaluated.is_empty() {
            return self.evaluated.iter().filter(|e| e.value.is_none()).map(|e| e.weight).sum();
        }
        self.statistics(relation).map_or(0.0, |s| f64::from(s.null_frac).clamp(0.0, 1.0))
    }
}

/// Whether an identifier occurs in an expression as PostgreSQL prints it.
pub(crate) fn mentions(expression: &str, name: &str) -> bool {
    let quoted = model::quote_identifier(name);
    expression.match_indices(&quoted).any(|(at, _)| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '"' || c == '\'';
        let before = expression[..at].chars().next_back();
        let after = expression[at + quoted.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(|c| is_part(c) || c == '(')
    })
}

fn max_align(bytes: f64) -> f64 {
    (bytes / 8.0).ceil() * 8.0
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use model::Bytes;
    use model::QualifiedName;
    use model::snapshot::RelationKind;

    pub(crate) fn attribute(attnum: i16, length: i16, align: u32, type_name: &str) -> Attribute {
        Attribute {
            attnum,
            length,
            align,
            type_name: type_name.into(),
            opclass: format!("{type_name}_ops"),
            collation: 0,
            expression: None,
            evaluated: Vec::new(),
            conditional: None,
        }
    }

    pub(crate) fn shape(access_method: &str, attributes: Vec<Attribute>) -> Shape {
        Shape {
            access_method: access_method.into(),
            unique: false,
            key_count: attributes.len(),
            attributes,
            options: Vec::new(),
            deduplicates: true,
        }
    }

    pub(crate) fn relation(columns: Vec<(&str, i16, Option<ColumnStatistics>)>) -> Relation {
        let columns = columns.into_iter().zip(1_i16..).map(|((name, length, statistics), attnum)| Column {
            attnum,
            name: name.into(),
            type_name: "t".into(),
            base_type: QualifiedName::new("pg_catalog", "t"),
            type_category: 'N',
            type_length: length,
            type_align: 'd',
            has_btree_opclass: true,
            not_null: false,
            generated: false,
            default: None,
            collation: None,
            statistics_target: None,
            options: Vec::new(),
            statistics,
            inherited_statistics: None,
        });
        Relation {
            oid: 1,
            name: QualifiedName::new("public", "t"),
            kind: RelationKind::Table,
            reltuples: 1e6,
            relpages: 10_000,
            relallvisible: 0,
            pages: 10_000,
            table_bytes: Bytes(0),
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
            columns: columns.collect(),
            activity: None,
        }
    }

    pub(crate) fn statistics(n_distinct: f32) -> ColumnStatistics {
        ColumnStatistics {
            null_frac: 0.0,
            avg_width: 8,
            n_distinct,
            most_common_vals: None,
            most_common_freqs: None,
            histogram_bounds: None,
            correlation: None,
            most_common_elems: None,
            most_common_elem_freqs: None,
            elem_count_histogram: None,
            ranges: None,
        }
    }

    #[test]
    fn a_unique_bigint_index_has_the_size_that_every_dba_knows() {
        // CREATE TABLE t AS SELECT generate_series(1, 1000000)::bigint; 2745 pages, 21 MB.
        let relation = relation(vec![("id", 8, Some(statistics(-1.0)))]);
        let size = predict(
            &shape("btree", vec![attribute(1, 8, 8, "int8")]),
            Heap { relation: &relation, rows: 1e6, pages: 4425.0, major: 15, combinations: &[] },
        );
        assert!((2700..2790).contains(&size.pages), "{size:?}");
        assert_eq!(size.height, 2);
    }

    #[test]
    fn duplicates_are_merged_down_to_six_bytes_a_row() {
        let relation = relation(vec![("kind", 4, Some(statistics(10.0)))]);
        let heap = Heap { relation: &relation, rows: 1e6, pages: 4425.0, major: 15, combinations: &[] };
        let shape = shape("btree", vec![attribute(1, 4, 4, "int4")]);
        let merged = predict(&shape, heap).pages;
        let apart = predict(&Shape { deduplicates: false, ..shape.clone() }, heap).pages;
        let unique = predict(&Shape { unique: true, ..shape }, heap).pages;
        // 1e6 rows over 10 values: 846 pages on 15.
        assert!((810..880).contains(&merged), "{merged}");
        assert!(apart == unique && apart > 3 * merged);
    }

    #[test]
    fn an_expression_is_as_wide_as_the_one_column_that_it_mentions() {
        assert!(mentions("lower(email)", "email"));
        assert!(mentions("lower(\"E mail\")", "E mail"));
        assert!(!mentions("lower(email_domain)", "email"));
        assert!(!mentions("email('x')", "email"));
        assert!(!mentions("lower('email')", "email"));
    }
}
