WITH /* pgwright:metrics_indexes */ locked AS (
    -- Asking for the size of a relation waits for whoever changes it.
    SELECT DISTINCT l.relation
    FROM pg_catalog.pg_locks AS l
    JOIN pg_catalog.pg_database AS d ON d.oid = l.database
    WHERE d.datname = pg_catalog.current_database() AND l.mode = 'AccessExclusiveLock'
), block AS (
    SELECT pg_catalog.current_setting('block_size')::pg_catalog.int8 AS size
)
SELECT
    n.nspname::pg_catalog.text AS schema,
    t.relname::pg_catalog.text AS "table",
    c.relname::pg_catalog.text AS index,
    CASE
        WHEN k.relation IS NULL THEN pg_catalog.pg_relation_size(c.oid)
        ELSE c.relpages * b.size
    END AS size,
    pg_catalog.pg_stat_get_numscans(c.oid) AS idx_scan,
    pg_catalog.pg_stat_get_tuples_returned(c.oid) AS idx_tup_read,
    pg_catalog.pg_stat_get_tuples_fetched(c.oid) AS idx_tup_fetch,
    pg_catalog.pg_stat_get_blocks_fetched(c.oid) - pg_catalog.pg_stat_get_blocks_hit(c.oid) AS blks_read,
    pg_catalog.pg_stat_get_blocks_hit(c.oid) AS blks_hit
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN block AS b
LEFT JOIN locked AS k ON k.relation = c.oid
WHERE c.relkind = 'i'
    AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND n.nspname !~ '^pg_toast'
ORDER BY c.relpages DESC, n.nspname COLLATE "C", c.relname COLLATE "C"
