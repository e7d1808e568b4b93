SELECT /* pgwright:session_samples */
    a.pid,
    NULL::pg_catalog.int8 AS query_id,
    -- Before 14 no session says which statement it runs.
    a.state,
    a.query_start,
    a.state_change,
    a.wait_event_type,
    a.wait_event,
    c.now
-- One row without a session when there is none: the time is always wanted.
FROM (SELECT pg_catalog.clock_timestamp() AS now) AS c
LEFT JOIN pg_catalog.pg_stat_activity AS a
  ON a.datname = pg_catalog.current_database()
  AND a.backend_type = 'client backend'
  AND a.pid <> pg_catalog.pg_backend_pid()
