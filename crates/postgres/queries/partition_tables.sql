SELECT /* pgwright:partition_tables */
    c.oid,
    n.nspname::text as schema,
    c.relname::text as name,
    h.inhparent as parent_oid,
    c.relkind::text as relkind,
    p.partstrat::text as strategy,
    k.columns as key_columns,
    k.types as key_types,
    case when p.partrelid is not null then pg_catalog.pg_get_partkeydef(c.oid) end as key_definition,
    pg_catalog.pg_get_expr(c.relpartbound, c.oid) as bound,
    -- The column came with 14.
    false as detach_pending,
    pg_catalog.pg_get_userbyid(c.relowner)::text as owner,
    pg_catalog.pg_has_role(c.relowner, 'USAGE') as is_owner,
    case when c.reltuples > 0 or c.relpages > 0 then c.reltuples::double precision end as reltuples,
    case when d.partdefid is not null and c.relkind = 'r' then pg_catalog.pg_relation_size(c.oid) end as default_bytes,
    t.spcname::text as tablespace,
    -- The rows of pg_statistic are not for everybody.
    p.partrelid is not null and exists (
        select from pg_catalog.pg_stats s
        where s.schemaname = n.nspname and s.tablename = c.relname and s.inherited) as has_statistics
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_inherits h on h.inhrelid = c.oid and c.relispartition
left join pg_catalog.pg_partitioned_table p on p.partrelid = c.oid
left join pg_catalog.pg_partitioned_table d on d.partdefid = c.oid
left join pg_catalog.pg_tablespace t on t.oid = c.reltablespace
left join lateral (
    select
        pg_catalog.array_agg(a.attname::text order by u.ordinality) as columns,
        pg_catalog.array_agg(pg_catalog.format_type(a.atttypid, null) order by u.ordinality) as types
    from pg_catalog.unnest(p.partattrs::smallint[]) with ordinality u (attnum, ordinality)
    left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = u.attnum and u.attnum > 0
) k on p.partrelid is not null
where c.relkind = 'p' or (c.relispartition and c.relkind in ('r', 'f'))
order by n.nspname collate "C", c.relname collate "C"
