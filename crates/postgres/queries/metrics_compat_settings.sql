SELECT /* pgwright:metrics_compat_settings */
    pg_catalog.translate(s.name, '.-', '__')
        || CASE
            WHEN u.factor IS NULL THEN ''
            WHEN s.unit IN ('us', 'ms', 's', 'min', 'h', 'd') THEN '_seconds'
            ELSE '_bytes'
        END AS name,
    CASE
        WHEN s.vartype = 'bool' THEN (s.setting = 'on')::pg_catalog.int4::pg_catalog.float8
        -- Says that something is off or that there is no limit, whatever the unit.
        WHEN s.setting = '-1' THEN -1
        ELSE s.setting::pg_catalog.float8 * coalesce(u.factor, 1)
    END AS value
FROM (
    SELECT
        a.name,
        a.unit,
        a.vartype,
        -- What this session has set is not what the server has.
        CASE
            WHEN a.source = 'session' OR a.name = 'transaction_read_only' THEN a.reset_val
            ELSE a.setting
        END AS setting
    FROM pg_catalog.pg_settings AS a
) AS s
LEFT JOIN (VALUES
    ('us', 0.000001::pg_catalog.float8), ('ms', 0.001), ('s', 1), ('min', 60), ('h', 3600), ('d', 86400),
    ('B', 1), ('kB', 1024), ('8kB', 8192), ('16kB', 16384), ('32kB', 32768), ('MB', 1048576), ('16MB', 16777216),
    ('GB', 1073741824), ('TB', 1099511627776)
) AS u (unit, factor) ON u.unit = s.unit
WHERE s.vartype IN ('bool', 'integer', 'real')
    AND (s.unit IS NULL OR u.factor IS NOT NULL)
ORDER BY 1
