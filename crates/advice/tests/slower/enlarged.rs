//! TPC-H's Q7 beside look-ups by supplier, in a snapshot that was made a hundred times as large as the database that it
//! was read from: large enough that visits of a table count, and made in seconds.

use model::snapshot::{Relation, Statement};
use model::{Bytes, Snapshot};

const TIMES: i64 = 100;

/// Look-ups that want an index on the supplier alone.
pub const BY_SUPPLIER: &str =
    "SELECT count(*) FROM lineitem WHERE l_suppkey = 5 AND l_receiptdate > l_commitdate";

pub fn statement(queryid: i64, query: &str, calls: i64, mean_ms: f64) -> Statement {
    let json = serde_json::json!({
        "queryid": queryid, "query": query, "toplevel": true, "calls": calls, "plans": 0, "total_plan_time": 0.0,
        "total_exec_time": calls as f64 * mean_ms, "min_exec_time": mean_ms, "max_exec_time": mean_ms,
        "mean_exec_time": mean_ms, "stddev_exec_time": 0.0, "rows": calls, "shared_blks_hit": 0, "shared_blks_read": 0,
        "shared_blks_dirtied": 0, "shared_blks_written": 0, "temp_blks_read": 0, "temp_blks_written": 0,
        "blk_read_time": 0.0, "blk_write_time": 0.0, "wal_records": 0, "wal_bytes": 0, "stats_since": null
    });
    serde_json::from_value(json).unwrap()
}

/// The same table with more rows: keys have as many more values, and the rest stays.
fn enlarge(relation: &mut Relation) {
    if ["region", "nation"].contains(&relation.name.name.as_str()) {
        return;
    }
    relation.reltuples *= TIMES as f64;
    relation.relpages *= TIMES;
    relation.relallvisible *= TIMES;
    relation.pages *= TIMES;
    relation.table_bytes = Bytes(relation.table_bytes.0 * TIMES as u64);
    for column in &mut relation.columns {
        let is_key = column.name.ends_with("key");
        for statistics in column.statistics.iter_mut().filter(|_| is_key) {
            if column.name.ends_with("nationkey") {
                statistics.n_distinct = 25.0;
            } else if statistics.n_distinct > 0.0 {
                statistics.n_distinct *= TIMES as f32;
            }
            (statistics.most_common_vals, statistics.most_common_freqs) = (None, None);
        }
    }
}

/// Makes a snapshot of TPC-H at scale factor 0.01 as large as one at scale factor 1.
pub fn enlarge_all(snapshot: &mut Snapshot) {
    snapshot.relations.iter_mut().for_each(enlarge);
    let settings = [
        ("random_page_cost", "1.1"),
        ("max_parallel_workers_per_gather", "0"),
        ("effective_cache_size", "1572864"),
        ("work_mem", "65536"),
    ];
    for (name, value) in settings {
        snapshot.settings.get_mut(name).unwrap().setting = value.into();
    }
}
