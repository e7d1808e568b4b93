select /* pgwright:apply_blockers */
    b.pid,
    a.usename::text as role,
    nullif(a.application_name, '') as application_name,
    a.state,
    extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::double precision as open_seconds
from (select distinct pid from pg_catalog.unnest(pg_catalog.pg_blocking_pids($1)) pid) b
left join pg_catalog.pg_stat_activity a on a.pid = b.pid
order by a.xact_start nulls last, b.pid
