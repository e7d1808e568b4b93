//! For which statements is no index the answer?

use crate::cases::{Case, case};

pub const NONE: &[Case] = &[
    case("small table", "SELECT * FROM tiny WHERE name = 'tiny 7'", &[]),
    case("primary key", "SELECT * FROM accounts WHERE id = 4711", &[]),
    case("unique key and more", "SELECT * FROM accounts WHERE number = 'N77' AND active", &[]),
    case("prefix of an index", "SELECT * FROM accounts WHERE branch = 17", &[]),
    case(
        "index read backwards",
        "SELECT opened_on FROM accounts WHERE branch = 18 ORDER BY opened_on LIMIT 3",
        &[],
    ),
    case("half of the table", "SELECT * FROM accounts WHERE active", &[]),
    case("most of the table", "SELECT * FROM accounts WHERE balance > 9000", &[]),
    case("whole table", "SELECT count(*), avg(balance), max(filler) FROM accounts", &[]),
    case("first rows in any order", "SELECT * FROM events LIMIT 10", &[]),
    case("order of the key", "SELECT * FROM events ORDER BY id DESC LIMIT 10", &[]),
    case("day of a moment", "SELECT count(*) FROM readings WHERE date_trunc('day', at) = '2025-02-02'", &[]),
    case("date of a moment", "SELECT id, raw FROM readings WHERE at::date = '2025-02-03'", &[]),
    case("volatile", "SELECT id FROM accounts WHERE random() < 0.001", &[]),
    case("function of the user", "SELECT id FROM accounts WHERE slow_score(branch) = 7", &[]),
    case("member of an array", "SELECT id FROM customers WHERE 'tag755' = ANY (tags)", &[]),
    case("not distinct", "SELECT id FROM customers WHERE referrer_id IS NOT DISTINCT FROM 7", &[]),
    case("join of all rows", "SELECT * FROM readings r JOIN devices d ON d.id = r.device_id", &[]),
    case("temporary table", "SELECT * FROM mine WHERE x = 7", &[]),
    case("catalog", "SELECT relname FROM pg_class WHERE relname = 'orders'", &[]),
    case(
        "key of a partition",
        "SELECT value FROM measurements WHERE id = 77 AND at = '2025-01-01 07:42'",
        &[],
    ),
    case(
        "view of a small table",
        "SELECT t.name FROM tiny t JOIN accounts a ON a.id = t.id WHERE t.kind = 3",
        &[],
    ),
    case(
        "two whole tables",
        "SELECT o.currency, count(m.body), max(o.note) FROM messages m JOIN orders o ON o.id = m.id GROUP BY o.currency",
        &[],
    ),
    case("not a rare state", "SELECT id, payload, priority FROM jobs WHERE state <> 'ready'", &[]),
    case("list of most values", "SELECT * FROM orders WHERE currency NOT IN ('CHF', 'JPY')", &[]),
    case("negated pattern", "SELECT id FROM products WHERE title NOT LIKE 'A%'", &[]),
    case("written and hardly read", "SELECT count(*) FROM audit_log WHERE actor = 17", &[])
        .times(1)
        .beside(&[("INSERT INTO audit_log (actor, action) VALUES (5, 'written')", 20_000)]),
    case("some of the key", "SELECT * FROM accounts WHERE id IN (17, 1700, 17000) AND balance > 5", &[]),
    case(
        "join of keys",
        "SELECT i.line, o.total FROM order_items i JOIN orders o ON o.id = i.order_id WHERE i.order_id = 77",
        &[],
    ),
    case(
        "group of all rows",
        "SELECT store_id, max(note), max(reference), max(shipped_at), max(currency), sum(total), sum(quantity), min(customer_id) FROM orders GROUP BY store_id",
        &[],
    ),
    case("nearly all are not null", "SELECT * FROM orders WHERE shipped_at IS NOT NULL", &[]),
    case("every second", "SELECT * FROM accounts WHERE id % 2 = 0", &[]),
    case("or with what all have", "SELECT * FROM orders WHERE customer_id = 5 OR length(note) > 60", &[]),
    case(
        "behind a fence",
        "SELECT sum(length(note)) FROM (SELECT * FROM orders OFFSET 0) o WHERE customer_id = 5",
        &[],
    ),
    case(
        "materialized first",
        "WITH o AS MATERIALIZED (SELECT * FROM orders) SELECT sum(length(note)) FROM o WHERE customer_id = 5",
        &[],
    ),
    case(
        "moment moved by an interval",
        "SELECT id, total FROM orders WHERE created_at + interval '1 month' > '2025-07-16'",
        &[],
    ),
    case("in any order", "SELECT id, title FROM products ORDER BY random() LIMIT 5", &[]),
    case("equal to itself", "SELECT * FROM orders WHERE quantity = quantity", &[]),
    case("update of all rows", "UPDATE devices SET name = upper(name)", &[]),
    case("no table", "SELECT upper(note) FROM (VALUES ('a'), ('b')) AS v (note) WHERE note = 'b'", &[]),
];
