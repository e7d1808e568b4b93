SELECT /* pgwright:metrics_compat_slot_positions */
    s.slot_name::pg_catalog.text AS slot_name,
    s.slot_type,
    s.active::pg_catalog.int4 AS active,
    pg_catalog.pg_wal_lsn_diff(c.lsn, '0/0')::pg_catalog.float8 AS current,
    pg_catalog.pg_wal_lsn_diff(coalesce(s.confirmed_flush_lsn, '0/0'), '0/0')::pg_catalog.float8 AS confirmed,
    s.safe_wal_size AS safe,
    -- Told twice: versions 0.12 to 0.19 call them otherwise than 0.20.
    s.active::pg_catalog.int4 AS active_20,
    pg_catalog.pg_wal_lsn_diff(c.lsn, '0/0')::pg_catalog.float8 AS current_20,
    pg_catalog.pg_wal_lsn_diff(coalesce(s.confirmed_flush_lsn, '0/0'), '0/0')::pg_catalog.float8 AS confirmed_20,
    s.safe_wal_size AS safe_20
FROM pg_catalog.pg_replication_slots AS s
CROSS JOIN (
    SELECT CASE
        WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn()
        ELSE pg_catalog.pg_current_wal_lsn()
    END AS lsn
) AS c
ORDER BY s.slot_name
