//! Does anybody wait longer than they may while a conversion wants a lock that others do not give? Writers say how long they
//! would wait at most, and fail when it takes longer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use apply::partition_conversion::{self as conversion, ConversionEvent, ConversionOptions, Method, Step};
use tokio_postgres::Client;

use crate::conversion::{EVENTS, events, monthly, patient};
use crate::world::{World, shown};

/// A session of a thread of its own that keeps a transaction open until it is told to end it.
struct Holder {
    end: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Holder {
    fn begin(url: &str, sql: &str) -> Self {
        let (url, sql) = (url.to_owned(), format!("begin; {sql}"));
        let ((end, ended), (ready, is_ready)) = (mpsc::channel(), mpsc::channel());
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap()
                .block_on(async {
                    let client = testkit::connect(&url).await;
                    client.batch_execute(&sql).await.unwrap();
                    ready.send(()).unwrap();
                    // Until it is told, whoever would tell has gone, or its end alone is waited for, with no lock that
                    // others want: so CREATE INDEX CONCURRENTLY does.
                    let watch = testkit::connect(&url).await;
                    let waited_for = "select exists (select from pg_locks l join pg_stat_activity a using (pid) where not l.granted \
                         and l.locktype = 'virtualxid' and a.application_name = 'pgwright convert')";
                    let told = || ended.recv_timeout(Duration::from_millis(50));
                    while tokio::task::block_in_place(told) == Err(mpsc::RecvTimeoutError::Timeout) {
                        if watch.query_one(waited_for, &[]).await.unwrap().get(0) {
                            break;
                        }
                    }
                    client.batch_execute("commit").await.unwrap();
                });
        });
        is_ready.recv().unwrap();
        Self { end, thread }
    }

    fn end(self) {
        // It may have ended by itself.
        let _ = self.end.send(());
        self.thread.join().unwrap();
    }
}

/// Who stands in the way of a step, one after the other.
const HOLDERS: [&str; 3] = [
    r#"select count(*) from "S x"."a""b.c""#,
    r#"insert into "S x"."a""b.c" (created_at, user_id, amount) values ('2026-02-02', 1, 1)"#,
    r#"update "S x".users set name = 'held' where id = 1; select count(*) from "S x".users"#,
];

/// Puts all of them into the way of each step, and lets one go each time that the step has given way twice.
struct Hindrance {
    url: String,
    open: Vec<Holder>,
    /// How often each step gave way.
    gave_way: BTreeMap<&'static str, usize>,
    at: Step,
}

impl Hindrance {
    fn new(url: &str) -> Self {
        Self { url: url.to_owned(), open: Vec::new(), gave_way: BTreeMap::new(), at: Step::NotNull }
    }

    fn tell(&mut self, event: &ConversionEvent) {
        match event {
            ConversionEvent::Began { step } => {
                self.at = *step;
                self.open = HOLDERS.iter().map(|sql| Holder::begin(&self.url, sql)).collect();
            }
            ConversionEvent::Retrying { .. } => {
                let times = self.gave_way.entry(self.at.as_str()).or_default();
                *times += 1;
                if times.is_multiple_of(2) {
                    self.open.pop().map(Holder::end).unwrap_or_default();
                }
            }
            // Their snapshots are waited for without a lock.
            ConversionEvent::Waiting { .. } | ConversionEvent::Done { .. } => {
                self.open.drain(..).for_each(Holder::end);
            }
            _ => {}
        }
    }
}

/// Writes all the time, and fails when one write has to wait for longer than it may.
async fn write(client: Client, most: Duration, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> Duration {
    client.batch_execute(&format!("set lock_timeout = '{}ms'", most.as_millis())).await.unwrap();
    let mut longest = Duration::ZERO;
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let began = Instant::now();
        let sql = format!(
            r#"insert into "S x"."a""b.c" (created_at, user_id, amount) values ('2026-03-03', 2, {});
               update "S x"."a""b.c" set amount = amount + 1 where id = {}"#,
            n % 1000,
            1 + n % 500
        );
        client.batch_execute(&sql).await.unwrap_or_else(|e| panic!("a write failed: {e:?}"));
        longest = longest.max(began.elapsed());
        done.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    longest
}

/// With a long reader, a writer idle in its transaction and one of a referenced table in the way of every step, and
/// autovacuum at work, writers wait no longer than for one try.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_the_table_nobody_waits_behind_the_conversion() {
    let slow = [
        ("autovacuum", "on"),
        ("autovacuum_naptime", "1s"),
        ("autovacuum_vacuum_cost_delay", "20ms"),
        ("autovacuum_vacuum_cost_limit", "1"),
    ];
    for method in [Method::Rewrite, Method::Attach] {
        let server = testkit::server_with(testkit::versions()[0].major, &slow);
        let world = World::on(&server).await;
        world.sql(EVENTS).await;
        world
            .sql(
                r#"alter table "S x"."a""b.c" set (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0);
                   delete from "S x"."a""b.c" where id > 3000"#,
            )
            .await;
        let options = ConversionOptions { max_lock: Duration::from_secs(1), ..patient() };
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        // Several times what they may, for a machine that is busy; whoever is not given way to waits for ever.
        let most = 8 * options.max_lock;
        let client = world.another_client().await;
        let writer = tokio::spawn(write(client, most, stop.clone(), done.clone()));
        let mut hindrance = Hindrance::new(&world.url);
        let table = events();
        let request = monthly(table.clone(), method);
        for action in ["convert", "revert", "convert", "finish"] {
            let mut on_event = |event: ConversionEvent| hindrance.tell(&event);
            let ended = match action {
                "convert" => conversion::convert(&world.target, &request, &options, &mut on_event).await,
                "revert" => {
                    conversion::revert_conversion(&world.target, &table, &options, &mut on_event).await
                }
                _ => conversion::finish_conversion(&world.target, &table, &options, &mut on_event).await,
            };
            ended.unwrap_or_else(|e| panic!("{method:?}, {action}: {}", shown(&e)));
        }
        stop.store(true, Ordering::Relaxed);
        let longest = writer.await.unwrap();
        assert!(longest < most, "{method:?}: {longest:?}");
        assert!(done.load(Ordering::Relaxed) > 100);
        // The steps in whose way somebody stood, so that the others are known to take no such lock.
        let steps: Vec<&str> = hindrance.gave_way.keys().copied().collect();
        let expected: &[&str] = match method {
            Method::Rewrite => &["capture", "clean_up", "drop_old", "swap", "swap_back", "validate"],
            Method::Attach => &["not_null", "swap", "swap_back"],
        };
        for step in expected {
            assert!(steps.contains(step), "{method:?}: nobody stood in the way of {step}, only of {steps:?}");
        }
    }
}

/// Without a lock that others wait for, a COMMIT may wait for as long as it likes.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_for_a_standby_keeps_nobody_waiting() {
    let major = testkit::versions()[0].major;
    for step in [Step::Capture, Step::Swap, Step::SwapBack, Step::DropOld] {
        let server = testkit::server_with(major, &[("synchronous_commit", "on"), ("max_wal_senders", "5")]);
        let world = World::on(&server).await;
        world.sql(EVENTS).await;
        let (table, options) = (events(), patient());
        let request = monthly(table.clone(), Method::Rewrite);
        let quiet = &mut |_| {};
        if matches!(step, Step::SwapBack | Step::DropOld) {
            conversion::convert(&world.target, &request, &options, quiet).await.unwrap();
        }
        let url = world.url.clone();
        let mut watcher = None;
        let mut on_event = |event: ConversionEvent| {
            if event == (ConversionEvent::Began { step }) && watcher.is_none() {
                let holder = Holder::begin(
                    &url,
                    r#"select count(*) from "S x"."a""b.c"; lock table "S x"."a""b.c" in row exclusive mode"#,
                );
                let url = url.clone();
                watcher = Some(std::thread::spawn(move || {
                    tokio::runtime::Runtime::new().unwrap().block_on(stand_by(&url, holder));
                }));
            }
        };
        let ended = match step {
            Step::SwapBack => {
                conversion::revert_conversion(&world.target, &table, &options, &mut on_event).await
            }
            Step::DropOld => {
                conversion::finish_conversion(&world.target, &table, &options, &mut on_event).await
            }
            _ => conversion::convert(&world.target, &request, &options, &mut on_event).await,
        };
        watcher.expect("the step began").join().unwrap_or_else(|_| panic!("others waited for {step:?}"));
        ended.unwrap_or_else(|e| panic!("{step:?}: {}", shown(&e)));
        assert_eq!(world.value(r#"select count(*) from "S x"."a""b.c" where amount = 99.5"#).await, "1");
    }
}

/// Once the conversion waits for the holder's lock, lets every COMMIT wait for a standby that there is not; then the holder
/// goes, and somebody who does not care for standbys writes.
async fn stand_by(url: &str, holder: Holder) {
    let client = testkit::connect(url).await;
    client.batch_execute("set synchronous_commit = local").await.unwrap();
    let is = async |sql: &str| client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0);
    let waits = "select exists (select from pg_locks l join pg_stat_activity a using (pid) where not l.granted \
         and l.locktype = 'relation' and a.application_name = 'pgwright convert')";
    let began = Instant::now();
    while !is(waits).await {
        assert!(began.elapsed() < Duration::from_secs(60), "no lock is waited for");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.batch_execute("alter system set synchronous_standby_names = 'nobody'").await.unwrap();
    client.batch_execute("select pg_reload_conf()").await.unwrap();
    let probe = testkit::connect(url).await;
    let probing =
        tokio::spawn(async move { probe.batch_execute("create table probe (); drop table probe").await });
    let probed = "select exists (select from pg_stat_activity where wait_event = 'SyncRep')";
    while !is(probed).await {
        assert!(began.elapsed() < Duration::from_secs(60), "no COMMIT waits for a standby");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let writer = testkit::connect(url).await;
    writer.batch_execute("set synchronous_commit = local; set lock_timeout = '20s'").await.unwrap();
    let written = tokio::spawn(async move {
        let sql =
            r#"insert into "S x"."a""b.c" (created_at, user_id, amount) values ('2026-03-03', 2, 99.5)"#;
        writer.batch_execute(sql).await
    });
    let queued = "select exists (select from pg_locks l join pg_stat_activity a using (pid) where not l.granted \
         and a.query like 'insert into \"S x\"%')";
    while !is(queued).await && !written.is_finished() {
        assert!(began.elapsed() < Duration::from_secs(60), "the writer neither waits nor is done");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holder.end();
    let outcome = written.await.unwrap();
    client.batch_execute("alter system reset synchronous_standby_names").await.unwrap();
    client.batch_execute("select pg_reload_conf()").await.unwrap();
    probing.await.unwrap().unwrap();
    outcome.unwrap();
}
