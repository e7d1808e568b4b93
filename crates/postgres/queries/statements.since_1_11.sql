WITH /* pgwright:statements */ entry AS (
    SELECT
        s.queryid,
        s.query,
        s.toplevel,
        s.userid,
        s.calls,
        s.plans,
        s.total_plan_time,
        s.total_exec_time,
        s.min_exec_time,
        s.max_exec_time,
        s.mean_exec_time,
        s.stddev_exec_time,
        s.rows,
        s.shared_blks_hit,
        s.shared_blks_read,
        s.shared_blks_dirtied,
        s.shared_blks_written,
        s.temp_blks_read,
        s.temp_blks_written,
        s.shared_blk_read_time AS blk_read_time,
        s.shared_blk_write_time AS blk_write_time,
        s.wal_records,
        s.wal_bytes,
        s.stats_since
    FROM @extschema@.pg_stat_statements AS s
    JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
    WHERE d.datname = pg_catalog.current_database()
)
-- Summed over users. The variance of all calls is the mean of squares less the square of the mean.
SELECT
    e.queryid,
    coalesce(pg_catalog.min(e.query), '') AS query,
    e.toplevel,
    pg_catalog.sum(e.calls)::pg_catalog.int8 AS calls,
    pg_catalog.sum(e.plans)::pg_catalog.int8 AS plans,
    pg_catalog.sum(e.total_plan_time) AS total_plan_time,
    pg_catalog.sum(e.total_exec_time) AS total_exec_time,
    pg_catalog.min(e.min_exec_time) AS min_exec_time,
    pg_catalog.max(e.max_exec_time) AS max_exec_time,
    coalesce(pg_catalog.sum(e.total_exec_time) / nullif(pg_catalog.sum(e.calls), 0)::pg_catalog.float8, 0) AS mean_exec_time,
    pg_catalog.sqrt(greatest(0, coalesce(
        pg_catalog.sum(e.calls * (e.stddev_exec_time ^ 2 + e.mean_exec_time ^ 2)) / nullif(pg_catalog.sum(e.calls), 0)::pg_catalog.float8
        - (pg_catalog.sum(e.total_exec_time) / nullif(pg_catalog.sum(e.calls), 0)::pg_catalog.float8) ^ 2,
        0
    ))) AS stddev_exec_time,
    pg_catalog.sum(e.rows)::pg_catalog.int8 AS rows,
    pg_catalog.sum(e.shared_blks_hit)::pg_catalog.int8 AS shared_blks_hit,
    pg_catalog.sum(e.shared_blks_read)::pg_catalog.int8 AS shared_blks_read,
    pg_catalog.sum(e.shared_blks_dirtied)::pg_catalog.int8 AS shared_blks_dirtied,
    pg_catalog.sum(e.shared_blks_written)::pg_catalog.int8 AS shared_blks_written,
    pg_catalog.sum(e.temp_blks_read)::pg_catalog.int8 AS temp_blks_read,
    pg_catalog.sum(e.temp_blks_written)::pg_catalog.int8 AS temp_blks_written,
    pg_catalog.sum(e.blk_read_time) AS blk_read_time,
    pg_catalog.sum(e.blk_write_time) AS blk_write_time,
    pg_catalog.sum(e.wal_records)::pg_catalog.int8 AS wal_records,
    pg_catalog.sum(e.wal_bytes)::pg_catalog.int8 AS wal_bytes,
    pg_catalog.min(e.stats_since) AS stats_since
FROM entry AS e
-- Entries of other roles have neither identifier nor text for one who may not see them.
WHERE e.queryid IS NOT NULL
    AND coalesce(e.query, '') NOT LIKE '%/* pgwright:%'
GROUP BY e.queryid, e.toplevel
ORDER BY total_exec_time DESC, e.queryid, e.toplevel
