select /* pgwright:apply_table_facts */
    c.oid,
    c.relkind::text as relkind,
    pg_catalog.pg_get_userbyid(c.relowner)::text as owner,
    pg_catalog.pg_has_role(c.relowner, 'USAGE') as is_owner,
    pg_catalog.has_schema_privilege(n.oid, 'CREATE') as may_create,
    pg_catalog.pg_has_role(d.datdba, 'USAGE') and not c.relisshared as is_database_owner,
    -- The privilege MAINTAIN came with 17; asking an older server for it is an error.
    case when pg_catalog.current_setting('server_version_num')::integer >= 170000
         then pg_catalog.has_table_privilege(c.oid, 'MAINTAIN') else false end as may_maintain,
    array(select a.attname::text from pg_catalog.pg_attribute a
          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          order by a.attnum) as columns
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
where n.nspname = $1 and c.relname = $2
