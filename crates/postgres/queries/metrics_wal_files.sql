SELECT /* pgwright:metrics_wal_files */
    pg_catalog.count(*) AS files,
    coalesce(pg_catalog.sum(f.size), 0)::pg_catalog.int8 AS bytes
FROM pg_catalog.pg_ls_waldir() AS f
