SELECT /* pgwright:metrics_slots */
    s.slot_name::pg_catalog.text AS slot,
    s.slot_type,
    s.active::pg_catalog.int4 AS active,
    pg_catalog.pg_wal_lsn_diff(c.lsn, s.restart_lsn)::pg_catalog.int8 AS retained,
    s.safe_wal_size,
    (s.wal_status = 'lost')::pg_catalog.int4 AS lost,
    greatest(pg_catalog.age(s.xmin), pg_catalog.age(s.catalog_xmin))::pg_catalog.int8 AS xmin_age
FROM pg_catalog.pg_replication_slots AS s
CROSS JOIN (
    SELECT CASE
        WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
        ELSE pg_catalog.pg_current_wal_lsn()
    END AS lsn
) AS c
ORDER BY s.slot_name
