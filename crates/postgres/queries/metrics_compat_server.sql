SELECT /* pgwright:metrics_compat_server */
    -- As a semantic version: 15.18 is 15.18.0.
    pg_catalog.concat(
        pg_catalog.current_setting('server_version_num')::pg_catalog.int4 / 10000, '.',
        pg_catalog.current_setting('server_version_num')::pg_catalog.int4 % 10000, '.0') AS short_version,
    pg_catalog.version() AS version,
    1 AS one
