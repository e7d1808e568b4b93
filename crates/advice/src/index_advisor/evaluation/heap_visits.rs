//! What do visits of a table through an index cost that the planner does not charge?
//!
//! The planner charges for pages that an index scan reads of its table once for all of its executions: a page that
//! stays in the cache costs nothing at the next visit (`index_pages_fetched` in `src/backend/optimizer/path/costsize.c`,
//! after Mackert and Lohman: *Index Scans Using a Finite LRU Buffer*, TODS 1989). Three things are left out.
//!
//! - For the inner side of a nested loop it divides the pages by the number of executions that it expects, which it
//!   takes to be the rows of the smallest table on the outer side, before their conditions (`get_loop_count`). When a
//!   condition keeps eight hundred of ten thousand, only a twelfth of the pages is charged.
//! - Finding a page in the cache, pinning it and fetching a row from it that no cache of the processor holds takes far
//!   longer than a row of a sequential scan, where pages and rows come in order.
//! - Rows that come in the order of the groups find their group in the processor's cache. A hash aggregate over many
//!   groups that are met at random waits for memory at every row, and spills all of them once it has no room. TPC-H's
//!   Q18 took 11.0 instead of 4.5 s when a narrow index in another order took the place of the table, at a cost that
//!   the planner finds lower by a tenth.
//!
//! So the pages are counted anew with the executions that the plan tells, and every further visit costs
//! [`VISIT_COST`]. Without that, a nested loop over half a million scattered rows looked four times as cheap as reading
//! the whole table, and took 1.7 times as long (TPC-H, Q7).
//!
//! This is coarser than what the planner knows, so it does not say by how much one index is better than another. It
//! is asked one question, of what was chosen: would a statement become slower than it is (`mending.rs`)?

use std::collections::BTreeMap;

use model::{IndexDefinition, KeyTarget, Snapshot};
use serde_json::Value as Json;

use super::decompose::{children, cost, index_names, kind, number, text};
use crate::tables::{Tables, statistics};

/// Visiting a page that is in the cache, in units of the planner: some twenty-five rows of a sequential scan.
const VISIT_COST: f64 = 0.25;

/// Finding one of many groups that no cache holds, in units of the planner; what was measured.
const GROUP_COST: f64 = 0.1;
/// So many groups do not fit into the caches of a processor.
const MANY_GROUPS: f64 = 100_000.0;

/// The table of an index as scans of the index meet it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heap {
    pages: f64,
    rows: f64,
    /// How far entries that follow each other lie in the same pages: the square of the correlation.
    in_order: f64,
    /// Key columns as conditions show them, each with how many values it has.
    keys: Vec<(String, Option<f64>)>,
}

/// The planner's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Costs {
    random_page: f64,
    row: f64,
    cache_pages: f64,
}

/// What one execution of a scan does to its table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Visits {
    /// Pages that it visits, one after the other; the same one may come again.
    each: f64,
    /// What the planner charges for them at most.
    charged: f64,
    /// Pages of the table.
    pages: f64,
    costs: Costs,
}

/// In which order a scan gives rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Order {
    /// The first key of its index.
    first_key: Option<String>,
    /// How far it is the order of the table, from 0 to 1.
    of_table: f64,
}

/// What a hash aggregate does with the rows of a scan.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grouped {
    /// The first column that it groups by.
    column: String,
    /// How far the table lies in the order of that column, from 0 to 1.
    table_in_order: f64,
    /// Rows that one execution puts into groups.
    rows: f64,
}

/// Tables of indexes by the names of the indexes, and the planner's settings.
#[derive(Clone, Debug)]
pub(super) struct Heaps {
    by_index: BTreeMap<String, Heap>,
    /// How far tables lie in the order of their columns, by the names of both, where it is worth a word.
    in_order: BTreeMap<(String, String), f64>,
    costs: Costs,
}

impl Heaps {
    /// Those of the indexes that exist.
    pub fn of(snapshot: &Snapshot) -> Self {
        let setting = |name: &str, default: f64| {
            snapshot.setting(name).and_then(|text| text.parse::<f64>().ok()).unwrap_or(default)
        };
        let costs = Costs {
            random_page: setting("random_page_cost", 4.0),
            row: setting("cpu_tuple_cost", 0.01) + setting("cpu_index_tuple_cost", 0.005),
            cache_pages: setting("effective_cache_size", 524_288.0).max(1.0),
        };
        let mut in_order = BTreeMap::new();
        for relation in &snapshot.relations {
            for column in &relation.columns {
                let known = statistics(relation, column).and_then(|s| s.correlation);
                if let Some(correlation) = known.filter(|c| c.abs() > 0.5) {
                    let name = (relation.name.name.clone(), model::quote_identifier(&column.name));
                    in_order.insert(name, f64::from(correlation).powi(2).min(1.0));
                }
            }
        }
        let mut heaps = Self { by_index: BTreeMap::new(), in_order, costs };
        heaps.learn(snapshot, snapshot.indexes.iter().map(|i| (i.name.name.as_str(), &i.definition)));
        heaps
    }

    /// What it costs to fetch so many rows from random places.
    pub fn cost_of_rows(&self, rows: f64) -> f64 {
        rows.max(0.0) * (self.costs.random_page + self.costs.row)
    }

    /// Adds those of other indexes.
    pub fn learn<'i>(
        &mut self,
        snapshot: &Snapshot,
        indexes: impl IntoIterator<Item = (&'i str, &'i IndexDefinition)>,
    ) {
        let tables = Tables::new(snapshot);
        for (name, index) in indexes {
            let Some(relation) = tables.relation(&index.table) else { continue };
            let extent = tables.extent(relation);
            let of = |target: &KeyTarget| match target {
                KeyTarget::Column(name) => relation.column(name).and_then(|c| statistics(relation, c)),
                KeyTarget::Expression(_) => None,
            };
            let correlation =
                index.keys.first().and_then(|key| of(&key.target)?.correlation).map_or(0.0, f64::from);
            let keys = index.keys.iter().map(|key| match &key.target {
                KeyTarget::Column(name) => {
                    (model::quote_identifier(name), of(&key.target).map(|s| s.distinct(extent.rows)))
                }
                KeyTarget::Expression(text) => (text.clone(), None),
            });
            let heap = Heap {
                pages: extent.pages.max(1) as f64,
                rows: extent.rows.max(1.0),
                // The planner takes less where there are more columns; rows with one value of the first lie together
                // just the same.
                in_order: correlation.powi(2).min(1.0),
                keys: keys.collect(),
            };
            self.by_index.insert(name.to_owned(), heap);
        }
    }

    /// What a scan at a leaf does to its table; `None` where it reads it in order, or not at all.
    pub fn visits(&self, scan: &Json) -> Option<Visits> {
        let rows_out = number(scan, "Plan Rows").unwrap_or(1.0).max(1.0);
        let (name, rows) = match kind(scan) {
            "Index Scan" => {
                let name = text(scan, "Index Name")?;
                (name.to_owned(), self.rows_found(name, scan, rows_out))
            }
            "Bitmap Heap Scan" => {
                let bitmap = children(scan).iter().find(|c| kind(c).starts_with("Bitmap"))?;
                let mut names = std::collections::BTreeSet::new();
                index_names(bitmap, &mut names);
                (names.into_iter().next()?, number(bitmap, "Plan Rows").unwrap_or(rows_out).max(rows_out))
            }
            _ => return None,
        };
        let heap = self.by_index.get(&name)?;
        let in_order = (rows * heap.pages / heap.rows).ceil().min(rows);
        let mut each = heap.in_order * in_order + (1.0 - heap.in_order) * rows;
        if kind(scan) == "Bitmap Heap Scan" {
            // Each page once, in order.
            each = each.min(self.pages(heap.pages, each));
        }
        let charged = (cost(scan) - rows * self.costs.row).max(0.0);
        Some(Visits { each, charged, pages: heap.pages, costs: self.costs })
    }

    /// The order in which a scan gives rows.
    pub fn order(&self, scan: &Json) -> Order {
        let in_table_order = Order { first_key: None, of_table: 1.0 };
        if !matches!(kind(scan), "Index Scan" | "Index Only Scan") {
            return in_table_order;
        }
        let heap = text(scan, "Index Name").and_then(|name| self.by_index.get(name));
        heap.map_or(in_table_order, |heap| Order {
            first_key: heap.keys.first().map(|(key, _)| key.clone()),
            of_table: heap.in_order,
        })
    }

    /// What a node does with the rows of the scan right below it, when it is a hash aggregate with many groups.
    pub fn grouped(&self, above: &Json, scan: &Json) -> Option<Grouped> {
        let many = number(above, "Plan Rows")? >= MANY_GROUPS;
        if kind(above) != "Aggregate" || text(above, "Strategy") != Some("Hashed") || !many {
            return None;
        }
        let key = above.get("Group Key")?.as_array()?.first()?.as_str()?;
        let alias = format!("{}.", model::quote_identifier(text(scan, "Alias")?));
        let column = key.strip_prefix(&alias).unwrap_or(key).to_owned();
        let of = (text(scan, "Relation Name")?.to_owned(), column.clone());
        let table_in_order = self.in_order.get(&of).copied().unwrap_or(0.0);
        Some(Grouped { column, table_in_order, rows: number(scan, "Plan Rows")? })
    }

    /// Rows that an index scan fetches before its filter is asked. What the condition of the index keeps is told by
    /// the plan where there is no filter, and by the number of values where the first keys are compared for equality.
    fn rows_found(&self, name: &str, scan: &Json, rows_out: f64) -> f64 {
        if scan.get("Filter").is_none() {
            return rows_out;
        }
        let Some(heap) = self.by_index.get(name) else { return rows_out };
        let condition = text(scan, "Index Cond").unwrap_or("");
        let mut found = heap.rows;
        let mut compared = 0;
        for (key, distinct) in &heap.keys {
            if !condition.contains(&format!("({key} = ")) {
                break;
            }
            found /= distinct.unwrap_or(heap.rows);
            compared += 1;
        }
        // A condition of another kind keeps a part that the plan does not tell.
        if compared == 0 || condition.matches(" AND ").count() + 1 > compared {
            return rows_out;
        }
        found.clamp(rows_out, heap.rows.max(rows_out))
    }

    /// Pages read by so many visits at random places.
    fn pages(&self, pages: f64, visits: f64) -> f64 {
        pages_fetched(pages, visits, self.costs.cache_pages)
    }
}

impl Visits {
    /// What so many executions cost beyond what the planner says, in its units.
    pub fn not_charged(&self, executions: f64) -> f64 {
        let visits = self.each * executions;
        let fetched = pages_fetched(self.pages, visits, self.costs.cache_pages);
        let pages = (fetched * self.costs.random_page - self.charged * executions).max(0.0);
        pages + VISIT_COST * (visits - fetched).max(0.0)
    }
}

impl Grouped {
    /// What so many executions cost beyond what the planner says when rows come in an order, in its units.
    pub fn not_charged(&self, order: &Order, executions: f64) -> f64 {
        if order.first_key.as_ref() == Some(&self.column) {
            return 0.0;
        }
        GROUP_COST * self.rows * executions * (1.0 - order.of_table * self.table_in_order)
    }
}

/// The formula of Mackert and Lohman as `index_pages_fetched` has it, without the share of the cache that other
/// tables of the statement take.
fn pages_fetched(pages: f64, visits: f64, cache_pages: f64) -> f64 {
    if pages <= cache_pages {
        return (2.0 * pages * visits / (2.0 * pages + visits)).min(pages).min(visits);
    }
    let limit = 2.0 * pages * cache_pages / (2.0 * pages - cache_pages);
    let fetched = if visits <= limit {
        2.0 * pages * visits / (2.0 * pages + visits)
    } else {
        cache_pages + (visits - limit) * (pages - cache_pages) / pages
    };
    fetched.min(visits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{index, snapshot, table};

    fn heaps() -> Heaps {
        let mut snapshot = snapshot();
        // 120,000 pages.
        snapshot.relations = vec![table(
            "items",
            6e6,
            &["supplier int distinct=10000", "key int corr=1", "shipped int distinct=2500"],
        )];
        snapshot.indexes = vec![
            index("items", "by_supplier", &["supplier"], false),
            index("items", "by_key", &["key"], false),
        ];
        Heaps::of(&snapshot)
    }

    fn scan(name: &str, condition: &str, filter: bool, rows: u64, cost: f64) -> Json {
        let mut scan = json!({"Node Type": "Index Scan", "Index Name": name, "Index Cond": condition,
            "Plan Rows": rows, "Total Cost": cost});
        if filter {
            scan["Filter"] = json!("(shipped > 7)");
        }
        scan
    }

    #[test]
    fn pages_that_were_divided_among_too_many_executions_are_charged() {
        // The planner expected ten thousand executions: 12 pages each at 4, of a table of 120,000.
        let visits = heaps().visits(&scan("by_supplier", "(supplier = s.id)", true, 183, 57.0)).unwrap();
        assert_eq!(visits.each, 600.0, "a filter comes after the visit");
        let found = visits.not_charged(800.0);
        let (all, charged) = (120_000.0 * 4.0, 800.0 * 48.0);
        assert!((found - (all - charged + VISIT_COST * 360_000.0)).abs() < 0.01 * found, "{found}");
        // With as many executions as it expected, only visits remain.
        let expected = visits.not_charged(10_000.0);
        assert!((expected - VISIT_COST * 5_880_000.0).abs() < 0.01 * expected, "{expected}");
    }

    #[test]
    fn rows_that_lie_in_order_are_not_visited_one_by_one() {
        let visits = heaps().visits(&scan("by_key", "(key > 7)", false, 100_000, 9_500.0)).unwrap();
        assert!(visits.not_charged(1.0) < 0.001 * 9_500.0, "{visits:?}");
    }

    #[test]
    fn groups_that_are_met_at_random_are_charged() {
        let heaps = heaps();
        let above = json!({"Node Type": "Aggregate", "Strategy": "Hashed", "Plan Rows": 500_000, "Group Key": ["i.key"]});
        let of = |mut scan: Json| {
            scan["Alias"] = json!("i");
            scan["Relation Name"] = json!("items");
            let grouped = heaps.grouped(&above, &scan).unwrap();
            grouped.not_charged(&heaps.order(&scan), 1.0)
        };
        let only =
            |name: &str| json!({"Node Type": "Index Only Scan", "Index Name": name, "Plan Rows": 6_000_000});
        assert_eq!(of(json!({"Node Type": "Seq Scan", "Plan Rows": 6_000_000})), 0.0);
        assert_eq!(of(only("by_key")), 0.0);
        assert!((of(only("by_supplier")) - 600_000.0).abs() < 1e-6);
        let few = json!({"Node Type": "Aggregate", "Strategy": "Hashed", "Plan Rows": 5_000, "Group Key": ["i.key"]});
        assert_eq!(heaps.grouped(&few, &only("by_supplier")), None);
    }

    #[test]
    fn what_reads_no_table_at_random_places_is_believed() {
        let heaps = heaps();
        let seq = json!({"Node Type": "Seq Scan", "Plan Rows": 6_000_000, "Total Cost": 180_000.0});
        let only = json!({"Node Type": "Index Only Scan", "Index Name": "by_supplier", "Plan Rows": 600});
        assert_eq!((heaps.visits(&seq), heaps.visits(&only)), (None, None));
        // A few rows cost what the planner says.
        let few = heaps.visits(&scan("by_supplier", "(supplier = 5)", false, 600, 2_420.0)).unwrap();
        assert!(few.not_charged(1.0) < 0.01 * 2_420.0);
    }
}
