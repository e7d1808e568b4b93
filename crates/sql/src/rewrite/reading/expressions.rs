//! Expressions of the parse tree.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    self, AExprKind, BoolExprType, BoolTestType, MinMaxOp, Node, NullTestType, SqlValueFunctionOp,
    SubLinkType,
};

use super::super::functions::is_aggregate;
use super::super::tree::{Call, Constant, Expr, LikeKind, Truth, TypeName, Window};
use super::{Read, Reader, SortKey, sort_key, strings};
use crate::text::SENTINEL;

impl Reader<'_> {
    pub(super) fn expr(&mut self, node: &Node) -> Read<Expr> {
        let node = node.node.as_ref().ok_or("an expression is empty")?;
        Ok(match node {
            NodeEnum::ColumnRef(column) => {
                let fields = strings(&column.fields);
                if fields.len() != column.fields.len() {
                    return Err("it uses a whole row as a value".into());
                }
                Expr::Column(self.resolve(&fields)?)
            }
            NodeEnum::ParamRef(parameter) => {
                Expr::Parameter(u32::try_from(parameter.number).map_err(|_| "a parameter has no number")?)
            }
            NodeEnum::AConst(constant) => self::constant(constant),
            NodeEnum::TypeCast(cast) => {
                let inner = self.required(cast.arg.as_deref())?;
                let to = cast.type_name.as_ref().ok_or("a cast has no type")?;
                if let Some(interval) = interval(&inner, to) {
                    return Ok(interval);
                }
                let to = type_name(to)?;
                // `true` is a constant since 16 and the cast of a text before.
                match (&inner, to.simple()) {
                    (Expr::Constant(Constant::Text(text)), Some("bool")) if text == "t" || text == "f" => {
                        Expr::Constant(Constant::Boolean(text == "t"))
                    }
                    _ => Expr::Cast { inner: Box::new(inner), to },
                }
            }
            NodeEnum::AExpr(expr) => self.operator(expr)?,
            NodeEnum::BoolExpr(expr) => {
                let mut args = self.list(&expr.args)?;
                match BoolExprType::try_from(expr.boolop) {
                    Ok(BoolExprType::AndExpr) => Expr::And(args),
                    Ok(BoolExprType::OrExpr) => Expr::Or(args),
                    Ok(BoolExprType::NotExpr) if args.len() == 1 => Expr::Not(Box::new(args.remove(0))),
                    _ => return Err("a condition is unusual".into()),
                }
            }
            NodeEnum::SubLink(link) => self.sublink(link)?,
            NodeEnum::FuncCall(call) => self.call(call)?,
            NodeEnum::CoalesceExpr(expr) => Expr::Coalesce(self.list(&expr.args)?),
            NodeEnum::MinMaxExpr(expr) => {
                let args = self.list(&expr.args)?;
                if expr.op == MinMaxOp::IsGreatest as i32 { Expr::Greatest(args) } else { Expr::Least(args) }
            }
            NodeEnum::CaseExpr(case) => {
                let subject = self.optional(case.arg.as_deref())?.map(Box::new);
                let mut branches = Vec::new();
                for branch in &case.args {
                    let Some(NodeEnum::CaseWhen(when)) = &branch.node else { continue };
                    branches
                        .push((self.required(when.expr.as_deref())?, self.required(when.result.as_deref())?));
                }
                let default = self.optional(case.defresult.as_deref())?.map(Box::new);
                Expr::Case { subject, branches, default }
            }
            NodeEnum::NullTest(test) => Expr::IsNull {
                inner: Box::new(self.required(test.arg.as_deref())?),
                negated: test.nulltesttype == NullTestType::IsNotNull as i32,
            },
            NodeEnum::BooleanTest(test) => Expr::Is {
                inner: Box::new(self.required(test.arg.as_deref())?),
                test: match BoolTestType::try_from(test.booltesttype) {
                    Ok(BoolTestType::IsTrue) => Truth::True,
                    Ok(BoolTestType::IsNotTrue) => Truth::NotTrue,
                    Ok(BoolTestType::IsFalse) => Truth::False,
                    Ok(BoolTestType::IsNotFalse) => Truth::NotFalse,
                    Ok(BoolTestType::IsUnknown) => Truth::Unknown,
                    _ => Truth::NotUnknown,
                },
            },
            NodeEnum::SqlvalueFunction(function) => {
                let name = match SqlValueFunctionOp::try_from(function.op) {
                    Ok(SqlValueFunctionOp::SvfopCurrentDate) => "current_date",
                    Ok(SqlValueFunctionOp::SvfopCurrentTimestamp) => "current_timestamp",
                    Ok(SqlValueFunctionOp::SvfopLocaltimestamp) => "localtimestamp",
                    Ok(SqlValueFunctionOp::SvfopCurrentTime) => "current_time",
                    Ok(SqlValueFunctionOp::SvfopLocaltime) => "localtime",
                    Ok(SqlValueFunctionOp::SvfopCurrentUser) => "current_user",
                    Ok(SqlValueFunctionOp::SvfopCurrentRole) => "current_role",
                    Ok(SqlValueFunctionOp::SvfopSessionUser) => "session_user",
                    _ => return Err("it uses an unusual value of the session".into()),
                };
                Expr::Value(name.to_owned())
            }
            NodeEnum::AArrayExpr(array) => Expr::Array(self.list(&array.elements)?),
            NodeEnum::RowExpr(row) => Expr::Row(self.list(&row.args)?),
            NodeEnum::CollateClause(collate) => Expr::Collate {
                inner: Box::new(self.required(collate.arg.as_deref())?),
                collation: strings(&collate.collname),
            },
            NodeEnum::NamedArgExpr(named) => Expr::Named {
                name: named.name.clone(),
                inner: Box::new(self.required(named.arg.as_deref())?),
            },
            _ => return Err("it has an expression that rewriting does not understand yet".into()),
        })
    }

    fn required(&mut self, node: Option<&Node>) -> Read<Expr> {
        self.expr(node.ok_or("an expression is empty")?)
    }

    fn boxed(&mut self, node: Option<&Node>) -> Read<Box<Expr>> {
        Ok(Box::new(self.required(node)?))
    }

    fn list(&mut self, nodes: &[Node]) -> Read<Vec<Expr>> {
        nodes.iter().map(|node| self.expr(node)).collect()
    }

    /// The elements of a list that stands on the right of `IN` or `BETWEEN`.
    fn elements(&mut self, node: Option<&Node>) -> Read<Vec<Expr>> {
        match node.and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::List(list)) => self.list(&list.items),
            _ => Err("a list is written in an unusual way".into()),
        }
    }

    fn operator(&mut self, expr: &protobuf::AExpr) -> Read<Expr> {
        let [name] = strings(&expr.name).try_into().map_err(|_| "an operator has a schema")?;
        let name: String = name;
        let negated = name.starts_with('!') || name == "<>";
        let kind = AExprKind::try_from(expr.kind).unwrap_or(AExprKind::Undefined);
        Ok(match kind {
            AExprKind::AexprOp => Expr::Operator {
                left: self.optional(expr.lexpr.as_deref())?.map(Box::new),
                right: self.boxed(expr.rexpr.as_deref())?,
                name,
            },
            AExprKind::AexprOpAny | AExprKind::AexprOpAll => Expr::AnyOf {
                operator: name,
                value: self.boxed(expr.lexpr.as_deref())?,
                array: self.boxed(expr.rexpr.as_deref())?,
                all: kind == AExprKind::AexprOpAll,
            },
            AExprKind::AexprDistinct | AExprKind::AexprNotDistinct => Expr::Distinct {
                left: self.boxed(expr.lexpr.as_deref())?,
                right: self.boxed(expr.rexpr.as_deref())?,
                negated: kind == AExprKind::AexprNotDistinct,
            },
            AExprKind::AexprNullif => {
                Expr::NullIf(self.boxed(expr.lexpr.as_deref())?, self.boxed(expr.rexpr.as_deref())?)
            }
            AExprKind::AexprIn => Expr::In {
                value: self.boxed(expr.lexpr.as_deref())?,
                list: self.elements(expr.rexpr.as_deref())?,
                negated,
            },
            AExprKind::AexprLike | AExprKind::AexprIlike | AExprKind::AexprSimilar => Expr::Like {
                kind: match kind {
                    AExprKind::AexprLike => LikeKind::Like,
                    AExprKind::AexprIlike => LikeKind::Ilike,
                    _ => LikeKind::Similar,
                },
                value: self.boxed(expr.lexpr.as_deref())?,
                pattern: self.boxed(expr.rexpr.as_deref())?,
                negated,
            },
            AExprKind::AexprBetween
            | AExprKind::AexprNotBetween
            | AExprKind::AexprBetweenSym
            | AExprKind::AexprNotBetweenSym => {
                let bounds = self.elements(expr.rexpr.as_deref())?;
                let [low, high] = <[Expr; 2]>::try_from(bounds).map_err(|_| "BETWEEN has not two bounds")?;
                Expr::Between {
                    value: self.boxed(expr.lexpr.as_deref())?,
                    low: Box::new(low),
                    high: Box::new(high),
                    negated: matches!(kind, AExprKind::AexprNotBetween | AExprKind::AexprNotBetweenSym),
                    symmetric: matches!(kind, AExprKind::AexprBetweenSym | AExprKind::AexprNotBetweenSym),
                }
            }
            AExprKind::Undefined => return Err("an operator is unusual".into()),
        })
    }

    fn sublink(&mut self, link: &protobuf::SubLink) -> Read<Expr> {
        let inner = link.subselect.as_deref().ok_or("a subquery is empty")?;
        let value = self.optional(link.testexpr.as_deref())?;
        let query = Box::new(self.subquery(inner)?);
        let kind = SubLinkType::try_from(link.sub_link_type).unwrap_or(SubLinkType::Undefined);
        Ok(match (kind, value) {
            (SubLinkType::ExistsSublink, None) => Expr::Exists(query),
            (SubLinkType::ExprSublink, None) => Expr::Scalar(query),
            (SubLinkType::ArraySublink, None) => Expr::ArrayOf(query),
            (SubLinkType::AnySublink | SubLinkType::AllSublink, Some(value)) => {
                let operator = match strings(&link.oper_name).as_slice() {
                    [] => "=".to_owned(),
                    [name] => name.clone(),
                    _ => return Err("an operator has a schema".into()),
                };
                let all = kind == SubLinkType::AllSublink;
                Expr::Quantified { operator, value: Box::new(value), query, all }
            }
            _ => return Err("a subquery is used in an unusual way".into()),
        })
    }

    fn call(&mut self, call: &protobuf::FuncCall) -> Read<Expr> {
        let (schema, name) = match strings(&call.funcname).as_slice() {
            [name] => (None, name.clone()),
            [schema, name] if schema == "pg_catalog" => (None, name.clone()),
            [schema, name] => (Some(schema.clone()), name.clone()),
            _ => return Err("the name of a function is unusual".into()),
        };
        let order = self.sort_keys(&call.agg_order)?;
        let over = match call.over.as_deref() {
            Some(window) => Some(Box::new(self.window(window)?)),
            None => None,
        };
        let call = Call {
            schema,
            name,
            args: self.list(&call.args)?,
            star: call.agg_star,
            distinct: call.agg_distinct,
            order,
            filter: self.optional(call.agg_filter.as_deref())?.map(Box::new),
            over,
            within_group: call.agg_within_group,
            variadic: call.func_variadic,
            syntax: call.funcformat == protobuf::CoercionForm::CoerceSqlSyntax as i32,
        };
        if call.over.is_none() && is_aggregate(&call) && self.is_of_a_query_around(&call.args) {
            return Err("it has an aggregate over columns of a query around it".into());
        }
        Ok(Expr::Call(Box::new(call)))
    }

    /// Whether expressions are of columns of which none is of the level itself: an aggregate of them is one of the level
    /// that they belong to.
    fn is_of_a_query_around(&self, exprs: &[Expr]) -> bool {
        let has = |level: &super::Level, source: &str| {
            level.entries.iter().flat_map(|e| &e.columns).any(|(_, column)| column.source == source)
        };
        let Some((own, around)) = self.levels.split_last() else { return false };
        let sources: Vec<&str> = exprs.iter().flat_map(Expr::sources).collect();
        !sources.iter().any(|source| has(own, source))
            && sources.iter().any(|source| around.iter().any(|level| has(level, source)))
    }

    fn sort_keys(&mut self, nodes: &[Node]) -> Read<Vec<SortKey>> {
        let mut keys = Vec::new();
        for node in nodes {
            let Some(NodeEnum::SortBy(sort)) = &node.node else { continue };
            let expr = self.required(sort.node.as_deref())?;
            keys.push(sort_key(sort, expr)?);
        }
        Ok(keys)
    }

    fn window(&mut self, window: &protobuf::WindowDef) -> Read<Window> {
        let named = if window.name.is_empty() { &window.refname } else { &window.name };
        if !named.is_empty() {
            if !window.partition_clause.is_empty() || !window.order_clause.is_empty() {
                return Err("a window is made from another one".into());
            }
            let level = self.levels.last().ok_or("a window stands outside of a query")?;
            let found = level.windows.iter().find(|w| &w.name == named).cloned();
            let mut definition = found.ok_or_else(|| format!("window {named} is not known"))?;
            if !definition.refname.is_empty() {
                return Err("a window is made from another one".into());
            }
            definition.name.clear();
            return self.window(&definition);
        }
        Ok(Window {
            partition: self.list(&window.partition_clause)?,
            order: self.sort_keys(&window.order_clause)?,
            frame: window.frame_options,
            start: self.optional(window.start_offset.as_deref())?,
            end: self.optional(window.end_offset.as_deref())?,
        })
    }
}

fn constant(constant: &protobuf::AConst) -> Expr {
    use protobuf::a_const::Val;
    if constant.isnull {
        return Expr::Constant(Constant::Null);
    }
    Expr::Constant(match &constant.val {
        Some(Val::Ival(value)) => Constant::Integer(i64::from(value.ival)),
        Some(Val::Fval(value)) => Constant::Number(value.fval.clone()),
        Some(Val::Boolval(value)) => Constant::Boolean(value.boolval),
        Some(Val::Sval(value)) => {
            // A parameter in a place that takes constants only was replaced before parsing.
            if let Some(number) = value.sval.strip_prefix(SENTINEL).and_then(|n| n.parse().ok()) {
                return Expr::Parameter(number);
            }
            Constant::Text(value.sval.clone())
        }
        Some(Val::Bsval(value)) => Constant::Bits(value.bsval.clone()),
        // Zero and the empty text may be left out of the message.
        None => Constant::Integer(0),
    })
}

/// `interval '3' month`, in which the unit is a modifier of the type, as `'3 months'::interval`: for a whole number of
/// one unit they are the same. The bits are those of `timestamp.h`.
fn interval(value: &Expr, to: &protobuf::TypeName) -> Option<Expr> {
    let [mask] = to.typmods.as_slice() else { return None };
    let Expr::Constant(Constant::Text(text)) = value else { return None };
    let number: i32 = text.parse().ok()?;
    if strings(&to.names) != ["pg_catalog", "interval"] || !to.array_bounds.is_empty() || number < 0 {
        return None;
    }
    let Some(NodeEnum::AConst(constant)) = &mask.node else { return None };
    let Some(protobuf::a_const::Val::Ival(mask)) = &constant.val else { return None };
    let unit = match mask.ival {
        0x2 => "month",
        0x4 => "year",
        0x8 => "day",
        0x400 => "hour",
        0x800 => "minute",
        0x1000 => "second",
        _ => return None,
    };
    let plural = if number == 1 { "" } else { "s" };
    Some(Expr::Cast {
        inner: Box::new(Expr::Constant(Constant::Text(format!("{number} {unit}{plural}")))),
        to: TypeName::plain("interval"),
    })
}

/// Reads a type.
fn type_name(name: &protobuf::TypeName) -> Read<TypeName> {
    if name.setof || name.pct_type {
        return Err("a type is written in an unusual way".into());
    }
    let mut names = strings(&name.names);
    if names.len() == 2 && names[0] == "pg_catalog" {
        names.remove(0);
    }
    let integer = |node: &Node| match &node.node {
        Some(NodeEnum::AConst(constant)) => match &constant.val {
            Some(protobuf::a_const::Val::Ival(value)) => Some(i64::from(value.ival)),
            // Zero is left out of the message.
            None if !constant.isnull => Some(0),
            _ => None,
        },
        Some(NodeEnum::Integer(value)) => Some(i64::from(value.ival)),
        _ => None,
    };
    let modifiers = name.typmods.iter().map(integer).collect::<Option<Vec<i64>>>();
    let bounds = name.array_bounds.iter().map(integer).collect::<Option<Vec<i64>>>();
    let unusual = || "a type is written in an unusual way".to_owned();
    if names.last().is_some_and(|n| n == "interval") && !name.typmods.is_empty() {
        return Err(unusual());
    }
    Ok(TypeName {
        names,
        modifiers: modifiers.ok_or_else(unusual)?,
        array_bounds: bounds
            .ok_or_else(unusual)?
            .into_iter()
            .map(|b| i32::try_from(b).unwrap_or(-1))
            .collect(),
    })
}
