//! Expressions: from parse nodes to [`Expression`], noting where parameters stand on the way.

use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{AExprKind, FuncCall, Node, SqlValueFunctionOp, TypeName};
use pg_query::{NodeEnum, protobuf};

use super::forms::of_kind;
use super::{Lowering, string};
use crate::analysis::ParameterContext;
use crate::builtins::{is_volatile, tells_the_time};
use crate::expression::{Expression, Literal};
use crate::text::SENTINEL;

/// The symbol of an operator, its schema left out.
pub(super) fn operator_name(name: &[Node]) -> String {
    name.last().and_then(string).unwrap_or_default()
}

impl Lowering<'_> {
    /// Lowers one expression.
    pub(super) fn lower(&mut self, node: &Node) -> Expression {
        let Some(node) = &node.node else { return Expression::Other(vec![]) };
        match node {
            NodeEnum::ColumnRef(reference) => {
                let path: Vec<String> = reference.fields.iter().filter_map(string).collect();
                if path.len() != reference.fields.len() {
                    // `alias.*` as a value: the whole row.
                    let outputs = self.expand_star(path.last().map(String::as_str), true);
                    return Expression::Other(outputs.into_iter().map(|(_, e)| e).collect());
                }
                self.resolve(&path)
            }
            NodeEnum::ParamRef(parameter) => match u32::try_from(parameter.number) {
                Ok(number) => {
                    self.analysis.parameters.entry(number).or_default();
                    Expression::Parameter(number)
                }
                Err(_) => Expression::Other(vec![]),
            },
            NodeEnum::AConst(constant) => self.constant(constant),
            NodeEnum::TypeCast(cast) => {
                let inner = cast.arg.as_ref().map_or(Expression::Other(vec![]), |n| self.lower(n));
                let to = cast.type_name.as_ref().map(type_name).unwrap_or_default();
                if let Expression::Parameter(number) = &inner {
                    self.context(*number, ParameterContext::Cast(to.clone()));
                }
                Expression::Cast { to, inner: Box::new(inner) }
            }
            NodeEnum::FuncCall(call) => self.function(call),
            NodeEnum::AExpr(expression) => self.operator(expression),
            NodeEnum::SqlvalueFunction(function) => match SqlValueFunctionOp::try_from(function.op) {
                Ok(SqlValueFunctionOp::SvfopCurrentTimestamp | SqlValueFunctionOp::SvfopLocaltimestamp) => {
                    Expression::Now
                }
                Ok(SqlValueFunctionOp::SvfopCurrentDate) => {
                    Expression::Cast { to: "date".into(), inner: Box::new(Expression::Now) }
                }
                _ => Expression::Other(vec![]),
            },
            NodeEnum::CoalesceExpr(coalesce) => {
                let items: Vec<_> = coalesce.args.iter().map(|n| self.lower(n)).collect();
                Expression::Coalesce(items)
            }
            NodeEnum::CollateClause(collate) => {
                let inner = collate.arg.as_ref().map_or(Expression::Other(vec![]), |n| self.lower(n));
                let parts: Vec<_> =
                    collate.collname.iter().filter_map(string).map(|p| model::quote_identifier(&p)).collect();
                Expression::Collate { inner: Box::new(inner), collation: parts.join(".") }
            }
            NodeEnum::List(list) => Expression::List(list.items.iter().map(|n| self.lower(n)).collect()),
            NodeEnum::RowExpr(row) => Expression::List(row.args.iter().map(|n| self.lower(n)).collect()),
            NodeEnum::AArrayExpr(array) => {
                Expression::List(array.elements.iter().map(|n| self.lower(n)).collect())
            }
            NodeEnum::SubLink(link) => {
                let test = link.testexpr.as_ref().map(|t| self.lower(t));
                if let Some(query) = link.subselect.as_ref().and_then(|s| s.node.as_ref()) {
                    let unwanted = std::mem::take(&mut self.unwanted);
                    self.statement(query, false);
                    self.unwanted = unwanted;
                }
                // What it gives is a value of its own, not the column it was read from.
                Expression::Other(test.into_iter().collect())
            }
            NodeEnum::BoolExpr(_)
            | NodeEnum::NullTest(_)
            | NodeEnum::BooleanTest(_)
            | NodeEnum::CaseExpr(_)
            | NodeEnum::MinMaxExpr(_) => self.form(node),
            NodeEnum::CaseWhen(when) => {
                self.others(when.expr.as_deref().into_iter().chain(when.result.as_deref()))
            }
            NodeEnum::AIndirection(indirection) => {
                self.others(indirection.arg.as_deref().into_iter().chain(&indirection.indirection))
            }
            NodeEnum::AIndices(indices) => {
                self.others(indices.lidx.as_deref().into_iter().chain(indices.uidx.as_deref()))
            }
            NodeEnum::NamedArgExpr(named) => self.others(named.arg.as_deref()),
            NodeEnum::ResTarget(target) => self.others(target.val.as_deref()),
            NodeEnum::MultiAssignRef(assign) => self.others(assign.source.as_deref()),
            NodeEnum::SortBy(sort) => self.others(sort.node.as_deref()),
            NodeEnum::GroupingFunc(grouping) => self.others(&grouping.args),
            NodeEnum::GroupingSet(set) => self.others(&set.content),
            other => self.look_through(other),
        }
    }

    fn others<'n>(&mut self, nodes: impl IntoIterator<Item = &'n Node>) -> Expression {
        Expression::Other(nodes.into_iter().map(|n| self.lower(n)).collect())
    }

    /// Finds the columns in a node that has no meaning here (XML, JSON constructors, …).
    fn look_through(&mut self, node: &NodeEnum) -> Expression {
        let mut paths = Vec::new();
        if let Ok(tree) = serde_json::to_value(node) {
            column_paths(&tree, &mut paths);
        }
        Expression::Other(paths.iter().map(|path| self.resolve(path)).collect())
    }

    fn constant(&mut self, constant: &protobuf::AConst) -> Expression {
        if constant.isnull {
            return Expression::Constant(Literal::Null);
        }
        Expression::Constant(match &constant.val {
            Some(Val::Ival(protobuf::Integer { ival })) => Literal::Number(ival.to_string()),
            Some(Val::Fval(protobuf::Float { fval })) => Literal::Number(fval.clone()),
            Some(Val::Boolval(protobuf::Boolean { boolval })) => Literal::Boolean(*boolval),
            Some(Val::Sval(protobuf::String { sval })) => {
                if let Some(number) = sval.strip_prefix(SENTINEL).and_then(|n| n.parse().ok()) {
                    self.analysis.parameters.entry(number).or_default();
                    return Expression::Parameter(number);
                }
                Literal::Text(sval.clone())
            }
            Some(Val::Bsval(protobuf::BitString { bsval })) => Literal::Text(bsval.clone()),
            // Zero is protobuf's default and is not sent.
            None => Literal::Number("0".into()),
        })
    }

    fn function(&mut self, call: &FuncCall) -> Expression {
        let name = call.funcname.last().and_then(string).unwrap_or_default();
        let schema = match call.funcname.as_slice() {
            [schema, _] => string(schema).filter(|s| s != "pg_catalog"),
            _ => None,
        };
        self.analysis.functions.insert(name.clone());
        let args: Vec<Expression> = call.args.iter().map(|n| self.lower(n)).collect();
        for order in &call.agg_order {
            self.lower(order);
        }
        if let Some(filter) = &call.agg_filter {
            self.lower(filter);
        }
        if let Some(window) = &call.over {
            self.window(window);
        }
        for (position, arg) in args.iter().enumerate() {
            if let Expression::Parameter(number) = arg {
                // With one argument these take the text, with two the configuration comes first.
                let configured = position == 0 && args.len() == 2 && TEXT_SEARCH.contains(&name.as_str());
                if configured {
                    self.context(*number, ParameterContext::Cast("regconfig".into()));
                    continue;
                }
                self.context(*number, ParameterContext::Argument { function: name.clone(), position });
            }
        }
        // clock_timestamp() is another moment for each row.
        if tells_the_time(&name) && !is_volatile(&name) && args.is_empty() {
            return Expression::Now;
        }
        let plain = call.over.is_none();
        let special = is_special(call);
        if plain && is_aggregate(call) {
            self.aggregate_calls += 1;
        }
        if let ("min" | "max", [wanted], true) = (name.as_str(), args.as_slice(), plain && !special) {
            self.extremes.push(wanted.clone());
        }
        Expression::Function { schema, name, args, special }
    }

    fn operator(&mut self, expression: &protobuf::AExpr) -> Expression {
        let left = expression.lexpr.as_ref().map(|n| self.lower(n));
        let right = expression.rexpr.as_ref().map_or(Expression::Other(vec![]), |n| self.lower(n));
        let name = operator_name(&expression.name);
        // A column beside a parameter gives the parameter its type, wherever it stands, unless the operator
        // is one that has different types on its two sides: a document and a key, a text vector and a query.
        if let Some(left) = &left
            && !MIXED_OPERATORS.contains(&name.as_str())
        {
            self.typed_by(left, &right);
            self.typed_by(&right, left);
        }
        if let (Some(left), Expression::Parameter(number)) = (&left, &right) {
            let column = left.columns().into_iter().next().cloned();
            match name.as_str() {
                "->" | "->>" => self.context(*number, ParameterContext::JsonKey { column }),
                "#>" | "#>>" => self.context(*number, ParameterContext::JsonPath { column }),
                _ => {}
            }
        }
        if matches!(name.as_str(), "+" | "-" | "*" | "/" | "%") {
            let sides = [left.as_ref(), Some(&right)];
            let unknown =
                |e: &Expression| matches!(e, Expression::Parameter(_) | Expression::Operator { .. });
            if sides.iter().flatten().all(|e| unknown(e) && e.columns().is_empty()) {
                for side in sides.into_iter().flatten() {
                    if let Expression::Parameter(number) = side {
                        self.context(*number, ParameterContext::Number);
                    }
                }
            }
        }
        if expression.kind != AExprKind::AexprOp as i32 {
            return of_kind(expression.kind, &name, left, right);
        }
        Expression::Operator { name, left: left.map(Box::new), right: Box::new(right) }
    }

    fn typed_by(&mut self, column: &Expression, value: &Expression) {
        let Expression::Column(column) = column else { return };
        let Some(relation) = self.analysis.relations.get(column.relation) else { return };
        let table = relation.name.clone();
        let values = match value {
            Expression::List(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            self.column_value(value, &table, &column.column);
        }
    }
}

/// Whether a call is written as only an aggregate or a window function is.
fn is_special(call: &FuncCall) -> bool {
    call.agg_star
        || call.agg_distinct
        || call.agg_within_group
        || call.agg_filter.is_some()
        || call.over.is_some()
        || !call.agg_order.is_empty()
}

/// Whether a call is one of an aggregate or a window function, as far as the text and PostgreSQL's own names tell.
pub(super) fn is_aggregate(call: &FuncCall) -> bool {
    let name = call.funcname.last().and_then(string).unwrap_or_default();
    is_special(call) || AGGREGATES.binary_search(&name.as_str()).is_ok()
}

/// A type as SQL: `pg_catalog.` is left out and array bounds are kept.
pub(crate) fn type_name(name: &TypeName) -> String {
    let parts: Vec<String> = name.names.iter().filter_map(string).collect();
    let mut out = match parts.as_slice() {
        [schema, name] if schema == "pg_catalog" => builtin_type(name).to_owned(),
        parts => parts.iter().map(|p| model::quote_identifier(p)).collect::<Vec<_>>().join("."),
    };
    let numbers: Vec<String> = name
        .typmods
        .iter()
        .filter_map(|n| match &n.node {
            Some(NodeEnum::AConst(c)) => match &c.val {
                Some(Val::Ival(i)) => Some(i.ival.to_string()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    // An interval's field (`interval '1' day`) is a typmod too, a bit mask that is no SQL.
    if !numbers.is_empty() && out != "interval" {
        out.push_str(&format!("({})", numbers.join(", ")));
    }
    for _ in &name.array_bounds {
        out.push_str("[]");
    }
    out
}

/// The SQL spelling of the internal names that the grammar gives to type key words.
fn builtin_type(name: &str) -> &str {
    match name {
        "int2" => "smallint",
        "int4" => "integer",
        "int8" => "bigint",
        "float4" => "real",
        "float8" => "double precision",
        "bool" => "boolean",
        "varchar" => "character varying",
        "bpchar" => "character",
        "timestamptz" => "timestamp with time zone",
        "timetz" => "time with time zone",
        other => other,
    }
}

fn column_paths(value: &serde_json::Value, found: &mut Vec<Vec<String>>) {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(fields) =
                map.get("ColumnRef").and_then(|c| c.get("fields")).and_then(|f| f.as_array())
            {
                let path = fields
                    .iter()
                    .filter_map(|f| f.pointer("/node/String/sval").and_then(|s| s.as_str()))
                    .map(str::to_owned)
                    .collect();
                found.push(path);
                return;
            }
            map.values().for_each(|v| column_paths(v, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|v| column_paths(v, found)),
        _ => {}
    }
}

/// Functions of text search whose first of two arguments is a configuration.
const TEXT_SEARCH: &[&str] =
    &["to_tsvector", "to_tsquery", "plainto_tsquery", "phraseto_tsquery", "websearch_to_tsquery"];

/// Operators whose right side is of another type than the left: of documents, of `hstore`, of text search.
const MIXED_OPERATORS: &[&str] = &["->", "->>", "#>", "#>>", "#-", "?", "?|", "?&", "@?", "@@", "@@@"];

/// Aggregates of PostgreSQL, to know a query level that aggregates without `GROUP BY`.
const AGGREGATES: &[&str] = &[
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
    "xmlagg",
];

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_of_aggregates_is_sorted_for_the_binary_search() {
        assert!(super::AGGREGATES.is_sorted());
    }
}
