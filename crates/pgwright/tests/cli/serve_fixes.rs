//! Does the overview have the fix of a statement that got slower, without anybody asking for it?

use std::time::{Duration, Instant};

use crate::program::User;
use crate::serve::{Answer, Serving};
use crate::serve_pages::{sign_in, users_file};
use crate::world::World;

/// Called again and again; it reads one row of a table whose name has to be quoted.
const STATEMENT: &str = "select count(*) as slowing from \"a\"\"b.c\" where k = 5";

/// Runs the statement until a page holds a text.
async fn called_until(world: &World, serving: &Serving, headers: &[(&str, &str)], text: &str) -> Answer {
    let path = "/";
    let began = Instant::now();
    loop {
        world.repeat(STATEMENT, 3).await;
        let answer = serving.get(path, headers);
        if answer.body.contains(text) {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{path} never has {text}:\n{}", answer.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_has_the_fix_of_what_got_slower_without_anybody_asking() {
    let world = World::new().await;
    world
        .load(
            "create table \"a\"\"b.c\" as select n as k, repeat('x', 100) as v from generate_series(1, 100000) n; \
             create index \"k.i\" on \"a\"\"b.c\" (k)",
        )
        .await;
    let user = User::new();
    let arguments = ["--history", "--interval", "statements=500ms", "--fixes", "1s"];
    let serving = Serving::start(&user, &world.url, &arguments);
    // History has to be long enough for its halves to be compared.
    called_until(&world, &serving, &[], "its later half is compared").await;
    assert_eq!(serving.metrics().value("pgwright_fix_passes_total", "succeeded"), Some(0.0));
    world.sql("drop index \"k.i\"").await;
    let overview = called_until(&world, &serving, &[], "href=\"/recommendations#r-").await.body;
    let row = overview.split("<tr>").find(|row| row.contains("as slowing")).unwrap();
    for text in ["(can be undone)", "blocks per call for as many rows", "href=\"/recommendations#r-"] {
        assert!(row.contains(text), "{text} is not in {row}");
    }
    // The link leads to the recommendation, and from there to its statements.
    let id = row.split("#r-").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let page = serving.get("/recommendations", &[]).body;
    for text in [
        format!("id=\"r-{id}\""),
        "computed by themselves".into(),
        "Compute recommendations".into(),
        "as slowing".into(),
    ] {
        assert!(page.contains(&text), "{text} is not in {page}");
    }
    let statement = row.split("href=\"/statement?").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let statement = serving.get(&format!("/statement?{}", statement.replace("&amp;", "&")), &[]).body;
    assert!(statement.contains(&format!("#r-{id}")), "{statement}");
    let metrics = serving.metrics();
    assert!(metrics.value("pgwright_fix_passes_total", "succeeded") >= Some(1.0), "{}", metrics.0);
    assert!(metrics.value("pgwright_fix_statements", "found") >= Some(1.0), "{}", metrics.0);
    // Nothing was written but history.
    assert!(!world.indexes().await.contains("(k)"));
    serving.stop();

    // Who may apply it is shown what would be run.
    let users = users_file(&user);
    let serving =
        Serving::start(&user, &world.url, &[arguments.as_slice(), &["--users-file", &users]].concat());
    let cookie = sign_in(&serving, "ada", "secret words");
    let signed_in = [("Cookie", cookie.as_str())];
    called_until(&world, &serving, &signed_in, &format!("#r-{id}")).await;
    let confirm = serving.get(&format!("/recommendations/apply?id={id}"), &signed_in);
    assert!(confirm.status == 200 && confirm.body.contains("CREATE INDEX CONCURRENTLY"), "{}", confirm.body);
    serving.stop();

    // On a machine without server programs it is said why there is none.
    let empty = user.work().join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    let empty = empty.display().to_string();
    let serving = Serving::start(&user, &world.url, &[arguments.as_slice(), &["--bin-dir", &empty]].concat());
    let overview = called_until(&world, &serving, &[], "could not be computed: ").await.body;
    assert!(overview.contains("PostgreSQL"), "{overview}");
    assert!(serving.metrics().value("pgwright_fix_passes_total", "failed") >= Some(1.0));
    serving.stop();

    // Who wants none is told that none was computed.
    let none = ["--history", "--interval", "statements=500ms", "--fixes", "0"];
    let serving = Serving::start(&user, &world.url, &none);
    called_until(&world, &serving, &[], ">not computed</a>").await;
    assert!(serving.metrics().of("pgwright_fix_passes_total").is_empty());
    serving.stop();
}
