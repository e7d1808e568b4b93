//! Does the whole loop work: profile, advise, apply, verify, undo? On every version, on a table whose
//! names are as bad as PostgreSQL allows, with the schema the same afterwards.

use crate::program::User;
use crate::world::{World, pg_dump_for};

const ODD_NAMES: &str = r#"
    create schema "My Schema";
    create table "My Schema"."a""b.c" (
        "Id" bigint primary key, "größe" integer not null, "select" text, "x;--" timestamptz not null, filler text);
    insert into "My Schema"."a""b.c"
        select n, n % 6000, 'text ' || n % 20, '2026-01-01'::timestamptz + n * interval '1 minute', repeat('x', 100)
        from generate_series(1, 60000) n;
    create index "Index ""of"" 'select'; ü" on "My Schema"."a""b.c" ("select");
"#;

/// The same with a parameter, as a driver sends it.
const ODD_QUERY: &str =
    r#"select "Id", filler from "My Schema"."a""b.c" as "t.ü" where "größe" = $1 order by "x;--" desc"#;

async fn use_it(world: &World) {
    for n in 0..60_i32 {
        world.client.query(ODD_QUERY, &[&(n * 7)]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_go_from_advice_to_undo() {
    let user = User::with_every_version();
    for binaries in testkit::versions() {
        let world = World::on(testkit::server(binaries.major)).await;
        world.load(ODD_NAMES).await;
        use_it(&world).await;
        let url = world.url.as_str();
        let before = world.schema_dump().await;

        let doctor = user.run(&["doctor", url]);
        if pg_dump_for(binaries.major).is_some() {
            doctor.exits(0).says("pgwright can work here");
        } else {
            doctor.exits(1).says("is older than the server and refuses to dump it");
        }
        let profile = user.run(&["profile", "--json", url]).exits(0).json("profile");
        assert_eq!(profile["statements"][0]["query"], ODD_QUERY, "{profile:#}");
        assert_eq!(profile["statements"][0]["calls"], 60);
        user.run(&["explain", "--analyze", &ODD_QUERY.replace("$1", "7"), url])
            .exits(0)
            .says("Seq Scan")
            .says("rows 10");

        let advise = user.run(&["advise", "--out", "advice.json", url]);
        let applies = if pg_dump_for(binaries.major).is_some() {
            advise.exits(0).says(
                "CREATE INDEX CONCURRENTLY \"a\"\"b.c_größe_idx\" ON \"My Schema\".\"a\"\"b.c\" USING btree (\"größe\");",
            );
            vec!["apply", url]
        } else {
            // The advice of an older server, whose tables are the same, does as well.
            let advise = advise.fails(2);
            assert!(advise.error().contains("cannot dump a server of version"), "\n{advise}");
            assert!(advise.error().contains("hint: Install the client programs"), "\n{advise}");
            vec!["apply", "--advice", "advice.json", url]
        };
        user.run(&applies).exits(0).says("CREATE INDEX CONCURRENTLY").tells("nothing was run; add --execute");
        assert_eq!(world.schema_dump().await, before, "apply without --execute changed something");
        assert_eq!(world.value("select count(*) from pg_namespace where nspname = 'pgwright'").await, "0");

        user.run(&[&applies[..], &["--execute"]].concat()).exits(0).says("no calls yet");
        assert_ne!(world.schema_dump().await, before);
        use_it(&world).await;
        let verified = user.run(&["verify", url]);
        if pg_dump_for(binaries.major).is_some() {
            verified.exits(0).says("held: ").says("valid, ");
        } else {
            // Other servers number their statements otherwise.
            assert_eq!(verified.code, Some(0), "\n{verified}");
        }
        user.run(&["explain", &ODD_QUERY.replace("$1", "7"), url])
            .exits(0)
            .says("using \"a\"\"b.c_größe_idx\"");
        user.run(&["journal", url]).exits(0).says("done").says("undo: DROP INDEX CONCURRENTLY");
        user.run(&["undo", url])
            .exits(0)
            .says("DROP INDEX CONCURRENTLY \"My Schema\".\"a\"\"b.c_größe_idx\";")
            .tells("nothing was run");
        user.run(&["undo", "--execute", url]).exits(0).says("undone: create index");
        assert_eq!(world.schema_dump().await, before);
        user.run(&["undo", "--execute", url]).fails(2);
        user.run(&["journal", "--purge", url]).exits(0).says("DROP SCHEMA pgwright");
        user.run(&["journal", "--purge", "--execute", url]).exits(0);
        assert_eq!(world.value("select count(*) from pg_namespace where nspname = 'pgwright'").await, "0");
    }
}
