//! Statements and their clauses: `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `FROM`, `ORDER BY`.

use std::collections::{BTreeMap, BTreeSet};

use model::change::{NullsOrder, SortOrder};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    DeleteStmt, InsertStmt, JoinType, MergeStmt, Node, SelectStmt, SetOperation, SortByDir, SortByNulls,
    UpdateStmt, WindowDef,
};

use super::{Entry, Lowering, Order, Outputs, Source, Wanted, rename, string};
use crate::analysis::{
    Grouping, KeyExpression, Nearest, Operator, ParameterContext, SortItem, SortNeed, SortOrigin,
};
use crate::expression::{Expression, Literal};
use crate::lowering::conditions::key_expression;
use crate::lowering::expressions::operator_name;

impl Lowering<'_> {
    /// Reads a query level.
    pub(super) fn select(&mut self, select: &SelectStmt, outermost: bool, wanted: Wanted) -> Outputs {
        self.open_ctes(select.with_clause.as_ref());
        let outputs = if select.op > SetOperation::SetopNone as i32 {
            self.set_operation(select, outermost, wanted)
        } else {
            self.plain_select(select, outermost, wanted)
        };
        self.close_ctes();
        outputs
    }

    fn set_operation(&mut self, select: &SelectStmt, outermost: bool, wanted: Wanted) -> Outputs {
        // Only UNION ALL looks at no column of its own.
        let concatenated = select.op == SetOperation::SetopUnion as i32 && select.all;
        let wanted = if concatenated { wanted } else { Wanted::All };
        let mut branch = |side: &Option<Box<SelectStmt>>| {
            side.as_ref().map(|s| self.select(s, false, wanted)).unwrap_or_default()
        };
        let left = branch(&select.larg);
        let right = branch(&select.rarg);
        self.simple = None;
        self.limits(select, outermost);
        if outermost {
            self.analysis.aggregated |= !select.all;
        }
        // A condition on what a set operation gives is a condition on each of its branches.
        let mut right = right.into_iter();
        left.into_iter()
            .map(|(name, left)| {
                let mut either = Vec::new();
                for side in [Some(left), right.next().map(|(_, e)| e)].into_iter().flatten() {
                    match side {
                        Expression::Either(items) => either.extend(items),
                        one => either.push(one),
                    }
                }
                (name, Expression::Either(either))
            })
            .collect()
    }

    fn plain_select(&mut self, select: &SelectStmt, outermost: bool, wanted: Wanted) -> Outputs {
        self.open_scope();
        let outer_extremes = std::mem::take(&mut self.extremes);
        let outer_windows = std::mem::take(&mut self.windows);
        let first_relation = self.analysis.relations.len();
        for item in &select.from_clause {
            self.range_item(item);
        }
        for row in &select.values_lists {
            self.lower(row);
        }
        if let Some(condition) = &select.where_clause {
            self.condition(condition, None, None);
        }
        let functions_before = self.aggregate_calls;
        // `SELECT DISTINCT` compares every column of its list.
        let wanted = if select.distinct_clause.is_empty() { wanted } else { Wanted::All };
        let outputs = self.targets(&select.target_list, wanted);
        let having = select.having_clause.is_some();
        if let Some(condition) = &select.having_clause {
            self.lower(condition);
        }
        let grouped = !select.group_clause.is_empty();
        let aggregated = grouped || having || self.aggregate_calls > functions_before;
        self.group_by(select, &outputs);
        self.order_by(select, &outputs, aggregated);
        for named in &select.window_clause {
            if let Some(NodeEnum::WindowDef(window)) = &named.node {
                self.window(window);
            }
        }
        let windows = std::mem::take(&mut self.windows);
        let simple = !aggregated
            && windows.is_empty()
            && select.distinct_clause.is_empty()
            && select.limit_count.is_none()
            && select.limit_offset.is_none()
            && select.sort_clause.is_empty();
        for order in windows {
            self.add_sort(SortOrigin::Window, order, false);
        }
        if !grouped {
            for wanted in std::mem::take(&mut self.extremes) {
                if let Some(number) = wanted.only_relation()
                    && let Some(key) = key_expression(&wanted)
                    && let Some(relation) = self.analysis.relations.get_mut(number)
                {
                    relation.extremes.insert(key);
                }
            }
        }
        if !select.locking_clause.is_empty() {
            // A row lock is taken in the table, so no index alone can answer.
            for index in first_relation..self.analysis.relations.len() {
                self.touch_whole_row(index);
            }
        }
        self.limits(select, outermost);
        if outermost {
            self.analysis.aggregated |= aggregated || !select.distinct_clause.is_empty();
        }
        self.extremes = outer_extremes;
        self.windows = outer_windows;
        self.simple = simple.then(|| self.block());
        self.close_scope();
        outputs
    }

    /// Notes the order that a window function wants: the columns that divide the rows, then those within.
    pub(super) fn window(&mut self, window: &WindowDef) {
        let mut order: Order = Vec::new();
        for node in &window.partition_clause {
            let expression = self.lower(node);
            order.push(sort_item(&expression, SortOrder::Asc, NullsOrder::Default));
        }
        for node in &window.order_clause {
            if let Some((expression, direction, nulls)) = self.sort_by(node, &Outputs::new()) {
                order.push(sort_item(&expression, direction, nulls));
            }
        }
        for bound in [&window.start_offset, &window.end_offset].into_iter().flatten() {
            self.lower(bound);
        }
        if !order.is_empty() {
            self.windows.push(order);
        }
    }

    /// One item of an `ORDER BY`.
    fn sort_by(&mut self, node: &Node, outputs: &Outputs) -> Option<(Expression, SortOrder, NullsOrder)> {
        let Some(NodeEnum::SortBy(sort)) = &node.node else { return None };
        let expression = self.named_or_lowered(sort.node.as_ref()?, outputs);
        let order = match SortByDir::try_from(sort.sortby_dir) {
            Ok(SortByDir::SortbyDesc) => SortOrder::Desc,
            // `USING >` is the other spelling.
            Ok(SortByDir::SortbyUsing) if operator_name(&sort.use_op) == ">" => SortOrder::Desc,
            _ => SortOrder::Asc,
        };
        let nulls = match SortByNulls::try_from(sort.sortby_nulls) {
            Ok(SortByNulls::SortbyNullsFirst) => NullsOrder::First,
            Ok(SortByNulls::SortbyNullsLast) => NullsOrder::Last,
            _ => NullsOrder::Default,
        };
        Some((expression, order, nulls))
    }

    fn limits(&mut self, select: &SelectStmt, outermost: bool) {
        if let Some(limit) = &select.limit_count {
            let limit = self.lower(limit);
            let null = matches!(limit, Expression::Constant(Literal::Null));
            if outermost {
                self.analysis.limited = !null;
            }
            if let Expression::Parameter(number) = limit.without_casts() {
                self.context(*number, ParameterContext::Limit);
                if outermost {
                    self.analysis.limit_parameter = Some(*number);
                }
            }
        }
        if let Some(offset) = &select.limit_offset
            && let Expression::Parameter(number) = self.lower(offset).without_casts()
        {
            self.context(*number, ParameterContext::Offset);
        }
    }

    fn targets(&mut self, list: &[Node], wanted: Wanted) -> Outputs {
        let mut outputs = Outputs::new();
        for target in list {
            let Some(NodeEnum::ResTarget(target)) = &target.node else { continue };
            let Some(value) = &target.val else { continue };
            if let Some((qualifier, true)) = star(value) {
                outputs.extend(self.expand_star(qualifier.as_deref(), wanted == Wanted::All));
                continue;
            }
            self.unwanted += usize::from(wanted == Wanted::Named);
            let expression = self.lower(value);
            self.unwanted -= usize::from(wanted == Wanted::Named);
            let name = match (&target.name, &expression) {
                (given, _) if !given.is_empty() => given.clone(),
                (_, Expression::Column(column)) => column_name(value).unwrap_or(column.column.clone()),
                (_, Expression::Function { name, .. }) => name.clone(),
                _ => "?column?".into(),
            };
            outputs.push((name, expression));
        }
        outputs
    }

    /// Adds what one item of `FROM` brings; gives the numbers of the relations in it.
    fn range_item(&mut self, item: &Node) -> BTreeSet<usize> {
        let first = self.analysis.relations.len();
        match &item.node {
            Some(NodeEnum::RangeVar(range)) => {
                self.add_relation(range);
            }
            Some(NodeEnum::JoinExpr(join)) => {
                let first_entry = self.entries().len();
                let left = join.larg.as_ref().map(|n| self.range_item(n)).unwrap_or_default();
                let middle = self.entries().len();
                let right = join.rarg.as_ref().map(|n| self.range_item(n)).unwrap_or_default();
                let preserved = match JoinType::try_from(join.jointype) {
                    Ok(JoinType::JoinLeft) => left.clone(),
                    Ok(JoinType::JoinRight) => right.clone(),
                    Ok(JoinType::JoinFull) => left.union(&right).copied().collect(),
                    _ => BTreeSet::new(),
                };
                if let Some(quals) = &join.quals {
                    self.condition(quals, None, (!preserved.is_empty()).then_some(&preserved));
                }
                let mut names: Vec<String> = join.using_clause.iter().filter_map(string).collect();
                if join.is_natural {
                    let of =
                        |entries: &[Entry]| entries.iter().flat_map(Entry::names).collect::<BTreeSet<_>>();
                    let entries = self.entries();
                    let (left, right) = (of(&entries[first_entry..middle]), of(&entries[middle..]));
                    names.extend(left.intersection(&right).cloned());
                }
                for name in names {
                    self.join_using(
                        &name,
                        first_entry,
                        middle,
                        (!preserved.is_empty()).then_some(&preserved),
                    );
                }
            }
            Some(NodeEnum::RangeSubselect(sub)) => {
                self.simple = None;
                let mut outputs = match sub.subquery.as_ref().and_then(|q| q.node.as_ref()) {
                    Some(query) => self.derived(query),
                    None => Vec::new(),
                };
                let simple = self.simple.take();
                self.merge_block(simple);
                let alias = sub.alias.as_ref();
                if let Some(alias) = alias {
                    rename(&mut outputs, &alias.colnames);
                }
                let alias = alias.map(|a| a.aliasname.clone()).unwrap_or_default();
                self.add_entry(Entry { alias, schema: None, source: Source::Derived { outputs } });
            }
            Some(NodeEnum::RangeFunction(function)) => {
                for node in &function.functions {
                    self.lower(node);
                }
                let mut outputs = Outputs::new();
                let mut alias = String::new();
                if let Some(given) = &function.alias {
                    alias = given.aliasname.clone();
                    // A function that gives one column gives it the alias for a name.
                    outputs.push((alias.clone(), Expression::Other(vec![])));
                    outputs.extend(
                        given.colnames.iter().filter_map(string).map(|n| (n, Expression::Other(vec![]))),
                    );
                }
                self.add_entry(Entry { alias, schema: None, source: Source::Derived { outputs } });
            }
            Some(NodeEnum::RangeTableSample(sample)) => {
                if let Some(relation) = &sample.relation {
                    self.range_item(relation);
                }
            }
            _ => {
                self.lower(item);
            }
        }
        (first..self.analysis.relations.len()).collect()
    }

    fn entries(&self) -> &[Entry] {
        self.scopes.last().map(|s| s.entries.as_slice()).unwrap_or_default()
    }

    /// A column that both sides of a join have: entries from `first` to `middle` are its left side, the rest
    /// its right.
    fn join_using(&mut self, name: &str, first: usize, middle: usize, preserved: Option<&BTreeSet<usize>>) {
        let entries = self.entries();
        let find = |side: &[Entry]| side.iter().find_map(|entry| entry.column(name));
        let (left, right) = (find(&entries[first..middle]), find(&entries[middle..]));
        if let (Some(left), Some(right)) = (left, right) {
            self.touch_all(&left);
            self.touch_all(&right);
            self.compare(left, &Operator::Equal, right, None, preserved);
        }
    }

    fn group_by(&mut self, select: &SelectStmt, outputs: &Outputs) {
        let mut keys = Vec::new();
        for node in &select.group_clause {
            if let Some(NodeEnum::GroupingSet(set)) = &node.node {
                for inner in &set.content {
                    self.lower(inner);
                }
                continue;
            }
            keys.push(self.named_or_lowered(node, outputs));
        }
        if !keys.is_empty() {
            let items = keys.iter().map(|e| sort_item(e, SortOrder::Asc, NullsOrder::Default)).collect();
            self.add_sort(SortOrigin::GroupBy, items, false);
            self.add_groups(&keys);
        }
        // `SELECT DISTINCT` is a list with one empty node.
        let plain_distinct = matches!(select.distinct_clause.as_slice(), [Node { node: None }]);
        if plain_distinct {
            let items = outputs.iter().map(|(_, e)| sort_item(e, SortOrder::Asc, NullsOrder::Default));
            self.add_sort(SortOrigin::Distinct, items.collect(), false);
            let keys: Vec<Expression> = outputs.iter().map(|(_, e)| e.clone()).collect();
            self.add_groups(&keys);
        }
    }

    fn order_by(&mut self, select: &SelectStmt, outputs: &Outputs, aggregated: bool) {
        let distinct_on = !select.distinct_clause.is_empty()
            && !matches!(select.distinct_clause.as_slice(), [Node { node: None }]);
        let mut items = Vec::new();
        let limited = select.limit_count.is_some() && !aggregated && select.distinct_clause.is_empty();
        for (position, node) in select.sort_clause.iter().enumerate() {
            let Some((expression, order, nulls)) = self.sort_by(node, outputs) else { continue };
            if limited && position == 0 && order == SortOrder::Asc {
                self.add_nearest(&expression);
            }
            items.push(sort_item(&expression, order, nulls));
        }
        if distinct_on && items.is_empty() {
            for node in &select.distinct_clause {
                let expression = self.named_or_lowered(node, outputs);
                items.push(sort_item(&expression, SortOrder::Asc, NullsOrder::Default));
            }
        } else if distinct_on {
            for node in &select.distinct_clause {
                self.lower(node);
            }
        }
        let origin = if distinct_on { SortOrigin::DistinctOn } else { SortOrigin::OrderBy };
        self.add_sort(origin, items, limited);
    }

    /// Notes an order by the distance from a value.
    fn add_nearest(&mut self, expression: &Expression) {
        let Expression::Operator { name, left: Some(left), right } = expression else { return };
        // `<->` of the geometric types and pg_trgm, `<<->` and its like of word similarity.
        if !(name.contains("<->") && name.chars().all(|c| matches!(c, '<' | '-' | '>'))) {
            return;
        }
        for (key, value) in [(left, right), (right, left)] {
            if let (Some(relation), true) = (key.only_relation(), value.columns().is_empty())
                && let Some(key) = key_expression(key)
            {
                let nearest = Nearest { key, operator: name.clone(), value: Expression::clone(value) };
                if let Some(relation) = self.analysis.relations.get_mut(relation) {
                    relation.nearest.push(nearest);
                }
            }
        }
    }

    /// Gives an order to the relation that its leading keys belong to.
    fn add_sort(&mut self, origin: SortOrigin, items: Order, limited: bool) {
        let Some(Some((relation, _))) = items.first() else { return };
        let relation = *relation;
        let all = items.len();
        let mut kept: Vec<SortItem> = Vec::new();
        for item in items {
            match item {
                Some((of, item)) if of == relation => {
                    if !kept.iter().any(|k| k.key == item.key) {
                        kept.push(item);
                    }
                }
                _ if matches!(origin, SortOrigin::OrderBy | SortOrigin::DistinctOn) => break,
                // A group is a set: keys of other relations make the order useless.
                _ => return,
            }
        }
        let complete = kept.len() == all;
        let block = self.block();
        let of = self.analysis.relations.get(relation).map(|r| self.planned_in(r.block));
        if let Some(relation) = self.analysis.relations.get_mut(relation)
            && of == Some(block)
        {
            let need = SortNeed { origin, items: kept, complete, limited };
            if !relation.sorts.contains(&need) {
                relation.sorts.push(need);
            }
        }
    }

    /// Notes the keys by relation: the planner estimates the groups of each on its own.
    fn add_groups(&mut self, keys: &[Expression]) {
        let mut of_relation: BTreeMap<usize, Vec<KeyExpression>> = BTreeMap::new();
        for key in keys {
            let Some(relation) = key.only_relation() else { continue };
            if let Some(key) = key_expression(key) {
                of_relation.entry(relation).or_default().push(key);
            }
        }
        let block = self.block();
        for (number, own) in of_relation {
            let of = self.analysis.relations.get(number).map(|r| self.planned_in(r.block));
            let Some(relation) = self.analysis.relations.get_mut(number).filter(|_| of == Some(block)) else {
                continue;
            };
            let grouping = Grouping { complete: own.len() == keys.len(), keys: own };
            if !relation.groups.contains(&grouping) {
                relation.groups.push(grouping);
            }
        }
    }

    /// A sort or group key: a position, the name of an output, or an expression.
    fn named_or_lowered(&mut self, node: &Node, outputs: &Outputs) -> Expression {
        if let Some(name) = column_name(node)
            && single_name(node)
            && let Some((_, expression)) = outputs.iter().find(|(n, _)| *n == name)
        {
            self.touch_all(expression);
            return expression.clone();
        }
        let expression = self.lower(node);
        if let Expression::Constant(Literal::Number(position)) = &expression
            && let Ok(position) = position.parse::<usize>()
            && let Some((_, expression)) = position.checked_sub(1).and_then(|p| outputs.get(p))
        {
            self.touch_all(expression);
            return expression.clone();
        }
        expression
    }

    pub(super) fn insert(&mut self, insert: &InsertStmt) -> Outputs {
        self.open_ctes(insert.with_clause.as_ref());
        let mut target = self.set_target(insert.relation.as_ref());
        let mut columns: Vec<String> = insert.cols.iter().filter_map(target_name).collect();
        if columns.is_empty()
            && let Some(range) = &insert.relation
        {
            let schema = (!range.schemaname.is_empty()).then_some(range.schemaname.as_str());
            if let Some(found) = self.catalog.relation(schema, &range.relname) {
                columns = found.columns.into_iter().map(|c| c.name).collect();
            }
        }
        if let Some(NodeEnum::SelectStmt(select)) = insert.select_stmt.as_ref().and_then(|n| n.node.as_ref())
        {
            for row in &select.values_lists {
                if let (Some(NodeEnum::List(row)), Some(target)) = (&row.node, &target) {
                    for (value, column) in row.items.iter().zip(&columns) {
                        let expression = self.lower(value);
                        self.column_value(&expression, &target.table.clone(), column);
                    }
                }
            }
            let outputs = self.select(select, false, Wanted::All);
            if let Some(target) = &target {
                for ((_, expression), column) in outputs.iter().zip(&columns) {
                    self.column_value(expression, &target.table.clone(), column);
                }
            }
        }
        self.open_scope();
        let index = insert.relation.as_ref().and_then(|range| self.add_relation(range));
        if let (Some(conflict), Some(target)) = (&insert.on_conflict_clause, &mut target) {
            for assignment in &conflict.target_list {
                target.assigned.extend(target_name(assignment));
            }
            let assigned = conflict.target_list.clone();
            let table = target.table.clone();
            self.assignments(&assigned, &table);
        }
        let outputs = match &insert.returning_clause {
            Some(returning) => self.targets(&returning.exprs, Wanted::All),
            None => Vec::new(),
        };
        // The inserted relation is written, not scanned.
        if let Some(index) = index {
            self.touch_whole_row(index);
        }
        self.close_scope();
        if let Some(target) = &mut target {
            target.inserted.extend(columns);
        }
        self.keep_target(target);
        self.close_ctes();
        outputs
    }

    pub(super) fn update(&mut self, update: &UpdateStmt) -> Outputs {
        self.open_ctes(update.with_clause.as_ref());
        self.open_scope();
        let mut target = self.set_target(update.relation.as_ref());
        let index = update.relation.as_ref().and_then(|range| self.add_relation(range));
        for item in &update.from_clause {
            self.range_item(item);
        }
        if let Some(target) = &mut target {
            for assignment in &update.target_list {
                target.assigned.extend(target_name(assignment));
            }
            let table = target.table.clone();
            self.assignments(&update.target_list, &table);
        }
        if let Some(condition) = &update.where_clause {
            self.condition(condition, None, None);
        }
        let outputs = match &update.returning_clause {
            Some(returning) => self.targets(&returning.exprs, Wanted::All),
            None => Vec::new(),
        };
        if let Some(index) = index {
            self.touch_whole_row(index);
        }
        self.close_scope();
        self.keep_target(target);
        self.close_ctes();
        outputs
    }

    pub(super) fn delete(&mut self, delete: &DeleteStmt) -> Outputs {
        self.open_ctes(delete.with_clause.as_ref());
        self.open_scope();
        let target = self.set_target(delete.relation.as_ref());
        let index = delete.relation.as_ref().and_then(|range| self.add_relation(range));
        for item in &delete.using_clause {
            self.range_item(item);
        }
        if let Some(condition) = &delete.where_clause {
            self.condition(condition, None, None);
        }
        let outputs = match &delete.returning_clause {
            Some(returning) => self.targets(&returning.exprs, Wanted::All),
            None => Vec::new(),
        };
        if let Some(index) = index {
            self.touch_whole_row(index);
        }
        self.close_scope();
        self.keep_target(target);
        self.close_ctes();
        outputs
    }

    pub(super) fn merge(&mut self, merge: &MergeStmt) -> Outputs {
        self.open_ctes(merge.with_clause.as_ref());
        self.open_scope();
        let mut target = self.set_target(merge.relation.as_ref());
        let index = merge.relation.as_ref().and_then(|range| self.add_relation(range));
        if let Some(source) = &merge.source_relation {
            self.range_item(source);
        }
        if let Some(condition) = &merge.join_condition {
            self.condition(condition, None, None);
        }
        for clause in &merge.merge_when_clauses {
            let Some(NodeEnum::MergeWhenClause(clause)) = &clause.node else { continue };
            if let Some(condition) = &clause.condition {
                self.lower(condition);
            }
            let update = clause.values.is_empty();
            if let Some(target) = &mut target {
                let names = clause.target_list.iter().filter_map(target_name);
                if update {
                    target.assigned.extend(names)
                } else {
                    target.inserted.extend(names)
                }
                let table = target.table.clone();
                if update {
                    self.assignments(&clause.target_list, &table);
                }
            }
            for value in &clause.values {
                self.lower(value);
            }
        }
        if let Some(index) = index {
            self.touch_whole_row(index);
        }
        self.close_scope();
        self.keep_target(target);
        self.close_ctes();
        Vec::new()
    }

    fn assignments(&mut self, list: &[Node], table: &model::QualifiedName) {
        for assignment in list {
            let Some(NodeEnum::ResTarget(target)) = &assignment.node else { continue };
            if let Some(value) = &target.val {
                let expression = self.lower(value);
                self.column_value(&expression, table, &target.name);
            }
        }
    }

    pub(super) fn column_value(&mut self, value: &Expression, table: &model::QualifiedName, column: &str) {
        if let Expression::Parameter(number) = value {
            let (table, column) = (table.clone(), column.to_owned());
            self.context(*number, ParameterContext::ColumnValue { table, column });
        }
    }
}

fn sort_item(expression: &Expression, order: SortOrder, nulls: NullsOrder) -> Option<(usize, SortItem)> {
    let relation = expression.only_relation()?;
    let key = key_expression(expression)?;
    // A key that no index can hold ends the order.
    if matches!(&key, KeyExpression::Expression { sql: None, .. }) {
        return None;
    }
    Some((relation, SortItem { key, order, nulls }))
}

/// The last name of a column reference.
fn column_name(node: &Node) -> Option<String> {
    match &node.node {
        Some(NodeEnum::ColumnRef(reference)) => reference.fields.last().and_then(string),
        _ => None,
    }
}

fn single_name(node: &Node) -> bool {
    matches!(&node.node, Some(NodeEnum::ColumnRef(reference)) if reference.fields.len() == 1)
}

/// The qualifier of `*` or `alias.*`, and whether it is a star at all.
fn star(node: &Node) -> Option<(Option<String>, bool)> {
    let Some(NodeEnum::ColumnRef(reference)) = &node.node else { return None };
    let last = reference.fields.last()?;
    let is_star = matches!(last.node, Some(NodeEnum::AStar(_)));
    let qualifier = reference.fields.len().checked_sub(2).and_then(|i| string(&reference.fields[i]));
    Some((qualifier, is_star))
}

/// The column that an assignment or an insert list names.
fn target_name(node: &Node) -> Option<String> {
    match &node.node {
        Some(NodeEnum::ResTarget(target)) if !target.name.is_empty() => Some(target.name.clone()),
        _ => None,
    }
}
