select /* pgwright:apply_statistics_state */
    s.oid,
    sn.nspname::text as schema,
    s.stxname::text as name,
    tn.nspname::text as table_schema,
    c.relname::text as table_name,
    pg_catalog.pg_get_statisticsobjdef(s.oid) as definition,
    array(select u.kind::text from pg_catalog.unnest(s.stxkind) as u (kind) order by 1) as kinds,
    array(select a.attname::text
          from pg_catalog.unnest(s.stxkeys::int2[]) as u (attnum)
          join pg_catalog.pg_attribute as a on a.attrelid = s.stxrelid and a.attnum = u.attnum
          order by 1) as columns,
    nullif(s.stxstattarget, -1)::text as target,
    pg_catalog.pg_get_userbyid(s.stxowner)::text as owner,
    pg_catalog.pg_has_role(s.stxowner, 'USAGE') as is_owner
from pg_catalog.pg_statistic_ext as s
join pg_catalog.pg_namespace as sn on sn.oid = s.stxnamespace
join pg_catalog.pg_class as c on c.oid = s.stxrelid
join pg_catalog.pg_namespace as tn on tn.oid = c.relnamespace
where (sn.nspname = $1 and s.stxname = $2) or s.oid = $3
