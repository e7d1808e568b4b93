SELECT /* pgwright:metrics_partitions */
    n.nspname::pg_catalog.text AS schema,
    t.relname::pg_catalog.text AS "table",
    pg_catalog.count(c.oid) AS partitions,
    coalesce(pg_catalog.sum(greatest(c.reltuples, 0)), 0)::pg_catalog.float8 AS rows,
    coalesce(pg_catalog.sum(c.relpages::pg_catalog.int8 * pg_catalog.current_setting('block_size')::pg_catalog.int8), 0)::pg_catalog.int8 AS size,
    pg_catalog.max(greatest(c.reltuples, 0)) FILTER (WHERE c.oid = p.partdefid)::pg_catalog.float8 AS default_rows,
    -- Up to when there is a partition: of ranges over one column of time, the highest upper bound.
    extract(epoch FROM pg_catalog.max(b.upper::pg_catalog.timestamptz)
        FILTER (WHERE p.partstrat = 'r' AND p.partnatts = 1 AND b.upper ~ '^\d{4,6}-\d\d-\d\d[0-9 :.+-]*$'))::pg_catalog.float8
        AS covered_until
FROM pg_catalog.pg_partitioned_table AS p
JOIN pg_catalog.pg_class AS t ON t.oid = p.partrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_inherits AS h ON h.inhparent = p.partrelid
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = h.inhrelid
LEFT JOIN LATERAL (
    SELECT pg_catalog.substring(pg_catalog.pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']*)''\)') AS upper
) AS b ON true
WHERE t.relpersistence <> 't'
GROUP BY n.nspname, t.relname
ORDER BY n.nspname COLLATE "C", t.relname COLLATE "C"
