//! Conditions: what a `WHERE` or `ON` says about single relations and about pairs of them.

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AExpr, AExprKind, BoolExprType, BoolTestType, FuncCall, Node, NullTestType, SubLinkType,
};

use super::{Lowering, Wanted, string};
use crate::analysis::{Arm, JoinEquality, KeyExpression, Operator, Predicate};
use crate::expression::Expression;
use crate::lowering::expressions::{is_aggregate, operator_name};

/// The left side of a predicate as a key.
pub(super) fn key_expression(expression: &Expression) -> Option<KeyExpression> {
    match expression {
        Expression::Column(column) => Some(KeyExpression::Column(column.column.clone())),
        other => {
            other.only_relation()?;
            let sql = if other.is_indexable() { other.index_sql() } else { None };
            Some(KeyExpression::Expression { sql, expression: other.clone() })
        }
    }
}

/// Whether what stands as a condition is a truth value that an index could hold: a column, or what is computed from one.
fn is_truth_value(node: &NodeEnum) -> bool {
    match node {
        NodeEnum::ColumnRef(_)
        | NodeEnum::TypeCast(_)
        | NodeEnum::CoalesceExpr(_)
        | NodeEnum::CaseExpr(_)
        | NodeEnum::MinMaxExpr(_) => true,
        NodeEnum::FuncCall(call) => !is_aggregate(call) && condition_operator(call).is_none(),
        _ => false,
    }
}

/// The operator that a function is to the planner (support functions, `SupportRequestIndexCondition`).
fn condition_operator(call: &FuncCall) -> Option<&'static str> {
    match call.funcname.last().and_then(string)?.as_str() {
        "starts_with" => Some("^@"),
        "st_intersects" | "st_contains" | "st_within" | "st_dwithin" | "st_covers" | "st_coveredby"
        | "st_overlaps" | "st_touches" | "st_crosses" => Some("&&"),
        _ => None,
    }
}

impl Lowering<'_> {
    /// Reads a condition. `disjunct` is the `OR` it is an arm of; `preserved` are the relations whose
    /// rows survive an outer join whatever its `ON` says.
    pub(super) fn condition(
        &mut self,
        node: &Node,
        disjunct: Option<Arm>,
        preserved: Option<&BTreeSet<usize>>,
    ) {
        match &node.node {
            Some(NodeEnum::BoolExpr(bool_expr)) => match BoolExprType::try_from(bool_expr.boolop) {
                Ok(BoolExprType::AndExpr) => {
                    for arm in &bool_expr.args {
                        self.condition(arm, disjunct, preserved);
                    }
                }
                Ok(BoolExprType::OrExpr) => {
                    self.disjunctions += 1;
                    let disjunction = disjunct.map_or(self.disjunctions, |d| d.disjunction);
                    let mut in_all: Option<BTreeSet<JoinEquality>> = None;
                    for arm in &bool_expr.args {
                        self.arms += 1;
                        self.arm_joins.push(BTreeSet::new());
                        self.condition(arm, Some(Arm { disjunction, arm: self.arms }), preserved);
                        let joins = self.arm_joins.pop().unwrap_or_default();
                        in_all = Some(match in_all {
                            Some(common) => common.intersection(&joins).cloned().collect(),
                            None => joins,
                        });
                    }
                    // What every arm says holds (`find_duplicate_ors()`).
                    for join in in_all.unwrap_or_default() {
                        self.add_join(join);
                    }
                }
                _ => {
                    for arm in &bool_expr.args {
                        self.negated(arm, disjunct, preserved);
                    }
                }
            },
            Some(NodeEnum::AExpr(expression)) => self.comparison(expression, disjunct, preserved),
            Some(NodeEnum::NullTest(test)) => {
                let Some(arg) = &test.arg else { return };
                let operator = if test.nulltesttype == NullTestType::IsNull as i32 {
                    Operator::IsNull
                } else {
                    Operator::IsNotNull
                };
                let expression = self.lower(arg);
                self.predicate(expression, operator, vec![], disjunct, preserved);
            }
            Some(NodeEnum::BooleanTest(test)) => {
                let operator = match BoolTestType::try_from(test.booltesttype) {
                    Ok(BoolTestType::IsTrue) => Operator::IsTrue,
                    Ok(BoolTestType::IsFalse) => Operator::IsFalse,
                    Ok(BoolTestType::IsNotTrue) => Operator::IsNotTrue,
                    Ok(BoolTestType::IsNotFalse) => Operator::IsNotFalse,
                    Ok(BoolTestType::IsUnknown) => Operator::IsNull,
                    Ok(BoolTestType::IsNotUnknown) => Operator::IsNotNull,
                    _ => return,
                };
                let Some(arg) = &test.arg else { return };
                let expression = self.lower(arg);
                self.predicate(expression, operator, vec![], disjunct, preserved);
            }
            Some(node_enum) if is_truth_value(node_enum) => {
                let expression = self.lower(node);
                self.predicate(expression, Operator::IsTrue, vec![], disjunct, preserved);
            }
            Some(NodeEnum::FuncCall(call)) => {
                let lowered = self.lower(node);
                let (Some(operator), Expression::Function { args, .. }) = (condition_operator(call), lowered)
                else {
                    return;
                };
                let mut args = args.into_iter();
                if let (Some(left), Some(right)) = (args.next(), args.next()) {
                    self.compare(left, &Operator::Other(operator.into()), right, disjunct, preserved);
                }
            }
            Some(NodeEnum::SubLink(link)) => {
                let kind = SubLinkType::try_from(link.sub_link_type);
                let test = link.testexpr.as_ref().map(|t| self.lower(t));
                let outputs = match link.subselect.as_ref().and_then(|s| s.node.as_ref()) {
                    Some(NodeEnum::SelectStmt(select)) => {
                        let exists = kind == Ok(SubLinkType::ExistsSublink);
                        self.select(select, false, if exists { Wanted::Nothing } else { Wanted::All })
                    }
                    _ => Vec::new(),
                };
                let equal = link.oper_name.is_empty() || operator_name(&link.oper_name) == "=";
                if kind == Ok(SubLinkType::AnySublink)
                    && equal
                    && let Some(test) = test
                {
                    let tests = match test {
                        Expression::List(items) => items,
                        one => vec![one],
                    };
                    for (test, (_, output)) in tests.into_iter().zip(outputs) {
                        self.compare(test, &Operator::Equal, output, disjunct, preserved);
                    }
                }
            }
            _ => {
                self.lower(node);
            }
        }
    }

    /// Reads a condition that must not hold.
    fn negated(&mut self, node: &Node, disjunct: Option<Arm>, preserved: Option<&BTreeSet<usize>>) {
        let (arg, operator) = match &node.node {
            Some(NodeEnum::BooleanTest(test)) => {
                let operator = match BoolTestType::try_from(test.booltesttype) {
                    Ok(BoolTestType::IsTrue) => Operator::IsNotTrue,
                    Ok(BoolTestType::IsFalse) => Operator::IsNotFalse,
                    Ok(BoolTestType::IsNotTrue) => Operator::IsTrue,
                    Ok(BoolTestType::IsNotFalse) => Operator::IsFalse,
                    Ok(BoolTestType::IsUnknown) => Operator::IsNotNull,
                    Ok(BoolTestType::IsNotUnknown) => Operator::IsNull,
                    _ => return,
                };
                let Some(arg) = test.arg.as_deref() else { return };
                (arg, Some(operator))
            }
            Some(value) if is_truth_value(value) => (node, Some(Operator::IsFalse)),
            _ => (node, None),
        };
        let expression = self.lower(arg);
        if let Some(operator) = operator {
            self.predicate(expression, operator, vec![], disjunct, preserved);
        }
    }

    fn comparison(&mut self, expression: &AExpr, disjunct: Option<Arm>, preserved: Option<&BTreeSet<usize>>) {
        let (Some(left), Some(right)) = (&expression.lexpr, &expression.rexpr) else {
            for side in [&expression.lexpr, &expression.rexpr].into_iter().flatten() {
                self.lower(side);
            }
            return;
        };
        let symbol = operator_name(&expression.name);
        let left = self.lower(left);
        let right = self.lower(right);
        match AExprKind::try_from(expression.kind) {
            Ok(AExprKind::AexprOp) => match (left, right) {
                (Expression::List(left), Expression::List(right)) if symbol == "=" => {
                    for (left, right) in left.into_iter().zip(right) {
                        self.compare(left, &Operator::Equal, right, disjunct, preserved);
                    }
                }
                // (a, b) > (x, y) bounds a, and in the order (a, b) it is one stretch of an index.
                (Expression::List(left), Expression::List(right)) => {
                    self.row_bound(&left, &right, disjunct);
                    self.row_bound(&right, &left, disjunct);
                    if let (Some(left), Some(right)) = (left.into_iter().next(), right.into_iter().next()) {
                        let operator = match Operator::from_symbol(&symbol) {
                            Operator::Greater => Operator::GreaterOrEqual,
                            Operator::Less => Operator::LessOrEqual,
                            other => other,
                        };
                        self.compare(left, &operator, right, disjunct, preserved);
                    }
                }
                (left, right) => {
                    self.compare(left, &Operator::from_symbol(&symbol), right, disjunct, preserved);
                }
            },
            Ok(AExprKind::AexprOpAny) if symbol == "=" => {
                self.predicate(left, Operator::AnyOf, vec![right], disjunct, preserved);
            }
            Ok(AExprKind::AexprIn) if symbol == "=" => {
                let values = match right {
                    Expression::List(items) => items,
                    one => vec![one],
                };
                match left {
                    // (a, b) IN ((1, 2), (3, 4)): the planner makes it an OR of pairs.
                    Expression::List(columns) => {
                        for (position, column) in columns.into_iter().enumerate() {
                            let of_column = values.iter().filter_map(|row| match row {
                                Expression::List(items) => items.get(position).cloned(),
                                _ => None,
                            });
                            let values = of_column.collect();
                            self.predicate(column, Operator::In, values, disjunct, preserved);
                        }
                    }
                    column => self.predicate(column, Operator::In, values, disjunct, preserved),
                }
            }
            // Other than each of them.
            Ok(AExprKind::AexprIn) if symbol == "<>" && !matches!(left, Expression::List(_)) => {
                let values = match right {
                    Expression::List(items) => items,
                    one => vec![one],
                };
                for value in values {
                    let operator = Operator::NotEqual;
                    self.predicate(left.clone(), operator, vec![value], disjunct, preserved);
                }
            }
            Ok(AExprKind::AexprSimilar) if symbol == "~" => {
                self.predicate(left, Operator::Other("~".into()), vec![right], disjunct, preserved);
            }
            Ok(AExprKind::AexprLike) if symbol == "~~" => {
                let operator = Operator::Like { case_insensitive: false };
                self.predicate(left, operator, vec![right], disjunct, preserved);
            }
            Ok(AExprKind::AexprIlike) if symbol == "~~*" => {
                let operator = Operator::Like { case_insensitive: true };
                self.predicate(left, operator, vec![right], disjunct, preserved);
            }
            Ok(AExprKind::AexprBetween | AExprKind::AexprBetweenSym) => {
                let values = match right {
                    Expression::List(items) => items,
                    one => vec![one],
                };
                match (left.only_relation(), values.as_slice()) {
                    // `$1 BETWEEN low AND high`: two bounds on two columns.
                    (None, [low, high]) => {
                        let (low, high) = (low.clone(), high.clone());
                        self.compare(left.clone(), &Operator::GreaterOrEqual, low, disjunct, preserved);
                        self.compare(left, &Operator::LessOrEqual, high, disjunct, preserved);
                    }
                    _ => self.predicate(left, Operator::Between, values, disjunct, preserved),
                }
            }
            _ => {}
        }
    }

    /// Notes the columns of a row comparison, as many leading ones as are of one relation.
    fn row_bound(&mut self, columns: &[Expression], values: &[Expression], disjunct: Option<Arm>) {
        let mut names = Vec::new();
        let mut of = None;
        for (column, value) in columns.iter().zip(values) {
            match column {
                Expression::Column(column)
                    if of.is_none_or(|r| r == column.relation)
                        && value.columns().iter().all(|v| v.relation != column.relation) =>
                {
                    of = Some(column.relation);
                    names.push(column.column.clone());
                }
                _ => break,
            }
        }
        if let (Some(relation), None, true) = (of, disjunct, names.len() > 1)
            && let Some(relation) = self.analysis.relations.get_mut(relation)
            && !relation.row_bounds.contains(&names)
        {
            relation.row_bounds.push(names);
        }
    }

    /// Adds a join that must hold, or that an arm of the `OR` being read says.
    fn add_join(&mut self, join: JoinEquality) {
        if let Some(arm) = self.arm_joins.last_mut() {
            arm.insert(join);
        } else if !self.analysis.joins.contains(&join) {
            self.analysis.joins.push(join);
        }
    }

    /// One side against the other: a join, or a predicate on whichever side has a column.
    pub(super) fn compare(
        &mut self,
        left: Expression,
        operator: &Operator,
        right: Expression,
        disjunct: Option<Arm>,
        preserved: Option<&BTreeSet<usize>>,
    ) {
        if let (Expression::Column(l), Expression::Column(r)) = (&left, &right)
            && *operator == Operator::Equal
            && l.relation != r.relation
        {
            let (left, right) = if disjunct.is_some() && r < l { (r, l) } else { (l, r) };
            self.add_join(JoinEquality { left: left.clone(), right: right.clone() });
            return;
        }
        for (either, other, swapped) in [(&left, &right, false), (&right, &left, true)] {
            if let Expression::Either(branches) = either {
                for branch in branches {
                    let (l, r) = if swapped { (other, branch) } else { (branch, other) };
                    self.compare(l.clone(), operator, r.clone(), disjunct, preserved);
                }
                return;
            }
        }
        let commuted = operator.commuted();
        let (of_left, of_right) = (left.only_relation(), right.only_relation());
        if of_left.is_some() && (of_left != of_right) {
            self.predicate(left.clone(), operator.clone(), vec![right.clone()], disjunct, preserved);
        }
        if of_right.is_some()
            && of_left != of_right
            && let Some(commuted) = commuted
        {
            self.predicate(right, commuted, vec![left], disjunct, preserved);
        }
    }

    fn predicate(
        &mut self,
        key: Expression,
        operator: Operator,
        values: Vec<Expression>,
        disjunct: Option<Arm>,
        preserved: Option<&BTreeSet<usize>>,
    ) {
        if let Expression::Either(branches) = key {
            for branch in branches {
                self.predicate(branch, operator.clone(), values.clone(), disjunct, preserved);
            }
            return;
        }
        let Some(relation) = key.only_relation() else { return };
        if values.iter().any(|v| v.columns().iter().any(|c| c.relation == relation)) {
            return;
        }
        if preserved.is_some_and(|p| p.contains(&relation)) {
            // It decides which rows find a partner, not which rows are read.
            return;
        }
        let Some(key) = key_expression(&key) else { return };
        let predicate = Predicate { key, operator, values, disjunct, outer_join: preserved.is_some() };
        if let Some(relation) = self.analysis.relations.get_mut(relation)
            && !relation.predicates.contains(&predicate)
        {
            relation.predicates.push(predicate);
        }
    }
}
