//! Is every acknowledged write there after a conversion, and nothing else? Writers keep a ledger of what the server
//! has acknowledged, while their table is converted, taken back and converted again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use apply::partition_conversion::{ConversionRequest, DividedBy, Method};
use futures_util::SinkExt as _;
use tokio_postgres::Client;

use crate::conversion::{convert, finish, monthly, revert};
use crate::world::{World, shown};

pub const TABLE: &str = "
    create table readings (
        writer int not null, number bigint not null, at timestamptz not null, value text,
        primary key (writer, number, at));
    create index on readings (value);
    insert into readings select 0, g, timestamptz '2026-01-01' + g * interval '30 minutes', 'old ' || g
        from generate_series(1, 6000) g;
    analyze readings;";

const FEW_DAYS: &str = "
    create table readings (
        writer int not null, number bigint not null, at date not null, value text,
        primary key (writer, number, at));
    create index on readings (at);
    insert into readings select 0, g, make_date(2026, 1 + g % 6, 1), 'old ' || g from generate_series(1, 6000) g;
    insert into readings values (0, 6001, '2026-05-28', 'moved to');
    analyze readings;";

/// What one writer knows to be in the table: the value of each number and day.
pub type Ledger = BTreeMap<(i64, String), String>;

pub struct Writer {
    pub client: Client,
    pub number: i32,
    pub ledger: Ledger,
    pub next: i64,
    pub done: Arc<AtomicUsize>,
    pub day: fn(i64) -> String,
}

/// The same of few days, of which a list can be made; some are in no list.
fn few_days(n: i64) -> String {
    match n % 11 {
        10 => "2031-05-05".into(),
        month => format!("2026-{:02}-01", 1 + month.min(5)),
    }
}

/// The day of a number, which tells its partition; some are in the default one.
pub fn day(n: i64) -> String {
    match n % 11 {
        10 => "2031-05-05".into(),
        month => format!("2026-{:02}-{:02}", 1 + month.min(5), 1 + n % 27),
    }
}

impl Writer {
    pub async fn go(mut self, stop: Arc<AtomicBool>) -> Ledger {
        let mut turn = i64::from(self.number);
        while !stop.load(Ordering::Relaxed) {
            turn += 1;
            self.write(turn).await;
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        self.ledger
    }

    async fn sql(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|e| panic!("a write failed: {sql}: {e:?}"));
    }

    /// A number of the ledger, the older ones too.
    fn some(&self, turn: i64) -> Option<(i64, String)> {
        let at = usize::try_from(turn).unwrap_or(0) * 7 % self.ledger.len().max(1);
        self.ledger.keys().nth(at).cloned()
    }

    /// One transaction; the ledger is written when the server has acknowledged it.
    async fn write(&mut self, turn: i64) {
        let w = self.number;
        self.next += 1;
        let n = self.next;
        let new_day = (self.day)(n);
        match turn % 9 {
            0 | 1 => {
                self.sql(&format!("insert into readings values ({w}, {n}, '{new_day}', 'v{turn}')")).await;
                self.ledger.insert((n, new_day), format!("v{turn}"));
            }
            2 => {
                let Some((n, day)) = self.some(turn) else { return };
                self.sql(&format!(
                    "insert into readings values ({w}, {n}, '{day}', 'x') on conflict (writer, number, at) \
                     do update set value = 'c{turn}'"
                ))
                .await;
                self.ledger.insert((n, day), format!("c{turn}"));
            }
            3 => {
                // A row that moves to another partition.
                let Some((n, old)) = self.some(turn) else { return };
                let to = if self.ledger.contains_key(&(n, "2026-05-28".into())) {
                    old.clone()
                } else {
                    "2026-05-28".into()
                };
                self.sql(&format!(
                    "update readings set at = '{to}', value = 'm{turn}' where writer = {w} and number = {n} and at = '{old}'"
                ))
                .await;
                self.ledger.remove(&(n, old));
                self.ledger.insert((n, to), format!("m{turn}"));
            }
            4 => {
                // A row that gets another key.
                let Some((old, day)) = self.some(turn) else { return };
                self.sql(&format!(
                    "update readings set number = {n} where writer = {w} and number = {old} and at = '{day}'"
                ))
                .await;
                if let Some(value) = self.ledger.remove(&(old, day.clone())) {
                    self.ledger.insert((n, day), value);
                }
            }
            5 => {
                let Some((n, day)) = self.some(turn) else { return };
                self.sql(&format!(
                    "delete from readings where writer = {w} and number = {n} and at = '{day}'"
                ))
                .await;
                self.ledger.remove(&(n, day));
            }
            6 => {
                let sink = self.client.copy_in("copy readings from stdin").await.unwrap();
                tokio::pin!(sink);
                let mut lines = String::new();
                let first = self.next;
                for n in first..first + 20 {
                    let day = (self.day)(n);
                    lines.push_str(&format!("{w}\t{n}\t{day}\tk{turn}\n"));
                    self.ledger.insert((n, day), format!("k{turn}"));
                }
                self.next = first + 20;
                sink.send(std::io::Cursor::new(lines.into_bytes())).await.unwrap();
                sink.close().await.unwrap();
            }
            7 => {
                // A transaction that stays open for a while, and does and undoes something on the way.
                self.sql(&format!("begin; insert into readings values ({w}, {n}, '{new_day}', 'a')")).await;
                tokio::time::sleep(Duration::from_millis(u64::try_from(turn % 30).unwrap_or(0))).await;
                self.sql(&format!(
                    "savepoint s; delete from readings where writer = {w}; rollback to savepoint s; \
                     update readings set value = 't{turn}' where writer = {w} and number = {n}; commit"
                ))
                .await;
                self.ledger.insert((n, new_day), format!("t{turn}"));
            }
            _ => {
                self.sql(&format!(
                    "begin; insert into readings values ({w}, {n}, '{new_day}', 'never'); rollback"
                ))
                .await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_is_there_and_nothing_else() {
    converted_and_back(TABLE, day, DividedBy::Range("month".parse().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_with_a_list_of_values() {
    converted_and_back(FEW_DAYS, few_days, DividedBy::List).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_with_hashes() {
    converted_and_back(TABLE, day, DividedBy::Hash(5)).await;
}

async fn converted_and_back(sql: &str, day: fn(i64) -> String, by: DividedBy) {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world.sql(sql).await;
        let table = model::QualifiedName::new("public", "readings");
        let old = "select md5(string_agg(t::text, ',' order by t::text)) from readings t where writer = 0";
        let before = world.value(old).await;
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicUsize::new(0));
        let mut writers = Vec::new();
        for number in 1..=3 {
            let client = world.another_client().await;
            if number == 3 {
                // As a subscription writes.
                client.batch_execute("set session_replication_role = replica").await.unwrap();
            }
            let writer = Writer { client, number, ledger: Ledger::new(), next: 0, done: done.clone(), day };
            writers.push(tokio::spawn(writer.go(stop.clone())));
        }
        let by = by.clone();
        let request =
            ConversionRequest { column: "at".into(), by, ..monthly(table.clone(), Method::Rewrite) };
        let more = async |count: usize| {
            let until = done.load(Ordering::Relaxed) + count;
            while done.load(Ordering::Relaxed) < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        more(50).await;
        let failed = |e: apply::Error| panic!("on {}: {}", world.major, shown(&e));
        convert(&world.target, &request).await.unwrap_or_else(failed);
        more(100).await;
        revert(&world.target, &table).await.unwrap_or_else(failed);
        more(50).await;
        convert(&world.target, &request).await.unwrap_or_else(failed);
        finish(&world.target, &table).await.unwrap_or_else(failed);
        more(50).await;
        stop.store(true, Ordering::Relaxed);
        for (number, writer) in (1..).zip(writers) {
            let ledger = writer.await.unwrap();
            let rows = world
                .client
                .query(
                    "select number, at::date::text, value from readings where writer = $1 order by 1, 2",
                    &[&number],
                )
                .await
                .unwrap();
            let found: Vec<((i64, String), String)> =
                rows.iter().map(|r| ((r.get(0), r.get(1)), r.get(2))).collect();
            let expected: Vec<_> = ledger.into_iter().collect();
            assert!(expected.len() > 20);
            assert_eq!(found, expected, "writer {number} on {}", world.major);
        }
        assert_eq!(world.value(old).await, before);
        let strays = "select count(*) from readings where writer not in (0, 1, 2, 3) or value = 'never'";
        assert_eq!(world.value(strays).await, "0");
    }
}
