//! Which rows does a partition hold, as a condition on the columns of its key?
//!
//! PostgreSQL makes this condition itself when a partition is attached (`get_qual_from_partbound` in `partbounds.c`), and
//! reads the table unless its constraints imply it. The negation is what the DEFAULT partition has to satisfy from
//! then on.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, PartitionBoundSpec};

use crate::idea::expression;
use crate::lowering::string;

/// `FOR VALUES …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionBound {
    /// `DEFAULT`.
    Default,
    /// `IN (…)`; values as SQL, `None` is NULL.
    List(Vec<Option<String>>),
    /// `FROM (…) TO (…)`, the lower bound included.
    Range {
        /// The lower bound.
        from: Vec<RangeBound>,
        /// The upper bound.
        to: Vec<RangeBound>,
    },
    /// `WITH (MODULUS …, REMAINDER …)`, which no condition on the columns says.
    Hash,
}

/// One column's part of the bound of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are SQL's own.
pub enum RangeBound {
    MinValue,
    MaxValue,
    /// As SQL.
    Value(String),
}

impl PartitionBound {
    /// Reads what `pg_get_expr(relpartbound)` prints: `FOR VALUES IN (1)`, `DEFAULT`.
    pub fn parse(text: &str) -> Option<Self> {
        let statement = format!("ALTER TABLE t ATTACH PARTITION p {text}");
        let parsed = pg_query::parse(&statement, pg_query::ParserOptions::DEFAULT).ok()?.protobuf;
        let [one] = parsed.stmts.as_slice() else { return None };
        let NodeEnum::AlterTableStmt(alter) = one.stmt.as_ref()?.node.as_ref()? else { return None };
        let NodeEnum::AlterTableCmd(command) = alter.cmds.first()?.node.as_ref()? else { return None };
        match command.def.as_ref()?.node.as_ref()? {
            NodeEnum::PartitionCmd(partition) => written(partition.bound.as_ref()?),
            _ => None,
        }
    }

    /// The condition that rows of the partition satisfy; `key` is what `pg_get_partkeydef()` prints: `RANGE (at)`.
    /// `None` for DEFAULT, which depends on the others, for a hash, and for what does not fit the key.
    pub fn condition(&self, key: &str) -> Option<String> {
        let keys = key_columns(key)?;
        match self {
            Self::List(values) => {
                let [key] = keys.as_slice() else { return None };
                let known: Vec<&str> = values.iter().flatten().map(String::as_str).collect();
                let equal: Vec<String> = known.iter().map(|v| format!("{key} = {v}")).collect();
                let any =
                    if equal.is_empty() { "false".to_owned() } else { format!("({})", equal.join(" OR ")) };
                Some(match values.iter().any(Option::is_none) {
                    true => format!("({key} IS NULL OR {any})"),
                    false => format!("{key} IS NOT NULL AND {any}"),
                })
            }
            Self::Range { from, to } => {
                let mut parts: Vec<String> = keys.iter().map(|k| format!("{k} IS NOT NULL")).collect();
                parts.extend(beyond(&keys, from, true)?);
                parts.extend(beyond(&keys, to, false)?);
                Some(parts.join(" AND "))
            }
            Self::Default | Self::Hash => None,
        }
    }

    /// The condition that every other row satisfies, in the form that follows from a CHECK that a person writes.
    pub fn negation(&self, key: &str) -> Option<String> {
        let keys = key_columns(key)?;
        let [key] = keys.as_slice() else { return None };
        match self {
            Self::List(values) => {
                let other: Vec<String> = values.iter().flatten().map(|v| format!("{key} <> {v}")).collect();
                let other = if other.is_empty() { "true".to_owned() } else { other.join(" AND ") };
                Some(match values.iter().any(Option::is_none) {
                    true => format!("{key} IS NOT NULL AND {other}"),
                    false => format!("({key} IS NULL OR ({other}))"),
                })
            }
            Self::Range { from, to } => {
                let mut arms = vec![format!("{key} IS NULL")];
                if let [RangeBound::Value(low)] = from.as_slice() {
                    arms.push(format!("{key} < {low}"));
                }
                if let [RangeBound::Value(high)] = to.as_slice() {
                    arms.push(format!("{key} >= {high}"));
                }
                Some(format!("({})", arms.join(" OR ")))
            }
            Self::Default | Self::Hash => None,
        }
    }
}

/// The bound of a statement.
pub(crate) fn written(bound: &PartitionBoundSpec) -> Option<PartitionBound> {
    if bound.is_default {
        return Some(PartitionBound::Default);
    }
    match bound.strategy.as_str() {
        "l" => {
            let value = |node: &Node| match node.node.as_ref()? {
                NodeEnum::AConst(constant) if constant.isnull => Some(None),
                _ => Some(Some(expression(node.clone()).ok()?)),
            };
            Some(PartitionBound::List(bound.listdatums.iter().map(value).collect::<Option<_>>()?))
        }
        "r" => {
            let all = |list: &[Node]| list.iter().map(range_bound).collect::<Option<Vec<_>>>();
            Some(PartitionBound::Range { from: all(&bound.lowerdatums)?, to: all(&bound.upperdatums)? })
        }
        "h" => Some(PartitionBound::Hash),
        _ => None,
    }
}

fn range_bound(node: &Node) -> Option<RangeBound> {
    if let NodeEnum::ColumnRef(column) = node.node.as_ref()? {
        return match column.fields.last().and_then(string)?.as_str() {
            "minvalue" => Some(RangeBound::MinValue),
            "maxvalue" => Some(RangeBound::MaxValue),
            _ => None,
        };
    }
    Some(RangeBound::Value(expression(node.clone()).ok()?))
}

/// The columns and expressions of a partition key, as SQL.
fn key_columns(key: &str) -> Option<Vec<String>> {
    let statement = format!("CREATE TABLE t () PARTITION BY {key}");
    let parsed = pg_query::parse(&statement, pg_query::ParserOptions::DEFAULT).ok()?.protobuf;
    let [one] = parsed.stmts.as_slice() else { return None };
    let NodeEnum::CreateStmt(create) = one.stmt.as_ref()?.node.as_ref()? else { return None };
    let elements = &create.partspec.as_ref()?.part_params;
    elements
        .iter()
        .map(|element| match element.node.as_ref()? {
            NodeEnum::PartitionElem(element) if element.name.is_empty() => {
                Some(format!("({})", expression(*element.expr.clone()?).ok()?))
            }
            NodeEnum::PartitionElem(element) => Some(model::quote_identifier(&element.name)),
            _ => None,
        })
        .collect()
}

/// On which side of a bound a row of several columns is: `(a > 1) OR (a = 1 AND b >= 2)`. `None` within when the bound
/// keeps nothing out.
fn beyond(keys: &[String], bounds: &[RangeBound], lower: bool) -> Option<Option<String>> {
    if keys.len() != bounds.len() {
        return None;
    }
    let sign = if lower { ">" } else { "<" };
    let (mut arms, mut before) = (Vec::new(), Vec::new());
    for (place, (key, bound)) in keys.iter().zip(bounds).enumerate() {
        let value = match (bound, lower) {
            (RangeBound::Value(value), _) => value,
            // Whoever equals the bound so far lies on this side of it, whatever comes after.
            (RangeBound::MinValue, true) | (RangeBound::MaxValue, false) => {
                if before.is_empty() {
                    return Some(None);
                }
                arms.push(before.join(" AND "));
                break;
            }
            // … or on the other.
            (RangeBound::MaxValue, true) | (RangeBound::MinValue, false) => break,
        };
        let last = place + 1 == keys.len();
        let own = match (last, lower) {
            (true, true) => format!("{key} >= {value}"),
            _ => format!("{key} {sign} {value}"),
        };
        arms.push(before.iter().cloned().chain([own]).collect::<Vec<_>>().join(" AND "));
        before.push(format!("{key} = {value}"));
    }
    Some(Some(match arms.as_slice() {
        [] => "false".to_owned(),
        [one] => one.clone(),
        _ => format!("({})", arms.iter().map(|arm| format!("({arm})")).collect::<Vec<_>>().join(" OR ")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_become_conditions() {
        for (key, bound, condition, negation) in [
            (
                "RANGE (at)",
                "FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
                Some("at IS NOT NULL AND at >= '2024-01-01' AND at < '2024-02-01'"),
                Some("(at IS NULL OR at < '2024-01-01' OR at >= '2024-02-01')"),
            ),
            (
                "RANGE (\"At\")",
                "FOR VALUES FROM (MINVALUE) TO (-5)",
                Some("\"At\" IS NOT NULL AND \"At\" < -5"),
                Some("(\"At\" IS NULL OR \"At\" >= -5)"),
            ),
            (
                "RANGE (a, b)",
                "FOR VALUES FROM (1, 2) TO (1, MAXVALUE)",
                Some(
                    "a IS NOT NULL AND b IS NOT NULL AND ((a > 1) OR (a = 1 AND b >= 2)) AND ((a < 1) OR (a = 1))",
                ),
                None,
            ),
            (
                "LIST (kind)",
                "FOR VALUES IN ('x', 'y')",
                Some("kind IS NOT NULL AND (kind = 'x' OR kind = 'y')"),
                Some("(kind IS NULL OR (kind <> 'x' AND kind <> 'y'))"),
            ),
            (
                "LIST (lower(kind))",
                "FOR VALUES IN (NULL)",
                Some("((lower(kind)) IS NULL OR false)"),
                Some("(lower(kind)) IS NOT NULL AND true"),
            ),
            ("HASH (id)", "FOR VALUES WITH (MODULUS 4, REMAINDER 1)", None, None),
            ("RANGE (at)", "DEFAULT", None, None),
            ("RANGE (at)", "FOR VALUES FROM (1, 2) TO (3, 4)", None, Some("(at IS NULL)")),
        ] {
            let parsed = PartitionBound::parse(bound).unwrap();
            assert_eq!(parsed.condition(key).as_deref(), condition, "{key} {bound}");
            if condition.is_some() || negation.is_none() {
                assert_eq!(parsed.negation(key).as_deref(), negation, "{key} {bound}");
            }
        }
        assert_eq!(PartitionBound::parse("FOR VALUES FROM (a) TO (2)"), None);
        assert_eq!(PartitionBound::parse("DEFAULT; DROP TABLE t"), None);
    }
}
