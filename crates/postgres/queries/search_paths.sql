WITH /* pgwright:search_paths */ caller AS (
    SELECT s.userid, d.oid AS dbid, pg_catalog.sum(s.total_exec_time) AS total_exec_time
    FROM @extschema@.pg_stat_statements AS s
    JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
    WHERE d.datname = pg_catalog.current_database()
    GROUP BY s.userid, d.oid
)
SELECT
    r.rolname::pg_catalog.text AS role,
    -- As at the start of a session: the role's in this database, the role's, the database's, everybody's.
    (
        SELECT pg_catalog.substr(entry, pg_catalog.length('search_path=') + 1)
        FROM pg_catalog.pg_db_role_setting AS p
        CROSS JOIN LATERAL pg_catalog.unnest(p.setconfig) AS entry
        WHERE p.setrole IN (c.userid, 0) AND p.setdatabase IN (c.dbid, 0) AND entry LIKE 'search\_path=%'
        ORDER BY p.setrole = 0, p.setdatabase = 0
        LIMIT 1
    ) AS search_path
FROM caller AS c
JOIN pg_catalog.pg_roles AS r ON r.oid = c.userid
ORDER BY c.total_exec_time DESC, r.rolname
