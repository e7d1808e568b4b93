with recursive /* pgwright:apply_partition_index_tree */ tree as (
    select c.oid, null::oid as parent_oid, 0 as level
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = $1 and c.relname = $2 and c.relkind in ('i', 'I')
    union all
    select h.inhrelid, h.inhparent, t.level + 1
    from tree t
    join pg_catalog.pg_inherits h on h.inhparent = t.oid
)
select
    c.relkind::text as relkind,
    n.nspname::text as schema,
    c.relname::text as name,
    tn.nspname::text as table_schema,
    r.relname::text as table_name,
    i.indisunique as is_unique,
    am.amname::text as access_method,
    i.indnkeyatts::integer as key_count,
    array(select case when i.indkey[k - 1] <> 0 then pg_catalog.pg_get_indexdef(c.oid, k, false) end
          from pg_catalog.generate_series(1, i.indnatts) k) as columns,
    i.indpred is not null as is_partial,
    pg_catalog.pg_get_indexdef(c.oid) as definition,
    i.indisreplident as replica_identity,
    (select con.conname::text from pg_catalog.pg_constraint con
      where con.conindid = c.oid and con.contype in ('p', 'u', 'x') limit 1) as constraint_name,
    (select pn.nspname::text from pg_catalog.pg_class p
       join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace where p.oid = t.parent_oid) as parent_schema,
    (select p.relname::text from pg_catalog.pg_class p where p.oid = t.parent_oid) as parent_name
from tree t
join pg_catalog.pg_class c on c.oid = t.oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_index i on i.indexrelid = c.oid
join pg_catalog.pg_class r on r.oid = i.indrelid
join pg_catalog.pg_namespace tn on tn.oid = r.relnamespace
join pg_catalog.pg_am am on am.oid = c.relam
order by t.level, n.nspname collate "C", c.relname collate "C"
