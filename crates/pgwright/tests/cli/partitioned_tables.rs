//! Does the user see every statement on a partitioned table before it runs, and how it is taken back?

use model::{
    Benefit, Change, Confidence, IndexDefinition, IndexKey, LockLevel, Price, QualifiedName, Recommendation,
};

use crate::program::User;
use crate::world::World;

const EVENTS: &str = r#"
    create table events (id bigint not null, "user" integer) partition by range (id);
    create table events_1 partition of events for values from (0) to (1000);
    create table events_2 partition of events for values from (1000) to (2000);
    create index by_hand on events_2 ("user");
    insert into events select n, n % 50 from generate_series(0, 1999) n"#;

fn advice(changes: Vec<Change>) -> String {
    let recommendation = Recommendation {
        id: "0123abcd".into(),
        title: "create index events_user_idx on public.events".into(),
        resolves: Vec::new(),
        changes,
        sql: Vec::new(),
        undo_sql: Vec::new(),
        benefit: Benefit::default(),
        price: Price::default(),
        lock: LockLevel::ShareUpdateExclusive,
        lock_duration: "partition by partition".into(),
        reversible: true,
        confidence: Confidence::High,
        rationale: String::new(),
        verification: String::new(),
        statements: Vec::new(),
        rejected: Vec::new(),
    };
    serde_json::json!({ "target": "a file", "advised_at": "2026-11-20T00:00:00Z",
        "recommendations": [recommendation] })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_shown_before_it_runs() {
    for binaries in testkit::versions() {
        let user = User::new();
        let world = World::on(testkit::server(binaries.major)).await;
        world.load(EVENTS).await;
        let url = world.url.as_str();
        let before = world.schema_dump().await;
        let table = QualifiedName::new("public", "events");
        let index = IndexDefinition::btree(table, "events_user_idx", vec![IndexKey::column("user")]);
        user.write("advice.json", advice(vec![Change::CreateIndex { index }]));
        let apply = ["apply", "--advice", "advice.json", url];

        let shown = user.run(&apply).exits(0);
        assert_eq!(
            shown.stdout,
            "0123abcd  create index events_user_idx on public.events\n  \
             lock: partition by partition\n  \
             CREATE INDEX events_user_idx ON ONLY public.events USING btree (\"user\");\n    \
             lock: SHARE on public.events for an instant; whoever writes through it waits\n    \
             undo: DROP INDEX public.events_user_idx;\n  \
             CREATE INDEX CONCURRENTLY events_1_user_idx ON public.events_1 USING btree (\"user\");\n    \
             lock: SHARE UPDATE EXCLUSIVE\n  \
             ALTER INDEX public.events_user_idx ATTACH PARTITION public.events_1_user_idx;\n    \
             lock: ACCESS EXCLUSIVE on public.events_1_user_idx for an instant; whoever reads or writes \
             public.events_1 waits\n  \
             ALTER INDEX public.events_user_idx ATTACH PARTITION public.by_hand;\n    \
             lock: ACCESS EXCLUSIVE on public.by_hand for an instant; whoever reads or writes public.events_2 waits\n"
        );
        shown.tells("Equal indexes of partitions become part of public.events_user_idx: public.by_hand.");
        assert_eq!(world.schema_dump().await, before);

        let done = user.run(&[&apply[..], &["--execute"]].concat()).exits(0);
        for line in done.stderr.lines().filter_map(|l| l.split_once("done in ").map(|(_, l)| l)) {
            let (_, sql) = line.split_once(": ").unwrap();
            assert!(done.stdout.contains(&format!("  {sql};\n")), "{sql} was not shown\n{done}");
        }
        user.run(&apply).exits(0).tells("applied already: 0123abcd");
        let json = user.run(&["verify", "--json", url]).exits(0).json("verify");
        let measured = &json["verifications"][0]["indexes"][0];
        assert_eq!(
            (&measured["name"]["name"], &measured["valid"]),
            (&"events_user_idx".into(), &true.into())
        );

        user.run(&["undo", url])
            .exits(0)
            .says("  CREATE INDEX CONCURRENTLY by_hand_undo ON public.events_2 USING btree (\"user\");\n")
            .says("  DROP INDEX public.events_user_idx; ALTER INDEX public.by_hand_undo RENAME TO by_hand;\n")
            .says("    lock: ACCESS EXCLUSIVE on public.events and its partitions for an instant");
        user.run(&["undo", "--execute", url]).exits(0).says("undone: create index events_user_idx");
        assert_eq!(world.schema_dump().await, before);
        user.run(&["journal", url])
            .exits(0)
            .says("undone")
            .says("to undo: DROP INDEX public.events_user_idx");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_index_that_nobody_needs_goes_and_comes_back() {
    let user = User::new();
    let world = World::new().await;
    world.load(EVENTS).await;
    world.sql("create index events_id_idx on events (id)").await;
    let url = world.url.as_str();
    let before = world.schema_dump().await;
    let change = Change::DropIndex {
        name: QualifiedName::new("public", "events_id_idx"),
        table: QualifiedName::new("public", "events"),
        definition: "CREATE INDEX events_id_idx ON ONLY public.events USING btree (id)".into(),
    };
    user.write("advice.json", advice(vec![change]));
    user.run(&["apply", "--advice", "advice.json", url])
        .exits(0)
        .says("  DROP INDEX public.events_id_idx;\n")
        .says("    lock: ACCESS EXCLUSIVE on public.events and its partitions for an instant")
        .says("    undo: CREATE INDEX events_id_idx ON ONLY public.events USING btree (id); CREATE INDEX CONCURRENTLY ");
    user.run(&["apply", "--advice", "advice.json", "--execute", url]).exits(0);
    assert!(!world.indexes().await.contains("id_idx"));
    user.run(&["undo", "--execute", url]).exits(0);
    assert_eq!(world.schema_dump().await, before);
}
