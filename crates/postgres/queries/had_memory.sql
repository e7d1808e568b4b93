SELECT /* pgwright:had_memory */
    -- Four megabytes, and few steps to get there.
    pg_catalog.octet_length(pg_catalog.repeat(pg_catalog.repeat('x', 2048), 2048)) AS bytes
