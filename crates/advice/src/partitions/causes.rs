//! Why does a statement read every partition?
//!
//! Source: `match_clause_to_partition_key` in PostgreSQL's `partprune.c`: what prunes is a comparison of the bare key,
//! by an operator of its operator family, with an expression that is not volatile and has no columns of the same table.

use std::collections::BTreeSet;

use model::quote_identifier;
use serde::Serialize;
use sql::{Analysis, Expression, KeyExpression, Operator, Predicate};

use super::sets::SetOfPartitions;

/// Why nothing is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PruningCause {
    /// A function or an operator stands around the key.
    FunctionOnKey,
    /// The key is cast.
    CastOfKey,
    /// The key is compared with what a volatile function gives.
    VolatileValue,
    /// One arm of an `OR` does not mention the key.
    OneArmOfOr,
    /// The key is compared with a column of another table only, and the join reads both sides whole.
    JoinedOnKey,
    /// The set is joined by other columns than its key, and nothing else restricts the key.
    JoinWithoutKey,
    /// Nothing compares the key.
    KeyNotCompared,
    /// The key is compared as part of a row, `(at, id) > (…)`, by which PostgreSQL leaves nothing out.
    RowComparison,
    /// The partitions are read one after the other, and no further than a LIMIT asks.
    StopsAtLimit,
    /// The key is compared, and every partition holds rows that were asked for.
    AllWanted,
}

/// Why a statement reads every partition, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Which it is.
    pub kind: PruningCause,
    /// What was seen, in a sentence fragment.
    pub seen: String,
    /// What would leave partitions out, in a sentence.
    pub remedy: String,
}

/// What plans tell of the conditions on the key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    /// A condition casts the key.
    pub casts_key: bool,
    /// A condition compares the key as part of a row.
    pub compares_rows: bool,
    /// A LIMIT ends the reading of the partitions.
    pub stops_early: bool,
    /// Some scans wait for the value of a subquery; others of the same name do not.
    pub partly_by_subquery: bool,
}

/// Why the occurrence of a set under this name reads every partition.
pub(super) fn cause(analysis: &Analysis, set: &SetOfPartitions, alias: &str, signs: Signs) -> Cause {
    let occurrences: BTreeSet<usize> = analysis
        .relations
        .iter()
        .enumerate()
        .filter(|(_, r)| r.name == set.table && r.alias == alias)
        .map(|(at, _)| at)
        .collect();
    let predicates: Vec<&Predicate> =
        occurrences.iter().filter_map(|at| analysis.relations.get(*at)).flat_map(|r| &r.predicates).collect();
    let keys: Vec<&String> = set.key_columns.iter().collect();
    let key = keys.first().map_or_else(|| "the key".to_owned(), |k| quote_identifier(k).to_string());
    let key = key.as_str();
    let bare = |p: &Predicate| p.key.column().is_some_and(|c| set.key_columns.contains(c));
    let around = predicates.iter().find_map(|p| {
        let KeyExpression::Expression { sql, expression } = &p.key else { return None };
        let column = expression
            .columns()
            .into_iter()
            .find(|c| occurrences.contains(&c.relation) && set.key_columns.contains(&c.column))?;
        Some((column.column.as_str(), sql.as_deref(), expression))
    });
    let prunable: Vec<&&Predicate> =
        predicates.iter().filter(|p| bare(p) && p.operator != Operator::NotEqual).collect();
    let must_hold: Vec<&&&Predicate> = prunable.iter().filter(|p| p.disjunct.is_none()).collect();
    if must_hold.is_empty() {
        if let Some((column, sql, expression)) = around {
            return around_key(column, sql, expression);
        }
        if !prunable.is_empty() {
            return Cause {
                kind: PruningCause::OneArmOfOr,
                seen: format!("{key} is compared in one arm of an OR, and another arm does not compare it"),
                remedy: format!("Compare {key} in every arm, or split the statement with UNION."),
            };
        }
    }
    let own_value = |v: &Expression| v.columns().is_empty();
    if let Some(volatile) = must_hold.iter().flat_map(|p| &p.values).find_map(volatile_function) {
        return Cause {
            kind: PruningCause::VolatileValue,
            seen: format!("{key} is compared with {volatile}(), whose value may change from row to row"),
            remedy: format!(
                "Compute the value before, or write (SELECT {volatile}()) or now() where the time is meant."
            ),
        };
    }
    if signs.compares_rows {
        return Cause {
            kind: PruningCause::RowComparison,
            seen: format!("{key} is compared as part of a row, by which PostgreSQL leaves no partition out"),
            remedy: format!(
                "Say beside it what it says of {key} alone: {key} >= the first value (or <=), AND the row comparison."
            ),
        };
    }
    if signs.casts_key {
        return Cause {
            kind: PruningCause::CastOfKey,
            seen: format!("{key} is cast to another type before it is compared"),
            remedy: format!("Compare {key} with a value of its own type: cast the value, not the column."),
        };
    }
    if signs.partly_by_subquery {
        return Cause {
            kind: PruningCause::AllWanted,
            seen: "the set is read twice: a subquery looks into every partition, and its value decides when the plan \
                 runs which of them are read besides"
                .to_owned(),
            remedy: format!("A range of {key} in the subquery too would leave partitions out of it."),
        };
    }
    if must_hold.iter().any(|p| p.values.iter().all(own_value)) {
        return Cause {
            kind: PruningCause::AllWanted,
            seen: format!("{key} is compared, and rows of every partition satisfy it"),
            remedy: format!("A narrower range of {key} would read less."),
        };
    }
    if signs.stops_early {
        return Cause {
            kind: PruningCause::StopsAtLimit,
            seen: "they are read one after the other, and no further than LIMIT asks".to_owned(),
            remedy: format!(
                "Where few rows satisfy the other conditions, a range of {key} ends the search sooner."
            ),
        };
    }
    join_cause(analysis, set, &occurrences, key, !must_hold.is_empty())
}

fn join_cause(
    analysis: &Analysis,
    set: &SetOfPartitions,
    occurrences: &BTreeSet<usize>,
    key: &str,
    compared: bool,
) -> Cause {
    let (mut on_key, mut otherwise) = (compared, false);
    for join in &analysis.joins {
        for side in [&join.left, &join.right] {
            if occurrences.contains(&side.relation) {
                let is_key = set.key_columns.contains(&side.column);
                on_key |= is_key;
                otherwise |= !is_key;
            }
        }
    }
    if on_key {
        return Cause {
            kind: PruningCause::JoinedOnKey,
            seen: format!("{key} is compared with a column of another table only"),
            remedy: format!(
                "Add the range of {key} that the other table's rows allow as a condition of its own, with constants."
            ),
        };
    }
    if otherwise {
        return Cause {
            kind: PruningCause::JoinWithoutKey,
            seen: format!("it is joined without {key}, and nothing else restricts {key}"),
            remedy: format!(
                "Join by {key} as well, or add a range of {key} where the application knows one: each look-up \
                 searches every partition otherwise."
            ),
        };
    }
    Cause {
        kind: PruningCause::KeyNotCompared,
        seen: format!("nothing compares {key}"),
        remedy: format!("Add a condition on {key} where the application knows one."),
    }
}

fn around_key(column: &str, sql: Option<&str>, expression: &Expression) -> Cause {
    let column = quote_identifier(column);
    let text = match (sql, expression) {
        (Some(sql), _) => sql.to_owned(),
        (None, Expression::Function { name, .. }) => format!("{name}() of {column}"),
        (None, _) => format!("an expression of {column}"),
    };
    match expression {
        Expression::Cast { .. } => Cause {
            kind: PruningCause::CastOfKey,
            seen: format!("{text} is compared, and not {column} itself"),
            remedy: format!("Compare {column} itself with a half-open range of its own type."),
        },
        _ => Cause {
            kind: PruningCause::FunctionOnKey,
            seen: format!("{text} is compared, and not {column} itself"),
            remedy: format!(
                "Compare {column} itself: a half-open range, or the arithmetic on the other side."
            ),
        },
    }
}

fn volatile_function(value: &Expression) -> Option<String> {
    let mut found = None;
    value.visit(&mut |e| {
        if let Expression::Function { name, .. } = e
            && sql::is_volatile(name)
        {
            found.get_or_insert_with(|| name.clone());
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::partitions::partitioned_sets;
    use model::snapshot::RelationKind;
    use sql::{ParsedStatement, SnapshotCatalog};

    #[test]
    fn what_stands_in_the_way_is_named() {
        let mut snapshot = fixture::snapshot();
        let mut events = fixture::table("events", 1000.0, &["at timestamptz", "kind text", "meter int"]);
        events.kind = RelationKind::PartitionedTable;
        events.partition_key = Some("RANGE (at)".into());
        snapshot.relations.push(events);
        snapshot.relations.push(fixture::table("meters", 1000.0, &["id int", "since timestamptz"]));
        let sets = partitioned_sets(&snapshot);
        let catalog = SnapshotCatalog::new(&snapshot);
        for (sql, expected) in [
            ("select 1 from events where date(at) = $1", PruningCause::FunctionOnKey),
            ("select 1 from events where at::date = $1", PruningCause::CastOfKey),
            ("select 1 from events where date_trunc($1, at) = $2", PruningCause::FunctionOnKey),
            ("select 1 from events where at + interval '1 day' > now()", PruningCause::FunctionOnKey),
            (
                "select 1 from events where at > clock_timestamp() - interval '1 day'",
                PruningCause::VolatileValue,
            ),
            ("select 1 from events where at > $1 or kind = $2", PruningCause::OneArmOfOr),
            ("select 1 from events where kind = $1", PruningCause::KeyNotCompared),
            ("select 1 from events where at <> $1", PruningCause::KeyNotCompared),
            ("select 1 from events where at > '-infinity'", PruningCause::AllWanted),
            ("select 1 from events join meters m on m.id = meter", PruningCause::JoinWithoutKey),
            ("select 1 from events join meters m on m.since = at", PruningCause::JoinedOnKey),
        ] {
            let analysis = ParsedStatement::parse(sql).unwrap().analyze(&catalog);
            let found = cause(&analysis, &sets[0], "events", Signs::default());
            assert_eq!(found.kind, expected, "{sql}: {found:?}");
        }
    }

    #[test]
    fn a_column_is_written_as_sql_has_it() {
        let mut snapshot = fixture::snapshot();
        let mut events = fixture::table("events", 1000.0, &["at timestamptz", "kind text"]);
        events.kind = RelationKind::PartitionedTable;
        events.partition_key = Some("RANGE (\"at T\")".into());
        if let Some(column) = events.columns.first_mut() {
            column.name = "at T".into();
        }
        snapshot.relations.push(events);
        let sets = partitioned_sets(&snapshot);
        let catalog = SnapshotCatalog::new(&snapshot);
        for (sql, says) in [
            ("select 1 from events where kind = $1", "nothing compares \"at T\""),
            ("select 1 from events where date(\"at T\") = $1", "and not \"at T\" itself"),
        ] {
            let analysis = ParsedStatement::parse(sql).unwrap().analyze(&catalog);
            let found = cause(&analysis, &sets[0], "events", Signs::default());
            assert!(found.seen.contains(says), "{sql}: {found:?}");
        }
    }
}
