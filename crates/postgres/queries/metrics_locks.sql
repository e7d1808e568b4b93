SELECT /* pgwright:metrics_locks */
    d.datname::pg_catalog.text AS datname,
    m.mode,
    pg_catalog.count(l.pid) FILTER (WHERE l.granted) AS held,
    pg_catalog.count(l.pid) FILTER (WHERE NOT l.granted) AS awaited
FROM pg_catalog.pg_database AS d
CROSS JOIN (VALUES
    ('AccessShareLock'), ('RowShareLock'), ('RowExclusiveLock'), ('ShareUpdateExclusiveLock'), ('ShareLock'),
    ('ShareRowExclusiveLock'), ('ExclusiveLock'), ('AccessExclusiveLock'), ('SIReadLock')
) AS m (mode)
LEFT JOIN pg_catalog.pg_locks AS l
    ON l.mode = m.mode
    -- Locks on transaction identifiers belong to no database; they are told by those who wait in it.
    AND l.database = d.oid
    AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
WHERE d.datallowconn
GROUP BY d.datname, m.mode
ORDER BY d.datname COLLATE "C", m.mode
