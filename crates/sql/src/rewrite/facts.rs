//! What does the catalogue prove? NOT NULL, keys, foreign keys, types, and what follows from them for the
//! sources of a query.
//!
//! Every answer is either a proof, named so that a person can look it up, or the reason why there is none. A
//! fact that PostgreSQL does not enforce (NOT NULL of a foreign table, a key that is deferrable, a foreign key
//! that was not validated, a key of a table with children) proves nothing.

mod types;

use std::collections::{BTreeMap, BTreeSet};

use model::change::KeyTarget;
use model::snapshot::{Column as CatalogColumn, ConstraintKind, Relation, RelationKind};
use model::{QualifiedName, Snapshot, quote_identifier};

pub(crate) use self::types::type_text;
use super::functions::{self, UserFunctions, Volatility};
use super::tree::{Body, Column, Constant, Derived, Distinct, Expr, From, JoinKind, Query, Select, Table};

/// The names of what proves something.
pub(crate) type Proofs = BTreeSet<String>;

/// A proof, or the reason why there is none.
pub(crate) type Proved = Result<Proofs, String>;

/// A snapshot, looked at for facts.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub snapshot: &'a Snapshot,
    pub users: UserFunctions,
    inherited: BTreeSet<&'a QualifiedName>,
}

/// A set of columns in which no two rows are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub columns: Vec<String>,
    pub by: String,
    /// Whether NULLs count as equal, so that there is one at most.
    pub nulls_not_distinct: bool,
}

/// What a column of a derived table is.
#[derive(Clone, Debug)]
struct Known {
    name: String,
    type_name: Option<String>,
    not_null: Proved,
    /// Whether texts that are equal are the same.
    deterministic: bool,
}

#[derive(Clone, Debug)]
enum Source<'a> {
    Table { relation: &'a Relation, only: bool },
    Derived { columns: Vec<Known>, keys: Vec<Key> },
}

/// The sources of a statement.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub facts: &'a Facts<'a>,
    sources: BTreeMap<String, Source<'a>>,
    null_extended: BTreeSet<String>,
}

impl<'a> Facts<'a> {
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let inherited = snapshot
            .relations
            .iter()
            .filter(|r| r.partition_bound.is_none())
            .filter_map(|r| r.parent.as_ref())
            .collect();
        Self { snapshot, users: UserFunctions::find(&snapshot.schema_sql), inherited }
    }

    /// Whether other tables inherit from a table and are read with it.
    fn has_children(&self, relation: &Relation, only: bool) -> bool {
        relation.kind == RelationKind::Table && !only && self.inherited.contains(&relation.name)
    }

    /// Whether a column is NOT NULL in a table and in all that inherit from it, which may have dropped it.
    fn is_not_null(&self, relation: &Relation, name: &str, only: bool) -> bool {
        let children = self.snapshot.relations.iter().filter(|r| r.parent.as_ref() == Some(&relation.name));
        relation.column(name).is_some_and(|c| c.not_null)
            && (!self.has_children(relation, only)
                || children.into_iter().all(|child| self.is_not_null(child, name, false)))
    }

    /// The keys of a table.
    pub fn keys(&self, relation: &Relation, only: bool) -> Vec<Key> {
        self.keys_where(relation, only, &|predicate| predicate.is_none())
    }

    /// Unique keys of the rows for which the predicates of their indexes hold.
    fn keys_where(&self, relation: &Relation, only: bool, holds: &dyn Fn(Option<&str>) -> bool) -> Vec<Key> {
        if self.has_children(relation, only) || relation.kind == RelationKind::ForeignTable {
            return Vec::new();
        }
        let mut keys = Vec::new();
        for index in self.snapshot.indexes_of(&relation.name) {
            let definition = &index.definition;
            if !definition.unique
                || !index.valid
                || index.exclusion
                || !holds(definition.predicate.as_deref())
            {
                continue;
            }
            let deferrable = index.constraint.as_ref().is_some_and(|name| {
                let constraint =
                    self.snapshot.constraints.iter().find(|c| &c.name == name && c.table == relation.name);
                constraint.is_some_and(|c| {
                    c.definition.contains("DEFERRABLE") && !c.definition.contains("NOT DEFERRABLE")
                })
            });
            let columns: Option<Vec<String>> = definition
                .keys
                .iter()
                .map(|key| match &key.target {
                    KeyTarget::Column(name) if key.opclass.is_none() && key.collation.is_none() => {
                        Some(name.clone())
                    }
                    _ => None,
                })
                .collect();
            if let (Some(columns), false) = (columns, deferrable) {
                let by = format!("unique index {}", quote_identifier(&index.name.name));
                keys.push(Key { columns, by, nulls_not_distinct: index.nulls_not_distinct });
            }
        }
        keys.sort_by(|a, b| a.columns.len().cmp(&b.columns.len()).then_with(|| a.by.cmp(&b.by)));
        keys
    }

    /// A validated foreign key from columns of one table to columns of another, in pairs.
    pub fn foreign_key(
        &self,
        child: &QualifiedName,
        parent: &QualifiedName,
        pairs: &[(String, String)],
    ) -> Proved {
        let wanted: BTreeSet<&(String, String)> = pairs.iter().collect();
        let matches = |c: &&model::snapshot::Constraint| {
            c.kind == ConstraintKind::ForeignKey
                && &c.table == child
                && c.references.as_ref().is_some_and(|r| {
                    let own: Vec<(String, String)> =
                        c.columns.iter().cloned().zip(r.columns.iter().cloned()).collect();
                    &r.table == parent && own.iter().collect::<BTreeSet<_>>() == wanted
                })
        };
        let Some(constraint) = self.snapshot.constraints.iter().find(matches) else {
            return Err(format!("no foreign key of {child} says that its row in {parent} exists"));
        };
        let name = quote_identifier(&constraint.name);
        if !constraint.validated {
            return Err(format!("foreign key {name} is not validated: older rows may break it"));
        }
        if constraint.definition.contains("DEFERRABLE") && !constraint.definition.contains("NOT DEFERRABLE") {
            return Err(format!(
                "foreign key {name} is deferrable: it may be broken until the end of a transaction"
            ));
        }
        if constraint.definition.contains(" PERIOD ") {
            return Err(format!("foreign key {name} is of a period, which several rows may cover together"));
        }
        Ok(Proofs::from([format!("foreign key {name}")]))
    }
}

impl<'a> Scope<'a> {
    /// Looks at the sources of a whole statement.
    pub fn new(facts: &'a Facts<'a>, root: &Query) -> Self {
        let mut scope = Self { facts, sources: BTreeMap::new(), null_extended: BTreeSet::new() };
        scope.add_query(root);
        scope
    }

    fn add_query(&mut self, query: &Query) {
        // A common table expression comes before what uses it.
        for cte in &query.ctes {
            self.add_query(&cte.query);
            let columns = self.columns_of(&cte.query, &cte.columns);
            let keys = self.keys_of_query(&cte.query, &cte.columns);
            self.sources.insert(format!("\u{0}{}", cte.name), Source::Derived { columns, keys });
        }
        match &query.body {
            Body::Select(select) => {
                for from in &select.from {
                    self.add_from(from, false);
                }
            }
            Body::Set { left, right, .. } => {
                self.add_query(left);
                self.add_query(right);
            }
            Body::Values(_) => {}
        }
        // Queries within expressions.
        query.children(&mut |child| {
            if let super::walk::Child::Expr(expr) = child {
                expr.walk_level(&mut |e| match e {
                    Expr::Exists(q)
                    | Expr::Scalar(q)
                    | Expr::ArrayOf(q)
                    | Expr::Quantified { query: q, .. } => {
                        self.add_query(q);
                    }
                    _ => {}
                });
            }
        });
    }

    fn add_from(&mut self, from: &From, null_extended: bool) {
        let extend = |scope: &mut Self, alias: &str| {
            if null_extended {
                scope.null_extended.insert(alias.to_owned());
            }
        };
        match from {
            From::Table(Table { table, alias, only, .. }) => {
                if let Some(relation) = self.facts.snapshot.relation(table) {
                    self.sources.insert(alias.clone(), Source::Table { relation, only: *only });
                }
                extend(self, alias);
            }
            From::Derived(Derived { query, alias, columns, .. }) => {
                self.add_query(query);
                let known = self.columns_of(query, columns);
                let keys = self.keys_of_query(query, columns);
                self.sources.insert(alias.clone(), Source::Derived { columns: known, keys });
                extend(self, alias);
            }
            From::Cte { name, alias, .. } => {
                if let Some(source) = self.sources.get(&format!("\u{0}{name}")).cloned() {
                    self.sources.insert(alias.clone(), source);
                }
                extend(self, alias);
            }
            From::Function(function) => {
                let unknown = |name: &String| Known {
                    name: name.clone(),
                    type_name: None,
                    not_null: Err(format!("{name} comes out of a function")),
                    deterministic: false,
                };
                let columns = function.columns.iter().map(unknown).collect();
                self.sources.insert(function.alias.clone(), Source::Derived { columns, keys: Vec::new() });
                extend(self, &function.alias);
            }
            From::Join(join) => {
                self.add_from(&join.left, null_extended || join.kind == JoinKind::Full);
                self.add_from(&join.right, null_extended || join.kind != JoinKind::Inner);
            }
        }
    }

    fn columns_of(&self, query: &Query, names: &[String]) -> Vec<Known> {
        let unknown = |name: &String| Known {
            name: name.clone(),
            type_name: None,
            not_null: Err(format!("{name} comes out of several sets")),
            deterministic: false,
        };
        match &query.body {
            // What one grouping set leaves out is NULL.
            Body::Select(select) if !select.sets.is_empty() => names.iter().map(unknown).collect(),
            Body::Select(select) => {
                let filtered = self.not_null_by_filter(select);
                names
                    .iter()
                    .zip(&select.outputs)
                    .map(|(name, output)| Known {
                        name: name.clone(),
                        type_name: self.type_of(&output.expr),
                        not_null: self.never_null(&output.expr, &filtered),
                        deterministic: self.is_deterministic(&output.expr),
                    })
                    .collect()
            }
            Body::Set { left, right, .. } => {
                let (left, right) = (self.columns_of(left, names), self.columns_of(right, names));
                left.into_iter()
                    .zip(right)
                    .map(|(l, r)| Known {
                        type_name: if l.type_name == r.type_name { l.type_name.clone() } else { None },
                        not_null: both(l.not_null, r.not_null),
                        deterministic: l.deterministic && r.deterministic,
                        name: l.name,
                    })
                    .collect()
            }
            Body::Values(_) => names.iter().map(unknown).collect(),
        }
    }

    /// Keys of the rows that a query gives.
    fn keys_of_query(&self, query: &Query, names: &[String]) -> Vec<Key> {
        let Body::Select(select) = &query.body else {
            return match &query.body {
                Body::Set { all: false, .. } => {
                    vec![key(names.to_vec(), "UNION, INTERSECT or EXCEPT without ALL", true)]
                }
                _ => Vec::new(),
            };
        };
        let name_of = |expr: &Expr| {
            select.outputs.iter().position(|o| &o.expr == expr).and_then(|n| names.get(n)).cloned()
        };
        let mut keys = Vec::new();
        if select.distinct == Distinct::All {
            keys.push(key(names.to_vec(), "DISTINCT", true));
        }
        if !select.sets.is_empty() {
            return keys;
        }
        if select.is_grouped() {
            let of: Option<Vec<String>> = select.group.iter().map(name_of).collect();
            if let Some(of) = of {
                keys.push(key(of, "GROUP BY", true));
            }
            return keys;
        }
        // A table alone keeps its keys; more would need every combination.
        if let [From::Table(table)] = select.from.as_slice()
            && let Some(relation) = self.facts.snapshot.relation(&table.table)
        {
            for own in self.facts.keys(relation, table.only) {
                let of: Option<Vec<String>> = own
                    .columns
                    .iter()
                    .map(|c| name_of(&Expr::Column(Column { source: table.alias.clone(), name: c.clone() })))
                    .collect();
                if let Some(columns) = of {
                    keys.push(Key { columns, ..own });
                }
            }
        }
        keys
    }

    /// Unique keys of indexes that hold every row in which these columns are not NULL.
    pub fn partial_keys(&self, alias: &str, filled: &BTreeSet<Column>) -> Vec<Key> {
        let Some(Source::Table { relation, only }) = self.sources.get(alias) else { return Vec::new() };
        let scalar = |c: &&Column| self.is_scalar(&Expr::Column((*c).clone()));
        let own = filled.iter().filter(|c| c.source == alias).filter(scalar);
        let known: Vec<String> = own.map(|c| format!("{} IS NOT NULL", quote_identifier(&c.name))).collect();
        if known.is_empty() {
            return Vec::new();
        }
        let known = known.join(" AND ");
        self.facts
            .keys_where(relation, *only, &|predicate| predicate.is_some_and(|p| crate::implies(&known, p)))
    }

    /// Columns that are not NULL where all these conditions are true.
    pub fn rejected(&self, conditions: &[Expr]) -> BTreeSet<Column> {
        let of = |condition: &Expr| -> Vec<Column> {
            let columns = condition.columns().into_iter();
            columns.filter(|column| self.rejects_null(condition, &|c| c == *column)).cloned().collect()
        };
        conditions.iter().flat_map(of).collect()
    }

    /// The table that a source is.
    pub fn table(&self, alias: &str) -> Option<&'a Relation> {
        match self.sources.get(alias)? {
            Source::Table { relation, .. } => Some(relation),
            Source::Derived { .. } => None,
        }
    }

    /// What the catalogue says of a column of a table.
    pub fn catalog_column(&self, column: &Column) -> Option<&'a CatalogColumn> {
        self.table(&column.source)?.column(&column.name)
    }

    /// The names of the columns of a source.
    pub fn column_names(&self, alias: &str) -> Vec<String> {
        match self.sources.get(alias) {
            Some(Source::Table { relation, .. }) => relation.columns.iter().map(|c| c.name.clone()).collect(),
            Some(Source::Derived { columns, .. }) => columns.iter().map(|c| c.name.clone()).collect(),
            None => Vec::new(),
        }
    }

    /// Whether an outer join can put NULLs in place of its rows.
    pub fn is_null_extended(&self, alias: &str) -> bool {
        self.null_extended.contains(alias)
    }

    /// Whether a source is a table that is read with those that inherit from it.
    pub fn reads_children(&self, alias: &str) -> bool {
        match self.sources.get(alias) {
            Some(Source::Table { relation, only }) => self.facts.has_children(relation, *only),
            _ => false,
        }
    }

    /// The keys of a source.
    pub fn keys(&self, alias: &str) -> Vec<Key> {
        match self.sources.get(alias) {
            Some(Source::Table { relation, only }) => self.facts.keys(relation, *only),
            Some(Source::Derived { keys, .. }) => keys.clone(),
            None => Vec::new(),
        }
    }

    /// A column as a person knows it.
    pub fn display(&self, column: &Column) -> String {
        match self.table(&column.source) {
            Some(relation) => {
                format!("{}.{}", quote_identifier(&relation.name.name), quote_identifier(&column.name))
            }
            None => format!("{}.{}", quote_identifier(&column.source), quote_identifier(&column.name)),
        }
    }

    /// Whether a column of a source's own rows is never NULL, outer joins left out of account.
    pub fn stored_not_null(&self, column: &Column) -> Proved {
        match self.sources.get(&column.source) {
            Some(Source::Table { relation, only }) => match relation.column(&column.name) {
                Some(c) if c.not_null && relation.kind == RelationKind::ForeignTable => Err(format!(
                    "{} is of a foreign table, whose NOT NULL nobody enforces",
                    self.display(column)
                )),
                Some(_) if self.facts.is_not_null(relation, &column.name, *only) => {
                    Ok(Proofs::from([format!("NOT NULL of {}", self.display(column))]))
                }
                Some(c) if c.not_null => Err(format!(
                    "{} may be NULL in a table that inherits from {}",
                    self.display(column),
                    relation.name
                )),
                _ => Err(format!("{} may be NULL", self.display(column))),
            },
            Some(Source::Derived { columns, .. }) => match columns.iter().find(|c| c.name == column.name) {
                Some(known) => known.not_null.clone(),
                None => Err(format!("{} is not known", self.display(column))),
            },
            None => Err(format!("{} is not known", column.name)),
        }
    }

    /// Whether an expression is never NULL, given columns that are not.
    pub fn never_null(&self, expr: &Expr, known: &BTreeSet<Column>) -> Proved {
        let all = |exprs: &mut dyn Iterator<Item = &Expr>| {
            let mut proofs = Proofs::new();
            for expr in exprs {
                // A row is a value whatever is in it, and a comparison of two rows is one of their fields.
                for field in fields(expr) {
                    proofs.extend(self.never_null(field, known)?);
                }
            }
            Ok(proofs)
        };
        match expr {
            Expr::Column(column) if known.contains(column) => Ok(Proofs::new()),
            Expr::Column(column) if self.is_null_extended(&column.source) => {
                Err(format!("{} is NULL where an outer join finds no row", self.display(column)))
            }
            Expr::Column(column) => self.stored_not_null(column),
            Expr::Constant(Constant::Null) => Err("a constant is NULL".into()),
            // No schema of the search path need be there.
            Expr::Value(name) if name == "current_schema" => Err("current_schema may be NULL".into()),
            Expr::Constant(_) | Expr::Value(_) | Expr::Exists(_) | Expr::IsNull { .. } | Expr::Is { .. } => {
                Ok(Proofs::new())
            }
            Expr::Distinct { .. } | Expr::Array(_) | Expr::ArrayOf(_) | Expr::Row(_) => Ok(Proofs::new()),
            Expr::Parameter(number) => Err(format!("parameter ${number} may be NULL")),
            // Since 18 JSON null becomes NULL.
            Expr::Cast { inner, .. } if self.type_of(inner).as_deref() == Some("jsonb") => {
                Err("JSON null may become NULL".into())
            }
            Expr::Cast { inner, .. } | Expr::Not(inner) | Expr::Collate { inner, .. } => {
                self.never_null(inner, known)
            }
            Expr::Call(call) if call.schema.is_none() && call.name == "count" => Ok(Proofs::new()),
            Expr::Call(call)
                if call.schema.is_none()
                    && matches!(call.name.as_str(), "now" | "row_number" | "rank" | "dense_rank") =>
            {
                Ok(Proofs::new())
            }
            // A range without a bound has none to give.
            Expr::Call(call)
                if matches!(call.name.as_str(), "lower" | "upper") && self.type_of(expr).is_none() =>
            {
                Err(format!("{}() of a range may be NULL", call.name))
            }
            Expr::Call(call) if functions::null_only_for_null(call) && !self.facts.users.is_of_user(call) => {
                all(&mut call.args.iter())
            }
            Expr::Operator { name, left, right }
                if functions::operator_null_only_for_null(name)
                    && !self.facts.users.operators.contains(name) =>
            {
                all(&mut left.as_deref().into_iter().chain([&**right]))
            }
            Expr::And(list) | Expr::Or(list) => all(&mut list.iter()),
            Expr::In { value, list, .. } => all(&mut list.iter().chain([&**value])),
            Expr::Between { value, low, high, .. } => all(&mut [&**value, &**low, &**high].into_iter()),
            Expr::Like { value, pattern, .. } => all(&mut [&**value, &**pattern].into_iter()),
            Expr::Coalesce(list) | Expr::Greatest(list) | Expr::Least(list) => {
                let mut first = None;
                for expr in list {
                    match self.never_null(expr, known) {
                        Ok(proofs) => return Ok(proofs),
                        Err(why) => drop(first.get_or_insert(why)),
                    }
                }
                Err(first.unwrap_or_else(|| "a list is empty".into()))
            }
            Expr::Case { branches, default: Some(default), .. } => {
                all(&mut branches.iter().map(|(_, then)| then).chain([&**default]))
            }
            _ => Err("an expression may be NULL".into()),
        }
    }

    /// Columns of a level's sources that its conditions keep from being NULL.
    pub fn not_null_by_filter(&self, select: &Select) -> BTreeSet<Column> {
        let mut found = BTreeSet::new();
        let conditions = select.filter.iter().chain(select.from.iter().flat_map(inner_conditions));
        for condition in conditions {
            for column in condition.columns() {
                let alone = |c: &Column| c == column;
                if self.rejects_null(condition, &alone) {
                    found.insert(column.clone());
                }
            }
        }
        found
    }

    /// Whether a condition cannot be true when all columns that `null` names are NULL.
    pub fn rejects_null(&self, condition: &Expr, null: &dyn Fn(&Column) -> bool) -> bool {
        match condition {
            Expr::And(list) => list.iter().any(|e| self.rejects_null(e, null)),
            Expr::Or(list) => !list.is_empty() && list.iter().all(|e| self.rejects_null(e, null)),
            Expr::IsNull { inner, negated: true } => self.null_on_null(inner, null),
            Expr::Is { inner, test } => {
                use super::tree::Truth;
                matches!(test, Truth::True | Truth::False | Truth::NotUnknown)
                    && self.null_on_null(inner, null)
            }
            Expr::Distinct { left, right, negated: false } => {
                // NULL is distinct from everything but NULL.
                self.null_on_null(left, null) && matches!(**right, Expr::Constant(Constant::Null))
            }
            Expr::Quantified { value, all: false, .. } => self.null_on_null(value, null),
            other => self.null_on_null(other, null),
        }
    }

    /// Whether an expression is NULL when all columns that `null` names are NULL.
    pub fn null_on_null(&self, expr: &Expr, null: &dyn Fn(&Column) -> bool) -> bool {
        let any = |exprs: &[&Expr]| exprs.iter().any(|e| self.null_on_null(e, null));
        match expr {
            Expr::Column(column) => null(column),
            Expr::Constant(Constant::Null) => true,
            Expr::Cast { inner, .. } | Expr::Not(inner) | Expr::Collate { inner, .. } => {
                self.null_on_null(inner, null)
            }
            Expr::Operator { name, left, right }
                if functions::operator_is_strict(name) && !self.facts.users.operators.contains(name) =>
            {
                left.as_deref().is_some_and(|l| self.null_on_null(l, null)) || self.null_on_null(right, null)
            }
            Expr::Call(call) if functions::is_strict(call) && !self.facts.users.is_of_user(call) => {
                call.args.iter().any(|a| self.null_on_null(a, null))
            }
            Expr::In { value, list, .. } => !list.is_empty() && self.null_on_null(value, null),
            // With one bound the other side of AND may be false, which is not NULL; both bounds NULL or the value.
            Expr::Between { value, .. } => self.null_on_null(value, null),
            Expr::Like { value, pattern, .. } => any(&[value, pattern]),
            Expr::AnyOf { operator, value, .. } if functions::operator_is_strict(operator) => {
                // An empty array makes it false or true whatever the value is.
                let _ = value;
                false
            }
            Expr::And(list) | Expr::Or(list) => {
                !list.is_empty() && list.iter().all(|e| self.null_on_null(e, null))
            }
            Expr::Coalesce(list) => !list.is_empty() && list.iter().all(|e| self.null_on_null(e, null)),
            _ => false,
        }
    }

    /// The volatility of a whole query.
    pub fn volatility(&self, query: &Query) -> Volatility {
        let mut worst = Volatility::Immutable;
        query.walk(&mut |e| worst = worst.max(self.facts.users.own(e)));
        worst
    }

    /// Whether an expression may be computed more or less often than it is written.
    pub fn is_repeatable(&self, expr: &Expr) -> bool {
        self.facts.users.of(expr) < Volatility::Volatile
    }
}

fn key(columns: Vec<String>, by: &str, nulls_not_distinct: bool) -> Key {
    Key { columns, by: by.to_owned(), nulls_not_distinct }
}

/// An expression, or what a row of several is made of.
fn fields(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Row(list) => list.iter().flat_map(fields).collect(),
        other => vec![other],
    }
}

/// Both proofs, or why there is not one of them.
pub(crate) fn both(left: Proved, right: Proved) -> Proved {
    let mut proofs = left?;
    proofs.extend(right?);
    Ok(proofs)
}

/// Conditions of inner joins that hold for every row of an item of `FROM`.
pub(crate) fn inner_conditions(from: &From) -> Vec<&Expr> {
    match from {
        From::Join(join) => {
            let mut found = inner_conditions(&join.left);
            if join.kind == JoinKind::Inner {
                found.extend(inner_conditions(&join.right));
                found.extend(&join.on);
            }
            if join.kind == JoinKind::Full {
                found.clear();
            }
            found
        }
        _ => Vec::new(),
    }
}
