SELECT /* pgwright:current_schemas */
    pg_catalog.current_schemas(TRUE)::pg_catalog.text[] AS schemas
