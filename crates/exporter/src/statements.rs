//! What do statements cost, for how many of them is it told, and how long do they take?
//!
//! The server's counters are read without texts; those are read once for identifiers that are new.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use history::{Reading, StatementsReading};
use postgres::statistics::counters::{self, StatementCountersRow, counters, texts};
use postgres::{Error, Session};
use sampling::{Observed, UserStatement};

use crate::board::Chunk;
use crate::exposition::{Kind, label, number, sample};
use crate::fusion::{Fusion, Latencies};
use crate::latency::{self, SharedWatching};
use crate::log::{FollowedLog, LogReader};
use crate::options::HistoryTap;
use crate::ranking::{CALLS, Differences, FIGURES, Figures, Ranking, StatementKey};

/// The figures of a statement, in their order, and what is told beside them.
pub(crate) const METRICS: &[(&str, Kind, &str)] = &[
    ("postgres_statement_calls_total", Kind::Counter, "Executions of the statement since pgwright began"),
    ("postgres_statement_rows_total", Kind::Counter, "Rows that the statement returned or changed"),
    ("postgres_statement_execution_seconds_total", Kind::Counter, "Execution time without the commit"),
    (
        "postgres_statement_planning_seconds_total",
        Kind::Counter,
        "Planning time; 0 unless track_planning is on",
    ),
    ("postgres_statement_blocks_hit_total", Kind::Counter, "Blocks found in shared buffers"),
    ("postgres_statement_blocks_read_total", Kind::Counter, "Blocks not found in shared buffers"),
    ("postgres_statement_blocks_dirtied_total", Kind::Counter, "Blocks dirtied"),
    (
        "postgres_statement_blocks_written_total",
        Kind::Counter,
        "Blocks that the statement had to write itself",
    ),
    ("postgres_statement_temp_blocks_read_total", Kind::Counter, "Blocks read from temporary files"),
    ("postgres_statement_temp_blocks_written_total", Kind::Counter, "Blocks written to temporary files"),
    (
        "postgres_statement_block_read_seconds_total",
        Kind::Counter,
        "Time reading blocks, with track_io_timing",
    ),
    (
        "postgres_statement_block_write_seconds_total",
        Kind::Counter,
        "Time writing blocks, with track_io_timing",
    ),
    ("postgres_statement_wal_bytes_total", Kind::Counter, "WAL that the statement wrote"),
    ("postgres_statement_info", Kind::Gauge, "The text of the statement, as a label"),
    ("postgres_statements_tracked", Kind::Gauge, "Entries of pg_stat_statements that are visible"),
    ("postgres_statements_slow", Kind::Gauge, "Those of them whose mean execution time is above 100 ms"),
];
const INFO: usize = FIGURES;
const TRACKED: usize = FIGURES + 1;
const SLOW: usize = FIGURES + 2;

/// What those without a place are summed under, and pgwright's own statements.
const OTHER: &str = "other";
const OWN: &str = "pgwright";

/// How many users of databases have histograms of their own.
const USERS: usize = 100;

/// How much of a text becomes a label, in characters.
const TEXT_CHARS: usize = 250;
/// The mean from which a statement is slow, in seconds.
const SLOW_MEAN: f64 = 0.1;

/// What is remembered between readings.
#[derive(Debug)]
pub(crate) struct StatementCollector {
    differences: Differences,
    ranking: Ranking,
    begun: bool,
    /// Identifiers whose texts were read, and whether they are pgwright's own.
    known: HashMap<i64, bool>,
    /// The texts of those that have or had a place.
    texts: HashMap<i64, String>,
    /// The sums of pgwright's own, by database.
    own: BTreeMap<u32, Figures>,
    fusion: Fusion,
    /// The server's log, where it is followed.
    log: Option<FollowedLog>,
    /// Histograms and active seconds by database, and `queryid` or name.
    latencies: BTreeMap<(String, String), (Latencies, f64)>,
    /// Histograms by database and user.
    of_users: BTreeMap<(String, String), Latencies>,
    /// Seen, and not yet counted by the server.
    carried: HashMap<UserStatement, Observed>,
    /// The names of roles.
    roles: Arc<HashMap<u32, String>>,
    /// The names of databases.
    databases: Arc<HashMap<u32, String>>,
}

impl StatementCollector {
    pub fn new(places: usize, log: Option<Arc<dyn LogReader>>) -> Self {
        Self {
            log: log.map(FollowedLog::new),
            differences: Differences::default(),
            ranking: Ranking::new(places),
            begun: false,
            known: HashMap::new(),
            texts: HashMap::new(),
            own: BTreeMap::new(),
            fusion: Fusion::default(),
            latencies: BTreeMap::new(),
            of_users: BTreeMap::new(),
            carried: HashMap::new(),
            roles: Arc::default(),
            databases: Arc::default(),
        }
    }

    /// Reads the counters and gives everything that is known of statements.
    pub async fn collect(
        &mut self,
        session: &Session,
        sampler: &SharedWatching,
        tap: Option<&HistoryTap>,
    ) -> Result<Vec<Chunk>, Error> {
        let datname = session.target().database().to_owned();
        let (rows, reset_us) = match tap {
            Some(_) => counters_and_reset(session).await?,
            None => (counters(session).await?, None),
        };
        let (at, instant) = (Utc::now(), Instant::now());
        let texts = self.learn_texts(session, &rows, tap.is_some()).await?;
        let slow = rows.iter().filter(|r| r.calls > 0.0 && r.exec_seconds / r.calls > SLOW_MEAN).count();
        let mut names: BTreeMap<u32, String> = BTreeMap::new();
        for row in &rows {
            names.entry(row.dbid).or_insert_with(|| row.datname.clone());
        }
        let tracked = rows.len();
        let mut seen = sampler.as_ref().map(|watching| latency::take(watching));
        self.learn_names(session, &rows, seen.as_ref().map(|seen| &seen.0)).await?;
        let differences = self.differences.take(&rows, None);
        if !self.begun {
            let mut totals: HashMap<StatementKey, f64> = HashMap::new();
            for row in rows.iter().filter(|r| !self.is_own(r.queryid)) {
                *totals.entry((row.dbid, row.queryid)).or_default() += row.exec_seconds;
            }
            self.ranking.begin(&totals);
            self.begun = true;
        }
        let mut added: HashMap<StatementKey, Figures> = HashMap::new();
        let mut calls: HashMap<UserStatement, u64> = HashMap::new();
        for (key, figures) in &differences {
            let sums = if self.is_own(key.queryid) {
                self.own.entry(key.dbid).or_insert([0.0; FIGURES])
            } else {
                // Inside of functions nobody sees statements begin and end.
                if key.toplevel {
                    let of = UserStatement { dbid: key.dbid, userid: key.userid, query_id: key.queryid };
                    *calls.entry(of).or_default() += figures[CALLS] as u64;
                }
                added.entry((key.dbid, key.queryid)).or_insert([0.0; FIGURES])
            };
            sums.iter_mut().zip(figures).for_each(|(sum, value)| *sum += value);
        }
        let dbid = names.iter().find(|(_, name)| **name == datname).map(|(dbid, _)| *dbid);
        if let (Some(log), Some((seen, interval)), Some(dbid)) = (&mut self.log, &mut seen, dbid) {
            log.add(session, dbid, &calls, *interval * 1000.0, seen).await?;
        }
        if let Some(tap) = tap {
            let observed = seen.as_ref().map(|seen| seen.0.clone()).unwrap_or_default();
            let own = self.known.iter().filter(|(_, own)| **own).map(|(id, _)| *id).collect();
            let uncounted = self.uncounted(sampler, observed);
            let rows = Some(rows);
            let reading = StatementsReading { at, instant, rows, reset_us, own, texts, ..uncounted };
            tap.send(Reading::Statements(Box::new(reading)));
        }
        let before: HashSet<StatementKey> = self.ranking.members.keys().copied().collect();
        self.ranking.add(&added);
        let mut chunks = Vec::new();
        if let Some(seen) = seen {
            let stay: HashSet<StatementKey> =
                self.ranking.members.keys().filter(|k| before.contains(k)).copied().collect();
            // A series begins at zero.
            let members: HashSet<(String, String)> = self
                .ranking
                .members
                .keys()
                .filter_map(|(dbid, queryid)| Some((self.databases.get(dbid)?.clone(), queryid.to_string())))
                .collect();
            for name in &members {
                self.latencies.entry(name.clone()).or_default();
            }
            self.take_samples(seen, &calls, &stay);
            // Series of statements that lost their place end.
            self.latencies.retain(|name, _| name.1 == OTHER || members.contains(name));
            chunks.extend(latency::latency_chunks(&self.latencies, &self.of_users));
        }
        chunks.extend(self.log.iter().flat_map(FollowedLog::chunks));
        chunks.extend(self.chunks(&names, &datname, tracked, slow));
        Ok(chunks)
    }

    /// The statements of a database that take most time, most first.
    pub fn leading(&self, datname: &str) -> Vec<i64> {
        let dbid = self.databases.iter().find(|(_, name)| *name == datname).map(|(dbid, _)| *dbid);
        dbid.map(|dbid| self.ranking.leading(dbid)).unwrap_or_default()
    }

    /// Texts are read for identifiers that are new; the server reads its whole file for that, whatever their number.
    /// Given are the new texts, whole, where they are wanted.
    async fn learn_texts(
        &mut self,
        session: &Session,
        rows: &[StatementCountersRow],
        wanted: bool,
    ) -> Result<HashMap<i64, String>, Error> {
        let mut whole = HashMap::new();
        let new: HashSet<i64> =
            rows.iter().map(|r| r.queryid).filter(|id| !self.known.contains_key(id)).collect();
        if new.is_empty() {
            return Ok(whole);
        }
        let mut left = new;
        let ids: Vec<i64> = left.iter().copied().collect();
        // Nothing of pgwright's own is shown.
        let mut found: Vec<(i64, Option<String>)> = Vec::with_capacity(ids.len());
        let learn = |queryid: i64, text: String| {
            left.remove(&queryid);
            let own = text.contains("/* pgwright:");
            found.push((queryid, (!own).then(|| shortened(&text))));
            if !own {
                if let Some(log) = &mut self.log {
                    log.learn(queryid, &text);
                }
                if wanted && !text.is_empty() {
                    whole.insert(queryid, text);
                }
            }
        };
        texts(session, &ids, learn).await?;
        // Some may have been thrown out meanwhile.
        found.extend(left.into_iter().map(|queryid| (queryid, Some(String::new()))));
        for (queryid, text) in found {
            self.known.insert(queryid, text.is_none());
            if let Some(text) = text {
                self.texts.insert(queryid, text);
            }
        }
        // What is in the server no more is forgotten here as well.
        if self.known.len() > 2 * rows.len() + 1000 {
            let present: HashSet<i64> = rows.iter().map(|r| r.queryid).collect();
            self.known.retain(|id, _| present.contains(id));
            self.texts.retain(|id, _| present.contains(id));
            if let Some(log) = &mut self.log {
                log.retain(&present);
            }
        }
        Ok(whole)
    }

    /// The names of roles and databases are read when one comes up that is new.
    async fn learn_names(
        &mut self,
        session: &Session,
        rows: &[StatementCountersRow],
        seen: Option<&HashMap<UserStatement, Observed>>,
    ) -> Result<(), Error> {
        let counted = rows.iter().map(|row| (row.dbid, row.userid));
        let seen = seen.into_iter().flatten().map(|(of, _)| (of.dbid, of.userid));
        let (mut new_database, mut new_role) = (false, false);
        for (dbid, userid) in counted.chain(seen) {
            new_database |= !self.databases.contains_key(&dbid);
            new_role |= !self.roles.contains_key(&userid);
        }
        if new_role {
            self.roles = Arc::new(counters::role_names(session).await?);
        }
        if new_database {
            self.databases = Arc::new(counters::database_names(session).await?);
        }
        Ok(())
    }

    /// What sessions were seen to do and wait for, for a server that counts no statements.
    pub async fn collect_uncounted(
        &mut self,
        session: &Session,
        sampler: &SharedWatching,
        tap: Option<&HistoryTap>,
    ) -> Result<Vec<Chunk>, Error> {
        let observed = sampler.as_ref().map(|watching| latency::take(watching).0).unwrap_or_default();
        self.roles = Arc::new(counters::role_names(session).await?);
        self.databases = Arc::new(counters::database_names(session).await?);
        if let Some(tap) = tap {
            tap.send(Reading::Statements(Box::new(self.uncounted(sampler, observed))));
        }
        Ok(self.waits(sampler).into_iter().collect())
    }

    /// What active sessions waited for.
    pub fn waits(&self, sampler: &SharedWatching) -> Option<Chunk> {
        sampler.as_ref().map(|watching| latency::wait_chunk(&self.databases, watching))
    }

    fn uncounted(
        &self,
        sampler: &SharedWatching,
        observed: HashMap<UserStatement, Observed>,
    ) -> StatementsReading {
        let (look_seconds, looks, waits) =
            sampler.as_ref().map(|watching| latency::totals(watching)).unwrap_or_default();
        StatementsReading {
            at: Utc::now(),
            instant: Instant::now(),
            rows: None,
            reset_us: None,
            roles: self.roles.clone(),
            own: HashSet::new(),
            texts: HashMap::new(),
            databases: self.databases.clone(),
            observed,
            look_seconds,
            looks,
            waits,
        }
    }

    fn is_own(&self, queryid: i64) -> bool {
        self.known.get(&queryid).copied().unwrap_or(false)
    }

    fn take_samples(
        &mut self,
        (seen, interval): (HashMap<UserStatement, Observed>, f64),
        calls: &HashMap<UserStatement, u64>,
        stay: &HashSet<StatementKey>,
    ) {
        let earlier = std::mem::take(&mut self.carried);
        // Who signed in is not always who is counted.
        let callers = callers(calls);
        let mut observed: BTreeMap<UserStatement, Observed> = BTreeMap::new();
        for (of, seen) in seen.iter().chain(&earlier).filter(|(of, _)| !self.is_own(of.query_id)) {
            let of = match callers.get(&(of.dbid, of.query_id)) {
                Some((_, userid)) if !calls.contains_key(of) => UserStatement { userid: *userid, ..*of },
                _ => *of,
            };
            observed.entry(of).or_default().merge(seen);
        }
        for of in calls.keys() {
            observed.entry(*of).or_default();
        }
        for (of, observed) in observed {
            let (Some(datname), place) = (self.databases.get(&of.dbid), (of.dbid, of.query_id)) else {
                continue;
            };
            let name = if stay.contains(&place) { of.query_id.to_string() } else { OTHER.into() };
            let entry = self.latencies.entry((datname.clone(), name)).or_default();
            entry.1 += observed.active as f64 * interval;
            match calls.get(&of) {
                Some(calls) => {
                    let latencies = self.fusion.fuse(of, *calls, &observed.tail, &observed.body);
                    entry.0.add(&latencies);
                    let mut user = (datname.clone(), self.roles.get(&of.userid).cloned().unwrap_or_default());
                    if !self.of_users.contains_key(&user) && self.of_users.len() >= USERS {
                        user.1 = OTHER.into();
                    }
                    self.of_users.entry(user).or_default().add(&latencies);
                }
                // The server counts an execution when it has ended, which may be after this reading.
                // After another interval it has not, and failed.
                None if !earlier.contains_key(&of)
                    && observed.tail.samples() + observed.body.samples() > 0 =>
                {
                    let carried = Observed { active: 0, ..observed };
                    self.carried.insert(of, carried);
                }
                None => {}
            }
        }
        self.fusion.end_interval();
    }

    fn chunks(
        &mut self,
        names: &BTreeMap<u32, String>,
        datname: &str,
        tracked: usize,
        slow: usize,
    ) -> Vec<Chunk> {
        let mut texts: Vec<String> = vec![String::new(); METRICS.len()];
        let mut put = |dbid: u32, queryid: &str, figures: &Figures| {
            let Some(datname) = names.get(&dbid) else { return };
            let mut block = String::new();
            label("datname", datname, &mut block);
            label("queryid", queryid, &mut block);
            for (at, value) in figures.iter().enumerate() {
                sample(METRICS[at].0, &block, &number(*value), &mut texts[at]);
            }
        };
        for ((dbid, queryid), figures) in &self.ranking.members {
            put(*dbid, &queryid.to_string(), figures);
        }
        self.ranking.others.iter().for_each(|(dbid, figures)| put(*dbid, OTHER, figures));
        self.own.iter().for_each(|(dbid, figures)| put(*dbid, OWN, figures));
        for (dbid, queryid) in self.ranking.members.keys() {
            let (Some(datname), Some(text)) = (names.get(dbid), self.texts.get(queryid)) else { continue };
            let mut block = String::new();
            label("datname", datname, &mut block);
            label("queryid", &queryid.to_string(), &mut block);
            label("query", text, &mut block);
            sample(METRICS[INFO].0, &block, "1", &mut texts[INFO]);
        }
        let mut block = String::new();
        label("datname", datname, &mut block);
        sample(METRICS[TRACKED].0, &block, &tracked.to_string(), &mut texts[TRACKED]);
        sample(METRICS[SLOW].0, &block, &slow.to_string(), &mut texts[SLOW]);
        METRICS
            .iter()
            .zip(texts)
            .map(|((name, kind, help), text)| Chunk::new(*name, *kind, *help, text))
            .collect()
    }
}

/// Who called each statement most often.
fn callers(calls: &HashMap<UserStatement, u64>) -> HashMap<StatementKey, (u64, u32)> {
    let mut found: HashMap<StatementKey, (u64, u32)> = HashMap::new();
    for (of, calls) in calls {
        let most = found.entry((of.dbid, of.query_id)).or_insert((*calls, of.userid));
        *most = (*most).max((*calls, of.userid));
    }
    found
}

/// The counters, and when all of them began: of the same moment, or a reset in between would be counted twice.
async fn counters_and_reset(session: &Session) -> Result<(Vec<StatementCountersRow>, Option<i64>), Error> {
    let reset = async || match counters::reset_at(session).await {
        // Who may not know goes by the counters alone.
        Err(Error::PrivilegeDenied { .. }) => Ok(None),
        found => found.map(|at| at.map(|at| at.timestamp_micros())),
    };
    let mut before = reset().await?;
    loop {
        let rows = counters(session).await?;
        let after = reset().await?;
        if before == after {
            return Ok((rows, after));
        }
        before = after;
    }
}

/// On one line, and not longer than a label should be.
fn shortened(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(TEXT_CHARS) {
        Some((at, _)) => format!("{}…", line[..at].trim_end()),
        None => {
            line.shrink_to_fit();
            line
        }
    }
}
