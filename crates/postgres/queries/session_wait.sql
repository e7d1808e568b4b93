SELECT /* pgwright:session_wait */
    a.state,
    a.wait_event_type,
    a.wait_event,
    pg_catalog.cardinality(pg_catalog.pg_blocking_pids(a.pid)) AS blockers
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid = $1
