-- Which of the names that a conversion will give are in use: $1 and $2 of relations, $3 and $4 of tables, each of which
-- has a type of the same name too, $5 and $6 of statistics objects.
select /* pgwright:conversion_names */ distinct x.name
from (
    select c.relname::text as name
    from unnest($1::text[], $2::text[]) w (schema, name)
        join pg_namespace n on n.nspname = w.schema join pg_class c on c.relnamespace = n.oid and c.relname = w.name
    union all
    -- A type of an array gives way by itself.
    select t.typname::text
    from unnest($3::text[], $4::text[]) w (schema, name)
        join pg_namespace n on n.nspname = w.schema join pg_type t on t.typnamespace = n.oid and t.typname = w.name
    where t.typelem = 0
    union all
    select s.stxname::text
    from unnest($5::text[], $6::text[]) w (schema, name)
        join pg_namespace n on n.nspname = w.schema join pg_statistic_ext s on s.stxnamespace = n.oid and s.stxname = w.name
) x
order by 1
