WITH /* pgwright:columns */ RECURSIVE base_type AS (
    SELECT t.oid, t.oid AS base, t.typtype, t.typbasetype
    FROM pg_catalog.pg_type AS t
    UNION ALL
    SELECT r.oid, t.oid, t.typtype, t.typbasetype
    FROM base_type AS r
    JOIN pg_catalog.pg_type AS t ON t.oid = r.typbasetype
    WHERE r.typtype = 'd'
),
btree_default AS (
    SELECT o.opcintype
    FROM pg_catalog.pg_opclass AS o
    JOIN pg_catalog.pg_am AS m ON m.oid = o.opcmethod
    WHERE o.opcdefault AND m.amname = 'btree'
)
SELECT
    a.attrelid AS table_oid,
    a.attnum,
    a.attname::pg_catalog.text AS name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_name,
    bn.nspname::pg_catalog.text AS base_type_schema,
    b.typname::pg_catalog.text AS base_type_name,
    b.typcategory::pg_catalog.text AS type_category,
    a.attlen AS type_length,
    a.attalign::pg_catalog.text AS type_align,
    -- Arrays, enums, ranges and rows share the operator class of their pseudo-type; a type that is
    -- binary-coercible to one that has a class uses that.
    (
        o.opcintype IS NOT NULL
        OR b.typcategory IN ('A', 'E', 'R')
        OR b.typtype IN ('c', 'm')
        OR EXISTS (
            SELECT
            FROM pg_catalog.pg_cast AS k
            JOIN btree_default AS t ON t.opcintype = k.casttarget
            WHERE k.castsource = b.oid AND k.castmethod = 'b' AND k.castcontext = 'i'
        )
    ) AS has_btree_opclass,
    -- Since 18 a NOT NULL can be NOT VALID: older rows may break it.
    a.attnotnull AND NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid = a.attrelid
            AND k.contype = 'n'
            AND NOT k.convalidated
            AND k.conkey = ARRAY[a.attnum]
    ) AS not_null,
    a.attgenerated <> '' AS generated,
    pg_catalog.pg_get_expr(f.adbin, f.adrelid) AS "default",
    ln.nspname::pg_catalog.text AS collation_schema,
    l.collname::pg_catalog.text AS collation_name,
    nullif(a.attstattarget, -1)::pg_catalog.int4 AS statistics_target,
    coalesce(a.attoptions, '{}') AS options
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
JOIN base_type AS r ON r.oid = t.oid AND r.typtype <> 'd'
JOIN pg_catalog.pg_type AS b ON b.oid = r.base
JOIN pg_catalog.pg_namespace AS bn ON bn.oid = b.typnamespace
LEFT JOIN btree_default AS o ON o.opcintype = b.oid
LEFT JOIN pg_catalog.pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation AND a.attcollation <> t.typcollation
LEFT JOIN pg_catalog.pg_namespace AS ln ON ln.oid = l.collnamespace
WHERE a.attnum > 0
    AND NOT a.attisdropped
    AND c.relkind IN ('r', 'p', 'm', 'f')
    AND c.relpersistence <> 't'
    AND n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pgwright'])
    AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)'
ORDER BY a.attrelid, a.attnum
