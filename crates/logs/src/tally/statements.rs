//! How long did which statements take?
//!
//! A statement of the extended protocol is logged in up to three steps, and one that `log_statement` announced has its duration in an
//! entry of its own. Both are put together by process; where a block of the log begins in between, the step is kept until the
//! blocks are merged.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use model::LatencyHistogram;

use crate::entry::{self, find};
use crate::fingerprint::Normalizer;
use crate::message::Step;

/// Statements that are told apart; beyond, those that took the least time are counted together.
const MAX_STATEMENTS: usize = 10_000;

/// The same within one block of a log, of which several are in memory at once.
const MAX_IN_BLOCK: usize = 5_000;

/// Longest text of a statement that is kept.
const MAX_TEXT_BYTES: usize = 8 * 1024;

/// Longest plan that is kept.
const MAX_PLAN_BYTES: usize = 256 * 1024;

/// Statements that keep a plan.
const MAX_PLANS: usize = 200;

/// Executions of a statement that are kept as examples.
const MAX_EXAMPLES: usize = 16;

/// Databases that are told apart per statement.
const MAX_DATABASES: usize = 8;

/// One execution.
#[derive(Clone, Debug)]
pub(crate) struct Execution<'a> {
    /// Whether it was a step of the extended protocol, which does not hold the commit.
    pub extended: bool,
    pub time_ms: Option<i64>,
    pub ms: f64,
    pub weight: u64,
    pub database: Cow<'a, [u8]>,
    pub user: Cow<'a, [u8]>,
    pub application: Cow<'a, [u8]>,
    pub host: Cow<'a, [u8]>,
    pub text: Cow<'a, [u8]>,
    /// DETAIL: the parameters.
    pub parameters: Cow<'a, [u8]>,
}

impl<'a> Execution<'a> {
    pub(crate) fn of(entry: &'a entry::Entry<'_>, text: &'a [u8], ms: f64, weight: u64) -> Self {
        Self {
            extended: false,
            time_ms: entry.origin.time_ms,
            ms,
            weight,
            database: Cow::Borrowed(entry.origin.database),
            user: Cow::Borrowed(entry.origin.user),
            application: Cow::Borrowed(entry.origin.application),
            host: Cow::Borrowed(entry.origin.host),
            text: Cow::Borrowed(text),
            parameters: Cow::Borrowed(&entry.detail),
        }
    }

    fn keep(&self) -> Execution<'static> {
        let owned = |bytes: &[u8]| Cow::Owned(bytes[..bytes.len().min(MAX_TEXT_BYTES)].to_vec());
        Execution {
            extended: self.extended,
            time_ms: self.time_ms,
            ms: self.ms,
            weight: self.weight,
            database: owned(&self.database),
            user: owned(&self.user),
            application: owned(&self.application),
            host: owned(&self.host),
            text: owned(&self.text),
            parameters: owned(&self.parameters),
        }
    }

    /// Slower first, then earlier, then by text: the same whatever the order of counting.
    fn before(&self, other: &Execution<'_>) -> std::cmp::Ordering {
        other
            .ms
            .total_cmp(&self.ms)
            .then_with(|| self.time_ms.cmp(&other.time_ms))
            .then_with(|| self.text.cmp(&other.text))
    }
}

/// One statement.
#[derive(Clone, Default)]
pub(crate) struct StatementTally {
    pub text: Vec<u8>,
    pub durations: LatencyHistogram,
    /// Those of the extended protocol.
    pub extended: u64,
    /// Logged, without a duration.
    pub unmeasured: u64,
    pub parse_us: u64,
    pub bind_us: u64,
    pub slowest: Option<Box<Execution<'static>>>,
    pub databases: Vec<(Vec<u8>, u64)>,
    pub errors: u64,
    pub temporary_files: u64,
    pub temporary_bytes: u64,
    pub lock_waits: u64,
    pub lock_wait_us: u64,
    pub planned: LatencyHistogram,
    pub plan: Option<(f64, Vec<u8>)>,
    /// By their hash.
    pub examples: BTreeMap<u64, Example>,
}

/// A text that was sent, with the values of its parameters.
#[derive(Clone)]
pub(crate) struct Example {
    pub text: Vec<u8>,
    pub parameters: Vec<u8>,
    pub database: Vec<u8>,
    pub times: u64,
}

impl StatementTally {
    /// Keeps those with the smallest hashes, which is a fair sample of all different ones and the same whatever the order
    /// of counting; one that is kept was kept from its first time on, so that its number is true.
    fn keep(&mut self, hash: u64, example: Example) {
        match self.examples.entry(hash) {
            Entry::Occupied(mut known) => known.get_mut().times += example.times,
            Entry::Vacant(place) => {
                place.insert(example);
            }
        }
        if self.examples.len() > MAX_EXAMPLES {
            self.examples.pop_last();
        }
    }
}

/// What a process is in the middle of.
#[derive(Clone, Copy, Default)]
struct Session {
    /// What it announced.
    announced: Option<u128>,
    /// What it parsed and bound, and how long that took.
    prepared: Option<(u128, f64)>,
}

/// Keys are hashes already.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = twox_hash::XxHash64::oneshot(self.0, bytes);
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }

    fn write_u64(&mut self, backend: u64) {
        // A multiplication spreads process ids over the bits that the table looks at (Knuth, volume 3, 6.4).
        self.0 = backend.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

type ByKey<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// Texts whose statement is remembered.
const REMEMBERED: usize = 1024;

/// All statements.
#[derive(Default)]
pub(crate) struct Statements {
    pub by_key: ByKey<u128, StatementTally>,
    /// All executions.
    pub all: LatencyHistogram,
    /// The slowest executions, slowest first, with their statement.
    pub slowest: Vec<(u128, Execution<'static>)>,
    /// Durations whose statement is not in the log.
    pub unnamed: LatencyHistogram,
    /// What was counted together: statements and their executions.
    pub beyond: u64,
    pub beyond_durations: LatencyHistogram,
    plans: usize,
    /// The hash of a text and its statement, at a place that depends on the hash: clients send the same texts again and again.
    remembered: Vec<(u128, u128)>,
    sessions: ByKey<u64, Session>,
    /// Per process, what came before anything else of it: an execution, with its statement unless that is not known.
    heads: ByKey<u64, (Option<u128>, Execution<'static>)>,
}

impl Statements {
    /// The statement of a text.
    pub(crate) fn key_of(&mut self, text: &[u8], normalizer: &mut Normalizer) -> u128 {
        let hash = twox_hash::XxHash3_128::oneshot(text);
        let place = hash as usize % REMEMBERED;
        if self.remembered.is_empty() {
            self.remembered = vec![(0, 0); REMEMBERED];
        }
        let (remembered, key) = self.remembered[place];
        if remembered == hash && self.by_key.contains_key(&key) {
            return key;
        }
        let normal = normalizer.normalize(text);
        let key = twox_hash::XxHash3_128::oneshot(normal);
        self.by_key.entry(key).or_insert_with(|| StatementTally {
            text: normal[..normal.len().min(MAX_TEXT_BYTES)].to_vec(),
            ..StatementTally::default()
        });
        self.remembered[place] = (hash, key);
        if self.by_key.len() > MAX_IN_BLOCK {
            self.put_together(MAX_IN_BLOCK / 2, key);
        }
        key
    }

    /// The statement that an entry belongs to (STATEMENT).
    pub(crate) fn of_entry(
        &mut self,
        entry: &entry::Entry<'_>,
        normalizer: &mut Normalizer,
    ) -> Option<&mut StatementTally> {
        if entry.statement.is_empty() {
            return None;
        }
        let key = self.key_of(&entry.statement, normalizer);
        self.by_key.get_mut(&key)
    }

    /// A process did something: what comes later of it needs nothing from before.
    pub(crate) fn see(&mut self, backend: Option<u64>) {
        let Some(backend) = backend else { return };
        *self.sessions.entry(backend).or_default() = Session::default();
    }

    /// A process ended.
    pub(crate) fn forget(&mut self, backend: Option<u64>) {
        // It stays known, or its number's next bearer would look for what came before.
        self.see(backend);
    }

    /// A statement was logged before it ran.
    pub(crate) fn announce(
        &mut self,
        backend: Option<u64>,
        entry: &entry::Entry<'_>,
        text: &[u8],
        normalizer: &mut Normalizer,
    ) {
        let key = self.key_of(text, normalizer);
        if let Some(backend) = backend {
            self.sessions.insert(backend, Session { announced: Some(key), prepared: None });
        }
        if let Some(statement) = self.by_key.get_mut(&key) {
            statement.unmeasured += 1;
            count_database(&mut statement.databases, entry.origin.database, 1);
        }
    }

    /// A duration without a text: that of the statement that was announced.
    pub(crate) fn claim<'a>(
        &mut self,
        backend: Option<u64>,
        execution: Execution<'a>,
    ) -> Option<(u128, Execution<'a>)> {
        let Some(backend) = backend else {
            self.unnamed.record_weighted(execution.ms, execution.weight);
            return None;
        };
        match self.sessions.get_mut(&backend) {
            Some(session) => match session.announced.take() {
                Some(key) => {
                    self.measured(key);
                    Some((key, execution))
                }
                None => {
                    self.unnamed.record_weighted(execution.ms, execution.weight);
                    None
                }
            },
            None => {
                self.see(Some(backend));
                self.heads.insert(backend, (None, execution.keep()));
                None
            }
        }
    }

    /// One that was counted as unmeasured has its duration now.
    fn measured(&mut self, key: u128) {
        if let Some(statement) = self.by_key.get_mut(&key) {
            statement.unmeasured = statement.unmeasured.saturating_sub(1);
        }
    }

    /// A step before an execution.
    pub(crate) fn prepare(&mut self, backend: Option<u64>, key: u128, step: Step, ms: f64, weight: u64) {
        if let Some(statement) = self.by_key.get_mut(&key) {
            let total = if step == Step::Parse { &mut statement.parse_us } else { &mut statement.bind_us };
            *total += (ms * 1000.0).round() as u64 * weight;
        }
        let Some(backend) = backend else { return };
        let session = self.sessions.entry(backend).or_default();
        let before = session.prepared.filter(|p| p.0 == key).map_or(0.0, |p| p.1);
        *session = Session { announced: None, prepared: Some((key, before + ms)) };
    }

    /// An execution took what was logged of it and the steps before; the first of a process waits for those.
    pub(crate) fn complete<'a>(
        &mut self,
        backend: Option<u64>,
        key: u128,
        mut execution: Execution<'a>,
    ) -> Option<Execution<'a>> {
        // Without a process id nobody knows which steps belong together.
        let Some(backend) = backend else { return Some(execution) };
        match self.sessions.get_mut(&backend) {
            Some(session) => {
                let before = std::mem::take(session).prepared.filter(|p| p.0 == key).map_or(0.0, |p| p.1);
                execution.ms += before;
                Some(execution)
            }
            None => {
                self.see(Some(backend));
                self.heads.insert(backend, (Some(key), execution.keep()));
                None
            }
        }
    }

    /// Keeps a text that was sent as an example of its statement.
    pub(crate) fn example(&mut self, entry: &entry::Entry<'_>, text: &[u8], normalizer: &mut Normalizer) {
        if text.len() > MAX_TEXT_BYTES || entry.detail.len() > MAX_TEXT_BYTES {
            return;
        }
        let key = self.key_of(text, normalizer);
        let Some(statement) = self.by_key.get_mut(&key) else { return };
        let seed = twox_hash::XxHash64::oneshot(0, &entry.detail);
        let hash = twox_hash::XxHash64::oneshot(seed, text);
        if statement.examples.len() == MAX_EXAMPLES
            && statement.examples.last_key_value().is_some_and(|(last, _)| hash > *last)
        {
            return;
        }
        statement.keep(
            hash,
            Example {
                text: text.to_vec(),
                parameters: entry.detail.to_vec(),
                database: entry.origin.database.to_vec(),
                times: 1,
            },
        );
    }

    /// A plan of auto_explain.
    pub(crate) fn plan(
        &mut self,
        ms: f64,
        text: &[u8],
        entry: &entry::Entry<'_>,
        normalizer: &mut Normalizer,
    ) {
        let Some(query) = query_text(text) else { return };
        let key = self.key_of(&query, normalizer);
        let may_keep = self.plans < MAX_PLANS;
        let Some(statement) = self.by_key.get_mut(&key) else { return };
        statement.planned.record(ms);
        count_database(&mut statement.databases, entry.origin.database, 0);
        if statement.plan.as_ref().is_none_or(|(slowest, _)| ms > *slowest) {
            if statement.plan.is_none() {
                if !may_keep {
                    return;
                }
                self.plans += 1;
            }
            if text.len() <= MAX_PLAN_BYTES {
                statement.plan = Some((ms, text.to_vec()));
            }
        }
    }

    /// Counts an execution.
    pub(crate) fn record(&mut self, key: u128, execution: &Execution<'_>, slowest: usize) {
        self.all.record_weighted(execution.ms, execution.weight);
        match self.by_key.get_mut(&key) {
            Some(statement) => {
                statement.durations.record_weighted(execution.ms, execution.weight);
                statement.extended += if execution.extended { execution.weight } else { 0 };
                count_database(&mut statement.databases, &execution.database, execution.weight);
                if statement.slowest.as_ref().is_none_or(|s| execution.before(s).is_lt()) {
                    statement.slowest = Some(Box::new(execution.keep()));
                }
            }
            None => self.beyond_durations.record_weighted(execution.ms, execution.weight),
        }
        if self.slowest.len() < slowest || self.slowest.last().is_some_and(|s| execution.before(&s.1).is_lt())
        {
            let at = self.slowest.partition_point(|s| s.1.before(execution).is_le());
            self.slowest.insert(at, (key, execution.keep()));
            self.slowest.truncate(slowest);
        }
    }

    /// Counts so many, those that took the least time, together, but for one of them.
    fn put_together(&mut self, number: usize, but: u128) {
        let mut order: Vec<(f64, u128)> =
            self.by_key.iter().map(|(k, s)| (s.durations.sum().0.max(s.planned.sum().0), *k)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (_, key) in order.into_iter().take(number).filter(|(_, k)| *k != but) {
            if let Some(statement) = self.by_key.remove(&key) {
                self.beyond += 1;
                self.beyond_durations.merge(&statement.durations);
                self.plans -= usize::from(statement.plan.is_some());
            }
        }
    }

    /// Adds the statements of the next part of the log, and gives the executions that are complete now.
    pub(crate) fn merge(&mut self, later: Self, slowest: usize) -> Vec<(u128, Execution<'static>)> {
        self.all.merge(&later.all);
        self.unnamed.merge(&later.unnamed);
        self.beyond += later.beyond;
        self.beyond_durations.merge(&later.beyond_durations);
        for (key, other) in later.by_key {
            self.add(key, other);
        }
        self.plans = self.by_key.values().filter(|s| s.plan.is_some()).count();
        if self.by_key.len() > MAX_STATEMENTS {
            let most = self.by_key.len() - MAX_STATEMENTS / 2;
            self.put_together(most, 0);
        }
        self.slowest.extend(later.slowest);
        self.slowest.sort_by(|a, b| a.1.before(&b.1));
        self.slowest.truncate(slowest);
        let mut complete = Vec::new();
        for (backend, (key, mut execution)) in later.heads {
            let Some(session) = self.sessions.get_mut(&backend) else {
                self.heads.insert(backend, (key, execution));
                continue;
            };
            let session = std::mem::take(session);
            match (key, session.announced) {
                (Some(key), _) => {
                    execution.ms += session.prepared.filter(|p| p.0 == key).map_or(0.0, |p| p.1);
                    complete.push((key, execution));
                }
                (None, Some(key)) => {
                    self.measured(key);
                    complete.push((key, execution));
                }
                (None, None) => self.unnamed.record_weighted(execution.ms, execution.weight),
            }
        }
        self.sessions.extend(later.sessions);
        // Maps have no order of their own, and sums of decimals depend on it.
        complete.sort_by(|a, b| a.1.before(&b.1).then(a.0.cmp(&b.0)));
        complete
    }

    fn add(&mut self, key: u128, other: StatementTally) {
        let Some(statement) = self.by_key.get_mut(&key) else {
            self.by_key.insert(key, other);
            return;
        };
        statement.durations.merge(&other.durations);
        statement.planned.merge(&other.planned);
        statement.extended += other.extended;
        statement.unmeasured += other.unmeasured;
        statement.parse_us += other.parse_us;
        statement.bind_us += other.bind_us;
        statement.errors += other.errors;
        statement.temporary_files += other.temporary_files;
        statement.temporary_bytes += other.temporary_bytes;
        statement.lock_waits += other.lock_waits;
        statement.lock_wait_us += other.lock_wait_us;
        for (hash, example) in other.examples {
            statement.keep(hash, example);
        }
        for (database, count) in other.databases {
            count_database(&mut statement.databases, &database, count);
        }
        let slower = other.slowest.filter(|o| statement.slowest.as_ref().is_none_or(|s| o.before(s).is_lt()));
        statement.slowest = slower.or(statement.slowest.take());
        let longer =
            other.plan.filter(|(ms, _)| statement.plan.as_ref().is_none_or(|(slowest, _)| ms > slowest));
        statement.plan = longer.or(statement.plan.take());
    }

    /// Gives what waited for a part of the log that did not come.
    pub(crate) fn finish(&mut self) -> Vec<(u128, Execution<'static>)> {
        let mut complete = Vec::new();
        for (key, execution) in std::mem::take(&mut self.heads).into_values() {
            match key {
                Some(key) => complete.push((key, execution)),
                None => self.unnamed.record_weighted(execution.ms, execution.weight),
            }
        }
        complete.sort_by(|a, b| a.1.before(&b.1).then(a.0.cmp(&b.0)));
        complete
    }
}

fn count_database(databases: &mut Vec<(Vec<u8>, u64)>, name: &[u8], count: u64) {
    if name.is_empty() {
        return;
    }
    if let Some(known) = databases.iter_mut().find(|d| d.0 == name) {
        known.1 += count;
    } else if databases.len() < MAX_DATABASES {
        databases.push((name.to_vec(), count));
    }
}

/// The statement in front of a plan: `Query Text:` in the text format, the member of that name in JSON.
fn query_text(plan: &[u8]) -> Option<Cow<'_, [u8]>> {
    let start = plan.trim_ascii_start();
    if start.first() == Some(&b'{') {
        let text = String::from_utf8_lossy(start);
        let value: serde_json::Value = serde_json::from_str(&text).ok()?;
        return value.get("Query Text").and_then(|q| q.as_str()).map(|q| Cow::Owned(q.as_bytes().to_vec()));
    }
    let text = start.strip_prefix(b"Query Text: ")?;
    // The plan begins at the first line with a cost: texts of statements have no such line.
    let mut end = 0;
    for line in text.split_inclusive(|b| *b == b'\n') {
        let is_plan = find(line, b"  (cost=").is_some()
            || line.trim_ascii_start().starts_with(b"Query Parameters:")
            || line.trim_ascii_start().starts_with(b"Query Identifier:");
        if is_plan {
            break;
        }
        end += line.len();
    }
    Some(Cow::Borrowed(text[..end].trim_ascii_end()))
}
