SELECT /* pgwright:volatile_functions */
    wanted.name,
    -- A function that does not exist is not volatile: the statement fails before it runs.
    coalesce(pg_catalog.bool_or(p.provolatile = 'v'), false) AS volatile
FROM pg_catalog.unnest($1) AS wanted (name)
-- Whichever schema a name comes from, the worst function of that name counts.
LEFT JOIN pg_catalog.pg_proc AS p ON p.proname = pg_catalog.regexp_replace(wanted.name, '^.*[.]', '')
GROUP BY wanted.name
ORDER BY wanted.name COLLATE "C"
