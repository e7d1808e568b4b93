SELECT /* pgwright:metrics_sequences */
    n.nspname::pg_catalog.text AS schema,
    c.relname::pg_catalog.text AS sequence,
    -- In the direction in which it goes, of what its column can hold as well.
    CASE
        WHEN s.seqincrement > 0 THEN
            (v.last_value::pg_catalog.float8 - s.seqmin) / nullif(least(s.seqmax, m.most)::pg_catalog.float8 - s.seqmin, 0)
        ELSE
            (s.seqmax - v.last_value::pg_catalog.float8) / nullif(s.seqmax::pg_catalog.float8 - s.seqmin, 0)
    END AS used
FROM pg_catalog.pg_sequence AS s
JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend AS d
    ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.objid = c.oid
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.deptype IN ('a', 'i')
    AND d.refobjsubid > 0
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
CROSS JOIN LATERAL (
    SELECT CASE a.atttypid
        WHEN 'pg_catalog.int2'::pg_catalog.regtype THEN 32767
        WHEN 'pg_catalog.int4'::pg_catalog.regtype THEN 2147483647
        ELSE 9223372036854775807
    END AS most
) AS m
JOIN pg_catalog.pg_sequences AS v
    ON v.schemaname = n.nspname AND v.sequencename = c.relname AND v.last_value IS NOT NULL
WHERE NOT s.seqcycle AND c.relpersistence <> 't'
ORDER BY used DESC NULLS LAST, n.nspname COLLATE "C", c.relname COLLATE "C"
LIMIT 50
