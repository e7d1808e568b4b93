select /* pgwright:default_facts */
    exists (select from pg_catalog.pg_trigger t where t.tgrelid = $1 and not t.tgisinternal) as has_triggers,
    exists (select from pg_catalog.pg_constraint k where k.contype = 'f' and k.confrelid in ($1, $2)) as is_referenced,
    (select pg_catalog.array_agg(pg_catalog.quote_ident(a.attname) order by a.attnum)
     from pg_catalog.pg_attribute a
     where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns
