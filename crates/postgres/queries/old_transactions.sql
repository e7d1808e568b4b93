SELECT /* pgwright:old_transactions */
    a.pid,
    a.usename::pg_catalog.text AS "user",
    a.datname::pg_catalog.text AS database,
    a.application_name,
    a.state,
    a.xact_start,
    a.state_change,
    a.backend_xid::pg_catalog.text AS backend_xid,
    a.backend_xmin::pg_catalog.text AS backend_xmin,
    pg_catalog.age(a.backend_xmin) AS xmin_age,
    a.query
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid <> pg_catalog.pg_backend_pid()
    AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
    -- A snapshot of another database holds up nothing in this one, except shared catalogs.
    AND a.datname = pg_catalog.current_database()
    -- Vacuum is exempt from the wait, and so is one index build from another since 14.
    AND a.backend_type IN ('client backend', 'parallel worker', 'background worker')
ORDER BY a.xact_start NULLS LAST, a.pid
