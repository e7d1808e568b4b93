SELECT /* pgwright:metrics_settings */
    s.name,
    -- In bytes, seconds or plain numbers; -1 and 0 keep their special meaning.
    CASE
        WHEN s.vartype = 'bool' THEN s.setting::pg_catalog.bool::pg_catalog.int4::pg_catalog.float8
        WHEN s.setting::pg_catalog.float8 <= 0 THEN s.setting::pg_catalog.float8
        ELSE s.setting::pg_catalog.float8 * CASE s.unit
            WHEN 'B' THEN 1
            WHEN 'kB' THEN 1024
            WHEN '8kB' THEN 8192
            WHEN 'MB' THEN 1048576
            WHEN 'us' THEN 0.000001
            WHEN 'ms' THEN 0.001
            WHEN 'min' THEN 60
            ELSE 1
        END
    END AS setting
FROM (
    SELECT
        a.name,
        a.unit,
        a.vartype,
        -- What this session has set is not what the server has.
        CASE WHEN a.source = 'session' THEN a.reset_val ELSE a.setting END AS setting
    FROM pg_catalog.pg_settings AS a
) AS s
WHERE s.vartype IN ('integer', 'real', 'bool')
    AND s.name NOT LIKE '%.%'
    AND (
        s.name LIKE 'autovacuum%'
        OR s.name LIKE 'checkpoint%'
        OR s.name LIKE 'max\_%'
        OR s.name LIKE 'vacuum%'
        OR s.name IN (
            'effective_cache_size', 'fsync', 'full_page_writes', 'hash_mem_multiplier', 'hot_standby_feedback',
            'idle_in_transaction_session_timeout', 'io_workers', 'jit', 'maintenance_work_mem', 'min_wal_size',
            'random_page_cost', 'seq_page_cost', 'shared_buffers', 'statement_timeout', 'track_io_timing',
            'track_wal_io_timing', 'wal_buffers', 'wal_compression', 'wal_keep_size', 'work_mem'
        )
    )
ORDER BY s.name
