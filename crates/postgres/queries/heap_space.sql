SELECT /* pgwright:heap_space */
    s.table_len,
    s.tuple_count,
    s.tuple_len
FROM @extschema@.pgstattuple(($1)::pg_catalog.oid::pg_catalog.regclass) AS s
