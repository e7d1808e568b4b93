select /* pgwright:undropped_partitions */ d.entry_id, d.step_id, d.change, t.made_oid
from pgwright.journal_step d
join pgwright.journal_step t on t.entry_id = d.entry_id
    and t.change ->> 'change' = 'detach_partition'
    and t.change -> 'partition' = d.change -> 'partition'
    and t.status = 'done'
    and t.made_oid is not null
where d.change ->> 'change' = 'drop_partition' and d.status in ('skipped', 'failed', 'cleaned')
order by d.step_id
