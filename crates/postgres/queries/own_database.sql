SELECT /* pgwright:own_database */ a.datid
FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a
