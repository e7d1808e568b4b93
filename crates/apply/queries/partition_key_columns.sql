select /* pgwright:partition_key_columns */
    n.nspname::pg_catalog.text as schema, c.relname::pg_catalog.text as name, a.attname::pg_catalog.text as column_name
from pg_catalog.pg_partitioned_table as p
join pg_catalog.pg_class as c on c.oid = p.partrelid
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
cross join lateral pg_catalog.unnest(p.partattrs::pg_catalog.int2[]) with ordinality as k (attnum, position)
left join pg_catalog.pg_attribute as a on a.attrelid = p.partrelid and a.attnum = k.attnum
where p.partrelid = any ($1)
order by n.nspname, c.relname, k.position
