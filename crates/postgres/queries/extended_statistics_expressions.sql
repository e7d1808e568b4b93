SELECT /* pgwright:extended_statistics_expressions */
    -- There are none before 14.
    NULL::pg_catalog.text AS schema,
    NULL::pg_catalog.text AS name,
    false AS inherited,
    NULL::pg_catalog.text AS expression,
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
FROM pg_catalog.pg_stats AS s
WHERE false
