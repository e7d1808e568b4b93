//! How well were promises kept so far? What was promised of each index and what was measured, kept in
//! the database per kind of index and told beside new advice. The figures are shown; they change no
//! cost.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use model::{Change, QualifiedName};
use postgres::Target;
use serde::Serialize;
use tokio_postgres::Client;

use super::figures::LEAST_CALLS;
use super::{MeasuredStatement, Verification};
use crate::action::{Action, IndexShape, PartitionChange};
use crate::error::Error;
use crate::journal::{JournalEntry, JournalStep, Status};
use crate::worker::open_journal_session;

/// What was measured of all indexes of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindRecord {
    /// The kind, for instance `covering btree`.
    pub kind: String,
    /// How many indexes of it had statements that ran.
    pub indexes: usize,
    /// How many calls that rests on.
    pub calls: i64,
    /// The time that those calls were promised to save, in milliseconds.
    pub promised_ms: f64,
    /// The time that they saved, in milliseconds; negative when they took longer.
    pub saved_ms: f64,
    /// The one divided by the other.
    pub share: f64,
    /// The real size of an index divided by the predicted one, the median of those that are known.
    pub size_ratio: Option<f64>,
    /// The real time of building divided by the predicted one, the median of those that are known.
    pub build_ratio: Option<f64>,
}

/// What was measured so far on a database, per kind of index; nothing when nothing was.
///
/// # Errors
/// When the server cannot be asked.
pub async fn track_record(target: &Target) -> Result<Vec<KindRecord>, Error> {
    let session = open_journal_session(target).await?;
    let doing = || Error::query("read what was measured");
    // Version 2 of the schema brought the table.
    let there = session
        .query_one(
            "select /* pgwright:measured_index_there */ \
               pg_catalog.to_regclass('pgwright.measured_index') is not null as there",
            &[],
        )
        .await
        .and_then(|row| row.try_get::<_, bool>("there"))
        .map_err(doing())?;
    if !there {
        return Ok(Vec::new());
    }
    let rows = session
        .query(
            "select /* pgwright:measured_index */ kind, calls, promised_ms, saved_ms, \
               predicted_bytes::double precision as predicted_bytes, \
               real_bytes::double precision as real_bytes, predicted_build_ms, real_build_ms \
             from pgwright.measured_index order by kind collate \"C\", entry_id",
            &[],
        )
        .await
        .map_err(doing())?;
    let mut by_kind: BTreeMap<String, Vec<Measured>> = BTreeMap::new();
    for row in &rows {
        let read = || -> Result<(String, Measured), tokio_postgres::Error> {
            Ok((
                row.try_get("kind")?,
                Measured {
                    calls: row.try_get("calls")?,
                    promised_ms: row.try_get("promised_ms")?,
                    saved_ms: row.try_get("saved_ms")?,
                    bytes: (row.try_get("predicted_bytes")?, row.try_get("real_bytes")?),
                    build_ms: (row.try_get("predicted_build_ms")?, row.try_get("real_build_ms")?),
                },
            ))
        };
        let (kind, measured) = read().map_err(doing())?;
        by_kind.entry(kind).or_default().push(measured);
    }
    Ok(by_kind.into_iter().filter_map(|(kind, all)| summary(kind, &all)).collect())
}

/// One row of the record.
#[derive(Clone, Debug, Default)]
struct Measured {
    calls: i64,
    promised_ms: f64,
    saved_ms: f64,
    /// Predicted and real.
    bytes: (Option<f64>, Option<f64>),
    /// Predicted and real.
    build_ms: (Option<f64>, Option<f64>),
}

fn summary(kind: String, all: &[Measured]) -> Option<KindRecord> {
    let used: Vec<&Measured> = all.iter().filter(|m| m.calls > 0 && m.promised_ms > 0.0).collect();
    if used.is_empty() {
        return None;
    }
    let promised_ms: f64 = used.iter().map(|m| m.promised_ms).sum();
    let saved_ms: f64 = used.iter().map(|m| m.saved_ms).sum();
    Some(KindRecord {
        kind,
        indexes: used.len(),
        calls: used.iter().map(|m| m.calls).sum(),
        promised_ms,
        saved_ms,
        share: saved_ms / promised_ms,
        size_ratio: median_ratio(all.iter().map(|m| m.bytes)),
        build_ratio: median_ratio(all.iter().map(|m| m.build_ms)),
    })
}

fn median_ratio(pairs: impl Iterator<Item = (Option<f64>, Option<f64>)>) -> Option<f64> {
    let mut ratios: Vec<f64> = pairs
        .filter_map(|(predicted, real)| predicted.filter(|p| *p > 0.0).zip(real).map(|(p, r)| r / p))
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied()
}

/// An index that an entry made.
struct MadeIndex<'e> {
    name: QualifiedName,
    kind: String,
    steps: Vec<&'e JournalStep>,
}

/// What a kind is called: what makes it more than the plain index, then the access method.
fn kind_of(shape: &IndexShape, partitioned: bool) -> String {
    let mut words = Vec::new();
    for (word, is) in [
        ("partitioned", partitioned),
        ("unique", shape.unique),
        ("partial", shape.partial),
        ("expression", shape.columns.iter().any(Option::is_none)),
        ("covering", shape.columns.len() > shape.key_count),
    ] {
        if is {
            words.push(word);
        }
    }
    words.push(&shape.access_method);
    words.join(" ")
}

fn made_by(entry: &JournalEntry) -> Result<Vec<MadeIndex<'_>>, Error> {
    let mut made: Vec<MadeIndex<'_>> = Vec::new();
    let mut parts = Vec::new();
    for step in entry.forward_steps().filter(|s| s.status == Status::Done) {
        match step.action()? {
            Action::Change(Change::CreateIndex { index }) => made.push(MadeIndex {
                name: index.qualified_name(),
                kind: kind_of(&IndexShape::of(&index), false),
                steps: vec![step],
            }),
            Action::Partition(
                PartitionChange::CreateParentIndex { root, index }
                | PartitionChange::CreateOverPartitions { root, index, .. },
            ) if root.index == index.name => made.push(MadeIndex {
                name: index.name,
                kind: kind_of(&index.shape, true),
                steps: vec![step],
            }),
            Action::Partition(part) => {
                if let Some(root) = Action::Partition(part).root() {
                    parts.push((root.index.clone(), step));
                }
            }
            Action::Change(_) | Action::Set(_) => {}
        }
    }
    for (root, step) in parts {
        if let Some(whole) = made.iter_mut().find(|m| m.name == root) {
            whole.steps.push(step);
        }
    }
    Ok(made)
}

/// Keeps what was measured of the indexes of an entry; a later measurement takes the place of an
/// earlier one, except of the size, which is that of the index when it was new.
pub(super) async fn keep(
    client: &Client,
    entry: &JournalEntry,
    verification: &Verification,
) -> Result<(), Error> {
    let made = made_by(entry)?;
    let alone = made.len() == 1;
    for index in &made {
        let Some(found) = verification.indexes.iter().find(|i| i.name == index.name) else { continue };
        let gain = gain_of(&index.name, &verification.statements);
        let price = &entry.promised.price;
        // What was predicted of several together says nothing of one of them.
        let predicted_bytes =
            (alone && price.bytes.0 > 0).then(|| i64::try_from(price.bytes.0).unwrap_or(i64::MAX));
        let predicted_build_ms = (alone && price.build_ms.0 > 0.0).then_some(price.build_ms.0);
        let real_bytes = found.valid.then(|| i64::try_from(found.bytes.0).unwrap_or(i64::MAX));
        client
            .execute(
                "insert /* pgwright:measured_index_keep */ into pgwright.measured_index as m \
                   (entry_id, schema_name, index_name, kind, calls, promised_ms, saved_ms, \
                    predicted_bytes, real_bytes, predicted_build_ms, real_build_ms) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                 on conflict (entry_id, schema_name, index_name) do update set \
                   measured_at = pg_catalog.clock_timestamp(), calls = excluded.calls, \
                   promised_ms = excluded.promised_ms, saved_ms = excluded.saved_ms, \
                   real_bytes = coalesce(m.real_bytes, excluded.real_bytes) \
                 where excluded.calls >= m.calls",
                &[
                    &entry.entry_id,
                    &index.name.schema,
                    &index.name.name,
                    &index.kind,
                    &gain.calls,
                    &gain.promised_ms,
                    &gain.saved_ms,
                    &predicted_bytes,
                    &real_bytes,
                    &predicted_build_ms,
                    &build_ms(&index.steps),
                ],
            )
            .await
            .map_err(Error::query("keep what was measured"))?;
    }
    Ok(())
}

/// The gain of an index: that of the statements whose plan uses it, shared with the others that the
/// plan uses.
fn gain_of(name: &QualifiedName, statements: &[MeasuredStatement]) -> Measured {
    let mut gain = Measured::default();
    for statement in statements.iter().filter(|s| s.calls >= LEAST_CALLS) {
        let (Some(after), true) = (statement.mean_after, statement.used.contains(name)) else { continue };
        let weight = statement.calls as f64 / statement.used.len().max(1) as f64;
        gain.calls += statement.calls;
        gain.promised_ms += weight * (statement.mean_before.0 - statement.promised.0);
        gain.saved_ms += weight * (statement.mean_before.0 - after.0);
    }
    gain
}

/// How long its statements took, waiting included.
fn build_ms(steps: &[&JournalStep]) -> Option<f64> {
    let took = |step: &&JournalStep| -> Option<f64> {
        let (began, ended): (DateTime<Utc>, DateTime<Utc>) = step.started_at.zip(step.finished_at)?;
        (ended - began).num_microseconds().map(|us| us as f64 / 1000.0)
    };
    steps.iter().map(took).sum()
}

#[cfg(test)]
mod tests {
    use model::{IndexDefinition, IndexKey, KeyTarget, Millis};

    use super::*;

    #[test]
    fn a_kind_says_what_makes_it_more_than_a_plain_index() {
        let table = QualifiedName::new("s", "t");
        let plain = IndexDefinition::btree(table, "i", vec![IndexKey::column("a")]);
        let kind = |definition: &IndexDefinition| kind_of(&IndexShape::of(definition), false);
        assert_eq!(kind(&plain), "btree");
        assert_eq!(kind_of(&IndexShape::of(&plain), true), "partitioned btree");
        let covering = IndexDefinition { include: vec!["b".into()], ..plain.clone() };
        assert_eq!(kind(&covering), "covering btree");
        let expression =
            IndexKey { target: KeyTarget::Expression("lower(a)".into()), ..IndexKey::column("") };
        let all = IndexDefinition {
            access_method: "gist".into(),
            keys: vec![expression],
            predicate: Some("a > 1".into()),
            ..covering
        };
        assert_eq!(kind(&all), "partial expression covering gist");
    }

    #[test]
    fn a_gain_is_shared_among_the_indexes_of_a_plan() {
        let name = |n: &str| QualifiedName::new("s", n);
        let statement = |used: &[&str], calls| MeasuredStatement {
            calls,
            mean_before: Millis(10.0),
            promised: Millis(1.0),
            mean_after: Some(Millis(2.0)),
            used: used.iter().map(|n| name(n)).collect(),
            ..MeasuredStatement::default()
        };
        let all =
            [statement(&["a"], 10), statement(&["a", "b"], 10), statement(&[], 10), statement(&["a"], 2)];
        let a = gain_of(&name("a"), &all);
        assert_eq!((a.calls, a.promised_ms, a.saved_ms), (20, 135.0, 120.0));
        assert_eq!(gain_of(&name("b"), &all).saved_ms, 40.0);
    }

    #[test]
    fn the_record_weighs_by_time_and_leaves_out_what_did_not_run() {
        let measured = |calls, promised_ms, saved_ms, bytes| Measured {
            calls,
            promised_ms,
            saved_ms,
            bytes,
            build_ms: (Some(10.0), Some(18.0)),
        };
        let all = [
            measured(10, 100.0, 90.0, (Some(10.0), Some(11.0))),
            measured(10, 10.0, -10.0, (None, Some(5.0))),
            measured(0, 0.0, 0.0, (Some(10.0), Some(30.0))),
        ];
        let record = summary("btree".into(), &all).unwrap();
        assert_eq!((record.indexes, record.calls), (2, 20));
        assert!((record.share - 80.0 / 110.0).abs() < 1e-9);
        assert_eq!((record.size_ratio, record.build_ratio), (Some(3.0), Some(1.8)));
        assert_eq!(summary("gin".into(), &all[2..]), None);
    }
}
