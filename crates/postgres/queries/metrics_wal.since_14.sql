SELECT /* pgwright:metrics_wal */
    CASE
        WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
        ELSE pg_catalog.pg_current_wal_lsn()
    END - '0/0'::pg_catalog.pg_lsn AS position,
    w.wal_records AS records,
    w.wal_fpi AS full_page_images,
    w.wal_bytes::pg_catalog.float8 AS bytes,
    w.wal_buffers_full AS buffers_full
FROM pg_catalog.pg_stat_wal AS w
