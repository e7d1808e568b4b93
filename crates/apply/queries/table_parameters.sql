select /* pgwright:apply_table_parameters */
    coalesce(c.reloptions, '{}') as options,
    a.attname is not null as column_exists,
    nullif(a.attstattarget, -1)::text as column_target,
    coalesce(a.attoptions, '{}') as column_options
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
left join pg_catalog.pg_attribute as a
    on a.attrelid = c.oid and a.attname = $3 and a.attnum > 0 and not a.attisdropped
where n.nspname = $1 and c.relname = $2
