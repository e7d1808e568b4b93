-- One database that all cases share: a shop, its events and its odd corners. Everything is computed from the row's
-- number, so each run has the same rows.
CREATE EXTENSION pg_stat_statements;
CREATE EXTENSION pg_trgm;

-- A number that looks random, from 0 to m - 1.
CREATE FUNCTION pick(n bigint, salt int, m bigint) RETURNS bigint LANGUAGE sql IMMUTABLE
    AS $$ SELECT (hashint8(n * 31 + salt)::bigint + 2147483648) % m $$;

-- What an application calls by its own names.
CREATE SCHEMA shop;
CREATE FUNCTION shop.is_vip(score int, tags text[]) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
    AS $$ BEGIN RETURN score > 49500 AND 'common' = ANY (tags); END $$;
CREATE FUNCTION compact(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$ BEGIN RETURN lower(regexp_replace(t, '[^A-Za-z0-9]', '', 'g')); END $$;

CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL, first_name text NOT NULL, last_name text NOT NULL,
    country char(2) NOT NULL, score int, referrer_id int, newsletter boolean NOT NULL, tags text[] NOT NULL,
    profile jsonb NOT NULL, created_at timestamp NOT NULL, deleted_at timestamptz);
INSERT INTO customers
SELECT n, 'User' || n || '@' || (ARRAY['Example.com', 'Mail.org', 'Post.net'])[1 + n % 3],
    'First' || pick(n, 1, 900), 'Last' || pick(n, 2, 20000), chr(65 + pick(n, 3, 20)::int) || chr(65 + pick(n, 4, 12)::int),
    CASE WHEN n % 2 = 0 THEN pick(n, 5, 50000)::int END, CASE WHEN n % 60 = 0 THEN pick(n, 6, 3000)::int END, n % 2 = 0,
    ARRAY['tag' || pick(n, 7, 800), 'tag' || pick(n, 8, 40), 'common'],
    jsonb_build_object('plan', (ARRAY['free', 'free', 'free', 'pro'])[1 + n % 4], 'crm_id', 'crm-' || n, 'visits', pick(n, 9, 10000),
        'address', jsonb_build_object('city', 'City' || pick(n, 10, 700), 'zip', 10000 + pick(n, 11, 9000)))
        || CASE WHEN n % 500 = 0 THEN '{"beta": true}'::jsonb ELSE '{}' END,
    '2020-01-01'::timestamp + n * interval '40 minutes', CASE WHEN n % 300 = 0 THEN '2025-06-01'::timestamptz END
FROM generate_series(1, 40000) n;

CREATE TYPE currency AS ENUM ('EUR', 'USD', 'GBP', 'JPY', 'CHF');
CREATE DOMAIN reference_code AS varchar(20);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, status text NOT NULL,
    currency currency NOT NULL, total numeric(10, 2) NOT NULL, quantity int NOT NULL, reference reference_code NOT NULL,
    created_at timestamptz NOT NULL, shipped_at timestamptz, urgent boolean NOT NULL, store_id int NOT NULL, note text NOT NULL);
INSERT INTO orders
SELECT n, 1 + pick(n, 1, 39000), CASE WHEN n % 100 < 95 THEN 'done' WHEN n % 100 < 98 THEN 'cancelled' WHEN n % 100 = 98 THEN 'paid'
        ELSE 'pending' END, (enum_range(NULL::currency))[1 + CASE WHEN n % 400 = 0 THEN 4 ELSE n % 4 END],
    pick(n, 2, 100000) / 100.0, 1 + pick(n, 3, 50), 'REF-' || pick(n, 4, 10000000), '2025-01-01'::timestamptz + n * interval '2 minutes',
    CASE WHEN n % 120 <> 7 THEN '2025-01-03'::timestamptz + n * interval '2 minutes' END, n % 250 = 3, 1 + pick(n, 5, 30),
    'Note ' || repeat(md5(n::text), 2)
FROM generate_series(1, 120000) n;

CREATE TABLE products (id int PRIMARY KEY, sku char(12) NOT NULL, title text NOT NULL, description text NOT NULL, search tsvector,
    category_id int NOT NULL, price numeric(8, 2) NOT NULL, discount numeric(8, 2), attributes jsonb NOT NULL,
    attribute_paths jsonb NOT NULL, dimensions int[] NOT NULL, slug varchar(80) NOT NULL);
INSERT INTO products
SELECT n, lpad(pick(n, 1, 99999999)::text, 12, '0'), initcap(md5((n * 3)::text)) || ' ' || md5((n * 5)::text),
    (SELECT string_agg('word' || pick(n * 16 + k, 2, 3000) * pick(n * 16 + k, 3, 1000) / 1000, ' ') FROM generate_series(1, 12) k),
    NULL, pick(n, 4, 300), pick(n, 5, 90000) / 100.0, CASE WHEN n % 3 = 0 THEN pick(n, 6, 5000) / 100.0 END,
    jsonb_build_object('color', 'c' || pick(n, 7, 400), 'size', pick(n, 8, 60), 'brand', 'brand' || pick(n, 9, 2000), 'sold', n % 300 <> 0)
        || CASE WHEN n % 700 = 0 THEN '{"recalled": "2025"}'::jsonb ELSE '{}' END,
    jsonb_build_object('specs', jsonb_build_array(jsonb_build_object('name', 'weight', 'value', pick(n, 10, 5000)))),
    ARRAY[pick(n, 11, 500)::int, pick(n, 12, 500)::int, pick(n, 13, 500)::int], 'product-' || md5(n::text)
FROM generate_series(1, 20000) n;
UPDATE products SET search = to_tsvector('simple', description);

CREATE TABLE order_items (order_id bigint NOT NULL, line int NOT NULL, product_id int NOT NULL, quantity int NOT NULL,
    price numeric(8, 2) NOT NULL, PRIMARY KEY (order_id, line));
INSERT INTO order_items SELECT 1 + n / 2, n % 2, 1 + pick(n, 1, 20000), 1 + pick(n, 2, 9), pick(n, 3, 90000) / 100.0
FROM generate_series(0, 119999) n;

CREATE TABLE events (id bigint PRIMARY KEY, at timestamptz NOT NULL, local_at timestamp NOT NULL, kind text NOT NULL, user_id int NOT NULL,
    session_id uuid NOT NULL, processed boolean NOT NULL, duration real NOT NULL, payload jsonb NOT NULL);
INSERT INTO events
SELECT n, '2025-01-01'::timestamptz + n * interval '1 minute', '2025-01-01'::timestamp + n * interval '1 minute',
    (ARRAY['view', 'view', 'view', 'click', 'buy'])[1 + n % 5], pick(n, 1, 20000), md5((n / 4)::text)::uuid, n % 400 <> 9,
    pick(n, 2, 100000) / 10.0, jsonb_build_object('url', '/page/' || pick(n, 3, 5000), 'ref', md5(n::text), 'agent', repeat('Mozilla ', 6), 'amount', pick(n, 4, 20000))
FROM generate_series(1, 160000) n;

CREATE TABLE devices (id int PRIMARY KEY, name text NOT NULL, site int NOT NULL);
INSERT INTO devices SELECT n, 'device ' || n, n % 25 FROM generate_series(1, 400) n;
CREATE TABLE readings (id bigint PRIMARY KEY, device_id int NOT NULL, at timestamptz NOT NULL, value float8 NOT NULL, unit text NOT NULL, raw text NOT NULL);
INSERT INTO readings SELECT n, 1 + pick(n, 1, 400), '2025-01-01'::timestamptz + n * interval '30 seconds', pick(n, 2, 100000) / 7.0, 'celsius',
    md5(n::text) FROM generate_series(1, 100000) n;

CREATE TABLE messages (id bigint PRIMARY KEY, thread_id int NOT NULL, author_id int NOT NULL, recipient_id int NOT NULL, body text NOT NULL,
    sent_at timestamptz NOT NULL, read_at timestamptz, priority int NOT NULL, parent_id bigint);
INSERT INTO messages
SELECT n, pick(n, 1, 4000), pick(n, 2, 9000), pick(n, 3, 9000), 'Body ' || repeat(md5(n::text), 3), '2025-01-01'::timestamptz + n * interval '3 minutes',
    CASE WHEN n % 200 <> 5 THEN '2025-02-01'::timestamptz END, pick(n, 4, 1000), CASE WHEN n % 3 = 0 THEN 1 + pick(n, 5, 80000) END
FROM generate_series(1, 80000) n;

CREATE TABLE reservations (id int PRIMARY KEY, room_id int NOT NULL, during tstzrange NOT NULL, seats int4range NOT NULL, guest text NOT NULL);
INSERT INTO reservations
SELECT n, pick(n, 1, 200), tstzrange('2020-01-01'::timestamptz + n * interval '45 minutes', '2020-01-01'::timestamptz + n * interval '45 minutes' + interval '2 hours'),
    int4range(pick(n, 2, 100000)::int, pick(n, 2, 100000)::int + 5), 'guest ' || pick(n, 3, 9000)
FROM generate_series(1, 30000) n;

CREATE TABLE places (id int PRIMARY KEY, name text NOT NULL, location point NOT NULL, area box NOT NULL);
INSERT INTO places
SELECT n, 'Place ' || md5(n::text), point(pick(n, 1, 100000) / 100.0, pick(n, 2, 100000) / 100.0),
    box(point(pick(n, 1, 100000) / 100.0, pick(n, 2, 100000) / 100.0), point(pick(n, 1, 100000) / 100.0 + 1, pick(n, 2, 100000) / 100.0 + 1))
FROM generate_series(1, 30000) n;

CREATE TABLE networks (id int PRIMARY KEY, net cidr NOT NULL, owner text NOT NULL);
INSERT INTO networks SELECT n, ('10.' || n % 250 || '.' || n / 250 || '.0/24')::cidr, 'owner ' || pick(n, 1, 900) FROM generate_series(1, 40000) n;

CREATE TABLE jobs (id bigint PRIMARY KEY, queue text NOT NULL, state text NOT NULL, run_at timestamptz NOT NULL, priority int NOT NULL,
    attempts int NOT NULL, payload text NOT NULL);
INSERT INTO jobs SELECT n, 'queue' || pick(n, 1, 12), CASE WHEN n % 150 = 0 THEN 'ready' ELSE 'finished' END,
    '2025-01-01'::timestamptz + n * interval '1 minute', pick(n, 2, 10), n % 4, repeat(md5(n::text), 4) FROM generate_series(1, 60000) n;

CREATE TABLE logins (token text NOT NULL, user_id int NOT NULL, expires_at timestamptz NOT NULL, data text NOT NULL);
INSERT INTO logins SELECT md5('s' || n) || md5('t' || n) || md5('u' || n), pick(n, 1, 30000), '2025-03-01'::timestamptz + pick(n, 2, 100000) * interval '1 minute', md5(n::text)
FROM generate_series(1, 30000) n;

-- A parent whose rows are deleted, and a child without an index on its foreign key.
CREATE TABLE carts (id int PRIMARY KEY, owner text NOT NULL);
INSERT INTO carts SELECT n, 'owner ' || n FROM generate_series(1, 20000) n;
CREATE TABLE cart_lines (id int PRIMARY KEY, cart_id int REFERENCES carts, product_id int NOT NULL, filler text NOT NULL);
INSERT INTO cart_lines SELECT n, 101 + pick(n, 1, 19900), n % 900, repeat('x', 40) FROM generate_series(1, 60000) n;

CREATE TABLE measurements (id bigint NOT NULL, sensor_id int NOT NULL, at timestamptz NOT NULL, value float8 NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE measurements_q1 PARTITION OF measurements FOR VALUES FROM ('2025-01-01') TO ('2025-04-01');
CREATE TABLE measurements_q2 PARTITION OF measurements FOR VALUES FROM ('2025-04-01') TO ('2025-07-01');
CREATE TABLE measurements_q3 PARTITION OF measurements FOR VALUES FROM ('2025-07-01') TO ('2025-10-01');
CREATE TABLE measurements_q4 PARTITION OF measurements FOR VALUES FROM ('2025-10-01') TO ('2026-01-01');
INSERT INTO measurements SELECT n, pick(n, 1, 3000), '2025-01-01'::timestamptz + n * interval '6 minutes', pick(n, 2, 10000) / 3.0 FROM generate_series(1, 85000) n;

CREATE TABLE assets (id int NOT NULL, serial text NOT NULL, site int NOT NULL);
CREATE TABLE laptops (screen int) INHERITS (assets);
CREATE TABLE phones (imei text) INHERITS (assets);
INSERT INTO assets SELECT n, 'A' || n, n % 40 FROM generate_series(1, 300) n;
INSERT INTO laptops SELECT n, 'L' || n, n % 40, 13 FROM generate_series(1, 25000) n;
INSERT INTO phones SELECT n, 'P' || n, n % 40, 'imei' || n FROM generate_series(1, 25000) n;

CREATE TABLE price_periods (product_id int NOT NULL, valid_from timestamptz NOT NULL, valid_to timestamptz NOT NULL, price numeric NOT NULL);
INSERT INTO price_periods SELECT 1 + n % 2000, '2024-01-01'::timestamptz + n / 2000 * interval '20 days', '2024-01-21'::timestamptz + n / 2000 * interval '20 days', pick(n, 1, 9000)
FROM generate_series(0, 39999) n;
CREATE TABLE incidents (id int PRIMARY KEY, started_at timestamptz NOT NULL, ended_at timestamptz NOT NULL);
INSERT INTO incidents SELECT n, '2025-01-20'::timestamptz + n * interval '7 days', '2025-01-20'::timestamptz + n * interval '7 days' + interval '25 minutes' FROM generate_series(1, 12) n;

CREATE TABLE authors (id int PRIMARY KEY, name text COLLATE "en-x-icu" NOT NULL, about text NOT NULL);
INSERT INTO authors SELECT n, md5(n::text), repeat(md5((n * 3)::text), 3) FROM generate_series(1, 20000) n;

-- A foreign key of two columns.
CREATE TABLE shelves (warehouse int NOT NULL, shelf int NOT NULL, PRIMARY KEY (warehouse, shelf));
INSERT INTO shelves SELECT n / 100, n % 100 FROM generate_series(0, 4999) n;
CREATE TABLE stock (id int PRIMARY KEY, warehouse int NOT NULL, shelf int NOT NULL, product_id int NOT NULL, label text NOT NULL,
    FOREIGN KEY (warehouse, shelf) REFERENCES shelves ON DELETE CASCADE);
INSERT INTO stock SELECT n, n % 5000 / 100, n % 100, 1 + pick(n, 1, 20000), repeat('s', 30) FROM generate_series(1, 60000) n;

CREATE VIEW open_orders AS SELECT o.id, o.customer_id, o.created_at, o.total, c.email FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.shipped_at IS NULL;
CREATE VIEW order_facts AS SELECT id, customer_id, store_id, total * quantity AS amount, reference, created_at FROM orders;
CREATE VIEW reference_facts AS SELECT f.id, f.reference, f.amount FROM order_facts f;
CREATE VIEW parties AS SELECT id, author_id AS person FROM messages UNION ALL SELECT id, recipient_id FROM messages;
CREATE MATERIALIZED VIEW daily_sales AS SELECT store_id, created_at::date AS day, count(*) AS orders, sum(total) AS total FROM orders GROUP BY 1, 2
    UNION ALL SELECT 1000 + n, '2025-01-01'::date + n % 300, 1, 1 FROM generate_series(1, 25000) n;

-- Where no index is the answer.
CREATE TABLE tiny (id int PRIMARY KEY, name text NOT NULL, kind int NOT NULL);
INSERT INTO tiny SELECT n, 'tiny ' || n, n % 7 FROM generate_series(1, 200) n;
CREATE TABLE accounts (id int PRIMARY KEY, number text NOT NULL UNIQUE, branch int NOT NULL, opened_on date NOT NULL, balance numeric NOT NULL, active boolean NOT NULL, filler text NOT NULL);
INSERT INTO accounts SELECT n, 'N' || n, pick(n, 1, 400), '2000-01-01'::date + pick(n, 2, 9000)::int, pick(n, 3, 100000), n % 2 = 0, repeat('f', 30) FROM generate_series(1, 30000) n;
CREATE INDEX accounts_branch_opened_on_idx ON accounts (branch, opened_on DESC);
CREATE TABLE audit_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), actor int NOT NULL, action text NOT NULL);
INSERT INTO audit_log (at, actor, action) SELECT '2025-01-01'::timestamptz + n * interval '1 second', pick(n, 1, 3000), 'action' FROM generate_series(1, 20000) n;
CREATE FUNCTION slow_score(n int) RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN n % 1000; END $$;
