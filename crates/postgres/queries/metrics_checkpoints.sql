SELECT /* pgwright:metrics_checkpoints */
    s.checkpoints_timed AS timed,
    s.checkpoints_req AS requested,
    NULL::pg_catalog.int8 AS done,
    s.checkpoint_write_time / 1000 AS write_time,
    s.checkpoint_sync_time / 1000 AS sync_time,
    s.buffers_checkpoint AS buffers_checkpoint,
    s.buffers_clean,
    s.maxwritten_clean,
    s.buffers_backend,
    s.buffers_backend_fsync,
    s.buffers_alloc,
    extract(epoch FROM s.stats_reset)::pg_catalog.float8 AS stats_reset
FROM pg_catalog.pg_stat_bgwriter AS s
