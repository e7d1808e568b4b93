SELECT /* pgwright:statement_texts */
    s.queryid,
    -- The first of what several roles have stored for one identifier.
    coalesce(pg_catalog.min(s.query), '') AS query
FROM @extschema@.pg_stat_statements(true) AS s
WHERE s.queryid = ANY ($1)
GROUP BY s.queryid
