SELECT /* pgwright:statements_reset */
    i.dealloc,
    i.stats_reset
FROM @extschema@.pg_stat_statements_info AS i
