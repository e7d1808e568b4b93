SELECT /* pgwright:index_facts */
    n.nspname::pg_catalog.text AS schema,
    t.relname::pg_catalog.text AS table_name,
    c.relname::pg_catalog.text AS name,
    m.amname::pg_catalog.text AS access_method,
    i.indisunique AS "unique",
    i.indisprimary AS "primary",
    i.indisvalid AS valid,
    i.indpred IS NOT NULL AS partial,
    o.conname::pg_catalog.text AS "constraint"
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
LEFT JOIN pg_catalog.pg_constraint AS o
    ON o.conindid = i.indexrelid
    AND o.conrelid = i.indrelid
    AND o.contype IN ('p', 'u', 'x')
WHERE c.relkind = 'i'
    AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND n.nspname !~ '^pg_toast'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
