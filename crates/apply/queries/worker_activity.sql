select /* pgwright:apply_worker_activity */
    a.state,
    a.wait_event_type,
    a.wait_event,
    coalesce(ci.phase, va.phase, an.phase) as phase,
    coalesce(ci.blocks_done, va.heap_blks_scanned, an.sample_blks_scanned) as blocks_done,
    coalesce(ci.blocks_total, va.heap_blks_total, an.sample_blks_total) as blocks_total,
    ci.tuples_done,
    ci.tuples_total,
    ci.lockers_done,
    ci.lockers_total
from pg_catalog.pg_stat_activity a
left join pg_catalog.pg_stat_progress_create_index ci on ci.pid = a.pid
left join pg_catalog.pg_stat_progress_vacuum va on va.pid = a.pid
left join pg_catalog.pg_stat_progress_analyze an on an.pid = a.pid
where a.pid = $1
  and (a.backend_start = $2
       -- Hidden from this role; then only the lock that every change holds tells that it is the one.
       or a.backend_start is null
          and exists (select from pg_catalog.pg_locks l
                      where l.pid = a.pid and l.locktype = 'relation' and l.mode = 'ShareUpdateExclusiveLock'))
