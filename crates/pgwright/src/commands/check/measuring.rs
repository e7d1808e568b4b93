//! How is a statement measured so that it gives the same figures every time? Without parallel workers and JIT, one
//! run dropped, pages counted whether they were cached or not; the run that touched least counts.

use std::path::Path;
use std::time::Duration;

use postgres::{ExplainOptions, SearchPath, Session, SessionOptions, Target};
use serde_json::Value;

use crate::commands::Context;
use crate::commands::explain::safety;
use crate::error::CommandError;

/// A statement with its name.
pub(super) struct Query {
    /// The number under which it is stored: its queryid, or one made from its name.
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) text: String,
}

/// What a statement did.
pub(super) struct Run {
    /// `{"Plan": …}` of the run that touched least, or of a plan alone.
    pub(super) explain: Value,
    /// Milliseconds of all runs that count.
    pub(super) times_ms: Vec<f64>,
    /// Why it was only planned.
    pub(super) not_run: Option<String>,
}

/// A session that measures.
pub(super) struct Runner {
    session: Session,
    timeout: Duration,
}

/// The statements of a file: each goes by the `-- name: x` before it, or by its number.
pub(super) fn queries(path: &Path, text: &str) -> Result<Vec<Query>, CommandError> {
    let statements = sql::statements(text).map_err(|e| {
        let mut error = CommandError::new(format!("{}: {e}", path.display()));
        (error.detail, error.hint) = (e.detail(), e.hint());
        error
    })?;
    let mut all: Vec<Query> = Vec::new();
    for (number, statement) in (1..).zip(statements) {
        let named = statement.lines().find_map(|l| l.trim().strip_prefix("-- name:"));
        let name = named.map_or_else(|| format!("statement {number}"), |n| n.trim().to_owned());
        if all.iter().any(|q| q.name == name) {
            return Err(CommandError::new(format!("{} names two statements \"{name}\"", path.display())));
        }
        all.push(Query { id: number_of(&name), text: statement.to_owned(), name });
    }
    Ok(all)
}

/// A number that follows from a name (FNV-1a).
fn number_of(name: &str) -> i64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    i64::from_ne_bytes(hash.to_ne_bytes())
}

impl Runner {
    pub(super) async fn connect(
        context: &Context,
        target: &Target,
        search_path: Option<String>,
        timeout: Duration,
    ) -> Result<Self, CommandError> {
        let options = SessionOptions {
            search_path: search_path.map_or(SearchPath::RoleDefault, SearchPath::Set),
            statement_timeout: Some(timeout),
            ..context.planning()
        };
        let session = target.connect(&options).await?;
        session
            .batch_execute(
                "SET /* pgwright:check */ max_parallel_workers_per_gather = 0; SET /* pgwright:check */ jit = off",
            )
            .await
            .map_err(|e| postgres::Error::from_query("check", &e))?;
        Ok(Self { session, timeout })
    }

    /// Why a statement is not run; `None` when it is.
    async fn objection(&self, text: &str) -> Result<Option<String>, CommandError> {
        if !sql::ParsedStatement::parse(text)?.parameters().is_empty() {
            return Ok(Some("it has parameters".into()));
        }
        safety::objection(&self.session, text).await
    }

    async fn once(&self, text: &str, analyze: bool) -> Result<Value, CommandError> {
        let base = if analyze { ExplainOptions::analyze() } else { ExplainOptions::default() };
        let options =
            ExplainOptions { timing: false, verbose: true, statement_timeout: self.timeout, ..base };
        Ok(postgres::explain(&self.session, text, &options).await?)
    }

    /// Measures a statement; one that does more than read is planned only.
    pub(super) async fn measure(&self, text: &str, runs: usize) -> Result<Run, CommandError> {
        if let Some(reason) = self.objection(text).await? {
            return self.planned(text, reason).await;
        }
        // It sets hint bits and fills the cache.
        self.once(text, true).await?;
        let mut all = Vec::new();
        for _ in 0..runs.max(1) {
            all.push(self.once(text, true).await?);
        }
        Ok(best(all))
    }

    async fn planned(&self, text: &str, reason: String) -> Result<Run, CommandError> {
        Ok(Run { explain: self.once(text, false).await?, times_ms: Vec::new(), not_run: Some(reason) })
    }
}

/// Measures a statement on two servers by turns.
pub(super) async fn by_turns(
    first: &Runner,
    second: &Runner,
    text: &str,
    runs: usize,
) -> (Result<Run, CommandError>, Result<Run, CommandError>) {
    let (a, b) = (first.objection(text).await, second.objection(text).await);
    let reason = match (a, b) {
        (Err(e), other) => return (Err(e), other.map(|_| best(Vec::new()))),
        (_, Err(e)) => return (first.planned(text, "it fails on the other side".into()).await, Err(e)),
        (Ok(a), Ok(b)) => a.or(b),
    };
    if let Some(reason) = reason {
        return (first.planned(text, reason.clone()).await, second.planned(text, reason).await);
    }
    let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
    for round in 0..=runs.max(1) {
        for (runner, all) in [(first, &mut firsts), (second, &mut seconds)] {
            all.push((round, runner.once(text, true).await));
        }
    }
    let collected = |all: Vec<(usize, Result<Value, CommandError>)>| {
        let values: Result<Vec<Value>, CommandError> =
            all.into_iter().filter(|(round, r)| *round > 0 || r.is_err()).map(|(_, r)| r).collect();
        values.map(best)
    };
    (collected(firsts), collected(seconds))
}

/// Of several runs the one that touched least.
fn best(all: Vec<Value>) -> Run {
    let number = |v: &Value, pointer: &str| v.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);
    let pages = |v: &Value| {
        ["Shared Hit", "Shared Read", "Local Hit", "Local Read", "Temp Read", "Temp Written"]
            .iter()
            .map(|k| number(v, &format!("/Plan/{k} Blocks")))
            .sum::<f64>()
    };
    let times_ms = all.iter().map(|v| number(v, "/Execution Time")).collect();
    let explain = all.into_iter().min_by(|a, b| pages(a).total_cmp(&pages(b))).unwrap_or_default();
    Run { explain, times_ms, not_run: None }
}
