with recursive /* pgwright:apply_index_use */ part as (
    select c.oid as root, c.oid
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_index i on i.indexrelid = c.oid
    where (n.nspname, c.relname) in (
        select u.s, u.r
        from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) u (s, r)
    )
    union all
    select p.root, h.inhrelid
    from part p
    join pg_catalog.pg_inherits h on h.inhparent = p.oid
)
select
    n.nspname::text as schema,
    c.relname::text as name,
    i.indisvalid as valid,
    s.idx_scan,
    s.bytes
from (
    -- The index of a partitioned table is that of its partitions.
    select p.root,
        pg_catalog.sum(pg_catalog.pg_stat_get_numscans(p.oid))::bigint as idx_scan,
        pg_catalog.sum(coalesce(pg_catalog.pg_relation_size(p.oid), 0))::bigint as bytes
    from part p
    group by p.root
) s
join pg_catalog.pg_class c on c.oid = s.root
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_index i on i.indexrelid = c.oid
