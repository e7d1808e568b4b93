-- Types, constraints and names at which rewrites stumble.
CREATE TYPE level AS ENUM ('low', 'high', 'critical');
CREATE TYPE place AS (city text, zip text);
CREATE DOMAIN percentage AS integer CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN code AS text NOT NULL CHECK (VALUE ~ '^[A-Za-z]+$');
CREATE TABLE readings (
    id bigint PRIMARY KEY,
    sensor code,
    value double precision,
    quality percentage,
    severity level NOT NULL DEFAULT 'low',
    taken_at timestamp NOT NULL,
    received_at timestamptz,
    note character(6),
    flags bit(4),
    payload jsonb NOT NULL DEFAULT '{}',
    raw json,
    spot place,
    doubled double precision GENERATED ALWAYS AS (value * 2) STORED
);
CREATE TABLE bookings (
    id integer PRIMARY KEY,
    room integer NOT NULL,
    during int4range NOT NULL,
    guests integer[],
    CONSTRAINT no_empty_booking CHECK (NOT isempty(during))
);
CREATE TABLE events (
    id integer NOT NULL,
    day date NOT NULL,
    kind text,
    amount integer,
    length interval,
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE TABLE events_2023 PARTITION OF events FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE "odd.names" ("select" integer PRIMARY KEY, "Mixed Case" text, "quote""d" integer);
CREATE TABLE nodes (
    id integer PRIMARY KEY,
    parent_id integer REFERENCES nodes (id),
    label text NOT NULL,
    small smallint,
    large bigint,
    flag boolean
);
