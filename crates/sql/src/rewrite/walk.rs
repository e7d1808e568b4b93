//! How is a query looked through and changed: every expression and every query level, however deep.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{
    Body, Call, Column, Cte, Derived, Distinct, Expr, From, Function, GroupingSet, Join, Output, Query,
    Select, SortKey, Table, Window,
};

/// What stands directly in something.
pub(crate) enum Child<'a> {
    Expr(&'a Expr),
    Query(&'a Query),
}

/// The same, to be changed.
pub(crate) enum ChildMut<'a> {
    Expr(&'a mut Expr),
    Query(&'a mut Query),
}

// The same walk over shared and over exclusive references.
macro_rules! sort_keys {
    ($keys:expr, $child:ident, $see:ident) => {
        for key in $keys {
            let SortKey { expr, .. } = key;
            $see($child::Expr(expr));
        }
    };
}

macro_rules! expr_children {
    ($expr:expr, $child:ident, $see:ident, $deref:ident) => {
        match $expr {
            Expr::Column(_) | Expr::Parameter(_) | Expr::Constant(_) | Expr::Value(_) => {}
            Expr::Cast { inner, .. }
            | Expr::Not(inner)
            | Expr::IsNull { inner, .. }
            | Expr::Is { inner, .. }
            | Expr::Collate { inner, .. }
            | Expr::Named { inner, .. } => $see($child::Expr(inner)),
            Expr::Call(call) => {
                let Call { args, order, filter, over, .. } = call.$deref();
                for arg in args {
                    $see($child::Expr(arg));
                }
                sort_keys!(order, $child, $see);
                if let Some(filter) = filter {
                    $see($child::Expr(filter));
                }
                if let Some(over) = over {
                    let Window { partition, order, start, end, .. } = over.$deref();
                    for expr in partition {
                        $see($child::Expr(expr));
                    }
                    sort_keys!(order, $child, $see);
                    if let Some(expr) = start {
                        $see($child::Expr(expr));
                    }
                    if let Some(expr) = end {
                        $see($child::Expr(expr));
                    }
                }
            }
            Expr::Operator { left, right, .. } => {
                if let Some(left) = left {
                    $see($child::Expr(left));
                }
                $see($child::Expr(right));
            }
            Expr::And(list)
            | Expr::Or(list)
            | Expr::Coalesce(list)
            | Expr::Greatest(list)
            | Expr::Least(list)
            | Expr::Array(list)
            | Expr::Row(list) => {
                for expr in list {
                    $see($child::Expr(expr));
                }
            }
            Expr::In { value, list, .. } => {
                $see($child::Expr(value));
                for expr in list {
                    $see($child::Expr(expr));
                }
            }
            Expr::Between { value, low, high, .. } => {
                $see($child::Expr(value));
                $see($child::Expr(low));
                $see($child::Expr(high));
            }
            Expr::Like { value, pattern, .. } => {
                $see($child::Expr(value));
                $see($child::Expr(pattern));
            }
            Expr::AnyOf { value, array, .. } => {
                $see($child::Expr(value));
                $see($child::Expr(array));
            }
            Expr::Distinct { left, right, .. } | Expr::NullIf(left, right) => {
                $see($child::Expr(left));
                $see($child::Expr(right));
            }
            Expr::Case { subject, branches, default } => {
                if let Some(expr) = subject {
                    $see($child::Expr(expr));
                }
                for branch in branches {
                    let (when, then) = branch;
                    $see($child::Expr(when));
                    $see($child::Expr(then));
                }
                if let Some(expr) = default {
                    $see($child::Expr(expr));
                }
            }
            Expr::Quantified { value, query, .. } => {
                $see($child::Expr(value));
                $see($child::Query(query));
            }
            Expr::Exists(query) | Expr::Scalar(query) | Expr::ArrayOf(query) => $see($child::Query(query)),
        }
    };
}

macro_rules! from_children {
    ($from:expr, $child:ident, $see:ident, $deref:ident, $recurse:ident) => {
        match $from {
            From::Table(_) | From::Cte { .. } => {}
            From::Function(function) => {
                let Function { args, .. } = function;
                for arg in args {
                    $see($child::Expr(arg));
                }
            }
            From::Derived(derived) => {
                let Derived { query, .. } = derived;
                $see($child::Query(query));
            }
            From::Join(join) => {
                let Join { left, right, on, .. } = join.$deref();
                left.$recurse($see);
                right.$recurse($see);
                for expr in on {
                    $see($child::Expr(expr));
                }
            }
        }
    };
}

macro_rules! query_children {
    ($query:expr, $child:ident, $see:ident, $deref:ident, $recurse:ident) => {
        let Query { ctes, body, order, limit, offset, .. } = $query;
        for cte in ctes {
            let Cte { query, .. } = cte;
            $see($child::Query(query));
        }
        match body {
            Body::Select(select) => {
                let Select { distinct, outputs, from, filter, group, sets, having } = select.$deref();
                for from in from {
                    from.$recurse($see);
                }
                for output in outputs {
                    let Output { expr, .. } = output;
                    $see($child::Expr(expr));
                }
                if let Distinct::On(keys) = distinct {
                    for expr in keys {
                        $see($child::Expr(expr));
                    }
                }
                for expr in filter {
                    $see($child::Expr(expr));
                }
                for expr in group {
                    $see($child::Expr(expr));
                }
                for set in sets {
                    set.$recurse($see);
                }
                for expr in having {
                    $see($child::Expr(expr));
                }
            }
            Body::Set { left, right, .. } => {
                $see($child::Query(left));
                $see($child::Query(right));
            }
            Body::Values(rows) => {
                for row in rows {
                    for expr in row {
                        $see($child::Expr(expr));
                    }
                }
            }
        }
        sort_keys!(order, $child, $see);
        if let Some(expr) = limit {
            $see($child::Expr(expr));
        }
        if let Some(expr) = offset {
            $see($child::Expr(expr));
        }
    };
}

macro_rules! set_children {
    ($set:expr, $child:ident, $see:ident, $recurse:ident) => {
        match $set {
            GroupingSet::Keys(keys) => {
                for expr in keys {
                    $see($child::Expr(expr));
                }
            }
            GroupingSet::Of(_, sets) => {
                for set in sets {
                    set.$recurse($see);
                }
            }
        }
    };
}

impl GroupingSet {
    fn children<'a>(&'a self, see: &mut dyn FnMut(Child<'a>)) {
        set_children!(self, Child, see, children);
    }

    fn children_mut(&mut self, see: &mut dyn FnMut(ChildMut<'_>)) {
        set_children!(self, ChildMut, see, children_mut);
    }
}

impl From {
    fn children<'a>(&'a self, see: &mut dyn FnMut(Child<'a>)) {
        from_children!(self, Child, see, as_ref, children);
    }

    fn children_mut(&mut self, see: &mut dyn FnMut(ChildMut<'_>)) {
        from_children!(self, ChildMut, see, as_mut, children_mut);
    }

    /// The aliases of the sources in it.
    pub fn aliases(&self) -> Vec<&str> {
        match self {
            Self::Table(table) => vec![&table.alias],
            Self::Derived(derived) => vec![&derived.alias],
            Self::Function(function) => vec![&function.alias],
            // The left side of an outer join that follows all other sources has no name.
            Self::Cte { alias, .. } if alias.is_empty() => Vec::new(),
            Self::Cte { alias, .. } => vec![alias],
            Self::Join(join) => [join.left.aliases(), join.right.aliases()].concat(),
        }
    }

    fn rename(&mut self, names: &BTreeMap<String, String>) {
        match self {
            Self::Table(Table { alias, .. })
            | Self::Derived(Derived { alias, .. })
            | Self::Function(Function { alias, .. })
            | Self::Cte { alias, .. } => {
                if let Some(new) = names.get(alias) {
                    alias.clone_from(new);
                }
            }
            Self::Join(join) => {
                join.left.rename(names);
                join.right.rename(names);
            }
        }
    }

    /// The sources in it that are no joins.
    pub fn leaves(&self) -> Vec<&From> {
        match self {
            Self::Join(join) => [join.left.leaves(), join.right.leaves()].concat(),
            Self::Cte { alias, .. } if alias.is_empty() => Vec::new(),
            leaf => vec![leaf],
        }
    }
}

impl Expr {
    /// What stands directly in it.
    pub fn children<'a>(&'a self, see: &mut dyn FnMut(Child<'a>)) {
        expr_children!(self, Child, see, as_ref);
    }

    /// The same, to be changed.
    pub fn children_mut(&mut self, see: &mut dyn FnMut(ChildMut<'_>)) {
        expr_children!(self, ChildMut, see, as_mut);
    }

    /// Visits this expression and all in it, queries included.
    pub fn walk<'a>(&'a self, see: &mut dyn FnMut(&'a Expr)) {
        see(self);
        self.children(&mut |child| match child {
            Child::Expr(expr) => expr.walk(see),
            Child::Query(query) => query.walk(see),
        });
    }

    /// Changes all in it and then itself, queries included.
    pub fn transform(&mut self, change: &mut dyn FnMut(&mut Expr)) {
        self.children_mut(&mut |child| match child {
            ChildMut::Expr(expr) => expr.transform(change),
            ChildMut::Query(query) => query.transform(change),
        });
        change(self);
    }

    /// Visits this expression and what is in it, but not what is in queries.
    pub fn walk_level<'a>(&'a self, see: &mut dyn FnMut(&'a Expr)) {
        see(self);
        self.children(&mut |child| {
            if let Child::Expr(expr) = child {
                expr.walk_level(see);
            }
        });
    }

    /// The columns in it, those that its queries use included.
    pub fn columns(&self) -> BTreeSet<&Column> {
        let mut found = BTreeSet::new();
        self.walk(&mut |e| {
            if let Expr::Column(column) = e {
                found.insert(column);
            }
        });
        found
    }

    /// The aliases of the sources whose columns are in it.
    pub fn sources(&self) -> BTreeSet<&str> {
        self.columns().into_iter().map(|c| c.source.as_str()).collect()
    }

    /// Whether a query stands in it.
    pub fn has_query(&self) -> bool {
        let mut found = false;
        self.walk_level(&mut |e| {
            found |=
                matches!(e, Expr::Exists(_) | Expr::Scalar(_) | Expr::ArrayOf(_) | Expr::Quantified { .. });
        });
        found
    }
}

impl Query {
    /// What stands directly in it.
    pub fn children<'a>(&'a self, see: &mut dyn FnMut(Child<'a>)) {
        query_children!(self, Child, see, as_ref, children);
    }

    /// The same, to be changed.
    pub fn children_mut(&mut self, see: &mut dyn FnMut(ChildMut<'_>)) {
        query_children!(self, ChildMut, see, as_mut, children_mut);
    }

    /// Visits every expression, however deep.
    pub fn walk<'a>(&'a self, see: &mut dyn FnMut(&'a Expr)) {
        self.children(&mut |child| match child {
            Child::Expr(expr) => expr.walk(see),
            Child::Query(query) => query.walk(see),
        });
    }

    /// Changes every expression, however deep, the inner ones first.
    pub fn transform(&mut self, change: &mut dyn FnMut(&mut Expr)) {
        self.children_mut(&mut |child| match child {
            ChildMut::Expr(expr) => expr.transform(change),
            ChildMut::Query(query) => query.transform(change),
        });
    }

    /// Visits this query and every query in it, the outer ones first.
    pub fn levels<'a>(&'a self, see: &mut dyn FnMut(&'a Query)) {
        see(self);
        self.children(&mut |child| match child {
            Child::Expr(expr) => expr.queries(see),
            Child::Query(query) => query.levels(see),
        });
    }

    /// Changes this query and every query in it, the outer ones first and in the order of [`Self::levels`].
    pub fn levels_mut(&mut self, change: &mut dyn FnMut(&mut Query)) {
        change(self);
        self.inner_levels_mut(change);
    }

    /// Changes every query in it, the inner ones first, and then itself.
    pub fn levels_inside_out(&mut self, change: &mut dyn FnMut(&mut Query)) {
        self.children_mut(&mut |child| match child {
            ChildMut::Expr(expr) => expr.queries_inside_out(change),
            ChildMut::Query(query) => query.levels_inside_out(change),
        });
        change(self);
    }

    fn inner_levels_mut(&mut self, change: &mut dyn FnMut(&mut Query)) {
        self.children_mut(&mut |child| match child {
            ChildMut::Expr(expr) => expr.queries_mut(change),
            ChildMut::Query(query) => query.levels_mut(change),
        });
    }

    /// The body, when it is one level.
    pub fn select(&self) -> Option<&Select> {
        match &self.body {
            Body::Select(select) => Some(select),
            _ => None,
        }
    }

    /// The body to be changed, when it is one level.
    pub fn select_mut(&mut self) -> Option<&mut Select> {
        match &mut self.body {
            Body::Select(select) => Some(select),
            _ => None,
        }
    }

    /// Whether nothing but the body is there: no order, no limit, no common table expression.
    pub fn is_bare(&self) -> bool {
        self.ctes.is_empty() && self.order.is_empty() && self.limit.is_none() && self.offset.is_none()
    }

    /// A query of one level.
    pub fn of(select: Select) -> Self {
        Self { body: Body::Select(Box::new(select)), ..Self::default() }
    }

    /// The names of its columns.
    pub fn output_names(&self) -> Vec<String> {
        match &self.body {
            Body::Select(select) => select.outputs.iter().map(|o| o.name.clone()).collect(),
            Body::Set { left, .. } => left.output_names(),
            Body::Values(rows) => {
                (1..=rows.first().map_or(0, Vec::len)).map(|n| format!("column{n}")).collect()
            }
        }
    }

    /// Every alias and every name of a common table expression in it.
    pub fn all_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.levels(&mut |query| {
            names.extend(query.ctes.iter().map(|c| c.name.clone()));
            if let Some(select) = query.select() {
                names.extend(select.aliases().into_iter().map(str::to_owned));
            }
        });
        names
    }

    /// Gives sources other names, everywhere in it.
    pub fn rename(&mut self, names: &BTreeMap<String, String>) {
        self.levels_mut(&mut |query| {
            if let Body::Select(select) = &mut query.body {
                select.from.iter_mut().for_each(|from| from.rename(names));
            }
        });
        self.transform(&mut |e| {
            if let Expr::Column(column) = e
                && let Some(new) = names.get(&column.source)
            {
                column.source.clone_from(new);
            }
        });
    }

    /// Columns of sources that are not in it: what ties it to the levels around it.
    pub fn outer_columns(&self) -> BTreeSet<&Column> {
        let own = self.all_names();
        let mut found = BTreeSet::new();
        self.walk(&mut |e| {
            if let Expr::Column(column) = e
                && !own.contains(&column.source)
            {
                found.insert(column);
            }
        });
        found
    }
}

impl Expr {
    fn queries<'a>(&'a self, see: &mut dyn FnMut(&'a Query)) {
        self.children(&mut |child| match child {
            Child::Expr(expr) => expr.queries(see),
            Child::Query(query) => query.levels(see),
        });
    }

    fn queries_mut(&mut self, change: &mut dyn FnMut(&mut Query)) {
        self.children_mut(&mut |child| match child {
            ChildMut::Expr(expr) => expr.queries_mut(change),
            ChildMut::Query(query) => query.levels_mut(change),
        });
    }

    fn queries_inside_out(&mut self, change: &mut dyn FnMut(&mut Query)) {
        self.children_mut(&mut |child| match child {
            ChildMut::Expr(expr) => expr.queries_inside_out(change),
            ChildMut::Query(query) => query.levels_inside_out(change),
        });
    }
}

impl Select {
    /// The aliases of its sources.
    pub fn aliases(&self) -> Vec<&str> {
        self.from.iter().flat_map(From::aliases).collect()
    }

    /// Its sources that are no joins.
    pub fn leaves(&self) -> Vec<&From> {
        self.from.iter().flat_map(From::leaves).collect()
    }

    /// Whether it groups or aggregates.
    pub fn is_grouped(&self) -> bool {
        !self.group.is_empty()
            || !self.sets.is_empty()
            || !self.having.is_empty()
            || self.outputs.iter().any(|o| has_aggregate(&o.expr))
    }
}

/// Whether an aggregate of this query level stands in an expression.
pub(crate) fn has_aggregate(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk_level(&mut |e| {
        found |= matches!(e, Expr::Call(call) if call.over.is_none() && super::functions::is_aggregate(call));
    });
    found
}

/// Whether a window function of this query level stands in an expression.
pub(crate) fn has_window(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk_level(&mut |e| found |= matches!(e, Expr::Call(call) if call.over.is_some()));
    found
}
