select /* pgwright:default_facts */
    exists (select from pg_catalog.pg_trigger t where t.tgrelid = $1 and not t.tgisinternal) as has_triggers,
    exists (select from pg_catalog.pg_constraint k where k.contype = 'f' and k.confrelid in ($1, $2)) as is_referenced,
    exists (select from pg_catalog.pg_rewrite r where r.ev_class = $1) as has_rules,
    exists (
        select from pg_catalog.pg_index i
        join pg_catalog.pg_class ic on ic.oid = i.indexrelid
        join pg_catalog.pg_am am on am.oid = ic.relam and am.amname = 'btree'
        join pg_catalog.pg_attribute k on k.attrelid = i.indrelid and k.attnum = i.indkey[0]
        where i.indrelid = $1 and i.indisvalid and i.indisready and i.indpred is null and k.attname = $3
    ) as key_is_indexed,
    (select pg_catalog.array_agg(pg_catalog.quote_ident(a.attname) order by a.attnum)
     from pg_catalog.pg_attribute a
     where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns
