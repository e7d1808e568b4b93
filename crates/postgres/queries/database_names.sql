SELECT /* pgwright:database_names */
    d.oid,
    d.datname::pg_catalog.text AS datname
FROM pg_catalog.pg_database AS d
