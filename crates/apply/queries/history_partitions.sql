SELECT /* pgwright:history_partitions */
    p.relname::pg_catalog.text AS parent,
    c.relname::pg_catalog.text AS name,
    pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS bound
FROM pg_catalog.pg_class AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.relnamespace
JOIN pg_catalog.pg_inherits AS i ON i.inhparent = p.oid
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
WHERE n.nspname = 'pgwright' AND p.relkind = 'p' AND p.relname LIKE 'history\_%'
    AND c.relnamespace = n.oid
