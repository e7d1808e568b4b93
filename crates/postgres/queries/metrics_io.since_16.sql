SELECT /* pgwright:metrics_io */
    s.backend_type,
    s.object,
    s.context,
    s.reads,
    s.reads * s.op_bytes AS read_bytes,
    s.read_time / 1000 AS read_time,
    s.writes,
    s.writes * s.op_bytes AS write_bytes,
    s.write_time / 1000 AS write_time,
    s.extends,
    s.extend_time / 1000 AS extend_time,
    s.hits,
    s.evictions,
    s.reuses,
    s.fsyncs,
    s.fsync_time / 1000 AS fsync_time
FROM pg_catalog.pg_stat_io AS s
WHERE s.reads > 0 OR s.writes > 0 OR s.extends > 0 OR s.hits > 0 OR s.fsyncs > 0
ORDER BY s.backend_type, s.object, s.context
