SELECT /* pgwright:column_statistics */
    c.oid AS table_oid,
    a.attnum,
    s.inherited,
    s.null_frac,
    s.avg_width,
    s.n_distinct,
    s.most_common_vals::pg_catalog.text AS most_common_vals,
    s.most_common_freqs,
    s.histogram_bounds::pg_catalog.text AS histogram_bounds,
    s.correlation,
    s.most_common_elems::pg_catalog.text AS most_common_elems,
    s.most_common_elem_freqs,
    s.elem_count_histogram,
    s.range_length_histogram::pg_catalog.text AS range_length_histogram,
    s.range_empty_frac,
    s.range_bounds_histogram::pg_catalog.text AS range_bounds_histogram
FROM pg_catalog.pg_stats AS s
JOIN pg_catalog.pg_namespace AS n ON n.nspname = s.schemaname
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = s.tablename
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = s.attname
WHERE c.relkind IN ('r', 'p', 'm', 'f', 'i', 'I')
    AND c.relpersistence <> 't'
    AND n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pgwright'])
    AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)'
ORDER BY c.oid, a.attnum, s.inherited
