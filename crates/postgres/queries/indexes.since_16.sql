SELECT /* pgwright:indexes */
    i.indexrelid AS oid,
    n.nspname::pg_catalog.text AS schema,
    c.relname::pg_catalog.text AS name,
    tn.nspname::pg_catalog.text AS table_schema,
    t.relname::pg_catalog.text AS table_name,
    m.amname::pg_catalog.text AS access_method,
    i.indisunique AS "unique",
    i.indisprimary AS "primary",
    i.indisexclusion AS exclusion,
    i.indisvalid AS valid,
    i.indnullsnotdistinct AS nulls_not_distinct,
    i.indisreplident AS replica_identity,
    i.indisclustered AS clustered,
    NOT i.indimmediate AS deferrable,
    EXISTS (
        SELECT
        FROM pg_catalog.pg_constraint AS f
        WHERE f.contype = 'f' AND f.conindid = i.indexrelid
    ) AS referenced,
    -- REINDEX CONCURRENTLY builds the indexes of a table one after the other.
    EXISTS (
        SELECT
        FROM pg_catalog.pg_stat_progress_create_index AS b
        WHERE b.datid = d.oid
            AND (b.index_relid = i.indexrelid OR (b.relid = i.indrelid AND b.command LIKE 'REINDEX%'))
    ) AS building,
    i.indnkeyatts AS key_count,
    k.columns,
    k.expressions,
    k.options,
    k.collation_schemas,
    k.collation_names,
    k.opclass_schemas,
    k.opclass_names,
    coalesce(pg_catalog.pg_indexam_has_property(m.oid, 'can_order'), false) AS can_order,
    pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate,
    coalesce(c.reloptions, '{}') AS "with",
    pg_catalog.pg_get_indexdef(i.indexrelid) AS indexdef,
    o.conname::pg_catalog.text AS "constraint",
    pn.nspname::pg_catalog.text AS parent_schema,
    p.relname::pg_catalog.text AS parent_name,
    c.relpages,
    c.reltuples::pg_catalog.float8 AS reltuples,
    coalesce(pg_catalog.pg_relation_size(c.oid), 0) AS main_bytes,
    coalesce(pg_catalog.pg_total_relation_size(c.oid), 0) AS bytes,
    coalesce(pg_catalog.pg_stat_get_numscans(c.oid), 0) AS idx_scan,
    coalesce(pg_catalog.pg_stat_get_tuples_returned(c.oid), 0) AS idx_tup_read,
    pg_catalog.pg_stat_get_lastscan(c.oid) AS last_idx_scan
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
JOIN pg_catalog.pg_database AS d ON d.datname = pg_catalog.current_database()
CROSS JOIN LATERAL (
    -- One element per column of the index, included ones too; opclass, collation and options are
    -- those of key columns only, so they are shorter vectors.
    SELECT
        pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY u.n) AS columns,
        pg_catalog.array_agg(
            CASE WHEN u.attnum = 0 THEN pg_catalog.pg_get_indexdef(i.indexrelid, u.n::pg_catalog.int4, false) END
            ORDER BY u.n
        ) AS expressions,
        pg_catalog.array_agg(coalesce(i.indoption[u.n - 1], 0::pg_catalog.int2) ORDER BY u.n) AS options,
        pg_catalog.array_agg(ln.nspname::pg_catalog.text ORDER BY u.n) AS collation_schemas,
        pg_catalog.array_agg(l.collname::pg_catalog.text ORDER BY u.n) AS collation_names,
        pg_catalog.array_agg(qn.nspname::pg_catalog.text ORDER BY u.n) AS opclass_schemas,
        pg_catalog.array_agg(q.opcname::pg_catalog.text ORDER BY u.n) AS opclass_names
    FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS u (attnum, n)
    LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.attnum AND u.attnum <> 0
    LEFT JOIN pg_catalog.pg_attribute AS x ON x.attrelid = i.indexrelid AND x.attnum = u.n
    LEFT JOIN pg_catalog.pg_type AS y ON y.oid = x.atttypid
    LEFT JOIN pg_catalog.pg_collation AS l
        ON l.oid = i.indcollation[u.n - 1]
        AND l.oid <> coalesce(a.attcollation, y.typcollation)
    LEFT JOIN pg_catalog.pg_namespace AS ln ON ln.oid = l.collnamespace
    LEFT JOIN pg_catalog.pg_opclass AS q ON q.oid = i.indclass[u.n - 1] AND NOT q.opcdefault
    LEFT JOIN pg_catalog.pg_namespace AS qn ON qn.oid = q.opcnamespace
) AS k
LEFT JOIN pg_catalog.pg_constraint AS o
    ON o.conindid = i.indexrelid
    AND o.conrelid = i.indrelid
    AND o.contype IN ('p', 'u', 'x')
LEFT JOIN pg_catalog.pg_inherits AS h ON h.inhrelid = i.indexrelid
LEFT JOIN pg_catalog.pg_class AS p ON p.oid = h.inhparent
LEFT JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
WHERE t.relkind IN ('r', 'p', 'm')
    AND t.relpersistence <> 't'
    AND tn.nspname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pgwright'])
    AND tn.nspname !~ '^pg_(toast|temp_|toast_temp_)'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
