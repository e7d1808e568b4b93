//! How does a changed tree become a statement again? It is written with more parentheses than needed, read by
//! PostgreSQL's parser, which so checks it, and laid out by libpg_query's deparser.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use model::{quote_identifier, quote_literal};
use pg_query::protobuf::ParseResult;

use super::tree::{
    Body, Call, Column, Constant, Distinct, Expr, LikeKind, Output, Query, Select, SetOp, SortKey, Truth,
    TypeName, Window,
};
use crate::text::SENTINEL;

mod sources;

/// Writes a query as SQL that reads well; `None` when the deparser refuses it, which no rule should bring about.
pub(crate) fn write(query: &Query) -> Option<String> {
    let mut writer = Writer::default();
    writer.query(query);
    let parsed = pg_query::parse(&writer.out, pg_query::ParserOptions::DEFAULT).ok()?;
    lay_out(&parsed.protobuf)
}

/// An expression as SQL.
pub(super) fn expression(expr: &Expr) -> String {
    let mut writer = Writer::default();
    writer.expr(expr);
    writer.out
}

/// A parse tree as SQL that reads well.
pub(super) fn lay_out(parsed: &ParseResult) -> Option<String> {
    let options = pg_query::DeparseOptions { pretty_print: true, indent_size: 4, ..Default::default() };
    let text = pg_query::deparse(parsed, options).ok()?;
    Some(with_parameters(&text))
}

/// Parameters back in the places that take nothing but constants.
fn with_parameters(text: &str) -> String {
    let mark = format!("'{SENTINEL}");
    let mut parts = text.split(mark.as_str());
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once('\'').unwrap_or((part, ""));
        let _ = write!(out, "${number}{rest}");
    }
    out
}

/// The name that PostgreSQL gives a column of a list without one (`FigureColname`).
pub(crate) fn figure_name(expr: &Expr) -> String {
    figured(expr).0.unwrap_or_else(|| "?column?".into())
}

/// The name, and whether it is better than the name of a type.
fn figured(expr: &Expr) -> (Option<String>, bool) {
    let strong = |name: &str| (Some(name.to_owned()), true);
    match expr {
        Expr::Column(column) => strong(&column.name),
        Expr::Call(call) => strong(&call.name),
        Expr::NullIf(..) => strong("nullif"),
        Expr::Collate { inner, .. } => figured(inner),
        Expr::Coalesce(_) => strong("coalesce"),
        Expr::Greatest(_) => strong("greatest"),
        Expr::Least(_) => strong("least"),
        Expr::Array(_) | Expr::ArrayOf(_) => strong("array"),
        Expr::Row(_) => strong("row"),
        Expr::Exists(_) => strong("exists"),
        Expr::Value(name) => strong(name),
        Expr::Scalar(query) => match query.output_names().into_iter().next() {
            Some(name) => (Some(name), true),
            None => (None, false),
        },
        Expr::Case { default, .. } => match default.as_deref().map(figured) {
            Some((Some(name), true)) => (Some(name), true),
            _ => (Some("case".into()), false),
        },
        Expr::Cast { inner, to } => match figured(inner) {
            (Some(name), true) => (Some(name), true),
            _ => (to.names.last().cloned(), false),
        },
        _ => (None, false),
    }
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Sources whose columns are written without their alias.
    bare: BTreeSet<String>,
}

impl Writer {
    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn name(&mut self, name: &str) {
        self.out.push_str(&quote_identifier(name));
    }

    fn list<T>(&mut self, items: &[T], separator: &str, mut write: impl FnMut(&mut Self, &T)) {
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.push(separator);
            }
            write(self, item);
        }
    }

    fn query(&mut self, query: &Query) {
        if !query.ctes.is_empty() {
            let recursive = query.ctes.iter().any(|cte| cte.recursive);
            self.push(if recursive { "WITH RECURSIVE " } else { "WITH " });
            self.list(&query.ctes, ", ", |w, cte| {
                w.name(&cte.name);
                if cte.columns != cte.query.output_names() {
                    w.push(" (");
                    w.list(&cte.columns, ", ", |w, name| w.name(name));
                    w.push(")");
                }
                w.push(if cte.materialized { " AS MATERIALIZED (" } else { " AS (" });
                w.query(&cte.query);
                w.push(")");
            });
            self.push(" ");
        }
        match &query.body {
            Body::Select(select) => self.select(select, query),
            Body::Set { op, all, left, right } => {
                self.side(left);
                self.push(match op {
                    SetOp::Union => " UNION ",
                    SetOp::Intersect => " INTERSECT ",
                    SetOp::Except => " EXCEPT ",
                });
                self.push(if *all { "ALL " } else { "" });
                self.side(right);
                self.order(&query.order, &[]);
            }
            Body::Values(rows) => {
                self.push("VALUES ");
                self.list(rows, ", ", |w, row| {
                    w.push("(");
                    w.list(row, ", ", |w, e| w.expr(e));
                    w.push(")");
                });
                self.order(&query.order, &[]);
            }
        }
        if let Some(limit) = &query.limit {
            self.push(if query.with_ties { " FETCH FIRST (" } else { " LIMIT " });
            self.expr(limit);
            self.push(if query.with_ties { ") ROWS WITH TIES" } else { "" });
        }
        if let Some(offset) = &query.offset {
            self.push(" OFFSET ");
            self.expr(offset);
        }
    }

    /// A side of a set operation, in parentheses unless it is a plain level.
    fn side(&mut self, query: &Query) {
        let plain = query.is_bare() && matches!(query.body, Body::Select(_) | Body::Values(_));
        self.push(if plain { "" } else { "(" });
        self.query(query);
        self.push(if plain { "" } else { ")" });
    }

    fn select(&mut self, select: &Select, query: &Query) {
        let before = self.bare.clone();
        if let [only] = select.leaves().as_slice() {
            let mut nested = false;
            query.children(&mut |child| match child {
                super::walk::Child::Expr(expr) => nested |= expr.has_query(),
                super::walk::Child::Query(_) => nested = true,
            });
            if !nested && query.outer_columns().is_empty() {
                self.bare.extend(only.aliases().into_iter().map(str::to_owned));
            }
        }
        self.push("SELECT ");
        match &select.distinct {
            Distinct::No => {}
            Distinct::All => self.push("DISTINCT "),
            Distinct::On(keys) => {
                self.push("DISTINCT ON (");
                self.list(keys, ", ", |w, key| w.key(key, &select.outputs));
                self.push(") ");
            }
        }
        self.outputs(select);
        if !select.from.is_empty() {
            self.push(" FROM ");
            self.list(&select.from, ", ", |w, from| w.from(from));
        }
        for (word, conditions) in [(" WHERE ", &select.filter), (" HAVING ", &select.having)] {
            if word == " HAVING " && !(select.group.is_empty() && select.sets.is_empty()) {
                self.push(" GROUP BY ");
                self.list(&select.group, ", ", |w, key| w.group_key(key));
                self.push(if select.group.is_empty() || select.sets.is_empty() { "" } else { ", " });
                self.list(&select.sets, ", ", Self::grouping_set);
            }
            if !conditions.is_empty() {
                self.push(word);
                self.list(conditions, " AND ", |w, e| w.part(e));
            }
        }
        self.order(&query.order, &select.outputs);
        self.bare = before;
    }

    fn outputs(&mut self, select: &Select) {
        let outputs = &select.outputs;
        let one = select.leaves().len() == 1;
        let mut i = 0;
        let mut first = true;
        while let Some(output) = outputs.get(i) {
            if !std::mem::take(&mut first) {
                self.push(", ");
            }
            if let Some((alias, length)) = star_at(&outputs[i..]) {
                if !(one && outputs.len() == length) {
                    self.name(&alias);
                    self.push(".");
                }
                self.push("*");
                i += length;
                continue;
            }
            self.expr(&output.expr);
            let constant = matches!(output.expr, Expr::Constant(_)) && output.name != "?column?";
            if constant || figure_name(&output.expr) != output.name {
                self.push(" AS ");
                self.name(&output.name);
            }
            i += 1;
        }
    }

    fn order(&mut self, keys: &[SortKey], outputs: &[Output]) {
        if keys.is_empty() {
            return;
        }
        self.push(" ORDER BY ");
        self.list(keys, ", ", |w, key| {
            w.key(&key.expr, outputs);
            w.direction(key);
        });
    }

    fn direction(&mut self, key: &SortKey) {
        self.push(if key.descending { " DESC" } else { "" });
        if key.nulls_first != key.descending {
            self.push(if key.nulls_first { " NULLS FIRST" } else { " NULLS LAST" });
        }
    }

    /// A key of `ORDER BY` or `DISTINCT ON`, where the name of an output comes before that of a column.
    fn key(&mut self, key: &Expr, outputs: &[Output]) {
        let same_name = |name: &str| outputs.iter().filter(|o| o.name == name).collect::<Vec<_>>();
        if let Some(output) = outputs.iter().find(|o| &o.expr == key)
            && output.name != "?column?"
            && same_name(&output.name).iter().all(|o| &o.expr == key)
        {
            self.name(&output.name);
            return;
        }
        if let Some(position) = outputs.iter().position(|o| &o.expr == key)
            && !matches!(key, Expr::Column(_))
        {
            let _ = write!(self.out, "{}", position + 1);
            return;
        }
        // A bare name would mean the output of that name.
        if matches!(key, Expr::Column(c) if outputs.iter().all(|o| o.name != c.name)) {
            self.expr(key);
            return;
        }
        let hidden = std::mem::take(&mut self.bare);
        self.expr(key);
        self.bare = hidden;
    }

    /// In parentheses.
    fn part(&mut self, expr: &Expr) {
        self.push("(");
        self.expr(expr);
        self.push(")");
    }

    fn exprs(&mut self, exprs: &[Expr]) {
        self.list(exprs, ", ", |w, e| w.expr(e));
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Column(column) => self.column(column),
            Expr::Parameter(number) => {
                let _ = write!(self.out, "${number}");
            }
            Expr::Constant(constant) => self.constant(constant),
            Expr::Value(name) => self.push(name),
            Expr::Cast { inner, to } => {
                self.part(inner);
                self.push("::");
                self.type_name(to);
            }
            Expr::Call(call) => self.call(call),
            Expr::Operator { name, left, right } => {
                if let Some(left) = left {
                    self.part(left);
                    self.push(" ");
                }
                self.push(name);
                self.push(" ");
                self.part(right);
            }
            Expr::And(parts) => self.list(parts, " AND ", |w, e| w.part(e)),
            Expr::Or(parts) => self.list(parts, " OR ", |w, e| w.part(e)),
            Expr::Not(inner) => {
                self.push("NOT ");
                self.part(inner);
            }
            Expr::In { value, list, negated } => {
                self.part(value);
                self.push(if *negated { " NOT IN (" } else { " IN (" });
                self.exprs(list);
                self.push(")");
            }
            Expr::Between { value, low, high, negated, symmetric } => {
                self.part(value);
                self.push(if *negated { " NOT BETWEEN " } else { " BETWEEN " });
                self.push(if *symmetric { "SYMMETRIC " } else { "" });
                self.part(low);
                self.push(" AND ");
                self.part(high);
            }
            Expr::Like { kind, value, pattern, negated } => self.like(*kind, value, pattern, *negated),
            Expr::AnyOf { operator, value, array, all } => {
                self.part(value);
                let _ = write!(self.out, " {operator} {} (", if *all { "ALL" } else { "ANY" });
                self.expr(array);
                self.push(")");
            }
            Expr::Distinct { left, right, negated } => {
                self.part(left);
                self.push(if *negated { " IS NOT DISTINCT FROM " } else { " IS DISTINCT FROM " });
                self.part(right);
            }
            Expr::NullIf(left, right) => {
                self.push("NULLIF(");
                self.expr(left);
                self.push(", ");
                self.expr(right);
                self.push(")");
            }
            Expr::IsNull { inner, negated } => {
                self.part(inner);
                self.push(if *negated { " IS NOT NULL" } else { " IS NULL" });
            }
            Expr::Is { inner, test } => {
                self.part(inner);
                self.push(match test {
                    Truth::True => " IS TRUE",
                    Truth::NotTrue => " IS NOT TRUE",
                    Truth::False => " IS FALSE",
                    Truth::NotFalse => " IS NOT FALSE",
                    Truth::Unknown => " IS UNKNOWN",
                    Truth::NotUnknown => " IS NOT UNKNOWN",
                });
            }
            Expr::Coalesce(list) => self.special("COALESCE(", list, ")"),
            Expr::Greatest(list) => self.special("GREATEST(", list, ")"),
            Expr::Least(list) => self.special("LEAST(", list, ")"),
            Expr::Array(list) => self.special("ARRAY[", list, "]"),
            Expr::Row(list) => self.special("ROW(", list, ")"),
            Expr::Case { subject, branches, default } => {
                self.push("CASE ");
                if let Some(subject) = subject {
                    self.part(subject);
                }
                for (when, then) in branches {
                    self.push(" WHEN ");
                    self.expr(when);
                    self.push(" THEN ");
                    self.expr(then);
                }
                if let Some(default) = default {
                    self.push(" ELSE ");
                    self.expr(default);
                }
                self.push(" END");
            }
            Expr::Exists(query) => self.nested("EXISTS (", query),
            Expr::Scalar(query) => self.nested("(", query),
            Expr::ArrayOf(query) => self.nested("ARRAY(", query),
            Expr::Quantified { operator, value, query, all } => {
                self.part(value);
                match (operator.as_str(), all) {
                    ("=", false) => self.push(" IN ("),
                    (_, false) => {
                        let _ = write!(self.out, " {operator} ANY (");
                    }
                    (_, true) => {
                        let _ = write!(self.out, " {operator} ALL (");
                    }
                }
                self.query(query);
                self.push(")");
            }
            Expr::Collate { inner, collation } => {
                self.part(inner);
                self.push(" COLLATE ");
                self.list(collation, ".", |w, name| w.name(name));
            }
            Expr::Named { name, inner } => {
                self.name(name);
                self.push(" => ");
                self.expr(inner);
            }
        }
    }

    fn column(&mut self, column: &Column) {
        if !column.source.is_empty() && !self.bare.contains(&column.source) {
            self.name(&column.source);
            self.push(".");
        }
        self.name(&column.name);
    }

    fn special(&mut self, open: &str, list: &[Expr], close: &str) {
        self.push(open);
        self.exprs(list);
        self.push(close);
    }

    fn nested(&mut self, open: &str, query: &Query) {
        self.push(open);
        self.query(query);
        self.push(")");
    }

    fn like(&mut self, kind: LikeKind, value: &Expr, pattern: &Expr, negated: bool) {
        self.part(value);
        self.push(if negated { " NOT" } else { "" });
        self.push(match kind {
            LikeKind::Like => " LIKE ",
            LikeKind::Ilike => " ILIKE ",
            LikeKind::Similar => " SIMILAR TO ",
        });
        match pattern {
            Expr::Call(call) if call.name == "similar_to_escape" || call.name == "like_escape" => {
                self.list(&call.args, " ESCAPE ", |w, e| w.part(e));
            }
            other => self.part(other),
        }
    }

    fn constant(&mut self, constant: &Constant) {
        match constant {
            Constant::Text(text) => self.push(&quote_literal(text)),
            Constant::Integer(value) => {
                let _ = write!(self.out, "{value}");
            }
            Constant::Number(text) => self.push(text),
            Constant::Boolean(value) => self.push(if *value { "true" } else { "false" }),
            Constant::Bits(bits) => {
                let (kind, digits) = bits.split_at(bits.len().min(1));
                let _ = write!(self.out, "{kind}'{digits}'");
            }
            Constant::Null => self.push("NULL"),
        }
    }

    fn type_name(&mut self, to: &TypeName) {
        // The names that a person knows; quoted, the internal ones would do as well.
        let known = match to.simple().filter(|_| to.modifiers.is_empty()) {
            Some("int2") => Some("smallint"),
            Some("int4") => Some("integer"),
            Some("int8") => Some("bigint"),
            Some("bool") => Some("boolean"),
            Some("float4") => Some("real"),
            Some("float8") => Some("double precision"),
            Some("interval") => Some("interval"),
            Some("timestamp") => Some("timestamp"),
            Some("timestamptz") => Some("timestamptz"),
            Some("numeric") => Some("numeric"),
            _ => None,
        };
        if let Some(known) = known {
            self.push(known);
            return;
        }
        self.list(&to.names, ".", |w, name| w.name(name));
        if !to.modifiers.is_empty() {
            self.push("(");
            self.list(&to.modifiers, ", ", |w, m| {
                let _ = write!(w.out, "{m}");
            });
            self.push(")");
        }
        for bound in &to.array_bounds {
            if *bound < 0 {
                self.push("[]");
            } else {
                let _ = write!(self.out, "[{bound}]");
            }
        }
    }

    fn call(&mut self, call: &Call) {
        match (call.syntax, call.name.as_str(), call.args.as_slice()) {
            (true, "extract", [field, from]) => {
                self.push("EXTRACT(");
                match field {
                    Expr::Parameter(number) => self.push(&quote_literal(&format!("{SENTINEL}{number}"))),
                    field => self.expr(field),
                }
                self.push(" FROM ");
                self.expr(from);
                self.push(")");
                return;
            }
            (true, "timezone", [zone, time]) => {
                self.push("(");
                self.part(time);
                self.push(" AT TIME ZONE ");
                self.part(zone);
                self.push(")");
                return;
            }
            _ => {}
        }
        if let Some(schema) = &call.schema {
            self.name(schema);
            self.push(".");
        } else if call.syntax {
            self.push("pg_catalog.");
        }
        self.name(&call.name);
        self.push("(");
        self.push(if call.distinct { "DISTINCT " } else { "" });
        self.push(if call.star { "*" } else { "" });
        let last = call.args.len().saturating_sub(1);
        for (i, arg) in call.args.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" });
            self.push(if call.variadic && i == last { "VARIADIC " } else { "" });
            self.expr(arg);
        }
        if !call.within_group {
            self.order(&call.order, &[]);
        }
        self.push(")");
        if call.within_group {
            self.push(" WITHIN GROUP (");
            self.order(&call.order, &[]);
            self.push(")");
        }
        if let Some(filter) = &call.filter {
            self.push(" FILTER (WHERE ");
            self.expr(filter);
            self.push(")");
        }
        if let Some(window) = &call.over {
            self.window(window);
        }
    }

    fn window(&mut self, window: &Window) {
        self.push(" OVER (");
        if !window.partition.is_empty() {
            self.push("PARTITION BY ");
            self.exprs(&window.partition);
        }
        self.order(&window.order, &[]);
        // The bits of parsenodes.h.
        let has = |bit: i32| window.frame & bit != 0;
        if has(0x1) {
            self.push(match () {
                () if has(0x4) => " ROWS BETWEEN ",
                () if has(0x8) => " GROUPS BETWEEN ",
                () => " RANGE BETWEEN ",
            });
            let bounds = [
                ([0x20, 0x80, 0x200, 0x800, 0x2000], &window.start),
                ([0x40, 0x100, 0x400, 0x1000, 0x4000], &window.end),
            ];
            for (i, (bits, offset)) in bounds.into_iter().enumerate() {
                self.push(if i > 0 { " AND " } else { "" });
                if let Some(offset) = offset {
                    self.part(offset);
                    self.push(" ");
                }
                self.push(match () {
                    () if has(bits[0]) => "UNBOUNDED PRECEDING",
                    () if has(bits[1]) => "UNBOUNDED FOLLOWING",
                    () if has(bits[3]) => "PRECEDING",
                    () if has(bits[4]) => "FOLLOWING",
                    () => "CURRENT ROW",
                });
            }
            self.push(match () {
                () if has(0x8000) => " EXCLUDE CURRENT ROW",
                () if has(0x1_0000) => " EXCLUDE GROUP",
                () if has(0x2_0000) => " EXCLUDE TIES",
                () => "",
            });
        }
        self.push(")");
    }
}

/// The source and the length of a run of outputs that is all of the source's columns in their order.
fn star_at(outputs: &[Output]) -> Option<(String, usize)> {
    let first = outputs.first()?.star.as_ref()?;
    let source = match &outputs.first()?.expr {
        Expr::Column(column) => &column.source,
        _ => return None,
    };
    let whole = outputs.len() >= first.of
        && outputs.iter().take(first.of).enumerate().all(|(i, output)| {
            output.star.as_ref().is_some_and(|s| s.position == i && s.of == first.of)
                && matches!(&output.expr, Expr::Column(c) if &c.source == source && c.name == output.name)
        });
    whole.then(|| (source.clone(), first.of))
}
