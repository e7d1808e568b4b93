select /* pgwright:apply_table_indexes */
    n.nspname::text as schema,
    c.relname::text as name,
    i.indisvalid as valid,
    i.indisunique as is_unique,
    pg_catalog.pg_get_indexdef(c.oid) as definition
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where i.indrelid = $1
order by n.nspname, c.relname
