SELECT /* pgwright:access */
    current_user::pg_catalog.text AS "user",
    pg_catalog.current_setting('is_superuser') = 'on' AS superuser,
    pg_catalog.pg_has_role('pg_monitor', 'USAGE') AS pg_monitor,
    pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS pg_read_all_stats,
    coalesce(
        (
            SELECT pg_catalog.pg_has_role(r.oid, 'USAGE')
            FROM pg_catalog.pg_roles AS r
            WHERE r.rolname = 'pg_read_all_data'
        ),
        false
    ) AS pg_read_all_data,
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS can_create_in_database,
    coalesce((SELECT s.ssl FROM pg_catalog.pg_stat_ssl AS s WHERE s.pid = pg_catalog.pg_backend_pid()), false)
        AS encrypted,
    coalesce((SELECT s.setting FROM pg_catalog.pg_settings AS s WHERE s.name = 'shared_preload_libraries'), '')
        AS shared_preload_libraries,
    coalesce((SELECT s.setting FROM pg_catalog.pg_settings AS s WHERE s.name = 'session_preload_libraries'), '')
        AS session_preload_libraries,
    -- A library that is loaded has its settings in pg_settings, whoever asks.
    EXISTS (SELECT FROM pg_catalog.pg_settings AS s WHERE s.name = 'pg_stat_statements.max')
        AS pg_stat_statements_loaded,
    EXISTS (SELECT FROM pg_catalog.pg_settings AS s WHERE s.name = 'auto_explain.log_min_duration')
        AS auto_explain_loaded,
    EXISTS (SELECT FROM pg_catalog.pg_available_extensions AS x WHERE x.name = 'pg_stat_statements')
        AS pg_stat_statements_available
