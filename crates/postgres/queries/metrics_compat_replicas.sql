SELECT /* pgwright:metrics_compat_replicas */
    coalesce(r.application_name, '') AS application_name,
    coalesce(pg_catalog.host(r.client_addr), '') AS client_addr,
    coalesce(r.state, '') AS state,
    coalesce(s.slot_name::pg_catalog.text, '') AS slot_name,
    pg_catalog.max(pg_catalog.pg_wal_lsn_diff(c.lsn, '0/0'))::pg_catalog.float8 AS current,
    pg_catalog.max(pg_catalog.pg_wal_lsn_diff(c.lsn, r.replay_lsn))::pg_catalog.float8 AS lsn_diff
FROM pg_catalog.pg_stat_replication AS r
LEFT JOIN pg_catalog.pg_replication_slots AS s ON s.active_pid = r.pid
CROSS JOIN (
    SELECT CASE
        WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn()
        ELSE pg_catalog.pg_current_wal_lsn()
    END AS lsn
) AS c
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
