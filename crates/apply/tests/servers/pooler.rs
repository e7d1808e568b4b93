//! A transaction pooler is refused before anything is changed; a session pooler is as good as the
//! server itself. PgBouncer itself, in front of a real server.

use apply::{Error, Objection, UndoTarget};

use testkit::PgBouncer;

use crate::world::{World, create, execute, plain_table, plan_of, quick, shown, target};

#[tokio::test]
async fn a_transaction_pooler_is_refused_and_a_session_pooler_works() {
    let server = testkit::any_server();
    let world = World::on(server).await;
    let before = world.schema_dump().await;
    let database = world.value("select current_database()").await;
    let plan = plan_of("r", vec![create(plain_table(), "i", &["x"])]);

    let pooler = PgBouncer::start(server, "transaction", 20).await;
    let through = target(&pooler.url(&database));
    let asked = apply::preflight(&through, &plan).await.unwrap();
    assert_eq!(asked.refusals[0].objection, Objection::TransactionPooler);
    let error = apply::execute(&through, &plan, &quick(), &mut |_| {}).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused(r) if r[0].objection == Objection::TransactionPooler),
        "{}",
        shown(&error)
    );
    assert!(error.hint().unwrap().contains("past the pooler"));
    assert_eq!(world.schema_dump().await, before);
    drop(pooler);

    let pooler = PgBouncer::start(server, "session", 20).await;
    let through = World { target: target(&pooler.url(&database)), ..world };
    execute(&through, &plan, &quick()).await.unwrap().into_result().unwrap();
    assert!(through.indexes().await.contains("INDEX i "));
    apply::undo(&through.target, &UndoTarget::Last, &quick(), &mut |_| {})
        .await
        .unwrap()
        .into_result()
        .unwrap();
    assert_eq!(through.schema_dump().await, before);
}
