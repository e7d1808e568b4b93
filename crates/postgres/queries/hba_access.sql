SELECT /* pgwright:hba_access */
    pg_catalog.has_function_privilege('pg_catalog.pg_hba_file_rules()', 'EXECUTE')
        AND pg_catalog.has_table_privilege('pg_catalog.pg_hba_file_rules', 'SELECT') AS readable
