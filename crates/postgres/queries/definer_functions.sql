SELECT /* pgwright:definer_functions */
    n.nspname::pg_catalog.text AS schema,
    p.proname::pg_catalog.text AS name,
    pg_catalog.pg_get_function_identity_arguments(p.oid) AS arguments,
    p.prokind = 'p' AS procedure,
    r.rolname::pg_catalog.text AS owner,
    r.rolsuper AS owner_is_superuser,
    (
        SELECT pg_catalog.substr(s.setting, pg_catalog.length('search_path=') + 1)
        FROM pg_catalog.unnest(p.proconfig) AS s (setting)
        WHERE s.setting LIKE 'search\_path=%'
    ) AS search_path,
    pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE') AS public
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_roles AS r ON r.oid = p.proowner
WHERE p.prosecdef
    AND n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pgwright'])
    AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)'
    AND NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
ORDER BY
    n.nspname COLLATE "C",
    p.proname COLLATE "C",
    pg_catalog.pg_get_function_identity_arguments(p.oid) COLLATE "C"
