SELECT /* pgwright:metrics_checkpoints */
    c.num_timed AS timed,
    c.num_requested AS requested,
    c.num_done AS done,
    c.write_time / 1000 AS write_time,
    c.sync_time / 1000 AS sync_time,
    c.buffers_written AS buffers_checkpoint,
    b.buffers_clean,
    b.maxwritten_clean,
    -- What backends write themselves is in pg_stat_io since 16, and here no more.
    NULL::pg_catalog.int8 AS buffers_backend,
    NULL::pg_catalog.int8 AS buffers_backend_fsync,
    b.buffers_alloc,
    extract(epoch FROM c.stats_reset)::pg_catalog.float8 AS stats_reset
FROM pg_catalog.pg_stat_checkpointer AS c
CROSS JOIN pg_catalog.pg_stat_bgwriter AS b
