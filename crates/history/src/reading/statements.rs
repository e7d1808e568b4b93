//! Which statements were there in a window, by what they used?

use serde::{Deserialize, Serialize};

use super::sources::{clamped, texts};
use super::{BUCKETS_OF_ALL, Error, Reader, Spent, StatementKey};
use crate::latency::Latency;
use crate::level::{Level, Window, level_for, pieces};

/// What statements are ordered by, most first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Execution time.
    #[default]
    Time,
    /// Executions.
    Calls,
    /// Mean execution time.
    Mean,
    /// Rows.
    Rows,
    /// Blocks not found in shared buffers.
    Read,
    /// Blocks of temporary files.
    Temp,
    /// WAL.
    Wal,
    /// P99, of those with most time.
    P99,
}

impl Sort {
    /// All.
    pub const ALL: [Self; 8] =
        [Self::Time, Self::Calls, Self::Mean, Self::Rows, Self::Read, Self::Temp, Self::Wal, Self::P99];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Calls => "calls",
            Self::Mean => "mean",
            Self::Rows => "rows",
            Self::Read => "read",
            Self::Temp => "temp",
            Self::Wal => "wal",
            Self::P99 => "p99",
        }
    }

    /// The order of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.name() == name)
    }

    fn value(self, figures: &super::Figures) -> f64 {
        match self {
            Self::Time | Self::P99 => figures.exec_ms,
            Self::Calls => figures.calls,
            Self::Mean => figures.mean_ms().unwrap_or(0.0),
            Self::Rows => figures.rows,
            Self::Read => figures.blocks_read,
            Self::Temp => figures.temp_blocks,
            Self::Wal => figures.wal_bytes,
        }
    }
}

/// Statements of a window.
#[derive(Clone, Debug, Serialize)]
pub struct Statements {
    /// The window, as far as there is history.
    pub window: Window,
    /// Its watched seconds.
    pub seconds: f64,
    /// In which buckets it was read.
    pub level: Level,
    /// How many statements there are.
    pub statements_total: usize,
    /// Those asked for, in the order asked for: what each used, and its text where it is known.
    pub statements: Vec<(StatementKey, Option<String>, Spent)>,
}

/// How many statements, those with most time, are looked at for the highest percentiles.
const LOOKED_AT_FOR_P99: usize = 300;

impl Reader {
    /// The first `limit` statements of a window in an order.
    ///
    /// # Errors
    /// When the store cannot be asked, or holds no history.
    pub async fn statements(&self, window: Window, sort: Sort, limit: usize) -> Result<Statements, Error> {
        let session = self.session().await?;
        let known = self.known(&session).await?;
        let window = clamped(window, &known.extents);
        let level = level_for(&window, BUCKETS_OF_ALL, &known.extents);
        let window = window.widened(level, &known.extents);
        let pieces = pieces(&window, level, &known.extents);
        let seconds: f64 = known.seconds(&session, &pieces, level).await?.values().sum();
        let mut sums = known.sums(&session, &pieces).await?;
        let total = sums.len();
        sums.sort_by(|a, b| {
            sort.value(&b.figures).total_cmp(&sort.value(&a.figures)).then_with(|| a.key.cmp(&b.key))
        });
        sums.truncate(if sort == Sort::P99 { LOOKED_AT_FOR_P99.max(limit) } else { limit });
        let ids: Vec<i32> = sums.iter().flat_map(|s| s.ids.iter().copied()).collect();
        let latencies = known.latencies(&session, &ids, &pieces).await?;
        let queryids: Vec<i64> = sums.iter().map(|s| s.key.queryid).collect();
        let texts = texts(&session, known.source_id, &queryids).await?;
        let mut statements: Vec<(StatementKey, Option<String>, Spent)> = sums
            .into_iter()
            .map(|sum| {
                let mut latency = Latency::default();
                sum.ids.iter().filter_map(|id| latencies.get(id)).for_each(|part| latency.merge(part));
                let text = texts.get(&sum.key.queryid).cloned();
                (sum.key, text, Spent::new(sum.figures, seconds, &latency))
            })
            .collect();
        if sort == Sort::P99 {
            let p99 = |spent: &Spent| spent.percentiles.p99.map_or(-1.0, |p| p.percentile.value.0);
            statements.sort_by(|a, b| p99(&b.2).total_cmp(&p99(&a.2)).then_with(|| a.0.cmp(&b.0)));
            statements.truncate(limit);
        }
        Ok(Statements { window, seconds, level, statements_total: total, statements })
    }
}
