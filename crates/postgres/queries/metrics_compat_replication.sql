SELECT /* pgwright:metrics_compat_replication */
    CASE
        WHEN NOT pg_catalog.pg_is_in_recovery() THEN 0
        WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0
        ELSE greatest(0, extract(epoch FROM pg_catalog.now() - pg_catalog.pg_last_xact_replay_timestamp()))
    END::pg_catalog.float8 AS lag,
    pg_catalog.pg_is_in_recovery()::pg_catalog.int4 AS is_replica,
    greatest(0, extract(epoch FROM pg_catalog.now() - pg_catalog.pg_last_xact_replay_timestamp()))::pg_catalog.float8
        AS last_replay
