SELECT /* pgwright:metrics_replication */
    coalesce(r.application_name, '') AS application_name,
    coalesce(pg_catalog.host(r.client_addr), '') AS client_addr,
    pg_catalog.count(*) AS connections,
    pg_catalog.count(*) FILTER (WHERE r.state = 'streaming') AS streaming,
    pg_catalog.max(pg_catalog.pg_wal_lsn_diff(c.lsn, r.sent_lsn))::pg_catalog.int8 AS unsent,
    pg_catalog.max(pg_catalog.pg_wal_lsn_diff(c.lsn, r.flush_lsn))::pg_catalog.int8 AS unflushed,
    pg_catalog.max(pg_catalog.pg_wal_lsn_diff(c.lsn, r.replay_lsn))::pg_catalog.int8 AS unreplayed,
    pg_catalog.max(extract(epoch FROM r.flush_lag))::pg_catalog.float8 AS flush_lag,
    pg_catalog.max(extract(epoch FROM r.replay_lag))::pg_catalog.float8 AS replay_lag
FROM pg_catalog.pg_stat_replication AS r
CROSS JOIN (
    SELECT CASE
        WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn()
        ELSE pg_catalog.pg_current_wal_lsn()
    END AS lsn
) AS c
GROUP BY r.application_name, r.client_addr
ORDER BY r.application_name, r.client_addr
