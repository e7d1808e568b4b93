WITH /* pgwright:metrics_connections */ seen AS (
    SELECT a.datname, a.state, pg_catalog.count(*) AS sessions
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.backend_type = 'client backend'
    GROUP BY a.datname, a.state
)
-- A state that nobody is in is a zero and no gap. Sessions whose state the role may not see have none.
SELECT
    d.datname::pg_catalog.text AS datname,
    s.state,
    coalesce(seen.sessions, 0) AS sessions
FROM pg_catalog.pg_database AS d
CROSS JOIN (VALUES
    ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'), ('fastpath function call'),
    ('disabled'), ('hidden')
) AS s (state)
LEFT JOIN seen ON seen.datname = d.datname AND coalesce(seen.state, 'hidden') = s.state
WHERE d.datallowconn
ORDER BY d.datname COLLATE "C", s.state
