SELECT /* pgwright:metrics_autovacuum_workers */
    pg_catalog.count(*) FILTER (WHERE a.backend_type = 'autovacuum worker') AS workers,
    pg_catalog.current_setting('autovacuum_max_workers')::pg_catalog.int8 AS allowed
FROM pg_catalog.pg_stat_activity AS a
