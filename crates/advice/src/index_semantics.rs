//! Does one index give what another would?
//!
//! One library for the advisor, redundancy and foreign-key checks. Compared are access method, key
//! columns, operator class, collation, direction, expressions, implied predicate, uniqueness and
//! validity. Sources: PostgreSQL manual, "Indexes"; `predtest.c` for what a predicate implies.

use model::{IndexDefinition, IndexKey, KeyTarget};

/// How two runs of keys relate in direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Same,
    Reversed,
}

fn target(key: &IndexKey) -> String {
    match &key.target {
        KeyTarget::Column(name) => name.clone(),
        KeyTarget::Expression(text) => format!("({})", normalized(text)),
    }
}

/// Whether `wanted` is answered by a leading part of `existing`, forwards or backwards.
fn is_prefix(existing: &[IndexKey], wanted: &[IndexKey], ordered: bool) -> bool {
    if wanted.len() > existing.len() {
        return false;
    }
    let mut direction = None;
    for (have, want) in existing.iter().zip(wanted) {
        if target(have) != target(want) || have.opclass != want.opclass || have.collation != want.collation {
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

/// Whether every query that `wanted` could serve is served by `existing`, a valid index, as well.
///
/// Uniqueness counts only as a demand: a unique `wanted` needs an `existing` that enforces the same.
pub fn gives(existing: &IndexDefinition, wanted: &IndexDefinition) -> bool {
    if existing.table != wanted.table || existing.access_method != wanted.access_method {
        return false;
    }
    if !implied(existing.predicate.as_deref(), wanted.predicate.as_deref()) {
        return false;
    }
    let keys = match existing.access_method.as_str() {
        "btree" => is_prefix(&existing.keys, &wanted.keys, true),
        "hash" | "spgist" => {
            existing.keys.len() == wanted.keys.len() && is_prefix(&existing.keys, &wanted.keys, false)
        }
        // GIN, GiST and BRIN answer for any of their columns; order matters little to GIN and BRIN.
        _ => wanted.keys.iter().all(|want| {
            existing
                .keys
                .iter()
                .any(|have| is_prefix(std::slice::from_ref(have), std::slice::from_ref(want), false))
        }),
    };
    let held = |column: &String| {
        existing.include.contains(column)
            || existing.keys.iter().any(|k| matches!(&k.target, KeyTarget::Column(c) if c == column))
    };
    let unique = !wanted.unique
        || (existing.unique
            && existing.keys.len() == wanted.keys.len()
            && normalized_option(existing.predicate.as_deref())
                == normalized_option(wanted.predicate.as_deref()));
    keys && wanted.include.iter().all(held) && unique
}

/// Whether `existing` can take the place of `wanted`, which is dropped then.
///
/// More than [`gives`]: a partial index finds its few rows among themselves, and an index with a wider
/// predicate serves the same queries, but by reading what the predicate had left out.
pub fn replaces(existing: &IndexDefinition, wanted: &IndexDefinition) -> bool {
    gives(existing, wanted)
        && normalized_option(existing.predicate.as_deref()) == normalized_option(wanted.predicate.as_deref())
}

/// Whether an index supports a foreign key: finding the rows that reference a key needs no scan.
///
/// The columns may stand in any order, at the front; a predicate may only leave NULLs out, which a
/// check never looks for. BRIN does not count: it cannot find single rows.
pub fn supports_foreign_key(index: &IndexDefinition, columns: &[String]) -> bool {
    let front: Option<Vec<&str>> = index
        .keys
        .iter()
        .take(columns.len())
        .map(|k| match &k.target {
            KeyTarget::Column(c) => Some(c.as_str()),
            KeyTarget::Expression(_) => None,
        })
        .collect();
    let Some(front) = front else { return false };
    let method = match index.access_method.as_str() {
        "btree" => true,
        "hash" => columns.len() == 1,
        _ => false,
    };
    let predicate = index.predicate.as_deref().is_none_or(|p| {
        conjuncts(p).iter().all(|c| columns.iter().any(|column| *c == format!("{column}isnotnull")))
    });
    method && predicate && front.len() == columns.len() && columns.iter().all(|c| front.contains(&c.as_str()))
}

/// Whether a query that satisfies `condition` can use an index with `predicate`.
pub fn implied(predicate: Option<&str>, condition: Option<&str>) -> bool {
    let Some(predicate) = predicate else { return true };
    let Some(condition) = condition else { return false };
    let known = conjuncts(condition);
    conjuncts(predicate).iter().all(|part| {
        known.contains(part)
            || part.strip_suffix("isnotnull").is_some_and(|column| {
                // A comparison with the column is true only for values.
                known
                    .iter()
                    .any(|k| k.strip_prefix(column).is_some_and(|rest| rest.starts_with(['=', '<', '>'])))
            })
    })
}

fn conjuncts(predicate: &str) -> Vec<String> {
    split_and(predicate).into_iter().map(|p| normalized(&p)).collect()
}

/// Splits at `AND` outside of quotes and `BETWEEN`; parentheses around parts do not matter.
fn split_and(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut between = false;
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim();
        if !quoted && bare.eq_ignore_ascii_case("between") {
            between = true;
        }
        if !quoted && bare.eq_ignore_ascii_case("and") && !std::mem::take(&mut between) {
            parts.push(String::new());
            continue;
        }
        quoted ^= word.matches('\'').count() % 2 == 1;
        if let Some(last) = parts.last_mut() {
            last.push_str(word);
        }
    }
    parts
}

fn normalized_option(text: Option<&str>) -> Option<String> {
    text.map(normalized)
}

/// An expression without white space, parentheses and casts of constants, so that what a person wrote
/// equals what `pg_get_expr()` prints. Strings keep their contents.
fn normalized(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                out.push(c);
                while let Some(inner) = chars.next() {
                    out.push(inner);
                    if inner == '\'' {
                        if chars.peek() == Some(&'\'') {
                            out.extend(chars.next());
                        } else {
                            break;
                        }
                    }
                }
            }
            '(' | ')' => {}
            ':' if chars.peek() == Some(&':') => {
                chars.next();
                // The type's name, which may have several words (`character varying`).
                while chars.peek().is_some_and(|n| n.is_alphanumeric() || *n == '_' || *n == '"') {
                    chars.next();
                }
                let mut ahead = chars.clone();
                if ahead.by_ref().take(8).collect::<String>().starts_with(" varying") {
                    chars.by_ref().take(8).for_each(drop);
                }
            }
            c if c.is_whitespace() => {}
            c => out.extend(c.to_lowercase()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use model::QualifiedName;

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
            ("a, b | where (c > 1)", false),
            ("a, b | brin", false),
            ("a, b | hash", false),
        ] {
            assert_eq!(supports_foreign_key(&index(spec), &columns), expected, "{spec}");
        }
    }
}
