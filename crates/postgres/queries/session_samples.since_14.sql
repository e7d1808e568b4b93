SELECT /* pgwright:session_samples */
    -- The own session is always there, without a number, so that the time is.
    NULLIF(a.pid, pg_catalog.pg_backend_pid()) AS pid,
    a.datid,
    a.usesysid,
    a.query_id,
    a.state,
    a.query_start,
    a.state_change,
    a.wait_event_type,
    a.wait_event,
    pg_catalog.statement_timestamp() AS now
-- The view on this function joins names of users and databases, which takes as long as the rest. No catalog is read: when
-- somebody has locked one is when it matters most to see who waits.
FROM pg_catalog.pg_stat_get_activity(NULL) AS a
WHERE a.pid = pg_catalog.pg_backend_pid()
   OR a.datid IS NOT NULL
  AND (
      $1::pg_catalog.timestamptz IS NULL
      OR a.state_change >= $1
      OR a.state = 'active'
      OR a.state IS NULL
  )
  AND a.backend_type = 'client backend'
