select /* pgwright:journal_entries */
    entry_id, run_id, recommendation_id, title, position, created_at, created_by, pgwright_version,
    promised, measured, verified_at, status,
    -- Version 2 of the schema brought these columns.
    (pg_catalog.to_jsonb(a) ->> 'kept_at')::timestamptz as kept_at
from pgwright.applied a
where $1::bigint is null or entry_id = $1
order by entry_id
