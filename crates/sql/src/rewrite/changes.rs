//! What of a statement that writes can be rewritten? The query that gives an `INSERT` its rows, the queries that an
//! `UPDATE`, a `DELETE` or a `MERGE` joins with, each with the common table expressions before it, and the condition
//! that says which rows change.
//!
//! Such a part is read as a query of its own, so that every rule and every proof is the same as for queries; what
//! comes out takes its place in the parse tree. What `RETURNING` and `SET` hold stays as it is.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    self, AConst, Integer, LimitOption, Node, ParseResult, RawStmt, ResTarget, SelectStmt, SetOperation,
    WithClause, a_const,
};

use super::restrictions::only_conditions;
use super::tree::Query;
use super::{Rewrite, RewriteError, Rewriter, writing};

/// A part that is a query.
enum Part {
    /// The rows of an `INSERT`.
    Rows,
    /// A subquery in `FROM`, `USING` or `MERGE … USING`, by its place.
    Source(usize),
    /// The condition of an `UPDATE` or `DELETE`.
    Condition,
}

/// What the rules make of a statement that writes.
pub(super) fn rewrites(rewriter: &Rewriter<'_>, node: &NodeEnum) -> Result<Vec<Rewrite>, RewriteError> {
    let mut found: Vec<Rewrite> = Vec::new();
    let mut refusal = None;
    for (part, query) in parts(node) {
        let root = match rewriter.read_node(&NodeEnum::SelectStmt(Box::new(query.clone()))) {
            Ok(root) => root,
            Err(reason) => {
                refusal.get_or_insert(reason);
                continue;
            }
        };
        for rewrite in of_part(rewriter, &part, &root, &query) {
            let Some(sql) = rewrite.sql.as_deref().and_then(|sql| put_back(node, &part, sql)) else {
                continue;
            };
            if !found.iter().any(|r| r.sql.as_ref() == Some(&sql)) {
                found.push(Rewrite { sql: Some(sql), ..rewrite });
            }
        }
    }
    match refusal {
        Some(reason) if found.is_empty() => Err(RewriteError::Unsupported { reason }),
        None if parts(node).is_empty() => {
            Err(RewriteError::Unsupported { reason: "it writes, and no query is a part of it".into() })
        }
        _ => Ok(found),
    }
}

fn of_part(rewriter: &Rewriter<'_>, part: &Part, root: &Query, query: &SelectStmt) -> Vec<Rewrite> {
    match part {
        // Other parameters would write other rows.
        Part::Rows | Part::Source(_) => {
            let all = rewriter.rewrites_of(root).into_iter();
            all.filter(|r| r.sql.is_some() && r.application.is_empty()).collect()
        }
        Part::Condition => {
            if root.select().is_none_or(|s| s.aliases() != visible(&query.from_clause)) {
                return Vec::new();
            }
            let kept = rewriter.apply(root).into_iter().filter_map(|(rule, found, tree)| {
                let tree = tree.filter(|new| only_conditions(root, new))?;
                if !found.application.is_empty() {
                    return None;
                }
                let conditions = found.conditions;
                let sql = writing::write(&tree)?;
                Some(Rewrite {
                    rule: rule.id,
                    sql: Some(sql),
                    conditions,
                    application: Vec::new(),
                    advice: None,
                })
            });
            kept.collect()
        }
    }
}

/// The names under which the items of `FROM` are seen.
fn visible(from: &[Node]) -> Vec<String> {
    let mut names = Vec::new();
    for node in from {
        match &node.node {
            Some(NodeEnum::RangeVar(range)) => {
                names.push(range.alias.as_ref().map_or(&range.relname, |a| &a.aliasname).clone());
            }
            Some(NodeEnum::RangeSubselect(sub)) => {
                names.push(sub.alias.as_ref().map(|a| a.aliasname.clone()).unwrap_or_default());
            }
            Some(NodeEnum::JoinExpr(join)) => {
                let sides = [join.larg.as_deref(), join.rarg.as_deref()];
                names
                    .extend(sides.into_iter().flatten().flat_map(|side| visible(std::slice::from_ref(side))));
            }
            _ => names.push(String::new()),
        }
    }
    names
}

fn subquery(node: &Node) -> Option<&SelectStmt> {
    match &node.node {
        Some(NodeEnum::RangeSubselect(sub)) if !sub.lateral => match &sub.subquery.as_deref()?.node {
            Some(NodeEnum::SelectStmt(select)) => Some(select),
            _ => None,
        },
        _ => None,
    }
}

/// Whether something besides the query could read the common table expressions of an `INSERT`, which then have to stay.
fn reads_elsewhere(insert: &protobuf::InsertStmt) -> bool {
    format!("{:?}{:?}", insert.returning_clause, insert.on_conflict_clause).contains("SubLink")
}

fn parts(node: &NodeEnum) -> Vec<(Part, SelectStmt)> {
    let mut parts = Vec::new();
    let sources = |from: &[Node], parts: &mut Vec<(Part, SelectStmt)>| {
        let found =
            from.iter().enumerate().filter_map(|(n, item)| Some((Part::Source(n), subquery(item)?.clone())));
        parts.extend(found);
    };
    match node {
        NodeEnum::InsertStmt(insert) => {
            if let Some(NodeEnum::SelectStmt(select)) =
                insert.select_stmt.as_ref().and_then(|s| s.node.as_ref())
                && select.values_lists.is_empty()
            {
                let mut select = (**select).clone();
                // A WITH before INSERT is in sight of the query as one of its own is.
                if select.with_clause.is_none() && !reads_elsewhere(insert) {
                    select.with_clause.clone_from(&insert.with_clause);
                }
                parts.push((Part::Rows, select));
            }
        }
        NodeEnum::UpdateStmt(update) => {
            sources(&update.from_clause, &mut parts);
            parts.extend(condition(
                update.relation.as_ref(),
                &update.from_clause,
                update.where_clause.as_deref(),
                update.with_clause.as_ref(),
            ));
        }
        NodeEnum::DeleteStmt(delete) => {
            sources(&delete.using_clause, &mut parts);
            parts.extend(condition(
                delete.relation.as_ref(),
                &delete.using_clause,
                delete.where_clause.as_deref(),
                delete.with_clause.as_ref(),
            ));
        }
        NodeEnum::MergeStmt(merge) => {
            sources(merge.source_relation.as_deref().map_or(&[], std::slice::from_ref), &mut parts);
        }
        _ => {}
    }
    parts
}

/// `SELECT 1` over the rows that a condition is about.
fn condition(
    target: Option<&protobuf::RangeVar>,
    from: &[Node],
    filter: Option<&Node>,
    with: Option<&WithClause>,
) -> Option<(Part, SelectStmt)> {
    let one = AConst { isnull: false, location: -1, val: Some(a_const::Val::Ival(Integer { ival: 1 })) };
    let column =
        ResTarget { val: Some(Box::new(Node { node: Some(NodeEnum::AConst(one)) })), ..ResTarget::default() };
    let mut items = vec![Node { node: Some(NodeEnum::RangeVar(target?.clone())) }];
    items.extend(from.iter().cloned());
    let select = SelectStmt {
        target_list: vec![Node { node: Some(NodeEnum::ResTarget(Box::new(column))) }],
        from_clause: items,
        where_clause: Some(Box::new(filter?.clone())),
        with_clause: with.cloned(),
        limit_option: LimitOption::Default as i32,
        op: SetOperation::SetopNone as i32,
        ..SelectStmt::default()
    };
    Some((Part::Condition, select))
}

/// The statement with another query in place of one of its parts.
fn put_back(node: &NodeEnum, part: &Part, sql: &str) -> Option<String> {
    let marked = crate::text::repair(sql);
    let parsed = pg_query::parse(&marked, pg_query::ParserOptions::DEFAULT).ok()?.protobuf;
    let version = parsed.version;
    let Some(NodeEnum::SelectStmt(select)) = parsed.stmts.into_iter().next()?.stmt?.node else { return None };
    let mut node = node.clone();
    match (&mut node, part) {
        (NodeEnum::InsertStmt(insert), Part::Rows) => {
            if !reads_elsewhere(insert) {
                insert.with_clause = None;
            }
            insert.select_stmt = Some(Box::new(Node { node: Some(NodeEnum::SelectStmt(select)) }));
        }
        (NodeEnum::UpdateStmt(update), Part::Source(n)) => exchange(update.from_clause.get_mut(*n)?, select)?,
        (NodeEnum::DeleteStmt(delete), Part::Source(n)) => {
            exchange(delete.using_clause.get_mut(*n)?, select)?
        }
        (NodeEnum::MergeStmt(merge), Part::Source(_)) => {
            exchange(merge.source_relation.as_deref_mut()?, select)?
        }
        (NodeEnum::UpdateStmt(update), Part::Condition) => update.where_clause = select.where_clause,
        (NodeEnum::DeleteStmt(delete), Part::Condition) => delete.where_clause = select.where_clause,
        _ => return None,
    }
    let statement = RawStmt { stmt: Some(Box::new(Node { node: Some(node) })), ..RawStmt::default() };
    writing::lay_out(&ParseResult { version, stmts: vec![statement] })
}

fn exchange(item: &mut Node, select: Box<SelectStmt>) -> Option<()> {
    match &mut item.node {
        Some(NodeEnum::RangeSubselect(sub)) => {
            sub.subquery = Some(Box::new(Node { node: Some(NodeEnum::SelectStmt(select)) }));
            Some(())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, check};
    use super::super::{RewriteError, Rewriter};

    #[test]
    fn the_query_of_an_insert_is_rewritten() {
        check(
            "insert into reviews (id, order_id) select id, id from orders where id::text = $1 or id::text = '42' and id = 42.0 returning id",
            &[],
        );
        check(
            "insert into codes (code) select note from orders where id::text = '42' returning token",
            &["native-type: INSERT INTO codes (code) SELECT note FROM orders WHERE id = 42 RETURNING token"],
        );
        check(
            "with w as materialized (select id from orders) insert into reviews (id) select id from w where id = 3",
            &[
                "cte-unfenced: INSERT INTO reviews (id) SELECT w.id FROM ( SELECT id FROM orders orders_1 ) w WHERE w.id = 3",
            ],
        );
    }

    #[test]
    fn the_condition_of_an_update_or_delete_is_rewritten_and_its_tables_stay() {
        check(
            "update orders set note = 'x' where id::text = '42'",
            &["native-type: UPDATE orders SET note = 'x' WHERE id = 42"],
        );
        check(
            "delete from orders o using customers c where o.customer_id = c.id and (c.id = 1 or c.id = 2)",
            &[
                "or-chain: DELETE FROM orders o USING customers c WHERE o.customer_id = c.id AND c.id IN (1, 2)",
            ],
        );
        check(
            "delete from customers where id not in (select order_id from items)",
            &[
                "not-in: DELETE FROM customers WHERE NOT EXISTS ( SELECT 1 FROM items WHERE items.order_id = customers.id )",
            ],
        );
    }

    #[test]
    fn what_holds_no_query_says_so() {
        let snapshot = fixture::shop();
        let rewriter = Rewriter::new(&snapshot);
        let reason = "it writes, and no query is a part of it".to_owned();
        assert_eq!(
            rewriter.rewrites("insert into reviews (id) values (1)"),
            Err(RewriteError::Unsupported { reason: reason.clone() })
        );
        assert_eq!(rewriter.rewrites("delete from reviews"), Err(RewriteError::Unsupported { reason }));
    }
}
