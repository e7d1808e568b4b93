SELECT /* pgwright:table_facts */
    c.relkind::pg_catalog.text AS relkind,
    pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
    coalesce(c.reloptions, '{}') AS options,
    CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END AS partition_key,
    CASE WHEN c.relispartition THEN pg_catalog.pg_get_expr(c.relpartbound, c.oid) END AS partition_bound,
    p.nspname::pg_catalog.text AS parent_schema,
    p.relname::pg_catalog.text AS parent_name
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT pn.nspname, pc.relname
    FROM pg_catalog.pg_inherits AS h
    JOIN pg_catalog.pg_class AS pc ON pc.oid = h.inhparent
    JOIN pg_catalog.pg_namespace AS pn ON pn.oid = pc.relnamespace
    WHERE h.inhrelid = c.oid AND h.inhseqno = 1
) AS p ON true
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'm', 'f', 'v')
