//! Does a subscriber have every row of a published table while the table is converted and taken back, and none twice? The
//! subscriber is a second server that PostgreSQL's own CREATE SUBSCRIPTION keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apply::partition_conversion::{
    self as conversion, ConversionEvent, ConversionRequest, DividedBy, Method, Step,
};
use cluster::Server;
use model::QualifiedName;

use crate::conversion::{convert, finish, monthly, patient, revert};
use crate::conversion_writers::{Ledger, TABLE, Writer, day};
use crate::world::{World, shown};

const REPLICATING: &[(&str, &str)] =
    &[("max_wal_senders", "10"), ("max_replication_slots", "10"), ("max_logical_replication_workers", "4")];

const OTHER: &str = "create table other (id int primary key, note text)";

/// Two servers, of which the second has subscribed to two tables of the first.
struct Pair {
    publisher: World,
    subscriber: World,
    _servers: [Server; 2],
}

impl Pair {
    async fn new(major: u32, table: &str) -> Self {
        let servers = [testkit::server_with(major, REPLICATING), testkit::server_with(major, REPLICATING)];
        let (publisher, subscriber) = (World::on(&servers[0]).await, World::on(&servers[1]).await);
        publisher.sql(&format!("{table}; {OTHER}")).await;
        // The subscriber gets the rows by its own initial copy.
        subscriber.sql(&format!("{table}; {OTHER}; truncate readings")).await;
        publisher
            .sql("create publication both_tables for table readings, other with (publish_via_partition_root = true)")
            .await;
        let from = format!(
            "host={} port={} user=postgres dbname={}",
            servers[0].socket_dir().display(),
            servers[0].port(),
            publisher.value("select current_database()").await
        );
        subscriber.sql(&format!("create subscription its connection '{from}' publication both_tables")).await;
        let pair = Self { publisher, subscriber, _servers: servers };
        pair.agrees("after the initial copy").await;
        pair
    }

    /// Waits until both have the same rows; nobody writes meanwhile.
    async fn agrees(&self, when: &str) {
        let rows = "select concat((select count(*) from readings), ' ', \
             (select md5(string_agg(t::text, ',' order by t::text)) from readings t), ' ', \
             (select md5(string_agg(t::text, ',' order by t::text)) from other t))";
        let expected = self.publisher.value(rows).await;
        let began = Instant::now();
        loop {
            let found = self.subscriber.value(rows).await;
            if found == expected {
                return;
            }
            assert!(
                began.elapsed() < Duration::from_secs(90),
                "{when} on {}: {found} is not {expected}; {}",
                self.publisher.major,
                self.subscriber
                    .value("select string_agg(srrelid::regclass || ' ' || srsubstate, ', ') from pg_subscription_rel")
                    .await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn end(self) {
        self.subscriber.sql("drop subscription its").await;
    }
}

fn table() -> QualifiedName {
    QualifiedName::new("public", "readings")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_has_every_row_once_while_others_write() {
    for server in testkit::versions() {
        for by in [DividedBy::Range("month".parse().unwrap()), DividedBy::Hash(3)] {
            let pair = Pair::new(server.major, TABLE).await;
            let world = &pair.publisher;
            let done = Arc::new(AtomicUsize::new(0));
            let request = ConversionRequest { column: "at".into(), by, ..monthly(table(), Method::Rewrite) };
            let failed = |e: apply::Error| panic!("on {}: {}", world.major, shown(&e));
            let (mut ledgers, mut next) = (vec![Ledger::new(), Ledger::new()], 0);
            for (turn, action) in ["convert", "revert", "convert", "finish"].into_iter().enumerate() {
                let stop = Arc::new(AtomicBool::new(false));
                let mut writers = Vec::new();
                for (number, ledger) in (1..).zip(std::mem::take(&mut ledgers)) {
                    let client = world.another_client().await;
                    let writer = Writer { client, number, ledger, next, done: done.clone(), day };
                    writers.push(tokio::spawn(writer.go(stop.clone())));
                }
                // A transaction that has written to another table before the names change hands, and to this one after.
                let across = world.another_client().await;
                let begin = format!("begin; insert into other values ({turn}, 'before {action}')");
                across.batch_execute(&begin).await.unwrap();
                match action {
                    "convert" => convert(&world.target, &request).await,
                    "revert" => revert(&world.target, &table()).await,
                    _ => finish(&world.target, &table()).await,
                }
                .unwrap_or_else(failed);
                across
                    .batch_execute(&format!(
                        "insert into readings values (9, {turn}, '2026-03-03', 'across {action}'); \
                         update readings set at = '2026-04-04' where writer = 0 and number = {turn} + 1; commit"
                    ))
                    .await
                    .unwrap();
                let until = done.load(Ordering::Relaxed) + 60;
                while done.load(Ordering::Relaxed) < until {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                stop.store(true, Ordering::Relaxed);
                for writer in writers {
                    ledgers.push(writer.await.unwrap());
                }
                next += 100_000;
                pair.agrees(&format!("after {action}, turn {turn}")).await;
            }
            let acknowledged: usize = ledgers.iter().map(Ledger::len).sum();
            let found = pair.subscriber.value("select count(*) from readings where writer in (1, 2)").await;
            assert_eq!(found, acknowledged.to_string(), "on {}", pair.publisher.major);
            pair.end().await;
        }
    }
}

/// A table that becomes a partition goes on under the name of the whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_does_not_notice_an_attachment() {
    for server in testkit::versions() {
        let pair = Pair::new(server.major, TABLE).await;
        let world = &pair.publisher;
        let mut number = 0;
        let mut write = |url: &str| {
            number += 1;
            crate::conversion_oddities::meanwhile(
                url,
                &format!(
                    "insert into readings values (1, {number}, now(), 'n{number}'); \
                     update readings set value = 'u{number}' where writer = 0 and number = {number}; \
                     delete from readings where writer = 0 and number = {number} + 1000"
                ),
            );
        };
        let request = ConversionRequest { column: "at".into(), ..monthly(table(), Method::Attach) };
        for action in ["convert", "revert", "convert", "finish"] {
            let mut on_event = |event: ConversionEvent| {
                if matches!(event, ConversionEvent::Began { .. }) {
                    write(&world.url);
                }
            };
            let (options, it) = (patient(), table());
            let done = match action {
                "convert" => conversion::convert(&world.target, &request, &options, &mut on_event).await,
                "revert" => conversion::revert_conversion(&world.target, &it, &options, &mut on_event).await,
                _ => conversion::finish_conversion(&world.target, &it, &options, &mut on_event).await,
            };
            let done = done.unwrap_or_else(|e| panic!("{action} on {}: {}", world.major, shown(&e)));
            assert!(matches!(done.step, Step::Swapped | Step::Reverted | Step::Finished));
            write(&world.url);
            pair.agrees(&format!("after {action}")).await;
        }
        pair.end().await;
    }
}
