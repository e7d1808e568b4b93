-- What a table is, as far as it takes to make it again: columns in order, constraints, indexes.
-- The collation is told where it is not that of the type.
select /* pgwright:archive_subject */ pg_catalog.jsonb_build_object(
    'oid', c.oid::bigint,
    'relkind', c.relkind,
    'is_partition', c.relispartition,
    'owner', pg_catalog.pg_get_userbyid(c.relowner),
    'is_owner', pg_catalog.pg_has_role(c.relowner, 'USAGE'),
    'database', pg_catalog.current_database(),
    'server_version', pg_catalog.current_setting('server_version'),
    'encoding', pg_catalog.current_setting('server_encoding'),
    'now', pg_catalog.to_char(pg_catalog.clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    'table_bytes', coalesce(
        (select pg_catalog.sum(pg_catalog.pg_table_size(t.relid)) from pg_catalog.pg_partition_tree(c.oid) t where t.isleaf),
        pg_catalog.pg_table_size(c.oid)
    ),
    'options', coalesce(pg_catalog.to_jsonb(c.reloptions), '[]'),
    'columns', (
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', a.attname,
            'type_name', pg_catalog.format_type(a.atttypid, a.atttypmod),
            'collation', (
                select pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(co.collname)
                from pg_catalog.pg_collation co
                join pg_catalog.pg_namespace cn on cn.oid = co.collnamespace
                join pg_catalog.pg_type ty on ty.oid = a.atttypid
                where co.oid = a.attcollation and a.attcollation <> ty.typcollation
            ),
            'not_null', a.attnotnull,
            'generated', a.attgenerated,
            'identity', a.attidentity,
            'expression', pg_catalog.pg_get_expr(d.adbin, d.adrelid)
        ) order by a.attnum)
        from pg_catalog.pg_attribute a
        left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ),
    'constraints', (
        select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', k.conname,
            'kind', k.contype,
            'definition', pg_catalog.pg_get_constraintdef(k.oid)
        ) order by k.contype = 'f', k.conname), '[]')
        from pg_catalog.pg_constraint k
        where k.conrelid = c.oid and k.contype in ('p', 'u', 'x', 'c', 'f')
    ),
    'indexes', (
        select coalesce(pg_catalog.jsonb_agg(pg_catalog.pg_get_indexdef(i.indexrelid) order by i.indexrelid), '[]')
        from pg_catalog.pg_index i
        where i.indrelid = c.oid and i.indisvalid
            and not exists (select from pg_catalog.pg_constraint k where k.conindid = i.indexrelid and k.conrelid = c.oid)
    )
) as subject
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2
