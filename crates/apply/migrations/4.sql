-- History: what the servers that pgwright watches did, by interval, and rolled up by minute, hour and day. Tables that
-- grow with time are partitioned by it; partitions are made ahead and dropped on age by who writes, never here.

-- A server that is watched, by the name that its user gave it or else host:port.
create /* pgwright:schema */ table pgwright.history_source (
    source_id smallint generated always as identity primary key,
    name text not null unique,
    created_at timestamptz not null default pg_catalog.clock_timestamp(),
    statements_reset timestamptz
);

-- How far each level is filled, and since when it is kept. Rows of [kept_from, done_until) are complete.
create /* pgwright:schema */ table pgwright.history_level (
    source_id smallint not null references pgwright.history_source on delete cascade,
    level text not null check (level in ('raw', 'minute', 'hour', 'day')),
    done_until timestamptz not null,
    kept_from timestamptz not null,
    primary key (source_id, level)
) with (fillfactor = 50);

-- A statement of a database and a user. queryid 0 stands for all that were too small to be kept on their own.
create /* pgwright:schema */ table pgwright.history_statement (
    statement_id integer generated always as identity primary key,
    source_id smallint not null references pgwright.history_source on delete cascade,
    datname text not null,
    rolname text not null,
    queryid bigint not null,
    toplevel boolean not null,
    seen_at timestamptz not null default pg_catalog.clock_timestamp(),
    unique (source_id, queryid, datname, rolname, toplevel)
);

-- Its text, once for all databases and users.
create /* pgwright:schema */ table pgwright.history_text (
    source_id smallint not null references pgwright.history_source on delete cascade,
    queryid bigint not null,
    query text not null,
    primary key (source_id, queryid)
);

-- What sessions waited for, as "IO: DataFileRead"; "CPU" for nothing.
create /* pgwright:schema */ table pgwright.history_event (
    event_id integer generated always as identity primary key,
    name text not null unique
);

-- A figure of the server; label is the database, the standby or the wait event that it is of.
create /* pgwright:schema */ table pgwright.history_series (
    series_id integer generated always as identity primary key,
    source_id smallint not null references pgwright.history_source on delete cascade,
    name text not null,
    label text not null,
    unique (source_id, name, label)
);

-- The server's counters as they stood at the end of the last interval: what the next is measured from.
create /* pgwright:schema */ table pgwright.history_counter (
    statement_id integer primary key references pgwright.history_statement on delete cascade,
    userid oid not null,
    dbid oid not null,
    since timestamptz,
    figures double precision[] not null
) with (fillfactor = 50);

create /* pgwright:schema */ table pgwright.history_series_counter (
    series_id integer primary key references pgwright.history_series on delete cascade,
    value double precision not null,
    at timestamptz not null
) with (fillfactor = 50);

-- What an interval is known to reach over: counts divided by its seconds are rates. After a time in which nobody
-- watched, seconds are more than those of the bucket.
create /* pgwright:schema */ table pgwright.history_interval_raw (
    at timestamptz not null,
    seconds double precision not null,
    intervals integer not null,
    resets integer not null,
    source_id smallint not null,
    primary key (source_id, at)
) partition by range (at);

-- Counts, not rates. latency is the histogram of the sampled executions (crates/history/src/latency.rs).
create /* pgwright:schema */ table pgwright.history_statement_raw (
    at timestamptz not null,
    calls bigint not null,
    rows bigint not null,
    exec_ms double precision not null,
    blocks_hit bigint not null,
    blocks_read bigint not null,
    temp_blocks bigint not null,
    wal_bytes bigint not null,
    statement_id integer not null,
    source_id smallint not null,
    latency bytea,
    primary key (statement_id, at)
) partition by range (at);

-- In how many samples a statement was active and waited for the event; statement 0 is unknown.
create /* pgwright:schema */ table pgwright.history_wait_raw (
    at timestamptz not null,
    samples bigint not null,
    active_seconds double precision not null,
    statement_id integer not null,
    event_id integer not null,
    source_id smallint not null,
    primary key (statement_id, at, event_id)
) partition by range (at);

-- total is the growth of a counter, or the integral of a gauge over time; divided by seconds it is the rate or the mean.
create /* pgwright:schema */ table pgwright.history_value_raw (
    at timestamptz not null,
    total double precision not null,
    seconds double precision not null,
    high double precision not null,
    series_id integer not null,
    source_id smallint not null,
    primary key (series_id, at)
) partition by range (at);

create /* pgwright:schema */ index history_statement_raw_at_idx on pgwright.history_statement_raw (source_id, at);
create /* pgwright:schema */ index history_wait_raw_at_idx on pgwright.history_wait_raw (source_id, at);
create /* pgwright:schema */ index history_value_raw_at_idx on pgwright.history_value_raw (source_id, at);

create /* pgwright:schema */ table pgwright.history_interval_minute (like pgwright.history_interval_raw including indexes)
    partition by range (at);
create /* pgwright:schema */ table pgwright.history_statement_minute (like pgwright.history_statement_raw including indexes)
    partition by range (at);
create /* pgwright:schema */ table pgwright.history_wait_minute (like pgwright.history_wait_raw including indexes)
    partition by range (at);
create /* pgwright:schema */ table pgwright.history_value_minute (like pgwright.history_value_raw including indexes)
    partition by range (at);
create /* pgwright:schema */ table pgwright.history_interval_hour (like pgwright.history_interval_raw including indexes)
    partition by range (at);
create /* pgwright:schema */ table pgwright.history_statement_hour (like pgwright.history_statement_raw including indexes)
    partition by range (at);
create /* pgwright:schema */ table pgwright.history_wait_hour (like pgwright.history_wait_raw including indexes)
    partition by range (at);
create /* pgwright:schema */ table pgwright.history_value_hour (like pgwright.history_value_raw including indexes)
    partition by range (at);
create /* pgwright:schema */ table pgwright.history_interval_day (like pgwright.history_interval_raw including indexes)
    partition by range (at);
create /* pgwright:schema */ table pgwright.history_statement_day (like pgwright.history_statement_raw including indexes)
    partition by range (at);
create /* pgwright:schema */ table pgwright.history_wait_day (like pgwright.history_wait_raw including indexes)
    partition by range (at);
create /* pgwright:schema */ table pgwright.history_value_day (like pgwright.history_value_raw including indexes)
    partition by range (at);
