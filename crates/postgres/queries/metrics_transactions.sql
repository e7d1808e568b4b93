SELECT /* pgwright:metrics_transactions */
    d.datname::pg_catalog.text AS datname,
    coalesce(pg_catalog.max(extract(epoch FROM c.now - a.xact_start)), 0)::pg_catalog.float8 AS longest_transaction,
    coalesce(pg_catalog.max(extract(epoch FROM c.now - a.state_change))
        FILTER (WHERE a.state LIKE 'idle in transaction%'), 0)::pg_catalog.float8 AS longest_idle,
    coalesce(pg_catalog.max(extract(epoch FROM c.now - a.query_start))
        FILTER (WHERE a.state = 'active'), 0)::pg_catalog.float8 AS longest_statement,
    coalesce(pg_catalog.max(greatest(pg_catalog.age(a.backend_xmin), pg_catalog.age(a.backend_xid))), 0)::pg_catalog.int8
        AS oldest_xmin_age,
    pg_catalog.count(*) FILTER (WHERE a.wait_event_type = 'Lock') AS waiting,
    coalesce(pg_catalog.max(extract(epoch FROM c.now - a.query_start))
        FILTER (WHERE a.wait_event_type = 'Lock'), 0)::pg_catalog.float8 AS longest_waiting
FROM (SELECT pg_catalog.clock_timestamp() AS now) AS c
CROSS JOIN pg_catalog.pg_database AS d
LEFT JOIN pg_catalog.pg_stat_activity AS a
    ON a.datname = d.datname
    AND a.backend_type = 'client backend'
    AND a.pid <> pg_catalog.pg_backend_pid()
WHERE d.datallowconn
GROUP BY d.datname
ORDER BY d.datname COLLATE "C"
