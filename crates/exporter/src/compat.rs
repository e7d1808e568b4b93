//! How do samples look under the names of `postgres_exporter`? What pgwright samples anyway is told again under another
//! name, with other names of labels and in another unit; the little that it does not has queries of its own
//! (`postgres::metrics::COMPAT_QUERIES`).
//!
//! Source: postgres_exporter, its names and labels as it publishes them (0.11 to 0.20).

use std::collections::{BTreeMap, HashSet};

use crate::board::Chunk;
use crate::exposition::{Kind, number, sample};

/// A family under another name.
struct Renamed {
    from: &'static str,
    to: &'static str,
    /// What a value is multiplied with.
    factor: f64,
    labels: Labels,
}

/// The labels of `postgres_exporter` by those of pgwright; what is not named stays out.
type Labels = &'static [(&'static str, &'static str)];

const NONE: Labels = &[];
const DATABASE: Labels = &[("datname", "datname")];
const TABLE: Labels = &[("datname", "datname"), ("schema", "schemaname"), ("table", "relname")];
const INDEX: Labels =
    &[("datname", "datname"), ("schema", "schemaname"), ("table", "relname"), ("index", "indexrelname")];
const STATEMENT: Labels = &[("datname", "datname"), ("queryid", "queryid")];
const TEXT: Labels = &[("queryid", "queryid"), ("query", "query")];
const MILLISECONDS: f64 = 1000.0;

const fn renamed(from: &'static str, to: &'static str, factor: f64, labels: Labels) -> Renamed {
    Renamed { from, to, factor, labels }
}

const RENAMED: &[Renamed] = &[
    renamed("postgres_server_start_timestamp_seconds", "pg_postmaster_start_time_seconds", 1.0, NONE),
    renamed("postgres_database_size_bytes", "pg_database_size_bytes", 1.0, DATABASE),
    renamed("postgres_database_connection_limit", "pg_database_connection_limit", 1.0, DATABASE),
    renamed(
        "postgres_database_frozen_xid_age_transactions",
        "pg_database_wraparound_age_datfrozenxid_seconds",
        1.0,
        DATABASE,
    ),
    renamed(
        "postgres_database_frozen_multixact_age_transactions",
        "pg_database_wraparound_age_datminmxid_seconds",
        1.0,
        DATABASE,
    ),
    renamed("postgres_archiver_archived_total", "pg_stat_archiver_archived_count", 1.0, NONE),
    renamed("postgres_archiver_failed_total", "pg_stat_archiver_failed_count", 1.0, NONE),
    renamed("postgres_wal_files", "pg_wal_segments", 1.0, NONE),
    renamed("postgres_wal_size_bytes", "pg_wal_size_bytes", 1.0, NONE),
    // The view was divided in 17; both names go on, so that graphs do.
    renamed("postgres_checkpoints_timed_total", "pg_stat_bgwriter_checkpoints_timed_total", 1.0, NONE),
    renamed("postgres_checkpoints_timed_total", "pg_stat_checkpointer_num_timed_total", 1.0, NONE),
    renamed("postgres_checkpoints_requested_total", "pg_stat_bgwriter_checkpoints_req_total", 1.0, NONE),
    renamed("postgres_checkpoints_requested_total", "pg_stat_checkpointer_num_requested_total", 1.0, NONE),
    renamed(
        "postgres_checkpoint_write_seconds_total",
        "pg_stat_bgwriter_checkpoint_write_time_total",
        MILLISECONDS,
        NONE,
    ),
    renamed(
        "postgres_checkpoint_write_seconds_total",
        "pg_stat_checkpointer_write_time_total",
        MILLISECONDS,
        NONE,
    ),
    renamed(
        "postgres_checkpoint_sync_seconds_total",
        "pg_stat_bgwriter_checkpoint_sync_time_total",
        MILLISECONDS,
        NONE,
    ),
    renamed(
        "postgres_checkpoint_sync_seconds_total",
        "pg_stat_checkpointer_sync_time_total",
        MILLISECONDS,
        NONE,
    ),
    renamed(
        "postgres_checkpoint_buffers_written_total",
        "pg_stat_bgwriter_buffers_checkpoint_total",
        1.0,
        NONE,
    ),
    renamed(
        "postgres_checkpoint_buffers_written_total",
        "pg_stat_checkpointer_buffers_written_total",
        1.0,
        NONE,
    ),
    renamed("postgres_bgwriter_buffers_written_total", "pg_stat_bgwriter_buffers_clean_total", 1.0, NONE),
    renamed("postgres_bgwriter_max_written_total", "pg_stat_bgwriter_maxwritten_clean_total", 1.0, NONE),
    renamed("postgres_backend_buffers_written_total", "pg_stat_bgwriter_buffers_backend_total", 1.0, NONE),
    renamed("postgres_backend_fsyncs_total", "pg_stat_bgwriter_buffers_backend_fsync_total", 1.0, NONE),
    renamed("postgres_buffers_allocated_total", "pg_stat_bgwriter_buffers_alloc_total", 1.0, NONE),
    renamed("postgres_table_size_bytes", "pg_stat_user_tables_table_size_bytes", 1.0, TABLE),
    renamed("postgres_table_live_rows", "pg_stat_user_tables_n_live_tup", 1.0, TABLE),
    renamed("postgres_table_dead_rows", "pg_stat_user_tables_n_dead_tup", 1.0, TABLE),
    renamed(
        "postgres_table_rows_modified_since_analyze",
        "pg_stat_user_tables_n_mod_since_analyze",
        1.0,
        TABLE,
    ),
    renamed("postgres_table_sequential_scans_total", "pg_stat_user_tables_seq_scan", 1.0, TABLE),
    renamed("postgres_table_sequential_rows_read_total", "pg_stat_user_tables_seq_tup_read", 1.0, TABLE),
    renamed("postgres_table_index_scans_total", "pg_stat_user_tables_idx_scan", 1.0, TABLE),
    renamed("postgres_table_index_rows_fetched_total", "pg_stat_user_tables_idx_tup_fetch", 1.0, TABLE),
    renamed("postgres_table_rows_inserted_total", "pg_stat_user_tables_n_tup_ins", 1.0, TABLE),
    renamed("postgres_table_rows_updated_total", "pg_stat_user_tables_n_tup_upd", 1.0, TABLE),
    renamed("postgres_table_rows_deleted_total", "pg_stat_user_tables_n_tup_del", 1.0, TABLE),
    renamed("postgres_table_rows_hot_updated_total", "pg_stat_user_tables_n_tup_hot_upd", 1.0, TABLE),
    renamed("postgres_table_vacuums_total", "pg_stat_user_tables_vacuum_count", 1.0, TABLE),
    renamed("postgres_table_autovacuums_total", "pg_stat_user_tables_autovacuum_count", 1.0, TABLE),
    renamed("postgres_table_blocks_read_total", "pg_statio_user_tables_heap_blocks_read", 1.0, TABLE),
    renamed("postgres_table_blocks_hit_total", "pg_statio_user_tables_heap_blocks_hit", 1.0, TABLE),
    renamed("postgres_index_scans_total", "pg_stat_user_indexes_idx_scan", 1.0, INDEX),
    renamed("postgres_index_rows_read_total", "pg_stat_user_indexes_idx_tup_read", 1.0, INDEX),
    renamed("postgres_index_rows_fetched_total", "pg_stat_user_indexes_idx_tup_fetch", 1.0, INDEX),
    renamed("postgres_index_blocks_read_total", "pg_statio_user_indexes_idx_blks_read_total", 1.0, INDEX),
    renamed("postgres_index_blocks_hit_total", "pg_statio_user_indexes_idx_blks_hit_total", 1.0, INDEX),
    renamed("postgres_statement_calls_total", "pg_stat_statements_calls_total", 1.0, STATEMENT),
    renamed("postgres_statement_rows_total", "pg_stat_statements_rows_total", 1.0, STATEMENT),
    renamed("postgres_statement_execution_seconds_total", "pg_stat_statements_seconds_total", 1.0, STATEMENT),
    renamed(
        "postgres_statement_block_read_seconds_total",
        "pg_stat_statements_block_read_seconds_total",
        1.0,
        STATEMENT,
    ),
    renamed(
        "postgres_statement_block_write_seconds_total",
        "pg_stat_statements_block_write_seconds_total",
        1.0,
        STATEMENT,
    ),
    renamed("postgres_statement_info", "pg_stat_statements_query_id", 1.0, TEXT),
];

/// The families that are told again, under their other names.
pub(crate) fn told_again(chunks: &[Chunk]) -> Vec<Chunk> {
    let mut again = Vec::new();
    for chunk in chunks {
        for renamed in RENAMED.iter().filter(|r| r.from == chunk.name) {
            // Labels that are left out may have been all that differed: one text in two databases.
            let mut seen = HashSet::new();
            let fresh = |line: &String| {
                seen.insert(line.rsplit_once(' ').map_or(line.as_str(), |(series, _)| series).to_owned())
            };
            let text = chunk.text.lines().filter_map(|line| renamed.line(line)).filter(fresh).collect();
            again.push(Chunk::new(renamed.to, chunk.kind, chunk.help.as_str(), text));
        }
    }
    again
}

impl Renamed {
    /// A sample under its other name; nothing where the line is none.
    fn line(&self, line: &str) -> Option<String> {
        let (block, value) = parts(line)?;
        let mut labels = String::new();
        for (name, quoted) in pairs(block) {
            if let Some((_, theirs)) = self.labels.iter().find(|(ours, _)| *ours == name) {
                if !labels.is_empty() {
                    labels.push(',');
                }
                labels.push_str(theirs);
                labels.push('=');
                labels.push_str(quoted);
            }
        }
        let mut out = String::new();
        if self.factor == 1.0 {
            sample(self.to, &labels, value, &mut out);
        } else {
            sample(self.to, &labels, &number(value.parse::<f64>().ok()? * self.factor), &mut out);
        }
        Some(out)
    }
}

/// The block of labels of a sample, and its value; nothing where the line is none.
fn parts(line: &str) -> Option<(&str, &str)> {
    let (series, value) = line.rsplit_once(' ')?;
    let block = series.split_once('{').map_or("", |(_, rest)| rest.strip_suffix('}').unwrap_or(rest));
    Some((block, value))
}

/// The names and the quoted values of a block of labels.
fn pairs(block: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = block;
    while let Some((name, after)) = rest.split_once('=') {
        let mut escaped = false;
        let end = after.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end else { break };
        found.push((name, &after[..=end]));
        rest = after[end + 1..].trim_start_matches(',');
    }
    found
}

/// Settings have a family each: the label `name` becomes the end of its name.
pub(crate) fn settings(chunks: Vec<Chunk>) -> Vec<Chunk> {
    let mut families: BTreeMap<String, Chunk> = BTreeMap::new();
    for chunk in &chunks {
        for line in chunk.text.lines() {
            let Some((block, value)) = parts(line) else { continue };
            let Some((_, quoted)) = pairs(block).into_iter().find(|(name, _)| *name == "name") else {
                continue;
            };
            let setting = quoted.trim_matches('"');
            // Extensions may call a setting as they like.
            if !setting.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                continue;
            }
            let name = format!("{}_{setting}", chunk.name);
            let mut text = String::new();
            sample(&name, "", value, &mut text);
            let help = format!("Server parameter {setting}");
            families.entry(name.clone()).or_insert(Chunk::new(name, Kind::Gauge, help, text));
        }
    }
    families.into_values().collect()
}

/// How it is going, as `postgres_exporter` tells it.
pub(crate) fn health(
    up: bool,
    scrapes: u64,
    scrape_seconds: f64,
    collectors: &[(String, bool, f64)],
) -> Vec<Chunk> {
    let one = |name: &str, help: &str, value: f64| {
        let mut text = String::new();
        sample(name, "", &number(value), &mut text);
        let kind = if name.ends_with("_total") { Kind::Counter } else { Kind::Gauge };
        Chunk::new(name, kind, help, text)
    };
    let each = |name: &str, help: &str, value: &dyn Fn(bool, f64) -> f64| {
        let mut text = String::new();
        for (collector, up, seconds) in collectors {
            let mut block = String::new();
            crate::exposition::label("collector", collector, &mut block);
            sample(name, &block, &number(value(*up, *seconds)), &mut text);
        }
        Chunk::new(name, Kind::Gauge, help, text)
    };
    let flag = |is: bool| f64::from(u8::from(is));
    vec![
        one("pg_up", "Whether the server could be reached", flag(up)),
        one("pg_exporter_last_scrape_error", "Whether a collector failed the last time", {
            flag(!up || collectors.iter().any(|c| !c.1))
        }),
        one("pg_exporter_last_scrape_duration_seconds", "How long the last scrape took", scrape_seconds),
        one("pg_exporter_scrapes_total", "Scrapes that were answered", scrapes as f64),
        each("pg_scrape_collector_success", "Whether the collector's last run succeeded", &|up, _| flag(up)),
        each("pg_scrape_collector_duration_seconds", "How long its last run took", &|_, seconds| seconds),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &str, text: &str) -> Chunk {
        Chunk::new(name, Kind::Counter, "What", text.into())
    }

    #[test]
    fn a_family_is_told_again_with_other_labels_and_units() {
        let table = r#"postgres_table_index_scans_total{datname="d",schema="s",table="a\"b.c,schema="} 7"#;
        let again = told_again(&[chunk("postgres_table_index_scans_total", &format!("{table}\n"))]);
        assert_eq!(again.len(), 1);
        assert_eq!(
            again[0].text,
            "pg_stat_user_tables_idx_scan{datname=\"d\",schemaname=\"s\",relname=\"a\\\"b.c,schema=\"} 7\n"
        );
        let write = "postgres_checkpoint_write_seconds_total";
        let again = told_again(&[chunk(write, &format!("{write} 1.5\n"))]);
        let texts: Vec<&str> = again.iter().map(|c| c.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "pg_stat_bgwriter_checkpoint_write_time_total 1500\n",
                "pg_stat_checkpointer_write_time_total 1500\n"
            ]
        );
        let started = "postgres_server_start_timestamp_seconds";
        let again = told_again(&[chunk(started, &format!("{started}{{version=\"15.1 (x)\"}} 17.25\n"))]);
        assert_eq!(again[0].text, "pg_postmaster_start_time_seconds 17.25\n");
    }

    #[test]
    fn every_name_that_is_told_again_is_one_of_pgwright_and_told_once() {
        let own = crate::Exporter::metrics();
        let mut names = std::collections::BTreeSet::new();
        for renamed in RENAMED {
            assert!(own.iter().any(|m| m.0 == renamed.from), "{}", renamed.from);
            assert!(names.insert(renamed.to), "{}", renamed.to);
        }
        for metric in postgres::metrics::COMPAT_QUERIES.iter().flat_map(|q| q.metrics) {
            assert!(names.insert(metric.name), "{}", metric.name);
        }
    }

    #[test]
    fn settings_become_families() {
        let text = "pg_settings{name=\"work_mem_bytes\"} 4194304\npg_settings{name=\"odd name\"} 1\n";
        let families = settings(vec![chunk("pg_settings", text)]);
        let found: Vec<&str> = families.iter().map(|c| c.text.as_str()).collect();
        assert_eq!(found, ["pg_settings_work_mem_bytes 4194304\n"]);
    }
}
