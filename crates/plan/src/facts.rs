//! What is known of the tables that a plan reads, when its database is at hand?
//!
//! Source: `heapam.h` and `bufpage.h` for what a row takes: a header of 23 bytes and a bitmap of NULLs, aligned
//! to 8, and 4 bytes of line pointer; pages of 8192 bytes with a header of 24.

use model::Snapshot;
use model::snapshot::{Constraint, ConstraintKind, Relation};

use crate::node::Node;

/// The relation that a node reads or writes; without a schema in the plan, if only one has that name.
pub(crate) fn relation_of<'s>(database: &'s Snapshot, node: &Node) -> Option<&'s Relation> {
    let name = node.relation.as_deref()?;
    let mut named = database
        .relations
        .iter()
        .filter(|r| r.name.name == name && node.schema.as_ref().is_none_or(|s| *s == r.name.schema));
    let found = named.next()?;
    named.next().is_none().then_some(found)
}

/// About how many pages the rows of a table need, packed as tightly as its fill factor says.
pub(crate) fn needed_pages(relation: &Relation) -> Option<f64> {
    let live = relation.activity.as_ref().map_or(0, |a| a.n_live_tup) as f64;
    let rows = if relation.reltuples > 0.0 { relation.reltuples } else { live };
    // Without statistics the width of a varying column is a guess.
    let known = relation.columns.iter().all(|c| c.type_length > 0 || c.statistics.is_some());
    if rows <= 0.0 || !known {
        return None;
    }
    let fill_factor = relation
        .options
        .iter()
        .find_map(|o| o.strip_prefix("fillfactor=")?.parse::<f64>().ok())
        .unwrap_or(100.0);
    let per_page = (8168.0 * fill_factor.clamp(10.0, 100.0) / 100.0) / row_bytes(relation);
    Some((rows / per_page.max(1.0)).ceil().max(1.0))
}

/// The average bytes of a row with its line pointer.
fn row_bytes(relation: &Relation) -> f64 {
    let mut width = 0.0_f64;
    let mut any_null = false;
    for column in &relation.columns {
        let nulls = column.statistics.as_ref().map_or(0.0, |s| f64::from(s.null_frac)).clamp(0.0, 1.0);
        any_null |= nulls > 0.0;
        let align = match column.type_align {
            'd' => 8.0,
            'i' => 4.0,
            's' => 2.0,
            _ => 1.0,
        };
        // Short values of varying length are stored without alignment.
        if column.type_length > 0 && nulls == 0.0 {
            width = (width / align).ceil() * align;
        }
        width += f64::from(column.average_width()) * (1.0 - nulls);
    }
    let bitmap = if any_null { (relation.columns.len() as f64 / 8.0).ceil() } else { 0.0 };
    let header = ((23.0 + bitmap) / 8.0).ceil() * 8.0;
    ((header + width) / 8.0).ceil() * 8.0 + 4.0
}

/// Foreign keys that reference a table and whose own columns no index begins with.
pub(crate) fn unindexed_references<'s>(
    database: &'s Snapshot,
    table: &'s Relation,
) -> impl Iterator<Item = (&'s Constraint, &'s Relation)> {
    database
        .constraints
        .iter()
        .filter(move |c| {
            c.kind == ConstraintKind::ForeignKey
                && c.references.as_ref().is_some_and(|r| r.table == table.name && r.enforced_here)
                && !is_indexed(database, c)
        })
        .filter_map(|c| Some((c, database.relation(&c.table)?)))
}

/// Whether a look-up by the columns of a constraint, in any order, has an index that holds every row.
fn is_indexed(database: &Snapshot, constraint: &Constraint) -> bool {
    database.indexes_of(&constraint.table).any(|index| {
        let keys: Vec<&str> = index
            .definition
            .keys
            .iter()
            .take(constraint.columns.len())
            .filter_map(|k| match &k.target {
                model::KeyTarget::Column(name) => Some(name.as_str()),
                model::KeyTarget::Expression(_) => None,
            })
            .collect();
        let usable = matches!(index.definition.access_method.as_str(), "btree")
            || (index.definition.access_method == "hash" && constraint.columns.len() == 1);
        index.valid
            && usable
            && index.definition.predicate.is_none()
            && keys.len() == constraint.columns.len()
            && constraint.columns.iter().all(|c| keys.contains(&c.as_str()))
    })
}
