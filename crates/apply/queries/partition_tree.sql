with recursive /* pgwright:apply_partition_tree */ tree as (
    select c.oid, null::oid as parent_oid, 0 as level
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = $1 and c.relname = $2 and c.relkind = 'p'
    union all
    select c.oid, h.inhparent, t.level + 1
    from tree t
    join pg_catalog.pg_inherits h on h.inhparent = t.oid
    join pg_catalog.pg_class c on c.oid = h.inhrelid and c.relispartition
    -- The column came with 14. PostgreSQL does not count a partition that is being detached either.
    where not coalesce((pg_catalog.to_jsonb(h) ->> 'inhdetachpending')::boolean, false)
)
select
    c.oid,
    t.parent_oid,
    c.relkind::text as relkind,
    n.nspname::text as schema,
    c.relname::text as name,
    pg_catalog.pg_get_userbyid(c.relowner)::text as owner,
    pg_catalog.pg_has_role(c.relowner, 'USAGE') as is_owner,
    pg_catalog.has_schema_privilege(n.oid, 'CREATE') as may_create
from tree t
join pg_catalog.pg_class c on c.oid = t.oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by t.level, n.nspname collate "C", c.relname collate "C"
