select /* pgwright:partition_state */
    c.oid,
    c.relispartition as is_partition,
    pn.nspname::text as parent_schema,
    p.relname::text as parent_name,
    -- The column came with 14.
    coalesce((pg_catalog.to_jsonb(h) ->> 'inhdetachpending')::boolean, false) as detach_pending,
    coalesce(ts.spcname::text, '') as tablespace,
    pg_catalog.pg_has_role(c.relowner, 'USAGE') as is_owner,
    pg_catalog.pg_get_userbyid(c.relowner)::text as owner
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_inherits h on h.inhrelid = c.oid and c.relispartition
left join pg_catalog.pg_class p on p.oid = h.inhparent
left join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
left join pg_catalog.pg_tablespace ts on ts.oid = c.reltablespace
where n.nspname = $1 and c.relname = $2
