WITH /* pgwright:metrics_compat_tables */ locked AS (
    -- Asking for the size of a relation waits for whoever changes it.
    SELECT DISTINCT l.relation
    FROM pg_catalog.pg_locks AS l
    JOIN pg_catalog.pg_database AS d ON d.oid = l.database
    WHERE d.datname = pg_catalog.current_database() AND l.mode = 'AccessExclusiveLock'
)
SELECT
    t.schemaname::pg_catalog.text AS schemaname,
    t.relname::pg_catalog.text AS relname,
    coalesce(extract(epoch FROM t.last_vacuum), 0)::pg_catalog.float8 AS last_vacuum,
    coalesce(extract(epoch FROM t.last_autovacuum), 0)::pg_catalog.float8 AS last_autovacuum,
    coalesce(extract(epoch FROM t.last_analyze), 0)::pg_catalog.float8 AS last_analyze,
    coalesce(extract(epoch FROM t.last_autoanalyze), 0)::pg_catalog.float8 AS last_autoanalyze,
    t.analyze_count,
    t.autoanalyze_count,
    CASE WHEN k.relation IS NULL THEN pg_catalog.pg_indexes_size(t.relid) END AS index_size,
    coalesce(i.idx_blks_read, 0) AS idx_blks_read,
    coalesce(i.idx_blks_hit, 0) AS idx_blks_hit,
    coalesce(i.toast_blks_read, 0) AS toast_blks_read,
    coalesce(i.toast_blks_hit, 0) AS toast_blks_hit,
    coalesce(i.tidx_blks_read, 0) AS tidx_blks_read,
    coalesce(i.tidx_blks_hit, 0) AS tidx_blks_hit
FROM pg_catalog.pg_stat_user_tables AS t
JOIN pg_catalog.pg_statio_user_tables AS i ON i.relid = t.relid
LEFT JOIN locked AS k ON k.relation = t.relid
ORDER BY t.n_live_tup DESC, t.schemaname COLLATE "C", t.relname COLLATE "C"
