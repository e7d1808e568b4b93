create /* pgwright:schema */ table pgwright.schema_version (
    version integer primary key,
    installed_at timestamptz not null default pg_catalog.clock_timestamp(),
    installed_by text not null default current_user
);

comment /* pgwright:schema */ on schema pgwright is 'Journal, baselines and history of pgwright. Remove with: pgwright journal --purge --execute';

-- One row per recommendation that was applied.
create /* pgwright:schema */ table pgwright.journal (
    entry_id bigint generated always as identity primary key,
    run_id uuid not null,
    recommendation_id text not null,
    title text not null,
    position integer not null,
    created_at timestamptz not null default pg_catalog.clock_timestamp(),
    created_by text not null default session_user,
    pgwright_version text not null,
    promised jsonb not null,
    measured jsonb,
    verified_at timestamptz
);

create /* pgwright:schema */ index journal_recommendation_id_idx on pgwright.journal (recommendation_id);

-- One row per statement, written before and after it runs.
create /* pgwright:schema */ table pgwright.journal_step (
    step_id bigint generated always as identity primary key,
    entry_id bigint not null references pgwright.journal on delete cascade,
    position integer not null,
    change jsonb not null,
    sql text not null,
    undo_sql text,
    status text not null default 'planned' check (status in
        ('planned', 'running', 'done', 'failed', 'cleaned', 'skipped', 'undoing', 'undone')),
    planned_at timestamptz not null default pg_catalog.clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    attempts integer not null default 0,
    worker_pid integer,
    worker_backend_start timestamptz,
    made_oid oid,
    made_definition text,
    error jsonb,
    note text,
    unique (entry_id, position)
);

create /* pgwright:schema */ index journal_step_open_idx on pgwright.journal_step (step_id)
    where status in ('planned', 'running', 'undoing') or error ->> 'left_behind' is not null;

-- What became of each recommendation, from what became of its steps.
create /* pgwright:schema */ view pgwright.applied as
select j.entry_id, j.run_id, j.recommendation_id, j.title, j.position, j.created_at, j.created_by,
    j.pgwright_version, j.promised, j.measured, j.verified_at,
    case
        when s.statuses && array['running'] then 'running'
        when s.statuses && array['undoing'] then 'undoing'
        when s.statuses && array['failed'] then 'failed'
        when s.statuses && array['cleaned'] then 'cleaned'
        when s.statuses <@ array['undone', 'skipped'] and s.statuses && array['undone'] then 'undone'
        when s.statuses && array['undone'] then 'partly undone'
        when s.statuses <@ array['skipped'] then 'skipped'
        when s.statuses && array['skipped'] then 'failed'
        when s.statuses <@ array['done'] then 'done'
        else 'planned'
    end as status
from pgwright.journal j
cross join lateral (
    select coalesce(pg_catalog.array_agg(distinct t.status), array[]::text[]) as statuses
    from pgwright.journal_step t where t.entry_id = j.entry_id
) s;

create /* pgwright:schema */ table pgwright.baseline (
    baseline_id bigint generated always as identity primary key,
    name text not null unique,
    taken_at timestamptz not null,
    server_version text not null,
    details jsonb not null
);

create /* pgwright:schema */ table pgwright.baseline_statement (
    baseline_id bigint not null references pgwright.baseline on delete cascade,
    queryid bigint not null,
    toplevel boolean not null,
    query text not null,
    calls bigint not null,
    total_exec_ms double precision not null,
    mean_exec_ms double precision not null,
    counters jsonb not null,
    primary key (baseline_id, queryid, toplevel)
);

create /* pgwright:schema */ table pgwright.baseline_plan (
    baseline_id bigint not null references pgwright.baseline on delete cascade,
    queryid bigint not null,
    position integer not null,
    example text not null,
    total_cost double precision,
    explain jsonb not null,
    primary key (baseline_id, queryid, position)
);

create /* pgwright:schema */ table pgwright.baseline_index (
    baseline_id bigint not null references pgwright.baseline on delete cascade,
    schema_name text not null,
    index_name text not null,
    table_schema text not null,
    table_name text not null,
    idx_scan bigint not null,
    bytes bigint not null,
    definition text not null,
    primary key (baseline_id, schema_name, index_name)
);
