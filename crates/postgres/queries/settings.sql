SELECT /* pgwright:settings */
    name,
    setting,
    unit,
    vartype,
    source,
    context,
    category
FROM pg_catalog.pg_settings
ORDER BY name COLLATE "C"
