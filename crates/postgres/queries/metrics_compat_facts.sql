SELECT /* pgwright:metrics_compat_facts */
    extract(epoch FROM pg_catalog.now() - (SELECT a.last_archived_time FROM pg_catalog.pg_stat_archiver AS a))
        ::pg_catalog.float8 AS archive_age,
    extract(epoch FROM (SELECT b.stats_reset FROM pg_catalog.pg_stat_bgwriter AS b))::pg_catalog.float8 AS bgwriter_reset,
    t.transactions,
    t.oldest
FROM (
    SELECT
        pg_catalog.count(*) AS transactions,
        pg_catalog.max(extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start))::pg_catalog.float8 AS oldest
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.state IS DISTINCT FROM 'idle'
        AND a.query NOT LIKE 'autovacuum:%'
        AND a.xact_start IS NOT NULL
        AND a.pid <> pg_catalog.pg_backend_pid()
) AS t
