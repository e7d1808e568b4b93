//! What every rule asks of a query level: its parts, who uses a source, names that are free.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::facts::Scope;
use super::tree::{Body, Column, Distinct, Expr, From, Join, JoinKind, Output, Query, Select, SortKey};

/// A query level, and where it stands.
#[derive(Debug)]
pub(crate) struct Level<'s, 'a> {
    pub scope: &'s Scope<'a>,
    pub query: &'s Query,
    /// Whether its rows are the statement's.
    pub is_root: bool,
    /// The names of sources in the whole statement.
    pub names: RefCell<BTreeSet<String>>,
}

impl<'s> Level<'s, '_> {
    /// The level, when it is one and not a set operation.
    pub fn select(&self) -> Option<&'s Select> {
        self.query.select()
    }

    /// A name for a source that nothing has yet.
    pub fn free_name(&self, wanted: &str) -> String {
        let mut names = self.names.borrow_mut();
        let mut name = wanted.to_owned();
        let mut number = 1;
        while names.contains(&name) {
            let short: String = wanted.chars().take(50).collect();
            name = format!("{short}_{number}");
            number += 1;
        }
        names.insert(name.clone());
        name
    }

    /// The query with another level in it.
    pub fn with(&self, select: Select) -> Query {
        Query { body: Body::Select(Box::new(select)), ..self.query.clone() }
    }

    /// Whether nothing in the level is volatile, so that it may be computed more or less often.
    pub fn is_repeatable(&self) -> bool {
        self.scope.volatility(self.query) < super::functions::Volatility::Volatile
    }

    /// The columns of a source that its level uses outside of the conditions `except` (by address).
    pub fn uses_outside(&self, alias: &str, except: &[&Expr]) -> bool {
        let Some(select) = self.select() else { return true };
        let mut used = false;
        let mut look = |expr: &Expr| {
            if !except.iter().any(|e| std::ptr::eq(*e, expr)) {
                used |= expr.sources().contains(alias);
            }
        };
        select.outputs.iter().for_each(|o| look(&o.expr));
        select.filter.iter().for_each(&mut look);
        select.group.iter().for_each(&mut look);
        select.having.iter().for_each(&mut look);
        if let Distinct::On(keys) = &select.distinct {
            keys.iter().for_each(&mut look);
        }
        self.query.order.iter().for_each(|k| look(&k.expr));
        self.query.limit.iter().for_each(&mut look);
        self.query.offset.iter().for_each(&mut look);
        for expr in select.from.iter().flat_map(conditions) {
            look(expr);
        }
        let laterally = select.leaves().into_iter().any(|leaf| {
            matches!(leaf, From::Derived(d) if d.query.outer_columns().into_iter().any(|c| c.source == alias))
        });
        used || laterally
    }
}

/// Every condition of the joins in an item of `FROM`.
pub(crate) fn conditions(from: &From) -> Vec<&Expr> {
    match from {
        From::Join(join) => {
            let mut found = conditions(&join.left);
            found.extend(conditions(&join.right));
            found.extend(&join.on);
            found
        }
        _ => Vec::new(),
    }
}

/// The columns that are outputs as they are.
pub(crate) fn output_columns(select: &Select) -> BTreeSet<Column> {
    let columns = select.outputs.iter().filter_map(|o| match &o.expr {
        Expr::Column(column) => Some(column.clone()),
        _ => None,
    });
    columns.collect()
}

/// Takes a leaf out of an item of `FROM` whose join kept or found its rows by `kind`; gives what is left and the
/// join's conditions. Only a leaf that is the right side of its join, or either side of an inner one, can go.
pub(crate) fn without_leaf(from: &From, alias: &str, kind: JoinKind) -> Option<(From, From, Vec<Expr>)> {
    let From::Join(join) = from else { return None };
    let is = |side: &From| !matches!(side, From::Join(_)) && side.aliases() == [alias];
    if join.kind == kind && is(&join.right) {
        return Some((join.left.clone(), join.right.clone(), join.on.clone()));
    }
    if join.kind == kind && kind == JoinKind::Inner && is(&join.left) {
        return Some((join.right.clone(), join.left.clone(), join.on.clone()));
    }
    let inside = |side: &From| without_leaf(side, alias, kind);
    if join.kind != JoinKind::Full
        && let Some((left, leaf, on)) = inside(&join.left)
    {
        // A condition of an inner join above is not one of this leaf.
        let rest = Join { left, ..(**join).clone() };
        return Some((From::Join(Box::new(rest)), leaf, on));
    }
    if join.kind == JoinKind::Inner
        && let Some((right, leaf, on)) = inside(&join.right)
    {
        let rest = Join { right, ..(**join).clone() };
        return Some((From::Join(Box::new(rest)), leaf, on));
    }
    None
}

/// A plain column.
pub(crate) fn column(source: &str, name: &str) -> Expr {
    Expr::Column(Column { source: source.to_owned(), name: name.to_owned() })
}

/// `SELECT 1` over sources.
pub(crate) fn select_one(from: Vec<From>, filter: Vec<Expr>) -> Query {
    let one = Output::new("?column?", Expr::Constant(super::tree::Constant::Integer(1)));
    Query::of(Select { outputs: vec![one], from, filter, ..Select::default() })
}

/// Sort keys by the names of the columns that they are, as a set operation wants them.
pub(crate) fn by_names(order: &[SortKey], outputs: &[Output]) -> Option<Vec<SortKey>> {
    order
        .iter()
        .map(|key| {
            let mut same = outputs.iter().filter(|o| o.expr == key.expr);
            let output = same.next()?;
            if outputs.iter().filter(|o| o.name == output.name).count() != 1 {
                return None;
            }
            Some(SortKey { expr: column("", &output.name), ..key.clone() })
        })
        .collect()
}

/// Replaces columns by expressions, within queries too.
pub(crate) fn substitute(expr: &mut Expr, with: &dyn Fn(&Column) -> Option<Expr>) {
    expr.transform(&mut |e| {
        if let Expr::Column(column) = e
            && let Some(new) = with(column)
        {
            *e = new;
        }
    });
}
