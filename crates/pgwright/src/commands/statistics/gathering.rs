//! Samples into a local server, and twins of other visibility: what `statistics` and `advise` measure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use advice::Advice;
use advice::statistics::{
    Candidate, StatisticsAdvice, add_plan_changes, all_visible, candidates, for_definition, index_only_scans,
    trial_of_plans,
};
use advice::what_if::{Before, Wanted};
use advice::workload::Workload;
use cluster::Binaries;
use model::cost_model::Configuration;
use model::estimate::{NotMeasured, SampleFacts, Trials};
use model::snapshot::{Relation, RelationKind};
use model::{
    Change, QualifiedName, Recommendation, Rejected, Snapshot, StatisticsDefinition, StatisticsKind,
};
use postgres::sample::{SampleLimits, SampleSource};
use postgres::{Session, SessionOptions, Target};
use trial::{Existing, Source, Trial, TrialOptions};

use super::Sampling;
use crate::commands::Context;
use crate::commands::cost_model::{Engine, Model};
use crate::commands::logged_values::ByStatement;
use crate::error::CommandError;
use crate::printer::count;

/// No further table is begun after this time.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// On what is measured.
pub struct Site<'a> {
    pub context: &'a Context,
    pub snapshot: &'a Snapshot,
    /// The server; `None` for a snapshot file.
    pub target: Option<&'a Target>,
    /// What could not be done, in sentences.
    pub notes: &'a mut Vec<String>,
}

/// Adds what `advise` recommends of statistics.
///
/// # Errors
/// Fails when a local server does not start or stops working.
pub async fn add_to_advice(
    site: &mut Site<'_>,
    model: &mut Model,
    sampling: &Sampling,
    observed: &ByStatement,
    advice: &mut Advice,
) -> Result<(), CommandError> {
    let workload = Workload::from_snapshot(site.snapshot, observed);
    // What is not measured is no news to who did not ask for it.
    let trials = match site.target {
        Some(_) if !sampling.no_sample => site.trials(&workload, sampling, None).await?,
        _ => Trials::default(),
    };
    let mut found = advice::statistics::judge(site.snapshot, trials);
    // An index on an expression brings statistics of it along, and what others are worth beside it was not measured.
    let brought = |r: &Recommendation| advice.recommendations.iter().any(|index| brings_statistics(index, r));
    let (brought, others): (Vec<_>, Vec<_>) = found.recommendations.into_iter().partition(brought);
    found.recommendations = others;
    found.rejected.extend(brought.iter().flat_map(|r| &r.changes).filter_map(|change| match change {
        Change::CreateStatistics { statistics } => Some(Rejected {
            candidate: statistics.create_sql(),
            reason: "a recommended index brings statistics of its expression; advise again after it".into(),
        }),
        _ => None,
    }));
    site.plan_changes(model, &mut found).await?;
    site.index_only(model, &mut found).await?;
    // Of two VACUUMs of a table that with its effects stays.
    let vacuumed = vacuumed_tables(&found.recommendations);
    advice.recommendations.retain(|r| !only_vacuums(r, &vacuumed));
    // An index that is built for index-only scans brings its VACUUM along.
    let beside_index = vacuumed_tables(&advice.recommendations);
    found.recommendations.retain(|r| !only_vacuums(r, &beside_index));
    advice.recommendations.extend(found.recommendations);
    advice.rejected.extend(found.rejected);
    Ok(())
}

/// The tables that are vacuumed, alone or beside something else.
pub(super) fn vacuumed_tables(recommendations: &[Recommendation]) -> BTreeSet<QualifiedName> {
    let changes = recommendations.iter().flat_map(|r| &r.changes);
    changes.filter(|c| matches!(c, Change::Vacuum { .. })).map(|c| c.table().clone()).collect()
}

/// Whether a recommendation is a VACUUM of one of these tables and nothing else.
pub(super) fn only_vacuums(recommendation: &Recommendation, tables: &BTreeSet<QualifiedName>) -> bool {
    matches!(recommendation.changes.as_slice(), [Change::Vacuum { table }] if tables.contains(table))
}

impl Site<'_> {
    /// Tries what is worth trying, or what somebody wants to try, on samples.
    ///
    /// # Errors
    /// Fails when a local server stops working; that no sample can be taken is told beside the sets.
    pub async fn trials(
        &mut self,
        workload: &Workload,
        sampling: &Sampling,
        wanted: Option<&StatisticsDefinition>,
    ) -> Result<Trials, CommandError> {
        let mut trials = Trials::default();
        let by_table: Vec<(QualifiedName, Vec<Candidate>)> = match wanted {
            Some(wanted) => {
                let (sets, not_measured) = for_definition(self.snapshot, workload, wanted);
                trials.not_measured = not_measured;
                vec![(wanted.table.clone(), sets)]
            }
            None => {
                let found = candidates(self.snapshot, workload);
                trials.not_measured = found.not_measured;
                let mut by_table: Vec<_> = found.by_table.into_iter().collect();
                // The most time first, should there be no time for all.
                let weight = |sets: &[Candidate]| sets.iter().map(|(s, _)| s.total_ms).fold(0.0, f64::max);
                by_table.sort_by(|a, b| weight(&b.1).total_cmp(&weight(&a.1)).then_with(|| a.0.cmp(&b.0)));
                by_table
            }
        };
        let give_up = |trials: &mut Trials, sets: Vec<Candidate>, reason: &str| {
            let untried = sets.into_iter().map(|(set, _)| NotMeasured { set, reason: reason.to_owned() });
            trials.not_measured.extend(untried);
        };
        if by_table.iter().all(|(_, sets)| sets.is_empty()) {
            return Ok(trials);
        }
        let obstacle = match self.target {
            None => Some("a snapshot holds no rows to draw a sample from"),
            Some(_) if sampling.no_sample => Some("no sample was to be taken (--no-sample)"),
            Some(_) if self.snapshot.schema_sql.is_empty() => {
                Some("without the schema a sample has no types")
            }
            Some(_) => None,
        };
        let Some(target) = self.target.filter(|_| obstacle.is_none()) else {
            for (_, sets) in by_table {
                give_up(&mut trials, sets, obstacle.unwrap_or_default());
            }
            return Ok(trials);
        };
        let options = SessionOptions { read_only: true, ..SessionOptions::default() };
        let session = target.connect(&options).await?;
        let spinner = self.context.printer.spinner("trying statistics on samples");
        let tried = self.try_all(&session, sampling, by_table, &mut trials).await;
        spinner.finish_and_clear();
        tried?;
        Ok(trials)
    }

    async fn try_all(
        &mut self,
        session: &Session,
        sampling: &Sampling,
        by_table: Vec<(QualifiedName, Vec<Candidate>)>,
        trials: &mut Trials,
    ) -> Result<(), CommandError> {
        let found = Binaries::discover(&self.context.search());
        let binaries = match Trial::choose_binaries(self.snapshot, &found) {
            Ok(binaries) => binaries,
            Err(error) => {
                self.notes.push(format!("no statistics were tried: {error}"));
                return Ok(());
            }
        };
        // Without it everything else can still be said.
        let mut trial = match Trial::start(self.snapshot, &binaries, TrialOptions::default()).await {
            Ok(trial) => trial,
            Err(error) => {
                let detail = error.detail().unwrap_or_default();
                self.notes.push(format!("no statistics were tried: {error}. {detail}").trim_end().to_owned());
                return Ok(());
            }
        };
        let until = Instant::now() + TIME_LIMIT;
        for (table, sets) in by_table {
            let late = (Instant::now() > until).then(|| "time was up".to_owned());
            let taken = match (late, self.snapshot.relation(&table)) {
                (Some(reason), _) => Err(reason),
                (None, None) => Err(format!("{table} is not in the snapshot")),
                (None, Some(relation)) => {
                    let columns: Vec<String> = sets
                        .iter()
                        .flat_map(|(set, _)| set.needed_columns())
                        .collect::<BTreeSet<_>>()
                        .into_iter()
                        .collect();
                    self.sample(session, relation, columns, sampling).await.map(|taken| (relation, taken))
                }
            };
            match taken {
                Err(reason) => trials
                    .not_measured
                    .extend(sets.into_iter().map(|(set, _)| NotMeasured { set, reason: reason.clone() })),
                Ok((relation, (columns, sample, facts))) => {
                    let existing = existing(self.snapshot, &table, &columns);
                    let source = Source { relation, columns: &columns, data: sample.data, facts, existing };
                    let (measured, not_measured) = trial.measure(&source, &sets).await?;
                    trials.measured.extend(measured);
                    trials.not_measured.extend(not_measured);
                }
            }
        }
        trial.stop().await?;
        Ok(())
    }

    /// What ANALYZE would find of columns of a table if it ran now, from a sample of it, or why that is not known.
    ///
    /// # Errors
    /// Fails when a local server stops working.
    pub async fn analyzed(
        &mut self,
        sampling: &Sampling,
        table: &QualifiedName,
        columns: Vec<String>,
    ) -> Result<Result<Vec<(String, model::snapshot::ColumnStatistics)>, String>, CommandError> {
        let (Some(target), Some(relation)) = (self.target, self.snapshot.relation(table)) else {
            return Ok(Err("there are no rows to draw a sample from".into()));
        };
        let found = Binaries::discover(&self.context.search());
        let binaries = match Trial::choose_binaries(self.snapshot, &found) {
            Ok(binaries) => binaries,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let session =
            target.connect(&SessionOptions { read_only: true, ..SessionOptions::default() }).await?;
        let (columns, sample, facts) = match self.sample(&session, relation, columns, sampling).await {
            Ok(taken) => taken,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut trial = match Trial::start(self.snapshot, &binaries, TrialOptions::default()).await {
            Ok(trial) => trial,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let source = Source { relation, columns: &columns, data: sample.data, facts, existing: Vec::new() };
        let analyzed = trial.analyze(&source).await;
        trial.stop().await?;
        Ok(analyzed?)
    }

    /// Takes a sample, or tells why there is none.
    async fn sample(
        &self,
        session: &Session,
        relation: &Relation,
        columns: Vec<String>,
        sampling: &Sampling,
    ) -> Result<(Vec<String>, postgres::sample::Sample, SampleFacts), String> {
        let partitioned = relation.kind == RelationKind::PartitionedTable;
        let (rows, pages) = extent(self.snapshot, relation);
        let mut columns = columns;
        // In the order of the table, as statistics of several columns hold their values.
        columns.sort_by_key(|name| relation.column(name).map_or(0, |c| c.attnum));
        let row_bytes: i64 =
            columns.iter().filter_map(|c| relation.column(c)).map(|c| i64::from(c.average_width()) + 2).sum();
        let source = SampleSource {
            table: &relation.name,
            columns: &columns,
            with_children: partitioned,
            rows,
            pages,
            row_bytes: u64::try_from(row_bytes).unwrap_or(1),
        };
        let limits = SampleLimits {
            rows: sampling.sample_rows,
            statement_timeout: sampling.sample_timeout,
            lock_timeout: self.context.settings.lock_timeout,
            ..SampleLimits::default()
        };
        let sample = postgres::sample::read(session, &source, &limits).await.map_err(|e| {
            let detail = e.detail().map(|d| format!(": {}", d.trim_end_matches('.'))).unwrap_or_default();
            format!("no sample could be taken: {e}{detail}")
        })?;
        if sample.is_cut {
            return Err(format!(
                "its rows are so wide that {} hold only {} of them",
                model::Bytes(limits.bytes as u64),
                sample.rows
            ));
        }
        let facts = SampleFacts {
            rows: sample.rows as f64,
            of_rows: rows.max(sample.rows as f64),
            bytes: sample.bytes,
            is_whole: sample.is_whole,
        };
        Ok((columns, sample, facts))
    }

    /// Whether there is something to plan.
    pub fn wants_twin(&self, found: &StatisticsAdvice) -> bool {
        all_visible(self.snapshot).is_some() || trial_of_plans(self.snapshot, found).is_some()
    }

    /// Plans the statements whose estimates are off with the statistics that are recommended, and adds what becomes of
    /// their plans.
    ///
    /// # Errors
    /// Fails when a twin does not start or stops working.
    pub async fn plan_changes(
        &mut self,
        model: &mut Model,
        found: &mut StatisticsAdvice,
    ) -> Result<(), CommandError> {
        let Some(trial) = trial_of_plans(self.snapshot, found) else { return Ok(()) };
        if !matches!(model, Model::Twin(_)) {
            self.notes.push(
                "whether plans become others with the recommended statistics was not tried: only a planner twin holds \
                 statistics that are not there"
                    .into(),
            );
            return Ok(());
        }
        let mut other = self.context.start_model(Engine::Twin, &trial.snapshot).await?;
        let what_if = trial.run(self.snapshot, model, &mut other).await.map_err(advice::AdviceError::from)?;
        add_plan_changes(found, &what_if);
        Ok(())
    }

    /// Plans the workload with every page marked all-visible, and adds what gains.
    ///
    /// # Errors
    /// Fails when a twin does not start or stops working.
    pub async fn index_only(
        &mut self,
        model: &mut Model,
        found: &mut StatisticsAdvice,
    ) -> Result<(), CommandError> {
        let Some(mut marked) = all_visible(self.snapshot) else { return Ok(()) };
        // HypoPG plans with the server's own visibility map.
        if !matches!(model, Model::Twin(_)) {
            return Ok(());
        }
        marked.notes.clear();
        let mut other = self.context.start_model(Engine::Twin, &marked).await?;
        let current = Configuration::current();
        let before = Before::plan(self.snapshot, model, &current, Wanted::default(), &mut |_, _| {}).await;
        let compared = match before {
            Ok(before) => before.compare(&mut other, &current, &mut |_, _| {}).await,
            Err(error) => Err(error),
        };
        let what_if = compared.map_err(advice::AdviceError::from)?;
        let (scans, recommendations) = index_only_scans(self.snapshot, &what_if);
        for recommendation in recommendations {
            let table = recommendation.changes.last().map(|c| c.table().clone());
            // Without statements that gain it was recommended for its own sake.
            found.recommendations.retain(|r| {
                !matches!(r.changes.as_slice(), [Change::Vacuum { table: other }] if Some(other) == table.as_ref())
            });
            found.recommendations.push(recommendation);
        }
        found.index_only = scans;
        Ok(())
    }
}

/// Whether a recommendation makes an index on an expression that another makes statistics of.
fn brings_statistics(index: &Recommendation, statistics: &Recommendation) -> bool {
    let expressions = statistics.changes.iter().find_map(|c| match c {
        Change::CreateStatistics { statistics } => Some((&statistics.table, &statistics.expressions)),
        _ => None,
    });
    let Some((table, expressions)) = expressions else { return false };
    index.changes.iter().any(|c| {
        matches!(c, Change::CreateIndex { index } if &index.table == table && index.predicate.is_none()
            && index.keys.iter().any(|k| matches!(&k.target, model::KeyTarget::Expression(text) if expressions.iter().any(|e| sql::same_expression(text, e)))))
    })
}

/// Rows and pages of a table, those of partitions added up.
fn extent(snapshot: &Snapshot, relation: &Relation) -> (f64, u64) {
    if relation.kind != RelationKind::PartitionedTable {
        return (relation.rows(), u64::try_from(relation.pages.max(relation.relpages)).unwrap_or(0));
    }
    let (mut rows, mut pages) = (0.0, 0);
    let mut open = vec![&relation.name];
    while let Some(parent) = open.pop() {
        let parts = snapshot
            .relations
            .iter()
            .filter(|r| r.parent.as_ref() == Some(parent) && r.partition_bound.is_some());
        for part in parts {
            match part.kind {
                RelationKind::PartitionedTable => open.push(&part.name),
                _ => {
                    rows += part.rows();
                    pages += u64::try_from(part.pages.max(part.relpages)).unwrap_or(0);
                }
            }
        }
    }
    (rows, pages)
}

/// Statistics objects of a table that a sample of these columns can have too.
fn existing(snapshot: &Snapshot, table: &QualifiedName, columns: &[String]) -> Vec<Existing> {
    let has = |name: &String| columns.contains(name);
    let objects = snapshot.extended_statistics.iter().filter(|s| {
        &s.table == table
            && s.columns.iter().all(has)
            && s.expressions.iter().all(|e| sql::expression_ingredients(e).columns.iter().all(has))
    });
    objects
        .map(|s| {
            let kinds = [StatisticsKind::Ndistinct, StatisticsKind::Dependencies, StatisticsKind::Mcv];
            Existing {
                kinds: kinds.into_iter().filter(|k| s.kinds.contains(&k.letter())).collect(),
                columns: s.columns.clone(),
                expressions: s.expressions.clone(),
                target: s.target,
            }
        })
        .filter(|e| e.columns.len() + e.expressions.len() > 1 || !e.expressions.is_empty())
        .collect()
}

/// `3 sets of columns`.
pub(super) fn sets(number: usize) -> String {
    match number {
        1 => "1 set of columns".to_owned(),
        _ => count(number, "set").replace("sets", "sets of columns"),
    }
}
