//! The side conditions of the laws by which pairs are proved: each pair differs in one of them.

use super::Rewriter;
use super::fixture::snapshot;

const TABLES: &str = "create type pair as (a int, b int);\n\
    create table t (id int primary key, k int, g int not null, n numeric not null, r real, v varchar(9), c char(9), x text, \
      y text not null, p pair, flag boolean, at timestamptz not null, seen timestamp not null, day date not null, later date);\n\
    create table u (id int primary key, t_id int not null references t (id), k int, g int not null, n numeric not null, \
      x text, y text not null, at timestamptz not null, unique (g, y));\n\
    create table w (t_id int references t (id), y text);\n";

fn proved(before: &str, after: &str) -> bool {
    super::fixture::proved(TABLES, before, after)
}

#[track_caller]
fn prove(before: &str, after: &str) {
    assert!(proved(before, after), "not proved\n{before}\n{after}");
}

#[track_caller]
fn refuse(before: &str, after: &str) {
    assert!(!proved(before, after), "proved wrongly\n{before}\n{after}");
    assert!(!proved(after, before), "proved wrongly\n{after}\n{before}");
}

#[test]
fn nulls_in_lists() {
    prove("select id from t where k in (1, 2, null)", "select id from t where k in (1, 2)");
    prove("select id from t where k not in (1, null)", "select id from t where false");
    // A list of numbers is brought to real, a number alone is not.
    refuse("select id from t where r in (0.1, null)", "select id from t where r = 0.1");
    refuse("select id from t where k not in (1, null)", "select id from t where k <> 1");
    // As a value NULL is not false.
    refuse("select k in (1, null) as a from t", "select k = 1 as a from t");
}

#[test]
fn choices() {
    prove("select case when k is null then 0 else k end as a from t", "select coalesce(k, 0) as a from t");
    prove("select case when k = 5 then null else k end as a from t", "select nullif(k, 5) as a from t");
    prove(
        "select case when exists (select from u where u.t_id = t.id) then 'a' else 'b' end as a from t",
        "select case when not exists (select from u where u.t_id = t.id) then 'b' else 'a' end as a from t",
    );
    // False and NULL are one for a branch, and not one for its negation.
    refuse(
        "select case when flag then 1 else 0 end as a from t",
        "select case when not flag then 0 else 1 end as a from t",
    );
    // A row of NULLs is NULL, and COALESCE takes it.
    refuse(
        "select case when p is null then row(0, 0)::pair else p end as a from t",
        "select coalesce(p, row(0, 0)::pair) as a from t",
    );
    // Which of two types of texts a choice has depends on the order of its branches.
    refuse(
        "select case when v is not null then v else c end as a from t",
        "select coalesce(v, c) as a from t",
    );
    refuse("select case when v = 'a' then null else v end as a from t", "select nullif(v, 'a') as a from t");
    refuse("select case when k = 1.5 then null else k end as a from t", "select nullif(k, 1.5) as a from t");
}

#[test]
fn groups_of_which_some_row_is_asked() {
    prove("select g from t group by g having bool_or(k = 1)", "select distinct g from t where k = 1");
    // The key that stands for 1.0 and 1.00 may be one of a row that does not satisfy it.
    refuse("select n from t group by n having bool_or(k = 1)", "select n from t where k = 1 group by n");
    // Other aggregates need all rows.
    refuse(
        "select g, count(*) as m from t group by g having bool_or(k = 1)",
        "select g, count(*) as m from t where k = 1 group by g",
    );
    refuse("select g from t group by g having bool_and(k = 1)", "select distinct g from t where k = 1");
    prove("select count(*) - count(k) as a from t", "select count(*) filter (where k is null) as a from t");
    refuse("select count(k) - count(*) as a from t", "select count(*) filter (where k is null) as a from t");
}

#[test]
fn rows_like_a_row() {
    let twice = "select id from t where (select count(*) from t s where s.g = t.g) > 1";
    prove(twice, "select id from t where exists (select from t s where s.g = t.g and s.id <> t.id)");
    refuse(twice, "select id from t where exists (select from t s where s.g = t.g)");
    refuse(twice, "select id from t where exists (select from t s where s.g = t.g and s.k <> t.k)");
    // The row itself is not among those that are counted.
    refuse(
        "select id from t where (select count(*) from t s where s.g = t.g and s.k = 1) > 1",
        "select id from t where exists (select from t s where s.g = t.g and s.k = 1 and s.id <> t.id)",
    );
}

#[test]
fn unions_and_lists() {
    prove(
        "select id from (select id, g from t union all select id, g from u) a where g = 3",
        "select id from t where g = 3 union all select id from u where g = 3",
    );
    refuse(
        "select id from (select id, g from t union select id, g from u) a where g = 3",
        "select id from t where g = 3 union all select id from u where g = 3",
    );
    prove("select id from t join (values (1), (2)) l (a) on l.a = t.k", "select id from t where k in (1, 2)");
    refuse("select id from t join (values (1), (1)) l (a) on l.a = t.k", "select id from t where k = 1");
    refuse(
        "select id from t left join (values (1), (2)) l (a) on l.a = t.k",
        "select id from t where k in (1, 2)",
    );
    refuse(
        "select id, l.a from t join (values (1), (2)) l (a) on l.a = t.k",
        "select id, 1 as a from t where k in (1, 2)",
    );
    // A text of char(9) is compared without its blanks, as a text it is not.
    refuse(
        "select id from t join (values ('a'), ('b')) l (a) on l.a = t.c",
        "select id from t where c in ('a', 'b')",
    );
}

#[test]
fn grouping_sets() {
    prove(
        "select g, count(*) as n from t group by rollup (g)",
        "select g, count(*) as n from t group by g union all select null, count(*) from t",
    );
    // Without an aggregate the total is one row all the same.
    refuse("select g from t group by rollup (g)", "select g from t group by g union all select null from t");
    refuse(
        "select g from t group by rollup (g) having true",
        "select g from t group by g union all select null from t",
    );
    refuse(
        "select g, max(g) as m from t group by rollup (g)",
        "select g, max(g) as m from t group by g union all select null, null from t",
    );
    refuse(
        "select g, k, count(*) as n from t group by g, rollup (k)",
        "select g, k, count(*) as n from t group by rollup (g, k)",
    );
}

#[test]
fn first_rows() {
    let lateral = |order: &str| {
        format!(
            "select t.id, l.y from t join lateral (select y from u where u.t_id = t.id order by {order} limit 1) l on true"
        )
    };
    let numbered = |order: &str| {
        format!(
            "select t.id, l.y from t join (select t_id, y, row_number() over (partition by t_id order by {order}) as n from u) l \
             on l.t_id = t.id and l.n = 1"
        )
    };
    prove(&lateral("at desc, id"), &numbered("at desc, id"));
    prove(&lateral("k, id"), &lateral("k, id"));
    refuse(&lateral("at desc, id"), &numbered("at, id"));
    refuse(&lateral("k, id"), &numbered("k nulls first, id"));
    refuse(&lateral("k desc, id"), &numbered("k desc nulls last, id"));
    // What comes first among ties is not determined.
    refuse(&lateral("at"), &numbered("at"));
    let none_before = |more: &str| {
        format!(
            "select t.id, u.y from t join u on u.t_id = t.id where not exists (select from u o where o.t_id = u.t_id and {more})"
        )
    };
    prove(&lateral("at desc, id"), &none_before("(o.at > u.at or o.at = u.at and o.id < u.id)"));
    refuse(&lateral("at desc, id"), &none_before("o.at > u.at"));
    refuse(&lateral("k desc, id"), &none_before("(o.k > u.k or o.k = u.k and o.id < u.id)"));
    // One of no order of its own: a number of real is one of double precision to others.
    let left = "select t.id, (select y from u where u.t_id = t.id order by at, id limit 1) as y from t";
    prove(
        left,
        "select t.id, l.y from t left join (select distinct on (t_id) t_id, y from u order by t_id, at, id) l on l.t_id = t.id",
    );
    refuse(
        left,
        "select t.id, l.y from t join (select distinct on (t_id) t_id, y from u order by t_id, at, id) l on l.t_id = t.id",
    );
    refuse(
        left,
        "select t.id, l.y from t left join (select distinct on (t_id) t_id, y from u order by t_id, at desc, id) l on l.t_id = t.id",
    );
    refuse(
        left,
        "select t.id, l.y from t left join (select distinct on (g) g, t_id, y from u order by g, at, id) l on l.t_id = t.id",
    );
}

#[test]
fn pages() {
    let page = "select u.id, u.y, t.x from u join t on t.id = u.t_id order by u.at, u.id limit 5";
    let late = |inner: &str, join: &str, order: &str| {
        format!(
            "select p.id, p.y, t.x from (select id, y, t_id, k, at from u {inner} order by at, id limit 5) p {join} order by {order}"
        )
    };
    prove(page, &late("", "join t on t.id = p.t_id", "p.at, p.id"));
    prove(
        "select u.id, u.y, t.x from u left join t on t.id = u.k order by u.at, u.id limit 5",
        &late("", "left join t on t.id = p.k", "p.at, p.id"),
    );
    // A key that references nothing may find nothing.
    refuse(
        "select u.id, u.y, t.x from u join t on t.id = u.k order by u.at, u.id limit 5",
        &late("", "join t on t.id = p.k", "p.at, p.id"),
    );
    refuse(page, &late("", "join t on t.id = p.t_id", "p.id"));
    refuse(page, &late("where k > 0", "join t on t.id = p.t_id", "p.at, p.id"));
    refuse(page, &late("", "join t on t.id = p.t_id and t.k > 0", "p.at, p.id"));
    refuse(
        "select u.id, u.y, w.y as x from u left join w on w.t_id = u.t_id order by u.at, u.id limit 5",
        "select p.id, p.y, w.y as x from (select id, y, t_id, at from u order by at, id limit 5) p left join w on w.t_id = p.t_id order by p.at, p.id",
    );
    // The row that is looked up again is the same by a key only.
    let again = |column: &str| {
        format!(
            "select b.id, b.y from (select id, g, k from u order by at, id limit 5) p join u b on b.{column} = p.{column} order by b.at, b.id"
        )
    };
    prove("select id, y from u order by at, id limit 5", &again("id"));
    refuse("select id, y from u order by at, id limit 5", &again("g"));
    refuse("select id, y from u order by at, id limit 5", &again("k"));
}

#[test]
fn windows_up_to_a_row() {
    let window = |part: &str, order: &str| {
        format!("select id, sum(n) over (partition by {part} order by {order}) as s from u")
    };
    let compared =
        |conditions: &str| format!("select id, (select sum(o.n) from u o where {conditions}) as s from u");
    prove(&window("g", "at"), &compared("o.g = u.g and o.at <= u.at"));
    prove(&window("g", "at desc"), &compared("o.g = u.g and o.at >= u.at"));
    prove(&window("g", "at, id"), &compared("o.g = u.g and (o.at, o.id) <= (u.at, u.id)"));
    prove(&window("k", "id"), &compared("o.k is not distinct from u.k and o.id <= u.id"));
    refuse(&window("k", "id"), &compared("o.k = u.k and o.id <= u.id"));
    refuse(&window("g", "k"), &compared("o.g = u.g and o.k <= u.k"));
    refuse(&window("g", "at"), &compared("o.g = u.g and o.at < u.at"));
    refuse(&window("g", "at rows unbounded preceding"), &compared("o.g = u.g and o.at <= u.at"));
    prove(&window("g", "id rows unbounded preceding"), &compared("o.g = u.g and o.id <= u.id"));
    refuse(
        &window("g", "id rows between unbounded preceding and 1 preceding"),
        &compared("o.g = u.g and o.id <= u.id"),
    );
    refuse(
        &window("g", "id range unbounded preceding exclude current row"),
        &compared("o.g = u.g and o.id <= u.id"),
    );
    let lag = |call: &str| format!("select id, {call} over (partition by g order by id) as p from u");
    let before = "select id, (select max(o.id) from u o where o.g = u.g and o.id < u.id) as p from u";
    prove(&lag("lag(id)"), before);
    refuse(&lag("lead(id)"), before);
    refuse(&lag("lag(id, 2)"), before);
    refuse(&lag("lag(id, 1, 0)"), before);
    refuse(&lag("first_value(id)"), before);
}

#[test]
fn spans_of_time() {
    prove(
        "select id from t where extract(year from day) = 2024 and extract(month from day) = 2",
        "select id from t where day between '2024-02-01' and '2024-02-29'",
    );
    refuse(
        "select id from t where extract(year from day) = 2023 and extract(month from day) = 2",
        "select id from t where day between '2023-02-01' and '2023-03-01'",
    );
    prove(
        "select id from t where extract(year from seen) between 2023 and 2024",
        "select id from t where seen >= '2023-01-01' and seen < '2025-01-01'",
    );
    // Infinity has a year since 17.
    refuse(
        "select id from t where extract(year from seen) >= 2023",
        "select id from t where seen >= '2023-01-01'",
    );
    // A year of moments is one of the session's zone, in which it has to be one stretch of time.
    let years = "select id from t where extract(year from at) between 2023 and 2024";
    let range = "select id from t where at >= '2023-01-01' and at < '2025-01-01'";
    prove(years, range);
    let mut unknown = snapshot(TABLES);
    unknown.settings.remove("TimeZone");
    assert!(Rewriter::new(&unknown).prove(years, range).unwrap().is_none());
    prove(
        "select id from t where (at at time zone 'UTC')::date = '2024-06-15'",
        "select id from t where at >= '2024-06-15 00:00+00' and at < '2024-06-16 02:00+02'",
    );
    refuse(
        "select id from t where (at at time zone 'Etc/GMT-1')::date = '2024-06-15'",
        "select id from t where at >= '2024-06-15 00:00+00' and at < '2024-06-16 00:00+00'",
    );
    // A local time that is taken for one of UTC is a moment, whose day is one of the session's zone.
    refuse(
        "select id from t where (seen at time zone 'UTC')::date = '2024-06-15'",
        "select id from t where seen >= '2024-06-15' and seen < '2024-06-16'",
    );
    prove("select id from t where day <= '2024-02-29'", "select id from t where day < '2024-03-01'");
    refuse("select id from t where seen <= '2024-02-29'", "select id from t where seen < '2024-03-01'");
}

#[test]
fn an_order_that_is_asked_for() {
    let (ordered, any) = ("select id from t order by day, id", "select id from t");
    assert!(proved(any, ordered));
    assert!(!proved(ordered, any));
    assert!(!proved("select id from t order by id limit 3", "select id from t order by day, id limit 3"));
}
