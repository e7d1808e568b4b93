//! scratch
#![allow(clippy::unwrap_used)]
#[tokio::main]
async fn main() {
    let server = testkit::server_with(15, &[]);
    let database = testkit::database(&server).await;
    let client = testkit::connect(&database.url).await;
    testkit::tpch::load(&client, 0.05).await;
    for sql in std::env::args().skip(1) {
        for m in client.simple_query(&sql).await.unwrap() {
            if let tokio_postgres::SimpleQueryMessage::Row(r) = m {
                println!(
                    "{}",
                    (0..r.len()).map(|i| r.get(i).unwrap_or("NULL")).collect::<Vec<_>>().join(" | ")
                );
            }
        }
        println!("--");
    }
}
