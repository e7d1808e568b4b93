select /* pgwright:apply_names_taken */ n.nspname::text as schema, c.relname::text as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where (n.nspname, c.relname) in (
    select u.s, u.r
    from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) u (s, r)
)
