-- A clinic: partial, deferrable and NULLS NOT DISTINCT keys, tables that inherit, partitions, intervals, ranges, views that cut.
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE triage AS ENUM ('red', 'amber', 'green');
CREATE DOMAIN posint AS integer CHECK (VALUE > 0);
CREATE TABLE wards (
    id integer PRIMARY KEY,
    code character(3) NOT NULL UNIQUE,
    name text NOT NULL,
    floor smallint,
    phone text UNIQUE,
    alias text COLLATE nocase
);
CREATE TABLE patients (
    id integer PRIMARY KEY,
    ward_id integer REFERENCES wards (id),
    home_ward_id integer NOT NULL REFERENCES wards (id),
    insurance text,
    mail text,
    born date NOT NULL,
    weight numeric,
    height double precision,
    level triage NOT NULL,
    notes jsonb,
    allergies text[],
    admitted timestamptz NOT NULL,
    discharged timestamptz,
    stay int4range,
    age_limit interval,
    score posint,
    nick varchar(10),
    code character(3)
);
CREATE UNIQUE INDEX patients_active_insurance ON patients (insurance) WHERE discharged IS NULL;
CREATE TABLE visits (
    id bigint PRIMARY KEY,
    patient_id integer NOT NULL REFERENCES patients (id),
    ward_id integer REFERENCES wards (id),
    at timestamp NOT NULL,
    fee numeric(10,2),
    kind text NOT NULL,
    length interval,
    ok boolean,
    slot integer,
    UNIQUE (slot) DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE tags (
    owner integer,
    label text,
    UNIQUE NULLS NOT DISTINCT (owner, label)
);
CREATE TABLE persons (id integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE doctors (grade text) INHERITS (persons);
CREATE TABLE logs (id integer NOT NULL, day date NOT NULL, v integer, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE logs_a PARTITION OF logs FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');
CREATE TABLE logs_b PARTITION OF logs FOR VALUES FROM ('2024-07-01') TO ('2025-01-01');
CREATE VIEW open_patients AS SELECT id, ward_id, insurance FROM patients WHERE discharged IS NULL;
CREATE VIEW top_visits AS SELECT id, patient_id, fee FROM visits ORDER BY id LIMIT 3;
-- A function of the schema that has the name of one of PostgreSQL, in small letters.
create function lower(value integer) returns text language sql immutable as $$ select coalesce(value::text, 'none') $$;
