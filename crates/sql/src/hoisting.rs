//! Which calls in a condition could be made once per statement instead of once per row?
//!
//! A call without columns of the row, wrapped in a scalar subquery, becomes an InitPlan: PostgreSQL runs it once.

use pg_query::NodeEnum;
use pg_query::protobuf::{LimitOption, Node, ResTarget, SelectStmt, SetOperation, SubLink, SubLinkType};

use crate::lowering::string;

/// A condition with some of its calls wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hoisted {
    /// The condition, as libpg_query prints it.
    pub sql: String,
    /// The functions whose calls were wrapped, sorted.
    pub functions: Vec<String>,
}

/// Wraps the calls in a condition that `wanted` says give the same for every row, given the schema, where one is
/// written, and the name. `None` when there is no such call outside of a subquery, or the text cannot be parsed.
pub fn hoist_calls(condition: &str, wanted: &dyn Fn(Option<&str>, &str) -> bool) -> Option<Hoisted> {
    let mut node = crate::predicate::parse_node(condition)?;
    let mut functions = Vec::new();
    wrap(&mut node, wanted, &mut functions);
    if functions.is_empty() {
        return None;
    }
    functions.sort();
    functions.dedup();
    Some(Hoisted { sql: crate::idea::expression(node).ok()?, functions })
}

fn wrap(node: &mut Node, wanted: &dyn Fn(Option<&str>, &str) -> bool, found: &mut Vec<String>) {
    let each = |nodes: &mut Vec<Node>, found: &mut Vec<String>| {
        nodes.iter_mut().for_each(|n| wrap(n, wanted, found));
    };
    let Some(inner) = node.node.as_mut() else { return };
    match inner {
        NodeEnum::FuncCall(call) => {
            let parts: Vec<String> = call.funcname.iter().filter_map(string).collect();
            let (name, schema) = match parts.as_slice() {
                [name] => (name.clone(), None),
                [.., schema, name] => (name.clone(), Some(schema.as_str())),
                [] => return,
            };
            let plain =
                call.over.is_none() && call.agg_filter.is_none() && !call.agg_star && !call.agg_distinct;
            if plain && wanted(schema, &name) && !call.args.iter().any(has_column) {
                found.push(parts.join("."));
                let wrapped = scalar_subquery(Node { node: Some(inner.clone()) });
                node.node = Some(wrapped);
                return;
            }
            each(&mut call.args, found);
        }
        NodeEnum::BoolExpr(e) => each(&mut e.args, found),
        NodeEnum::AExpr(e) => {
            for side in [&mut e.lexpr, &mut e.rexpr].into_iter().flatten() {
                wrap(side, wanted, found);
            }
        }
        NodeEnum::TypeCast(e) => {
            // The cast belongs to the value: `(SELECT f()::uuid)` and `(SELECT f())::uuid` are the same.
            if let Some(arg) = &mut e.arg {
                wrap(arg, wanted, found);
            }
        }
        NodeEnum::NullTest(e) => {
            if let Some(arg) = &mut e.arg {
                wrap(arg, wanted, found);
            }
        }
        NodeEnum::BooleanTest(e) => {
            if let Some(arg) = &mut e.arg {
                wrap(arg, wanted, found);
            }
        }
        NodeEnum::CoalesceExpr(e) => each(&mut e.args, found),
        NodeEnum::List(e) => each(&mut e.items, found),
        NodeEnum::AArrayExpr(e) => each(&mut e.elements, found),
        NodeEnum::RowExpr(e) => each(&mut e.args, found),
        NodeEnum::AIndirection(e) => {
            if let Some(arg) = &mut e.arg {
                wrap(arg, wanted, found);
            }
        }
        NodeEnum::CaseExpr(e) => {
            each(&mut e.args, found);
            for part in [&mut e.arg, &mut e.defresult].into_iter().flatten() {
                wrap(part, wanted, found);
            }
        }
        NodeEnum::CaseWhen(e) => {
            for part in [&mut e.expr, &mut e.result].into_iter().flatten() {
                wrap(part, wanted, found);
            }
        }
        // What a subquery calls, it calls as often as the planner runs it.
        _ => {}
    }
}

fn has_column(node: &Node) -> bool {
    serde_json::to_value(node).is_ok_and(|tree| mentions_column(&tree))
}

fn mentions_column(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(map) => map.contains_key("ColumnRef") || map.values().any(mentions_column),
        serde_json::Value::Array(items) => items.iter().any(mentions_column),
        _ => false,
    }
}

fn scalar_subquery(value: Node) -> NodeEnum {
    let target = ResTarget { val: Some(Box::new(value)), ..ResTarget::default() };
    let select = SelectStmt {
        target_list: vec![Node { node: Some(NodeEnum::ResTarget(Box::new(target))) }],
        limit_option: LimitOption::Default as i32,
        op: SetOperation::SetopNone as i32,
        ..SelectStmt::default()
    };
    NodeEnum::SubLink(Box::new(SubLink {
        sub_link_type: SubLinkType::ExprSublink as i32,
        subselect: Some(Box::new(Node { node: Some(NodeEnum::SelectStmt(Box::new(select))) })),
        ..SubLink::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_without_columns_are_wrapped() {
        let wanted = |schema: Option<&str>, name: &str| {
            (schema.is_none() && name == "current_setting") || (schema == Some("auth") && name == "uid")
        };
        for (condition, expected) in [
            ("(user_id = auth.uid())", Some("user_id = (SELECT auth.uid())")),
            (
                "tenant = (current_setting('app.tenant'::text))::uuid",
                Some("tenant = (SELECT current_setting('app.tenant'::text))::uuid"),
            ),
            ("user_id = (SELECT auth.uid() AS uid)", None),
            ("a = current_setting(b)", None),
            ("a = 1", None),
            ("not sql (", None),
            (
                "public OR (owner = auth.uid() AND NOT banned)",
                Some("public OR (owner = (SELECT auth.uid()) AND NOT banned)"),
            ),
            ("lower(auth.uid()::text) = x", Some("lower((SELECT auth.uid())::text) = x")),
        ] {
            assert_eq!(hoist_calls(condition, &wanted).map(|h| h.sql).as_deref(), expected, "{condition}");
        }
    }
}
