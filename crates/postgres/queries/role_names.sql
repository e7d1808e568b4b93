SELECT /* pgwright:role_names */
    r.oid,
    r.rolname::pg_catalog.text AS rolname
FROM pg_catalog.pg_roles AS r
