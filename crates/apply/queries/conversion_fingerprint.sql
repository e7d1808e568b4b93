-- What hangs on a table, without what pgwright itself hangs there for the time of a conversion.
SELECT pg_catalog.md5(pg_catalog.concat_ws('|', c.relname, c.relnamespace, c.relowner, c.relacl, c.reloptions,
    c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull OR a.attname = $2,
        a.attisdropped, a.attacl, a.attoptions, a.attgenerated, a.attidentity, d.oid), ';' ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0),
    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', k.oid, k.conname, k.convalidated), ';' ORDER BY k.oid)
        FROM pg_catalog.pg_constraint k WHERE (k.conrelid = c.oid OR k.confrelid = c.oid) AND k.contype <> 'n'
            AND k.conname <> 'pgwright_conversion'),
    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', i.indexrelid, i.indisvalid, i.indisreplident), ';' ORDER BY i.indexrelid)
        FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND ic.relname <> ALL ($3)),
    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', t.oid, t.tgenabled, t.xmin), ';' ORDER BY t.oid)
        FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid
        WHERE t.tgrelid = c.oid AND f.pronamespace <> 'pgwright'::pg_catalog.regnamespace),
    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', p.oid, p.xmin), ';' ORDER BY p.oid)
        FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid),
    (SELECT pg_catalog.string_agg(s.oid::text, ';' ORDER BY s.oid)
        FROM pg_catalog.pg_statistic_ext s WHERE s.stxrelid = c.oid),
    (SELECT pg_catalog.string_agg(r.oid::text, ';' ORDER BY r.oid)
        FROM pg_catalog.pg_publication_rel r WHERE r.prrelid = c.oid),
    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', h.inhrelid, h.inhparent), ';' ORDER BY h.inhrelid, h.inhparent)
        FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid OR h.inhrelid = c.oid),
    (SELECT pg_catalog.string_agg(DISTINCT w.ev_class::text, ';')
        FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid
        WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.refobjid = c.oid
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass)))
FROM pg_catalog.pg_class c WHERE c.oid = $1
