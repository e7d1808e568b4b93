SELECT /* pgwright:relations */
    c.oid,
    n.nspname::pg_catalog.text AS schema,
    c.relname::pg_catalog.text AS name,
    c.relkind::pg_catalog.text AS relkind,
    c.reltuples::pg_catalog.float8 AS reltuples,
    c.relpages,
    c.relallvisible,
    coalesce(pg_catalog.pg_relation_size(c.oid), 0) AS main_bytes,
    coalesce(pg_catalog.pg_table_size(c.oid), 0) AS table_bytes,
    CASE WHEN c.reltoastrelid <> 0 THEN coalesce(pg_catalog.pg_relation_size(c.reltoastrelid), 0) ELSE 0 END
        AS toast_bytes,
    coalesce(pg_catalog.pg_indexes_size(c.oid), 0) AS indexes_bytes,
    coalesce(c.reloptions, '{}') AS options,
    c.relpersistence = 'u' AS unlogged,
    c.relrowsecurity AS row_security,
    m.amname::pg_catalog.text AS access_method,
    -- 0 is the database's own.
    s.spcname::pg_catalog.text AS tablespace,
    pn.nspname::pg_catalog.text AS parent_schema,
    p.relname::pg_catalog.text AS parent_name,
    CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END AS partition_key,
    CASE WHEN c.relispartition THEN pg_catalog.pg_get_expr(c.relpartbound, c.oid) END AS partition_bound,
    x.extname::pg_catalog.text AS extension,
    -- A foreign table keeps no counters here.
    c.relkind <> 'f' AS counted,
    coalesce(pg_catalog.pg_stat_get_numscans(c.oid), 0) AS seq_scan,
    coalesce(pg_catalog.pg_stat_get_tuples_returned(c.oid), 0) AS seq_tup_read,
    coalesce(i.idx_scan, 0)::pg_catalog.int8 AS idx_scan,
    (coalesce(i.idx_tup_fetch, 0) + coalesce(pg_catalog.pg_stat_get_tuples_fetched(c.oid), 0))::pg_catalog.int8
        AS idx_tup_fetch,
    coalesce(pg_catalog.pg_stat_get_tuples_inserted(c.oid), 0) AS n_tup_ins,
    coalesce(pg_catalog.pg_stat_get_tuples_updated(c.oid), 0) AS n_tup_upd,
    coalesce(pg_catalog.pg_stat_get_tuples_deleted(c.oid), 0) AS n_tup_del,
    coalesce(pg_catalog.pg_stat_get_tuples_hot_updated(c.oid), 0) AS n_tup_hot_upd,
    coalesce(pg_catalog.pg_stat_get_live_tuples(c.oid), 0) AS n_live_tup,
    coalesce(pg_catalog.pg_stat_get_dead_tuples(c.oid), 0) AS n_dead_tup,
    coalesce(pg_catalog.pg_stat_get_mod_since_analyze(c.oid), 0) AS n_mod_since_analyze,
    pg_catalog.pg_stat_get_last_vacuum_time(c.oid) AS last_vacuum,
    pg_catalog.pg_stat_get_last_autovacuum_time(c.oid) AS last_autovacuum,
    pg_catalog.pg_stat_get_last_analyze_time(c.oid) AS last_analyze,
    pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid) AS last_autoanalyze,
    coalesce(pg_catalog.pg_stat_get_blocks_fetched(c.oid) - pg_catalog.pg_stat_get_blocks_hit(c.oid), 0)
        AS heap_blks_read,
    coalesce(pg_catalog.pg_stat_get_blocks_hit(c.oid), 0) AS heap_blks_hit
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN (
    -- A table may inherit from several; the first is its parent.
    SELECT h.inhrelid, h.inhparent
    FROM pg_catalog.pg_inherits AS h
    WHERE h.inhseqno = 1
) AS h ON h.inhrelid = c.oid
LEFT JOIN pg_catalog.pg_class AS p ON p.oid = h.inhparent
LEFT JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
LEFT JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
JOIN pg_catalog.pg_database AS b ON b.datname = pg_catalog.current_database()
LEFT JOIN pg_catalog.pg_tablespace AS s
    ON s.oid = CASE WHEN c.reltablespace = 0 THEN b.dattablespace ELSE c.reltablespace END
LEFT JOIN pg_catalog.pg_depend AS d
    ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.objid = c.oid
    AND d.objsubid = 0
    AND d.deptype = 'e'
    AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_extension AS x ON x.oid = d.refobjid
LEFT JOIN (
    SELECT
        i.indrelid,
        pg_catalog.sum(pg_catalog.pg_stat_get_numscans(i.indexrelid)) AS idx_scan,
        pg_catalog.sum(pg_catalog.pg_stat_get_tuples_fetched(i.indexrelid)) AS idx_tup_fetch
    FROM pg_catalog.pg_index AS i
    GROUP BY i.indrelid
) AS i ON i.indrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'm', 'f')
    AND c.relpersistence <> 't'
    AND n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pgwright'])
    AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
