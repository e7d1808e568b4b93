//! From a parse tree to resolved facts: scopes, name resolution, query levels.
//!
//! Source: PostgreSQL's `parse_clause.c`, `parse_relation.c` and `parse_expr.c` for what is visible
//! where. It is lenient on purpose: what it does not know it looks through, because an advisor that
//! misses one expression still has something to say about the rest of the statement.

mod clauses;
mod conditions;
mod expressions;
mod forms;

pub(crate) use expressions::type_name;

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf::{Node, RangeVar, WithClause};
use pg_query::{NodeEnum, protobuf};

use crate::analysis::{Analysis, JoinEquality, ParameterContext, RelationUse, SortItem, Target};
use crate::catalog::Catalog;
use crate::expression::{ColumnUse, Expression};
use crate::views::View;

/// What a subquery or CTE gives: column names with what they are.
type Outputs = Vec<(String, Expression)>;

/// An order that belongs to a relation, key by key; `None` ends what one relation can give.
type Order = Vec<Option<(usize, SortItem)>>;

/// Views that select from views are read through, so deep; one statement, so often. Expansion doubles where a view
/// joins a view with itself.
const MAX_VIEW_DEPTH: usize = 16;
const MAX_VIEWS: usize = 64;

/// What a name in `FROM` stands for.
#[derive(Clone, Debug)]
enum Source {
    /// A relation, by its number, and its column names as the statement sees them.
    Relation { index: usize, columns: Vec<(String, String)> },
    /// A subquery, CTE, function or unknown relation.
    Derived { outputs: Outputs },
}

#[derive(Clone, Debug)]
struct Entry {
    alias: String,
    schema: Option<String>,
    source: Source,
}

impl Entry {
    /// The names of its columns.
    fn names(&self) -> Vec<String> {
        match &self.source {
            Source::Relation { columns, .. } => columns.iter().map(|(name, _)| name.clone()).collect(),
            Source::Derived { outputs } => outputs.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// What a name stands for in it.
    fn column(&self, wanted: &str) -> Option<Expression> {
        match &self.source {
            Source::Relation { index, columns } => {
                let (_, real) = columns.iter().find(|(name, _)| name == wanted)?;
                Some(Expression::Column(ColumnUse { relation: *index, column: real.clone() }))
            }
            Source::Derived { outputs } => {
                outputs.iter().find(|(name, _)| name == wanted).map(|(_, e)| e.clone())
            }
        }
    }
}

/// A common table expression.
#[derive(Clone, Debug, Default)]
struct Cte {
    outputs: Outputs,
    /// Its query level, when the planner may merge it into the one that uses it.
    simple: Option<usize>,
    /// Whether it was used before: then it is computed once and apart.
    used: bool,
}

/// The names of one query level.
#[derive(Debug, Default)]
struct Scope {
    entries: Vec<Entry>,
    block: usize,
}

pub(crate) struct Lowering<'a> {
    catalog: &'a dyn Catalog,
    analysis: Analysis,
    scopes: Vec<Scope>,
    ctes: Vec<BTreeMap<String, Cte>>,
    blocks: usize,
    /// Query levels that the planner merges into the one around them (`pull_up_simple_subquery()`).
    merged: BTreeMap<usize, usize>,
    /// The query level that was read last, when it is simple enough to be merged.
    simple: Option<usize>,
    disjunctions: usize,
    arms: usize,
    /// Join equalities of the arms of the `OR` that is being read.
    arm_joins: Vec<BTreeSet<JoinEquality>>,
    /// Above zero, columns are looked up but not wanted: the list of a subquery that gives more than is asked for.
    unwanted: usize,
    /// How many views were read, and how many around this place.
    views: usize,
    view_depth: usize,
    /// What stands under `min()` or `max()` of the query level being read.
    extremes: Vec<Expression>,
    /// Orders wanted by window functions of the query level being read.
    windows: Vec<Order>,
    /// How many aggregates were seen so far.
    aggregate_calls: usize,
}

/// Collects the facts of one statement.
pub(crate) fn analyze(node: &NodeEnum, catalog: &dyn Catalog) -> Analysis {
    let mut lowering = Lowering {
        catalog,
        analysis: Analysis::default(),
        scopes: Vec::new(),
        ctes: Vec::new(),
        blocks: 0,
        merged: BTreeMap::new(),
        simple: None,
        disjunctions: 0,
        arms: 0,
        arm_joins: Vec::new(),
        unwanted: 0,
        views: 0,
        view_depth: 0,
        extremes: Vec::new(),
        windows: Vec::new(),
        aggregate_calls: 0,
    };
    lowering.statement(node, true);
    let mut analysis = lowering.analysis;
    let mut in_predicates = Vec::new();
    for (r, relation) in analysis.relations.iter().enumerate() {
        for (p, predicate) in relation.predicates.iter().enumerate() {
            for number in predicate.values.iter().flat_map(Expression::parameters) {
                in_predicates.push((number, ParameterContext::Predicate { relation: r, predicate: p }));
            }
        }
    }
    for (number, context) in in_predicates {
        analysis.parameters.entry(number).or_default().push(context);
    }
    analysis
}

/// Which outputs of a query level somebody looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// All.
    All,
    /// Those that the level around it names.
    Named,
    /// None: `EXISTS`.
    Nothing,
}

impl Lowering<'_> {
    /// Reads a query whose columns the level around it may or may not use.
    fn derived(&mut self, node: &NodeEnum) -> Outputs {
        match node {
            NodeEnum::SelectStmt(select) => self.select(select, false, Wanted::Named),
            other => self.statement(other, false),
        }
    }

    fn statement(&mut self, node: &NodeEnum, outermost: bool) -> Outputs {
        match node {
            NodeEnum::SelectStmt(select) => self.select(select, outermost, Wanted::All),
            NodeEnum::InsertStmt(insert) => self.insert(insert),
            NodeEnum::UpdateStmt(update) => self.update(update),
            NodeEnum::DeleteStmt(delete) => self.delete(delete),
            NodeEnum::MergeStmt(merge) => self.merge(merge),
            _ => Vec::new(),
        }
    }

    fn context(&mut self, number: u32, context: ParameterContext) {
        let all = self.analysis.parameters.entry(number).or_default();
        if !all.contains(&context) {
            all.push(context);
        }
    }

    fn open_scope(&mut self) {
        self.blocks += 1;
        self.scopes.push(Scope { entries: Vec::new(), block: self.blocks });
    }

    fn close_scope(&mut self) {
        self.scopes.pop();
    }

    fn block(&self) -> usize {
        self.scopes.last().map_or(0, |s| s.block)
    }

    fn open_ctes(&mut self, with: Option<&WithClause>) {
        self.ctes.push(BTreeMap::new());
        let Some(with) = with else { return };
        for cte in &with.ctes {
            let Some(NodeEnum::CommonTableExpr(cte)) = &cte.node else { continue };
            if with.recursive {
                // The name is known within itself; its columns only by their given names.
                let names =
                    cte.aliascolnames.iter().filter_map(string).map(|n| (n, Expression::Other(vec![])));
                let itself = Cte { outputs: names.collect(), simple: None, used: true };
                if let Some(known) = self.ctes.last_mut() {
                    known.insert(cte.ctename.clone(), itself);
                }
            }
            self.simple = None;
            let mut outputs = match cte.ctequery.as_ref().and_then(|q| q.node.as_ref()) {
                Some(query) => self.derived(query),
                None => Vec::new(),
            };
            rename(&mut outputs, &cte.aliascolnames);
            let cte_of = Cte { outputs, simple: self.simple.take(), used: false };
            if let Some(known) = self.ctes.last_mut() {
                known.insert(cte.ctename.clone(), cte_of);
            }
        }
    }

    fn close_ctes(&mut self) {
        self.ctes.pop();
    }

    /// Adds a relation to the current scope; gives its number, or `None` for a CTE or an unknown name.
    fn add_relation(&mut self, range: &RangeVar) -> Option<usize> {
        let alias = range.alias.as_ref().map_or_else(|| range.relname.clone(), |a| a.aliasname.clone());
        let schema = (!range.schemaname.is_empty()).then(|| range.schemaname.clone());
        if schema.is_none()
            && let Some(cte) = self.ctes.iter_mut().rev().find_map(|level| level.get_mut(&range.relname))
        {
            let again = std::mem::replace(&mut cte.used, true);
            let (mut outputs, simple) = (cte.outputs.clone(), cte.simple);
            if again {
                // It is computed as a whole, whatever each user of it wants.
                outputs.iter().for_each(|(_, e)| self.touch_all(e));
            } else {
                self.merge_block(simple);
            }
            if let Some(given) = &range.alias {
                rename(&mut outputs, &given.colnames);
            }
            self.add_entry(Entry { alias, schema: None, source: Source::Derived { outputs } });
            return None;
        }
        let Some(found) = self.catalog.relation(schema.as_deref(), &range.relname) else {
            let view = self.catalog.view(schema.as_deref(), &range.relname);
            let mut outputs = Outputs::new();
            if let Some(view) = view.filter(|_| self.view_depth < MAX_VIEW_DEPTH && self.views < MAX_VIEWS) {
                outputs = self.read_view(&view);
                if let Some(given) = &range.alias {
                    rename(&mut outputs, &given.colnames);
                }
            } else {
                let name = match &schema {
                    Some(schema) => format!("{schema}.{}", range.relname),
                    None => range.relname.clone(),
                };
                if !self.analysis.unknown_relations.contains(&name) {
                    self.analysis.unknown_relations.push(name);
                }
            }
            self.add_entry(Entry { alias, schema, source: Source::Derived { outputs } });
            return None;
        };
        let index = self.analysis.relations.len();
        let mut columns: Vec<(String, String)> =
            found.columns.iter().map(|c| (c.name.clone(), c.name.clone())).collect();
        if let Some(given) = &range.alias {
            for (column, name) in columns.iter_mut().zip(given.colnames.iter().filter_map(string)) {
                column.0 = name;
            }
        }
        self.analysis.relations.push(RelationUse {
            name: found.name.clone(),
            alias: alias.clone(),
            columns: BTreeSet::new(),
            touches: BTreeMap::new(),
            whole_row: false,
            predicates: Vec::new(),
            sorts: Vec::new(),
            groups: Vec::new(),
            extremes: BTreeSet::new(),
            row_bounds: Vec::new(),
            nearest: Vec::new(),
            block: self.block(),
        });
        let schema = range.alias.is_none().then(|| found.name.schema.clone());
        self.add_entry(Entry { alias, schema, source: Source::Relation { index, columns } });
        Some(index)
    }

    /// Reads the query of a view, which sees nothing of the statement around it.
    fn read_view(&mut self, view: &View) -> Outputs {
        self.analysis.views.insert(view.name.clone());
        self.views += 1;
        self.view_depth += 1;
        let scopes = std::mem::take(&mut self.scopes);
        let ctes = std::mem::take(&mut self.ctes);
        self.simple = None;
        let mut outputs = self.derived(&view.query);
        self.scopes = scopes;
        self.ctes = ctes;
        self.view_depth -= 1;
        let simple = self.simple.take();
        self.merge_block(simple);
        rename(&mut outputs, &view.columns);
        outputs
    }

    /// Notes that a simple query level becomes part of the current one.
    fn merge_block(&mut self, simple: Option<usize>) {
        let current = self.block();
        if let Some(inner) = simple.filter(|inner| *inner != current) {
            self.merged.insert(inner, current);
        }
    }

    /// The query level that a level ends up in.
    fn planned_in(&self, mut block: usize) -> usize {
        while let Some(outer) = self.merged.get(&block) {
            block = *outer;
        }
        block
    }

    fn add_entry(&mut self, entry: Entry) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.entries.push(entry);
        }
    }

    fn touch(&mut self, column: &ColumnUse) {
        if self.unwanted > 0 {
            return;
        }
        if let Some(relation) = self.analysis.relations.get_mut(column.relation) {
            relation.columns.insert(column.column.clone());
            *relation.touches.entry(column.column.clone()).or_default() += 1;
        }
    }

    fn touch_all(&mut self, expression: &Expression) {
        for column in expression.columns() {
            self.touch(column);
        }
    }

    fn touch_whole_row(&mut self, index: usize) {
        if self.unwanted > 0 {
            return;
        }
        if let Some(relation) = self.analysis.relations.get_mut(index) {
            relation.whole_row = true;
        }
    }

    /// Resolves `column`, `alias.column` or `schema.table.column`.
    fn resolve(&mut self, path: &[String]) -> Expression {
        let (qualifier, schema, column) = match path {
            [column] => (None, None, column),
            [table, column] => (Some(table), None, column),
            [schema, table, column] => (Some(table), Some(schema), column),
            _ => return Expression::Other(vec![]),
        };
        let mut found = None;
        let mut row = None;
        'scopes: for scope in self.scopes.iter().rev() {
            for entry in &scope.entries {
                if qualifier.is_some_and(|q| *q != entry.alias)
                    || schema.is_some_and(|s| entry.schema.as_ref().is_some_and(|e| e != s))
                {
                    continue;
                }
                found = entry.column(column);
                if found.is_some() {
                    break 'scopes;
                }
                if let (Source::Relation { index, .. }, None, None) = (&entry.source, qualifier, row)
                    && entry.alias == *column
                {
                    row = Some(*index);
                }
            }
        }
        if let Some(found) = found {
            self.touch_all(&found);
            return found;
        }
        if let Some(index) = row {
            self.touch_whole_row(index);
        }
        Expression::Other(vec![])
    }

    /// Everything that `*` or `alias.*` stands for in the current scope.
    fn expand_star(&mut self, qualifier: Option<&str>, count: bool) -> Outputs {
        let mut outputs = Vec::new();
        let entries = self.scopes.last().map(|s| s.entries.clone()).unwrap_or_default();
        for entry in entries {
            if qualifier.is_some_and(|q| q != entry.alias) {
                continue;
            }
            match entry.source {
                Source::Relation { index, columns } => {
                    if count {
                        self.touch_whole_row(index);
                    }
                    outputs.extend(columns.into_iter().map(|(name, real)| {
                        (name, Expression::Column(ColumnUse { relation: index, column: real }))
                    }));
                }
                Source::Derived { outputs: inner } => {
                    if count {
                        inner.iter().for_each(|(_, e)| self.touch_all(e));
                    }
                    outputs.extend(inner);
                }
            }
        }
        outputs
    }

    fn set_target(&mut self, relation: Option<&RangeVar>) -> Option<Target> {
        let range = relation?;
        let schema = (!range.schemaname.is_empty()).then_some(range.schemaname.as_str());
        let found = self.catalog.relation(schema, &range.relname)?;
        Some(Target { table: found.name, assigned: BTreeSet::new(), inserted: BTreeSet::new() })
    }

    fn keep_target(&mut self, target: Option<Target>) {
        if let Some(target) = target {
            match &mut self.analysis.target {
                Some(kept) if kept.table == target.table => {
                    kept.assigned.extend(target.assigned);
                    kept.inserted.extend(target.inserted);
                }
                Some(_) => {}
                none => *none = Some(target),
            }
        }
    }
}

/// Gives output columns the names of a column alias list.
fn rename(outputs: &mut Outputs, names: &[Node]) {
    for (output, name) in outputs.iter_mut().zip(names.iter().filter_map(string)) {
        output.0 = name;
    }
}

/// The text of a `String` node.
pub(crate) fn string(node: &Node) -> Option<String> {
    match &node.node {
        Some(NodeEnum::String(protobuf::String { sval })) => Some(sval.clone()),
        _ => None,
    }
}
