SELECT /* pgwright:metrics_archiver */
    s.archived_count,
    s.failed_count,
    extract(epoch FROM s.last_archived_time)::pg_catalog.float8 AS last_archived,
    extract(epoch FROM s.last_failed_time)::pg_catalog.float8 AS last_failed,
    (pg_catalog.current_setting('archive_mode') <> 'off')::pg_catalog.int4 AS archiving
FROM pg_catalog.pg_stat_archiver AS s
