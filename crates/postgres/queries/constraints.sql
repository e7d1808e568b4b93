SELECT /* pgwright:constraints */
    o.conname::pg_catalog.text AS name,
    n.nspname::pg_catalog.text AS table_schema,
    c.relname::pg_catalog.text AS table_name,
    o.contype::pg_catalog.text AS contype,
    coalesce(k.columns, '{}') AS columns,
    rn.nspname::pg_catalog.text AS referenced_schema,
    r.relname::pg_catalog.text AS referenced_name,
    coalesce(f.columns, '{}') AS referenced_columns,
    o.conparentid = 0 AS enforced_here,
    o.convalidated AS validated,
    pg_catalog.pg_get_constraintdef(o.oid) AS definition
FROM pg_catalog.pg_constraint AS o
JOIN pg_catalog.pg_class AS c ON c.oid = o.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class AS r ON r.oid = o.confrelid
LEFT JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
CROSS JOIN LATERAL (
    SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY u.n) AS columns
    FROM pg_catalog.unnest(o.conkey) WITH ORDINALITY AS u (attnum, n)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = o.conrelid AND a.attnum = u.attnum
) AS k
CROSS JOIN LATERAL (
    SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY u.n) AS columns
    FROM pg_catalog.unnest(o.confkey) WITH ORDINALITY AS u (attnum, n)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = o.confrelid AND a.attnum = u.attnum
) AS f
WHERE o.contype IN ('p', 'u', 'f', 'c', 'x')
    AND c.relpersistence <> 't'
    AND n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pgwright'])
    AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)'
    -- A foreign key to a partitioned table has a row for each partition of that table, on the same
    -- referencing table: bookkeeping, not a constraint that somebody declared.
    AND NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_constraint AS q
        WHERE o.contype = 'f' AND q.oid = o.conparentid AND q.conrelid = o.conrelid
    )
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C", o.conname COLLATE "C"
