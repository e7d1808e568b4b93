SELECT /* pgwright:probe */
    pg_catalog.pg_backend_pid() AS backend_pid,
    pg_catalog.current_setting('server_version_num') AS version_num,
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    pg_catalog.current_setting('transaction_read_only') AS read_only
