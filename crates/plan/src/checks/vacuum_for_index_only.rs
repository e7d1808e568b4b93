//! Would an index answer alone, if only VACUUM had been there?
//!
//! Fields: a Bitmap Heap Scan, an Index Scan or a Seq Scan of a table; from the catalog, an index that holds every column
//! of the table that the statement names, and `relallvisible` against `relpages`. `cost_index()` charges an index-only scan
//! for the share of pages that are not marked all-visible, so that with few of them marked another scan wins. Where there
//! is a planner twin, it is asked with every page marked, and what it does not confirm is not reported.

use std::collections::BTreeSet;

use model::snapshot::{Index, Relation};
use model::{KeyTarget, Severity, Snapshot};

use super::{Check, Diagnosis, Remedy, Run, Thresholds, subject};
use crate::facts;
use crate::node::{Node, Plan};
use crate::render::{count, percent};

pub(super) const CHECK: Check = Check {
    id: "vacuum-for-index-only",
    title: "an index would answer alone after a VACUUM",
    explains: &[],
    remedy: Remedy::Vacuum,
    run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    let (Some(database), Some(text)) = (database, &plan.query_text) else { return Vec::new() };
    let Some(words) = names_of(text) else { return Vec::new() };
    let mut found = Vec::new();
    for node in &plan.nodes {
        let reads = matches!(node.node_type.as_str(), "Bitmap Heap Scan" | "Index Scan" | "Seq Scan");
        let Some(relation) = facts::relation_of(database, node).filter(|_| reads) else { continue };
        let marked = relation.relallvisible as f64 / (relation.relpages as f64).max(1.0);
        if relation.pages < thresholds.visible_min_pages || marked >= thresholds.visible_share {
            continue;
        }
        let needed: BTreeSet<&str> =
            relation.columns.iter().map(|c| c.name.as_str()).filter(|c| words.contains(*c)).collect();
        let covering = database.indexes_of(&relation.name).find(|index| covers(index, &needed) && serves(index, node, relation));
        let Some(index) = covering else { continue };
        let columns: Vec<String> = needed.iter().map(|c| model::quote_identifier(c)).collect();
        found.push(
            Diagnosis::new(
                node,
                Severity::Warning,
                format!(
                    "index {} holds all that is read of {}, and the table is read because VACUUM has not been there: {} of its \
                     {} pages are marked all-visible",
                    model::quote_identifier(&index.name.name),
                    subject(node),
                    count(relation.relallvisible.max(0) as f64),
                    count(relation.relpages.max(0) as f64)
                ),
                "An index-only scan has to look every row up whose page is not marked all-visible, so the planner takes another \
                 scan. VACUUM marks the pages; autovacuum does it after enough inserts (autovacuum_vacuum_insert_scale_factor) \
                 or dead rows, and a transaction that is open for long keeps it from doing so.",
            )
            .weighing(plan.own_weight(node))
            .with("columns", columns.join(", "))
            .with("index", model::quote_identifier(&index.name.name))
            .with("pages marked", percent(marked)),
        );
    }
    found
}

/// Whether every column stands in the index as it is.
fn covers(index: &Index, needed: &BTreeSet<&str>) -> bool {
    let definition = &index.definition;
    let key = |name: &str| definition.keys.iter().any(|k| matches!(&k.target, KeyTarget::Column(c) if c == name));
    let held = |name: &str| key(name) || definition.include.iter().any(|c| c == name);
    index.valid
        && definition.access_method == "btree"
        && definition.predicate.is_none()
        && !needed.is_empty()
        && needed.iter().all(|name| held(name))
}

/// Whether the index leads to the rows, or is so much smaller than the table that reading all of it is less.
fn serves(index: &Index, node: &Node, relation: &Relation) -> bool {
    let named = crate::remedy::named_columns(node);
    let first = index.definition.keys.first();
    let leads = first.is_some_and(|k| matches!(&k.target, KeyTarget::Column(name) if named.contains(name.as_str())));
    leads || (node.is("Seq Scan") && 2 * index.pages < relation.pages)
}

/// Every name of a statement outside of its texts and comments; `None` where `*` may mean any column.
fn names_of(text: &str) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut rest = text.char_indices().peekable();
    let mut last = String::new();
    while let Some((at, c)) = rest.next() {
        match c {
            '\'' => while rest.next().is_some_and(|(_, c)| c != '\'') {},
            '-' if text[at..].starts_with("--") => while rest.next().is_some_and(|(_, c)| c != '\n') {},
            '/' if text[at..].starts_with("/*") => {
                let end = text[at..].find("*/").map_or(text.len(), |e| at + e + 1);
                while rest.next_if(|(here, _)| *here <= end).is_some() {}
            }
            '"' => {
                let mut name = String::new();
                while let Some((_, c)) = rest.next() {
                    if c == '"' && rest.next_if(|(_, c)| *c == '"').is_none() {
                        break;
                    }
                    name.push(c);
                }
                names.insert(name);
            }
            '*' if matches!(last.as_str(), "" | "," | "select" | "distinct" | "all" | "." | "returning") => return None,
            '(' if text[at..].replace(char::is_whitespace, "").starts_with("(*)") => {
                // count(*)
                while rest.next().is_some_and(|(_, c)| c != ')') {}
            }
            c if c.is_alphabetic() || c == '_' => {
                let mut name = c.to_lowercase().to_string();
                while let Some((_, c)) = rest.next_if(|(_, c)| c.is_alphanumeric() || matches!(c, '_' | '$')) {
                    name.extend(c.to_lowercase());
                }
                last = name.clone();
                names.insert(name);
                continue;
            }
            _ => {}
        }
        if !c.is_whitespace() {
            last = c.to_string();
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    const TEXT: &str = "SELECT count(*), max(started_at) FROM runs WHERE experiment_id = 7 /* payload */";

    fn diagnosed(text: &str, marked: i64, columns: &[&str]) -> Vec<String> {
        let mut plan = fixture("17/bitmap_exact");
        plan.query_text = Some(text.to_owned());
        let mut database = database("public", "runs");
        for name in ["id", "experiment_id", "started_at", "payload"] {
            column(&mut database, name, -1.0, &[]);
        }
        let relation = &mut database.relations[0];
        (relation.pages, relation.relpages, relation.relallvisible) = (1_000, 1_000, marked);
        database.indexes.push(index("public", "runs", "runs_both_idx", columns));
        let found = CHECK.diagnose(&plan, &Thresholds::default(), Some(&database));
        found.into_iter().map(|d| d.summary).collect()
    }

    #[test]
    fn an_index_that_holds_all_columns_of_a_table_that_was_not_vacuumed() {
        let found = diagnosed(TEXT, 0, &["experiment_id", "started_at"]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("runs_both_idx") && found[0].contains("0 of its 1,000 pages"), "{found:?}");
    }

    #[test]
    fn what_vacuum_would_not_change() {
        for (why, text, marked, columns) in [
            ("marked", TEXT, 990, ["experiment_id", "started_at"]),
            ("a column that the index has not", TEXT, 0, ["experiment_id", "id"]),
            ("every column", "SELECT * FROM runs WHERE experiment_id = 7", 0, ["experiment_id", "started_at"]),
            ("every column of one", "SELECT r.* FROM runs r", 0, ["experiment_id", "started_at"]),
            ("an index that does not lead there", TEXT, 0, ["started_at", "experiment_id"]),
            ("another column", "SELECT payload FROM runs WHERE started_at > now()", 0, ["experiment_id", "started_at"]),
        ] {
            assert_eq!(diagnosed(text, marked, &columns), Vec::<String>::new(), "{why}");
        }
    }

    #[test]
    fn names_are_told_from_texts_and_comments() {
        let names = |text: &str| names_of(text).map(|n| n.into_iter().collect::<Vec<_>>().join(" "));
        assert_eq!(names("select A, \"B c\" -- d\n from t where e = 'f''g' and h * 2 = 4").unwrap(), "B c a and e from h select t where");
        assert_eq!(names("select count( * ) from t").unwrap(), "count from select t");
        assert_eq!(names("select *, a from t"), None);
        assert_eq!(names("delete from t returning *"), None);
    }
}
