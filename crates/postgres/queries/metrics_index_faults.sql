SELECT /* pgwright:metrics_index_faults */
    -- One that is being built is not valid yet, and no fault.
    pg_catalog.count(*) FILTER (
        WHERE NOT i.indisvalid
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid)
    ) AS invalid,
    pg_catalog.count(*) FILTER (WHERE NOT i.indisvalid) AS not_valid
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid AND c.relkind = 'i'
