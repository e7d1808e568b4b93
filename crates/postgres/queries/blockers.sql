SELECT /* pgwright:blockers */
    a.pid,
    a.usename::pg_catalog.text AS "user",
    a.application_name,
    a.state,
    a.xact_start,
    a.query_start,
    a.query
FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids($1)) AS b (pid)
-- Prepared transactions block with process 0, which no session has.
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid
ORDER BY a.xact_start, a.pid
