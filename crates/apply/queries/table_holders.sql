-- Who holds any lock on one of some tables. A prepared transaction holds its locks without a session.
select /* pgwright:apply_table_holders */
    coalesce(l.pid, 0) as pid,
    coalesce(a.usename, p.owner)::text as role,
    coalesce(p.gid, nullif(a.application_name, ''), nullif(a.backend_type, 'client backend')) as application_name,
    a.state,
    extract(epoch from pg_catalog.clock_timestamp() - coalesce(a.xact_start, p.prepared))::double precision as open_seconds
from (
    select distinct k.pid, case when k.pid is null then k.virtualtransaction end as prepared
    from pg_catalog.pg_locks k
    join pg_catalog.pg_database d on d.oid = k.database
    where k.locktype = 'relation' and k.granted and d.datname = pg_catalog.current_database()
      and k.relation in (select pg_catalog.to_regclass(t) from unnest($1::text[]) t)
      and k.pid is distinct from pg_catalog.pg_backend_pid()
) l
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
left join pg_catalog.pg_locks x on x.locktype = 'transactionid' and x.pid is null and x.virtualtransaction = l.prepared
left join pg_catalog.pg_prepared_xacts p on p.transaction = x.transactionid
where l.pid is not null or p.gid is not null
order by coalesce(a.xact_start, p.prepared) nulls last, l.pid
limit 3
