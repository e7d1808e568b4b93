SELECT /* pgwright:metrics_compat_locks */
    d.datname::pg_catalog.text AS datname,
    m.mode,
    pg_catalog.count(l.pid) AS locks
FROM pg_catalog.pg_database AS d
CROSS JOIN (VALUES
    ('accesssharelock'), ('rowsharelock'), ('rowexclusivelock'), ('shareupdateexclusivelock'), ('sharelock'),
    ('sharerowexclusivelock'), ('exclusivelock'), ('accessexclusivelock'), ('sireadlock')
) AS m (mode)
LEFT JOIN pg_catalog.pg_locks AS l
    ON pg_catalog.lower(l.mode) = m.mode
    AND l.database = d.oid
GROUP BY d.datname, m.mode
ORDER BY d.datname COLLATE "C", m.mode
