with /* pgwright:conversion_hashed */ recursive behind (oid) as (
    select $1::pg_catalog.oid
    union all
    select t.typbasetype from behind b join pg_catalog.pg_type t on t.oid = b.oid where t.typtype = 'd'
)
select exists (
    select
    from behind b
    join pg_catalog.pg_type t on t.oid = b.oid and t.typtype <> 'd'
    join pg_catalog.pg_opclass k on k.opcintype = t.oid
        or k.opcintype = case t.typtype
            when 'e' then 'pg_catalog.anyenum'::pg_catalog.regtype
            when 'r' then 'pg_catalog.anyrange'::pg_catalog.regtype
            when 'm' then pg_catalog.to_regtype('pg_catalog.anymultirange')
            when 'c' then 'pg_catalog.record'::pg_catalog.regtype
        end
        or k.opcintype = 'pg_catalog.anyarray'::pg_catalog.regtype and t.typcategory = 'A'
        or k.opcintype = 'pg_catalog.text'::pg_catalog.regtype and t.oid = 'pg_catalog.varchar'::pg_catalog.regtype
    join pg_catalog.pg_am m on m.oid = k.opcmethod
    where m.amname = 'hash' and k.opcdefault
) as hashed
