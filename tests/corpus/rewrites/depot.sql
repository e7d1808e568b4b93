-- A depot: types whose equality, order or input is not what a text suggests, and a key under another collation.
CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE parts (
    id integer PRIMARY KEY,
    code character(4) NOT NULL,
    serial text NOT NULL UNIQUE,
    nick text COLLATE caseless UNIQUE,
    label text COLLATE caseless NOT NULL,
    mass real NOT NULL,
    size double precision,
    price numeric NOT NULL,
    stock smallint NOT NULL,
    made_on date NOT NULL,
    opens time NOT NULL,
    seen_at timestamptz,
    local_at timestamp NOT NULL,
    warranty interval NOT NULL,
    doc jsonb NOT NULL,
    tags text[] NOT NULL,
    span int4range NOT NULL,
    active boolean
);
-- Two labels that differ in case only are two labels here, and equal everywhere else.
CREATE UNIQUE INDEX parts_label ON parts (label COLLATE "C");
CREATE TABLE moves (
    id bigint PRIMARY KEY,
    part_id integer REFERENCES parts (id),
    to_part integer NOT NULL REFERENCES parts (id),
    label text COLLATE caseless NOT NULL,
    qty integer NOT NULL,
    note varchar(20),
    moved_at timestamptz NOT NULL
);
CREATE TABLE counts (part_id integer NOT NULL REFERENCES parts (id), place text NOT NULL, counted integer, PRIMARY KEY (part_id, place));
-- Not strict, unlike the function of PostgreSQL that has its name.
CREATE FUNCTION sign(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce(value, 'none') $$;
