//! From the parse tree to the tree that rules work on: names are resolved, or the reason is told why not.
//!
//! Source: PostgreSQL's `parse_relation.c` (what is visible where), `parse_clause.c` (what `ORDER BY` and
//! `GROUP BY` mean) and `parse_target.c` (`FigureColname`). Unlike the index advisor's reading this one is
//! strict: a rewrite of what is half understood would be a wrong one.

use std::cell::RefCell;
use std::collections::BTreeSet;

use model::Snapshot;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    self, JoinType, LimitOption, Node, RangeVar, SelectStmt, SetOperation, SortByDir, SortByNulls,
};

use super::tree::{
    Body, Column, Constant, Derived, Distinct, Expr, From, Join, JoinKind, Output, Query, Select, SetOp,
    SortKey, Star, Table, ViewName,
};
use super::writing::figure_name;
use crate::catalog::{Catalog, SnapshotCatalog};

mod expressions;
mod sources;

/// Why a statement is not rewritten: a sentence fragment.
pub(crate) type Refusal = String;

pub(super) type Read<T> = Result<T, Refusal>;

/// One item of `FROM` as names see it.
struct Entry {
    visible: String,
    schema: Option<String>,
    columns: Vec<(String, Column)>,
}

#[derive(Default)]
struct Level {
    entries: Vec<Entry>,
    /// The columns of each item of `FROM`, those of `USING` merged.
    items: Vec<Vec<(String, Column)>>,
    windows: Vec<protobuf::WindowDef>,
}

/// A common table expression that is in sight.
struct KnownCte {
    name: String,
    columns: Vec<String>,
}

pub(super) struct Reader<'a> {
    snapshot: &'a Snapshot,
    catalog: &'a SnapshotCatalog<'a>,
    taken: BTreeSet<String>,
    levels: Vec<Level>,
    ctes: Vec<KnownCte>,
    view_depth: usize,
    merged: Vec<Merged>,
    /// Columns that were asked for without naming their source, for which `USING` decides what they are.
    asked: RefCell<BTreeSet<Column>>,
}

/// Two columns that `USING` or `NATURAL` makes one. Where their types differ the one is of a third type, or of that of
/// either.
pub(crate) type Merged = (Column, Column);

/// Reads a statement; gives the columns as well that it takes for one and that have to be of one type for it.
pub(crate) fn read(
    node: &NodeEnum,
    snapshot: &Snapshot,
    catalog: &SnapshotCatalog<'_>,
) -> Read<(Query, Vec<Merged>)> {
    let NodeEnum::SelectStmt(select) = node else { return Err("it is not a query".into()) };
    let mut reader = Reader {
        snapshot,
        catalog,
        taken: BTreeSet::new(),
        levels: Vec::new(),
        ctes: Vec::new(),
        view_depth: 0,
        merged: Vec::new(),
        asked: RefCell::default(),
    };
    let query = reader.query(select)?;
    let asked = reader.asked.into_inner();
    let merged =
        reader.merged.into_iter().filter(|(one, other)| asked.contains(one) || asked.contains(other));
    Ok((query, merged.collect()))
}

/// The text of a `String` node.
pub(super) fn string(node: &Node) -> Option<String> {
    match &node.node {
        Some(NodeEnum::String(text)) => Some(text.sval.clone()),
        _ => None,
    }
}

fn strings(nodes: &[Node]) -> Vec<String> {
    nodes.iter().filter_map(string).collect()
}

impl<'a> Reader<'a> {
    fn unique(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 1;
        // A long name would be cut off by PostgreSQL and be the same again.
        while name.is_empty() || self.taken.contains(&name) {
            let short: String = wanted.chars().take(50).collect();
            name = format!("{short}_{number}");
            number += 1;
        }
        self.taken.insert(name.clone());
        name
    }

    fn subquery(&mut self, node: &Node) -> Read<Query> {
        match &node.node {
            Some(NodeEnum::SelectStmt(select)) => self.query(select),
            _ => Err("a part of it writes".into()),
        }
    }

    fn query(&mut self, select: &SelectStmt) -> Read<Query> {
        if self.levels.len() > 40 {
            return Err("it is nested too deeply".into());
        }
        if !select.locking_clause.is_empty() {
            return Err("it locks rows".into());
        }
        if select.into_clause.is_some() {
            return Err("it creates a table".into());
        }
        let known = self.ctes.len();
        let ctes = self.ctes_of(select)?;
        let mut query = Query { ctes, ..Query::default() };
        query.with_ties = select.limit_option == LimitOption::WithTies as i32;
        match SetOperation::try_from(select.op) {
            Ok(SetOperation::SetopUnion) => self.set(select, SetOp::Union, &mut query)?,
            Ok(SetOperation::SetopIntersect) => self.set(select, SetOp::Intersect, &mut query)?,
            Ok(SetOperation::SetopExcept) => self.set(select, SetOp::Except, &mut query)?,
            _ if !select.values_lists.is_empty() => self.values(select, &mut query)?,
            _ => self.level(select, &mut query)?,
        }
        self.ctes.truncate(known);
        Ok(query)
    }

    fn set(&mut self, select: &SelectStmt, op: SetOp, query: &mut Query) -> Read<()> {
        let (Some(left), Some(right)) = (&select.larg, &select.rarg) else {
            return Err("a set operation has one side only".into());
        };
        let (left, right) = (self.query(left)?, self.query(right)?);
        let names = left.output_names();
        if names.len() != right.output_names().len() {
            return Err("the sides of a set operation have different columns".into());
        }
        query.body = Body::Set { op, all: select.all, left: Box::new(left), right: Box::new(right) };
        // Only columns of the result can be ordered by.
        for node in &select.sort_clause {
            let Some(NodeEnum::SortBy(sort)) = &node.node else { continue };
            let inner = sort.node.as_deref().and_then(|n| n.node.as_ref());
            let name = match inner {
                Some(NodeEnum::ColumnRef(column)) => match strings(&column.fields).as_slice() {
                    [name] => names.contains(name).then(|| name.clone()),
                    _ => None,
                },
                Some(other) => position(other).and_then(|n| names.get(n - 1).cloned()),
                None => None,
            };
            let name = name.ok_or("a set operation is ordered by what is no column of it")?;
            query.order.push(sort_key(sort, Expr::Column(Column { source: String::new(), name }))?);
        }
        self.levels.push(Level::default());
        let cut = self.cut(select, query);
        self.levels.pop();
        cut
    }

    fn values(&mut self, select: &SelectStmt, query: &mut Query) -> Read<()> {
        let mut rows = Vec::new();
        self.levels.push(Level::default());
        for row in &select.values_lists {
            let Some(NodeEnum::List(list)) = &row.node else { continue };
            rows.push(list.items.iter().map(|item| self.expr(item)).collect::<Read<Vec<_>>>()?);
        }
        query.body = Body::Values(rows);
        if !select.sort_clause.is_empty() {
            return Err("a VALUES list is ordered".into());
        }
        let cut = self.cut(select, query);
        self.levels.pop();
        cut
    }

    fn cut(&mut self, select: &SelectStmt, query: &mut Query) -> Read<()> {
        query.limit = self.optional(select.limit_count.as_deref())?;
        // LIMIT ALL and LIMIT NULL cut nothing.
        if query.limit == Some(Expr::Constant(Constant::Null)) {
            query.limit = None;
        }
        query.offset = self.optional(select.limit_offset.as_deref())?;
        Ok(())
    }

    fn level(&mut self, select: &SelectStmt, query: &mut Query) -> Read<()> {
        self.levels.push(Level::default());
        if let Some(level) = self.levels.last_mut() {
            level.windows = select
                .window_clause
                .iter()
                .filter_map(|w| match &w.node {
                    Some(NodeEnum::WindowDef(window)) => Some((**window).clone()),
                    _ => None,
                })
                .collect();
        }
        let mut body = Select::default();
        for node in &select.from_clause {
            let (from, columns) = self.from(node)?;
            body.from.push(from);
            if let Some(level) = self.levels.last_mut() {
                level.items.push(columns);
            }
        }
        body.outputs = self.outputs(select)?;
        body.filter = self.conjuncts(select.where_clause.as_deref())?;
        body.having = self.conjuncts(select.having_clause.as_deref())?;
        self.group_keys(select, &mut body)?;
        for node in &select.sort_clause {
            let Some(NodeEnum::SortBy(sort)) = &node.node else { continue };
            let expr = self.order_key(sort.node.as_deref(), &body.outputs)?;
            query.order.push(sort_key(sort, expr)?);
        }
        body.distinct = match select.distinct_clause.as_slice() {
            [] => Distinct::No,
            // A list with one empty node stands for plain DISTINCT.
            [only] if only.node.is_none() => Distinct::All,
            keys => Distinct::On(
                keys.iter().map(|k| self.order_key(Some(k), &body.outputs)).collect::<Read<Vec<_>>>()?,
            ),
        };
        self.cut(select, query)?;
        self.levels.pop();
        query.body = Body::Select(Box::new(body));
        Ok(())
    }

    fn outputs(&mut self, select: &SelectStmt) -> Read<Vec<Output>> {
        let mut outputs = Vec::new();
        for node in &select.target_list {
            let Some(NodeEnum::ResTarget(target)) = &node.node else { continue };
            let value = target.val.as_deref().ok_or("a column of its list is empty")?;
            if let Some(NodeEnum::ColumnRef(column)) = &value.node
                && matches!(column.fields.last().and_then(|f| f.node.as_ref()), Some(NodeEnum::AStar(_)))
            {
                outputs.extend(self.star(&strings(&column.fields))?);
                continue;
            }
            let expr = self.expr(value)?;
            let name = if target.name.is_empty() { figure_name(&expr) } else { target.name.clone() };
            outputs.push(Output::new(name, expr));
        }
        Ok(outputs)
    }

    fn star(&self, qualifier: &[String]) -> Read<Vec<Output>> {
        let level = self.levels.last().ok_or("a * stands outside of a query")?;
        let groups: Vec<Vec<(String, Column)>> = match qualifier {
            [] => level.items.clone(),
            [alias] => {
                let entry = level.entries.iter().find(|e| &e.visible == alias);
                vec![entry.ok_or_else(|| format!("{alias}.* is not known"))?.columns.clone()]
            }
            _ => return Err("a * has a schema".into()),
        };
        let mut outputs = Vec::new();
        for group in groups {
            for (name, column) in group {
                if qualifier.is_empty() {
                    self.asked.borrow_mut().insert(column.clone());
                }
                let whole: &[(String, Column)] = level
                    .entries
                    .iter()
                    .find(|e| e.columns.first().is_some_and(|(_, c)| c.source == column.source))
                    .map_or(&[], |e| &e.columns);
                let star = whole
                    .iter()
                    .position(|(_, c)| *c == column)
                    .map(|position| Star { position, of: whole.len() });
                outputs.push(Output { name, expr: Expr::Column(column), star });
            }
        }
        Ok(outputs)
    }

    fn conjuncts(&mut self, node: Option<&Node>) -> Read<Vec<Expr>> {
        Ok(match self.optional(node)? {
            Some(expr) => split_and(expr),
            None => Vec::new(),
        })
    }

    fn optional(&mut self, node: Option<&Node>) -> Read<Option<Expr>> {
        node.map(|node| self.expr(node)).transpose()
    }

    /// `ORDER BY name` means an output first, a position is one, and everything else is an expression.
    fn order_key(&mut self, node: Option<&Node>, outputs: &[Output]) -> Read<Expr> {
        let node = node.ok_or("a key of ORDER BY is empty")?;
        match &node.node {
            Some(NodeEnum::ColumnRef(column)) => {
                if let [name] = strings(&column.fields).as_slice()
                    && let Some(output) = named_output(name, outputs)?
                {
                    return Ok(output.expr.clone());
                }
                self.expr(node)
            }
            Some(other) => match position(other) {
                Some(n) => Ok(outputs
                    .get(n - 1)
                    .ok_or_else(|| format!("it has no column {n} to order by"))?
                    .expr
                    .clone()),
                None => self.expr(node),
            },
            None => Err("a key of ORDER BY is empty".into()),
        }
    }

    /// `GROUP BY name` means a column first and an output second.
    fn group_key(&mut self, node: &Node, outputs: &[Output]) -> Read<Expr> {
        match &node.node {
            Some(NodeEnum::ColumnRef(column)) => {
                // A name of a query around comes last.
                if let [name] = strings(&column.fields).as_slice()
                    && !self.is_own_name(name)
                    && let Some(output) = named_output(name, outputs)?
                {
                    return Ok(output.expr.clone());
                }
                self.expr(node)
            }
            Some(other) => match position(other) {
                Some(n) => Ok(outputs
                    .get(n - 1)
                    .ok_or_else(|| format!("it has no column {n} to group by"))?
                    .expr
                    .clone()),
                None => self.expr(node),
            },
            None => Err("a key of GROUP BY is empty".into()),
        }
    }

    /// Whether a column of the level itself has a name.
    fn is_own_name(&self, name: &str) -> bool {
        self.levels.last().is_some_and(|level| level.items.iter().flatten().any(|(own, _)| own == name))
    }

    fn from(&mut self, node: &Node) -> Read<(From, Vec<(String, Column)>)> {
        match &node.node {
            Some(NodeEnum::RangeVar(range)) => self.relation(range),
            Some(NodeEnum::RangeSubselect(subselect)) => {
                let inner = subselect.subquery.as_deref().ok_or("a subquery is empty")?;
                let query = if subselect.lateral {
                    self.subquery(inner)?
                } else {
                    // What stands beside it in FROM is out of its sight.
                    let hidden = self.levels.pop();
                    let query = self.subquery(inner);
                    self.levels.extend(hidden);
                    query?
                };
                let alias = subselect.alias.as_ref();
                let visible = alias.map_or(String::new(), |a| a.aliasname.clone());
                let names = renamed(query.output_names(), alias.map_or(&[], |a| &a.colnames));
                Ok(self.derived(visible, names, query, subselect.lateral, None))
            }
            Some(NodeEnum::JoinExpr(join)) => self.join(join),
            Some(NodeEnum::RangeFunction(function)) => self.function(function),
            Some(NodeEnum::RangeTableSample(_)) => Err("it takes a sample of a table".into()),
            _ => Err("its FROM holds something unusual".into()),
        }
    }

    fn derived(
        &mut self,
        visible: String,
        names: Vec<String>,
        query: Query,
        lateral: bool,
        view: Option<Box<ViewName>>,
    ) -> (From, Vec<(String, Column)>) {
        let alias = self.unique(if visible.is_empty() { "derived" } else { &visible });
        let columns = of_source(&alias, &names);
        self.enter(&visible, None, columns.clone());
        (From::Derived(Derived { lateral, query, alias, columns: names, view }), columns)
    }

    fn enter(&mut self, visible: &str, schema: Option<String>, columns: Vec<(String, Column)>) {
        if let Some(level) = self.levels.last_mut() {
            level.entries.push(Entry { visible: visible.to_owned(), schema, columns });
        }
    }

    fn relation(&mut self, range: &RangeVar) -> Read<(From, Vec<(String, Column)>)> {
        let visible = range.alias.as_ref().map_or(&range.relname, |a| &a.aliasname).clone();
        let renames = range.alias.as_ref().map_or(&[][..], |a| &a.colnames);
        let schema = (!range.schemaname.is_empty()).then_some(range.schemaname.as_str());
        if schema.is_none()
            && let Some(cte) = self.ctes.iter().rev().find(|c| c.name == range.relname)
        {
            let (name, names) = (cte.name.clone(), renamed(cte.columns.clone(), renames));
            if !renames.is_empty() {
                return Err("it renames the columns of a common table expression".into());
            }
            // The expression has taken its name itself; the first use keeps it.
            let first = visible == name && self.taken.insert(format!("\u{0}{name}"));
            let alias = if first { name.clone() } else { self.unique(&visible) };
            let columns = of_source(&alias, &names);
            self.enter(&visible, None, columns.clone());
            return Ok((From::Cte { name, alias, columns: names }, columns));
        }
        if let Some(found) = self.catalog.relation(schema, &range.relname) {
            if !renames.is_empty() {
                return Err("it renames the columns of a table".into());
            }
            let relation = self
                .snapshot
                .relation(&found.name)
                .ok_or_else(|| format!("{} is not in the snapshot", found.name))?;
            let names: Vec<String> = relation.columns.iter().map(|c| c.name.clone()).collect();
            let alias = self.unique(&visible);
            let columns = of_source(&alias, &names);
            let qualifier = range.alias.is_none().then(|| found.name.schema.clone());
            self.enter(&visible, qualifier, columns.clone());
            let table =
                Table { table: found.name, schema_written: schema.is_some(), alias, only: !range.inh };
            return Ok((From::Table(table), columns));
        }
        let Some(view) = self.catalog.view(schema, &range.relname) else {
            let name = schema.map_or(range.relname.clone(), |s| format!("{s}.{}", range.relname));
            return Err(format!(
                "{name} is not in the snapshot: a temporary table, a system catalog, or dropped"
            ));
        };
        if self.view_depth > 8 {
            return Err("its views are nested too deeply".into());
        }
        let NodeEnum::SelectStmt(definition) = &view.query else {
            return Err(format!("the definition of view {} is unusual", view.name));
        };
        let hidden = (std::mem::take(&mut self.levels), std::mem::take(&mut self.ctes));
        self.view_depth += 1;
        let query = self.query(definition);
        self.view_depth -= 1;
        (self.levels, self.ctes) = hidden;
        let query = query?;
        let names = renamed(renamed(query.output_names(), &view.columns), renames);
        let of = Some(Box::new(ViewName {
            name: view.name,
            schema_written: schema.is_some(),
            definition: query.clone(),
        }));
        Ok(self.derived(visible, names, query, false, of))
    }

    fn join(&mut self, join: &protobuf::JoinExpr) -> Read<(From, Vec<(String, Column)>)> {
        if join.alias.is_some() || join.join_using_alias.is_some() {
            return Err("a join has an alias of its own".into());
        }
        let (Some(left), Some(right)) = (join.larg.as_deref(), join.rarg.as_deref()) else {
            return Err("a join has one side only".into());
        };
        let (left, left_columns) = self.from(left)?;
        let (right, right_columns) = self.from(right)?;
        let using: Vec<String> = if join.is_natural {
            let names = left_columns.iter().map(|(name, _)| name);
            names.filter(|n| right_columns.iter().any(|(r, _)| r == *n)).cloned().collect()
        } else {
            strings(&join.using_clause)
        };
        let kind = JoinType::try_from(join.jointype).unwrap_or(JoinType::Undefined);
        let mut on = Vec::new();
        let mut merged = Vec::new();
        for name in &using {
            let find = |columns: &[(String, Column)]| {
                columns.iter().find(|(n, _)| n == name).map(|(_, c)| c.clone())
            };
            let (Some(l), Some(r)) = (find(&left_columns), find(&right_columns)) else {
                return Err(format!("a join uses {name}, which a side does not have"));
            };
            on.push(equal(Expr::Column(l.clone()), Expr::Column(r.clone())));
            // What was made of two before is compared as what it has become.
            for column in [&l, &r] {
                if self.merged.iter().any(|(one, other)| one == column || other == column) {
                    self.asked.borrow_mut().insert(column.clone());
                }
            }
            self.merged.push((l.clone(), r.clone()));
            merged.push((name.clone(), if kind == JoinType::JoinRight { r } else { l }));
        }
        if kind == JoinType::JoinFull && !using.is_empty() {
            return Err("it has a FULL JOIN with USING".into());
        }
        if join.quals.is_some() {
            // Names of the sides are in sight, whole columns of items are not yet.
            if let Some(level) = self.levels.last_mut() {
                level.items.push([left_columns.clone(), right_columns.clone()].concat());
            }
            let read = self.conjuncts(join.quals.as_deref());
            if let Some(level) = self.levels.last_mut() {
                level.items.pop();
            }
            on = read?;
        }
        let rest = |columns: Vec<(String, Column)>| {
            columns.into_iter().filter(|(n, _)| !using.contains(n)).collect::<Vec<_>>()
        };
        let columns = [merged, rest(left_columns), rest(right_columns)].concat();
        let (kind, left, right) = match kind {
            JoinType::JoinInner => (JoinKind::Inner, left, right),
            JoinType::JoinLeft => (JoinKind::Left, left, right),
            JoinType::JoinRight => (JoinKind::Left, right, left),
            JoinType::JoinFull => (JoinKind::Full, left, right),
            _ => return Err("it has an unusual join".into()),
        };
        Ok((From::Join(Box::new(Join { kind, left, right, on })), columns))
    }

    /// What a name means here.
    fn resolve(&self, fields: &[String]) -> Read<Column> {
        for level in self.levels.iter().rev() {
            match fields {
                [name] => {
                    let mut found: Vec<&Column> =
                        level.items.iter().flatten().filter(|(n, _)| n == name).map(|(_, c)| c).collect();
                    if found.is_empty() {
                        // Beside a LATERAL subquery the items before it are in sight one by one.
                        found = level
                            .entries
                            .iter()
                            .flat_map(|e| &e.columns)
                            .filter(|(n, _)| n == name)
                            .map(|(_, c)| c)
                            .collect();
                    }
                    match found.as_slice() {
                        [] => {}
                        [only] => {
                            self.asked.borrow_mut().insert((*only).clone());
                            return Ok((*only).clone());
                        }
                        _ => return Err(format!("{name} is ambiguous")),
                    }
                }
                [alias, name] => {
                    if let Some(entry) = level.entries.iter().find(|e| &e.visible == alias) {
                        return column_of(entry, name);
                    }
                }
                [schema, table, name] => {
                    let entry = level
                        .entries
                        .iter()
                        .find(|e| &e.visible == table && e.schema.as_ref() == Some(schema));
                    if let Some(entry) = entry {
                        return column_of(entry, name);
                    }
                }
                _ => {}
            }
        }
        Err(format!("{} is not known", fields.join(".")))
    }
}

fn column_of(entry: &Entry, name: &str) -> Read<Column> {
    let found = entry.columns.iter().find(|(n, _)| n == name).map(|(_, c)| c.clone());
    found.ok_or_else(|| format!("{}.{name} is not known", entry.visible))
}

fn of_source(alias: &str, names: &[String]) -> Vec<(String, Column)> {
    names.iter().map(|name| (name.clone(), Column { source: alias.to_owned(), name: name.clone() })).collect()
}

fn renamed(mut names: Vec<String>, renames: &[Node]) -> Vec<String> {
    for (name, rename) in names.iter_mut().zip(strings(renames)) {
        *name = rename;
    }
    names
}

fn named_output<'o>(name: &str, outputs: &'o [Output]) -> Read<Option<&'o Output>> {
    let mut found = outputs.iter().filter(|o| o.name == name);
    let first = found.next();
    match first {
        // Two columns of one name that are the same expression are no ambiguity.
        Some(first) if found.any(|o| o.expr != first.expr) => Err(format!("{name} is ambiguous")),
        found => Ok(found),
    }
}

/// A key that is a whole number is the position of an output.
fn position(node: &NodeEnum) -> Option<usize> {
    match node {
        NodeEnum::AConst(constant) => match &constant.val {
            Some(protobuf::a_const::Val::Ival(value)) => usize::try_from(value.ival).ok().filter(|n| *n > 0),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn sort_key(sort: &protobuf::SortBy, expr: Expr) -> Read<SortKey> {
    if sort.sortby_dir == SortByDir::SortbyUsing as i32 {
        return Err("it is ordered by an operator of its own".into());
    }
    let descending = sort.sortby_dir == SortByDir::SortbyDesc as i32;
    let nulls_first = match SortByNulls::try_from(sort.sortby_nulls) {
        Ok(SortByNulls::SortbyNullsFirst) => true,
        Ok(SortByNulls::SortbyNullsLast) => false,
        _ => descending,
    };
    Ok(SortKey { expr, descending, nulls_first })
}

/// `left = right`.
pub(crate) fn equal(left: Expr, right: Expr) -> Expr {
    binary("=", left, right)
}

/// `left operator right`.
pub(crate) fn binary(name: &str, left: Expr, right: Expr) -> Expr {
    Expr::Operator { name: name.to_owned(), left: Some(Box::new(left)), right: Box::new(right) }
}

/// The parts of a conjunction.
pub(crate) fn split_and(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::And(list) => list.into_iter().flat_map(split_and).collect(),
        other => vec![other],
    }
}

/// The parts of a disjunction.
pub(crate) fn split_or(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::Or(list) => list.into_iter().flat_map(split_or).collect(),
        other => vec![other],
    }
}

/// A conjunction of parts; `true` when there are none.
pub(crate) fn all_of(mut parts: Vec<Expr>) -> Expr {
    match parts.len() {
        0 => Expr::Constant(Constant::Boolean(true)),
        1 => parts.remove(0),
        _ => Expr::And(parts),
    }
}

/// A disjunction of parts; `false` when there are none.
pub(crate) fn any_of(mut parts: Vec<Expr>) -> Expr {
    match parts.len() {
        0 => Expr::Constant(Constant::Boolean(false)),
        1 => parts.remove(0),
        _ => Expr::Or(parts),
    }
}
