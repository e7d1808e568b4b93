SELECT /* pgwright:relation_ages */
    n.nspname::pg_catalog.text AS schema,
    c.relname::pg_catalog.text AS name,
    tn.nspname::pg_catalog.text AS toast_of_schema,
    t.relname::pg_catalog.text AS toast_of_name,
    pg_catalog.age(c.relfrozenxid)::pg_catalog.int8 AS xid_age,
    pg_catalog.mxid_age(c.relminmxid)::pg_catalog.int8 AS mxid_age
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class AS t ON t.reltoastrelid = c.oid AND c.relkind = 't'
LEFT JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
WHERE c.relkind IN ('r', 'm', 't')
    AND c.relpersistence <> 't'
    -- An access method of its own may keep no transaction ids.
    AND c.relfrozenxid <> '0'::pg_catalog.xid
ORDER BY
    greatest(pg_catalog.age(c.relfrozenxid), pg_catalog.mxid_age(c.relminmxid)) DESC,
    n.nspname COLLATE "C",
    c.relname COLLATE "C"
LIMIT 500
