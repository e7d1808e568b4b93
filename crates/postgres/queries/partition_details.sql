SELECT /* pgwright:partition_details */
    c.oid,
    coalesce(pg_catalog.pg_table_size(c.oid), 0) as table_bytes,
    coalesce(pg_catalog.pg_indexes_size(c.oid), 0) as index_bytes,
    (extract(epoch from greatest(
        pg_catalog.pg_stat_get_last_analyze_time(c.oid),
        pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid))) * 1000000)::bigint as analyzed_at_micros,
    (extract(epoch from greatest(
        pg_catalog.pg_stat_get_last_vacuum_time(c.oid),
        pg_catalog.pg_stat_get_last_autovacuum_time(c.oid))) * 1000000)::bigint as vacuumed_at_micros,
    pg_catalog.pg_stat_get_mod_since_analyze(c.oid) as changed_rows,
    coalesce(c.reloptions && array['autovacuum_enabled=false', 'autovacuum_enabled=off'], false) as autovacuum_off,
    coalesce(i.valid, array[]::text[]) as indexes,
    coalesce(i.invalid, array[]::text[]) as invalid_indexes
from pg_catalog.pg_class c
left join lateral (
    select
        pg_catalog.array_agg(pg_catalog.concat_ws(' ',
            case when x.indisunique then 'UNIQUE' end,
            am.amname,
            '(' || (select pg_catalog.string_agg(pg_catalog.pg_get_indexdef(x.indexrelid, column_number, true), ', '
                        order by column_number)
                    from pg_catalog.generate_series(1, x.indnatts) column_number) || ')',
            'WHERE ' || pg_catalog.pg_get_expr(x.indpred, x.indrelid)))
            filter (where x.indisvalid) as valid,
        pg_catalog.array_agg(ic.relname::text) filter (where not x.indisvalid) as invalid
    from pg_catalog.pg_index x
    join pg_catalog.pg_class ic on ic.oid = x.indexrelid
    join pg_catalog.pg_am am on am.oid = ic.relam
    where x.indrelid = c.oid
) i on true
where c.oid = any ($1)
