SELECT /* pgwright:statements_reset */
    -- Before 1.9 the extension does not say.
    NULL::pg_catalog.int8 AS dealloc,
    NULL::pg_catalog.timestamptz AS stats_reset
