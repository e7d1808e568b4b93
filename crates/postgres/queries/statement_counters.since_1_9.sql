SELECT /* pgwright:statement_counters */
    s.userid,
    s.dbid,
    d.datname::pg_catalog.text AS datname,
    s.queryid,
    s.toplevel AS toplevel,
    s.calls::pg_catalog.float8 AS calls,
    s.rows::pg_catalog.float8 AS rows,
    s.total_exec_time / 1000 AS exec_seconds,
    s.total_plan_time / 1000 AS plan_seconds,
    s.shared_blks_hit::pg_catalog.float8 AS shared_blks_hit,
    s.shared_blks_read::pg_catalog.float8 AS shared_blks_read,
    s.shared_blks_dirtied::pg_catalog.float8 AS shared_blks_dirtied,
    s.shared_blks_written::pg_catalog.float8 AS shared_blks_written,
    s.temp_blks_read::pg_catalog.float8 AS temp_blks_read,
    s.temp_blks_written::pg_catalog.float8 AS temp_blks_written,
    s.blk_read_time / 1000 AS read_seconds,
    s.blk_write_time / 1000 AS write_seconds,
    s.wal_bytes::pg_catalog.float8 AS wal_bytes,
    NULL::pg_catalog.timestamptz AS stats_since
-- Without texts: those are read once, for identifiers that are new.
FROM @extschema@.pg_stat_statements(false) AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
WHERE s.queryid IS NOT NULL
