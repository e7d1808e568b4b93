//! Conditions: what a `WHERE` or `ON` says about single relations and about pairs of them.

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use pg_query::protobuf::{AExpr, AExprKind, BoolExprType, BoolTestType, Node, NullTestType, SubLinkType};

use super::Lowering;
use crate::analysis::{JoinEquality, KeyExpression, Operator, Predicate};
use crate::expression::Expression;
use crate::lowering::expressions::operator_name;

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

impl Lowering<'_> {
    /// Reads a condition. `disjunct` is the `OR` it is an arm of; `preserved` are the relations whose
    /// rows survive an outer join whatever its `ON` says.
    pub(super) fn condition(
        &mut self,
        node: &Node,
        disjunct: Option<usize>,
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
                    self.disjuncts += 1;
                    let number = disjunct.unwrap_or(self.disjuncts);
                    for arm in &bool_expr.args {
                        self.condition(arm, Some(number), preserved);
                    }
                }
                _ => {
                    for arm in &bool_expr.args {
                        let expression = self.lower(arm);
                        if let Expression::Column(_) = expression {
                            self.predicate(expression, Operator::IsFalse, vec![], disjunct, preserved);
                        }
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
                let Some(arg) = &test.arg else { return };
                let expression = self.lower(arg);
                match BoolTestType::try_from(test.booltesttype) {
                    Ok(BoolTestType::IsTrue) => {
                        self.predicate(expression, Operator::IsTrue, vec![], disjunct, preserved);
                    }
                    Ok(BoolTestType::IsFalse) => {
                        self.predicate(expression, Operator::IsFalse, vec![], disjunct, preserved);
                    }
                    _ => {}
                }
            }
            Some(NodeEnum::ColumnRef(_)) => {
                let expression = self.lower(node);
                self.predicate(expression, Operator::IsTrue, vec![], disjunct, preserved);
            }
            Some(NodeEnum::SubLink(link)) => {
                let kind = SubLinkType::try_from(link.sub_link_type);
                let test = link.testexpr.as_ref().map(|t| self.lower(t));
                let outputs = match link.subselect.as_ref().and_then(|s| s.node.as_ref()) {
                    Some(NodeEnum::SelectStmt(select)) => {
                        self.select(select, false, kind == Ok(SubLinkType::ExistsSublink))
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

    fn comparison(
        &mut self,
        expression: &AExpr,
        disjunct: Option<usize>,
        preserved: Option<&BTreeSet<usize>>,
    ) {
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
                self.predicate(left, Operator::In, vec![right], disjunct, preserved);
            }
            Ok(AExprKind::AexprIn) if symbol == "=" => {
                let values = match right {
                    Expression::List(items) => items,
                    one => vec![one],
                };
                self.predicate(left, Operator::In, values, disjunct, preserved);
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
                self.predicate(left, Operator::Between, values, disjunct, preserved);
            }
            _ => {}
        }
    }

    /// One side against the other: a join, or a predicate on whichever side has a column.
    fn compare(
        &mut self,
        left: Expression,
        operator: &Operator,
        right: Expression,
        disjunct: Option<usize>,
        preserved: Option<&BTreeSet<usize>>,
    ) {
        if let (Expression::Column(l), Expression::Column(r)) = (&left, &right)
            && *operator == Operator::Equal
            && l.relation != r.relation
        {
            if disjunct.is_none() {
                let join = JoinEquality { left: l.clone(), right: r.clone() };
                if !self.analysis.joins.contains(&join) {
                    self.analysis.joins.push(join);
                }
            }
            return;
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
        disjunct: Option<usize>,
        preserved: Option<&BTreeSet<usize>>,
    ) {
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
