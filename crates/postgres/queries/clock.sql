SELECT /* pgwright:clock */
    (extract(epoch from pg_catalog.statement_timestamp()) * 1000000)::bigint as now_micros,
    -- The session's own setting is pgwright's.
    (select s.reset_val from pg_catalog.pg_settings s where s.name = 'TimeZone') as zone
