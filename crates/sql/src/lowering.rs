//! From a parse tree to resolved facts: scopes, name resolution, query levels.
//!
//! Source: PostgreSQL's `parse_clause.c`, `parse_relation.c` and `parse_expr.c` for what is visible
//! where. It is lenient on purpose: what it does not know it looks through, because an advisor that
//! misses one expression still has something to say about the rest of the statement.

mod clauses;
mod conditions;
mod expressions;

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf::{Node, RangeVar, WithClause};
use pg_query::{NodeEnum, protobuf};

use crate::analysis::{Analysis, ParameterContext, RelationUse, Target};
use crate::catalog::Catalog;
use crate::expression::{ColumnUse, Expression};

/// What a subquery or CTE gives: column names with what they are.
type Outputs = Vec<(String, Expression)>;

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
    ctes: Vec<BTreeMap<String, Outputs>>,
    blocks: usize,
    disjuncts: usize,
    /// Columns under `min()` or `max()` of the query level being read.
    extremes: Vec<ColumnUse>,
    /// Orders wanted by window functions of the query level being read.
    windows: Vec<Vec<Expression>>,
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
        disjuncts: 0,
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

impl Lowering<'_> {
    fn statement(&mut self, node: &NodeEnum, outermost: bool) -> Outputs {
        match node {
            NodeEnum::SelectStmt(select) => self.select(select, outermost, false),
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
                let outputs = names.collect();
                if let Some(known) = self.ctes.last_mut() {
                    known.insert(cte.ctename.clone(), outputs);
                }
            }
            let mut outputs = match cte.ctequery.as_ref().and_then(|q| q.node.as_ref()) {
                Some(query) => self.statement(query, false),
                None => Vec::new(),
            };
            rename(&mut outputs, &cte.aliascolnames);
            if let Some(known) = self.ctes.last_mut() {
                known.insert(cte.ctename.clone(), outputs);
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
            && let Some(outputs) = self.ctes.iter().rev().find_map(|level| level.get(&range.relname)).cloned()
        {
            let mut outputs = outputs;
            if let Some(given) = &range.alias {
                rename(&mut outputs, &given.colnames);
            }
            self.add_entry(Entry { alias, schema: None, source: Source::Derived { outputs } });
            return None;
        }
        let Some(found) = self.catalog.relation(schema.as_deref(), &range.relname) else {
            let name = match &schema {
                Some(schema) => format!("{schema}.{}", range.relname),
                None => range.relname.clone(),
            };
            if !self.analysis.unknown_relations.contains(&name) {
                self.analysis.unknown_relations.push(name);
            }
            self.add_entry(Entry { alias, schema, source: Source::Derived { outputs: Vec::new() } });
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
            whole_row: false,
            predicates: Vec::new(),
            sorts: Vec::new(),
            extremes: BTreeSet::new(),
            block: self.block(),
        });
        let schema = range.alias.is_none().then(|| found.name.schema.clone());
        self.add_entry(Entry { alias, schema, source: Source::Relation { index, columns } });
        Some(index)
    }

    fn add_entry(&mut self, entry: Entry) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.entries.push(entry);
        }
    }

    fn touch(&mut self, column: &ColumnUse) {
        if let Some(relation) = self.analysis.relations.get_mut(column.relation) {
            relation.columns.insert(column.column.clone());
        }
    }

    fn touch_whole_row(&mut self, index: usize) {
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
                match &entry.source {
                    Source::Relation { index, columns } => {
                        if let Some((_, real)) = columns.iter().find(|(name, _)| name == column) {
                            found = Some(Expression::Column(ColumnUse {
                                relation: *index,
                                column: real.clone(),
                            }));
                            break 'scopes;
                        }
                        if qualifier.is_none() && entry.alias == *column && row.is_none() {
                            row = Some(*index);
                        }
                    }
                    Source::Derived { outputs } => {
                        if let Some((_, expression)) = outputs.iter().find(|(name, _)| name == column) {
                            found = Some(expression.clone());
                            break 'scopes;
                        }
                    }
                }
            }
        }
        if let Some(found) = found {
            if let Expression::Column(column) = &found {
                self.touch(column);
            }
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
                Source::Derived { outputs: inner } => outputs.extend(inner),
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
