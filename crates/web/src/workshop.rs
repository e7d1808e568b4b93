//! What can the program do that runs the pages? Advice and changes need programs and settings of the machine, which this
//! crate knows nothing of: the binary makes them, as its commands do.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::apply::{ApplyPlan, Preflight, UndoPlan};
use chrono::{DateTime, Utc};
use model::{Finding, Recommendation};

use crate::Failure;

/// Something that goes on while pages are answered.
pub type Task<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// Takes lines that tell how far a task is.
pub type Tell = Arc<dyn Fn(String) + Send + Sync>;

/// Makes advice and changes.
pub trait Workshop: Send + Sync + std::fmt::Debug {
    /// Reads a snapshot and recommends, as `advise` does.
    fn advise(&self, tell: Tell) -> Task<Advised>;
    /// Recommends what would help these statements, and gives up after a while.
    fn advise_on(&self, queryids: Vec<i64>, within: Duration) -> Task<Advised>;
    /// What applying a plan would run, and what speaks against it.
    fn preflight(&self, plan: ApplyPlan) -> Task<Preflight>;
    /// What taking an entry of the journal back would run.
    fn plan_undo(&self, entry_id: i64) -> Task<UndoPlan>;
    /// Makes the changes of a recommendation, as `apply --execute` does, and says what was done.
    fn apply(&self, recommendation: Recommendation, tell: Tell) -> Task<String>;
    /// Takes an entry of the journal back, as `undo --execute` does, and says what was done.
    fn undo(&self, entry_id: i64, tell: Tell) -> Task<String>;
}

/// Advice.
#[derive(Clone, Debug)]
pub struct Advised {
    /// When the snapshot was taken.
    pub advised_at: DateTime<Utc>,
    /// What is recommended, the best first.
    pub recommendations: Vec<Recommendation>,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// What could not be read or done, in sentences.
    pub notes: Vec<String>,
}

impl Advised {
    /// Takes in what another computation found, apart from what is known already.
    pub(crate) fn add(&mut self, other: &Self) {
        self.advised_at = self.advised_at.min(other.advised_at);
        for r in &other.recommendations {
            if self.recommendations.iter().all(|known| known.id != r.id) {
                self.recommendations.push(r.clone());
            }
        }
        for finding in &other.findings {
            if self.findings.iter().all(|known| known.key != finding.key) {
                self.findings.push(finding.clone());
            }
        }
        for note in &other.notes {
            if !self.notes.contains(note) {
                self.notes.push(note.clone());
            }
        }
    }

    /// What of it helps one statement.
    pub(crate) fn for_statement(&self, queryid: i64) -> Self {
        let helps = |r: &&Recommendation| {
            r.statements.iter().any(|s| s.queryid == queryid && s.expected_ms.0 <= s.before_ms().0)
        };
        let recommendations: Vec<Recommendation> =
            self.recommendations.iter().filter(helps).cloned().collect();
        let resolved = |f: &&Finding| recommendations.iter().any(|r| r.resolves.contains(&f.key));
        let findings = self.findings.iter().filter(resolved).cloned().collect();
        Self { advised_at: self.advised_at, recommendations, findings, notes: self.notes.clone() }
    }
}

/// Something that was begun.
#[derive(Clone, Debug)]
pub(crate) struct Job<T> {
    pub title: String,
    pub began_at: DateTime<Utc>,
    /// What it told, the last at the end.
    pub lines: Vec<String>,
    /// When it ended, and how.
    pub ended: Option<(DateTime<Utc>, Result<T, Failure>)>,
}

/// Jobs of a kind. There is one at a time.
#[derive(Debug)]
pub(crate) struct Bench<T> {
    job: Arc<Mutex<Option<Job<T>>>>,
    /// What the last one gave that succeeded.
    result: Arc<Mutex<Option<T>>>,
}

/// So many lines of a job are kept.
const LINES: usize = 200;

impl<T: Clone + Send + 'static> Bench<T> {
    pub fn new() -> Self {
        Self { job: Arc::default(), result: Arc::default() }
    }

    /// What the last job gave that succeeded.
    pub fn result(&self) -> Option<T> {
        lock(&self.result).clone()
    }

    /// The last job, under way or ended.
    pub fn job(&self) -> Option<Job<T>> {
        lock(&self.job).clone()
    }

    /// Begins a job; `false` when another one is under way.
    pub fn begin(&self, title: String, task: impl FnOnce(Tell) -> Task<T>) -> bool {
        {
            let mut job = lock(&self.job);
            if job.as_ref().is_some_and(|job| job.ended.is_none()) {
                return false;
            }
            *job = Some(Job { title, began_at: Utc::now(), lines: Vec::new(), ended: None });
        }
        let told = self.job.clone();
        let task = task(Arc::new(move |line| {
            if let Some(job) = lock(&told).as_mut() {
                if job.lines.len() >= LINES {
                    job.lines.remove(0);
                }
                job.lines.push(line);
            }
        }));
        let (done, succeeded) = (self.job.clone(), self.result.clone());
        tokio::spawn(async move {
            // A task of its own, so that a panic ends the job as well.
            let result = tokio::spawn(task).await.unwrap_or_else(|error| {
                Err(Failure::new("the task ended unexpectedly").detail(error.to_string()))
            });
            if let Ok(result) = &result {
                *lock(&succeeded) = Some(result.clone());
            }
            if let Some(job) = lock(&done).as_mut() {
                job.ended = Some((Utc::now(), result));
            }
        });
        true
    }
}

fn lock<T>(of: &Mutex<Option<T>>) -> MutexGuard<'_, Option<T>> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ended<T: Clone + Send + 'static>(bench: &Bench<T>) -> Job<T> {
        loop {
            match bench.job().filter(|job| job.ended.is_some()) {
                Some(job) => return job,
                None => tokio::task::yield_now().await,
            }
        }
    }

    #[tokio::test]
    async fn there_is_one_job_at_a_time_and_the_last_success_is_kept() {
        let bench = Bench::new();
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let begun = bench.begin("first".into(), |tell| {
            Box::pin(async move {
                tell("begun".into());
                let _ = wait.await;
                Ok(7)
            })
        });
        assert!(begun && !bench.begin("second".into(), |_| Box::pin(async { Ok(8) })));
        go.send(()).unwrap();
        let job = ended(&bench).await;
        assert_eq!((job.lines, job.ended.unwrap().1), (vec!["begun".to_owned()], Ok(7)));
        bench.begin("third".into(), |_| Box::pin(async { Err(Failure::new("no")) }));
        assert_eq!(ended(&bench).await.ended.unwrap().1, Err(Failure::new("no")));
        bench.begin("fourth".into(), |_| Box::pin(async { panic!("of the test") }));
        let failure = ended(&bench).await.ended.unwrap().1.unwrap_err();
        assert_eq!((failure.message.as_str(), bench.result()), ("the task ended unexpectedly", Some(7)));
    }
}
