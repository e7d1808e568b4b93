//! Which indexes are there, column by column?
//!
//! Source: `pg_index`, read as a catalog and not by parsing `pg_get_indexdef()`: expressions come
//! one by one, operator classes and collations only where they are not the default.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use model::snapshot::Index;
use model::{IndexDefinition, IndexKey, KeyTarget, NullsOrder, QualifiedName, SortOrder};

use super::relations::{bytes, optional_name};
use crate::catalog_query;
use crate::error::Error;

catalog_query! {
    /// An index. The arrays have one element per column of the index, included columns too.
    pub struct IndexRow {
        oid: u32,
        schema: String,
        name: String,
        table_schema: String,
        table_name: String,
        access_method: String,
        unique: bool,
        primary: bool,
        exclusion: bool,
        valid: bool,
        nulls_not_distinct: bool,
        replica_identity: bool,
        clustered: bool,
        deferrable: bool,
        referenced: bool,
        building: bool,
        key_count: i16,
        columns: Vec<Option<String>>,
        expressions: Vec<Option<String>>,
        options: Vec<i16>,
        collation_schemas: Vec<Option<String>>,
        collation_names: Vec<Option<String>>,
        opclass_schemas: Vec<Option<String>>,
        opclass_names: Vec<Option<String>>,
        can_order: bool,
        predicate: Option<String>,
        with: Vec<String>,
        indexdef: String,
        constraint: Option<String>,
        parent_schema: Option<String>,
        parent_name: Option<String>,
        relpages: i32,
        reltuples: f64,
        main_bytes: i64,
        bytes: i64,
        idx_scan: i64,
        idx_tup_read: i64,
        last_idx_scan: Option<DateTime<Utc>>,
    }
    name "indexes"
    server { 13 => "indexes.sql", 15 => "indexes.since_15.sql", 16 => "indexes.since_16.sql" }
}

/// Bits of `pg_index.indoption`.
const DESCENDING: i16 = 1;
const NULLS_FIRST: i16 = 2;

impl IndexRow {
    pub(crate) fn into_index(self, block_size: i64) -> Result<Index, Error> {
        let key_count = usize::try_from(self.key_count).unwrap_or(0);
        let mut keys = Vec::with_capacity(key_count);
        let mut include = Vec::new();
        let text = |values: &[Option<String>], at: usize| values.get(at).cloned().flatten();
        for at in 0..self.columns.len() {
            let column = text(&self.columns, at);
            if at >= key_count {
                include.extend(column);
                continue;
            }
            let target = match (column, text(&self.expressions, at)) {
                (Some(column), _) => KeyTarget::Column(column),
                (None, Some(expression)) => {
                    KeyTarget::Expression(without_outer_parentheses(&expression).to_owned())
                }
                (None, None) => {
                    return Err(Error::Decode {
                        query: "indexes".into(),
                        column: "expressions".into(),
                        reason: format!("column {} of index \"{}\" is neither", at + 1, self.name),
                    });
                }
            };
            let option = self.options.get(at).copied().unwrap_or(0);
            let descending = self.can_order && option & DESCENDING != 0;
            let nulls_first = self.can_order && option & NULLS_FIRST != 0;
            keys.push(IndexKey {
                target,
                collation: optional_name(text(&self.collation_schemas, at), text(&self.collation_names, at)),
                opclass: optional_name(text(&self.opclass_schemas, at), text(&self.opclass_names, at)),
                // The definition of an index that exists is `indexdef`, which has them.
                opclass_options: Vec::new(),
                order: if descending { SortOrder::Desc } else { SortOrder::Asc },
                nulls: match (descending, nulls_first) {
                    (false, true) => NullsOrder::First,
                    (true, false) => NullsOrder::Last,
                    _ => NullsOrder::Default,
                },
            });
        }
        let with = self
            .with
            .iter()
            .map(|option| option.split_once('=').unwrap_or((option, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(Index {
            oid: self.oid,
            name: QualifiedName::new(self.schema, self.name.clone()),
            definition: IndexDefinition {
                table: QualifiedName::new(self.table_schema, self.table_name),
                name: self.name,
                access_method: self.access_method,
                unique: self.unique,
                keys,
                include,
                predicate: self.predicate.map(|p| without_outer_parentheses(&p).to_owned()),
                with,
            },
            indexdef: self.indexdef,
            primary: self.primary,
            exclusion: self.exclusion,
            valid: self.valid,
            nulls_not_distinct: self.nulls_not_distinct,
            constraint: self.constraint,
            replica_identity: self.replica_identity,
            clustered: self.clustered,
            deferrable: self.deferrable,
            referenced: self.referenced,
            building: self.building,
            parent: optional_name(self.parent_schema, self.parent_name),
            relpages: i64::from(self.relpages),
            reltuples: self.reltuples,
            pages: self.main_bytes / block_size,
            bytes: bytes(self.bytes),
            idx_scan: self.idx_scan,
            idx_tup_read: self.idx_tup_read,
            last_idx_scan: self.last_idx_scan,
            expression_statistics: BTreeMap::new(),
        })
    }
}

/// The server puts parentheses around every operator expression; a person and a parser do not. Only
/// a pair that encloses the whole text is taken away.
fn without_outer_parentheses(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(inner) = enclosed(text) {
        text = inner.trim();
    }
    text
}

fn enclosed(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    let mut depth = 0_i32;
    let mut quote = None;
    let mut escapes = false;
    let mut previous = ' ';
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\\') if escapes => {
                chars.next();
            }
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => {
                escapes = c == '\'' && matches!(previous, 'E' | 'e');
                quote = Some(c);
            }
            (None, '(') => depth += 1,
            (None, ')') => {
                depth -= 1;
                // The first parenthesis is closed before the end, as in "(a) || (b)".
                if depth < 0 {
                    return None;
                }
            }
            (None, _) => {}
        }
        previous = c;
    }
    (depth == 0 && quote.is_none()).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_enclosing_parentheses_are_taken_away() {
        for (text, expected) in [
            ("((a || b))", "a || b"),
            ("(a) || (b)", "(a) || (b)"),
            ("((a) || (b))", "(a) || (b)"),
            ("lower(name)", "lower(name)"),
            ("(status = ')'::text)", "status = ')'::text"),
            ("((x = 'it''s (') AND (y > 1))", "(x = 'it''s (') AND (y > 1)"),
            ("(x = E'\\'(')", "x = E'\\'('"),
            ("(\"od(d\" > 1)", "\"od(d\" > 1"),
        ] {
            assert_eq!(without_outer_parentheses(text), expected);
        }
    }
}
