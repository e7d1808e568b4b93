//! What has the server acknowledged, and how long did each transaction wait? A writer knows both of its own rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::{Args, connect};

/// Rows of writers begin above those that the table was filled with.
const FIRST_ID: i64 = 1_000_000_000;

/// When transactions began, and how many milliseconds they took.
#[derive(Debug, Default)]
pub struct Waits(Vec<(Instant, f64)>);

impl Waits {
    /// Notes a transaction that ends now.
    pub fn note(&mut self, began: Instant) {
        self.0.push((began, began.elapsed().as_secs_f64() * 1000.0));
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Takes in another's.
    pub fn add(&mut self, other: &Self) {
        self.0.extend(&other.0);
        self.0.sort_by(|a, b| a.1.total_cmp(&b.1));
    }

    /// The longest.
    pub fn longest(&self) -> f64 {
        self.0.iter().map(|(_, time)| *time).fold(0.0, f64::max)
    }

    /// The longest of those that were under way between two moments.
    pub fn longest_between(&self, from: Instant, to: Instant) -> f64 {
        let under_way = self
            .0
            .iter()
            .filter(|(began, time)| *began < to && *began + Duration::from_secs_f64(time / 1000.0) > from);
        under_way.map(|(_, time)| *time).fold(0.0, f64::max)
    }

    /// A percentile, from 0 to 1; of sorted times.
    pub fn percentile(&self, p: f64) -> f64 {
        let at = (self.0.len() as f64 * p) as usize;
        self.0.get(at.min(self.0.len().saturating_sub(1))).map_or(0.0, |(_, time)| *time)
    }
}

/// Sessions that write until they are told to stop.
pub struct Crew {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Writer>>,
}

/// What became of what a crew wrote.
#[derive(Debug, Default)]
pub struct Account {
    /// Rows that are not as they were acknowledged, or should not be there.
    pub lost: usize,
    /// Transactions that failed.
    pub failed: usize,
    /// How long each took.
    pub waits: Waits,
}

impl Crew {
    /// Lets so many sessions write, and gives them a second to get going.
    pub async fn begin(url: &str, args: &Args) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for number in 1..=args.writers {
            let writer = Writer::new(connect(url).await?, number, args.rate, args.months);
            writers.push(tokio::spawn(writer.go(stop.clone())));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Self { stop, writers })
    }

    /// Ends them, and compares what they know with what is there.
    pub async fn end(self, client: &Client) -> Result<Account> {
        self.stop.store(true, Ordering::Relaxed);
        let mut account = Account::default();
        for writer in self.writers {
            let writer = writer.await?;
            account.lost += writer.wrong(client).await?;
            account.failed += writer.failed;
            account.waits.add(&writer.waits);
        }
        Ok(account)
    }
}

/// A session that writes, and knows what it has written.
struct Writer {
    client: Client,
    number: i64,
    pause: Duration,
    months: i64,
    next: i64,
    /// Status and month of each of its rows.
    rows: BTreeMap<i64, (String, i64)>,
    /// Transactions that failed.
    failed: usize,
    /// How long each took.
    waits: Waits,
}

impl Writer {
    pub fn new(client: Client, number: u32, rate: u32, months: u32) -> Self {
        let number = i64::from(number);
        let pause = Duration::from_secs_f64(1.0 / f64::from(rate.max(1)));
        Self {
            client,
            number,
            pause,
            months: i64::from(months.max(1)),
            next: FIRST_ID * number,
            rows: BTreeMap::new(),
            failed: 0,
            waits: Waits::default(),
        }
    }

    /// Writes until it is told to stop, so many times a second.
    pub async fn go(mut self, stop: Arc<AtomicBool>) -> Self {
        let mut turn = 0;
        let mut due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            turn += 1;
            due += self.pause;
            tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
            if due.elapsed() > Duration::from_secs(5) {
                due = Instant::now();
            }
            self.write(turn).await;
        }
        self
    }

    async fn write(&mut self, turn: i64) {
        let month = turn % self.months;
        let at = |m: i64| format!("date_trunc('month', now()) - interval '{m} months' + interval '3 days'");
        let picked = self.rows.keys().nth(turn as usize * 13 % self.rows.len().max(1)).copied();
        let (sql, id, row) = match (turn % 5, picked) {
            (3, Some(id)) => {
                // A row that moves to another partition.
                let status = format!("moved {turn}");
                (
                    format!(
                        "update runs set created_at = {}, status = '{status}' where id = {id}",
                        at(month)
                    ),
                    id,
                    Some((status, month)),
                )
            }
            (2, Some(id)) => {
                let status = format!("changed {turn}");
                let month = self.rows.get(&id).map_or(0, |(_, m)| *m);
                (format!("update runs set status = '{status}' where id = {id}"), id, Some((status, month)))
            }
            (4, Some(id)) => (format!("delete from runs where id = {id}"), id, None),
            _ => {
                self.next += 1;
                let id = self.next;
                let sql = format!(
                    "insert into runs values ({id}, {}, -{}, 'new', 0.5, 'written')",
                    at(month),
                    self.number
                );
                (sql, id, Some(("new".to_owned(), month)))
            }
        };
        let began = Instant::now();
        let done = self.client.batch_execute(&sql).await;
        self.waits.note(began);
        match (done, row) {
            (Ok(()), Some(row)) => {
                self.rows.insert(id, row);
            }
            (Ok(()), None) => {
                self.rows.remove(&id);
            }
            (Err(_), _) => self.failed += 1,
        }
    }

    /// How many rows of the ledger are not as they were acknowledged, and how many are there that should not be.
    pub async fn wrong(&self, client: &Client) -> Result<usize> {
        let rows = client
            .query(
                "select id, status, (extract(year from age(date_trunc('month', now()), date_trunc('month', created_at))) \
                 * 12 + extract(month from age(date_trunc('month', now()), date_trunc('month', created_at))))::bigint as month \
                 from runs where model_id = -$1::bigint",
                &[&self.number],
            )
            .await?;
        let mut found = BTreeMap::new();
        let mut twice = 0;
        for row in &rows {
            let value: (String, i64) = (row.try_get("status")?, row.try_get("month")?);
            if found.insert(row.try_get::<_, i64>("id")?, value).is_some() {
                twice += 1;
            }
        }
        let missing = self.rows.iter().filter(|(id, row)| found.get(id) != Some(row)).count();
        let extra = found.keys().filter(|id| !self.rows.contains_key(id)).count();
        Ok(missing + extra + twice)
    }
}
