//! Does one index give what another would?
//!
//! One library for the advisor, lint, redundancy and foreign-key checks. Compared are access method, key
//! columns, operator class, collation, direction, expressions, implied predicate, uniqueness and
//! validity. Sources: PostgreSQL manual, "Indexes" and "Multicolumn Indexes"; `predtest.c` for what a predicate
//! implies; `ri_triggers.c` for the queries of a foreign key.

use model::snapshot::{Index, Relation};
use model::{IndexDefinition, IndexKey, KeyTarget, QualifiedName, quote_identifier};

/// How two runs of keys relate in direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Same,
    Reversed,
}

/// How one index is superfluous beside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redundancy {
    /// The other is the same index under another name.
    Duplicate,
    /// The other begins with it.
    Prefix,
}

fn same_target(one: &IndexKey, other: &IndexKey) -> bool {
    match (&one.target, &other.target) {
        (KeyTarget::Column(a), KeyTarget::Column(b)) => a == b,
        (KeyTarget::Expression(a), KeyTarget::Expression(b)) => sql::same_expression(a, b),
        _ => false,
    }
}

/// Whether two keys have one operator class: `varchar` and `cidr` have no classes of their own, only other names for
/// those of `text` and `inet`, which are the default of both.
fn same_class(one: &IndexKey, other: &IndexKey) -> bool {
    let class = |key: &IndexKey| {
        let class = key.opclass.clone().filter(|class| {
            class.schema != "pg_catalog" || !matches!(class.name.as_str(), "varchar_ops" | "cidr_ops")
        })?;
        let alias = class.schema == "pg_catalog" && class.name == "varchar_pattern_ops";
        Some(if alias { QualifiedName::new("pg_catalog", "text_pattern_ops") } else { class })
    };
    class(one) == class(other)
}

/// Whether `wanted` is answered by a leading part of `existing`, forwards or backwards.
fn is_prefix(existing: &[IndexKey], wanted: &[IndexKey], ordered: bool) -> bool {
    if wanted.len() > existing.len() {
        return false;
    }
    let mut direction = None;
    for (have, want) in existing.iter().zip(wanted) {
        if !same_class(have, want) || have.collation != want.collation || !same_target(have, want) {
            return false;
        }
        if ordered {
            // A B-tree is read both ways: (a DESC NULLS FIRST) gives (a ASC NULLS LAST).
            let same = have.order == want.order && have.nulls_first() == want.nulls_first();
            let reversed = have.order != want.order && have.nulls_first() != want.nulls_first();
            let this = match (same, reversed) {
                (true, _) => Direction::Same,
                (_, true) => Direction::Reversed,
                _ => return false,
            };
            if *direction.get_or_insert(this) != this {
                return false;
            }
        }
    }
    true
}

fn parameter<'a>(index: &'a IndexDefinition, name: &str) -> Option<&'a str> {
    index.with.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

fn keys_given(existing: &IndexDefinition, wanted: &IndexDefinition) -> bool {
    let each_found = || {
        wanted.keys.iter().all(|want| {
            existing
                .keys
                .iter()
                .any(|have| is_prefix(std::slice::from_ref(have), std::slice::from_ref(want), false))
        })
    };
    match existing.access_method.as_str() {
        "btree" => is_prefix(&existing.keys, &wanted.keys, true),
        // The first column decides how much of a GiST index is searched.
        "gist" => is_prefix(&existing.keys, &wanted.keys, false),
        // GIN and BRIN answer for any of their columns alike.
        "gin" => each_found(),
        "brin" => {
            // Larger ranges answer more coarsely.
            let pages = |i| parameter(i, "pages_per_range").and_then(|p| p.parse().ok()).unwrap_or(128_u32);
            each_found() && pages(existing) <= pages(wanted)
        }
        "hash" | "spgist" => {
            existing.keys.len() == wanted.keys.len() && is_prefix(&existing.keys, &wanted.keys, false)
        }
        // Of an extension's method only the very same index is known to give the same.
        _ => {
            existing.keys.len() == wanted.keys.len()
                && is_prefix(&existing.keys, &wanted.keys, false)
                && existing.with == wanted.with
        }
    }
}

/// Whether every query that `wanted` could serve is served by `existing`, a valid index, as well.
///
/// Uniqueness counts only as a demand: a unique `wanted` needs an `existing` that enforces the same.
pub fn gives(existing: &IndexDefinition, wanted: &IndexDefinition) -> bool {
    if existing.table != wanted.table || existing.access_method != wanted.access_method {
        return false;
    }
    let held = |column: &String| {
        existing.include.contains(column)
            || existing.keys.iter().any(|k| matches!(&k.target, KeyTarget::Column(c) if c == column))
    };
    let unique = || {
        !wanted.unique
            || (existing.unique
                && existing.keys.len() == wanted.keys.len()
                && same_predicate(existing.predicate.as_deref(), wanted.predicate.as_deref()))
    };
    keys_given(existing, wanted)
        && wanted.include.iter().all(held)
        && implied(existing.predicate.as_deref(), wanted.predicate.as_deref())
        && unique()
}

/// Whether `existing` can take the place of `wanted`, which is dropped then.
///
/// More than [`gives`]: a partial index finds its few rows among themselves, and an index with a wider
/// predicate serves the same queries, but by reading what the predicate had left out.
pub fn replaces(existing: &IndexDefinition, wanted: &IndexDefinition) -> bool {
    gives(existing, wanted) && same_predicate(existing.predicate.as_deref(), wanted.predicate.as_deref())
}

/// Whether an index of the catalog is superfluous beside another. Neither may be invalid.
pub fn redundancy(index: &Index, by: &Index) -> Option<Redundancy> {
    let comparable = index.valid
        && by.valid
        && index.name != by.name
        && !index.exclusion
        && index.definition.access_method == by.definition.access_method
        && replaces(&by.definition, &index.definition)
        // One that is checked late stops less, and serves neither ON CONFLICT nor a foreign key.
        && (!index.definition.unique
            // Where NULLs are equal as well, less is let in.
            || ((by.nulls_not_distinct || !index.nulls_not_distinct) && (index.deferrable || !by.deferrable)))
        && same_class_parameters(index, by);
    if !comparable {
        return None;
    }
    let mutual = index.definition.keys.len() == by.definition.keys.len()
        && index.deferrable == by.deferrable
        && (!index.definition.unique || index.nulls_not_distinct == by.nulls_not_distinct)
        && index.definition.unique == by.definition.unique
        && replaces(&index.definition, &by.definition);
    Some(if mutual { Redundancy::Duplicate } else { Redundancy::Prefix })
}

/// Parameters of operator classes (`siglen`, …) stand in the text of a definition only. A B-tree has none.
fn same_class_parameters(one: &Index, other: &Index) -> bool {
    if matches!(one.definition.access_method.as_str(), "btree" | "hash") {
        return true;
    }
    let parameters = |index: &Index| -> Option<Vec<Vec<(String, String)>>> {
        match sql::ideas(&index.indexdef).ok()?.pop()? {
            sql::Idea::CreateIndex(new) => {
                Some(new.keys.into_iter().map(|key| key.opclass_options).filter(|o| !o.is_empty()).collect())
            }
            _ => None,
        }
    };
    parameters(one) == parameters(other)
}

/// Whether an index supports a foreign key: finding the rows that reference a key needs no scan.
///
/// The columns may stand in any order, at the front; a predicate may only leave out rows in which one of them is
/// NULL, which a check never looks for. BRIN does not count: it cannot find single rows. GIN answers for any of its columns
/// alike, where `relation` tells that their classes know equality: those of arrays and, from btree_gin, of scalar types. A
/// collation other than the column's is one that the check does not ask for.
pub fn supports_foreign_key(
    index: &IndexDefinition,
    columns: &[String],
    relation: Option<&Relation>,
) -> bool {
    let gin = index.access_method == "gin";
    let front: Option<Vec<&str>> = index
        .keys
        .iter()
        .take(if gin { index.keys.len() } else { columns.len() })
        .map(|k| match &k.target {
            KeyTarget::Column(c) if k.collation.is_none() && answers_equality(k) => Some(c.as_str()),
            _ if gin => Some(""),
            _ => None,
        })
        .collect();
    let Some(front) = front else { return false };
    let method = match index.access_method.as_str() {
        // Scalar types have a default class for GiST only from btree_gist, which knows equality.
        "btree" | "gist" => true,
        // Of SP-GiST the classes of all types that can be a key (texts, addresses, ranges) know equality.
        "hash" | "spgist" => columns.len() == 1,
        "gin" => columns.iter().all(|c| {
            let column = relation.and_then(|r| r.column(c));
            column.is_some_and(|c| {
                let scalar = c.base_type.schema == "pg_catalog" || c.type_category == 'E';
                scalar && !matches!(c.base_type.name.as_str(), "jsonb" | "tsvector")
            })
        }),
        _ => false,
    };
    let looked_for: Vec<String> =
        columns.iter().map(|c| format!("{} IS NOT NULL", quote_identifier(c))).collect();
    let predicate = implied(index.predicate.as_deref(), Some(&looked_for.join(" AND ")));
    let each = gin || front.len() == columns.len();
    method && predicate && each && columns.iter().all(|c| front.contains(&c.as_str()))
}

/// Whether an index of the catalog does; an invalid one is not used.
pub fn covers_foreign_key(index: &Index, columns: &[String], relation: Option<&Relation>) -> bool {
    index.valid && supports_foreign_key(&index.definition, columns, relation)
}

/// The default class, or one of those for strings that share its equality.
fn answers_equality(key: &IndexKey) -> bool {
    let Some(class) = &key.opclass else { return true };
    class.schema == "pg_catalog"
        && matches!(
            class.name.as_str(),
            "text_ops"
                | "varchar_ops"
                | "bpchar_ops"
                | "text_pattern_ops"
                | "varchar_pattern_ops"
                | "bpchar_pattern_ops"
                | "cidr_ops"
        )
}

/// Whether a query that satisfies `condition` can use an index with `predicate`.
pub fn implied(predicate: Option<&str>, condition: Option<&str>) -> bool {
    match (predicate, condition) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(predicate), Some(condition)) => sql::implies(condition, predicate),
    }
}

fn same_predicate(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => sql::equivalent(one, other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(spec: &str) -> IndexDefinition {
        // "a, b desc | include c, d | where x is not null"
        let mut parts = spec.split('|').map(str::trim);
        let keys = parts
            .next()
            .unwrap()
            .split(", ")
            .map(|k| match k.strip_suffix(" desc") {
                Some(column) => IndexKey::column(column).descending(),
                None => match k.strip_prefix('(') {
                    Some(e) => IndexKey {
                        target: KeyTarget::Expression(e.trim_end_matches(')').to_owned() + ")"),
                        ..IndexKey::column("")
                    },
                    None => IndexKey::column(k),
                },
            })
            .collect();
        let mut index = IndexDefinition::btree(QualifiedName::new("public", "t"), "i", keys);
        for part in parts {
            if let Some(columns) = part.strip_prefix("include ") {
                index.include = columns.split(", ").map(str::to_owned).collect();
            }
            if let Some(predicate) = part.strip_prefix("where ") {
                index.predicate = Some(predicate.to_owned());
            }
            match part {
                "unique" => index.unique = true,
                "brin" | "gin" | "hash" => index.access_method = part.to_owned(),
                _ => {}
            }
        }
        index
    }

    #[test]
    fn what_an_index_gives() {
        for (existing, wanted, expected) in [
            ("a, b", "a", true),
            ("a, b", "b", false),
            ("a", "a, b", false),
            ("a desc", "a", true),
            ("a desc, b desc", "a, b", true),
            ("a desc, b", "a, b", false),
            ("a | include b", "a", true),
            ("a", "a | include b", false),
            ("a, b", "a | include b", true),
            ("a | where x > 1", "a", false),
            ("a", "a | where x > 1", true),
            ("a | where ((x)::text = 'A b'::text)", "a | where x = 'A b'", true),
            ("a | where x = 'A'", "a | where x = 'a'", false),
            ("a | where x is not null", "a | where x = 1 and y = 2", true),
            ("a | unique", "a", true),
            ("a", "a | unique", false),
            ("a, b | unique", "a | unique", false),
            ("a | hash", "a", false),
            ("(lower(a))", "(lower(a))", true),
            ("(lower(a))", "a", false),
            ("b, a | gin", "a | gin", true),
        ] {
            assert_eq!(gives(&index(existing), &index(wanted)), expected, "{existing} gives {wanted}");
        }
    }

    #[test]
    fn what_takes_the_place_of_an_index() {
        for (existing, wanted, expected) in [
            ("a, b", "a", true),
            ("a", "a | where x > 1", false),
            ("a | where x is not null", "a | where x = 1 and y = 2", false),
            ("a, b | where x > 1", "a | where (x > 1)", true),
        ] {
            assert_eq!(replaces(&index(existing), &index(wanted)), expected, "{existing} replaces {wanted}");
        }
    }

    #[test]
    fn what_supports_a_foreign_key() {
        let columns = ["a".to_owned(), "b".to_owned()];
        for (spec, expected) in [
            ("a, b", true),
            ("b, a", true),
            ("b, a, c", true),
            ("a", false),
            ("a, c, b", false),
            ("a, b | where a is not null", true),
            ("a, b | where a is not null or c = 1", true),
            ("a, b | where c is not null", false),
            ("a, b | where (c > 1)", false),
            ("a, b | brin", false),
            ("a, b | hash", false),
        ] {
            assert_eq!(supports_foreign_key(&index(spec), &columns, None), expected, "{spec}");
        }
    }
}
