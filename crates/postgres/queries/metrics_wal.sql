SELECT /* pgwright:metrics_wal */
    CASE
        WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
        ELSE pg_catalog.pg_current_wal_lsn()
    END - '0/0'::pg_catalog.pg_lsn AS position,
    NULL::pg_catalog.int8 AS records,
    NULL::pg_catalog.int8 AS full_page_images,
    NULL::pg_catalog.float8 AS bytes,
    NULL::pg_catalog.int8 AS buffers_full
