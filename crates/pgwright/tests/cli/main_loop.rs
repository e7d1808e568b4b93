//! Does the whole loop work: profile, advise, apply, verify, undo? On every version, on a table whose
//! names are as bad as PostgreSQL allows, with the schema the same afterwards.

use crate::program::User;
use crate::world::{World, oldest};

const ODD_NAMES: &str = r#"
    create schema "My Schema";
    create table "My Schema"."a""b.c" (
        "Id" bigint primary key, "größe" integer not null, "select" text, "x;--" timestamptz not null, filler text);
    insert into "My Schema"."a""b.c"
        select n, n % 6000, 'text ' || n % 20, '2026-01-01'::timestamptz + n * interval '1 minute', repeat('x', 100)
        from generate_series(1, 60000) n;
    create index "Index ""of"" 'select'; ü" on "My Schema"."a""b.c" ("select");
    analyze "My Schema"."a""b.c";
"#;

/// The same with a parameter, as a driver sends it.
const ODD_QUERY: &str =
    r#"select "Id", filler from "My Schema"."a""b.c" as "t.ü" where "größe" = $1 order by "x;--" desc"#;

async fn load_odd_names(world: &World) {
    world.sql(ODD_NAMES).await;
    world.forget_statements().await;
    for n in 0..60_i32 {
        world.client.query(ODD_QUERY, &[&(n * 7)]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_go_from_advice_to_undo() {
    let user = User::new();
    let world = World::on(oldest()).await;
    load_odd_names(&world).await;
    let url = world.url.as_str();
    let before = world.schema_dump().await;

    user.run(&["doctor", url]).exits(0).says("pgwright can work here");
    let profile = user.run(&["profile", "--json", url]).exits(0).json("profile");
    let top = &profile["statements"][0];
    assert_eq!(top["query"], ODD_QUERY, "{profile:#}");
    assert_eq!(top["calls"], 60);

    let advice = user.run(&["advise", url]).exits(0);
    eprintln!("{advice}");
    let shown = user.run(&["apply", url]).exits(0);
    eprintln!("{shown}");
    assert_eq!(world.schema_dump().await, before, "apply without --execute changed something");
    let applied = user.run(&["apply", "--execute", url]).exits(0);
    eprintln!("{applied}");
    assert_ne!(world.schema_dump().await, before);
    for n in 0..60_i32 {
        world.client.query(ODD_QUERY, &[&(n * 7)]).await.unwrap();
    }
    let verified = user.run(&["verify", url]).exits(0);
    eprintln!("{verified}");
    let journal = user.run(&["journal", url]).exits(0);
    eprintln!("{journal}");
    let preview = user.run(&["undo", url]).exits(0).tells("nothing was run");
    eprintln!("{preview}");
    let undone = user.run(&["undo", "--execute", url]).exits(0);
    eprintln!("{undone}");
    assert_eq!(world.schema_dump().await, before);
}
