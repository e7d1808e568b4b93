SELECT /* pgwright:function_facts */
    wanted.name,
    n.nspname::pg_catalog.text AS schema,
    p.provolatile = 'v' AS volatile,
    l.lanname::pg_catalog.text AS language,
    -- Objects below this OID are made by initdb (FirstNormalObjectId in access/transam.h).
    p.oid < 16384 OR EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
    ) AS provided,
    -- A body in standard SQL (BEGIN ATOMIC) is stored as a tree.
    coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) AS source
FROM pg_catalog.unnest($1) AS wanted (name)
-- Without a schema, whichever schema a function of that name comes from, the worst one counts.
JOIN pg_catalog.pg_proc AS p ON p.proname = pg_catalog.regexp_replace(wanted.name, '^.*[.]', '')
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
ORDER BY wanted.name COLLATE "C", n.nspname COLLATE "C", p.oid
