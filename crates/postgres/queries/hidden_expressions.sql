WITH /* pgwright:hidden_expressions */ RECURSIVE used (oid) AS (
    SELECT pg_catalog.to_regclass(wanted.name)::pg_catalog.oid
    FROM pg_catalog.unnest($1) AS wanted (name)
    UNION
    -- What the rules of a view read.
    SELECT d.refobjid
    FROM used
    JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = used.oid
    JOIN pg_catalog.pg_depend AS d
        ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
)
SELECT
    c.oid::pg_catalog.regclass::pg_catalog.text AS relation,
    pg_catalog.pg_get_viewdef(c.oid) AS expression
FROM used
JOIN pg_catalog.pg_class AS c ON c.oid = used.oid
WHERE c.relkind = 'v'
UNION ALL
SELECT
    c.oid::pg_catalog.regclass::pg_catalog.text,
    'SELECT ' || pg_catalog.pg_get_expr(p.polqual, p.polrelid)
FROM used
JOIN pg_catalog.pg_class AS c ON c.oid = used.oid
JOIN pg_catalog.pg_policy AS p ON p.polrelid = c.oid
WHERE c.relrowsecurity AND p.polqual IS NOT NULL
ORDER BY 1, 2
