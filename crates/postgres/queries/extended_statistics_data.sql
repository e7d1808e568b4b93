SELECT /* pgwright:extended_statistics_data */
    s.statistics_schemaname::pg_catalog.text AS schema,
    s.statistics_name::pg_catalog.text AS name,
    false AS inherited,
    '{}'::pg_catalog.text[] AS expressions,
    s.n_distinct::pg_catalog.text AS n_distinct,
    s.dependencies::pg_catalog.text AS dependencies,
    s.most_common_vals::pg_catalog.text AS most_common_vals,
    s.most_common_freqs,
    s.most_common_base_freqs
FROM pg_catalog.pg_stats_ext AS s
WHERE s.schemaname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pgwright'])
    AND s.schemaname !~ '^pg_(toast|temp_|toast_temp_)'
ORDER BY s.statistics_schemaname COLLATE "C", s.statistics_name COLLATE "C"
