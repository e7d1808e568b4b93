SELECT /* pgwright:available_extensions */
    a.name::pg_catalog.text AS name
FROM pg_catalog.pg_available_extensions AS a
WHERE a.installed_version IS NULL
ORDER BY a.name
