select /* pgwright:conversion_load */
    coalesce((
        select max(pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(r.replay_lsn, r.flush_lsn, r.sent_lsn)))
        from pg_stat_replication r where r.state = 'streaming'), 0)::bigint as lag_bytes,
    coalesce((
        select max(age(a.backend_xmin)) from pg_stat_activity a where a.pid <> pg_backend_pid()), 0)::bigint as horizon_age
