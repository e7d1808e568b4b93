//! Does a join read all of a table although it wants few of its rows?
//!
//! Fields: a Hash Join or Merge Join with a Seq Scan on one side, the rows of that scan, of the other side and of the join.
//! With few rows on the other side an index on the join column looks up what is wanted; without one, every row is read
//! and compared. Where the catalog shows such an index, the planner has chosen against it and something else is the cause.

use model::{KeyTarget, Severity, Snapshot};

use super::{Check, Diagnosis, Remedy, Run, Thresholds, subject};
use crate::facts;
use crate::node::{Node, Plan, Relationship};
use crate::render::count;

pub(super) const CHECK: Check = Check {
    id: "join-reads-whole-table",
    title: "join reads a whole table for a few of its rows",
    explains: &[],
    remedy: Remedy::Index,
    run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for join in plan.nodes.iter().filter(|n| n.is("Hash Join") || n.is("Merge Join")) {
        let Some(condition) = join.hash_cond.as_deref().or(join.merge_cond.as_deref()) else { continue };
        let (Some(outer), Some(inner)) = (plan.child(join, Relationship::Outer), plan.child(join, Relationship::Inner))
        else {
            continue;
        };
        // Pairs that its filter threw away matched as well.
        let matched = join.rows() + join.rows_removed_by_join();
        for (side, other) in [(outer, inner), (inner, outer)] {
            let scan = below_plumbing(plan, side);
            let read = scan.rows();
            let few = |rows: f64| thresholds.removed_per_row * rows < read;
            let pages = scan.own.usage.pages();
            let large = read >= thresholds.seq_scan_min_rows && (!plan.has_buffers || pages > thresholds.seq_scan_min_pages);
            if !scan.is("Seq Scan") || !large || !few(matched) || !few(other.rows()) || !other.executed() {
                continue;
            }
            let Some(column) = column_of(scan, condition) else { continue };
            if database.is_some_and(|d| is_indexed(d, scan, column)) {
                continue;
            }
            found.push(
                Diagnosis::new(
                    join,
                    Severity::Warning,
                    format!(
                        "join reads all {} rows of {} for the {} that match {} rows of the other side",
                        count(read),
                        subject(scan),
                        count(matched),
                        count(other.rows())
                    ),
                    "Few rows are looked for, and without an index on the join column each row of the table is compared with \
                     them. A foreign key does not bring such an index with it. With one, a nested loop reads what matches only.",
                )
                .weighing(plan.own_weight(join) + plan.own_weight(scan) + if side.id == scan.id { 0.0 } else { plan.own_weight(side) })
                .with("join condition", condition)
                .with("column", column)
                .with("rows read", count(read)),
            );
        }
    }
    found
}

/// What a Hash, a Sort or a Gather reads.
fn below_plumbing<'p>(plan: &'p Plan, side: &'p Node) -> &'p Node {
    let mut node = side;
    while matches!(node.node_type.as_str(), "Hash" | "Sort" | "Materialize" | "Gather" | "Gather Merge") {
        let Some(child) = plan.child(node, Relationship::Outer) else { break };
        node = child;
    }
    node
}

/// The column of the scan in a condition such as `(e.dept_id = d.id)`.
fn column_of<'c>(scan: &Node, condition: &'c str) -> Option<&'c str> {
    let alias = model::quote_identifier(scan.alias.as_deref().or(scan.relation.as_deref())?);
    let mut rest = condition;
    while let Some(at) = rest.find(&format!("{alias}.")) {
        let own = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '"' | '.'));
        rest = &rest[at + alias.len() + 1..];
        if own {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '"' | '$'))).unwrap_or(rest.len());
            return Some(&rest[..end]);
        }
    }
    None
}

fn is_indexed(database: &Snapshot, scan: &Node, column: &str) -> bool {
    let Some(relation) = facts::relation_of(database, scan) else { return false };
    let column = column.trim_matches('"');
    database.indexes_of(&relation.name).any(|index| {
        let first = index.definition.keys.first();
        index.valid
            && index.definition.predicate.is_none()
            && first.is_some_and(|k| matches!(&k.target, KeyTarget::Column(name) if name == column))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_join_column_without_an_index() {
        assert_found(&CHECK, MAJORS, "join_without_index", "Hash Join");
        for major in MAJORS {
            let plan = fixture(&format!("{major}/join_without_index"));
            let findings = super::super::run(&plan, &Thresholds::default());
            assert_eq!(findings[0].check, "join-reads-whole-table", "{major}: {findings:?}");
        }
    }

    #[test]
    fn a_join_of_most_rows_and_one_whose_index_was_not_chosen() {
        assert_silent(&CHECK, MAJORS, "hash_join");
        assert_silent(&CHECK, MAJORS, "parallel_hash_join");
        let plan = fixture("17/join_without_index");
        let mut known = database("public", "links");
        let diagnosed = |known: &Snapshot| CHECK.diagnose(&plan, &Thresholds::default(), Some(known)).len();
        assert_eq!(diagnosed(&known), 1);
        known.indexes.push(index("public", "links", "links_run_id_idx", &["run_id"]));
        assert_eq!(diagnosed(&known), 0);
    }

    #[test]
    fn pairs_that_a_filter_throws_away_have_matched() {
        for major in MAJORS {
            let mut plan = fixture(&format!("{major}/join_without_index"));
            let diagnosed = |plan: &Plan| CHECK.diagnose(plan, &Thresholds::default(), None).len();
            assert_eq!(diagnosed(&plan), 1, "{major}");
            let join = plan.nodes.iter_mut().find(|n| n.is("Hash Join")).unwrap();
            join.removed_by_join_filter = 1e6;
            assert_eq!(diagnosed(&plan), 0, "{major}");
        }
    }

    #[test]
    fn columns_are_found_by_their_alias() {
        let scan = Node { alias: Some("e".into()), ..Node::default() };
        assert_eq!(column_of(&scan, "(re.id = e.dept_id)"), Some("dept_id"));
        assert_eq!(column_of(&scan, "(d.id = f.dept_id)"), None);
    }
}
