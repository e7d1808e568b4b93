SELECT /* pgwright:metrics_server */
    pg_catalog.current_setting('server_version') AS version,
    1 AS info,
    extract(epoch FROM pg_catalog.pg_postmaster_start_time())::pg_catalog.float8 AS start_time,
    extract(epoch FROM pg_catalog.pg_conf_load_time())::pg_catalog.float8 AS conf_load_time,
    pg_catalog.pg_is_in_recovery()::pg_catalog.int4 AS in_recovery,
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_settings AS s WHERE s.pending_restart) AS pending_restart,
    pg_catalog.current_setting('max_connections')::pg_catalog.int8 AS max_connections,
    pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int8 AS reserved_connections,
    pg_catalog.current_setting('autovacuum_freeze_max_age')::pg_catalog.int8 AS freeze_max_age,
    pg_catalog.current_setting('autovacuum')::pg_catalog.bool::pg_catalog.int4 AS autovacuum
