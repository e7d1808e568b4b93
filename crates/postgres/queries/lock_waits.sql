WITH /* pgwright:lock_waits */ waiting AS MATERIALIZED (
    -- Asking who blocks stops the lock manager for a moment, so it is asked for those who wait and no others.
    SELECT a.pid, pg_catalog.pg_blocking_pids(a.pid) AS blockers
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.wait_event_type = 'Lock'
), involved AS (
    SELECT w.pid
    FROM waiting AS w
    UNION
    SELECT b.pid
    FROM waiting AS w
    CROSS JOIN LATERAL pg_catalog.unnest(w.blockers) AS b (pid)
)
SELECT
    i.pid,
    -- Prepared transactions block with process 0, which no session has.
    coalesce(w.blockers, '{}') AS blockers,
    a.datname::pg_catalog.text AS datname,
    a.usename::pg_catalog.text AS "user",
    a.application_name,
    pg_catalog.host(a.client_addr) AS client_addr,
    a.state,
    extract(epoch FROM c.now - a.xact_start)::pg_catalog.float8 AS xact_seconds,
    extract(epoch FROM c.now - a.query_start)::pg_catalog.float8 AS query_seconds,
    extract(epoch FROM c.now - a.state_change)::pg_catalog.float8 AS state_seconds,
    a.query,
    l.locktype,
    l.mode,
    l.relation
FROM involved AS i
CROSS JOIN (SELECT pg_catalog.clock_timestamp() AS now) AS c
LEFT JOIN waiting AS w ON w.pid = i.pid
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = i.pid
LEFT JOIN LATERAL (
    SELECT
        l.locktype,
        l.mode,
        -- Names of other databases are not known here.
        CASE
            WHEN d.datname = pg_catalog.current_database() THEN
                pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(r.relname)
        END AS relation
    FROM pg_catalog.pg_locks AS l
    LEFT JOIN pg_catalog.pg_database AS d ON d.oid = l.database
    LEFT JOIN pg_catalog.pg_class AS r ON r.oid = l.relation
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
    WHERE l.pid = i.pid AND NOT l.granted
    ORDER BY l.locktype
    LIMIT 1
) AS l ON true
ORDER BY a.xact_start NULLS FIRST, i.pid
