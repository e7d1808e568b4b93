SELECT /* pgwright:extended_statistics */
    sn.nspname::pg_catalog.text AS schema,
    s.stxname::pg_catalog.text AS name,
    n.nspname::pg_catalog.text AS table_schema,
    c.relname::pg_catalog.text AS table_name,
    pg_catalog.pg_get_statisticsobjdef(s.oid) AS definition,
    coalesce(k.columns, '{}') AS columns,
    nullif(s.stxstattarget, -1)::pg_catalog.int4 AS target,
    ARRAY(SELECT u.kind::pg_catalog.text FROM pg_catalog.unnest(s.stxkind) AS u (kind)) AS kinds
FROM pg_catalog.pg_statistic_ext AS s
JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.stxnamespace
JOIN pg_catalog.pg_class AS c ON c.oid = s.stxrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY u.n) AS columns
    FROM pg_catalog.unnest(s.stxkeys::pg_catalog.int2[]) WITH ORDINALITY AS u (attnum, n)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = s.stxrelid AND a.attnum = u.attnum
) AS k
WHERE c.relpersistence <> 't'
    AND n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pgwright'])
    AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)'
ORDER BY sn.nspname COLLATE "C", s.stxname COLLATE "C"
