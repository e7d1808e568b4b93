//! Does `advise --log` know what `pg_stat_statements` hides: the key of a document, the value that a condition always has?

use serde_json::Value;

use crate::program::User;
use crate::world::{World, oldest};

const DATA: &str = r#"
    create table "Odd.orders" (id bigint primary key, state text, doc jsonb, at timestamptz, "who's" text);
    insert into "Odd.orders"
        select n, case when n % 100 = 0 then 'open' when n % 3 = 0 then 'paid' else 'sent' end,
            jsonb_build_object('colour', n % 4000, 'sort', n % 4000), '2026-01-01'::timestamptz + n * interval '1 minute', 'w' || n % 500
        from generate_series(1, 40000) n;
    alter role current_user in database "DATABASE" set log_min_duration_statement = 0"#;

async fn world() -> World {
    let world = World::on(oldest()).await;
    let database = world.value("select current_database()").await;
    world.sql(&DATA.replace("DATABASE", &database)).await;
    world.sql("vacuum analyze \"Odd.orders\"").await;
    world.forget_statements().await;
    // Sessions that are there do not see the setting.
    let client = testkit::connect(&world.url).await;
    for n in 0..6 {
        let sql = format!(
            "select id from \"Odd.orders\" where doc ->> 'sort' = '{}' and \"who's\" <> 'it''s'",
            n * 37
        );
        client.simple_query(&sql).await.unwrap();
        let prepared = "select count(*) from \"Odd.orders\" where state = $1 and at < '2026-01-20'";
        client.query(prepared, &[&"open"]).await.unwrap();
        // Of two constants alone the server would not know which operator is meant.
        let computed = format!("select at from \"Odd.orders\" where id = {n} * 7 + -1");
        client.simple_query(&computed).await.unwrap();
    }
    world
}

fn definitions(json: &Value) -> Vec<String> {
    let recommendations = json["advice"]["recommendations"].as_array().unwrap();
    let indexes = recommendations.iter().flat_map(|r| r["changes"].as_array().unwrap()).map(|c| &c["index"]);
    indexes.filter(|i| i.is_object()).map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_rests_on_what_the_log_shows() {
    let (world, user) = (world().await, User::new());
    let log = oldest().log_file().display().to_string();
    let guessed = user.run(&["advise", &world.url, "--json", "--no-sample"]).exits(0).json("advise");
    let known =
        user.run(&["advise", &world.url, "--json", "--no-sample", "--log", &log]).exits(0).json("advise");
    // Of two keys with as many values no statistics tell which one it is.
    let hidden = guessed["advice"]["findings"].to_string();
    assert!(hidden.contains("hidden-constant") && hidden.contains("advise --log"), "{hidden}");
    assert!(!definitions(&guessed).iter().any(|d| d.contains("->>")), "{guessed}");
    let indexes = definitions(&known);
    assert!(indexes.iter().any(|d| d.contains("doc ->> 'sort'")), "{known}");
    assert!(!indexes.iter().any(|d| d.contains("'colour'")), "{indexes:?}");
    let skipped = known["advice"]["skipped"].to_string();
    assert!(!skipped.contains("refuses"), "{skipped}");
    let notes = known["notes"].to_string();
    assert!(notes.contains("values of 3 of 3 statements with parameters"), "{notes}");
    // The same from a file, on a machine that the server cannot be reached from.
    let snapshot = user.file("a.snapshot.zst");
    let snapshot = snapshot.to_str().unwrap();
    user.run(&["snapshot", "save", snapshot, "--url", &world.url]).exits(0);
    let offline =
        user.run(&["advise", "--snapshot", snapshot, "--log", &log, "--json"]).exits(0).json("advise");
    assert_eq!(definitions(&offline), indexes);
    // What is tried by hand is tried with the same values.
    let change = "create index on \"Odd.orders\" ((doc ->> 'sort'))";
    let tried = user.run(&["what-if", change, "--snapshot", snapshot, "--json", "--log", &log]);
    let tried = tried.exits(0).json("what-if");
    assert_eq!(tried["changes"][0]["used_by"].as_array().unwrap().len(), 1, "{tried}");
    let notes = tried["notes"].to_string();
    assert!(notes.contains("values of 3 of 3 statements"), "{notes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_says_nothing_of_them_is_named() {
    let (world, user) = (world().await, User::new());
    let other = user.write(
        "other.log",
        "2026-11-01 10:00:00.000 UTC [7] LOG:  duration: 1.000 ms  statement: select 1 from elsewhere where a = 1\n",
    );
    let other = other.to_str().unwrap();
    let json =
        user.run(&["advise", &world.url, "--json", "--no-sample", "--log", other]).exits(0).json("advise");
    assert!(json["notes"].to_string().contains("hold none of the statements"), "{}", json["notes"]);
    let none = user.write("none.log", "this is no log\n");
    user.run(&["advise", &world.url, "--log", none.to_str().unwrap()]).fails(2);
    user.run(&["advise", &world.url, "--log", "/nowhere/at/all.log"]).fails(2);
    user.run(&["advise", &world.url, "--log-line-prefix", "%m "]).fails(2);
}
