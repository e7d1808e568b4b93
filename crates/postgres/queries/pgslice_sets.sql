SELECT /* pgwright:pgslice_sets */
    -- A comment counts whose column is one that the table is partitioned by.
    n.nspname::text as schema, c.relname::text as name, m.said[2] as period
from pg_catalog.pg_partitioned_table p
join pg_catalog.pg_class c on c.oid = p.partrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_description d
    on d.objoid = c.oid and d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objsubid = 0
cross join lateral (
    select pg_catalog.regexp_match(d.description, '^column:(.+),period:(day|month|year)(?:,cast:\w+)?(?:,version:\d+)?$') as said
) m
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = m.said[1] and a.attnum = any (p.partattrs::pg_catalog.int2[])
order by 1, 2
