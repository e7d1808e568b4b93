select /* pgwright:journal_steps */
    step_id, entry_id, position, change, sql, undo_sql, status, planned_at, started_at, finished_at,
    attempts, worker_pid, worker_backend_start, made_oid, made_definition, error, note,
    -- Version 2 of the schema brought this column.
    (pg_catalog.to_jsonb(t) ->> 'undoes')::bigint as undoes
from pgwright.journal_step t
where $1::bigint is null or entry_id = $1
order by entry_id, position
