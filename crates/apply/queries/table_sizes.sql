select /* pgwright:apply_table_sizes */
    n.nspname::text as schema,
    c.relname::text as name,
    coalesce(pg_catalog.pg_relation_size(c.oid), 0) as bytes
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where (n.nspname, c.relname) in (
    select u.s, u.r
    from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) u (s, r)
)
