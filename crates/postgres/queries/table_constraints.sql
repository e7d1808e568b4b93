SELECT /* pgwright:table_constraints */
    o.conname::pg_catalog.text AS name,
    o.contype::pg_catalog.text AS kind,
    pg_catalog.pg_get_constraintdef(o.oid) AS definition,
    o.convalidated AS validated,
    o.conrelid <> c.oid AS refers_here,
    rn.nspname::pg_catalog.text AS other_schema,
    r.relname::pg_catalog.text AS other_name
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_constraint AS o
    ON o.conrelid = c.oid
    OR (o.confrelid = c.oid AND o.contype = 'f')
LEFT JOIN pg_catalog.pg_class AS r
    ON r.oid = CASE WHEN o.conrelid = c.oid THEN nullif(o.confrelid, 0::pg_catalog.oid) ELSE o.conrelid END
LEFT JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
WHERE n.nspname = $1 AND c.relname = $2
    -- Every column that is NOT NULL has one since PostgreSQL 18; the columns say so themselves.
    AND o.contype <> 'n'
ORDER BY o.conrelid <> c.oid, o.contype, o.conname COLLATE "C"
