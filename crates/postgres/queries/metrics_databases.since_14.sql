SELECT /* pgwright:metrics_databases */
    d.datname::pg_catalog.text AS datname,
    s.numbackends::pg_catalog.int8 AS numbackends,
    s.xact_commit,
    s.xact_rollback,
    s.blks_read,
    s.blks_hit,
    s.tup_returned,
    s.tup_fetched,
    s.tup_inserted,
    s.tup_updated,
    s.tup_deleted,
    s.conflicts,
    s.temp_files,
    s.temp_bytes,
    s.deadlocks,
    s.checksum_failures,
    s.blk_read_time / 1000 AS blk_read_time,
    s.blk_write_time / 1000 AS blk_write_time,
    s.session_time / 1000 AS session_time,
    s.active_time / 1000 AS active_time,
    s.idle_in_transaction_time / 1000 AS idle_in_transaction_time,
    s.sessions,
    s.sessions_abandoned,
    s.sessions_fatal,
    s.sessions_killed,
    extract(epoch FROM s.stats_reset)::pg_catalog.float8 AS stats_reset,
    pg_catalog.age(d.datfrozenxid)::pg_catalog.int8 AS xid_age,
    pg_catalog.mxid_age(d.datminmxid)::pg_catalog.int8 AS mxid_age,
    d.datconnlimit::pg_catalog.int8 AS connection_limit
FROM pg_catalog.pg_database AS d
JOIN pg_catalog.pg_stat_database AS s ON s.datid = d.oid
WHERE d.datallowconn
ORDER BY d.datname COLLATE "C"
