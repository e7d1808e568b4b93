//! What does the server's log say of executions? It is followed elsewhere ([`LogReader`]); here what it tells takes the place of
//! what looks at sessions know less well (`crates/sampling/README.md`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::LatencyHistogram;
use postgres::catalog::SettingRow;
use postgres::catalog_query::read as read_catalog;
use postgres::{Error, Session};
use sampling::{Logging, Observed, UserStatement};

use crate::board::Chunk;
use crate::exposition::{Kind, number, sample};

/// What is told of the log.
pub(crate) const METRICS: &[(&str, Kind, &str)] = &[
    (EXECUTIONS, Kind::Counter, "Executions whose duration was taken from the server's log"),
    (
        FAILURES,
        Kind::Counter,
        "Readings of the server's log that failed, or had nothing to read durations from",
    ),
    (READINGS, Kind::Counter, "Readings of the server's log"),
];
const EXECUTIONS: &str = "pgwright_log_executions_total";
const FAILURES: &str = "pgwright_log_failures_total";
const READINGS: &str = "pgwright_log_readings_total";

/// What a log holds of a statement.
#[derive(Clone, Debug)]
pub struct LoggedStatement {
    /// Its normalised text.
    pub text: String,
    /// Whether some came by the extended protocol, whose durations do not hold the commit.
    pub extended: bool,
    /// How long executions took.
    pub durations: LatencyHistogram,
}

/// Reads what is new in a server's log.
pub trait LogReader: std::fmt::Debug + Send + Sync {
    /// What was written since it was asked last, of statements in the database; `line_prefix` is the server's `log_line_prefix`.
    ///
    /// # Errors
    /// When the log cannot be read, in words.
    fn read(&self, line_prefix: &str, database: &str) -> Result<Vec<LoggedStatement>, String>;
}

#[derive(Clone, Copy, Debug)]
struct Recognised {
    query_id: i64,
    reads_only: bool,
}

/// Statements whose texts are known again in a log.
#[derive(Debug, Default)]
pub struct KnownStatements {
    by_fingerprint: HashMap<String, Vec<Recognised>>,
}

impl KnownStatements {
    /// Remembers the whole text of a statement. One that is learnt twice, as of two users, is one of several.
    pub fn learn(&mut self, query_id: i64, text: &str) {
        let Ok(fingerprint) = sql::fingerprint(text) else { return };
        let reads_only = sql::statement_safety(text).is_ok_and(|safety| safety.reads_only);
        self.by_fingerprint.entry(fingerprint).or_default().push(Recognised { query_id, reads_only });
    }

    /// Forgets all others.
    pub fn retain(&mut self, present: &HashSet<i64>) {
        self.by_fingerprint.retain(|_, known| {
            known.retain(|k| present.contains(&k.query_id));
            !known.is_empty()
        });
    }

    /// How long executions of statements took, by `queryid`. Nothing for one that writes and of which some came by the
    /// extended protocol: their durations do not hold the commit, and the others would pass for all. A text that stands for
    /// several statements that were called is left out, because the log does not tell which one it was.
    pub fn durations(
        &self,
        logged: &[LoggedStatement],
        called: impl Fn(i64) -> bool,
    ) -> BTreeMap<i64, Option<LatencyHistogram>> {
        let mut durations = BTreeMap::new();
        for statement in logged {
            let known = sql::fingerprint(&statement.text).ok().and_then(|f| self.by_fingerprint.get(&f));
            let mut called = known.into_iter().flatten().filter(|k| called(k.query_id));
            let (Some(recognised), None) = (called.next(), called.next()) else { continue };
            let entry =
                durations.entry(recognised.query_id).or_insert_with(|| Some(LatencyHistogram::default()));
            if statement.extended && !recognised.reads_only {
                *entry = None;
            }
            if let Some(all) = entry {
                all.merge(&statement.durations);
            }
        }
        durations
    }
}

/// Follows a log, and knows the statements in it again.
#[derive(Debug)]
pub(crate) struct FollowedLog {
    reader: Arc<dyn LogReader>,
    known: KnownStatements,
    readings: u64,
    failures: u64,
    executions: u64,
}

impl FollowedLog {
    pub fn new(reader: Arc<dyn LogReader>) -> Self {
        Self { reader, known: KnownStatements::default(), readings: 0, failures: 0, executions: 0 }
    }

    /// Remembers the whole text of a statement.
    pub fn learn(&mut self, query_id: i64, text: &str) {
        self.known.learn(query_id, text);
    }

    /// Forgets what the server knows no more.
    pub fn retain(&mut self, present: &HashSet<i64>) {
        self.known.retain(present);
    }

    /// Reads what is new and puts it beside what was seen of the statements of a database.
    pub async fn add(
        &mut self,
        session: &Session,
        dbid: u32,
        calls: &HashMap<UserStatement, u64>,
        interval_ms: f64,
        seen: &mut HashMap<UserStatement, Observed>,
    ) -> Result<(), Error> {
        let settings: Vec<SettingRow> = read_catalog(session, session.version_num(), &[]).await?;
        let setting =
            |name: &str| settings.iter().find(|row| row.name == name).and_then(|row| row.setting.as_deref());
        let (reader, database) = (self.reader.clone(), session.target().database().to_owned());
        let line_prefix = setting("log_line_prefix").unwrap_or_default().to_owned();
        // Also when nothing in it helps: what was written while it did not is not read later.
        let read = tokio::task::spawn_blocking(move || reader.read(&line_prefix, &database)).await;
        self.readings += 1;
        match (read, Logging::of_settings(setting)) {
            (Ok(Ok(logged)), Some(logging)) => {
                self.executions += self.merge(&logged, logging, dbid, calls, interval_ms, seen);
            }
            _ => self.failures += 1,
        }
        Ok(())
    }

    /// Gives how many executions were taken from the log.
    fn merge(
        &self,
        logged: &[LoggedStatement],
        logging: Logging,
        dbid: u32,
        calls: &HashMap<UserStatement, u64>,
        interval_ms: f64,
        seen: &mut HashMap<UserStatement, Observed>,
    ) -> u64 {
        let mut users: HashMap<i64, Vec<UserStatement>> = HashMap::new();
        for of in calls.keys().filter(|of| of.dbid == dbid) {
            users.entry(of.query_id).or_default().push(*of);
        }
        let mut executions = 0;
        for (query_id, durations) in self.known.durations(logged, |id| users.contains_key(&id)) {
            // Nor does it tell which of several users counts.
            let (Some([of]), Some(durations)) = (users.get(&query_id).map(Vec::as_slice), durations) else {
                continue;
            };
            let of = *of;
            // Who signed in is not always who is counted.
            let signed_in: Vec<UserStatement> = seen
                .keys()
                .filter(|s| (s.dbid, s.query_id) == (dbid, of.query_id) && **s != of)
                .copied()
                .collect();
            let others: Vec<Observed> = signed_in.iter().filter_map(|s| seen.remove(s)).collect();
            let observed = seen.entry(of).or_default();
            others.iter().for_each(|other| observed.merge(other));
            observed.add_log(&durations, logging, interval_ms);
            executions += durations.samples();
        }
        executions
    }

    pub fn chunks(&self) -> Vec<Chunk> {
        let values = [self.executions, self.failures, self.readings];
        METRICS
            .iter()
            .zip(values)
            .map(|((name, kind, help), value)| {
                let mut text = String::new();
                sample(name, "", &number(value as f64), &mut text);
                Chunk::new(*name, *kind, *help, text)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nothing;

    impl LogReader for Nothing {
        fn read(&self, _: &str, _: &str) -> Result<Vec<LoggedStatement>, String> {
            Ok(Vec::new())
        }
    }

    fn of(values_ms: &[f64]) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::default();
        values_ms.iter().for_each(|v| histogram.record(*v));
        histogram
    }

    fn logged(text: &str, extended: bool, values_ms: &[f64]) -> LoggedStatement {
        LoggedStatement { text: text.into(), extended, durations: of(values_ms) }
    }

    const DBID: u32 = 5;
    const LOGGING: Logging = Logging { all_from_ms: Some(10.0), samples_others: false };

    fn user(userid: u32, query_id: i64) -> UserStatement {
        UserStatement { dbid: DBID, userid, query_id }
    }

    #[test]
    fn what_is_logged_takes_the_place_of_what_was_seen_for_who_is_counted() {
        let mut log = FollowedLog::new(Arc::new(Nothing));
        log.learn(1, "select a from t where id = $1");
        log.learn(2, "select b from t where id = $1");
        let calls = HashMap::from([(user(10, 1), 3), (user(10, 2), 1), (user(11, 2), 1)]);
        // Who signed in as another than the one that is counted.
        let seen_as =
            Observed { tail: of(&[200.0]), body: of(&[5.0, 50.0]), active: 2, ..Observed::default() };
        let mut seen = HashMap::from([(user(12, 1), seen_as)]);
        let entries = [
            logged("SELECT a FROM t WHERE id = 7", false, &[60.0, 201.0]),
            logged("select b from t where id = 7", false, &[60.0]),
            logged("select c from t", false, &[60.0]),
        ];
        assert_eq!(log.merge(&entries, LOGGING, DBID, &calls, 100.0, &mut seen), 2);
        assert_eq!(seen.len(), 1, "of two users nobody knows which, and an unknown statement is nobody's");
        let observed = &seen[&user(10, 1)];
        assert_eq!((observed.tail.samples(), observed.body.samples(), observed.active), (2, 1, 2));
        assert_eq!(log.merge(&entries, LOGGING, 6, &calls, 100.0, &mut seen), 0, "another database");
    }

    #[test]
    fn writes_without_their_commits_stay_with_what_was_seen() {
        let mut log = FollowedLog::new(Arc::new(Nothing));
        log.learn(1, "insert into t values ($1)");
        log.learn(2, "select $1");
        let calls = HashMap::from([(user(10, 1), 2), (user(10, 2), 1)]);
        let mut seen = HashMap::new();
        let entries = [
            logged("insert into t values (1)", false, &[60.0]),
            logged("insert into t values ($1)", true, &[60.0]),
            logged("select $1", true, &[60.0]),
        ];
        assert_eq!(log.merge(&entries, LOGGING, DBID, &calls, 100.0, &mut seen), 1);
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [user(10, 2)]);
        log.retain(&HashSet::from([1]));
        assert_eq!(log.merge(&entries, LOGGING, DBID, &calls, 100.0, &mut HashMap::new()), 0);
    }
}
