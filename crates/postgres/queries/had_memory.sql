SELECT /* pgwright:had_memory */ pg_catalog.octet_length(pg_catalog.repeat('x', 4194304)) AS bytes
