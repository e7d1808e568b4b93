SELECT /* pgwright:hba_rules */
    h.line_number AS line,
    h.type AS kind,
    coalesce(h.database, '{}') AS databases,
    coalesce(h.user_name, '{}') AS users,
    h.address || coalesce('/' || h.netmask, '') AS address,
    h.auth_method AS method
FROM pg_catalog.pg_hba_file_rules AS h
WHERE h.error IS NULL AND h.type IS NOT NULL AND h.auth_method IS NOT NULL
ORDER BY h.line_number
