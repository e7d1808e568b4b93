SELECT /* pgwright:session_samples */
    pg_catalog.statement_timestamp() AS now,
    -- Each session is one piece of 37 bytes, and an active one has what it waits for and a zero behind that: whoever takes the
    -- answer ten times a second spends more on rows and columns than the server does on putting them together. A second
    -- aggregate would cost the server as much as all of this.
    pg_catalog.string_agg(
        pg_catalog.int4send(a.pid)
            || pg_catalog.oidsend(a.datid)
            || pg_catalog.oidsend(a.usesysid)
            || pg_catalog.int8send(COALESCE(a.query_id, 0))
            || pg_catalog.timestamptz_send(COALESCE(a.query_start, '-infinity'))
            || pg_catalog.timestamptz_send(COALESCE(a.state_change, '-infinity'))
            || CASE
                WHEN a.state = 'active'
                    THEN '\x61'::pg_catalog.bytea
                        || COALESCE(pg_catalog.textsend(a.wait_event_type || ': ' || a.wait_event), '')
                        || '\x00'
                WHEN a.state IN ('idle', 'idle in transaction') THEN '\x69'
                WHEN a.state IS NULL THEN '\x68'
                ELSE '\x6f'
            END,
        ''
    ) AS sessions
-- The view on this function joins names of users and databases, which takes as long as the rest. No catalog is read: when
-- somebody has locked one is when it matters most to see who waits.
FROM pg_catalog.pg_stat_get_activity(NULL) AS a
WHERE a.pid <> pg_catalog.pg_backend_pid()
  AND a.datid IS NOT NULL
  AND (
      $1::pg_catalog.timestamptz IS NULL
      OR a.state_change >= $1
      OR a.state = 'active'
      OR a.state IS NULL
  )
  -- Of a session that the role may not see not even this is told.
  AND COALESCE(a.backend_type, 'client backend') = 'client backend'
