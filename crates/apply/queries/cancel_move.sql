-- Takes a session back when somebody waits to change a row that it is moving.
select /* pgwright:cancel_move */ pg_catalog.pg_cancel_backend($1)
where exists (
    select from pg_catalog.pg_locks w
    join pg_catalog.pg_locks h on h.locktype = 'transactionid' and h.transactionid = w.transactionid
    where w.locktype = 'transactionid' and not w.granted and h.granted and h.pid = $1
)
