//! What is to be done for a set, given what there is and what time it is? Pure: the caller has looked at the catalog,
//! into DEFAULT and on the clock.
//!
//! What is wanted is everything from the lowest partition to `premake` partitions after the one of now. What of it no
//! partition takes is cut by the grid, so that neighbours made by hand, of whatever length, are filled up and never
//! overlapped. Rows in DEFAULT that lie beyond that, such as one of the year 2099, stay there and are told of: a
//! partition for each would be worse than they are.

use std::collections::BTreeSet;

use model::partition_set::{Interval, PartitionSet, RetentionAction};
use model::partition_tree::PartitionTable;
use model::{KeyKind, QualifiedName, quote_identifier};
use serde::{Deserialize, Serialize};

use crate::bound::{Bound, Edge, Key, key_words};
use crate::error::Error;
use crate::grid::{Grid, Part};
use crate::naming::{MAX_NAME_BYTES, fitted};
use crate::tree::{Child, Trees};

/// At most so many partitions are made at once for one set.
pub const MOST_AT_ONCE: usize = 1000;

/// What was seen besides the catalog.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// The server's clock, in microseconds since 1970.
    pub now_micros: i64,
    /// The largest key, for keys that are numbers; `None` when there is no row.
    pub max_key: Option<Key>,
    /// Cells of the grid of which DEFAULT holds rows, by any key in them.
    pub default_keys: Vec<Key>,
    /// Whether DEFAULT holds rows that no partition could take: NULL and infinity.
    pub has_odd_rows: bool,
    /// Whether DEFAULT holds any row, for lists.
    pub default_has_rows: bool,
    /// Whether partitions hold rows that nobody has counted yet, none of them ever having been analyzed.
    pub holds_uncounted_rows: bool,
    /// Names that are taken in the parent's schema by relations that are no partitions of the set.
    pub taken: BTreeSet<String>,
}

/// A partition to be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NewPartition {
    /// Its name.
    pub name: QualifiedName,
    /// Its bound as SQL.
    pub bound: String,
    /// What its rows have in common, as SQL; `None` where SQL cannot say it.
    pub check: Option<String>,
    /// Whether rows of it are in DEFAULT.
    pub takes_from_default: bool,
    /// `RANGE (…)`, when it is partitioned in turn.
    pub partition_by: Option<String>,
    /// Its partitions: name and bound.
    pub parts: Vec<(QualifiedName, String)>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// Make a partition.
    Create(NewPartition),
    /// Retire a partition.
    Retire {
        /// Its name.
        name: QualifiedName,
        /// Its bound as SQL.
        bound: String,
        /// What is done with it; never [`RetentionAction::Keep`].
        action: RetentionAction,
    },
    /// Put a partition into another tablespace.
    Move {
        /// Its name.
        name: QualifiedName,
        /// Where to.
        tablespace: String,
    },
    /// Collect the statistics of the parent, which autovacuum does not.
    Analyze {
        /// The parent.
        table: QualifiedName,
    },
}

/// What is to be done for one set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetPlan {
    /// The parent.
    pub table: QualifiedName,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// What to know, in sentences.
    pub notices: Vec<String>,
}

/// Says what is to be done.
///
/// # Errors
/// When the set itself cannot be laid out, or too many partitions would be needed.
pub fn plan(
    set: &PartitionSet,
    trees: &Trees,
    parent: &PartitionTable,
    seen: &Seen,
) -> Result<SetPlan, Error> {
    let kind = set.division.kind;
    let grid = Grid::new(&set.division, &set.time_zone, set.naming.as_deref())?;
    let mut planner = Planner::new(set, &grid, trees.children(parent), seen);
    let mut present: Vec<(Bound, &PartitionTable)> = Vec::new();
    for child in trees.children(parent) {
        match child.bound(kind) {
            Some(bound) => present.push((bound, child.table)),
            None => {
                let name = &child.table.name;
                planner.notice(format!(
                    "The bound of {name} is not understood, so nothing is done: {}.",
                    child.text
                ));
                return Ok(planner.plan);
            }
        }
        if child.table.detach_pending {
            let name = &child.table.name;
            planner.notice(format!(
                "{name} is half-detached; ALTER TABLE {} DETACH PARTITION {name} FINALIZE ends it.",
                set.parent
            ));
        }
    }
    match &set.division.interval {
        Interval::Values(_) | Interval::Remainders(_) => planner.fixed(&present, seen.default_has_rows)?,
        Interval::Time { .. } | Interval::Numbers(_) => {
            let here = grid.now(seen.now_micros)?.or(seen.max_key);
            planner.ranges(&present, here, seen)?;
            planner.retention(&present, here)?;
            planner.tablespaces(&present, here)?;
        }
    }
    let grew = planner.plan.steps.iter().any(|s| matches!(s, Step::Create(new) if new.takes_from_default));
    let holds_rows = seen.holds_uncounted_rows
        || trees.leaves(parent).iter().any(|t| t.rows.is_some_and(|rows| rows > 0.0));
    if grew || (holds_rows && !parent.has_statistics) || trees.outgrown(parent).is_some() {
        planner.plan.steps.push(Step::Analyze { table: set.parent.clone() });
    }
    if seen.has_odd_rows {
        planner.notice("DEFAULT holds rows with NULL or infinity as their key; they stay there.".to_owned());
    }
    Ok(planner.plan)
}

/// A partition of days to come, and when it is time for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// The partition.
    pub partition: NewPartition,
    /// The key from which on it is one of those that are kept ahead; the smallest for those that are so now.
    pub due: Key,
}

/// The partitions from that of now on, as many as are asked for, each with the key at which it is time to make it. None
/// for lists and hashes, which do not grow.
///
/// # Errors
/// When the set cannot be laid out.
pub fn ahead(
    set: &PartitionSet,
    trees: &Trees,
    parent: &PartitionTable,
    seen: &Seen,
    at_most: usize,
) -> Result<Vec<Ahead>, Error> {
    let grid = Grid::new(&set.division, &set.time_zone, set.naming.as_deref())?;
    let here = match grid.now(seen.now_micros)?.or(seen.max_key) {
        Some(here) => here,
        None if set.division.kind.is_number() => 0,
        None => return Ok(Vec::new()),
    };
    let ranges = |child: Child<'_>| child.bound(set.division.kind)?.range();
    let mut taken: Vec<(Edge, Edge)> = trees.children(parent).filter_map(ranges).collect();
    taken.sort_unstable();
    let mut planner = Planner::new(set, &grid, trees.children(parent), seen);
    let premake = usize::try_from(set.premake).unwrap_or(usize::MAX);
    let (mut begins, mut all) = (Vec::new(), Vec::new());
    let mut next = grid.at(here)?;
    while let Some(part) = next.filter(|_| begins.len() < at_most) {
        begins.push(match part.bound.range() {
            Some((Edge::At(lower), _)) => lower,
            _ => i64::MIN,
        });
        // What is to be there while keys fall into the first is due at once.
        let due = match begins.len().checked_sub(premake.saturating_add(1)) {
            None | Some(0) => i64::MIN,
            Some(at) => begins.get(at).copied().unwrap_or(i64::MIN),
        };
        let lowest = taken.iter().find_map(|(lower, upper)| finite(*lower).or(finite(*upper)));
        for bound in uncovered(&part.bound, &taken) {
            if !is_stub(&bound, &part, lowest, here) {
                planner.create(&Part { cell: part.cell, bound }, false)?;
            }
        }
        all.extend(planner.plan.steps.drain(..).filter_map(|step| match step {
            Step::Create(partition) => Some(Ahead { partition, due }),
            _ => None,
        }));
        // The end of the years or numbers that partitions are made for.
        next = grid.after(&part).ok().flatten();
    }
    Ok(all)
}

struct Planner<'a> {
    set: &'a PartitionSet,
    grid: &'a Grid,
    names: BTreeSet<String>,
    plan: SetPlan,
}

impl<'a> Planner<'a> {
    fn new<'t>(
        set: &'a PartitionSet,
        grid: &'a Grid,
        children: impl Iterator<Item = Child<'t>>,
        seen: &Seen,
    ) -> Self {
        Self {
            set,
            grid,
            names: children.map(|c| c.table.name.name.clone()).chain(seen.taken.iter().cloned()).collect(),
            plan: SetPlan { table: set.parent.clone(), steps: Vec::new(), notices: Vec::new() },
        }
    }

    fn notice(&mut self, text: String) {
        self.plan.notices.push(text);
    }

    /// The partitions of a list or of hashes that are not there.
    fn fixed(&mut self, present: &[(Bound, &PartitionTable)], default_has_rows: bool) -> Result<(), Error> {
        for part in self.grid.covering(0, 0, MOST_AT_ONCE)? {
            let missing = match &part.bound {
                Bound::Values(values) => {
                    let taken = |value| {
                        present.iter().any(|(b, _)| matches!(b, Bound::Values(v) if v.contains(value)))
                    };
                    let open: Vec<Option<String>> = values.iter().filter(|v| !taken(v)).cloned().collect();
                    (!open.is_empty()).then_some(Bound::Values(open))
                }
                bound => (!present.iter().any(|(b, _)| share_hashes(b, bound))).then(|| bound.clone()),
            };
            if let Some(bound) = missing {
                let takes = default_has_rows && matches!(bound, Bound::Values(_));
                self.create(&Part { cell: part.cell, bound }, takes)?;
            }
        }
        Ok(())
    }

    /// What no partition takes, from the lowest one to those ahead.
    fn ranges(
        &mut self,
        present: &[(Bound, &PartitionTable)],
        here: Option<Key>,
        seen: &Seen,
    ) -> Result<(), Error> {
        let mut taken: Vec<(Edge, Edge)> = present.iter().filter_map(|(bound, _)| bound.range()).collect();
        taken.sort_unstable();
        let lowest = taken.iter().find_map(|(lower, upper)| finite(*lower).or(finite(*upper)));
        // Numbers of a table without rows begin at the first one.
        let here = here.or_else(|| self.grid.division().kind.is_number().then_some(lowest.unwrap_or(0)));
        let Some(here) = here else { return Ok(()) };
        let Some(current) = self.grid.at(here)? else { return Ok(()) };
        let mut wanted = vec![current.clone()];
        let mut last = current.clone();
        for _ in 0..self.set.premake {
            let Some(next) = self.grid.after(&last)? else { break };
            wanted.push(next.clone());
            last = next;
        }
        let horizon = last.bound.range().map_or(Edge::Max, |(_, upper)| upper);
        let cutoff = self.cutoff(Some(here))?;
        // Gaps behind, unless what would come into them is to be retired at once.
        if let Some(lowest) = lowest.filter(|lowest| *lowest < here) {
            let from = cutoff.map_or(lowest, |cutoff| lowest.max(cutoff));
            for (gap_from, gap_to) in gaps(&taken, from, here) {
                match self.grid.covering(gap_from, gap_to, MOST_AT_ONCE) {
                    Ok(parts) => wanted.extend(parts),
                    Err(Error::TooMany(most)) => self.notice(format!(
                        "From {} to {} more than {most} partitions are missing; they are not made.",
                        self.text(gap_from),
                        self.text(gap_to)
                    )),
                    Err(error) => return Err(error),
                }
            }
        }
        let (mut left, mut from_default) = (0_usize, BTreeSet::new());
        for key in &seen.default_keys {
            let Some(part) = self.grid.at(*key)? else { continue };
            // A partition that reaches beyond the cutoff is made, and takes all that DEFAULT has of it.
            let is_old =
                part.bound.range().zip(cutoff).is_some_and(|((_, upper), cutoff)| upper <= Edge::At(cutoff));
            if Edge::At(*key) >= horizon || is_old {
                left += 1;
                continue;
            }
            from_default.insert(part.cell);
            wanted.push(part);
        }
        if left > 0 {
            let intervals = if left == 1 { "1 interval".to_owned() } else { format!("{left} intervals") };
            self.notice(format!(
                "DEFAULT holds rows of {intervals} before the retention or after the partitions that are made ahead; \
                 they stay there."
            ));
        }
        wanted.sort_by_key(|part| part.cell);
        wanted.dedup_by_key(|part| part.cell);
        for part in wanted {
            for bound in uncovered(&part.bound, &taken) {
                let takes = from_default.contains(&part.cell);
                if !takes && is_stub(&bound, &part, lowest, here) {
                    continue;
                }
                self.create(&Part { cell: part.cell, bound }, takes)?;
            }
        }
        Ok(())
    }

    fn text(&self, key: Key) -> String {
        key_words(key, self.set.division.kind)
    }

    fn create(&mut self, part: &Part, takes_from_default: bool) -> Result<(), Error> {
        let by_rule = self.grid.name(&self.set.parent, part)?;
        let name = QualifiedName::new(by_rule.schema.clone(), self.free_name(&by_rule.name));
        let (partition_by, parts) = self.sub_parts(&name, part)?;
        self.plan.steps.push(Step::Create(NewPartition {
            bound: part.bound.sql(self.set.division.kind),
            check: part.bound.check_sql(&self.set.division),
            takes_from_default,
            partition_by,
            parts,
            name,
        }));
        Ok(())
    }

    /// The name itself, or with a number behind it where a stranger has it.
    fn free_name(&mut self, wanted: &str) -> String {
        let numbered = |n: usize| {
            let suffix = format!("_{n}");
            let base = fitted(wanted, MAX_NAME_BYTES - suffix.len()).unwrap_or_default();
            format!("{base}{suffix}")
        };
        let name = std::iter::once(wanted.to_owned())
            .chain((2..).map(numbered))
            .find(|name| !self.names.contains(name))
            .unwrap_or_else(|| wanted.to_owned());
        self.names.insert(name.clone());
        name
    }

    #[allow(clippy::type_complexity)] // Two values that belong to one partition.
    fn sub_parts(
        &mut self,
        name: &QualifiedName,
        part: &Part,
    ) -> Result<(Option<String>, Vec<(QualifiedName, String)>), Error> {
        let Some(sub) = &self.set.sub else { return Ok((None, Vec::new())) };
        let pattern = sub.naming.as_ref().map(|suffix| format!("{{table}}{suffix}"));
        let grid = Grid::new(&sub.division, &self.set.time_zone, pattern.as_deref())?;
        let strategy = match sub.division.kind {
            KeyKind::List => "LIST",
            KeyKind::Hash => "HASH",
            _ => "RANGE",
        };
        let (from, to) = match (strategy, part.bound.range()) {
            ("RANGE", Some((Edge::At(from), Edge::At(to)))) if sub.division.key == self.set.division.key => {
                (from, to - 1)
            }
            ("RANGE", _) => {
                return Err(Error::Interval {
                    kind: "range",
                    interval: format!(
                        "{} of another column than {}",
                        sub.division.interval, self.set.division.key
                    ),
                });
            }
            _ => (0, 0),
        };
        let mut parts = Vec::new();
        for below in grid.covering(from, to, MOST_AT_ONCE)? {
            // Of an interval that reaches over the end of the partition above, what lies within.
            let bound = match (below.bound.range(), part.bound.range()) {
                (Some((lower, upper)), Some((from, to))) => {
                    Bound::Range { lower: lower.max(from), upper: upper.min(to) }
                }
                _ => below.bound.clone(),
            };
            // Days of a month have names of the set's own table, without the month twice.
            let above = if strategy == "RANGE" { &self.set.parent } else { name };
            let by_rule = grid.name(above, &below)?;
            let free = self.free_name(&by_rule.name);
            parts.push((QualifiedName::new(by_rule.schema, free), bound.sql(sub.division.kind)));
        }
        Ok((Some(format!("{strategy} ({})", quote_identifier(&sub.division.key))), parts))
    }

    /// The key before which everything is old.
    fn cutoff(&self, here: Option<Key>) -> Result<Option<Key>, Error> {
        match (&self.set.retention.keep, here) {
            (Some(keep), Some(here)) => self.grid.back(here, keep).map(Some),
            _ => Ok(None),
        }
    }

    fn retention(&mut self, present: &[(Bound, &PartitionTable)], here: Option<Key>) -> Result<(), Error> {
        let Some(cutoff) = self.cutoff(here)? else { return Ok(()) };
        let mut old: Vec<(&Bound, &PartitionTable)> = present
            .iter()
            .filter(|(bound, _)| bound.range().is_some_and(|(_, upper)| upper <= Edge::At(cutoff)))
            .map(|(bound, table)| (bound, *table))
            .collect();
        old.sort_by(|a, b| a.0.cmp(b.0));
        if old.is_empty() {
            return Ok(());
        }
        if self.set.retention.then == RetentionAction::Keep {
            self.notice(format!("{} partitions are older than the retention and are kept.", old.len()));
            return Ok(());
        }
        for (bound, table) in old {
            self.plan.steps.push(Step::Retire {
                name: table.name.clone(),
                bound: bound.sql(self.set.division.kind),
                action: self.set.retention.then,
            });
        }
        Ok(())
    }

    fn tablespaces(&mut self, present: &[(Bound, &PartitionTable)], here: Option<Key>) -> Result<(), Error> {
        let Some(here) = here else { return Ok(()) };
        let cutoff = self.cutoff(Some(here))?;
        for (bound, table) in present {
            let Some((_, upper)) = bound.range() else { continue };
            if table.key.is_some() || cutoff.is_some_and(|cutoff| upper <= Edge::At(cutoff)) {
                continue;
            }
            let mut wanted = None;
            for (age, tablespace) in &self.set.template.tablespace_by_age {
                if upper <= Edge::At(self.grid.back(here, age)?) {
                    wanted = Some(tablespace);
                }
            }
            if let Some(tablespace) = wanted.filter(|t| table.tablespace.as_ref() != Some(t)) {
                self.plan.steps.push(Step::Move { name: table.name.clone(), tablespace: tablespace.clone() });
            }
        }
        Ok(())
    }
}

fn finite(edge: Edge) -> Option<Key> {
    match edge {
        Edge::At(key) if key != i64::MIN && key != i64::MAX => Some(key),
        _ => None,
    }
}

/// Whether a range is what the lowest partition leaves of an interval before it, without the keys of now: sets made by
/// hand often begin at 1.
fn is_stub(bound: &Bound, part: &Part, lowest: Option<Key>, here: Key) -> bool {
    let Some((lowest, (_, upper))) = lowest.zip(bound.range()) else { return false };
    *bound != part.bound && upper <= Edge::At(lowest) && upper <= Edge::At(here)
}

/// Whether there are hashes that two partitions would take: of two moduli one divides the other.
fn share_hashes(one: &Bound, other: &Bound) -> bool {
    match (one, other) {
        (Bound::Remainder { modulus: m, remainder: r }, Bound::Remainder { modulus: n, remainder: q }) => {
            let smaller = (*m).min(*n).max(1);
            r % smaller == q % smaller
        }
        _ => one == other,
    }
}

/// What of the keys from one to another no range takes; both ends included.
fn gaps(taken: &[(Edge, Edge)], from: Key, to: Key) -> Vec<(Key, Key)> {
    let (mut gaps, mut at) = (Vec::new(), from);
    for (lower, upper) in taken {
        if let Edge::At(lower) = *lower
            && lower > at
            && at <= to
        {
            gaps.push((at, (lower - 1).min(to)));
        }
        match *upper {
            Edge::At(upper) => at = at.max(upper),
            Edge::Max => return gaps,
            Edge::Min => {}
        }
    }
    if at <= to {
        gaps.push((at, to));
    }
    gaps
}

/// The parts of a range that no other takes.
fn uncovered(bound: &Bound, taken: &[(Edge, Edge)]) -> Vec<Bound> {
    let Some((lower, upper)) = bound.range() else { return vec![bound.clone()] };
    let (mut open, mut at) = (Vec::new(), lower);
    for (from, to) in taken {
        if *to <= at || *from >= upper {
            continue;
        }
        if *from > at {
            open.push(Bound::Range { lower: at, upper: *from });
        }
        at = at.max(*to);
    }
    if at < upper {
        open.push(Bound::Range { lower: at, upper });
    }
    open
}
