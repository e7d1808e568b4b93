select /* pgwright:apply_table_lockers */
    l.pid,
    a.usename::text as role,
    coalesce(nullif(a.application_name, ''), nullif(a.backend_type, 'client backend')) as application_name,
    a.state,
    extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::double precision as open_seconds
from (
    select distinct k.pid
    from pg_catalog.pg_locks k
    join pg_catalog.pg_class c on c.oid = k.relation
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_database d on d.oid = k.database
    where k.locktype = 'relation' and k.granted and d.datname = pg_catalog.current_database()
      and n.nspname = $1 and c.relname = $2
      and k.pid <> pg_catalog.pg_backend_pid()
      -- The modes that conflict with SHARE UPDATE EXCLUSIVE.
      and k.mode in ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock',
                     'ExclusiveLock', 'AccessExclusiveLock')
) l
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
order by a.xact_start nulls last, l.pid
