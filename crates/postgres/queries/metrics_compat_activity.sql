SELECT /* pgwright:metrics_compat_activity */
    d.datname::pg_catalog.text AS datname,
    s.state,
    coalesce(a.usename, '')::pg_catalog.text AS usename,
    coalesce(a.application_name, '') AS application_name,
    coalesce(a.backend_type, '') AS backend_type,
    coalesce(a.wait_event_type, '') AS wait_event_type,
    coalesce(a.wait_event, '') AS wait_event,
    pg_catalog.count(a.pid) AS sessions,
    coalesce(
        pg_catalog.max(extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)), 0)::pg_catalog.float8 AS longest
FROM pg_catalog.pg_database AS d
-- A state that nobody is in is told as 0, so that a graph of it goes down.
CROSS JOIN (VALUES
    ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'), ('fastpath function call'),
    ('disabled')
) AS s (state)
LEFT JOIN pg_catalog.pg_stat_activity AS a
    ON a.datid = d.oid
    AND a.state = s.state
GROUP BY 1, 2, 3, 4, 5, 6, 7
ORDER BY 1, 2, 3, 4, 5, 6, 7
