select /* pgwright:apply_index_directory */
    -- A Unix socket or the loopback address.
    coalesce(a.client_addr <<= '127.0.0.0/8' or a.client_addr = '::1', true) as local,
    -- pg_settings hides the directory from a role that may not see it; current_setting() would fail.
    coalesce(
        (select nullif(pg_catalog.pg_tablespace_location(t.oid), '')
           from pg_catalog.pg_tablespace t
          where t.spcname = pg_catalog.current_setting('default_tablespace')),
        (select nullif(pg_catalog.pg_tablespace_location(d.dattablespace), '')
           from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()),
        (select s.setting from pg_catalog.pg_settings s where s.name = 'data_directory')
    ) as directory
from pg_catalog.pg_stat_activity a
where a.pid = pg_catalog.pg_backend_pid()
