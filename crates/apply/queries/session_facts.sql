select /* pgwright:apply_session_facts */
    pg_catalog.pg_backend_pid() as pid,
    a.backend_start,
    current_user::text as role,
    pg_catalog.pg_is_in_recovery() as in_recovery,
    pg_catalog.current_setting('transaction_read_only')::boolean as read_only,
    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') as may_create_schema,
    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMP') as may_create_temp,
    n.oid as schema_oid,
    pg_catalog.pg_get_userbyid(n.nspowner)::text as schema_owner,
    coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false) as may_use_schema
from pg_catalog.pg_stat_activity a
left join pg_catalog.pg_namespace n on n.nspname = 'pgwright'
where a.pid = pg_catalog.pg_backend_pid()
