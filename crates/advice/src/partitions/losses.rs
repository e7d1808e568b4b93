//! What does a division take away, and how much has it to save to make up for that?
//!
//! Everything that partitions ask for is weighed as a share of the time of the table's statements, so that it can be
//! set against what they save. The weights are a judgement, not a measurement; `docs/reference/commands/partition-advise.md`
//! has the table of them.

use model::quote_identifier;
use serde::Serialize;

use super::layout::WidenedKey;
use super::trial::Trial;

/// Something that a division takes away.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// What, in a fragment of a sentence.
    pub what: String,
    /// The share of the time of the table's statements that has to be saved because of it.
    pub share: f64,
}

/// A key of people's values, which nothing else keeps unique.
const NATURAL_KEY: f64 = 0.10;
/// A key of one column of numbers or UUIDs, whose values something counts up or draws.
const SURROGATE_KEY: f64 = 0.05;
/// A foreign key of another table: its rows may reference nothing from then on.
const FOREIGN_KEY: f64 = 0.15;
/// Rows that move from partition to partition: each move is a deletion, an insertion into every index, and an error for
/// whoever waits for the row.
const MOVING_ROWS: f64 = 0.20;
/// Statements that cannot be run any more.
const REFUSED: f64 = 0.20;
/// All calls being dearer many times over; a part of them counts for that part.
const DEARER_CALLS: f64 = 0.20;

/// From this share of the calls on, statements that assign the partition column are no exception.
const OFTEN: f64 = 0.01;

/// What a tried division takes away, the heaviest first.
pub(super) fn losses(trial: &Trial) -> Vec<Loss> {
    let mut losses = Vec::new();
    let mut lose = |what: String, share: f64| losses.push(Loss { what, share });
    for key in &trial.widened {
        let columns: Vec<String> = key.columns.iter().map(|c| quote_identifier(c).to_string()).collect();
        let name = quote_identifier(&key.name);
        lose(format!("{name} ({}) unique by itself", columns.join(", ")), key_weight(key));
    }
    for lost in &trial.lost_references {
        let name = quote_identifier(&lost.constraint);
        lose(format!("the foreign key {name} of {}", lost.table), FOREIGN_KEY);
    }
    if trial.moving_share >= OFTEN {
        let calls = percent(trial.moving_share);
        lose(
            format!("rows that stay where they are ({calls} of the calls assign the partition column)"),
            MOVING_ROWS,
        );
    }
    if trial.worse.iter().any(|w| w.refusal.is_some()) {
        lose("statements that PostgreSQL would refuse".to_owned(), REFUSED);
    }
    if trial.dearer_share >= OFTEN {
        let calls = percent(trial.dearer_share);
        lose(format!("{calls} of the calls as cheap as they are"), DEARER_CALLS * trial.dearer_share);
    }
    losses.sort_by(|a, b| b.share.total_cmp(&a.share));
    losses
}

fn key_weight(key: &WidenedKey) -> f64 {
    if key.surrogate { SURROGATE_KEY } else { NATURAL_KEY }
}

/// All of them together.
pub(super) fn weight(losses: &[Loss]) -> f64 {
    losses.iter().map(|l| l.share).fold(0.0, |sum, share| sum + share)
}

/// The losses in words, each with its weight.
pub(super) fn in_words(losses: &[Loss]) -> String {
    let words: Vec<String> = losses.iter().map(|l| format!("{} for {}", percent(l.share), l.what)).collect();
    words.join(", ")
}

/// A share for people.
pub(super) fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if (percent - percent.round()).abs() < 0.05 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}
