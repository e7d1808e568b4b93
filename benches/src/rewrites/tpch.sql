-- What people write over the tables of TPC-H and should not: each statement once, headed by its name.
-- The tables have their foreign keys and an index for each of them, as an application's would.

-- not-in: customers who never ordered
SELECT c_custkey, c_name FROM customer WHERE c_custkey NOT IN (SELECT o_custkey FROM orders);
-- not-in-condition: suppliers without a cheap offer
SELECT s_suppkey FROM supplier
WHERE s_suppkey NOT IN (SELECT ps_suppkey FROM partsupp WHERE ps_supplycost < 50);
-- left-join-is-null: customers without an order, by an outer join
SELECT c.c_custkey, c.c_name FROM customer c LEFT JOIN orders o ON o.o_custkey = c.c_custkey
WHERE o.o_orderkey IS NULL;
-- or-to-union: one table, two indexed columns
SELECT l_orderkey, l_linenumber FROM lineitem WHERE l_partkey = 1552 OR l_suppkey = 17;
-- or-across-a-join: the condition belongs to both tables
SELECT o.o_orderkey, c.c_name FROM orders o JOIN customer c ON c.c_custkey = o.o_custkey
WHERE o.o_orderkey = 1 OR c.c_custkey = 370;
-- or-chain: one column, value by value
SELECT count(*) FROM lineitem
WHERE l_shipmode = 'AIR' OR l_shipmode = 'MAIL' OR l_shipmode = 'SHIP' OR l_shipmode = 'RAIL';
-- or-chain-indexed: the same on a column with an index
SELECT o_orderkey, o_totalprice FROM orders
WHERE o_custkey = 370 OR o_custkey = 781 OR o_custkey = 1234 OR o_custkey = 1369 OR o_custkey = 445;
-- time-range-month: a month by date_trunc
SELECT count(*) FROM orders WHERE date_trunc('month', o_orderdate::timestamp) = '1995-03-01';
-- time-range-year: a year by extract
SELECT count(*), sum(o_totalprice) FROM orders WHERE extract(year FROM o_orderdate) = 1995;
-- offset-to-keyset: a page far back
SELECT o_orderkey, o_orderdate, o_totalprice FROM orders ORDER BY o_orderdate DESC, o_orderkey DESC LIMIT 20 OFFSET 100000;
-- pre-aggregate: two tables that multiply each other
SELECT s.s_suppkey, s.s_name, count(DISTINCT ps.ps_partkey) AS parts, count(DISTINCT (l.l_orderkey)) AS orders
FROM supplier s
LEFT JOIN partsupp ps ON ps.ps_suppkey = s.s_suppkey
LEFT JOIN lineitem l ON l.l_suppkey = s.s_suppkey
WHERE s.s_nationkey = 3 AND s.s_acctbal > 9000
GROUP BY s.s_suppkey, s.s_name;
-- pre-aggregate-keys: what is counted is a key
SELECT c.c_custkey, c.c_name, count(DISTINCT o.o_orderkey) AS orders, max(l.l_shipdate) AS last_shipped
FROM customer c
LEFT JOIN orders o ON o.o_custkey = c.c_custkey
LEFT JOIN lineitem l ON l.l_orderkey = o.o_orderkey
WHERE c.c_nationkey = 7
GROUP BY c.c_custkey, c.c_name;
-- correlated-aggregate: a count per row
SELECT c_custkey, (SELECT count(*) FROM orders o WHERE o.o_custkey = c.c_custkey) AS orders
FROM customer c WHERE c_nationkey = 12;
-- correlated-aggregate-of-all: the same for every row
SELECT p_partkey, (SELECT sum(l_quantity) FROM lineitem l WHERE l.l_partkey = p.p_partkey) AS sold FROM part p
WHERE p_size < 10;
-- correlated-aggregate-in-filter: more than the average of its group
SELECT l_orderkey, l_linenumber FROM lineitem l
WHERE l_quantity < (SELECT 0.2 * avg(i.l_quantity) FROM lineitem i WHERE i.l_partkey = l.l_partkey) AND l_partkey < 2000;
-- count-to-exists: counted to know whether there is any
SELECT c_custkey FROM customer c
WHERE (SELECT count(*) FROM orders o WHERE o.o_custkey = c.c_custkey AND o.o_totalprice > 400000) > 0;
-- distinct-to-exists: a join and its duplicates
SELECT DISTINCT c.c_custkey, c.c_name FROM customer c JOIN orders o ON o.o_custkey = c.c_custkey
WHERE o.o_totalprice > 300000;
-- distinct-to-exists-large: a join with the largest table
SELECT DISTINCT o.o_orderkey, o.o_orderdate FROM orders o JOIN lineitem l ON l.l_orderkey = o.o_orderkey
WHERE l.l_discount = 0.10 AND o.o_orderdate < '1992-06-01';
-- inner-join-dropped: parents of which nothing is used
SELECT o.o_orderkey, o.o_totalprice FROM orders o
JOIN customer c ON c.c_custkey = o.o_custkey WHERE o.o_orderdate = '1995-03-15';
-- inner-join-dropped-of-all: the same over all rows
SELECT count(*), sum(l.l_extendedprice) FROM lineitem l JOIN orders o ON o.o_orderkey = l.l_orderkey;
-- exists-or: two reasons, one value
SELECT count(*) FROM supplier s
WHERE EXISTS (SELECT 1 FROM partsupp ps WHERE ps.ps_suppkey = s.s_suppkey AND ps.ps_availqty < 3)
   OR EXISTS (SELECT 1 FROM lineitem l WHERE l.l_suppkey = s.s_suppkey AND l.l_shipdate = '1998-11-30');
-- cte-unfenced: one row out of a fenced table
WITH revenue AS MATERIALIZED (
    SELECT l_orderkey, sum(l_extendedprice * (1 - l_discount)) AS total FROM lineitem GROUP BY l_orderkey
)
SELECT total FROM revenue WHERE l_orderkey = 3;
-- cte-unfenced-join: one customer's orders out of all
WITH rich AS MATERIALIZED (SELECT * FROM orders)
SELECT r.o_orderkey FROM rich r WHERE r.o_custkey = 370;
-- union-to-union-all: branches that cannot meet
SELECT o_orderkey, o_shippriority, o_custkey FROM orders WHERE o_custkey = 370
UNION
SELECT o_orderkey, o_shippriority, o_custkey FROM orders WHERE o_custkey = 781;
-- scans-to-filter: a scan for each figure
SELECT (SELECT count(*) FROM lineitem WHERE l_returnflag = 'R') AS returned,
       (SELECT count(*) FROM lineitem WHERE l_returnflag = 'A') AS accepted,
       (SELECT sum(l_extendedprice) FROM lineitem WHERE l_returnflag = 'N') AS open;
-- native-type: a key as text
SELECT o_orderkey, o_totalprice FROM orders WHERE o_orderkey::text = '581';
-- native-type-numeric: a key as a number with digits
SELECT o_orderkey, o_totalprice FROM orders WHERE o_orderkey = 581.0;
-- bare-column: arithmetic on the column
SELECT o_orderkey FROM orders WHERE o_custkey + 1 = 371;
-- bare-column-date: days added to the column
SELECT count(*) FROM orders WHERE o_orderdate + 30 > '1998-08-30'::date;
-- coalesce-value: a default that is not asked for
SELECT n_name FROM nation WHERE COALESCE(n_comment, '') = 'x';
-- keyset-row: the next page, column by column
SELECT o_orderkey, o_orderdate FROM orders
WHERE o_orderdate < '1995-03-15' OR (o_orderdate = '1995-03-15' AND o_orderkey < 3000000)
ORDER BY o_orderdate DESC, o_orderkey DESC LIMIT 20;
-- extreme-to-window: the cheapest offer of each part
SELECT ps_partkey, ps_suppkey, ps_supplycost FROM partsupp ps
WHERE ps_supplycost = (SELECT min(m.ps_supplycost) FROM partsupp m WHERE m.ps_partkey = ps.ps_partkey) AND ps_availqty > 9000;
-- limit-below-join: twenty rows after the join of all
SELECT o.o_orderkey, o.o_totalprice, c.c_name FROM orders o JOIN customer c ON c.c_custkey = o.o_custkey
ORDER BY o.o_totalprice DESC, o.o_orderkey LIMIT 20;
-- top-n-lateral: the last order of each customer
SELECT o_custkey, o_orderkey FROM (
    SELECT o_custkey, o_orderkey, row_number() OVER (PARTITION BY o_custkey ORDER BY o_orderdate DESC, o_orderkey) AS n FROM orders
) w WHERE n <= 1;
-- function-once: asked for every row
SELECT count(*) FROM orders WHERE o_clerk = this_clerk() AND o_orderstatus = 'P';
-- distinct-to-skip-scan: few values of many rows
SELECT DISTINCT o_custkey FROM orders;
-- distinct-to-skip-scan-few: very few of them
SELECT DISTINCT l_suppkey FROM lineitem;
-- index-pointers: a pattern with an open beginning
SELECT p_partkey FROM part WHERE p_name LIKE '%lemon%';
