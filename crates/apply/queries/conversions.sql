select /* pgwright:conversions */
    v.conversion_id, v.schema_name, v.table_name, v.method, v.step, v.created_at, v.created_by, v.changed_at,
    v.swapped_at, v.ended_at,
    coalesce(t.rows_copied, 0)::bigint as rows_copied,
    coalesce(t.batches_done, 0) as batches_done,
    coalesce(t.batches, 0) as batches,
    extract(epoch from coalesce(t.last_done, now()) - h.began_at)::double precision as copy_seconds,
    v.plan -> 'kept' ->> 'name' as kept,
    coalesce(p.steps, '{}') as steps,
    coalesce(p.began, '{}') as began,
    coalesce(
        to_regclass(format('pgwright.conversion_%s_log', v.conversion_id)),
        to_regclass(format('pgwright.conversion_%s_back_log', v.conversion_id)))::text as log,
    v.ended_at is null and exists (
        select from pg_locks l
        where l.locktype = 'advisory' and l.database = (select d.oid from pg_database d where d.datname = current_database())
            and l.classid = $1::int::oid and l.objid = v.table_oid and l.objsubid = 2 and l.granted) as running
from pgwright.conversion v
left join lateral (
    select sum(c.rows) as rows_copied, count(c.done_at) as batches_done, count(*) as batches, max(c.done_at) as last_done
    from pgwright.conversion_task c where c.conversion_id = v.conversion_id and c.step = 'copy') t on true
left join lateral (
    select max(b.began_at) as began_at
    from pgwright.conversion_history b where b.conversion_id = v.conversion_id and b.step = 'copy') h on true
left join lateral (
    select array_agg(s.step order by s.began_at) as steps, array_agg(s.began_at order by s.began_at) as began
    from pgwright.conversion_history s where s.conversion_id = v.conversion_id) p on true
order by v.conversion_id desc
