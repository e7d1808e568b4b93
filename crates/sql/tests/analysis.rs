//! Are the facts of a statement read as PostgreSQL would understand it?

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use model::QualifiedName;
use sql::{
    Catalog, KeyExpression, ParameterContext, ParsedStatement, ResolvedColumn, ResolvedRelation, SqlError,
    Value, View,
};

struct Tables;

impl Catalog for Tables {
    fn relation(&self, schema: Option<&str>, name: &str) -> Option<ResolvedRelation> {
        let columns: &[(&str, &str)] = match name {
            "a" => &[("id", "integer"), ("x", "integer"), ("s", "text"), ("ts", "timestamp with time zone")],
            "b" => &[
                ("id", "integer"),
                ("a_id", "integer"),
                ("y", "numeric"),
                ("doc", "jsonb"),
                ("ok", "boolean"),
            ],
            "Odd Name" => &[("Key", "integer"), ("sel\"ect", "text")],
            _ => return None,
        };
        (schema.unwrap_or("public") == "public").then(|| ResolvedRelation {
            name: QualifiedName::new("public", name),
            columns: columns
                .iter()
                .map(|(n, t)| ResolvedColumn { name: (*n).into(), type_name: (*t).into() })
                .collect(),
        })
    }

    fn view(&self, _: Option<&str>, name: &str) -> Option<View> {
        View::parse(match name {
            "plain" => {
                "CREATE VIEW public.plain AS SELECT a.id AS key, a.ts, lower(a.s) AS low, a.x FROM public.a"
            }
            "over" => {
                "CREATE VIEW public.over(k, l) AS SELECT p.key, p.low FROM public.plain p WHERE p.x > 5"
            }
            "pair" => {
                "CREATE VIEW public.pair AS SELECT id, x FROM public.a UNION ALL SELECT id, a_id FROM public.b"
            }
            "circle" => "CREATE VIEW public.circle AS SELECT * FROM public.circle",
            _ => return None,
        })
    }
}

fn key(key: &KeyExpression) -> String {
    match key {
        KeyExpression::Column(c) => c.clone(),
        KeyExpression::Expression { sql, .. } => sql.clone().unwrap_or_else(|| "<not indexable>".into()),
    }
}

fn check(text: &str, expect: Expect) {
    let statement = ParsedStatement::parse(text).unwrap();
    let a = statement.analyze(&Tables);
    let mut out = String::new();
    for (i, r) in a.relations.iter().enumerate() {
        let star = if r.whole_row { " *" } else { "" };
        writeln!(out, "{i} {} {}: {:?}{star}", r.name.name, r.alias, r.columns).unwrap();
        for p in &r.predicates {
            let or = p.disjunct.map(|d| format!(" or{}.{}", d.disjunction, d.arm)).unwrap_or_default();
            let outer = if p.outer_join { " outer" } else { "" };
            let values: Vec<_> = p.values.iter().map(|v| format!("{:?}", v.without_casts())).collect();
            writeln!(out, "  {} {:?} {}{or}{outer}", key(&p.key), p.operator, values.join(" ")).unwrap();
        }
        for s in &r.sorts {
            let items: Vec<_> =
                s.items.iter().map(|i| format!("{} {:?} {:?}", key(&i.key), i.order, i.nulls)).collect();
            writeln!(
                out,
                "  {:?} {} complete={} limited={}",
                s.origin,
                items.join(", "),
                s.complete,
                s.limited
            )
            .unwrap();
        }
        for row in &r.row_bounds {
            writeln!(out, "  row {row:?}").unwrap();
        }
        for near in &r.nearest {
            writeln!(out, "  near {} {}", key(&near.key), near.operator).unwrap();
        }
        if !r.extremes.is_empty() {
            let extremes: BTreeSet<String> = r.extremes.iter().map(key).collect();
            writeln!(out, "  extremes {extremes:?}").unwrap();
        }
    }
    for j in &a.joins {
        writeln!(out, "join {}.{} = {}.{}", j.left.relation, j.left.column, j.right.relation, j.right.column)
            .unwrap();
    }
    if let Some(t) = &a.target {
        writeln!(out, "target {} assigned {:?}", t.table, t.assigned).unwrap();
    }
    if !a.views.is_empty() {
        writeln!(out, "views {:?}", a.views.iter().map(|v| &v.name).collect::<Vec<_>>()).unwrap();
    }
    if !a.unknown_relations.is_empty() {
        writeln!(out, "unknown {:?}", a.unknown_relations).unwrap();
    }
    expect.assert_eq(&out);
}

#[test]
fn predicates_joins_and_orders_are_resolved() {
    check(
        "SELECT s, y FROM a JOIN b ON b.a_id = a.id WHERE x = $1 AND ts > now() - interval $2 \
         AND y BETWEEN $3 AND $4 ORDER BY ts DESC LIMIT $5",
        expect![[r#"
            0 a a: {"id", "s", "ts", "x"}
              x Equal Parameter(1)
              ts Greater Operator { name: "-", left: Some(Now), right: Cast { to: "interval", inner: Parameter(2) } }
              OrderBy ts Desc Default complete=true limited=true
            1 b b: {"a_id", "y"}
              y Between Parameter(3) Parameter(4)
            join 1.a_id = 0.id
        "#]],
    );
}

#[test]
fn outer_joins_restrict_the_nullable_side_only() {
    check(
        "SELECT a.id, count(*) FROM a LEFT JOIN b ON b.a_id = a.id AND b.ok AND a.x = 1 GROUP BY a.id",
        expect![[r#"
            0 a a: {"id", "x"}
              GroupBy id Asc Default complete=true limited=false
            1 b b: {"a_id", "ok"}
              ok IsTrue  outer
            join 1.a_id = 0.id
        "#]],
    );
}

#[test]
fn subqueries_and_ctes_are_seen_through() {
    check(
        "WITH recent AS (SELECT id AS k FROM a WHERE x IN ($1 /*, ... */)) \
         SELECT 1 FROM recent r WHERE EXISTS (SELECT * FROM b WHERE b.a_id = r.k AND NOT ok) \
         AND k IN (SELECT id FROM b)",
        expect![[r#"
            0 a a: {"id", "x"}
              x In Parameter(1)
            1 b b: {"a_id", "ok"}
              ok IsFalse 
            2 b b: {"id"}
            join 1.a_id = 0.id
            join 0.id = 2.id
        "#]],
    );
}

#[test]
fn truth_values_need_no_operator() {
    check(
        "SELECT 1 FROM a WHERE s::boolean AND NOT coalesce(x::text, 'f')::boolean AND (x > 3) IS NOT TRUE",
        expect![[r#"
            0 a a: {"s", "x"}
              s::boolean IsTrue 
              (COALESCE(x::text, 'f'))::boolean IsFalse 
              (x > 3) IsNotTrue 
        "#]],
    );
    check(
        "SELECT 1 FROM b WHERE ok IS NOT FALSE AND NOT (ok IS UNKNOWN) AND NOT (ok IS NOT FALSE OR ok IS TRUE)",
        expect![[r#"
            0 b b: {"ok"}
              ok IsNotFalse 
              ok IsNotNull 
        "#]],
    );
}

#[test]
fn expressions_or_and_null_tests() {
    check(
        "SELECT max(x) FROM a WHERE lower(s) = $1 OR s IS NULL",
        expect![[r#"
            0 a a: {"s", "x"}
              lower(s) Equal Parameter(1) or1.1
              s IsNull  or1.2
              extremes {"x"}
        "#]],
    );
    check(
        "SELECT id FROM b WHERE doc ->> 'k' = $1 AND doc @> $2 AND (doc -> $3)::int > 1",
        expect![[r#"
        0 b b: {"doc", "id"}
          (doc ->> 'k') Equal Parameter(1)
          doc Other("@>") Parameter(2)
          <not indexable> Greater Constant(Number("1"))
    "#]],
    );
    check(
        "SELECT DISTINCT ON (x) x, ts FROM a ORDER BY x, ts DESC",
        expect![[r#"
        0 a a: {"ts", "x"}
          DistinctOn x Asc Default, ts Desc Default complete=true limited=false
    "#]],
    );
    check(
        "SELECT x FROM a UNION ALL SELECT id FROM b WHERE a_id = ANY($1)",
        expect![[r#"
            0 a a: {"x"}
            1 b b: {"a_id", "id"}
              a_id AnyOf Parameter(1)
        "#]],
    );
    check(
        "SELECT * FROM public.\"Odd Name\" WHERE \"sel\"\"ect\" LIKE $1 AND (\"Key\", \"sel\"\"ect\") > ($2, $3)",
        expect![[r#"
            0 Odd Name Odd Name: {"Key", "sel\"ect"} *
              sel"ect Like { case_insensitive: false } Parameter(1)
              Key GreaterOrEqual Parameter(2)
              row ["Key", "sel\"ect"]
        "#]],
    );
}

#[test]
fn views_are_seen_through() {
    check(
        "SELECT key FROM plain WHERE low = $1 AND key > 7 ORDER BY ts DESC LIMIT 3",
        expect![[r#"
        0 a a: {"id", "s", "ts"}
          lower(s) Equal Parameter(1)
          id Greater Constant(Number("7"))
          OrderBy ts Desc Default complete=true limited=true
        views ["plain"]
    "#]],
    );
    check(
        "SELECT count(*) FROM over o JOIN b ON b.a_id = o.k WHERE o.l LIKE $1",
        expect![[r#"
        0 a a: {"id", "s", "x"}
          x Greater Constant(Number("5"))
          lower(s) Like { case_insensitive: false } Parameter(1)
        1 b b: {"a_id"}
        join 1.a_id = 0.id
        views ["over", "plain"]
    "#]],
    );
    check(
        "SELECT id FROM pair WHERE x = $1",
        expect![[r#"
        0 a a: {"id", "x"}
          x Equal Parameter(1)
        1 b b: {"a_id", "id"}
          a_id Equal Parameter(1)
        views ["pair"]
    "#]],
    );
    check(
        "SELECT * FROM circle",
        expect![[r#"
        views ["circle"]
        unknown ["public.circle"]
    "#]],
    );
}

#[test]
fn what_a_subquery_gives_and_nobody_takes_is_not_wanted() {
    check(
        "SELECT q.x FROM (SELECT x, ts, s FROM a) q ORDER BY q.x",
        expect![[r#"
        0 a a: {"x"}
          OrderBy x Asc Default complete=true limited=false
    "#]],
    );
    check(
        "SELECT q.d FROM (SELECT x AS d, count(s) AS n FROM a GROUP BY 1) q",
        expect![[r#"
        0 a a: {"x"}
          GroupBy x Asc Default complete=true limited=false
    "#]],
    );
    check(
        "WITH c AS (SELECT id, ts FROM a) SELECT id FROM c",
        expect![[r#"
        0 a a: {"id"}
    "#]],
    );
    check(
        "WITH c AS (SELECT id, ts FROM a) SELECT 1 FROM c JOIN c d USING (id)",
        expect![[r#"
        0 a a: {"id", "ts"}
    "#]],
    );
}

#[test]
fn orders_of_windows_and_of_distance() {
    check(
        "SELECT row_number() OVER (PARTITION BY x ORDER BY ts DESC), sum(x) OVER w FROM a WINDOW w AS (ORDER BY s)",
        expect![[r#"
            0 a a: {"s", "ts", "x"}
              Window x Asc Default, ts Desc Default complete=true limited=false
              Window s Asc Default complete=true limited=false
        "#]],
    );
    check(
        "SELECT id FROM a ORDER BY s <-> $1 LIMIT 5",
        expect![[r#"
        0 a a: {"id", "s"}
          near s <->
    "#]],
    );
    check(
        "SELECT id FROM a ORDER BY s <-> $1",
        expect![[r#"
        0 a a: {"id", "s"}
    "#]],
    );
}

#[test]
fn rows_arms_and_bounds() {
    check(
        "SELECT 1 FROM a WHERE (x, id) IN (($1, $2), ($3, $4))",
        expect![[r#"
        0 a a: {"id", "x"}
          x In Parameter(1) Parameter(3)
          id In Parameter(2) Parameter(4)
    "#]],
    );
    check(
        "SELECT 1 FROM a WHERE (ts, id) > ($1, $2) AND $3 BETWEEN id AND x",
        expect![[r#"
        0 a a: {"id", "ts", "x"}
          ts GreaterOrEqual Parameter(1)
          id LessOrEqual Parameter(3)
          x GreaterOrEqual Parameter(3)
          row ["ts", "id"]
    "#]],
    );
    check(
        "SELECT 1 FROM a, b WHERE (a.id = b.a_id AND a.x = 1 AND b.y = 2) OR (b.a_id = a.id AND a.x = 3)",
        expect![[r#"
            0 a a: {"id", "x"}
              x Equal Constant(Number("1")) or1.1
              x Equal Constant(Number("3")) or1.2
            1 b b: {"a_id", "y"}
              y Equal Constant(Number("2")) or1.1
            join 0.id = 1.a_id
        "#]],
    );
    check(
        "SELECT 1 FROM a WHERE starts_with(s, $1) AND s SIMILAR TO 'x'",
        expect![[r#"
        0 a a: {"s"}
          s Other("^@") Parameter(1)
          s Other("~") Function { schema: None, name: "similar_to_escape", args: [Constant(Text("x"))], special: false }
    "#]],
    );
    check(
        "SELECT 1 FROM b WHERE other.f(y) = 1 AND doc #>> $1 = $2 AND doc -> $3 ->> $4 = $5",
        expect![[r#"
        0 b b: {"doc", "y"}
          other.f(y) Equal Constant(Number("1"))
          <not indexable> Equal Parameter(2)
          <not indexable> Equal Parameter(5)
    "#]],
    );
    check(
        "SELECT 1 FROM b WHERE extract($1 from y) = 3 AND extract('year' from y) = 4",
        expect![[r#"
        0 b b: {"y"}
          <not indexable> Equal Constant(Number("3"))
          EXTRACT('year' FROM y) Equal Constant(Number("4"))
    "#]],
    );
}

#[test]
fn changes_have_a_target() {
    check(
        "UPDATE a SET s = $1, ts = now() WHERE id = $2",
        expect![[r#"
        0 a a: {"id"} *
          id Equal Parameter(2)
        target public.a assigned {"s", "ts"}
    "#]],
    );
    check(
        "DELETE FROM b USING a WHERE b.a_id = a.id AND a.x < $1",
        expect![[r#"
        0 b b: {"a_id"} *
        1 a a: {"id", "x"}
          x Less Parameter(1)
        join 0.a_id = 1.id
        target public.b assigned {}
    "#]],
    );
    check(
        "INSERT INTO b (id, y) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET y = excluded.y",
        expect![[r#"
        0 b b: {} *
        target public.b assigned {"y"}
    "#]],
    );
    check(
        "SELECT v.x FROM some_view v WHERE v.x = $1",
        expect![[r#"
        unknown ["some_view"]
    "#]],
    );
}

fn repaired(text: &str, values: &[(u32, Value)], expected: &str) {
    let statement = ParsedStatement::parse(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    let values: BTreeMap<u32, Value> = values.iter().cloned().collect();
    let bound = statement.bind(&values, Some("2026-01-02 03:04:05+00"));
    assert_eq!(bound, expected);
    if !bound.contains('$') {
        ParsedStatement::parse(&bound).unwrap();
    }
}

#[test]
fn texts_that_normalisation_broke_are_repaired_and_bound() {
    let text = |t: &str| Value::Untyped(t.into());
    let number = |t: &str| Value::Number(t.into());
    repaired("select interval $1", &[(1, text("7 days"))], "select interval '7 days'");
    repaired("select interval(3) $1", &[(1, text("1 s"))], "select interval(3) '1 s'");
    repaired("select interval $1 day", &[(1, text("7"))], "select interval '7' day");
    repaired(
        "select * from t where d >= date $1 and d < date $1 + interval $2",
        &[(1, text("1994-01-01")), (2, text("1 year"))],
        "select * from t where d >= date '1994-01-01' and d < date '1994-01-01' + interval '1 year'",
    );
    repaired(
        "select timestamp with time zone $1, ts at time zone $2 from t",
        &[(1, text("2026-01-01")), (2, text("UTC"))],
        "select timestamp with time zone '2026-01-01', ts at time zone 'UTC' from t",
    );
    repaired("select extract($1 from ts)", &[(1, text("year"))], "select extract('year' from ts)");
    repaired("select double precision $1", &[(1, text("1"))], "select double precision '1'");
    repaired("select jsonb $1", &[(1, text("{}"))], "select jsonb '{}'");
    repaired(
        "select 1 where x between $1-$2 and $1+$2",
        &[(1, number("0.06")), (2, number("-1"))],
        "select 1 where x between 0.06-(-1) and 0.06+(-1)",
    );
    repaired(
        "select 1 where x in ($1 /*, ... */)",
        &[(1, Value::List(vec![number("1"), number("2")]))],
        "select 1 where x in (1, 2 /*, ... */)",
    );
    repaired("select 1 where x in ($1, ...)", &[(1, number("1"))], "select 1 where x in (1)");
    repaired(
        "select 1 where ts > now() - $1::interval and d < current_date and u = $2",
        &[(1, text("1 h")), (2, Value::Typed { text: "it's".into(), type_name: "text".into() })],
        "select 1 where ts > '2026-01-02 03:04:05+00'::timestamp with time zone - '1 h'::interval \
         and d < '2026-01-02 03:04:05+00'::date and u = 'it''s'::text",
    );
    repaired("select pg_catalog.now()", &[], "select '2026-01-02 03:04:05+00'::timestamp with time zone");
    repaired(
        "select other.now(), $1 as \"$2\", '$3'",
        &[(1, number("1"))],
        "select other.now(), 1 as \"$2\", '$3'",
    );
}

#[test]
fn what_cannot_be_parsed_says_why() {
    let fails = |text: &str| ParsedStatement::parse(text).unwrap_err();
    assert!(matches!(fails("select * from a where x = "), SqlError::Truncated { .. }));
    assert!(matches!(fails("select * from a where s = 'cut of"), SqlError::Truncated { .. }));
    assert!(matches!(fails("select * form a"), SqlError::Invalid { .. }));
    for nothing in ["  -- nothing\n", "", " \t\n", "/* only */"] {
        assert_eq!(fails(nothing), SqlError::Empty, "{nothing:?}");
    }
    assert_eq!(fails("select 1; select 2"), SqlError::Several { count: 2 });
    let deep = format!("select {}1{}", "(select ".repeat(300), ")".repeat(300));
    assert_eq!(fails(&deep), SqlError::TooDeep);
    assert!(fails("select '\0'").detail().is_some());
}

#[test]
fn kinds_and_fingerprints() {
    assert!(sql::is_utility("/* x */ vacuum a"));
    assert!(sql::is_utility("set x = $1"));
    assert!(!sql::is_utility("(select 1)"));
    assert!(!sql::is_utility("with x as (select 1) select * from x"));
    let one = sql::fingerprint("select * from a where ts > now() - interval $1").unwrap();
    let two = sql::fingerprint("SELECT * FROM a WHERE ts > now() - interval '7 days'").unwrap();
    assert_eq!(one, two);
    assert_ne!(one, sql::fingerprint("select * from b").unwrap());
}

#[test]
fn keys_of_documents_and_text_search_configurations_are_not_of_the_columns_type() {
    let contexts = |text: &str| ParsedStatement::parse(text).unwrap().analyze(&Tables).parameters;
    let of_key = contexts("SELECT id FROM b WHERE doc->>$1 = $2");
    let is_column = |c: &ParameterContext| matches!(c, ParameterContext::ColumnValue { .. });
    assert!(
        of_key[&1].iter().any(|c| matches!(c, ParameterContext::JsonKey { column: Some(_) })),
        "{of_key:?}"
    );
    assert!(!of_key[&1].iter().any(is_column), "{of_key:?}");
    let search = contexts("SELECT id FROM a WHERE to_tsvector($1, s) @@ plainto_tsquery($2, $3)");
    for number in [1, 2] {
        assert!(search[&number].contains(&ParameterContext::Cast("regconfig".into())), "{search:?}");
    }
    assert!(!search[&3].iter().any(is_column), "{search:?}");
}

#[test]
fn functions_and_forms_are_truth_values_and_keys() {
    // What is computed from a row may be a condition; what is an operator to the planner stays one.
    check(
        "SELECT 1 FROM a WHERE is_stale(x, ts) AND NOT shop.is_spam(s) AND starts_with(s, 'a') AND pg_sleep(x) IS NOT NULL",
        expect![[r#"
            0 a a: {"s", "ts", "x"}
              is_stale(x, ts) IsTrue 
              shop.is_spam(s) IsFalse 
              s Other("^@") Constant(Text("a"))
              <not indexable> IsNotNull 
        "#]],
    );
    check(
        "SELECT 1 FROM a WHERE CASE WHEN x IS NULL OR s LIKE 'a%' THEN 0 WHEN NOT x IN (1, 2) THEN 9 ELSE x END = 9
            AND CASE s WHEN 'a' THEN true ELSE x BETWEEN 3 AND 5 END AND greatest(x, 3) > 7 AND nullif(s, '') = 'b'",
        expect![[r#"
            0 a a: {"s", "x"}
              CASE WHEN ((x IS NULL) OR (s LIKE 'a%')) THEN 0 WHEN (NOT (x IN (1, 2))) THEN 9 ELSE x END Equal Constant(Number("9"))
              CASE s WHEN 'a' THEN true ELSE (x BETWEEN 3 AND 5) END IsTrue 
              GREATEST(x, 3) Greater Constant(Number("7"))
              NULLIF(s, '') Equal Constant(Text("b"))
        "#]],
    );
    // What a parameter stands in is no key as long as its value is not known.
    check(
        "SELECT 1 FROM a WHERE CASE WHEN x IS NULL THEN $1 ELSE x END = $2",
        expect![[r#"
        0 a a: {"x"}
          <not indexable> Equal Parameter(2)
    "#]],
    );
    check(
        "SELECT x FROM a GROUP BY x HAVING bool_or(s = 'a') AND every(x > 3) AND count(*) FILTER (WHERE x > 1) > 2",
        expect![[r#"
            0 a a: {"s", "x"}
              GroupBy x Asc Default complete=true limited=false
        "#]],
    );
    check(
        "SELECT 1 FROM a ORDER BY (s IS NULL), CASE WHEN x > 3 THEN 1 END",
        expect![[r#"
        0 a a: {"s", "x"}
          OrderBy (s IS NULL) Asc Default, CASE WHEN (x > 3) THEN 1 END Asc Default complete=true limited=false
    "#]],
    );
}
