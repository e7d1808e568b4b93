select /* pgwright:conversion_partitions */ ln.nspname::text as schema, l.relname::text as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
cross join lateral pg_partition_tree(c.oid) t
join pg_class l on l.oid = t.relid join pg_namespace ln on ln.oid = l.relnamespace
where n.nspname = $1 and c.relname = $2 and t.isleaf and t.relid <> c.oid and l.relkind = 'r'
order by ln.nspname, l.relname
