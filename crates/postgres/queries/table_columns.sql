SELECT /* pgwright:table_columns */
    a.attname::pg_catalog.text AS name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_name,
    a.attnotnull AS not_null,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS "default",
    pg_catalog.col_description(c.oid, a.attnum) AS comment,
    s.n_distinct::pg_catalog.float8 AS n_distinct,
    s.null_frac::pg_catalog.float8 AS null_frac,
    s.avg_width,
    s.correlation::pg_catalog.float8 AS correlation
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN LATERAL (
    -- With inheritance there may be two rows; that of the tree says more.
    SELECT s.n_distinct, s.null_frac, s.avg_width, s.correlation
    FROM pg_catalog.pg_stats AS s
    WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
    ORDER BY s.inherited DESC
    LIMIT 1
) AS s ON true
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'm', 'f', 'v')
ORDER BY a.attnum
