SELECT /* pgwright:metrics_compat_roles */
    r.rolname::pg_catalog.text AS rolname,
    r.rolconnlimit AS connection_limit
FROM pg_catalog.pg_roles AS r
ORDER BY r.rolname COLLATE "C"
