SELECT /* pgwright:table_indexes */
    x.relname::pg_catalog.text AS name,
    pg_catalog.pg_get_indexdef(i.indexrelid) AS definition,
    i.indisunique AS "unique",
    i.indisprimary AS "primary",
    i.indisvalid AS valid,
    o.conname::pg_catalog.text AS "constraint",
    pg_catalog.pg_stat_get_numscans(i.indexrelid) AS idx_scan,
    x.relpages::pg_catalog.int8 * pg_catalog.current_setting('block_size')::pg_catalog.int8 AS estimated_bytes
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid
JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
LEFT JOIN pg_catalog.pg_constraint AS o
    ON o.conindid = i.indexrelid
    AND o.conrelid = i.indrelid
    AND o.contype IN ('p', 'u', 'x')
WHERE n.nspname = $1 AND c.relname = $2
ORDER BY i.indisprimary DESC, x.relname COLLATE "C"
