-- A mill: many tenants, odd types, generated columns, rules of equality that surprise.
CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN pos AS integer CHECK (VALUE > 0);
CREATE DOMAIN code3 AS character(3);
CREATE DOMAIN money2 AS numeric(12,2);
CREATE TYPE mood AS ENUM ('low', 'mid', 'high');
CREATE TYPE pt AS (x integer, y integer);
CREATE TABLE tenants (
    id integer PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    plan text,
    region character(3) NOT NULL,
    rate double precision NOT NULL,
    small real,
    price numeric NOT NULL,
    opens timetz NOT NULL,
    grace interval NOT NULL,
    pos pos,
    place pt,
    nick text COLLATE ci NOT NULL,
    conf jsonb,
    raw json,
    labels text[],
    m mood NOT NULL
);
CREATE TABLE users (
    tenant_id integer NOT NULL REFERENCES tenants (id),
    id integer NOT NULL,
    mail text NOT NULL,
    boss_id integer,
    born date,
    seen timestamptz,
    made timestamp NOT NULL,
    active boolean,
    score numeric(6,2),
    lmail text GENERATED ALWAYS AS (lower(mail)) STORED,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, mail),
    FOREIGN KEY (tenant_id, boss_id) REFERENCES users (tenant_id, id)
);
CREATE TABLE jobs (
    id bigint PRIMARY KEY,
    tenant_id integer NOT NULL,
    user_id integer,
    state text NOT NULL CHECK (state IN ('new', 'run', 'done', 'dead')),
    prio smallint NOT NULL,
    cost numeric,
    took interval,
    at timestamptz NOT NULL,
    ends timestamptz,
    tag varchar(8),
    code character(4),
    weight double precision,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE TABLE parts (
    id integer NOT NULL,
    day date NOT NULL,
    job_id bigint NOT NULL REFERENCES jobs (id),
    qty integer NOT NULL,
    note text,
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE TABLE parts_old PARTITION OF parts FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE TABLE parts_new PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO (MAXVALUE);
CREATE TABLE base (id integer PRIMARY KEY, v integer NOT NULL);
CREATE TABLE child (w integer) INHERITS (base);
CREATE TABLE links (a integer REFERENCES tenants (id), b integer, k text, UNIQUE (a, b));
CREATE TABLE locked (id integer PRIMARY KEY, t integer REFERENCES tenants (id), v integer);
ALTER TABLE locked ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON locked USING (v > 0);
CREATE TABLE vault (id integer PRIMARY KEY, v integer NOT NULL);
ALTER TABLE vault ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault FORCE ROW LEVEL SECURITY;
CREATE POLICY q ON vault USING (v > 0);
CREATE TABLE keys_of_vault (id integer PRIMARY KEY, vault_id integer NOT NULL REFERENCES vault (id));
CREATE VIEW barrier WITH (security_barrier) AS SELECT id, user_id, state FROM jobs WHERE state <> 'dead';
CREATE VIEW per_tenant AS SELECT tenant_id, count(*) AS n, max(at) AS last FROM jobs GROUP BY tenant_id;
CREATE TABLE kv (k numeric PRIMARY KEY, v integer NOT NULL);
CREATE TABLE spans (id integer PRIMARY KEY, i interval NOT NULL UNIQUE, f double precision NOT NULL UNIQUE, c character(5) NOT NULL UNIQUE, n text COLLATE ci NOT NULL UNIQUE);
CREATE FUNCTION tick() RETURNS integer LANGUAGE sql VOLATILE AS $$ SELECT 1 $$;
CREATE FUNCTION safe() RETURNS integer LANGUAGE sql STABLE AS $$ SELECT 1 $$;
