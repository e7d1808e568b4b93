SELECT /* pgwright:statements_info */
    0::pg_catalog.int8 AS dealloc,
    NULL::pg_catalog.timestamptz AS stats_reset,
    coalesce(pg_catalog.current_setting('pg_stat_statements.max', true), '0') AS max,
    coalesce(pg_catalog.current_setting('pg_stat_statements.track', true), '') AS track,
    (
        SELECT pg_catalog.count(*)
        FROM @extschema@.pg_stat_statements(false) AS s
        JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
        WHERE
            s.queryid IS NULL AND d.datname = pg_catalog.current_database()
            -- The function is open to everybody; who may not read the view must hear of it here.
            AND NOT EXISTS (SELECT FROM @extschema@.pg_stat_statements WHERE false)
    ) AS hidden
