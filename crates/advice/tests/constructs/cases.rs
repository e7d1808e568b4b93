//! Which index is the best for which construct? Small statements with a known answer; those where none is stand in
//! `needless.rs`.
//!
//! Each case is a statement as a user writes it and the index that an expert would build, as DDL. Where
//! several are as good (a B-tree and a BRIN, two orders of equality columns), one stands for all: what counts
//! is the cost that it brings.

/// A statement, and what an expert would do about it.
pub struct Case {
    /// What it is called in the table.
    pub name: &'static str,
    /// The statement with the user's values in place.
    pub sql: &'static str,
    /// Sent with parameters instead of constants; `sql` holds the same values, to be explained.
    pub prepared: Option<Prepared>,
    /// What is explained instead: the look-up that a trigger makes is not in the plan of the statement.
    pub measured: Option<&'static str>,
    /// How often the statement runs.
    pub times: usize,
    /// Other statements of the same workload, and how often they run.
    pub beside: &'static [(&'static str, usize)],
    /// The best indexes; none where no index is the answer.
    pub ideal: &'static [&'static str],
}

/// A statement with parameters, and their values in text form.
pub struct Prepared {
    pub sql: &'static str,
    pub values: fn() -> Vec<Box<dyn tokio_postgres::types::ToSql + Sync>>,
}

pub const fn case(name: &'static str, sql: &'static str, ideal: &'static [&'static str]) -> Case {
    Case { name, sql, prepared: None, measured: None, times: 3, beside: &[], ideal }
}

impl Case {
    const fn prepared(
        mut self,
        sql: &'static str,
        values: fn() -> Vec<Box<dyn tokio_postgres::types::ToSql + Sync>>,
    ) -> Self {
        self.prepared = Some(Prepared { sql, values });
        self
    }

    const fn measured(mut self, sql: &'static str) -> Self {
        self.measured = Some(sql);
        self
    }

    pub const fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    pub const fn beside(mut self, statements: &'static [(&'static str, usize)]) -> Self {
        self.beside = statements;
        self
    }
}

pub const CASES: &[Case] = &[
    // Comparisons.
    case("equality", "SELECT * FROM orders WHERE customer_id = 777", &["CREATE INDEX ON orders (customer_id)"]),
    case(
        "equality and range",
        "SELECT * FROM events WHERE user_id = 4242 AND at > '2025-03-20'",
        &["CREATE INDEX ON events (user_id, at)"],
    ),
    case(
        "three equalities",
        "SELECT id FROM orders WHERE store_id = 7 AND quantity = 12 AND currency = 'USD'",
        &["CREATE INDEX ON orders (quantity, store_id, currency) INCLUDE (id)"],
    ),
    case("in list", "SELECT * FROM orders WHERE customer_id IN (17, 1700, 17000)", &["CREATE INDEX ON orders (customer_id)"]),
    case(
        "any array",
        "SELECT * FROM messages WHERE author_id = ANY ('{11,222,3333}')",
        &["CREATE INDEX ON messages (author_id)"],
    )
    .prepared("SELECT * FROM messages WHERE author_id = ANY ($1)", || vec![Box::new(vec![11_i32, 222, 3333])]),
    case("between", "SELECT * FROM orders WHERE total BETWEEN 500.00 AND 500.90", &["CREATE INDEX ON orders (total)"]),
    case(
        "pairs in list",
        "SELECT * FROM messages WHERE (author_id, recipient_id) IN ((1, 2), (3, 4), (5, 6))",
        &["CREATE INDEX ON messages (author_id, recipient_id)"],
    ),
    case(
        "or on two columns",
        "SELECT * FROM messages WHERE author_id = 71 OR recipient_id = 71",
        &["CREATE INDEX ON messages (author_id)", "CREATE INDEX ON messages (recipient_id)"],
    ),
    case(
        "or on one column",
        "SELECT * FROM messages WHERE thread_id = 71 OR thread_id = 99",
        &["CREATE INDEX ON messages (thread_id)"],
    ),
    case(
        "or beside and",
        "SELECT * FROM orders WHERE customer_id = 5 AND (status = 'pending' OR urgent)",
        &["CREATE INDEX ON orders (customer_id)"],
    ),
    case("enumeration", "SELECT * FROM orders WHERE currency = 'CHF'", &["CREATE INDEX ON orders (currency)"]),
    case("uuid", "SELECT id, kind FROM events WHERE session_id = md5('100')::uuid", &["CREATE INDEX ON events (session_id)"]),
    case("domain", "SELECT * FROM orders WHERE reference = 'REF-77'", &["CREATE INDEX ON orders (reference)"]),
    case("long text", "SELECT * FROM logins WHERE token = md5('s7') || md5('t7') || md5('u7')", &["CREATE INDEX ON logins USING hash (token)"]),
    case("index is invalid", "SELECT * FROM logins WHERE user_id = 1234", &["CREATE INDEX ON logins (user_id)"]),
    case(
        "or of pairs",
        "SELECT * FROM messages WHERE (author_id = 3 AND recipient_id = 44) OR (author_id = 44 AND recipient_id = 3)",
        &["CREATE INDEX ON messages (author_id, recipient_id)"],
    ),
    case(
        "value between two columns",
        "SELECT price FROM price_periods WHERE product_id = 77 AND '2024-06-01' BETWEEN valid_from AND valid_to",
        &["CREATE INDEX ON price_periods (product_id, valid_from)"],
    ),
    case(
        "first that is found",
        "SELECT id FROM customers WHERE last_name = 'Last77' LIMIT 1",
        &["CREATE INDEX ON customers (last_name) INCLUDE (id)"],
    ),
    // Orders.
    case(
        "first of an order",
        "SELECT * FROM orders WHERE customer_id = 777 ORDER BY created_at DESC LIMIT 10",
        &["CREATE INDEX ON orders (customer_id, created_at)"],
    ),
    case(
        "order with nulls last",
        "SELECT id, email, score FROM customers ORDER BY score DESC NULLS LAST LIMIT 20",
        &["CREATE INDEX ON customers (score DESC NULLS LAST)"],
    ),
    case(
        "order in two directions",
        "SELECT id, title FROM products ORDER BY category_id, price DESC LIMIT 20",
        &["CREATE INDEX ON products (category_id, price DESC)"],
    ),
    case(
        "keyset",
        "SELECT * FROM messages WHERE (sent_at, id) > ('2025-05-05', 40000) ORDER BY sent_at, id LIMIT 50",
        &["CREATE INDEX ON messages (sent_at, id)"],
    ),
    case(
        "keyset within a thread",
        "SELECT id, body FROM messages WHERE thread_id = 7 AND (priority, id) < (500, 99999) ORDER BY priority DESC, id DESC LIMIT 10",
        &["CREATE INDEX ON messages (thread_id, priority, id)"],
    ),
    case(
        "page",
        "SELECT id, title FROM products ORDER BY price OFFSET 200 LIMIT 20",
        &["CREATE INDEX ON products (price)"],
    ),
    case("largest", "SELECT max(total) FROM orders", &["CREATE INDEX ON orders (total)"]),
    case(
        "smallest of a group",
        "SELECT min(created_at) FROM orders WHERE customer_id = 808",
        &["CREATE INDEX ON orders (customer_id, created_at)"],
    ),
    case(
        "order by expression",
        "SELECT id, title FROM products ORDER BY lower(title) LIMIT 10",
        &["CREATE INDEX ON products (lower(title))"],
    ),
    // Index-only scans.
    case(
        "covering",
        "SELECT sum(quantity) FROM order_items WHERE product_id BETWEEN 500 AND 900",
        &["CREATE INDEX ON order_items (product_id) INCLUDE (quantity)"],
    ),
    case(
        "covering range",
        "SELECT count(*), sum(total) FROM orders WHERE created_at >= '2025-03-01' AND created_at < '2025-04-01'",
        &["CREATE INDEX ON orders (created_at) INCLUDE (total)"],
    ),
    case(
        "group in order",
        "SELECT user_id, max(at) FROM events GROUP BY user_id",
        &["CREATE INDEX ON events (user_id, at)"],
    ),
    case(
        "distinct",
        "SELECT DISTINCT kind FROM events",
        &["CREATE INDEX ON events (kind)"],
    ),
    case(
        "count of a group",
        "SELECT count(*) FROM messages WHERE recipient_id = 55 AND read_at IS NULL",
        &["CREATE INDEX ON messages (recipient_id) WHERE read_at IS NULL"],
    ),
    case(
        "existing index made wider",
        "SELECT sum(balance) FROM accounts WHERE branch BETWEEN 20 AND 30",
        &["CREATE INDEX ON accounts (branch, opened_on DESC) INCLUDE (balance)"],
    ),
    case(
        "group by an expression",
        "SELECT date_trunc('day', local_at), count(*) FROM events WHERE local_at >= '2025-04-19' GROUP BY 1",
        &["CREATE INDEX ON events (local_at)"],
    ),
    case(
        "count of different values",
        "SELECT count(DISTINCT device_id) FROM readings WHERE at >= '2025-02-04'",
        &["CREATE INDEX ON readings (at) INCLUDE (device_id)"],
    ),
    // The latest of each group.
    case(
        "distinct on",
        "SELECT DISTINCT ON (device_id) device_id, at, value FROM readings ORDER BY device_id, at DESC",
        &["CREATE INDEX ON readings (device_id, at DESC) INCLUDE (value)"],
    ),
    case(
        "row_number",
        "SELECT device_id, at, value FROM (SELECT device_id, at, value, row_number() OVER (PARTITION BY device_id ORDER BY at DESC) AS n
         FROM readings) r WHERE n = 1",
        &["CREATE INDEX ON readings (device_id, at DESC) INCLUDE (value)"],
    ),
    case(
        "lateral",
        "SELECT d.name, r.at, r.raw FROM devices d CROSS JOIN LATERAL
         (SELECT at, raw FROM readings r WHERE r.device_id = d.id ORDER BY at DESC LIMIT 1) r",
        &["CREATE INDEX ON readings (device_id, at)"],
    ),
    case(
        "correlated maximum",
        "SELECT d.name, (SELECT max(at) FROM readings r WHERE r.device_id = d.id) FROM devices d WHERE d.site = 3",
        &["CREATE INDEX ON readings (device_id, at)"],
    ),
    case(
        "window",
        "SELECT id, sum(value) OVER (PARTITION BY device_id ORDER BY at) FROM readings WHERE device_id = 17",
        &["CREATE INDEX ON readings (device_id, at)"],
    ),
    // Joins.
    case(
        "join from a rare row",
        "SELECT o.id, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.email = 'User777@Example.com'",
        &["CREATE INDEX ON customers (email)", "CREATE INDEX ON orders (customer_id)"],
    ),
    case(
        "exists",
        "SELECT d.id, d.name FROM devices d WHERE d.site = 4 AND EXISTS (SELECT 1 FROM readings r WHERE r.device_id = d.id AND r.value > 14280)",
        &["CREATE INDEX ON readings (device_id, value)"],
    ),
    case(
        "not exists",
        "SELECT c.id FROM customers c WHERE c.country = 'AA' AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)",
        &["CREATE INDEX ON orders (customer_id)", "CREATE INDEX ON customers (country) INCLUDE (id)"],
    ),
    case(
        "anti join",
        "SELECT c.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE c.score = 4711 AND o.id IS NULL",
        &["CREATE INDEX ON orders (customer_id)", "CREATE INDEX ON customers (score)"],
    ),
    case(
        "in subquery",
        "SELECT id, total FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE last_name = 'Last42')",
        &["CREATE INDEX ON orders (customer_id)", "CREATE INDEX ON customers (last_name) INCLUDE (id)"],
    ),
    case(
        "merge join",
        "SELECT i.product_id, p.title, i.quantity FROM products p JOIN order_items i ON i.product_id = p.id ORDER BY p.id LIMIT 100",
        &["CREATE INDEX ON order_items (product_id)"],
    ),
    case(
        "inequality join",
        "SELECT i.id, count(*) FROM incidents i JOIN events e ON e.at >= i.started_at AND e.at < i.ended_at GROUP BY i.id",
        &["CREATE INDEX ON events (at)"],
    ),
    case(
        "period join",
        "SELECT o.order_id, p.price FROM order_items o JOIN price_periods p ON p.product_id = o.product_id AND p.valid_from <= '2024-06-01'
         AND p.valid_to > '2024-06-01' WHERE o.order_id BETWEEN 100 AND 120",
        &["CREATE INDEX ON price_periods (product_id, valid_from)"],
    ),
    case(
        "self join",
        "SELECT m.id, p.body FROM messages m JOIN messages p ON p.id = m.parent_id WHERE m.recipient_id = 90",
        &["CREATE INDEX ON messages (recipient_id)"],
    ),
    case(
        "common table expression",
        "WITH mine AS (SELECT id, thread_id FROM messages WHERE author_id = 512) SELECT count(*) FROM mine JOIN messages m ON m.thread_id = mine.thread_id",
        &["CREATE INDEX ON messages (author_id)", "CREATE INDEX ON messages (thread_id)"],
    ),
    case(
        "union",
        "SELECT id FROM messages WHERE author_id = 3 UNION ALL SELECT id FROM messages WHERE recipient_id = 3",
        &["CREATE INDEX ON messages (author_id)", "CREATE INDEX ON messages (recipient_id)"],
    ),
    case(
        "recursion",
        "WITH RECURSIVE thread AS (SELECT id, body FROM messages WHERE id = 17 UNION ALL
         SELECT m.id, m.body FROM messages m JOIN thread t ON m.parent_id = t.id) SELECT count(*) FROM thread",
        &["CREATE INDEX ON messages (parent_id)"],
    ),
    // Partial indexes.
    case(
        "rare null",
        "SELECT id, customer_id FROM orders WHERE shipped_at IS NULL ORDER BY created_at LIMIT 20",
        &["CREATE INDEX ON orders (created_at) WHERE shipped_at IS NULL"],
    ),
    case(
        "rare value of a column of nulls",
        "SELECT id, email FROM customers WHERE referrer_id = 99",
        &["CREATE INDEX ON customers (referrer_id) WHERE referrer_id IS NOT NULL"],
    ),
    case(
        "not null",
        "SELECT id, email FROM customers WHERE deleted_at IS NOT NULL",
        &["CREATE INDEX ON customers (id) WHERE deleted_at IS NOT NULL"],
    ),
    case("rare truth", "SELECT id, total FROM orders WHERE urgent", &["CREATE INDEX ON orders (id) WHERE urgent"]),
    case(
        "rare falsehood",
        "SELECT * FROM events WHERE NOT processed ORDER BY id LIMIT 100",
        &["CREATE INDEX ON events (id) WHERE NOT processed"],
    ),
    case(
        "rare constant",
        "SELECT id, total FROM orders WHERE status = 'pending'",
        &["CREATE INDEX ON orders (status)"],
    ),
    case(
        "job queue",
        "SELECT * FROM jobs WHERE state = 'ready' AND queue = 'queue3' AND run_at <= '2025-06-01' ORDER BY priority DESC, run_at LIMIT 1 FOR UPDATE SKIP LOCKED",
        &["CREATE INDEX ON jobs (queue, priority DESC, run_at) WHERE state = 'ready'"],
    ),
    case(
        "rare truth as a constant",
        "SELECT id, total FROM orders WHERE urgent = true",
        &["CREATE INDEX ON orders (urgent) INCLUDE (id, total)"],
    ),
    // Expressions.
    case("lower", "SELECT id FROM customers WHERE lower(email) = 'user4711@mail.org'", &["CREATE INDEX ON customers (lower(email))"]),
    case(
        "date of a timestamp",
        "SELECT count(*) FROM events WHERE local_at::date = '2025-03-03'",
        &["CREATE INDEX ON events ((local_at::date))"],
    ),
    case(
        "date_trunc",
        "SELECT id, kind FROM events WHERE date_trunc('hour', local_at) = '2025-03-03 10:00'",
        &["CREATE INDEX ON events (date_trunc('hour', local_at))"],
    ),
    case(
        "extract",
        "SELECT id FROM customers WHERE extract(doy FROM created_at) = 77 AND extract(year FROM created_at) = 2021",
        &["CREATE INDEX ON customers (extract(year FROM created_at), extract(doy FROM created_at))"],
    ),
    case("concatenation", "SELECT id FROM customers WHERE first_name || ' ' || last_name = 'First7 Last77'",
        &["CREATE INDEX ON customers ((first_name || ' ' || last_name))"]),
    case("arithmetic", "SELECT id FROM orders WHERE total * quantity > 49500", &["CREATE INDEX ON orders ((total * quantity))"]),
    case("coalesce", "SELECT id FROM products WHERE coalesce(discount, price) < 0.30", &["CREATE INDEX ON products (coalesce(discount, price))"]),
    case("function of two", "SELECT id FROM customers WHERE md5(email || country) = md5('User5@Mail.orgAA')",
        &["CREATE INDEX ON customers (md5(email || country))"]),
    case(
        "date in a time zone",
        "SELECT id, raw FROM readings WHERE (at AT TIME ZONE 'UTC')::date = '2025-01-20'",
        &["CREATE INDEX ON readings (((at AT TIME ZONE 'UTC')::date))"],
    ),
    // Documents and arrays.
    case("document key", "SELECT id, email FROM customers WHERE profile ->> 'crm_id' = 'crm-4711'",
        &["CREATE INDEX ON customers ((profile ->> 'crm_id'))"]),
    case("document key as number", "SELECT id FROM events WHERE (payload ->> 'amount')::int > 19990",
        &["CREATE INDEX ON events (((payload ->> 'amount')::int))"]),
    case("document path", "SELECT id FROM customers WHERE profile #>> '{address,city}' = 'City77'",
        &["CREATE INDEX ON customers ((profile #>> '{address,city}'))"]),
    case("document subscripts", "SELECT id FROM customers WHERE profile -> 'address' ->> 'zip' = '12345'",
        &["CREATE INDEX ON customers ((profile -> 'address' ->> 'zip'))"]),
    case("document contains", "SELECT id FROM products WHERE attributes @> '{\"color\": \"c77\", \"size\": 7}'",
        &["CREATE INDEX ON products USING gin (attributes jsonb_path_ops)"]),
    case("document has key", "SELECT id, title FROM products WHERE attributes ? 'recalled'",
        &["CREATE INDEX ON products USING gin (attributes)"]),
    case("document path query", "SELECT id FROM products WHERE attribute_paths @? '$.specs[*] ? (@.value == 4711)'",
        &["CREATE INDEX ON products USING gin (attribute_paths jsonb_path_ops)"]),
    case("array contains", "SELECT id FROM customers WHERE tags @> ARRAY['tag755']", &["CREATE INDEX ON customers USING gin (tags)"]),
    case("array overlaps", "SELECT id FROM products WHERE dimensions && ARRAY[7, 77]", &["CREATE INDEX ON products USING gin (dimensions)"]),
    case(
        "part of a document contains",
        "SELECT id FROM customers WHERE profile -> 'address' @> '{\"city\": \"City77\"}'",
        &["CREATE INDEX ON customers USING gin ((profile -> 'address') jsonb_path_ops)"],
    ),
    // Texts.
    case("prefix", "SELECT id FROM customers WHERE email LIKE 'User4711%'", &["CREATE INDEX ON customers (email text_pattern_ops)"]),
    case("prefix of an expression", "SELECT id FROM products WHERE lower(title) LIKE 'abc1%'",
        &["CREATE INDEX ON products (lower(title) text_pattern_ops)"]),
    case("prefix of varchar", "SELECT id FROM products WHERE slug LIKE 'product-abc%'", &["CREATE INDEX ON products (slug varchar_pattern_ops)"]),
    case("prefix of char", "SELECT id FROM products WHERE sku LIKE '000012%'", &["CREATE INDEX ON products (sku bpchar_pattern_ops)"]),
    case("starts with", "SELECT id FROM products WHERE starts_with(title, 'Abcd')", &["CREATE INDEX ON products USING spgist (title)"]),
    case("starts with operator", "SELECT id FROM products WHERE title ^@ 'Abcd'", &["CREATE INDEX ON products USING spgist (title)"]),
    case("middle", "SELECT id, title FROM products WHERE title LIKE '%abcde%'", &["CREATE INDEX ON products USING gin (title gin_trgm_ops)"]),
    case("middle of any case", "SELECT id, title FROM products WHERE title ILIKE '%ABCDEF%'",
        &["CREATE INDEX ON products USING gin (title gin_trgm_ops)"]),
    case("middle behind what all begin with", "SELECT id, sku FROM products WHERE slug LIKE '%abc12%'",
        &["CREATE INDEX ON products USING gin (slug gin_trgm_ops)"]),
    case("regular expression", "SELECT id FROM products WHERE title ~ 'abcd[0-9]ef'", &["CREATE INDEX ON products USING gin (title gin_trgm_ops)"]),
    case("similar", "SELECT id, title FROM products WHERE title % 'A87ff679a2f3e71d9181a67b7542122c'",
        &["CREATE INDEX ON products USING gin (title gin_trgm_ops)"]),
    case("most similar", "SELECT id, name FROM places ORDER BY name <-> 'Place a87ff679a2f3' LIMIT 5",
        &["CREATE INDEX ON places USING gist (name gist_trgm_ops)"]),
    case("text search", "SELECT id, title FROM products WHERE search @@ to_tsquery('simple', 'word2345 & word1234')",
        &["CREATE INDEX ON products USING gin (search)"]),
    case("text search in an expression", "SELECT id FROM products WHERE to_tsvector('english', description) @@ plainto_tsquery('english', 'word2345')",
        &["CREATE INDEX ON products USING gin (to_tsvector('english', description))"]),
    case(
        "middle of an expression",
        "SELECT id FROM customers WHERE lower(first_name || ' ' || last_name) LIKE '%t77 last1234%'",
        &["CREATE INDEX ON customers USING gin (lower(first_name || ' ' || last_name) gin_trgm_ops)"],
    ),
    // Space, ranges, networks.
    case("range contains", "SELECT id, guest FROM reservations WHERE during @> '2022-02-02 10:30'::timestamptz",
        &["CREATE INDEX ON reservations USING gist (during)"]),
    case("range overlaps", "SELECT id FROM reservations WHERE during && tstzrange('2022-02-02', '2022-02-03')",
        &["CREATE INDEX ON reservations USING gist (during)"]),
    case("range of numbers", "SELECT id FROM reservations WHERE seats @> 77777", &["CREATE INDEX ON reservations USING gist (seats)"]),
    case("nearest", "SELECT id, name FROM places ORDER BY location <-> point(500, 500) LIMIT 10", &["CREATE INDEX ON places USING gist (location)"]),
    case("inside", "SELECT id FROM places WHERE location <@ box(point(500, 500), point(505, 505))", &["CREATE INDEX ON places USING gist (location)"]),
    case("boxes overlap", "SELECT id FROM places WHERE area && box(point(500, 500), point(505, 505))", &["CREATE INDEX ON places USING gist (area)"]),
    case("network contains", "SELECT owner FROM networks WHERE net >>= '10.77.7.7'::inet", &["CREATE INDEX ON networks USING gist (net inet_ops)"]),
    case("in the order of the table", "SELECT avg(duration) FROM events WHERE at BETWEEN '2025-03-01' AND '2025-03-12'",
        &["CREATE INDEX ON events USING brin (at)"]),
    // Changes.
    case("update", "UPDATE orders SET note = 'seen' WHERE reference = 'REF-4711'", &["CREATE INDEX ON orders (reference)"]),
    case("delete", "DELETE FROM logins WHERE expires_at < '2025-03-01 00:09'", &["CREATE INDEX ON logins (expires_at)"]),
    case("update from", "UPDATE order_items i SET price = 1 FROM products p WHERE p.id = i.product_id AND p.sku = '000000000001'",
        &["CREATE INDEX ON order_items (product_id)", "CREATE INDEX ON products (sku)"]),
    case("delete of a parent", "DELETE FROM carts WHERE id = 7", &["CREATE INDEX ON cart_lines (cart_id)"])
        .measured("SELECT 1 FROM ONLY cart_lines x WHERE 7 = cart_id FOR KEY SHARE OF x"),
    case("insert from a search", "INSERT INTO audit_log (actor, action) SELECT author_id, 'x' FROM messages WHERE recipient_id = 8123",
        &["CREATE INDEX ON messages (recipient_id)"]),
    // Relations of other kinds.
    case("partitioned table", "SELECT * FROM measurements WHERE sensor_id = 77", &["CREATE INDEX ON measurements (sensor_id)"]),
    case("newest of a partitioned table", "SELECT at, value FROM measurements WHERE sensor_id = 78 ORDER BY at DESC LIMIT 1",
        &["CREATE INDEX ON measurements (sensor_id, at)"]),
    case("one partition", "SELECT at, value FROM measurements WHERE sensor_id = 79 AND at >= '2025-08-01' AND at < '2025-09-01'",
        &["CREATE INDEX ON measurements (sensor_id, at)"]),
    case("inherited table", "SELECT id, site FROM assets WHERE serial = 'P777'",
        &["CREATE INDEX ON laptops (serial)", "CREATE INDEX ON phones (serial)"]),
    case("view", "SELECT id, amount FROM order_facts WHERE reference = 'REF-123'", &["CREATE INDEX ON orders (reference)"]),
    case("view over a view", "SELECT * FROM reference_facts WHERE reference LIKE 'REF-1234%'", &["CREATE INDEX ON orders (reference varchar_pattern_ops)"]),
    case("expression of a view", "SELECT id FROM order_facts WHERE amount > 49600", &["CREATE INDEX ON orders ((total * quantity))"]),
    case("view of a join", "SELECT id, email FROM open_orders WHERE customer_id = 17", &["CREATE INDEX ON orders (customer_id) WHERE shipped_at IS NULL"]),
    case(
        "view of a union",
        "SELECT id FROM parties WHERE person = 77",
        &["CREATE INDEX ON messages (author_id) INCLUDE (id)", "CREATE INDEX ON messages (recipient_id) INCLUDE (id)"],
    ),
    case("materialized view", "SELECT * FROM daily_sales WHERE day = '2025-03-01' AND store_id = 4", &["CREATE INDEX ON daily_sales (store_id, day)"]),
    // Orders with lists, directions and places to go on from.
    case("newest of a list", "SELECT id, created_at FROM orders WHERE store_id IN (3, 13, 23) ORDER BY created_at DESC LIMIT 20",
        &["CREATE INDEX ON orders (created_at, store_id)"]),
    case("nulls first", "SELECT id, discount FROM products ORDER BY discount NULLS FIRST, id LIMIT 20",
        &["CREATE INDEX ON products (discount NULLS FIRST, id)"]),
    case("two directions within a store", "SELECT id, created_at FROM orders WHERE store_id = 3 ORDER BY urgent DESC, created_at LIMIT 20",
        &["CREATE INDEX ON orders (store_id, urgent DESC, created_at)"]),
    case("keyset backwards", "SELECT * FROM orders WHERE store_id = 9 AND (created_at, id) < ('2025-04-01', 60000) ORDER BY created_at DESC, id DESC LIMIT 20",
        &["CREATE INDEX ON orders (store_id, created_at, id)"]),
    case("keyset spelled out", "SELECT * FROM orders WHERE store_id = 9 AND (created_at < '2025-04-01' OR created_at = '2025-04-01' AND id < 60000)
         ORDER BY created_at DESC, id DESC LIMIT 20", &["CREATE INDEX ON orders (store_id, created_at, id)"]),
    case("order in another collation", "SELECT id, title FROM products ORDER BY title COLLATE \"C\" LIMIT 10",
        &["CREATE INDEX ON products (title COLLATE \"C\")"]),
    case("first and last", "SELECT min(at), max(at) FROM readings WHERE device_id = 7", &["CREATE INDEX ON readings (device_id, at)"]),
    case("largest of an expression", "SELECT max(lower(last_name)) FROM customers", &["CREATE INDEX ON customers (lower(last_name))"]),
    case("smallest of an expression", "SELECT min(upper(title)) FROM products", &["CREATE INDEX ON products (upper(title))"]),
    case("largest of an expression within a country", "SELECT max(lower(last_name)) FROM customers WHERE country = 'AA'",
        &["CREATE INDEX ON customers (country, lower(last_name))"]),
    case("largest of a partitioned table", "SELECT id, value FROM measurements ORDER BY value DESC LIMIT 10", &["CREATE INDEX ON measurements (value)"]),
    case("latest of some", "SELECT DISTINCT ON (user_id) user_id, at, kind FROM events WHERE user_id IN (7, 77, 777) ORDER BY user_id, at DESC",
        &["CREATE INDEX ON events (user_id, at DESC)"]),
    case("three of each", "SELECT id, store_id, n FROM (SELECT id, store_id, row_number() OVER (PARTITION BY store_id ORDER BY created_at DESC) AS n FROM orders) o
         WHERE n <= 3", &["CREATE INDEX ON orders (store_id, created_at DESC) INCLUDE (id)"]),
    case("rank within a store", "SELECT id, place FROM (SELECT id, rank() OVER (ORDER BY total DESC) AS place FROM orders WHERE store_id = 4) o WHERE place <= 5",
        &["CREATE INDEX ON orders (store_id, total DESC)"]),
    case("lateral best three", "SELECT c.id, o.id, o.total FROM customers c CROSS JOIN LATERAL
         (SELECT id, total FROM orders o WHERE o.customer_id = c.id ORDER BY total DESC LIMIT 3) o WHERE c.country = 'AA'",
        &["CREATE INDEX ON orders (customer_id, total)", "CREATE INDEX ON customers (country)"]),
    // Rare rows.
    case("not the usual state", "SELECT id, payload FROM jobs WHERE state <> 'finished'", &["CREATE INDEX ON jobs (id) WHERE state <> 'finished'"]),
    case("none of the usual states", "SELECT id, total FROM orders WHERE status NOT IN ('done', 'cancelled')",
        &["CREATE INDEX ON orders (status) INCLUDE (id, total) WHERE status <> 'done' AND status <> 'cancelled'"]),
    case("not equal", "SELECT * FROM orders WHERE status <> 'done' AND status <> 'cancelled' AND store_id <> 4",
        &["CREATE INDEX ON orders (status) WHERE status <> 'done' AND status <> 'cancelled'"]),
    case("two rare states", "SELECT id, total FROM orders WHERE status IN ('pending', 'paid') AND store_id = 12",
        &["CREATE INDEX ON orders (store_id, status)"]),
    case("rare truth and null", "SELECT id, total FROM orders WHERE urgent AND shipped_at IS NULL", &["CREATE INDEX ON orders (id) WHERE urgent AND shipped_at IS NULL"]),
    case("unread of one, newest first", "SELECT id, sent_at FROM messages WHERE recipient_id = 77 AND read_at IS NULL ORDER BY sent_at DESC",
        &["CREATE INDEX ON messages (recipient_id, sent_at) WHERE read_at IS NULL"]),
    case("count of a rare state", "SELECT count(*) FROM jobs WHERE state = 'ready'", &["CREATE INDEX ON jobs (state)"]),
    case("truth in a document", "SELECT id FROM customers WHERE (profile ->> 'beta')::boolean",
        &["CREATE INDEX ON customers (id) WHERE (profile ->> 'beta')::boolean"]),
    case("untruth in a document", "SELECT id FROM products WHERE NOT (attributes ->> 'sold')::boolean",
        &["CREATE INDEX ON products (((attributes ->> 'sold')::boolean))"]),
    case("function of a row", "SELECT id, email FROM customers WHERE shop.is_vip(score, tags)",
        &["CREATE INDEX ON customers (shop.is_vip(score, tags))"]),
    case("own function of a column", "SELECT id FROM customers WHERE compact(email) = compact('User4711@mail.org')",
        &["CREATE INDEX ON customers (compact(email))"]),
    case("not true", "SELECT id, kind FROM events WHERE processed IS NOT TRUE", &["CREATE INDEX ON events (id) WHERE processed IS NOT TRUE"]),
    case("document has a rare key", "SELECT id FROM customers WHERE profile ? 'beta'", &["CREATE INDEX ON customers USING gin (profile)"]),
    // More expressions, documents and ranges.
    case("list of an expression", "SELECT id FROM customers WHERE lower(email) IN ('user4711@mail.org', 'user17@post.net')",
        &["CREATE INDEX ON customers (lower(email))"]),
    case("document number between", "SELECT id FROM events WHERE (payload ->> 'amount')::int BETWEEN 700 AND 705",
        &["CREATE INDEX ON events (((payload ->> 'amount')::int))"]),
    case("document path predicate", "SELECT id FROM products WHERE attribute_paths @@ '$.specs[*].value == 4712'",
        &["CREATE INDEX ON products USING gin (attribute_paths jsonb_path_ops)"]),
    case("two keys of a document", "SELECT id FROM customers WHERE profile ->> 'plan' = 'pro' AND profile -> 'address' ->> 'city' = 'City9'",
        &["CREATE INDEX ON customers ((profile -> 'address' ->> 'city'))"]),
    case("any of two tags", "SELECT id FROM customers WHERE tags && ARRAY['tag755', 'tag701']", &["CREATE INDEX ON customers USING gin (tags)"]),
    case("range contained", "SELECT id FROM reservations WHERE seats <@ int4range(500, 520)", &["CREATE INDEX ON reservations USING gist (seats)"]),
    case("end of a range", "SELECT id FROM reservations WHERE upper(during) > '2022-07-20'", &["CREATE INDEX ON reservations (upper(during))"]),
    case("room and range", "SELECT id FROM reservations WHERE room_id = 7 AND during && tstzrange('2022-02-02', '2022-02-03')",
        &["CREATE INDEX ON reservations USING gist (during)"]),
    case("network within", "SELECT owner FROM networks WHERE net <<= '10.77.8.0/22'", &["CREATE INDEX ON networks (net)"]),
    case("prefix of any case", "SELECT id FROM customers WHERE email ILIKE 'user4711@%'", &["CREATE INDEX ON customers USING gin (email gin_trgm_ops)"]),
    case("prefix in a language", "SELECT id FROM authors WHERE name LIKE 'ab7c%'", &["CREATE INDEX ON authors (name text_pattern_ops)"]),
    case("equality in a language", "SELECT id FROM authors WHERE name = 'a87ff679a2f3e71d9181a67b7542122c'", &["CREATE INDEX ON authors (name)"]),
    case("ranked text search", "SELECT p.id, ts_rank(p.search, q) FROM products p, to_tsquery('simple', 'word2345') q WHERE p.search @@ q ORDER BY 2 DESC LIMIT 10",
        &["CREATE INDEX ON products USING gin (search)"]),
    // More ways to join, and lists that come as rows.
    case("pairs of a thread", "SELECT a.id, b.id FROM messages a JOIN messages b ON b.thread_id = a.thread_id AND b.id > a.id WHERE a.author_id = 7",
        &["CREATE INDEX ON messages (author_id)", "CREATE INDEX ON messages (thread_id)"]),
    case("values", "SELECT o.id, o.total FROM (VALUES (17), (1700), (17000)) AS v (customer) JOIN orders o ON o.customer_id = v.customer",
        &["CREATE INDEX ON orders (customer_id)"]),
    case("array as rows", "SELECT o.id, o.total FROM unnest('{18,1800,18000}'::int[]) AS u (customer) JOIN orders o ON o.customer_id = u.customer",
        &["CREATE INDEX ON orders (customer_id)"]),
    case("array of a subquery", "SELECT id, total FROM orders WHERE customer_id = ANY (ARRAY(SELECT id FROM customers WHERE last_name = 'Last43'))",
        &["CREATE INDEX ON orders (customer_id)", "CREATE INDEX ON customers (last_name) INCLUDE (id)"]),
    case("except", "SELECT id FROM messages WHERE author_id = 5 EXCEPT SELECT id FROM messages WHERE recipient_id = 5",
        &["CREATE INDEX ON messages (author_id) INCLUDE (id)", "CREATE INDEX ON messages (recipient_id) INCLUDE (id)"]),
    case("since the last one", "SELECT id, total FROM orders WHERE created_at > (SELECT max(created_at) - interval '1 hour' FROM orders)",
        &["CREATE INDEX ON orders (created_at)"]),
    case("is there one", "SELECT EXISTS (SELECT 1 FROM orders WHERE reference = 'REF-99')", &["CREATE INDEX ON orders (reference)"]),
    case("having", "SELECT customer_id, sum(total) FROM orders WHERE created_at >= '2025-06-10' GROUP BY customer_id HAVING sum(total) > 900",
        &["CREATE INDEX ON orders (created_at) INCLUDE (customer_id, total)"]),
    // More changes.
    case("delete using", "DELETE FROM messages m USING customers c WHERE c.id = m.author_id AND c.email = 'User77@Post.net'",
        &["CREATE INDEX ON messages (author_id)", "CREATE INDEX ON customers (email)"]),
    case("merge", "MERGE INTO price_periods p USING (VALUES (77, '2024-01-01'::timestamptz, 5)) AS v (product_id, valid_from, price)
         ON p.product_id = v.product_id AND p.valid_from = v.valid_from WHEN MATCHED THEN UPDATE SET price = v.price",
        &["CREATE INDEX ON price_periods (product_id, valid_from)"]),
    case("delete of a parent with two keys", "DELETE FROM shelves WHERE warehouse = 7 AND shelf = 3", &["CREATE INDEX ON stock (warehouse, shelf)"])
        .measured("DELETE FROM ONLY stock WHERE 7 = warehouse AND 3 = shelf"),
];
