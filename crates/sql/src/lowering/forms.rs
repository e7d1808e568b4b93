//! Expressions that have a grammar of their own: `CASE`, `AND`, `IS NULL`, `LIKE`, `IN`, `GREATEST`.

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, BoolExprType, BoolTestType, MinMaxOp, Node, NullTestType};

use super::Lowering;
use crate::expression::Expression;

/// An expression while it is put together.
struct Writing {
    texts: Vec<&'static str>,
    parts: Vec<Expression>,
}

impl Writing {
    fn begin(text: &'static str) -> Self {
        Self { texts: vec![text], parts: Vec::new() }
    }

    fn then(&mut self, part: Expression, text: &'static str) {
        self.parts.push(part);
        self.texts.push(text);
    }

    /// What stands in a list, and how the list ends.
    fn list(mut self, items: Vec<Expression>, between: &'static str, end: &'static str) -> Expression {
        let last = items.len().saturating_sub(1);
        for (at, item) in items.into_iter().enumerate() {
            self.then(item, if at == last { end } else { between });
        }
        self.end()
    }

    fn end(self) -> Expression {
        Expression::Form { texts: self.texts, parts: self.parts }
    }
}

impl Lowering<'_> {
    pub(super) fn form(&mut self, node: &NodeEnum) -> Expression {
        match node {
            NodeEnum::BoolExpr(of) => {
                let items: Vec<Expression> = of.args.iter().map(|n| self.lower(n)).collect();
                match BoolExprType::try_from(of.boolop) {
                    Ok(BoolExprType::AndExpr) => Writing::begin("(").list(items, " AND ", ")"),
                    Ok(BoolExprType::OrExpr) => Writing::begin("(").list(items, " OR ", ")"),
                    Ok(BoolExprType::NotExpr) => Writing::begin("(NOT ").list(items, " ", ")"),
                    _ => Expression::Other(items),
                }
            }
            NodeEnum::NullTest(test) => {
                let is_null = test.nulltesttype == NullTestType::IsNull as i32;
                let end = if is_null { " IS NULL)" } else { " IS NOT NULL)" };
                let items = test.arg.iter().map(|n| self.lower(n)).collect();
                Writing::begin("(").list(items, " ", end)
            }
            NodeEnum::BooleanTest(test) => {
                let items = test.arg.iter().map(|n| self.lower(n)).collect();
                let end = match BoolTestType::try_from(test.booltesttype) {
                    Ok(BoolTestType::IsTrue) => " IS TRUE)",
                    Ok(BoolTestType::IsNotTrue) => " IS NOT TRUE)",
                    Ok(BoolTestType::IsFalse) => " IS FALSE)",
                    Ok(BoolTestType::IsNotFalse) => " IS NOT FALSE)",
                    Ok(BoolTestType::IsUnknown) => " IS UNKNOWN)",
                    Ok(BoolTestType::IsNotUnknown) => " IS NOT UNKNOWN)",
                    _ => return Expression::Other(items),
                };
                Writing::begin("(").list(items, " ", end)
            }
            NodeEnum::CaseExpr(case) => {
                let mut writing = Writing::begin("CASE ");
                if let Some(arg) = &case.arg {
                    let arg = self.lower(arg);
                    writing.then(arg, " ");
                }
                for when in &case.args {
                    let Some(NodeEnum::CaseWhen(when)) = &when.node else { continue };
                    let mut side = |n: &Option<Box<Node>>| {
                        n.as_ref().map_or(Expression::Other(vec![]), |n| self.lower(n))
                    };
                    let (condition, result) = (side(&when.expr), side(&when.result));
                    if let Some(last) = writing.texts.last_mut() {
                        *last = match *last {
                            "CASE " => "CASE WHEN ",
                            _ => " WHEN ",
                        };
                    }
                    writing.then(condition, " THEN ");
                    writing.then(result, " ");
                }
                if let Some(otherwise) = &case.defresult {
                    let otherwise = self.lower(otherwise);
                    if let Some(last) = writing.texts.last_mut() {
                        *last = " ELSE ";
                    }
                    writing.then(otherwise, " ");
                }
                if let Some(last) = writing.texts.last_mut() {
                    *last = " END";
                }
                writing.end()
            }
            NodeEnum::MinMaxExpr(of) => {
                let items: Vec<Expression> = of.args.iter().map(|n| self.lower(n)).collect();
                let begin = if of.op == MinMaxOp::IsGreatest as i32 { "GREATEST(" } else { "LEAST(" };
                Writing::begin(begin).list(items, ", ", ")")
            }
            _ => Expression::Other(vec![]),
        }
    }
}

/// A comparison that is more than an operator.
pub(super) fn of_kind(kind: i32, operator: &str, left: Option<Expression>, right: Expression) -> Expression {
    let Some(left) = left else { return Expression::Other(vec![right]) };
    let between = match (AExprKind::try_from(kind), operator) {
        (Ok(AExprKind::AexprLike), "~~") => " LIKE ",
        (Ok(AExprKind::AexprLike), "!~~") => " NOT LIKE ",
        (Ok(AExprKind::AexprIlike), "~~*") => " ILIKE ",
        (Ok(AExprKind::AexprIlike), "!~~*") => " NOT ILIKE ",
        (Ok(AExprKind::AexprDistinct), "=") => " IS DISTINCT FROM ",
        (Ok(AExprKind::AexprNotDistinct), "=") => " IS NOT DISTINCT FROM ",
        (Ok(AExprKind::AexprNullif), "=") => {
            return Writing::begin("NULLIF(").list(vec![left, right], ", ", ")");
        }
        (Ok(AExprKind::AexprIn), "=" | "<>") => {
            let between = if operator == "=" { " IN (" } else { " NOT IN (" };
            return match right {
                Expression::List(items) if !items.is_empty() => {
                    let mut writing = Writing::begin("(");
                    writing.then(left, between);
                    writing.list(items, ", ", "))")
                }
                other => Expression::Other(vec![left, other]),
            };
        }
        (Ok(AExprKind::AexprBetween | AExprKind::AexprNotBetween), _) => {
            let not = kind == AExprKind::AexprNotBetween as i32;
            let between = if not { " NOT BETWEEN " } else { " BETWEEN " };
            return match right {
                Expression::List(bounds) if bounds.len() == 2 => {
                    let mut writing = Writing::begin("(");
                    writing.then(left, between);
                    writing.list(bounds, " AND ", ")")
                }
                other => Expression::Other(vec![left, other]),
            };
        }
        _ => return Expression::Other(vec![left, right]),
    };
    Writing::begin("(").list(vec![left, right], between, ")")
}
