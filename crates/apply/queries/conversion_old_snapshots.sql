select /* pgwright:conversion_old_snapshots */ a.pid
from pg_stat_activity a
where a.datname = current_database() and a.backend_type = 'client backend'
    and a.backend_xmin is not null and a.xact_start < $1
    and a.pid <> all ($2) and a.pid <> pg_backend_pid()
order by a.pid
