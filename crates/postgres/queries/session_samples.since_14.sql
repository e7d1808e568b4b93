SELECT /* pgwright:session_samples */
    a.pid,
    a.datid,
    a.usesysid,
    a.query_id,
    a.state,
    a.query_start,
    a.state_change,
    a.wait_event_type,
    a.wait_event,
    c.now
-- One row without a session when there is none: the time is always wanted.
FROM (SELECT pg_catalog.clock_timestamp() AS now) AS c
-- The view on this function joins names of users and databases, which takes as long as the rest. No catalog is read: when
-- somebody has locked one is when it matters most to see who waits.
LEFT JOIN pg_catalog.pg_stat_get_activity(NULL) AS a
  ON a.datid IS NOT NULL
  AND a.backend_type = 'client backend'
  AND a.pid <> pg_catalog.pg_backend_pid()
  AND (
      $1::pg_catalog.timestamptz IS NULL
      OR a.state IS NULL
      OR a.state = 'active'
      OR a.state_change >= $1
  )
