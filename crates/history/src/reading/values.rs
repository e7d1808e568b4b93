//! How did a figure of the server, or what sessions wait for, go over time?

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postgres::Session;
use postgres::tokio_postgres::types::Type;
use serde::Serialize;

use super::sources::clamped;
use super::{BUCKETS_OF_ONE, Error, Known, Reader, ask, get, parameters, union};
use crate::level::{Level, Piece, Window, level_for, pieces};
use crate::series::{ACTIVE_SESSIONS, Kind, WAITS, definition};

/// A figure over time.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// In what it is told, for counters per second.
    pub unit: &'static str,
    /// What it says.
    pub help: &'static str,
    /// The window, as far as there is history.
    pub window: Window,
    /// In which buckets it was read.
    pub level: Level,
    /// A line for each database, standby, state or event that it is of, ordered by that.
    pub lines: Vec<Line>,
}

/// A line of a figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What it is of; empty for the whole server.
    pub label: String,
    /// Its points, in order; where nobody watched there is none.
    pub points: Vec<Point>,
}

/// A point of a line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// When its bucket begins.
    pub at: DateTime<Utc>,
    /// How many seconds it stands for.
    pub seconds: f64,
    /// The rate per second of a counter, the mean of a gauge.
    pub value: f64,
    /// The highest rate of an interval, or the highest value.
    pub high: f64,
}

/// What active sessions waited for.
#[derive(Clone, Debug, Serialize)]
pub struct Waits {
    /// The window, as far as there is history.
    pub window: Window,
    /// In which buckets it was read.
    pub level: Level,
    /// What was waited for, as `IO: DataFileRead`, most first; `CPU` is for nothing.
    pub events: Vec<String>,
    /// Bucket by bucket, in order; those in which nobody watched are left out.
    pub buckets: Vec<WaitBucket>,
}

/// What active sessions waited for in a bucket.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WaitBucket {
    /// When it begins.
    pub at: DateTime<Utc>,
    /// The seconds in which sessions were looked at.
    pub seconds: f64,
    /// How many sessions did so on average, in the order of the events.
    pub active_sessions: Vec<f64>,
}

/// Total and seconds, and the highest.
#[derive(Clone, Copy, Default)]
struct Sum {
    total: f64,
    seconds: f64,
    high: f64,
}

type Lines = BTreeMap<String, BTreeMap<DateTime<Utc>, Sum>>;

impl Reader {
    /// A figure of the server over time; [`crate::series::SERIES`] has the names.
    ///
    /// # Errors
    /// [`Error::NoSeries`] when there is none of that name, or when the store cannot be asked.
    pub async fn series(&self, name: &str, window: Window) -> Result<Series, Error> {
        let definition = definition(name).ok_or_else(|| Error::NoSeries { name: name.to_owned() })?;
        let session = self.session().await?;
        let known = self.known(&session).await?;
        let (window, level, pieces) = known.line_of(window);
        let mut lines = known.values(&session, definition.name, &pieces, level).await?;
        if definition.name == WAITS {
            // An event has no value where nobody waited for it.
            let sampled = known.sampled(&session, &pieces, level).await?;
            for (at, sum) in lines.values_mut().flatten() {
                sum.seconds = sampled.get(at).copied().unwrap_or(sum.seconds);
            }
        }
        let point = |(at, sum): (DateTime<Utc>, Sum)| Point {
            at,
            seconds: sum.seconds,
            value: sum.total / sum.seconds.max(f64::MIN_POSITIVE),
            high: sum.high,
        };
        Ok(Series {
            name: definition.name,
            kind: definition.kind,
            unit: definition.unit,
            help: definition.help,
            window,
            level,
            lines: lines
                .into_iter()
                .map(|(label, points)| Line { label, points: points.into_iter().map(point).collect() })
                .collect(),
        })
    }

    /// How many sessions were active, by what they waited for.
    ///
    /// # Errors
    /// When the store cannot be asked, or holds no history.
    pub async fn waits(&self, window: Window) -> Result<Waits, Error> {
        let session = self.session().await?;
        let known = self.known(&session).await?;
        let (window, level, pieces) = known.line_of(window);
        let sampled = known.sampled(&session, &pieces, level).await?;
        let lines = known.values(&session, WAITS, &pieces, level).await?;
        let mut order: Vec<(f64, String)> =
            lines.iter().map(|(event, sums)| (sums.values().map(|s| s.total).sum(), event.clone())).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let events: Vec<String> = order.into_iter().map(|(_, event)| event).collect();
        let total = |event: &String, at: &DateTime<Utc>| {
            lines.get(event).and_then(|sums| sums.get(at)).map_or(0.0, |sum| sum.total)
        };
        let buckets = sampled
            .iter()
            .map(|(at, seconds)| WaitBucket {
                at: *at,
                seconds: *seconds,
                active_sessions: events
                    .iter()
                    .map(|event| total(event, at) / seconds.max(f64::MIN_POSITIVE))
                    .collect(),
            })
            .collect();
        Ok(Waits { window, level, events, buckets })
    }
}

impl Known {
    fn line_of(&self, window: Window) -> (Window, Level, Vec<Piece>) {
        let window = clamped(window, &self.extents);
        let level = level_for(&window, BUCKETS_OF_ONE, &self.extents);
        let window = window.widened(level, &self.extents);
        (window, level, pieces(&window, level, &self.extents))
    }

    /// The seconds in which sessions were looked at, by bucket.
    pub(super) async fn sampled(
        &self,
        session: &Session,
        pieces: &[Piece],
        level: Level,
    ) -> Result<BTreeMap<DateTime<Utc>, f64>, Error> {
        let lines = self.values(session, ACTIVE_SESSIONS, pieces, level).await?;
        let seconds = lines.into_values().next().unwrap_or_default();
        Ok(seconds.into_iter().map(|(at, sum)| (at, sum.seconds)).collect())
    }

    async fn values(
        &self,
        session: &Session,
        name: &str,
        pieces: &[Piece],
        level: Level,
    ) -> Result<Lines, Error> {
        if pieces.is_empty() {
            return Ok(Lines::new());
        }
        let labels = ask(
            session,
            "history_labels",
            "select /* pgwright:history_labels */ s.series_id, s.label from pgwright.history_series s \
             where s.source_id = $1 and s.name = $2",
            &[(&self.source_id, Type::INT2), (&name, Type::TEXT)],
        )
        .await?;
        let labels: BTreeMap<i32, String> = labels
            .iter()
            .map(|row| Ok((get(row, "series_id")?, get(row, "label")?)))
            .collect::<Result<_, Error>>()?;
        let ids: Vec<i32> = labels.keys().copied().collect();
        let (rows, instants) = union("t.series_id, t.at, t.total, t.seconds, t.high", "value", pieces, 3);
        let sql = format!(
            "select /* pgwright:history_values */ u.series_id, u.at, u.total, u.seconds, u.high \
             from ({rows}) u where u.series_id = any ($2)"
        );
        let ids = (&ids as _, Type::INT4_ARRAY);
        let rows =
            ask(session, "history_values", &sql, &parameters(&self.source_id, &[ids], &instants)).await?;
        let mut lines = Lines::new();
        for row in &rows {
            let Some(label) = labels.get(&get(row, "series_id")?) else { continue };
            let line = lines.entry(label.clone()).or_default();
            let sum = line.entry(level.floor(get(row, "at")?)).or_default();
            sum.total += get::<f64>(row, "total")?;
            sum.seconds += get::<f64>(row, "seconds")?;
            sum.high = sum.high.max(get(row, "high")?);
        }
        Ok(lines)
    }
}
