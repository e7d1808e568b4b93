//! What software for many customers asks of such a database, as `pg_stat_statements` keeps it.

use anyhow::{Result, ensure};
use model::snapshot::Statement;
use model::{Millis, QualifiedName, Snapshot};

use super::schema::{TABLES, share, table_name};

/// What a call does.
enum Takes {
    /// It finds its rows by a key that is there: microseconds.
    Key,
    /// It reads a table, because no index serves it.
    Reads(&'static str),
    /// It reads several.
    Joins(&'static str, &'static str),
    /// It writes a row.
    Writes,
}

use Takes::{Joins, Key, Reads, Writes};

/// A text in which `{}` stands before each table of the module, rows per call, calls per hour, and what it takes.
const TEMPLATES: [(&str, f64, f64, Takes); 30] = [
    ("SELECT * FROM {}account WHERE id = $1", 1.0, 4_000.0, Key),
    ("SELECT id, status, balance FROM {}account WHERE email = $1", 1.0, 300.0, Reads("account")),
    (
        "SELECT id, placed_at, total FROM {}orders WHERE account_id = $1 ORDER BY placed_at DESC LIMIT $2",
        10.0,
        200.0,
        Reads("orders"),
    ),
    ("SELECT count(*) FROM {}orders WHERE tenant_id = $1 AND status = $2", 1.0, 20.0, Reads("orders")),
    ("SELECT product_id, quantity, price FROM {}line WHERE orders_id = $1", 3.0, 400.0, Reads("line")),
    (
        "SELECT o.id, o.total, l.quantity, p.title FROM {}orders o JOIN {}line l ON l.orders_id = o.id JOIN {}product p ON p.id = l.product_id \
         WHERE o.account_id = $1 AND o.placed_at >= $2",
        6.0,
        60.0,
        Joins("orders", "line"),
    ),
    (
        "INSERT INTO {}event (id, account_id, kind, at, session, payload) VALUES ($1, $2, $3, $4, $5, $6)",
        1.0,
        6_000.0,
        Writes,
    ),
    (
        "SELECT kind, count(*) FROM {}event WHERE at >= $1 AND at < $2 GROUP BY kind",
        18.0,
        4.0,
        Reads("event"),
    ),
    ("SELECT at, payload FROM {}event WHERE session = $1 ORDER BY at", 4.0, 80.0, Reads("event")),
    ("UPDATE {}account SET balance = balance + $1 WHERE id = $2", 1.0, 900.0, Writes),
    (
        "SELECT id FROM {}job WHERE state = $1 AND queue = $2 AND run_at <= $3 ORDER BY priority DESC, run_at LIMIT $4 FOR UPDATE SKIP LOCKED",
        1.0,
        700.0,
        Reads("job"),
    ),
    ("UPDATE {}job SET state = $1, attempts = attempts + $2 WHERE id = $3", 1.0, 700.0, Writes),
    (
        "SELECT id, title, changed_at FROM {}document WHERE folder = $1 AND state <> $2 ORDER BY changed_at DESC LIMIT $3",
        20.0,
        90.0,
        Reads("document"),
    ),
    (
        "SELECT id, title FROM {}document WHERE account_id = $1 AND title LIKE $2",
        3.0,
        15.0,
        Reads("document"),
    ),
    (
        "SELECT m.role, a.email FROM {}member m JOIN {}account a ON a.id = m.account_id WHERE m.\"group\" = $1",
        8.0,
        120.0,
        Reads("member"),
    ),
    (
        "SELECT at, level, message FROM {}log WHERE source = $1 AND at > $2 ORDER BY at DESC LIMIT $3",
        50.0,
        12.0,
        Reads("log"),
    ),
    ("DELETE FROM {}log WHERE at < $1", 500.0, 0.1, Reads("log")),
    ("SELECT value FROM {}setting WHERE name = $1", 1.0, 3_000.0, Key),
    (
        "SELECT id, sku, price FROM {}product WHERE category = $1 AND active ORDER BY price LIMIT $2",
        20.0,
        150.0,
        Reads("product"),
    ),
    ("SELECT id, title, price FROM {}product WHERE sku IN ($1, $2, $3, $4)", 4.0, 60.0, Reads("product")),
    (
        "SELECT country, count(*), avg(balance) FROM {}account WHERE created_at >= $1 GROUP BY country",
        60.0,
        1.0,
        Reads("account"),
    ),
    (
        "SELECT a.id, a.email FROM {}account a WHERE a.status = $1 AND NOT EXISTS (SELECT $2 FROM {}orders o WHERE o.account_id = a.id)",
        5.0,
        0.5,
        Joins("account", "orders"),
    ),
    (
        "SELECT date_trunc($1, placed_at), sum(total) FROM {}orders WHERE placed_at >= $2 AND tenant_id = $3 GROUP BY 1 ORDER BY 1",
        30.0,
        3.0,
        Reads("orders"),
    ),
    (
        "INSERT INTO {}orders (id, account_id, tenant_id, status, placed_at, total) VALUES ($1, $2, $3, $4, $5, $6)",
        1.0,
        500.0,
        Writes,
    ),
    (
        "SELECT id, total FROM {}orders WHERE shipped_at IS NULL AND status = $1 ORDER BY placed_at LIMIT $2",
        50.0,
        30.0,
        Reads("orders"),
    ),
    ("SELECT id, email FROM {}account WHERE lower(email) = $1", 1.0, 25.0, Reads("account")),
    (
        "SELECT id FROM {}account WHERE deleted_at IS NOT NULL AND deleted_at < $1",
        40.0,
        0.5,
        Reads("account"),
    ),
    ("SELECT max(at) FROM {}event WHERE account_id = $1 AND kind = $2", 1.0, 110.0, Reads("event")),
    (
        "SELECT p.id, p.title, sum(l.quantity) FROM {}line l JOIN {}product p ON p.id = l.product_id WHERE p.category = $1 GROUP BY p.id, p.title ORDER BY 3 DESC LIMIT $2",
        10.0,
        4.0,
        Joins("line", "product"),
    ),
    (
        "SELECT id, account_id, at FROM {}event WHERE kind = $1 ORDER BY at DESC LIMIT $2",
        20.0,
        40.0,
        Reads("event"),
    ),
];

/// So many distinct statements, the most expensive first.
///
/// # Errors
/// When there are too few tables for so many.
pub fn generate(snapshot: &Snapshot, count: usize) -> Result<Vec<Statement>> {
    let modules = snapshot.relations.len() / TABLES.len();
    let most = modules * TEMPLATES.len();
    ensure!(
        count <= most,
        "{} tables have {most} distinct statements, not {count}",
        snapshot.relations.len()
    );
    let mut statements: Vec<Statement> =
        (0..count).map(|number| statement(snapshot, number, modules)).collect();
    statements
        .sort_by(|a, b| b.total_exec_time.0.total_cmp(&a.total_exec_time.0).then(a.queryid.cmp(&b.queryid)));
    Ok(statements)
}

fn statement(snapshot: &Snapshot, number: usize, modules: usize) -> Statement {
    let (module, kind) = (number % modules, number / modules);
    let (text, rows, per_hour, takes) = &TEMPLATES[kind];
    let query = text.replace("{}", &table_name(module, ""));
    // Some customers ask a thousand times as much as others.
    let busy = 10.0_f64.powf(3.0 * share(7_000_000 + module as u64) - 2.0);
    let calls = (24.0 * per_hour * busy * (0.5 + share(number as u64))).ceil().max(1.0);
    let read_ms = |table: &str| {
        let name = QualifiedName::new("public", table_name(module, table));
        snapshot.relation(&name).map_or(0.02, |r| r.pages as f64 * 0.004 + r.reltuples * 0.000_08)
    };
    let mean = match takes {
        Key => 0.02,
        Writes => 0.05,
        Reads(table) => 0.02 + read_ms(table),
        Joins(one, other) => 0.05 + 1.3 * (read_ms(one) + read_ms(other)),
    };
    Statement {
        queryid: i64::try_from(number).unwrap_or(0) + 1,
        query,
        toplevel: true,
        calls: calls as i64,
        total_exec_time: Millis(mean * calls),
        mean_exec_time: Millis(mean),
        min_exec_time: Millis(0.6 * mean),
        max_exec_time: Millis(4.0 * mean),
        stddev_exec_time: Millis(0.3 * mean),
        rows: (rows * calls) as i64,
        shared_blks_hit: (calls * 4.0) as i64,
        ..Statement::default()
    }
}
