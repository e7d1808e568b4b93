-- A step that undoes another, and what an interrupted run left and a later one did again.
alter table /* pgwright:schema */ pgwright.journal_step
    add column undoes bigint references pgwright.journal_step on delete cascade,
    drop constraint journal_step_status_check,
    add constraint journal_step_status_check check (status in
        ('planned', 'running', 'done', 'failed', 'cleaned', 'skipped', 'retried', 'undoing', 'undone'));

-- The user's decision to keep a change whatever is measured of it.
alter table /* pgwright:schema */ pgwright.journal add column kept_at timestamptz;

create or replace /* pgwright:schema */ view pgwright.applied as
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
    end as status,
    j.kept_at
from pgwright.journal j
cross join lateral (
    select coalesce(pg_catalog.array_agg(distinct t.status), array[]::text[]) as statuses
    from pgwright.journal_step t
    where t.entry_id = j.entry_id and t.undoes is null and t.status <> 'retried'
) s;

-- What became of the promise of each index, for the record that advice is judged by.
create /* pgwright:schema */ table pgwright.measured_index (
    entry_id bigint not null references pgwright.journal on delete cascade,
    schema_name text not null,
    index_name text not null,
    kind text not null,
    measured_at timestamptz not null default pg_catalog.clock_timestamp(),
    calls bigint not null,
    promised_ms double precision not null,
    saved_ms double precision not null,
    predicted_bytes bigint,
    real_bytes bigint,
    predicted_build_ms double precision,
    real_build_ms double precision,
    primary key (entry_id, schema_name, index_name)
);
