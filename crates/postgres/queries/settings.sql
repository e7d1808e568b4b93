SELECT /* pgwright:settings */
    s.name,
    -- What pgwright has set in its own session is not a setting of the server: RESET would bring
    -- back what counts for the role.
    CASE WHEN s.source = 'session' OR s.name LIKE 'transaction\_%' THEN s.reset_val ELSE s.setting END AS setting,
    s.unit,
    s.vartype,
    CASE
        WHEN s.source <> 'session' THEN s.source
        WHEN s.reset_val IS NOT DISTINCT FROM s.boot_val THEN 'default'
        ELSE 'changed'
    END AS source,
    s.context,
    s.category
FROM pg_catalog.pg_settings AS s
ORDER BY s.name COLLATE "C"
