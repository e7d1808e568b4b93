//! What is known of the tables that a plan reads, when its database is at hand?
//!
//! Source: `heapam.h` and `bufpage.h` for what a row takes: a header of 23 bytes and a bitmap of NULLs, aligned
//! to 8, and 4 bytes of line pointer; pages of 8192 bytes with a header of 24.

use model::Snapshot;
use model::snapshot::{Constraint, ConstraintKind, Relation};

use crate::node::{Node, Plan};

/// The relation that a node reads or writes; without a schema in the plan, if only one has that name, or what the node
/// names tells which one it is.
pub(crate) fn relation_of<'s>(database: &'s Snapshot, node: &Node) -> Option<&'s Relation> {
    let name = node.relation.as_deref()?;
    let of_name =
        |r: &&Relation| r.name.name == name && node.schema.as_ref().is_none_or(|s| *s == r.name.schema);
    let mut named = database.relations.iter().filter(of_name);
    let found = named.next()?;
    named.next().is_none().then_some(found)
}

/// Gives a schema to the tables of a plan of which the plan does not tell it (it does with `VERBOSE`) and of whose name
/// there are several: by the index that is read, by the columns that are named, and by the `search_path`. Returns the names
/// that stay open.
pub fn qualify(plan: &mut Plan, database: &Snapshot, search_path: Option<&str>) -> Vec<String> {
    let mut open = std::collections::BTreeSet::new();
    let schemas: Vec<Option<String>> = plan
        .nodes
        .iter()
        .map(|node| {
            let name = node.relation.as_deref().filter(|_| node.schema.is_none())?;
            let all: Vec<&Relation> = database.relations.iter().filter(|r| r.name.name == name).collect();
            if all.len() < 2 {
                return None;
            }
            let chosen = one_of(plan, node, database, &all, search_path);
            if chosen.is_none() {
                open.insert(model::quote_identifier(name));
            }
            chosen.map(|relation| relation.name.schema.clone())
        })
        .collect();
    for (node, schema) in plan.nodes.iter_mut().zip(schemas) {
        if schema.is_some() {
            node.schema = schema;
        }
    }
    open.into_iter().collect()
}

/// Which of several relations of one name a node reads.
fn one_of<'s>(
    plan: &Plan,
    node: &Node,
    database: &Snapshot,
    all: &[&'s Relation],
    search_path: Option<&str>,
) -> Option<&'s Relation> {
    let has =
        |relation: &Relation, name: &str| database.indexes_of(&relation.name).any(|i| i.name.name == name);
    // The index of a bitmap stands below; one that is gone tells nothing.
    let indexes: Vec<&str> = plan
        .subtree(node)
        .iter()
        .filter(|n| n.id == node.id || n.is("Bitmap Index Scan"))
        .filter_map(|n| n.index.as_deref())
        .filter(|name| all.iter().any(|relation| has(relation, name)))
        .collect();
    let has_indexes = |r: &&Relation| indexes.iter().all(|name| has(r, name));
    let named = mentioned(plan, node);
    let known = |word: &&str| all.iter().any(|r| r.column(word).is_some());
    let columns: Vec<&str> = named.into_iter().filter(known).collect();
    let has_columns = |r: &&Relation| columns.iter().all(|column| r.column(column).is_some());
    let left: Vec<&Relation> = all.iter().copied().filter(|r| has_indexes(r) && has_columns(r)).collect();
    if let [one] = left.as_slice() {
        return Some(one);
    }
    let user = database.server.user.as_str();
    let mut path = search_path?.split(',').map(|part| match part.trim().trim_matches('"') {
        "$user" => user,
        schema => schema,
    });
    path.find_map(|schema| left.iter().copied().find(|r| r.name.schema == schema))
}

/// Words that can be columns of a node's relation: all of its own conditions, and everywhere those behind its alias.
fn mentioned<'p>(plan: &'p Plan, node: &'p Node) -> std::collections::BTreeSet<&'p str> {
    let mut words = crate::remedy::named_columns(node);
    let Some(alias) = node.alias.as_deref().or(node.relation.as_deref()) else { return words };
    let prefix = format!("{}.", model::quote_identifier(alias));
    for other in &plan.nodes {
        let lists = [&other.sort_key, &other.group_key, &other.output];
        let texts = other.conditions().map(|(_, text)| text);
        for text in texts.chain(lists.into_iter().flatten().map(String::as_str)) {
            for (at, _) in text.match_indices(&prefix) {
                let rest = &text[at + prefix.len()..];
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                let whole = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
                if whole && end > 0 {
                    words.insert(&rest[..end]);
                }
            }
        }
    }
    words
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
    let per_page = (8168.0 * fill_factor(relation) / 100.0) / row_bytes(relation);
    Some((rows / per_page.max(1.0)).ceil().max(1.0))
}

/// To how many per cent a page is filled by new rows.
pub(crate) fn fill_factor(relation: &Relation) -> f64 {
    let set = relation.options.iter().find_map(|o| o.strip_prefix("fillfactor=")?.parse::<f64>().ok());
    set.unwrap_or(100.0).clamp(10.0, 100.0)
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

/// The statement that makes the index which a foreign key misses.
pub(crate) fn create_index(constraint: &Constraint, referencing: &model::QualifiedName) -> String {
    let columns: Vec<String> = constraint.columns.iter().map(|c| model::quote_identifier(c)).collect();
    format!("CREATE INDEX CONCURRENTLY ON {referencing} ({})", columns.join(", "))
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

#[cfg(test)]
mod tests {
    use crate::checks::testing::*;

    use super::*;

    /// `public.runs` and `old.runs`, of which only one has `experiment_id`, and only one an index.
    fn twice() -> Snapshot {
        let mut database = database("public", "runs");
        let mut other = database.relations[0].clone();
        other.name = model::QualifiedName::new("old", "runs");
        column(&mut database, "experiment_id", -1.0, &[]);
        column(&mut database, "id", -1.0, &[]);
        other.columns = database.relations[0].columns[1..].to_vec();
        database.relations.push(other);
        database
    }

    fn schemas(fixture_name: &str, database: &Snapshot, path: Option<&str>) -> (Vec<String>, Vec<String>) {
        let mut plan = fixture(fixture_name);
        for node in &mut plan.nodes {
            node.schema = None;
        }
        let open = qualify(&mut plan, database, path);
        let runs = plan.nodes.iter().filter(|n| n.relation.as_deref() == Some("runs"));
        (runs.map(|n| n.schema.clone().unwrap_or_default()).collect(), open)
    }

    #[test]
    fn a_name_in_two_schemas_is_told_apart() {
        let mut database = twice();
        // By a column of the condition.
        assert_eq!(schemas("17/bitmap_exact", &database, None).0, ["public"]);
        // By the path of whoever asked, where nothing else tells.
        let both = database.relations[0].columns.clone();
        database.relations[1].columns = both;
        assert_eq!(schemas("17/bitmap_exact", &database, Some("\"$user\", old, public")).0, ["old"]);
        let (found, open) = schemas("17/bitmap_exact", &database, None);
        assert_eq!((found, open), (vec![String::new()], vec!["runs".to_owned()]));
        // By the index, whatever the path is.
        let plan = fixture("17/bitmap_exact");
        let name = plan.nodes.iter().find_map(|n| n.index.clone()).unwrap();
        database.indexes.push(index("public", "runs", &name, &["experiment_id"]));
        assert_eq!(schemas("17/bitmap_exact", &database, Some("old")).0, ["public"]);
    }
}
