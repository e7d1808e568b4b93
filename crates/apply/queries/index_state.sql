select /* pgwright:apply_index_state */
    c.oid,
    c.relkind::text as relkind,
    n.nspname::text as schema,
    c.relname::text as name,
    tn.nspname::text as table_schema,
    t.relname::text as table_name,
    coalesce(i.indisvalid, false) as valid,
    coalesce(i.indisunique, false) as is_unique,
    coalesce(i.indisreplident, false) as replica_identity,
    coalesce(i.indnkeyatts, 0)::integer as key_count,
    coalesce(i.indnatts, 0)::integer as column_count,
    i.indpred is not null as is_partial,
    am.amname::text as access_method,
    case when i.indexrelid is not null then pg_catalog.pg_get_indexdef(c.oid) end as definition,
    array(select pg_catalog.pg_get_indexdef(c.oid, k, false)
          from pg_catalog.generate_series(1, i.indnatts) k) as columns,
    (select con.conname::text from pg_catalog.pg_constraint con
      where con.conindid = c.oid and con.contype in ('p', 'u', 'x') limit 1) as constraint_name,
    pn.nspname::text as parent_schema,
    p.relname::text as parent_name,
    -- A concurrent build shows itself by its progress, a concurrent drop by its session-level lock.
    coalesce(
        (select b.pid from pg_catalog.pg_stat_progress_create_index b
          where b.index_relid = c.oid and b.datid = d.oid limit 1),
        (select l.pid from pg_catalog.pg_locks l
          where l.locktype = 'relation' and l.database = d.oid and l.relation = c.oid and l.granted
            and l.mode in ('ShareUpdateExclusiveLock', 'AccessExclusiveLock')
            and l.pid <> pg_catalog.pg_backend_pid() limit 1)
    ) as busy_pid
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
left join pg_catalog.pg_index i on i.indexrelid = c.oid
left join pg_catalog.pg_class t on t.oid = i.indrelid
left join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
left join pg_catalog.pg_am am on am.oid = c.relam
left join pg_catalog.pg_inherits h on h.inhrelid = c.oid and i.indexrelid is not null
left join pg_catalog.pg_class p on p.oid = h.inhparent
left join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
where case when $3::oid is null then n.nspname = $1 and c.relname = $2 else c.oid = $3 end
