//! Which columns determine which? Functional dependencies from keys, equalities and constants: whether the
//! columns of a list hold a key of the rows that a level joins, and whether a source has one row at most for
//! each row of the others.
//!
//! Source: Darwen and Date, "The Role of Functional Dependencies in Query Decomposition" (1992); the same
//! closure as `query_is_distinct_for()` and `innerrel_is_unique()` of PostgreSQL compute in part.

use std::collections::BTreeSet;

use super::facts::{Proofs, Proved, Scope};
use super::tree::{Column, Expr, From, JoinKind};

/// What is known to be determined.
struct Closure<'s, 'a> {
    scope: &'s Scope<'a>,
    columns: BTreeSet<Column>,
    /// Columns that an equality keeps from being NULL.
    bound: BTreeSet<Column>,
    /// Columns that are not NULL in any row that counts, because a condition rejects it.
    filled: BTreeSet<Column>,
    done: BTreeSet<String>,
    proofs: Proofs,
    /// Whether only rows count for which every outer join found one.
    matched: bool,
}

/// Whether one value of `other` equals one value of `own` at most.
///
/// Only the equality by which values of `own` are told apart does: types of another family could compare coarser, as
/// `char(n)` does, a collation may take two texts for one, and two local times in the hour that clocks leave out
/// are one moment.
pub(crate) fn pins(scope: &Scope<'_>, own: &Expr, other: &Expr) -> bool {
    let whole = |name: &str| matches!(name, "int2" | "int4" | "int8");
    let text = |name: &str| matches!(name, "text" | "varchar" | "name");
    let local = |name: &str| matches!(name, "date" | "timestamp");
    let same = match (scope.type_of(own), scope.type_of(other)) {
        (Some(own), Some(theirs)) => {
            own == theirs
                || match own.as_str() {
                    "numeric" => whole(&theirs),
                    "float4" | "float8" => matches!(theirs.as_str(), "float4" | "float8"),
                    "timestamptz" => local(&theirs),
                    name if local(name) => local(&theirs),
                    name if text(name) => text(&theirs),
                    name => whole(name) && whole(&theirs),
                }
        }
        // A constant or parameter without a type takes that of the column.
        (Some(_), None) => matches!(other, Expr::Constant(_) | Expr::Parameter(_)),
        _ => false,
    };
    // A collation of the other side would be used for both.
    same && (scope.is_deterministic(other) || scope.has_collation_of(own, other))
}

/// Proves that rows of a join that agree in `given` are one row.
pub(crate) fn determines(
    scope: &Scope<'_>,
    from: &[From],
    filter: &[Expr],
    given: &BTreeSet<Column>,
) -> Proved {
    let all: BTreeSet<String> = from.iter().flat_map(From::aliases).map(str::to_owned).collect();
    determines_sources(scope, from, filter, given, &all)
}

/// Proves that for rows that agree in `given` some sources have one row at most. `given` may hold columns of
/// sources outside.
pub(crate) fn determines_sources(
    scope: &Scope<'_>,
    from: &[From],
    filter: &[Expr],
    given: &BTreeSet<Column>,
    wanted: &BTreeSet<String>,
) -> Proved {
    let own: BTreeSet<String> = from.iter().flat_map(From::aliases).map(str::to_owned).collect();
    let mut closure = Closure {
        scope,
        columns: given.clone(),
        bound: BTreeSet::new(),
        filled: scope.rejected(filter),
        done: BTreeSet::new(),
        proofs: Proofs::new(),
        matched: false,
    };
    loop {
        let before = (closure.columns.len(), closure.done.len(), closure.bound.len());
        for condition in filter {
            closure.equality(condition, &own);
        }
        for item in from {
            closure.item(item, &own);
        }
        if wanted.is_subset(&closure.done) {
            return Ok(closure.proofs);
        }
        if before == (closure.columns.len(), closure.done.len(), closure.bound.len()) {
            let missing: Vec<&str> = wanted.difference(&closure.done).map(String::as_str).collect();
            return Err(format!("no key determines the row of {}", missing.join(", ")));
        }
    }
}

impl Closure<'_, '_> {
    fn item(&mut self, item: &From, own: &BTreeSet<String>) {
        match item {
            From::Join(join) => {
                self.item(&join.left, own);
                match join.kind {
                    JoinKind::Inner => {
                        for condition in &join.on {
                            self.equality(condition, own);
                        }
                        self.item(&join.right, own);
                    }
                    JoinKind::Left => self.outer(join, own),
                    // Rows of either side may be missing: nothing follows.
                    JoinKind::Full => {}
                }
            }
            leaf => {
                for alias in leaf.aliases() {
                    self.source(alias);
                }
            }
        }
    }

    /// The right side of a left join: its row follows from the left one when the condition pins a key of it. What
    /// the condition equates does not hold where no row was found, so it is looked at apart.
    fn outer(&mut self, join: &super::tree::Join, own: &BTreeSet<String>) {
        let aliases: BTreeSet<String> = join.right.aliases().into_iter().map(str::to_owned).collect();
        for alias in &aliases {
            self.source(alias);
        }
        if aliases.is_subset(&self.done) {
            return;
        }
        // Whether a row is found depends on all that the condition looks at.
        let decided = join
            .on
            .iter()
            .flat_map(|e| e.columns())
            .all(|c| aliases.contains(&c.source) || !own.contains(&c.source) || self.columns.contains(c));
        if !decided || join.on.iter().any(|e| e.has_query() || !self.scope.is_repeatable(e)) {
            return;
        }
        let mut inside = Closure {
            scope: self.scope,
            columns: self.columns.clone(),
            bound: self.bound.clone(),
            filled: self.filled.clone(),
            done: self.done.clone(),
            proofs: self.proofs.clone(),
            matched: true,
        };
        // Within the matched rows everything that `given` has of the right side is as stored.
        loop {
            let before = (inside.columns.len(), inside.done.len(), inside.bound.len());
            for condition in &join.on {
                inside.equality(condition, own);
            }
            inside.item(&join.right, own);
            if aliases.is_subset(&inside.done) {
                self.done.extend(aliases.iter().cloned());
                for alias in &aliases {
                    self.all_columns(alias);
                }
                self.proofs = inside.proofs;
                return;
            }
            if before == (inside.columns.len(), inside.done.len(), inside.bound.len()) {
                return;
            }
        }
    }

    fn all_columns(&mut self, alias: &str) {
        for name in self.scope.column_names(alias) {
            self.columns.insert(Column { source: alias.to_owned(), name });
        }
    }

    /// `column = expression` carries what is determined from one side to the other.
    fn equality(&mut self, condition: &Expr, own: &BTreeSet<String>) {
        match condition {
            Expr::And(parts) => parts.iter().for_each(|part| self.equality(part, own)),
            Expr::Operator { name, left: Some(left), right }
                if name == "=" && !self.scope.facts.users.operators.contains("=") =>
            {
                self.carry(left, right, own);
                self.carry(right, left, own);
            }
            Expr::In { value, list, negated: false } => {
                if let [only] = list.as_slice() {
                    self.carry(value, only, own);
                }
            }
            _ => {}
        }
    }

    fn carry(&mut self, to: &Expr, of: &Expr, own: &BTreeSet<String>) {
        let Expr::Column(to) = to else { return };
        if !pins(self.scope, &Expr::Column(to.clone()), of) || of.has_query() || !self.scope.is_repeatable(of)
        {
            return;
        }
        // What is computed from values that are equal and not the same may differ.
        let same = |c: &Column| self.scope.equal_is_same(&Expr::Column(c.clone()));
        let plain = matches!(of, Expr::Column(_));
        let determined = of
            .columns()
            .into_iter()
            .all(|c| (self.columns.contains(c) && (plain || same(c))) || !own.contains(&c.source));
        if determined {
            self.columns.insert(to.clone());
            self.bound.insert(to.clone());
        }
    }

    /// A source whose key is determined is determined.
    fn source(&mut self, alias: &str) {
        if self.done.contains(alias) {
            return;
        }
        let mut keys = self.scope.keys(alias);
        if !self.filled.is_empty() {
            keys.extend(self.scope.partial_keys(alias, &self.filled));
        }
        for key in keys {
            let mut proofs = Proofs::from([key.by.clone()]);
            let pinned = key.columns.iter().all(|name| {
                let column = Column { source: alias.to_owned(), name: name.clone() };
                if !self.columns.contains(&column) {
                    return false;
                }
                // Rows with NULL in a key may be many.
                let absent = self.scope.is_null_extended(alias) && !self.matched;
                if (key.nulls_not_distinct && !absent)
                    || self.bound.contains(&column)
                    || self.filled.contains(&column)
                {
                    return true;
                }
                match self.scope.stored_not_null(&column) {
                    Ok(more) => {
                        proofs.extend(more);
                        true
                    }
                    Err(_) => false,
                }
            });
            if pinned {
                self.done.insert(alias.to_owned());
                self.all_columns(alias);
                self.proofs.extend(proofs);
                return;
            }
        }
    }
}
