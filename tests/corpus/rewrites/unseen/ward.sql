-- A hospital: patients with stays in wards, prescriptions, laboratory results and bills.
CREATE TYPE blood AS ENUM ('o', 'a', 'b', 'ab');
CREATE TABLE wards (id integer PRIMARY KEY, name text NOT NULL UNIQUE, floor smallint, beds integer NOT NULL CHECK (beds > 0));
CREATE TABLE doctors (
    id integer PRIMARY KEY,
    ward_id integer REFERENCES wards (id),
    name text NOT NULL,
    licence text NOT NULL UNIQUE,
    retired date,
    chief_id integer REFERENCES doctors (id)
);
CREATE TABLE patients (
    id bigint PRIMARY KEY,
    insurance_no text UNIQUE,
    name text NOT NULL,
    born date NOT NULL,
    died date,
    blood blood,
    phone text,
    tags text[] NOT NULL DEFAULT '{}',
    extra jsonb
);
CREATE TABLE stays (
    id bigint PRIMARY KEY,
    patient_id bigint NOT NULL REFERENCES patients (id),
    ward_id integer NOT NULL REFERENCES wards (id),
    doctor_id integer REFERENCES doctors (id),
    admitted timestamptz NOT NULL,
    discharged timestamptz,
    priority integer NOT NULL DEFAULT 3,
    diagnosis text
);
CREATE TABLE drugs (code varchar(12) PRIMARY KEY, name text NOT NULL, price numeric(8, 2) NOT NULL CHECK (price >= 0), generic_of varchar(12) REFERENCES drugs (code));
CREATE TABLE prescriptions (
    id bigint PRIMARY KEY,
    stay_id bigint NOT NULL REFERENCES stays (id),
    drug varchar(12) NOT NULL REFERENCES drugs (code),
    dose numeric(6, 2) NOT NULL,
    days integer,
    starts date NOT NULL,
    UNIQUE (stay_id, drug, starts)
);
CREATE TABLE results (
    stay_id bigint NOT NULL REFERENCES stays (id),
    test text NOT NULL,
    taken timestamp NOT NULL,
    value double precision,
    flag text CHECK (flag IN ('low', 'high')),
    PRIMARY KEY (stay_id, test, taken)
);
CREATE TABLE bills (
    id bigint PRIMARY KEY,
    stay_id bigint NOT NULL REFERENCES stays (id),
    amount numeric(10, 2) NOT NULL,
    paid numeric(10, 2),
    due date NOT NULL,
    cancelled boolean NOT NULL DEFAULT false
);
