-- A table that is gone meanwhile has no size.
select distinct /* pgwright:uncounted_partitions */ u.parent
from rows from (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.oid[])) u (parent, leaf)
where pg_catalog.pg_relation_size(u.leaf) > 0
