SELECT /* pgwright:metrics_compat_slots */
    s.slot_name::pg_catalog.text AS slot_name,
    coalesce(s.database::pg_catalog.text, '') AS database,
    s.active::pg_catalog.int4 AS active,
    pg_catalog.pg_wal_lsn_diff(c.lsn, s.restart_lsn)::pg_catalog.float8 AS lsn_diff
FROM pg_catalog.pg_replication_slots AS s
CROSS JOIN (
    SELECT CASE
        WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn()
        ELSE pg_catalog.pg_current_wal_lsn()
    END AS lsn
) AS c
ORDER BY s.slot_name
