SELECT /* pgwright:sequences */
    n.nspname::pg_catalog.text AS schema,
    c.relname::pg_catalog.text AS name,
    pg_catalog.format_type(s.seqtypid, NULL) AS data_type,
    s.seqincrement AS increment,
    s.seqmin AS min_value,
    s.seqmax AS max_value,
    s.seqcycle AS cycle,
    -- The function fails without the privilege, and on a standby for what is not written to its log.
    CASE
        WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT, USAGE')
            AND (c.relpersistence = 'p' OR NOT pg_catalog.pg_is_in_recovery())
        THEN pg_catalog.pg_sequence_last_value(c.oid)
    END AS last_value,
    tn.nspname::pg_catalog.text AS table_schema,
    t.relname::pg_catalog.text AS table_name,
    a.attname::pg_catalog.text AS column_name,
    coalesce(u.owned, false) AS owned,
    coalesce(u.identity, false) AS identity
FROM pg_catalog.pg_sequence AS s
JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    -- The column that owns it, or else the first one whose default calls it.
    SELECT x.relid, x.attnum, x.owned, x.identity
    FROM (
        SELECT d.refobjid AS relid, d.refobjsubid AS attnum, true AS owned, d.deptype = 'i' AS identity
        FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.objid = c.oid
            AND d.objsubid = 0
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.refobjsubid > 0
            AND d.deptype IN ('a', 'i')
        UNION ALL
        SELECT f.adrelid, f.adnum, false, false
        FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_attrdef AS f ON f.oid = d.objid
        WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.refobjid = c.oid
    ) AS x
    ORDER BY x.owned DESC, x.relid, x.attnum
    LIMIT 1
) AS u ON true
LEFT JOIN pg_catalog.pg_class AS t ON t.oid = u.relid
LEFT JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = u.relid AND a.attnum = u.attnum
WHERE c.relpersistence <> 't'
    AND n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pgwright'])
    AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
