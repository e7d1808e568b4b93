//! In which order does a statement ask for its rows, and where do rows tie?
//!
//! Source: PostgreSQL manual, "ORDER BY Clause": a bare name means an output column before an input column, a
//! number its position; anything else is an expression over input columns. Rows whose keys are equal come in
//! any order, so answers can only be compared from tie to tie. The server itself is asked where the ties are:
//! `dense_rank()` over the same keys numbers them, by the very operators and collations of the sort.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ResTarget, SelectStmt, SetOperation};

use crate::statement::ParsedStatement;
use crate::text::SENTINEL;

/// The order that a statement asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// None: its answer is a bag.
    Unordered,
    /// By these output columns, from zero.
    Columns(Vec<usize>),
    /// The statement with one more output column at the end, the number of the tie that a row belongs to.
    Ranked(String),
    /// There is one, and its keys could not be put into words.
    Unknown,
}

/// The name of the additional output column of [`Order::Ranked`].
pub const RANK: &str = "pgwright_rank";

impl ParsedStatement {
    /// The order of the outermost query.
    pub fn order(&self) -> Order {
        let NodeEnum::SelectStmt(select) = self.node() else { return Order::Unordered };
        if select.sort_clause.is_empty() {
            return Order::Unordered;
        }
        if select.op != SetOperation::SetopNone as i32 || !select.values_lists.is_empty() {
            return set_operation_keys(select).map_or(Order::Unknown, Order::Columns);
        }
        // Repaired places do not come back as the parameters that they were.
        let ranked = ranked(select).filter(|sql| !sql.contains(SENTINEL));
        ranked.map_or(Order::Unknown, Order::Ranked)
    }
}

fn inner(node: &Node) -> Option<&NodeEnum> {
    node.node.as_ref()
}

/// A key of `ORDER BY`, without its direction.
fn key(sort: &Node) -> Option<&NodeEnum> {
    let NodeEnum::SortBy(sort) = inner(sort)? else { return None };
    inner(sort.node.as_ref()?)
}

fn bare_name(node: &NodeEnum) -> Option<&str> {
    let NodeEnum::ColumnRef(column) = node else { return None };
    let [only] = column.fields.as_slice() else { return None };
    match inner(only)? {
        NodeEnum::String(name) => Some(&name.sval),
        _ => None,
    }
}

fn position(node: &NodeEnum) -> Option<usize> {
    let NodeEnum::AConst(constant) = node else { return None };
    match constant.val.as_ref()? {
        pg_query::protobuf::a_const::Val::Ival(number) => usize::try_from(number.ival).ok()?.checked_sub(1),
        _ => None,
    }
}

/// The name of an output column, as far as it is certain.
fn output_name(target: &ResTarget) -> Option<&str> {
    if !target.name.is_empty() {
        return Some(&target.name);
    }
    match inner(target.val.as_ref()?)? {
        NodeEnum::ColumnRef(column) => match inner(column.fields.last()?)? {
            NodeEnum::String(name) => Some(&name.sval),
            _ => None,
        },
        NodeEnum::FuncCall(call) => match inner(call.funcname.last()?)? {
            NodeEnum::String(name) => Some(&name.sval),
            _ => None,
        },
        _ => None,
    }
}

fn targets(select: &SelectStmt) -> Option<Vec<&ResTarget>> {
    select
        .target_list
        .iter()
        .map(|target| match inner(target)? {
            NodeEnum::ResTarget(target) => Some(&**target),
            _ => None,
        })
        .collect()
}

fn is_star(target: &ResTarget) -> bool {
    let value = target.val.as_ref().and_then(|v| inner(v));
    matches!(value, Some(NodeEnum::ColumnRef(column))
        if matches!(column.fields.last().and_then(inner), Some(NodeEnum::AStar(_))))
}

/// The keys of `… UNION … ORDER BY`, which are output columns and nothing else.
fn set_operation_keys(select: &SelectStmt) -> Option<Vec<usize>> {
    let mut first = select;
    while let Some(left) = &first.larg {
        first = left;
    }
    let targets = targets(first)?;
    let star = targets.iter().position(|t| is_star(t)).unwrap_or(targets.len());
    select
        .sort_clause
        .iter()
        .map(|sort| {
            let key = key(sort)?;
            let at = match position(key) {
                Some(at) => at,
                None => {
                    let name = bare_name(key)?;
                    targets.iter().position(|t| output_name(t) == Some(name))?
                }
            };
            // Behind a star nobody knows the position.
            (at < star || position(key).is_some()).then_some(at)
        })
        .collect()
}

fn ranked(select: &SelectStmt) -> Option<String> {
    let targets = targets(select)?;
    let star = targets.iter().position(|t| is_star(t)).unwrap_or(targets.len());
    let mut keys = select.sort_clause.clone();
    for sort in &mut keys {
        let meant = key(sort)?;
        let value = if let Some(at) = position(meant) {
            (at < star).then(|| targets.get(at)?.val.clone())??
        } else if let Some(target) =
            bare_name(meant).and_then(|name| targets.iter().find(|t| output_name(t) == Some(name)))
        {
            target.val.clone()?
        } else {
            continue;
        };
        let Some(NodeEnum::SortBy(sort)) = &mut sort.node else { return None };
        sort.node = Some(value);
    }
    let mut statement = select.clone();
    let mut rank = pg_query::parse(
        &format!("SELECT pg_catalog.dense_rank() OVER (ORDER BY true) AS {RANK}"),
        pg_query::ParserOptions::DEFAULT,
    )
    .ok()?
    .protobuf;
    let Some(NodeEnum::SelectStmt(mut rank)) = rank.stmts.pop()?.stmt?.node else { return None };
    let mut target = rank.target_list.pop()?;
    {
        let Some(NodeEnum::ResTarget(target)) = &mut target.node else { return None };
        let Some(NodeEnum::FuncCall(call)) = &mut target.val.as_mut()?.node else { return None };
        call.over.as_mut()?.order_clause = keys;
    }
    statement.target_list.push(target);
    NodeEnum::SelectStmt(Box::new(statement)).deparse(pg_query::DeparseOptions::default()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(sql: &str) -> Order {
        ParsedStatement::parse(sql).unwrap().order()
    }

    #[test]
    fn ties_are_numbered_by_the_same_keys() {
        for (sql, keys) in [
            ("select a, b from t order by b desc nulls last", "b DESC NULLS LAST"),
            ("select a + 1 as b from t order by b", "a + 1"),
            ("select t.a from t order by a, c", "t.a, c"),
            ("select a, count(*) from t group by a order by 2 desc, 1", "count(*) DESC, a"),
            ("select * from t order by lower(x) limit 3", "lower(x)"),
        ] {
            let Order::Ranked(ranked) = order(sql) else { panic!("{sql}: {:?}", order(sql)) };
            assert!(ranked.contains(&format!("OVER (ORDER BY {keys}) AS pgwright_rank")), "{ranked}");
            assert!(ParsedStatement::parse(&ranked).is_ok(), "{ranked}");
        }
    }

    #[test]
    fn set_operations_are_ordered_by_output_columns() {
        assert_eq!(
            order("select a, b from t union select c, d from u order by b, 1"),
            Order::Columns(vec![1, 0])
        );
        assert_eq!(order("select * from t union select * from u order by b"), Order::Unknown);
        assert_eq!(order("select * from t union all select * from u order by 2"), Order::Columns(vec![1]));
        assert_eq!(order("select * from t order by 2"), Order::Unknown);
        assert_eq!(order("select a from (select a from t order by a) x"), Order::Unordered);
        assert_eq!(order("delete from t"), Order::Unordered);
    }
}
