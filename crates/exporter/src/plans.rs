//! Which plans do the statements have that take most time, and when did they change? The server is asked seldom, for
//! few, within short limits, and without values of parameters: what it then says depends on the statement, the
//! statistics, the settings and the indexes, and on nothing that a single call brings.
//!
//! Two plans are the same when their shapes are (`crates/plan/src/render/shape.rs`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use history::{PlanSeen, Reading};
use plan::Plan;
use postgres::statistics::counters::texts;
use postgres::{Error, ExplainOptions, Session};
use sql::{ParsedStatement, StatementKind};

use crate::board::Chunk;
use crate::exposition::{Kind, label, number, sample};
use crate::options::HistoryTap;

/// The collector's name.
pub(crate) const COLLECTOR: &str = "plans";
/// How often plans are looked at.
pub(crate) const INTERVAL: Duration = Duration::from_secs(300);
/// After how long for the first time: by then it is known which statements take most time.
pub(crate) const FIRST_AFTER: Duration = Duration::from_secs(15);

/// How long the server may take for one plan.
const PLANNING: Duration = Duration::from_millis(500);
/// How long a round may take: others wait for the session. What is left comes first in the next.
const ROUND: Duration = Duration::from_secs(3);
/// What is remembered of statements beyond those that are looked at.
const REMEMBERED: usize = 1000;

pub(crate) const METRICS: &[(&str, Kind, &str)] = &[
    (
        CHANGES,
        Kind::Counter,
        "How often the statement, planned without values of parameters, was seen with another plan than before",
    ),
    (COST, Kind::Gauge, "What the planner expects the statement to cost, in its own units"),
    (PLANNED, Kind::Gauge, "Statements whose plan was asked for, by what came of it"),
];
const CHANGES: &str = "postgres_statement_plan_changes_total";
const COST: &str = "postgres_statement_plan_cost";
const PLANNED: &str = "pgwright_statements_planned";

/// The statements of the database that take most time, most first: who reads counters says it, who reads plans asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leading(Arc<Mutex<Vec<i64>>>);

impl Leading {
    fn lock(&self) -> MutexGuard<'_, Vec<i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn put(&self, queryids: Vec<i64>) {
        *self.lock() = queryids;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Planned,
    Denied,
    Failed,
}

impl Outcome {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Planned, "planned"), (Self::Denied, "denied"), (Self::Failed, "failed")];
}

#[derive(Clone, Debug)]
struct Seen {
    outcome: Outcome,
    shape_hash: Option<String>,
    cost: f64,
    changes: u64,
    /// The round in which it was last looked at.
    round: u64,
}

/// What is remembered between rounds.
#[derive(Debug)]
pub(crate) struct PlanCollector {
    leading: Leading,
    limit: usize,
    round: u64,
    search_path: Option<String>,
    /// Texts that can be planned; nothing for one that cannot.
    texts: HashMap<i64, Option<String>>,
    seen: HashMap<i64, Seen>,
}

impl PlanCollector {
    /// Looks at so many of the leading statements.
    pub fn new(leading: Leading, limit: usize) -> Self {
        Self { leading, limit, round: 0, search_path: None, texts: HashMap::new(), seen: HashMap::new() }
    }

    pub async fn collect(
        &mut self,
        session: &Session,
        tap: Option<&HistoryTap>,
    ) -> Result<Vec<Chunk>, Error> {
        let leading: Vec<i64> = self.leading.lock().iter().copied().take(self.limit).collect();
        self.round += 1;
        if self.search_path.is_none() {
            self.search_path = Some(postgres::statements::search_path(session, "\"$user\", public").await?);
        }
        self.learn_texts(session, &leading).await?;
        // Those first that were not looked at for longest.
        let mut order = leading.clone();
        order.sort_by_key(|queryid| self.seen.get(queryid).map_or(0, |seen| seen.round));
        let (began, mut found) = (Instant::now(), Vec::new());
        for queryid in order {
            if began.elapsed() > ROUND {
                break;
            }
            let Some(text) = self.texts.get(&queryid).cloned().flatten() else { continue };
            found.extend(self.look(session, queryid, &text).await?);
        }
        if let Some(tap) = tap.filter(|_| !found.is_empty()) {
            tap.send(Reading::Plans(found));
        }
        if self.seen.len() > REMEMBERED {
            self.seen.retain(|queryid, _| leading.contains(queryid));
            self.texts.retain(|queryid, _| leading.contains(queryid));
        }
        Ok(self.chunks(session.target().database(), &leading))
    }

    /// Texts are read for identifiers that are new.
    async fn learn_texts(&mut self, session: &Session, leading: &[i64]) -> Result<(), Error> {
        let new: Vec<i64> = leading.iter().filter(|id| !self.texts.contains_key(id)).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut found: HashMap<i64, String> = HashMap::new();
        texts(session, &new, |queryid, text| drop(found.insert(queryid, text))).await?;
        for queryid in new {
            // What normalising made of some texts does not parse any more, and is mended.
            let text = found.remove(&queryid).and_then(|text| {
                let parsed = ParsedStatement::parse(&text).ok()?;
                (parsed.kind() != StatementKind::Utility).then(|| parsed.text().to_owned())
            });
            self.texts.insert(queryid, text);
        }
        Ok(())
    }

    /// Asks for the plan of a statement; a plan comes back.
    async fn look(&mut self, session: &Session, queryid: i64, text: &str) -> Result<Option<PlanSeen>, Error> {
        let options = ExplainOptions {
            statement_timeout: PLANNING,
            lock_timeout: PLANNING,
            search_path: self.search_path.clone(),
            ..ExplainOptions::generic()
        };
        let planned = postgres::explain(session, text, &options).await;
        let (outcome, planned) = match planned {
            Ok(json) => match Plan::from_json(&json) {
                Ok(plan) => (Outcome::Planned, Some((json, plan))),
                Err(_) => (Outcome::Failed, None),
            },
            Err(error @ Error::ConnectionLost { .. }) => return Err(error),
            Err(Error::PrivilegeDenied { .. }) => (Outcome::Denied, None),
            Err(_) => (Outcome::Failed, None),
        };
        let round = self.round;
        let seen = self.seen.entry(queryid).or_insert(Seen {
            outcome,
            shape_hash: None,
            cost: 0.0,
            changes: 0,
            round,
        });
        (seen.outcome, seen.round) = (outcome, round);
        let Some((json, plan)) = planned else { return Ok(None) };
        let shape_hash = plan::render::shape_hash(&plan);
        seen.cost = plan::diff::total_figures(&plan).cost;
        if seen.shape_hash.as_ref().is_some_and(|before| *before != shape_hash) {
            seen.changes += 1;
        }
        seen.shape_hash = Some(shape_hash.clone());
        Ok(Some(PlanSeen {
            at: Utc::now(),
            datname: session.target().database().into(),
            queryid,
            shape_hash,
            cost: seen.cost,
            plan: json,
        }))
    }

    fn chunks(&self, datname: &str, leading: &[i64]) -> Vec<Chunk> {
        let mut texts = [String::new(), String::new(), String::new()];
        let mut leading = leading.to_vec();
        leading.sort_unstable();
        let mut counts = Outcome::ALL.map(|_| 0);
        for (queryid, seen) in leading.iter().filter_map(|id| Some((id, self.seen.get(id)?))) {
            for ((outcome, _), count) in Outcome::ALL.iter().zip(&mut counts) {
                *count += u64::from(*outcome == seen.outcome);
            }
            if seen.shape_hash.is_none() {
                continue;
            }
            let mut block = String::new();
            label("datname", datname, &mut block);
            label("queryid", &queryid.to_string(), &mut block);
            sample(CHANGES, &block, &seen.changes.to_string(), &mut texts[0]);
            sample(COST, &block, &number(seen.cost), &mut texts[1]);
        }
        for ((_, name), count) in Outcome::ALL.iter().zip(counts) {
            let mut block = String::new();
            label("datname", datname, &mut block);
            label("result", name, &mut block);
            sample(PLANNED, &block, &count.to_string(), &mut texts[2]);
        }
        METRICS
            .iter()
            .zip(texts)
            .map(|((name, kind, help), text)| Chunk::new(*name, *kind, *help, text))
            .collect()
    }
}
