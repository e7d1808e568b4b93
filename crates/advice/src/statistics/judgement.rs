//! Is what was measured worth a change, and how is it written down?
//!
//! An estimate that is off by less than a factor of two seldom changes a plan (Leis et al., "How Good Are Query
//! Optimizers, Really?", VLDB 2015), so it is left alone. Of what helps the cheapest is taken that comes near the best:
//! functional dependencies are a few numbers, a long list of combinations is looked through at every planning.

use std::collections::{BTreeMap, BTreeSet};

use model::estimate::{Attempt, ColumnSet, Comparison, Errors, Measured, Tried};
use model::{
    Benefit, Change, Confidence, LockLevel, Millis, Number, Parameter, Price, QualifiedName, Recommendation,
    Rejected, Snapshot, StatisticsDefinition,
};

use crate::index_advisor::statements::{identifier, to_make, to_undo};
use crate::workload::Workload;

/// From so large an error on it counts.
const OFF_TYPICAL: f64 = 2.0;
const OFF_WORST: f64 = 10.0;
/// By how much an error must become smaller.
const BETTER: f64 = 1.5;
/// How near to the best a cheaper attempt must come.
const NEAR: f64 = 1.25;

/// A set of columns and the attempt that is worth it.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) measured: &'a Measured,
    pub(super) tried: &'a Tried,
}

impl Found<'_> {
    /// Whether one change does both.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        if self.measured.set.table != other.measured.set.table {
            return false;
        }
        match (&self.tried.attempt, &other.tried.attempt) {
            (
                Attempt::Extended { kinds, columns, expressions, .. },
                Attempt::Extended { kinds: others, columns: of_others, expressions: in_others, .. },
            ) => {
                // Those of a single expression have no kind and cannot have one.
                kinds.is_empty() == others.is_empty() && columns == of_others && expressions == in_others
            }
            (one, other) => one == other,
        }
    }
}

/// The attempt that does what each of these does.
fn together(found: &[Found<'_>]) -> Tried {
    let mut all = found[0].tried.clone();
    for other in &found[1..] {
        all.analyze_ms = all.analyze_ms.max(other.tried.analyze_ms);
        if let (
            Attempt::Extended { kinds, target, .. },
            Attempt::Extended { kinds: more, target: room, .. },
        ) = (&mut all.attempt, &other.tried.attempt)
        {
            kinds.extend(more);
            kinds.sort();
            kinds.dedup();
            *target = (*target).max(*room);
        }
    }
    all
}

/// Whether a set is worth a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The attempt with this number.
    Worth {
        /// Its place in [`Measured::tried`].
        tried: usize,
    },
    /// None is.
    NotWorth {
        /// Why, in a sentence.
        reason: String,
    },
}

/// What an attempt is judged by: the error, and a little how many rows it expects of combinations that do not occur.
fn score(errors: &Errors) -> f64 {
    errors.typical * errors.worst.powf(0.25) * errors.absent.unwrap_or(1.0).powf(0.25)
}

fn improves(before: &Errors, after: &Errors) -> bool {
    let typical = before.typical >= OFF_TYPICAL && after.typical * BETTER <= before.typical;
    let worst = before.worst >= OFF_WORST
        && after.worst * BETTER * BETTER <= before.worst
        && after.typical <= before.typical;
    typical || worst
}

/// Judges one set.
pub fn verdict(measured: &Measured) -> Verdict {
    let before = &measured.before;
    if before.typical < OFF_TYPICAL && before.worst < OFF_WORST {
        return Verdict::NotWorth {
            reason: format!(
                "the estimate is right without it: off by a factor of {:.1} typically and {:.1} at worst",
                before.typical, before.worst
            ),
        };
    }
    let helpful: Vec<(usize, &Errors)> = measured
        .tried
        .iter()
        .enumerate()
        .filter_map(|(n, tried)| Some((n, tried.errors.as_ref()?)))
        .filter(|(_, errors)| improves(before, errors))
        .collect();
    let best = helpful.iter().map(|(_, errors)| score(errors)).fold(f64::INFINITY, f64::min);
    if let Some((tried, _)) = helpful.iter().find(|(_, errors)| score(errors) <= NEAR * best) {
        return Verdict::Worth { tried: *tried };
    }
    let least = measured
        .tried
        .iter()
        .filter_map(|t| Some((t, t.errors.as_ref()?)))
        .min_by(|a, b| a.1.typical.total_cmp(&b.1.typical));
    let reason = match (least, measured.tried.iter().find_map(|t| t.refused.as_ref())) {
        (Some((tried, errors)), _) => format!(
            "nothing that was tried mends it: off by a factor of {:.1} typically, {:.1} with {}{}",
            before.typical,
            errors.typical,
            tried.attempt.title(),
            why_not(&measured.set)
        ),
        (None, Some(message)) => format!("PostgreSQL refuses it: {message}"),
        (None, None) => "there is nothing to try".into(),
    };
    Verdict::NotWorth { reason }
}

fn why_not(set: &ColumnSet) -> &'static str {
    let equalities = set.members.iter().filter(|m| m.comparison.is_equality()).count();
    let ranges = set
        .members
        .iter()
        .any(|m| matches!(m.comparison, Comparison::Above | Comparison::Below | Comparison::Between));
    if ranges && equalities < 2 { "; functional dependencies say nothing about ranges" } else { "" }
}

/// The other attempts on a set of which one is recommended.
pub(super) fn losers(measured: &Measured, chosen: usize) -> Vec<Rejected> {
    let best = measured.tried[chosen].errors.as_ref().map_or(1.0, |e| e.typical);
    let others = measured.tried.iter().enumerate().filter(|(n, _)| *n != chosen);
    others
        .map(|(_, tried)| Rejected {
            candidate: format!(
                "{} on {} of {}",
                tried.attempt.title(),
                measured.set.label(),
                measured.set.table
            ),
            reason: match (&tried.errors, &tried.refused) {
                (Some(errors), _) if errors.typical > NEAR * best => {
                    format!(
                        "off by a factor of {:.1} typically, {best:.1} with what is recommended",
                        errors.typical
                    )
                }
                (Some(errors), _) => match errors.absent {
                    Some(absent) if absent >= OFF_TYPICAL => format!(
                        "it expects {absent:.0} times too many rows where values do not occur together"
                    ),
                    _ => "it does no more than what is recommended and costs more".into(),
                },
                (None, Some(message)) => format!("PostgreSQL refuses it: {message}"),
                (None, None) => "it was not tried".into(),
            },
        })
        .collect()
}

/// Names that statistics objects can have.
pub(super) struct Names {
    taken: BTreeSet<QualifiedName>,
}

impl Names {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Self { taken: snapshot.extended_statistics.iter().map(|s| s.name.clone()).collect() }
    }

    /// As PostgreSQL itself would, and one that nothing else has.
    fn choose(&mut self, set: &ColumnSet) -> QualifiedName {
        let members: Vec<&str> = set.members.iter().map(|m| m.column.as_deref().unwrap_or("expr")).collect();
        let mut number = 0_u32;
        loop {
            let more = (number > 0).then(|| number.to_string());
            // The number stands first, because a long name is cut at its end.
            let parts = more.iter().map(String::as_str).chain(members.iter().copied());
            let name = StatisticsDefinition::usual_name(&set.table, parts);
            if self.taken.insert(name.clone()) {
                return name;
            }
            number += 1;
        }
    }
}

/// The changes of an attempt.
fn changes(snapshot: &Snapshot, set: &ColumnSet, tried: &Tried, names: &mut Names) -> Vec<Change> {
    let table = set.table.clone();
    let column_of = |name: &str| snapshot.relation(&set.table).and_then(|r| r.column(name));
    let mut changes = Vec::new();
    match &tried.attempt {
        Attempt::Extended { kinds, columns, expressions, target } => {
            let name = names.choose(set);
            // In PostgreSQL's own words functions have their schemas.
            let expressions =
                if tried.expressions.len() == expressions.len() { &tried.expressions } else { expressions };
            changes.push(Change::CreateStatistics {
                statistics: StatisticsDefinition {
                    table: table.clone(),
                    name: name.clone(),
                    kinds: kinds.clone(),
                    columns: columns.clone(),
                    expressions: expressions.clone(),
                },
            });
            if let Some(target) = target {
                changes.push(Change::SetParameter {
                    table: table.clone(),
                    parameter: Parameter::ObjectTarget { statistics: name },
                    value: Number::from(*target),
                    former: None,
                });
            }
        }
        Attempt::Target { column, target } => changes.push(Change::SetParameter {
            table: table.clone(),
            parameter: Parameter::ColumnTarget { column: column.clone() },
            value: Number::from(*target),
            former: column_of(column).and_then(|c| c.statistics_target).map(Number::from),
        }),
        Attempt::Distinct { column } => {
            let inherited = snapshot.relation(&set.table).is_some_and(|r| r.partition_key.is_some());
            let option = if inherited { "n_distinct_inherited" } else { "n_distinct" };
            let value = tried.n_distinct.unwrap_or(0.0);
            let text = if value < 0.0 { format!("{value:.4}") } else { format!("{value:.0}") };
            let former = column_of(column).and_then(|c| {
                let mut set = c.options.iter().filter_map(|o| o.split_once('='));
                set.find(|(name, _)| *name == option).and_then(|(_, value)| Number::parse(value))
            });
            changes.extend(Number::parse(&text).map(|value| Change::SetParameter {
                table: table.clone(),
                parameter: Parameter::ColumnDistinct { column: column.clone(), inherited },
                value,
                former,
            }));
        }
    }
    changes.push(Change::Analyze { table });
    changes
}

/// What is assumed of constants that a statement's text does not show, by `queryid`.
pub(super) fn assumptions(workload: &Workload) -> BTreeMap<i64, String> {
    let mut all = BTreeMap::new();
    for statement in &workload.statements {
        let constants = statement.assumed.constants.iter().chain(&statement.assumed.grouped);
        let constants: Vec<String> = constants.map(|(n, c)| format!("${n} is {}", c.sql())).collect();
        if !constants.is_empty() {
            all.insert(statement.queryid, constants.join(", "));
        }
    }
    all
}

/// Writes down what to do.
pub(super) fn recommend(
    snapshot: &Snapshot,
    found: &[Found<'_>],
    assumptions: &BTreeMap<i64, String>,
    names: &mut Names,
) -> Recommendation {
    let (measured, tried) = (found[0].measured, &together(found));
    let set = &measured.set;
    let changes = changes(snapshot, set, tried, names);
    let mut texts: Vec<String> = found.iter().map(|f| rationale(f.measured, f.tried)).collect();
    let of_expressions = found.iter().filter(|f| f.measured.set.members.iter().any(|m| m.column.is_none()));
    let assumed: BTreeSet<String> = of_expressions
        .flat_map(|f| &f.measured.set.statements)
        .filter_map(|id| Some(format!("in statement {id} {}", assumptions.get(id)?)))
        .collect();
    let is_assumed = !assumed.is_empty();
    if is_assumed {
        let assumed: Vec<String> = assumed.into_iter().collect();
        texts.push(format!(
            "It is assumed that {}: pg_stat_statements does not show it, and with another constant these statistics \
             serve nothing.",
            assumed.join("; ")
        ));
    }
    let title = match &tried.attempt {
        Attempt::Extended { .. } => {
            let on = set.members.iter().map(|m| m.sql.as_str()).collect::<Vec<_>>().join(", ");
            format!("create statistics on {on} of {}", set.table)
        }
        Attempt::Target { column, target } => {
            format!("statistics target {target} for {} of {}", model::quote_identifier(column), set.table)
        }
        Attempt::Distinct { column } => {
            format!("tell how many different values {} of {} has", model::quote_identifier(column), set.table)
        }
    };
    let is_guess =
        is_assumed || (matches!(tried.attempt, Attempt::Distinct { .. }) && !measured.sample.is_whole);
    Recommendation {
        id: identifier(&changes),
        title,
        resolves: found.iter().map(|f| super::plans::finding(&f.measured.set)).collect(),
        sql: to_make(snapshot, &changes),
        undo_sql: to_undo(snapshot, &changes),
        benefit: Benefit::default(),
        price: Price { build_ms: Millis(tried.analyze_ms), ..Price::default() },
        lock: changes.iter().map(Change::lock_level).max().unwrap_or(LockLevel::ShareUpdateExclusive),
        lock_duration: format!(
            "SHARE UPDATE EXCLUSIVE on {} for an instant, and while ANALYZE reads a sample, seconds at most: reads and \
             writes go on.",
            set.table
        ),
        reversible: true,
        confidence: match (is_guess, measured.sample.is_whole) {
            (true, _) => Confidence::Low,
            (_, true) => Confidence::High,
            _ => Confidence::Medium,
        },
        rationale: texts.join(" "),
        verification: "EXPLAIN ANALYZE of these statements shows estimates near the rows that come.".into(),
        statements: Vec::new(),
        rejected: Vec::new(),
        changes,
    }
}

fn rationale(measured: &Measured, tried: &Tried) -> String {
    let (set, before) = (&measured.set, &measured.before);
    let after = tried.errors.clone().unwrap_or_default();
    let sample = if measured.sample.is_whole {
        format!("all {:.0} rows", measured.sample.rows)
    } else {
        format!("a sample of {:.0} of about {:.0} rows", measured.sample.rows, measured.sample.of_rows)
    };
    let who = match set.statements.as_slice() {
        [] => String::new(),
        [one] => format!(" Statement {one} does so."),
        many => format!(" {} statements do so, {} first.", many.len(), many[0]),
    };
    let what = match (&tried.attempt, set.is_grouped()) {
        (Attempt::Extended { kinds, .. }, true) if kinds.is_empty() => {
            "Without statistics of it the planner takes each value of its columns for a group of"
        }
        (Attempt::Extended { .. }, true) => "The planner multiplies the numbers of values of",
        (Attempt::Extended { kinds, .. }, _) if kinds.is_empty() => {
            "Without statistics of it the planner guesses"
        }
        (Attempt::Extended { .. }, false) => "The planner takes for independent of each other",
        (Attempt::Target { .. }, _) => "The list of common values has no room for those asked for by",
        (Attempt::Distinct { .. }, _) => "ANALYZE counts too few different values for",
    };
    let mut text = format!(
        "{what}: {}.{who} On {sample} estimates are off by a factor of {:.1} typically and {:.1} at worst, with it by \
         {:.1} and {:.1}.",
        set.label(),
        before.typical,
        before.worst,
        after.typical,
        after.worst
    );
    if set.is_grouped()
        && let (Some(was), Some(is)) = (before.probes.first(), after.probes.first())
    {
        text.push_str(&format!(
            " Of {:.0} groups the planner expects {:.0} now and {:.0} with it.",
            was.rows, was.estimate, is.estimate
        ));
    }
    if let Some(absent) = after.absent.filter(|a| *a >= OFF_TYPICAL) {
        text.push_str(&format!(
            " For values that do not occur together it expects {absent:.0} times as many rows as there are{}.",
            match before.absent {
                Some(was) => format!(", as against {was:.0} times now"),
                None => String::new(),
            }
        ));
    }
    text.push_str(&format!(
        " ANALYZE of the sample took {} with it and {} without, planning one condition {} and {}.",
        Millis(tried.analyze_ms),
        Millis(measured.analyze_ms),
        Millis(tried.planning_ms),
        Millis(measured.planning_ms)
    ));
    text
}

#[cfg(test)]
mod tests {
    use model::StatisticsKind;
    use model::estimate::{Member, Probe, SampleFacts};

    use super::*;
    use crate::fixture::registry;

    fn errors(factor: f64) -> Errors {
        let probe = Probe { condition: "c".into(), rows: 100.0 * factor, estimate: 100.0 };
        Errors::of(vec![probe], 1.0)
    }

    fn tried(kind: StatisticsKind, factor: f64) -> Tried {
        Tried {
            attempt: Attempt::Extended {
                kinds: vec![kind],
                columns: vec!["environment_id".into(), "status".into()],
                expressions: Vec::new(),
                target: None,
            },
            errors: Some(errors(factor)),
            refused: None,
            n_distinct: None,
            expressions: Vec::new(),
            analyze_ms: 1.0,
            planning_ms: 0.1,
            collected: None,
        }
    }

    fn measured(before: f64, tried: Vec<Tried>) -> Measured {
        Measured {
            set: ColumnSet {
                table: QualifiedName::new("public", "deployments"),
                members: vec![
                    Member::column("environment_id", Comparison::Equal),
                    Member::column("status", Comparison::Equal),
                ],
                statements: vec![7],
                total_ms: 10.0,
            },
            sample: SampleFacts { rows: 1000.0, of_rows: 200_000.0, bytes: 1, is_whole: false },
            before: errors(before),
            analyze_ms: 1.0,
            planning_ms: 0.1,
            tried,
            occurring: Vec::new(),
        }
    }

    #[test]
    fn the_cheapest_that_comes_near_the_best_is_taken() {
        let worth = |before, tried: Vec<Tried>| verdict(&measured(before, tried));
        let (cheap, dear) = (StatisticsKind::Dependencies, StatisticsKind::Mcv);
        assert_eq!(worth(20.0, vec![tried(cheap, 1.1), tried(dear, 1.0)]), Verdict::Worth { tried: 0 });
        assert_eq!(worth(20.0, vec![tried(cheap, 9.0), tried(dear, 1.0)]), Verdict::Worth { tried: 1 });
        assert!(matches!(worth(1.5, vec![tried(cheap, 1.0)]), Verdict::NotWorth { .. }));
        let Verdict::NotWorth { reason } = worth(20.0, vec![tried(cheap, 19.0)]) else { panic!() };
        assert!(reason.contains("20.0 typically, 19.0 with dependencies"), "{reason}");
    }

    #[test]
    fn what_is_recommended_can_be_applied_and_undone() {
        let snapshot = registry();
        let one = measured(20.0, vec![tried(StatisticsKind::Mcv, 1.0)]);
        let mut names = Names::new(&snapshot);
        let found = [Found { measured: &one, tried: &one.tried[0] }];
        let first = recommend(&snapshot, &found, &BTreeMap::new(), &mut names);
        assert_eq!(
            first.sql,
            [
                "CREATE STATISTICS public.deployments_environment_id_status_stat (mcv) ON environment_id, status FROM \
                 public.deployments",
                "ANALYZE public.deployments"
            ]
        );
        assert_eq!(first.undo_sql, ["DROP STATISTICS public.deployments_environment_id_status_stat"]);
        assert_eq!(first.confidence, Confidence::Medium);
        let second = recommend(&snapshot, &found, &BTreeMap::new(), &mut names);
        assert!(second.sql[0].contains("deployments_1_environment_id_status_stat "), "{}", second.sql[0]);
    }

    #[test]
    fn one_object_holds_what_conditions_and_groups_want() {
        let snapshot = registry();
        let compared = measured(20.0, vec![tried(StatisticsKind::Mcv, 1.0)]);
        let mut grouped = measured(20.0, vec![tried(StatisticsKind::Ndistinct, 1.0)]);
        for member in &mut grouped.set.members {
            member.comparison = Comparison::Grouped;
        }
        let trials = model::estimate::Trials { measured: vec![compared, grouped], not_measured: Vec::new() };
        let advice = super::super::judge(&snapshot, trials);
        let [only] = advice.recommendations.as_slice() else { panic!("{:?}", advice.recommendations) };
        assert!(only.sql[0].contains("_stat (ndistinct, mcv) ON environment_id, status"), "{}", only.sql[0]);
        assert_eq!(only.resolves.len(), 2);
    }
}
