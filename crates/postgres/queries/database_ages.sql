SELECT /* pgwright:database_ages */
    d.datname::pg_catalog.text AS name,
    pg_catalog.age(d.datfrozenxid)::pg_catalog.int8 AS xid_age,
    pg_catalog.mxid_age(d.datminmxid)::pg_catalog.int8 AS mxid_age
FROM pg_catalog.pg_database AS d
ORDER BY d.datname COLLATE "C"
