SELECT /* pgwright:create_index_progress */
    p.pid,
    p.relid AS table_oid,
    p.index_relid AS index_oid,
    p.command,
    p.phase,
    p.lockers_total,
    p.lockers_done,
    p.current_locker_pid,
    p.blocks_total,
    p.blocks_done,
    p.tuples_total,
    p.tuples_done,
    p.partitions_total,
    p.partitions_done
FROM pg_catalog.pg_stat_progress_create_index AS p
WHERE p.pid = $1
