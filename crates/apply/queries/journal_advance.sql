update /* pgwright:journal_advance */ pgwright.journal_step set
    status = $2,
    started_at = case when $2 in ('running', 'undoing') then pg_catalog.clock_timestamp() else started_at end,
    finished_at = case when $2 in ('running', 'undoing') then null else pg_catalog.clock_timestamp() end,
    attempts = coalesce($4, attempts),
    worker_pid = coalesce($5, worker_pid),
    worker_backend_start = coalesce($6, worker_backend_start),
    made_oid = coalesce($7, made_oid),
    made_definition = coalesce($8, made_definition),
    error = $9,
    note = coalesce($10, note)
where step_id = $1 and status = any ($3)
