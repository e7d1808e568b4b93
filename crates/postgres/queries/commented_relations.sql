SELECT /* pgwright:commented_relations */
    n.nspname::pg_catalog.text AS schema,
    c.relname::pg_catalog.text AS name
FROM pg_catalog.pg_description AS d
JOIN pg_catalog.pg_class AS c ON c.oid = d.objoid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.objsubid = 0
    AND c.relkind IN ('r', 'p', 'm', 'f')
    AND n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pgwright'])
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
