//! Which partitions do the tables of history have, and which should they have? The grid is that of `crates/partitioning`;
//! nothing but these tables is touched.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use history::Level;
use model::partition_set::{Division, TimeUnit};
use model::{Interval, KeyKind, QualifiedName};
use partitioning::{Bound, Edge, Grid};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::error::Error;

/// The tables of a level: `history_<kind>_<level>`. Plans change seldom, and are kept as long as days are.
fn kinds(level: Level) -> &'static [&'static str] {
    match level {
        Level::Raw | Level::Minute | Level::Hour => &["interval", "statement", "wait", "value"],
        Level::Day => &["interval", "statement", "wait", "value", "plan"],
    }
}

/// At most so many partitions are made at once for one table.
const MOST_AT_ONCE: usize = 100;

/// The partitions that there are, by their table.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    present: HashMap<String, Vec<(Bound, QualifiedName)>>,
}

fn table(kind: &str, level: Level) -> QualifiedName {
    QualifiedName::new("pgwright", format!("history_{kind}_{}", level.name()))
}

/// How far a partition of a level reaches.
fn grid(level: Level) -> Result<Grid, Error> {
    let unit = match level {
        Level::Raw => TimeUnit::Day,
        Level::Minute => TimeUnit::Week,
        Level::Hour => TimeUnit::Quarter,
        Level::Day => TimeUnit::Year,
    };
    let division = Division {
        key: "at".into(),
        kind: KeyKind::TimestampTz,
        interval: Interval::Time { count: 1, unit },
    };
    Grid::new(&division, "UTC", None).map_err(unfit)
}

fn unfit(error: partitioning::Error) -> Error {
    Error::Unfit { what: "the partitions of history".into(), reason: error.to_string() }
}

impl Partitions {
    /// Reads what there is.
    pub async fn read(client: &Client) -> Result<Self, Error> {
        let doing = || Error::query("read the partitions of history");
        let rows = client
            .query_typed(include_str!("../../queries/history_partitions.sql"), &[])
            .await
            .map_err(doing())?;
        let mut found = Self::default();
        for row in &rows {
            let text: &str = row.try_get("bound").map_err(doing())?;
            let Some(bound) = Bound::parse(text, KeyKind::TimestampTz) else { continue };
            let name: String = row.try_get("name").map_err(doing())?;
            let parent: String = row.try_get("parent").map_err(doing())?;
            found.present.entry(parent).or_default().push((bound, QualifiedName::new("pgwright", name)));
        }
        Ok(found)
    }

    /// Makes the partitions that take an instant and the time after it, as far as a partition reaches. Given is how
    /// many were made.
    pub async fn ensure(&mut self, client: &Client, level: Level, at: DateTime<Utc>) -> Result<u64, Error> {
        let grid = grid(level)?;
        let from = at.timestamp_micros();
        let here = grid.at(from).map_err(unfit)?;
        let next = match &here {
            Some(part) => grid.after(part).map_err(unfit)?,
            None => None,
        };
        let ahead = next.as_ref().and_then(|part| part.bound.range()).and_then(|(lower, _)| match lower {
            Edge::At(lower) => Some(lower),
            Edge::Min | Edge::Max => None,
        });
        let parts = grid.covering(from, ahead.unwrap_or(from), MOST_AT_ONCE).map_err(unfit)?;
        let (mut sql, mut made) = (String::new(), Vec::new());
        for kind in kinds(level) {
            let parent = table(kind, level);
            let present = self.present.get(&parent.name).map_or(&[][..], Vec::as_slice);
            for part in parts.iter().filter(|part| present.iter().all(|(b, _)| !b.overlaps(&part.bound))) {
                let name = grid.name(&parent, part).map_err(unfit)?;
                sql.push_str(&format!(
                    "create table /* pgwright:history_partition */ if not exists {name} partition of {parent} {};\n",
                    part.bound.sql(KeyKind::TimestampTz)
                ));
                made.push((parent.name.clone(), part.bound.clone(), name));
            }
        }
        if made.is_empty() {
            return Ok(0);
        }
        client.batch_execute(&sql).await.map_err(Error::query("make partitions of history"))?;
        let count = made.len() as u64;
        for (parent, bound, name) in made {
            self.present.entry(parent).or_default().push((bound, name));
        }
        Ok(count)
    }

    /// Drops what is older than the retention, and notes since when the level is kept. Given is how many were dropped.
    pub async fn retire(
        &mut self,
        client: &Client,
        level: Level,
        now: DateTime<Utc>,
        keep: Duration,
    ) -> Result<u64, Error> {
        let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
        let Some(cutoff) = now.checked_sub_signed(keep) else { return Ok(0) };
        let mut old: Vec<(i64, QualifiedName)> = Vec::new();
        for kind in kinds(level) {
            let present = self.present.get(&table(kind, level).name).map_or(&[][..], Vec::as_slice);
            for (bound, name) in present {
                if let Some((_, Edge::At(upper))) = bound.range()
                    && upper <= cutoff.timestamp_micros()
                {
                    old.push((upper, name.clone()));
                }
            }
        }
        let Some(kept_from) =
            old.iter().filter_map(|(upper, _)| DateTime::from_timestamp_micros(*upper)).max()
        else {
            return Ok(0);
        };
        let doing = || Error::query("drop old partitions of history");
        client.batch_execute("begin /* pgwright:history_retire_begin */").await.map_err(doing())?;
        let done = async {
            // Who reads sees either the rows or that they are kept no more.
            client
                .query_typed(
                    "update /* pgwright:history_kept */ pgwright.history_level \
                     set kept_from = greatest(kept_from, $1) where level = $2",
                    &[(&kept_from, Type::TIMESTAMPTZ), (&level.name(), Type::TEXT)],
                )
                .await?;
            let names: Vec<String> = old.iter().map(|(_, name)| name.to_string()).collect();
            let sql = format!("drop /* pgwright:history_retire */ table if exists {}", names.join(", "));
            client.batch_execute(&sql).await
        }
        .await;
        let end = if done.is_ok() { "commit /* pgwright:history_retire_end */" } else { "rollback" };
        let ended = client.batch_execute(end).await;
        done.and(ended).map_err(doing())?;
        for parts in self.present.values_mut() {
            parts.retain(|(_, name)| old.iter().all(|(_, gone)| gone != name));
        }
        Ok(old.len() as u64)
    }
}
