-- Plans of statements, as the server made them without values of parameters, and when which became the plan.

create /* pgwright:schema */ table pgwright.history_plan (
    plan_id integer generated always as identity primary key,
    source_id smallint not null references pgwright.history_source on delete cascade,
    datname text not null,
    queryid bigint not null,
    -- Of what the plan does, without estimates (crates/plan/src/render/shape.rs).
    shape_hash text not null,
    -- What EXPLAIN (FORMAT JSON) said when it was first seen.
    plan json not null,
    seen_at timestamptz not null,
    unique (source_id, queryid, datname, shape_hash)
) with (fillfactor = 70);

-- From this instant on it was the plan. Partitioned and kept as what is rolled up by day.
create /* pgwright:schema */ table pgwright.history_plan_day (
    at timestamptz not null,
    cost double precision not null,
    plan_id integer not null,
    source_id smallint not null,
    primary key (plan_id, at)
) partition by range (at);
