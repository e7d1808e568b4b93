SELECT /* pgwright:extensions */
    e.extname::pg_catalog.text AS name,
    e.extversion AS version,
    n.nspname::pg_catalog.text AS schema
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
ORDER BY e.extname
