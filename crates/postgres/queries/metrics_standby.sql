SELECT /* pgwright:metrics_standby */
    pg_catalog.pg_wal_lsn_diff(
        pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())::pg_catalog.int8 AS unreplayed,
    -- On an idle primary nothing is replayed and nothing is behind: the time since the last replayed commit
    -- would grow all the same.
    CASE
        WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0
        ELSE extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())
    END::pg_catalog.float8 AS lag,
    pg_catalog.pg_is_wal_replay_paused()::pg_catalog.int4 AS paused,
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_wal_receiver AS r WHERE r.status = 'streaming') AS receiving
WHERE pg_catalog.pg_is_in_recovery()
