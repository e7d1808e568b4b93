//! Does the twin know what columns have to do with each other? Extended statistics of every kind, of
//! partitions, of expressions, and of columns behind a dropped one.

use model::cost_model::{Configuration, CostModel};

use crate::comparison::{cost, error, explain, shape};
use crate::source::{build, source};

const SCHEMA: &str = "
CREATE DOMAIN public.code AS text CHECK (value <> '');
CREATE TABLE public.addresses (
    id int, gone int, city text, zip int, country char(2), born date, amount numeric(8, 2), note text, half boolean,
    stay daterange, stays int4multirange, kind public.code
);
ALTER TABLE public.addresses DROP COLUMN gone;
CREATE STATISTICS public.st_all ON city, zip, country FROM public.addresses;
CREATE STATISTICS public.st_distinct (ndistinct) ON zip, born, half FROM public.addresses;
CREATE STATISTICS public.st_depend (dependencies) ON city, zip, country, note FROM public.addresses;
CREATE STATISTICS public.st_mcv (mcv) ON born, amount, note, half FROM public.addresses;
CREATE STATISTICS public.st_expression ON (lower(city)), (zip / 100), country FROM public.addresses;
CREATE STATISTICS public.st_domain (mcv) ON kind, half FROM public.addresses;
CREATE STATISTICS public.st_one ON (date_trunc('month', born::timestamp)) FROM public.addresses;
CREATE TABLE public.visits (at date NOT NULL, city text, zip int) PARTITION BY RANGE (at);
CREATE TABLE public.visits_1 PARTITION OF public.visits FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE public.visits_2 PARTITION OF public.visits FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE STATISTICS public.st_visits ON city, zip FROM public.visits;
CREATE STATISTICS public.st_visits_1 ON city, zip FROM public.visits_1;";

const DATA: &str = "
INSERT INTO addresses SELECT i, 'City ' || i % 100, i % 400, 'c' || i % 10, '2000-01-01'::date + i % 50,
    CASE WHEN i % 3 > 0 THEN i % 5 END, CASE WHEN i % 50 < 40 THEN 'it''s {\"' || i % 5 || '\\, NULL}' END, i % 50 < 25,
    daterange('2026-01-01'::date + i % 365, '2026-01-01'::date + i % 365 + (i % 11)), '{}', 'k' || i % 4
FROM generate_series(1, 20000) AS i;
INSERT INTO visits SELECT '2026-01-01'::date + i % 59, 'City ' || i % 40, i % 80 FROM generate_series(1, 20000) AS i;
UPDATE addresses SET stays = ('{[' || id || ',' || id + id % 7 || '],[' || id + 9 || ',' || id + 10 || ']}')::int4multirange;
VACUUM ANALYZE";

/// What `pg_stats` shows since 17.
const RANGES: &[&str] = &[
    "SELECT * FROM addresses WHERE stay @> '2026-02-03'::date",
    "SELECT * FROM addresses WHERE stay && '[2026-12-20,2027-02-01)'",
    "SELECT * FROM addresses WHERE stay << '[2026-01-20,2027-02-01)'",
    "SELECT * FROM addresses WHERE isempty(stay)",
    "SELECT * FROM addresses WHERE stays && '{[100,300]}'",
    "SELECT * FROM addresses WHERE stays @> 17",
];

const QUERIES: &[&str] = &[
    "SELECT * FROM addresses WHERE city = 'City 7' AND zip = 107",
    "SELECT * FROM addresses WHERE city = 'City 7' AND zip = 107 AND country = 'c7'",
    "SELECT * FROM addresses WHERE city = 'City 7' AND zip IN (107, 207)",
    "SELECT city, zip, count(*) FROM addresses GROUP BY city, zip",
    "SELECT zip, born, half, count(*) FROM addresses GROUP BY zip, born, half",
    "SELECT * FROM addresses WHERE born = '2000-01-13' AND half",
    "SELECT * FROM addresses WHERE born = '2000-01-13' AND amount = 2 AND note LIKE 'it''s%'",
    "SELECT * FROM addresses WHERE amount IS NULL AND note IS NULL AND NOT half",
    "SELECT * FROM addresses WHERE born < '2000-01-11' AND half",
    "SELECT * FROM addresses WHERE lower(city) = 'city 7' AND zip / 100 = 1",
    "SELECT lower(city), zip / 100, count(*) FROM addresses GROUP BY 1, 2",
    "SELECT date_trunc('month', born::timestamp), count(*) FROM addresses GROUP BY 1",
    "SELECT * FROM addresses WHERE kind = 'k3' AND half",
    "SELECT * FROM visits WHERE city = 'City 3' AND zip = 43",
    "SELECT city, zip, count(*) FROM visits GROUP BY 1, 2",
    "SELECT * FROM visits_1 WHERE city = 'City 3' AND zip = 43",
    "SELECT * FROM visits_2 WHERE city = 'City 3' AND zip = 43",
];

#[tokio::test]
async fn columns_that_hang_together_do_so_on_the_twin() {
    for server in testkit::all_servers() {
        let major = server.binaries().major;
        let source = source(server, SCHEMA, DATA, &[]).await;
        let mut twin = build(&source).await;
        assert_eq!(twin.notes(), Vec::<String>::new());
        let rows = |plan: &serde_json::Value| plan["Plan"]["Plan Rows"].as_f64().unwrap();
        let of_ranges = if major >= 17 { RANGES } else { &[] };
        for sql in QUERIES.iter().chain(of_ranges) {
            let real = explain(&source.client, sql).await;
            let planned = twin.plan(sql, &Configuration::current()).await.unwrap();
            println!(
                "{major} {} rows, twin {}, cost {:.2}, twin {:.2}: {sql}",
                rows(&real),
                rows(&planned.explain),
                cost(&real),
                planned.total_cost
            );
            assert_eq!(shape(&planned.explain["Plan"]), shape(&real["Plan"]), "{major} {sql}");
            // Dependencies are printed with six digits, and numbers of combinations without any.
            assert!(error(rows(&real), rows(&planned.explain)) < 0.001, "{major} {sql}");
            assert!(error(cost(&real), planned.total_cost) < 0.001, "{major} {sql}");
        }
        // Without them the estimates are others, so the test is one.
        let drop = "DROP STATISTICS st_all, st_depend, st_distinct, st_mcv, st_expression";
        source.client.batch_execute(drop).await.unwrap();
        for sql in [QUERIES[3], QUERIES[6], QUERIES[9]] {
            let without = explain(&source.client, sql).await;
            let with = twin.plan(sql, &Configuration::current()).await.unwrap();
            assert!(error(rows(&without), rows(&with.explain)) > 0.5, "{major} {sql}");
        }
        twin.stop().await.unwrap();
    }
}
