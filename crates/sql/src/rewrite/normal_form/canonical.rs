//! One way of writing what has no order: sources get names by what they are and how they are used, and lists
//! without order are sorted.
//!
//! Names come from colour refinement (Weisfeiler and Leman, 1968): a source's colour is what it reads and where its
//! columns stand, then the colours of those it is compared with, and so on. Sources that stay alike are mostly
//! interchangeable; where they are not, two equivalent queries may get different forms, which proves nothing.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use super::super::tree::{Body, Column, Expr, From, JoinKind, Output, Query};

/// The query with canonical names and orders.
pub(super) fn canonical(mut root: Query) -> Query {
    sort(&mut root);
    // Names that were chosen must not decide which source is which.
    order_lists(&mut root, &|e| {
        let mut bare = e.clone();
        super::super::level::substitute(&mut bare, &|c| {
            Some(Expr::Column(Column { source: String::new(), name: c.name.clone() }))
        });
        bare
    });
    by_position(&mut root);
    let mut colors: BTreeMap<String, u64> = BTreeMap::new();
    root.levels(&mut |query| {
        if let Some(select) = query.select() {
            for leaf in select.leaves() {
                for alias in leaf.aliases() {
                    colors.insert(alias.to_owned(), hash(&shape(leaf)));
                }
            }
        }
    });
    for _ in 0..4 {
        colors = refined(&root, &colors);
    }
    let mut ranked: Vec<(u64, usize, String)> = Vec::new();
    let mut at = 0;
    root.levels(&mut |query| {
        if let Some(select) = query.select() {
            for alias in select.aliases() {
                ranked.push((colors.get(alias).copied().unwrap_or(0), at, alias.to_owned()));
                at += 1;
            }
        }
    });
    ranked.sort();
    let names: BTreeMap<String, String> =
        ranked.into_iter().enumerate().map(|(n, (_, _, alias))| (alias, format!("s{n:03}"))).collect();
    root.rename(&names);
    order_lists(&mut root, &Expr::clone);
    by_position(&mut root);
    // Sorting after naming moves what names decide; a second time settles what that moved.
    sort(&mut root);
    sort(&mut root);
    root
}

/// The lists of subqueries in `FROM` in an order of their own, which nobody sees.
fn order_lists(root: &mut Query, key: &dyn Fn(&Expr) -> Expr) {
    fn within(item: &mut From, key: &dyn Fn(&Expr) -> Expr) {
        match item {
            From::Derived(derived) => {
                let Some(select) = derived.query.select_mut() else { return };
                if select.outputs.len() != derived.columns.len() {
                    return;
                }
                let listed =
                    std::mem::take(&mut select.outputs).into_iter().zip(std::mem::take(&mut derived.columns));
                let mut listed: Vec<(Output, String)> = listed.collect();
                listed.sort_by_cached_key(|(output, _)| key(&output.expr));
                (select.outputs, derived.columns) = listed.into_iter().unzip();
            }
            From::Join(join) => {
                within(&mut join.left, key);
                within(&mut join.right, key);
            }
            _ => {}
        }
    }
    root.levels_inside_out(&mut |query| {
        if let Body::Select(select) = &mut query.body {
            select.from.iter_mut().for_each(|item| within(item, key));
        }
    });
}

/// Columns of subqueries by their positions, because their names are chosen.
fn by_position(root: &mut Query) {
    let mut names: BTreeMap<(String, String), String> = BTreeMap::new();
    root.levels_mut(&mut |query| {
        let of = query.output_names();
        for key in &mut query.order {
            if let Expr::Column(column) = &mut key.expr
                && column.source.is_empty()
                && let Some(at) = of.iter().position(|n| n == &column.name)
            {
                column.name = format!("c{at:03}");
            }
        }
    });
    root.levels_mut(&mut |query| {
        if let Body::Select(select) = &mut query.body {
            select.outputs.iter_mut().for_each(|o| o.name.clear());
            select.from.iter_mut().for_each(|item| number_columns(item, &mut names));
        }
    });
    root.transform(&mut |e| {
        if let Expr::Column(column) = e
            && let Some(new) = names.get(&(column.source.clone(), column.name.clone()))
        {
            column.name.clone_from(new);
        }
    });
}

fn number_columns(item: &mut From, names: &mut BTreeMap<(String, String), String>) {
    match item {
        From::Derived(derived) => {
            for (at, name) in derived.columns.iter_mut().enumerate() {
                let new = format!("c{at:03}");
                names.insert((derived.alias.clone(), std::mem::replace(name, new.clone())), new);
            }
        }
        From::Join(join) => {
            number_columns(&mut join.left, names);
            number_columns(&mut join.right, names);
        }
        _ => {}
    }
}

/// What a source reads, without names that were chosen.
fn shape(leaf: &From) -> String {
    match leaf {
        From::Table(table) => format!("{} {}", table.table, table.only),
        From::Derived(derived) => {
            let mut query = derived.query.clone();
            anonymous(&mut query);
            format!("{query:?}")
        }
        other => format!("{other:?}"),
    }
}

fn anonymous(query: &mut Query) {
    let names = query.all_names().into_iter().map(|name| (name, "?".to_owned())).collect();
    query.rename(&names);
    sort(query);
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The next colours: what a source was, with every expression of every level in which it stands.
fn refined(root: &Query, colors: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut uses: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    root.levels(&mut |query| {
        let mut place = 0_u64;
        query.children(&mut |child| {
            if let super::super::walk::Child::Expr(expr) = child {
                // Outputs keep their order, so their number belongs to them.
                let ordered = place;
                place += 1;
                let is_output =
                    query.select().is_some_and(|s| s.outputs.iter().any(|o| std::ptr::eq(&o.expr, expr)));
                let at = if is_output { ordered } else { u64::MAX };
                for source in expr.sources() {
                    let mut seen = expr.clone();
                    colored(&mut seen, source, colors);
                    let mut hasher = DefaultHasher::new();
                    (at, format!("{seen:?}")).hash(&mut hasher);
                    uses.entry(source).or_default().push(hasher.finish());
                }
            }
        });
    });
    colors
        .iter()
        .map(|(alias, color)| {
            let mut all = uses.get(alias.as_str()).cloned().unwrap_or_default();
            all.sort_unstable();
            let mut hasher = DefaultHasher::new();
            (color, all).hash(&mut hasher);
            (alias.clone(), hasher.finish())
        })
        .collect()
}

fn colored(expr: &mut Expr, itself: &str, colors: &BTreeMap<String, u64>) {
    let rename = |source: &mut String| {
        *source = if source == itself {
            "itself".into()
        } else {
            colors.get(source.as_str()).map_or_else(|| source.clone(), |c| format!("{c:x}"))
        };
    };
    // Names of sources within queries of the expression, too.
    let mut wrapped = Query::default();
    if let Body::Select(select) = &mut wrapped.body {
        select.filter.push(expr.clone());
    }
    let names: BTreeMap<String, String> = wrapped
        .all_names()
        .into_iter()
        .map(|name| {
            let mut new = name.clone();
            rename(&mut new);
            (name, new)
        })
        .collect();
    wrapped.rename(&names);
    if let Body::Select(select) = &mut wrapped.body
        && let Some(first) = select.filter.pop()
    {
        *expr = first;
    }
    expr.transform(&mut |e| {
        if let Expr::Column(column) = e
            && !names.values().any(|n| n == &column.source)
        {
            rename(&mut column.source);
        }
    });
    sort_expr(expr);
}

/// Sorts what has no order, the inner things first.
pub(super) fn sort(root: &mut Query) {
    root.transform(&mut sort_node);
    root.levels_inside_out(&mut |query| match &mut query.body {
        Body::Select(select) => {
            select.filter.sort();
            select.filter.dedup();
            select.having.sort();
            select.having.dedup();
            select.group.sort();
            select.group.dedup();
            for item in &mut select.from {
                sort_joins(item);
            }
            // Outer joins come after what they are joined to.
            let lists: (Vec<From>, Vec<From>) =
                std::mem::take(&mut select.from).into_iter().partition(|f| !matches!(f, From::Join(_)));
            let (mut base, joins) = lists;
            base.sort();
            select.from = [base, settled(joins)].concat();
        }
        Body::Set { .. } | Body::Values(_) => {}
    });
    root.levels_inside_out(&mut super::sets::sort_branches);
}

/// Outer joins in an order of their own, each after those that it needs.
fn settled(mut joins: Vec<From>) -> Vec<From> {
    joins.sort();
    let mut out: Vec<From> = Vec::new();
    while !joins.is_empty() {
        let pending: Vec<Vec<String>> =
            joins.iter().map(|j| j.aliases().into_iter().map(str::to_owned).collect()).collect();
        let free = joins.iter().enumerate().position(|(n, join)| {
            let needs = super::super::level::conditions(join);
            !pending.iter().enumerate().any(|(m, aliases)| {
                m != n && needs.iter().any(|e| e.sources().iter().any(|s| aliases.iter().any(|a| a == s)))
            })
        });
        out.push(joins.remove(free.unwrap_or(0)));
    }
    out
}

fn sort_joins(item: &mut From) {
    if let From::Join(join) = item {
        join.on.sort();
        join.on.dedup();
        sort_joins(&mut join.left);
        sort_joins(&mut join.right);
        if matches!(join.kind, JoinKind::Inner | JoinKind::Full) && join.right < join.left {
            std::mem::swap(&mut join.left, &mut join.right);
        }
    }
}

fn sort_expr(expr: &mut Expr) {
    expr.transform(&mut sort_node);
}

/// Sorts the operands of what is symmetric.
fn sort_node(expr: &mut Expr) {
    match expr {
        Expr::And(list) | Expr::Or(list) => {
            list.sort();
            list.dedup();
        }
        Expr::In { list, .. } => {
            list.sort();
            list.dedup();
        }
        Expr::Operator { name, left: Some(left), right } => {
            let symmetric = matches!(name.as_str(), "=" | "<>");
            let flipped = match name.as_str() {
                ">" => Some("<"),
                ">=" => Some("<="),
                _ => None,
            };
            if let Some(flipped) = flipped {
                *name = flipped.to_owned();
                std::mem::swap(left, right);
            } else if symmetric && right < left {
                std::mem::swap(left, right);
            }
        }
        Expr::Call(call) if call.name == super::classes::CLASS => call.args.sort(),
        Expr::Call(call) => {
            if let Some(window) = &mut call.over {
                window.partition.sort();
                window.partition.dedup();
            }
        }
        Expr::Distinct { left, right, .. } if **right < **left => std::mem::swap(left, right),
        _ => {}
    }
}
