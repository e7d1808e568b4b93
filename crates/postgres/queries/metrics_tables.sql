WITH /* pgwright:metrics_tables */ setting AS (
    SELECT
        pg_catalog.current_setting('autovacuum_vacuum_threshold')::pg_catalog.float8 AS threshold,
        pg_catalog.current_setting('autovacuum_vacuum_scale_factor')::pg_catalog.float8 AS scale,
        pg_catalog.current_setting('block_size')::pg_catalog.int8 AS block
), locked AS (
    -- Asking for the size of a relation waits for whoever changes it.
    SELECT DISTINCT l.relation
    FROM pg_catalog.pg_locks AS l
    JOIN pg_catalog.pg_database AS d ON d.oid = l.database
    WHERE d.datname = pg_catalog.current_database() AND l.mode = 'AccessExclusiveLock'
)
SELECT
    n.nspname::pg_catalog.text AS schema,
    c.relname::pg_catalog.text AS "table",
    c.reltuples::pg_catalog.float8 AS rows,
    CASE
        WHEN k.relation IS NULL THEN pg_catalog.pg_table_size(c.oid)
        ELSE c.relpages * s.block
    END AS size,
    pg_catalog.pg_stat_get_live_tuples(c.oid) AS live,
    pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead,
    s.threshold + s.scale * greatest(c.reltuples, 0) AS trigger,
    pg_catalog.pg_stat_get_mod_since_analyze(c.oid) AS mod_since_analyze,
    pg_catalog.pg_stat_get_numscans(c.oid) AS seq_scan,
    pg_catalog.pg_stat_get_tuples_returned(c.oid) AS seq_tup_read,
    i.idx_scan,
    pg_catalog.pg_stat_get_tuples_fetched(c.oid) + i.idx_tup_fetch AS idx_tup_fetch,
    pg_catalog.pg_stat_get_tuples_inserted(c.oid) AS inserted,
    pg_catalog.pg_stat_get_tuples_updated(c.oid) AS updated,
    pg_catalog.pg_stat_get_tuples_deleted(c.oid) AS deleted,
    pg_catalog.pg_stat_get_tuples_hot_updated(c.oid) AS hot_updated,
    pg_catalog.pg_stat_get_blocks_fetched(c.oid) - pg_catalog.pg_stat_get_blocks_hit(c.oid) AS blks_read,
    pg_catalog.pg_stat_get_blocks_hit(c.oid) AS blks_hit,
    pg_catalog.pg_stat_get_vacuum_count(c.oid) AS vacuums,
    pg_catalog.pg_stat_get_autovacuum_count(c.oid) AS autovacuums,
    pg_catalog.pg_stat_get_analyze_count(c.oid) + pg_catalog.pg_stat_get_autoanalyze_count(c.oid) AS analyzes,
    extract(epoch FROM greatest(
        pg_catalog.pg_stat_get_last_vacuum_time(c.oid),
        pg_catalog.pg_stat_get_last_autovacuum_time(c.oid)))::pg_catalog.float8 AS last_vacuum,
    extract(epoch FROM greatest(
        pg_catalog.pg_stat_get_last_analyze_time(c.oid),
        pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)))::pg_catalog.float8 AS last_analyze,
    CASE WHEN c.relfrozenxid <> '0'::pg_catalog.xid THEN pg_catalog.age(c.relfrozenxid) END AS xid_age
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN setting AS s
LEFT JOIN locked AS k ON k.relation = c.oid
LEFT JOIN (
    SELECT
        x.indrelid,
        pg_catalog.sum(pg_catalog.pg_stat_get_numscans(x.indexrelid))::pg_catalog.int8 AS idx_scan,
        pg_catalog.sum(pg_catalog.pg_stat_get_tuples_fetched(x.indexrelid))::pg_catalog.int8 AS idx_tup_fetch
    FROM pg_catalog.pg_index AS x
    GROUP BY x.indrelid
) AS i ON i.indrelid = c.oid
WHERE c.relkind IN ('r', 'm')
    AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND n.nspname !~ '^pg_toast'
ORDER BY c.relpages DESC, n.nspname COLLATE "C", c.relname COLLATE "C"
