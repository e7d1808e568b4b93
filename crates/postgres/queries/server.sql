SELECT /* pgwright:server */
    pg_catalog.transaction_timestamp() AS taken_at,
    pg_catalog.current_setting('server_version_num')::pg_catalog.int4 AS version_num,
    pg_catalog.current_setting('server_version') AS version,
    d.datname::pg_catalog.text AS database,
    current_user::pg_catalog.text AS "user",
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    pg_catalog.pg_postmaster_start_time() AS started_at,
    pg_catalog.pg_stat_get_db_stat_reset_time(d.oid) AS stats_reset,
    pg_catalog.pg_encoding_to_char(d.encoding)::pg_catalog.text AS encoding,
    d.datcollate::pg_catalog.text AS collate,
    d.datctype::pg_catalog.text AS ctype,
    pg_catalog.pg_database_size(d.oid) AS database_bytes
FROM pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database()
