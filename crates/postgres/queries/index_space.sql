SELECT /* pgwright:index_space */
    s.index_size,
    s.internal_pages,
    s.leaf_pages,
    s.avg_leaf_density
FROM @extschema@.pgstatindex(($1)::pg_catalog.oid::pg_catalog.regclass) AS s
