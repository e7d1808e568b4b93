-- One row per conversion of a table into a partitioned one. The step that it is at changes in the transaction that
-- makes the step's changes, so that an interruption leaves either both or neither.
create /* pgwright:schema */ table pgwright.conversion (
    conversion_id bigint generated always as identity primary key,
    schema_name text not null,
    table_name text not null,
    table_oid oid not null,
    method text not null check (method in ('attach', 'rewrite')),
    step text not null,
    plan jsonb not null,
    facts jsonb not null default '{}',
    created_at timestamptz not null default pg_catalog.clock_timestamp(),
    created_by text not null default session_user,
    pgwright_version text not null,
    changed_at timestamptz not null default pg_catalog.clock_timestamp(),
    swapped_at timestamptz,
    ended_at timestamptz
);

-- One open conversion per table.
create /* pgwright:schema */ unique index conversion_open_idx on pgwright.conversion (schema_name, table_name)
    where ended_at is null;

-- What a conversion has to do piece by piece, each marked as done in the transaction that does it.
create /* pgwright:schema */ table pgwright.conversion_task (
    conversion_id bigint not null references pgwright.conversion on delete cascade,
    step text not null,
    position integer not null,
    first_block bigint,
    end_block bigint,
    rows bigint,
    done_at timestamptz,
    primary key (conversion_id, step, position)
);

-- When each step began, for the time that it took.
create /* pgwright:schema */ table pgwright.conversion_history (
    conversion_id bigint not null references pgwright.conversion on delete cascade,
    step text not null,
    began_at timestamptz not null default pg_catalog.clock_timestamp()
);
