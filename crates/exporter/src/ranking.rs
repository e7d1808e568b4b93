//! Which statements have series of their own? Those on which most time was spent lately; who has a place keeps it until
//! another is clearly above. What the others did is summed, so that the sum over all series is what the server counted.
//!
//! All series begin at zero when pgwright begins, and only grow: a counter that took over what the server had counted
//! before would jump whenever a statement gets or loses its place.

use std::collections::{BTreeMap, HashMap, HashSet};

pub(crate) use postgres::statistics::differences::{CALLS, Differences, EXEC_SECONDS, FIGURES, Figures};

/// A statement of a database.
pub(crate) type StatementKey = (u32, i64);

/// How much of an interval's score is left after the next.
const DECAY: f64 = 0.9;
/// How far a statement must be above one that has a place.
const CLEARLY: f64 = 1.5;

/// The statements that have places, and their sums since pgwright began.
#[derive(Debug)]
pub(crate) struct Ranking {
    places: usize,
    scores: HashMap<StatementKey, f64>,
    /// Statements with a place.
    pub members: BTreeMap<StatementKey, Figures>,
    /// The sums of those without, by database.
    pub others: BTreeMap<u32, Figures>,
}

impl Ranking {
    pub fn new(places: usize) -> Self {
        Self { places, scores: HashMap::new(), members: BTreeMap::new(), others: BTreeMap::new() }
    }

    /// Gives the first places, by all that was counted so far.
    pub fn begin(&mut self, totals: &HashMap<StatementKey, f64>) {
        let mut order: Vec<_> = totals.iter().collect();
        order.sort_by(|a, b| b.1.total_cmp(a.1).then(a.0.cmp(b.0)));
        for (key, _) in order.into_iter().take(self.places) {
            self.members.insert(*key, [0.0; FIGURES]);
        }
    }

    /// Adds what an interval brought, and gives the places anew. Who gets or loses a place in it has done what it did
    /// among the others: a series that begins or ends shows nobody its first or last step.
    pub fn add(&mut self, differences: &HashMap<StatementKey, Figures>) {
        self.scores.values_mut().for_each(|score| *score *= DECAY);
        for (key, added) in differences {
            *self.scores.entry(*key).or_default() += added[EXEC_SECONDS];
        }
        self.scores.retain(|_, score| *score > 1e-6);
        let places = self.placed();
        for (key, added) in differences {
            let stays = places.contains(key);
            let sums = match self.members.get_mut(key).filter(|_| stays) {
                Some(sums) => sums,
                None => self.others.entry(key.0).or_insert([0.0; FIGURES]),
            };
            sums.iter_mut().zip(added).for_each(|(sum, value)| *sum += value);
        }
        let before = std::mem::take(&mut self.members);
        let sums = |key: &StatementKey| before.get(key).copied().unwrap_or([0.0; FIGURES]);
        self.members = places.into_iter().map(|key| (key, sums(&key))).collect();
    }

    /// Those of a database that have a place, by the time that they took lately.
    pub fn leading(&self, dbid: u32) -> Vec<i64> {
        let mut order: Vec<(f64, i64)> = self
            .members
            .keys()
            .filter(|key| key.0 == dbid)
            .map(|key| (self.scores.get(key).copied().unwrap_or(0.0), key.1))
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        order.into_iter().map(|(_, queryid)| queryid).collect()
    }

    /// Whose score is highest, with an advantage for who has a place.
    fn placed(&self) -> HashSet<StatementKey> {
        let all: HashSet<StatementKey> = self.scores.keys().chain(self.members.keys()).copied().collect();
        let mut order: Vec<(f64, bool, StatementKey)> = all
            .into_iter()
            .map(|key| {
                let (score, has) =
                    (self.scores.get(&key).copied().unwrap_or(0.0), self.members.contains_key(&key));
                (if has { score * CLEARLY } else { score }, has, key)
            })
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
        order.into_iter().take(self.places).map(|(_, _, key)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(calls: f64, seconds: f64) -> Figures {
        let mut figures = [0.0; FIGURES];
        (figures[CALLS], figures[EXEC_SECONDS]) = (calls, seconds);
        figures
    }

    #[test]
    fn nothing_is_lost_between_those_with_a_place_and_the_others() {
        let mut ranking = Ranking::new(2);
        ranking.begin(&(1..=4).map(|id| ((1, id), 10.0 - id as f64)).collect());
        assert_eq!(ranking.members.keys().map(|k| k.1).collect::<Vec<_>>(), [1, 2]);
        let (mut added, mut seen) = (0.0, 0.0);
        for round in 0..10 {
            let calls = f64::from(round + 1);
            let differences: HashMap<StatementKey, Figures> = [
                ((1, 1), figures(calls, 0.1)),
                ((1, 3), figures(2.0 * calls, 1.0)),
                ((1, 4), figures(1.0, 0.001)),
            ]
            .into();
            added += differences.values().map(|f| f[CALLS]).sum::<f64>();
            let (before, lost): (BTreeMap<_, _>, _) = (ranking.members.clone(), ranking.others.clone());
            ranking.add(&differences);
            // Only grows, as long as it is there.
            for (key, sums) in &ranking.members {
                let last = before.get(key).map_or(0.0, |b| b[CALLS]);
                assert!(last <= sums[CALLS]);
                seen += sums[CALLS] - last;
            }
            let last = lost.get(&1).map_or(0.0, |b| b[CALLS]);
            assert!(last <= ranking.others[&1][CALLS]);
            seen += ranking.others[&1][CALLS] - last;
        }
        // 2 was idle and lost its place to 3, which takes most time; 1 kept its own.
        assert_eq!(ranking.members.keys().map(|k| k.1).collect::<Vec<_>>(), [1, 3]);
        // What a reader of the series has seen them grow is what was done.
        assert_eq!(seen, added);
    }

    #[test]
    fn a_place_is_not_lost_to_one_that_is_hardly_above() {
        let mut ranking = Ranking::new(1);
        ranking.begin(&[((1, 1), 1.0)].into());
        for _ in 0..20 {
            ranking.add(&[((1, 1), figures(1.0, 1.0)), ((1, 2), figures(1.0, 1.2))].into());
            assert!(ranking.members.contains_key(&(1, 1)));
        }
    }
}
