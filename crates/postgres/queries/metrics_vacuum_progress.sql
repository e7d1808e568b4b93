SELECT /* pgwright:metrics_vacuum_progress */
    p.datname::pg_catalog.text AS datname,
    p.pid::pg_catalog.text AS pid,
    p.relid::pg_catalog.text AS relid,
    p.phase,
    p.heap_blks_total,
    p.heap_blks_scanned,
    p.heap_blks_vacuumed,
    p.index_vacuum_count
FROM pg_catalog.pg_stat_progress_vacuum AS p
ORDER BY p.pid
