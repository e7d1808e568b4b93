SELECT /* pgwright:metrics_database_sizes */
    d.datname::pg_catalog.text AS datname,
    pg_catalog.pg_database_size(d.oid) AS size
FROM pg_catalog.pg_database AS d
-- The function raises an error for who may neither connect nor read all statistics.
WHERE pg_catalog.has_database_privilege(d.oid, 'CONNECT')
    OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
ORDER BY d.datname COLLATE "C"
