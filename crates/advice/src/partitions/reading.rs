//! What does a plan say of the partitions that it reads?
//!
//! A plan names the partitions that are left after planning. What is left out when it is started is told as `Subplans
//! Removed`. What is left out row by row cannot be seen before it runs: there the key is compared with a column of
//! another table, or with a subquery's result, within each partition's scan.

use std::collections::{BTreeMap, BTreeSet};

use model::quote_identifier;
use serde_json::Value as Json;

use super::sets::SetOfPartitions;

/// What a plan reads of one occurrence of a set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Read {
    /// Scans of partitions in the plan, as it was made.
    pub planned: usize,
    /// Those that were left out when the plan was started.
    pub removed: usize,
    /// Whether every scan that is left compares the key with what is known row by row.
    pub row_by_row: bool,
    /// Whether what they compare it with is what a subquery gives, once and for all rows.
    pub by_subquery: bool,
    /// Whether some scan does so.
    pub partly_by_subquery: bool,
    /// Whether a condition casts the key.
    pub casts_key: bool,
    /// Whether a condition compares the key as part of a row, `(at, id) > (…)`.
    pub compares_rows: bool,
    /// Whether a scan is read only until a LIMIT above it has its rows, with nothing in between that wants all of them.
    pub stops_early: bool,
}

/// For which values a plan was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// For those in the text: what is written `$0` comes from a subquery.
    ForTheseValues,
    /// For all: what is written `$1` is given when the plan is started.
    ForAllValues,
}

/// What a plan reads of the occurrences of a set, by their names in the statement.
pub(super) fn read(
    explain: &Json,
    made: Made,
    set: &SetOfPartitions,
    aliases: &BTreeSet<&str>,
) -> BTreeMap<String, Read> {
    let unread = Read { row_by_row: true, by_subquery: true, ..Read::default() };
    let mut reads: BTreeMap<String, Read> =
        aliases.iter().map(|a| ((*a).to_owned(), unread.clone())).collect();
    let mut walk = Walk { set, made, aliases, reads: &mut reads, nowhere: 0, limited: false };
    walk.node(explain.get("Plan").unwrap_or(explain));
    let nowhere = walk.nowhere;
    // Of a plan whose partitions were all left out, none is named: it belongs to the occurrence that has no scan.
    if nowhere > 0 {
        let empty = reads.values_mut().find(|r| r.planned == 0);
        if let Some(read) = empty {
            read.planned += nowhere;
            read.removed += nowhere;
        }
    }
    for read in reads.values_mut() {
        read.row_by_row &= read.planned > read.removed;
        read.by_subquery &= read.row_by_row;
    }
    reads
}

struct Walk<'a> {
    set: &'a SetOfPartitions,
    made: Made,
    aliases: &'a BTreeSet<&'a str>,
    reads: &'a mut BTreeMap<String, Read>,
    /// Partitions left out of nodes that have no scan of the set left.
    nowhere: usize,
    /// Whether a LIMIT stands above, and nothing between that reads everything before it gives its first row.
    limited: bool,
}

impl Walk<'_> {
    /// The occurrences that are scanned at and below a node.
    fn node(&mut self, node: &Json) -> BTreeSet<String> {
        let mut below = BTreeSet::new();
        let outside = self.limited;
        self.limited = match node.get("Node Type").and_then(Json::as_str) {
            Some("Limit") => true,
            // One partition after the other; MergeAppend begins with all of them.
            Some("Append" | "Result" | "LockRows" | "Subquery Scan") => outside,
            Some(other) => outside && node.get("Relation Name").is_some() && !other.starts_with("Bitmap"),
            None => false,
        };
        if let Some(alias) = self.scan(node) {
            below.insert(alias);
        }
        for child in node.get("Plans").and_then(Json::as_array).into_iter().flatten() {
            below.extend(self.node(child));
        }
        self.limited = outside;
        let removed = node.get("Subplans Removed").and_then(Json::as_u64).unwrap_or(0);
        let removed = usize::try_from(removed).unwrap_or(usize::MAX);
        if removed > 0 {
            // A UNION ALL puts several occurrences, and other sets, below one node: none has more than all of them.
            let mut left = removed;
            for alias in &below {
                let Some(read) = self.reads.get_mut(alias) else { continue };
                let more = left.min(self.set.partitions.len().saturating_sub(read.planned));
                read.planned += more;
                read.removed += more;
                left -= more;
            }
            // One whose partitions are all left out, or another set's.
            if below.is_empty() && !scans_anything(node) {
                self.nowhere += removed;
            }
        }
        below
    }

    /// The occurrence whose partition a node scans.
    fn scan(&mut self, node: &Json) -> Option<String> {
        let text = |key: &str| node.get(key).and_then(Json::as_str);
        let relation = text("Relation Name")?;
        if text("Node Type") == Some("ModifyTable") || !self.set.names.contains(relation) {
            return None;
        }
        let alias = occurrence(text("Alias").unwrap_or(relation), self.aliases)?;
        let conditions: Vec<&str> =
            ["Index Cond", "Recheck Cond", "Filter", "TID Cond"].into_iter().filter_map(text).collect();
        let below = node.get("Plans").and_then(Json::as_array).into_iter().flatten();
        let of_bitmap: Vec<&str> = below.filter_map(|n| n.get("Index Cond").and_then(Json::as_str)).collect();
        let all = conditions.iter().chain(&of_bitmap);
        let read = self.reads.get_mut(&alias)?;
        read.planned += 1;
        read.casts_key |= self.set.key_columns.iter().any(|key| {
            let cast = format!("({})::", quote_identifier(key));
            all.clone().any(|c| c.contains(&cast))
        });
        read.stops_early |= self.limited;
        read.compares_rows |= self.set.key_columns.iter().any(|key| {
            let key = quote_identifier(key);
            all.clone().any(|c| c.contains(&format!("ROW({key}, ")) || c.contains(&format!("ROW({key})")))
        });
        let found: Vec<Others> = all
            .flat_map(|c| self.set.key_columns.iter().filter_map(|key| compared_with(c, key, self.made)))
            .collect();
        let by_subquery = found.contains(&Others::Subquery);
        read.row_by_row &= !found.is_empty();
        read.by_subquery &= by_subquery;
        read.partly_by_subquery |= by_subquery;
        Some(alias)
    }
}

/// Whether there is a scan of anything at or below a node.
fn scans_anything(node: &Json) -> bool {
    node.get("Relation Name").is_some()
        || node.get("Plans").and_then(Json::as_array).into_iter().flatten().any(scans_anything)
}

/// The name in the statement of what a plan calls `events_3`.
fn occurrence(alias: &str, aliases: &BTreeSet<&str>) -> Option<String> {
    let numbered = |known: &&&str| {
        alias.strip_prefix(**known).is_some_and(|rest| {
            rest.is_empty()
                || rest
                    .strip_prefix('_')
                    .is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()))
        })
    };
    let longest = aliases.iter().filter(numbered).max_by_key(|known| known.len());
    // An inherited name may be cut at 63 bytes; of a single occurrence there is no doubt.
    longest.or_else(|| aliases.first().filter(|_| aliases.len() == 1)).map(|known| (*known).to_owned())
}

/// What is known only when a plan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Others {
    /// What a subquery gives: its value is there once it has run.
    Subquery,
    /// A column of another table: another value for each row of it.
    Column,
}

/// With which of them a condition compares a column; what is there soonest leaves the most out.
fn compared_with(condition: &str, column: &str, made: Made) -> Option<Others> {
    let column = quote_identifier(column);
    let bare = without_strings(condition);
    // What stands in one arm of an OR leaves nothing out.
    let of_part = |part: &str| {
        let part = part.trim_matches(['(', ')', ' ']).to_owned();
        [" = ", " < ", " <= ", " > ", " >= "].into_iter().find_map(|operator| {
            let (left, right) = part.split_once(operator)?;
            let is_key = |side: &str| side.trim_matches(['(', ')', ' ']) == column;
            match (is_key(left), is_key(right)) {
                (true, _) => of_others(right, made),
                (_, true) => of_others(left, made),
                _ => None,
            }
        })
    };
    bare.split(" AND ").filter(|part| !part.contains(" OR ")).filter_map(of_part).min()
}

/// Whether a side of a comparison names a column of another table (`m.id`) or a subquery (`$0`, `InitPlan 1`).
fn of_others(side: &str, made: Made) -> Option<Others> {
    let qualified = side.match_indices('.').any(|(at, _)| {
        let head = side.get(..at).unwrap_or_default();
        let word = head.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
        head.ends_with('"') || word.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
    });
    // Parameters that are given at the start are counted from 1.
    let subquery = if made == Made::ForTheseValues { "$" } else { "$0" };
    // `(InitPlan 1).col1` is no column of a table.
    if side.contains(subquery) || side.contains("InitPlan") {
        Some(Others::Subquery)
    } else {
        qualified.then_some(Others::Column)
    }
}

/// A condition without what stands in single quotes.
fn without_strings(condition: &str) -> String {
    let mut quoted = false;
    condition
        .chars()
        .filter(|c| {
            let is_quote = *c == '\'';
            quoted ^= is_quote;
            !quoted && !is_quote
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::QualifiedName;
    use serde_json::json;

    fn set() -> SetOfPartitions {
        SetOfPartitions {
            table: QualifiedName::new("public", "e"),
            key: "RANGE (at)".into(),
            key_columns: BTreeSet::from(["at".to_owned()]),
            partitions: ["p1", "p2", "p3"].into_iter().map(|n| QualifiedName::new("public", n)).collect(),
            names: ["p1", "p2", "p3"].into_iter().map(str::to_owned).collect(),
            rows: 0.0,
            pages: 0,
        }
    }

    #[test]
    fn scans_are_counted_by_occurrence() {
        let scan =
            |name: &str, alias: &str| json!({"Node Type": "Seq Scan", "Relation Name": name, "Alias": alias});
        let plan = json!({"Plan": {"Node Type": "Hash Join", "Plans": [
            {"Node Type": "Append", "Subplans Removed": 1, "Plans": [scan("p1", "a_1"), scan("p2", "a_2")]},
            {"Node Type": "Hash", "Plans": [scan("p3", "b"), scan("other", "o")]}]}});
        let reads = read(&plan, Made::ForTheseValues, &set(), &BTreeSet::from(["a", "b"]));
        assert_eq!((reads["a"].planned, reads["a"].removed), (3, 1));
        assert_eq!((reads["b"].planned, reads["b"].removed), (1, 0));
        let none = json!({"Plan": {"Node Type": "Append", "Subplans Removed": 3}});
        let reads = read(&none, Made::ForTheseValues, &set(), &BTreeSet::from(["e"]));
        assert_eq!((reads["e"].planned, reads["e"].removed), (3, 3));
    }

    #[test]
    fn what_a_union_leaves_out_is_counted_once_and_what_a_limit_stops_is_told() {
        let scan = |name: &str, alias: &str, condition: &str| json!({"Node Type": "Index Scan", "Relation Name": name, "Alias": alias, "Index Cond": condition});
        // Another set's three partitions are among those left out.
        let union = json!({"Plan": {"Node Type": "Append", "Subplans Removed": 5, "Plans": [
            scan("p1", "e_1", "(at > now())"), scan("other", "o", "(x = 1)")]}});
        let of = |plan: &Json| read(plan, Made::ForTheseValues, &set(), &BTreeSet::from(["e"]))["e"].clone();
        assert_eq!((of(&union).planned, of(&union).removed), (3, 2));
        let page = |node: &str, condition: &str| {
            json!({"Plan": {"Node Type": "Limit", "Plans": [{"Node Type": node, "Plans": [
                scan("p1", "e_1", condition), scan("p2", "e_2", condition)]}]}})
        };
        let ordered = of(&page("Append", "(ROW(at, id) > ROW('2024-01-01'::date, 5))"));
        assert!(ordered.stops_early && ordered.compares_rows, "{ordered:?}");
        for node in ["MergeAppend", "Sort", "Aggregate"] {
            let whole = of(&page(node, "(at > '2024-01-01'::date)"));
            assert!(!whole.stops_early && !whole.compares_rows, "{node}: {whole:?}");
        }
    }

    #[test]
    fn a_subquery_decides_for_all_rows_at_once_and_may_read_the_set_itself() {
        let scan = |name: &str, alias: &str, condition: &str| json!({"Node Type": "Index Scan", "Relation Name": name, "Alias": alias, "Index Cond": condition});
        let of = |plan: &Json| read(plan, Made::ForTheseValues, &set(), &BTreeSet::from(["e"]))["e"].clone();
        let whole = of(
            &json!({"Plan": {"Node Type": "Append", "Plans": [scan("p1", "e_1", "(at > $0)"), scan("p2", "e_2", "(at > $0)")]}}),
        );
        assert!(whole.row_by_row && whole.by_subquery && whole.partly_by_subquery, "{whole:?}");
        let join = of(
            &json!({"Plan": {"Node Type": "Append", "Plans": [scan("p1", "e_1", "(at > $0)"), scan("p2", "e_2", "(at = m.at)")]}}),
        );
        assert!(join.row_by_row && !join.by_subquery, "{join:?}");
        // SELECT … FROM e WHERE at > (SELECT max(at) FROM e)
        let twice = of(
            &json!({"Plan": {"Node Type": "Append", "Plans": [scan("p1", "e_1", "(at > $0)"), scan("p2", "e", "(at IS NOT NULL)")]}}),
        );
        assert!(!twice.row_by_row && !twice.by_subquery && twice.partly_by_subquery, "{twice:?}");
    }

    #[test]
    fn parameters_of_a_plan_for_all_values_are_given_at_the_start() {
        assert_eq!(compared_with("(at = $1)", "at", Made::ForAllValues), None);
        assert_eq!(compared_with("(at = m.at)", "at", Made::ForAllValues), Some(Others::Column));
        assert_eq!(compared_with("(at = $0)", "at", Made::ForAllValues), Some(Others::Subquery));
    }

    #[test]
    fn what_is_known_row_by_row_is_told_from_constants() {
        let (column, subquery) = (Some(Others::Column), Some(Others::Subquery));
        for (condition, expected) in [
            ("(at = m.at)", column),
            ("((at >= m1.since) AND (id = 5))", column),
            ("(at = $0)", subquery),
            ("(at > (InitPlan 1).col1)", subquery),
            ("((at >= m.since) AND (at < $0))", subquery),
            ("(at = \"M x\".at)", column),
            ("(at > '2024-01-01 00:00:00.5+00'::timestamp with time zone)", None),
            ("(at = 1.5)", None),
            ("((at > '2024-01-01'::date) AND (id = m.id))", None),
            ("(at > (now() - '7 days'::interval))", None),
            ("((at = m.at) OR (kind = 'a'::text))", None),
        ] {
            assert_eq!(compared_with(condition, "at", Made::ForTheseValues), expected, "{condition}");
        }
    }
}
