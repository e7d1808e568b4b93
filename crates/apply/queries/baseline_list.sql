select /* pgwright:baseline_list */
    b.baseline_id,
    b.name,
    b.taken_at,
    b.server_version,
    (select pg_catalog.count(*) from pgwright.baseline_statement s where s.baseline_id = b.baseline_id) as statements,
    (select pg_catalog.count(*) from pgwright.baseline_plan p where p.baseline_id = b.baseline_id) as plans,
    (select pg_catalog.count(*) from pgwright.baseline_index i where i.baseline_id = b.baseline_id) as indexes,
    b.details ->> 'note' as note
from pgwright.baseline b
order by b.taken_at, b.baseline_id
