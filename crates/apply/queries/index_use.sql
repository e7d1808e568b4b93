select /* pgwright:apply_index_use */
    n.nspname::text as schema,
    c.relname::text as name,
    i.indisvalid as valid,
    pg_catalog.pg_stat_get_numscans(c.oid) as idx_scan,
    pg_catalog.pg_relation_size(c.oid) as bytes
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_index i on i.indexrelid = c.oid
where (n.nspname, c.relname) in (
    select u.s, u.r
    from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) u (s, r)
)
