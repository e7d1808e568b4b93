SELECT /* pgwright:metrics_jobs */
    j.jobid::pg_catalog.text AS jobid,
    coalesce(j.jobname, '') AS job_name,
    j.active::pg_catalog.int4 AS active,
    (r.status = 'succeeded')::pg_catalog.int4 AS last_succeeded,
    extract(epoch FROM r.start_time)::pg_catalog.float8 AS last_start,
    extract(epoch FROM coalesce(r.end_time, pg_catalog.clock_timestamp()) - r.start_time)::pg_catalog.float8 AS last_duration,
    coalesce(f.failures, 0) AS recent_failures
FROM cron.job AS j
LEFT JOIN LATERAL (
    -- By the primary key, backwards: there is no index on the job.
    SELECT d.status, d.start_time, d.end_time
    FROM cron.job_run_details AS d
    WHERE d.jobid = j.jobid AND d.status IN ('succeeded', 'failed')
    ORDER BY d.runid DESC
    LIMIT 1
) AS r ON true
LEFT JOIN LATERAL (
    SELECT pg_catalog.count(*) AS failures
    FROM cron.job_run_details AS d
    WHERE d.jobid = j.jobid AND d.status = 'failed' AND d.start_time > pg_catalog.clock_timestamp() - '1 day'::pg_catalog.interval
) AS f ON true
ORDER BY j.jobid
