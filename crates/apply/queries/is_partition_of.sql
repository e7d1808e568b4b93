with recursive /* pgwright:apply_is_partition_of */ ancestor as (
    select c.oid
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = $1 and c.relname = $2
    union all
    select h.inhparent
    from ancestor a
    join pg_catalog.pg_inherits h on h.inhrelid = a.oid
    where not coalesce((pg_catalog.to_jsonb(h) ->> 'inhdetachpending')::boolean, false)
)
select exists (
    select from ancestor a
    join pg_catalog.pg_class c on c.oid = a.oid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = $3 and c.relname = $4 and c.relkind = 'p'
) as is_partition
