select /* pgwright:journal_entries */
    entry_id, run_id, recommendation_id, title, position, created_at, created_by, pgwright_version,
    promised, measured, verified_at, status
from pgwright.applied
where $1::bigint is null or entry_id = $1
order by entry_id
