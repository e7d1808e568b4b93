SELECT /* pgwright:extended_statistics_expressions */
    s.statistics_schemaname::pg_catalog.text AS schema,
    s.statistics_name::pg_catalog.text AS name,
    false AS inherited,
    s.expr AS expression,
    s.null_frac,
    s.avg_width,
    s.n_distinct,
    s.most_common_vals::pg_catalog.text AS most_common_vals,
    s.most_common_freqs,
    s.histogram_bounds::pg_catalog.text AS histogram_bounds,
    s.correlation,
    s.most_common_elems::pg_catalog.text AS most_common_elems,
    s.most_common_elem_freqs,
    s.elem_count_histogram
FROM pg_catalog.pg_stats_ext_exprs AS s
WHERE s.schemaname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pgwright'])
    AND s.schemaname !~ '^pg_(toast|temp_|toast_temp_)'
ORDER BY s.statistics_schemaname COLLATE "C", s.statistics_name COLLATE "C"
