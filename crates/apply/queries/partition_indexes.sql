select /* pgwright:apply_partition_indexes */
    i.indrelid as table_oid,
    i.indexrelid as oid,
    n.nspname::text as schema,
    c.relname::text as name,
    i.indisvalid as valid,
    i.indisunique as is_unique,
    h.inhparent as parent_oid,
    pg_catalog.pg_get_indexdef(c.oid) as definition,
    -- What CompareIndexInfo() in catalog/index.c compares, with names of columns in place of numbers.
    -- Two things that follow the columns, the sort order and the storage parameters, it leaves out.
    pg_catalog.jsonb_build_array(
        am.amname, i.indisunique, i.indisexclusion, pg_catalog.to_jsonb(i) -> 'indnullsnotdistinct', i.indnkeyatts,
        array(select pg_catalog.pg_get_indexdef(c.oid, k, false)
              from pg_catalog.generate_series(1, i.indnatts) k),
        array(select o.opcfamily::bigint
              from pg_catalog.unnest(i.indclass::oid[]) with ordinality u (opclass, place)
              join pg_catalog.pg_opclass o on o.oid = u.opclass order by u.place),
        i.indcollation::text,
        pg_catalog.pg_get_expr(i.indpred, i.indrelid)
    )::text as likeness,
    i.indoption::text as sort_order,
    -- Whether pg_get_indexdef() tells all there is, so that it can be made again from that.
    not i.indisreplident and not i.indisclustered and c.reltablespace = 0
        and not exists (select from pg_catalog.pg_constraint con where con.conindid = c.oid)
        and pg_catalog.obj_description(c.oid, 'pg_class') is null
        and not exists (select from pg_catalog.pg_attribute a
                        where a.attrelid = c.oid and coalesce(a.attstattarget, -1) <> -1)
        and not exists (select from pg_catalog.pg_depend d
                        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
                          and d.deptype = 'x') as is_plain
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_am am on am.oid = c.relam
left join pg_catalog.pg_inherits h on h.inhrelid = c.oid
where i.indrelid = any ($1) and i.indislive
order by i.indrelid, n.nspname collate "C", c.relname collate "C"
