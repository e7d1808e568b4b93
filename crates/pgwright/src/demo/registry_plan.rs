//! What does the model registry of the demo hold? Everything that rows of several tables must agree on.
//!
//! Source: the scenario of the performance-tuning exercise that the demo re-enacts (a registry that
//! "has been running smoothly" and grew). What makes it behave like a real registry:
//! - models come and go: about one in ten is still active, and those hold the live deployments;
//! - few models and experiments are hot (Zipf's law), most are touched a few times;
//! - nine runs in ten never become a version. Versions that were deployed come from automated
//!   retraining, one or two runs each; versions of research come from sweeps with many runs and are
//!   hardly ever deployed. So runs × deployments per version stays small, as it does in real ones;
//! - times grow denser towards the present, and each table is in the order in which it was written.
//!
//! Only what is needed to connect tables is kept in memory; runs are made on the way to the server.

use uuid::Uuid;

use super::copy_format::Timestamp;
use crate::workload::draw::{Draw, Weights};

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const HOUR: i64 = 3_600 * SECOND;
pub(super) const DAY: i64 = 24 * HOUR;

/// How long the registry has been in use.
const HISTORY: i64 = 730 * DAY;

/// The three models that everybody works on, with the experiment that the dashboards watch.
const HOT: [(&str, &str); 3] = [
    ("fraud-detection", "fraud-exp-001"),
    ("churn-prediction", "churn-exp-002"),
    ("product-recommender", "recommender-exp-003"),
];

const FAMILIES: [&str; 20] = [
    "fraud",
    "churn",
    "recommender",
    "pricing",
    "demand",
    "search-ranking",
    "credit-risk",
    "image-tagging",
    "speech",
    "routing",
    "inventory",
    "support-triage",
    "ad-click",
    "anomaly",
    "sentiment",
    "document-ocr",
    "forecast",
    "segmentation",
    "quality-control",
    "maintenance",
];

/// How many rows each table gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub models: usize,
    pub experiments: usize,
    pub versions: usize,
    pub runs: usize,
    pub deployments: usize,
    pub approvals: usize,
}

impl Sizes {
    pub fn of(scale: f64) -> Self {
        let scaled = |at_one: f64, least: usize| ((at_one * scale).round() as usize).max(least);
        Self {
            models: scaled(2_000.0, 6),
            experiments: scaled(3_000.0, 9),
            versions: scaled(20_000.0, 60),
            runs: scaled(1_000_000.0, 3_000),
            deployments: scaled(200_000.0, 600),
            approvals: scaled(40_000.0, 120),
        }
    }
}

pub(super) struct Model {
    pub id: Uuid,
    pub name: String,
    pub family: usize,
    pub created: Timestamp,
    pub retired: Option<Timestamp>,
    /// What its runs reach on average, between 0 and 1.
    pub quality: f64,
    popularity: f64,
    /// Positions of its experiments.
    pub experiments: Vec<u32>,
}

pub(super) struct Experiment {
    pub name: String,
    pub model: u32,
    weight: f64,
    from: Timestamp,
    until: Timestamp,
}

pub(super) struct Version {
    pub id: Uuid,
    pub model: u32,
    /// Counts the versions of the model, from 0.
    pub number: u32,
    pub registered: Timestamp,
    deployed: bool,
}

/// A run that became (part of) a version.
pub(super) struct RegisteredRun {
    pub created: Timestamp,
    pub version: u32,
}

pub(super) struct Deployment {
    pub at: Timestamp,
    pub version: u32,
    pub environment: i32,
    pub status: &'static str,
}

/// The connections between the tables, drawn once from the seed.
pub(super) struct Plan {
    pub now: Timestamp,
    pub start: Timestamp,
    pub sizes: Sizes,
    pub models: Vec<Model>,
    pub experiments: Vec<Experiment>,
    /// In the order of registration.
    pub versions: Vec<Version>,
    /// In the order of creation.
    pub registered_runs: Vec<RegisteredRun>,
    /// In the order of deployment.
    pub deployments: Vec<Deployment>,
}

impl Plan {
    pub fn new(scale: f64, seed: u64, now: Timestamp) -> Self {
        let sizes = Sizes::of(scale);
        let start = now - HISTORY;
        let mut draw = Draw::new(seed, 1);
        let mut models = models(sizes, start, now, &mut draw);
        let experiments = experiments(sizes, now, &mut models, &mut draw);
        let mut versions = versions(sizes, now, &models, &mut draw);
        let live = live_versions(&models, &mut versions);
        let registered_runs = registered_runs(sizes, &versions, &mut draw);
        let deployments = deployments(sizes, now, &models, &versions, &live, &mut draw);
        Self { now, start, sizes, models, experiments, versions, registered_runs, deployments }
    }
}

/// Where in the history the given share of all events has happened, when their frequency grows
/// linearly from `1 - growth` to `1 + growth`. The inverse of (1 - g) t + g t².
pub(super) fn growing(share: f64, growth: f64) -> f64 {
    let b = 1.0 - growth;
    (((b * b + 4.0 * growth * share).sqrt() - b) / (2.0 * growth)).clamp(0.0, 1.0)
}

fn models(sizes: Sizes, start: Timestamp, now: Timestamp, draw: &mut Draw) -> Vec<Model> {
    let mut numbers = [0u32; FAMILIES.len()];
    let mut models: Vec<Model> = (0..sizes.models)
        .map(|position| {
            let hot = HOT.get(position);
            let share = (position as f64 + draw.unit()) / sizes.models as f64;
            // The hot ones are among the oldest.
            let share = if hot.is_some() { share * 0.2 } else { share };
            let created = start + ((now - start) as f64 * growing(share, 0.3)) as i64;
            let family = if hot.is_some() { position } else { draw.below(FAMILIES.len() as u64) as usize };
            let name = match hot {
                Some((name, _)) => (*name).to_owned(),
                None => {
                    numbers[family] += 1;
                    format!("{}-model-{:03}", FAMILIES[family], numbers[family])
                }
            };
            // Most experiments with a new model are given up within a year.
            let recent = now - created < 90 * DAY;
            let active = hot.is_some() || draw.chance(if recent { 0.22 } else { 0.085 });
            let retired =
                (!active).then(|| created + ((now - created) as f64 * draw.uniform(0.1, 0.95)) as i64);
            Model {
                id: draw.uuid(),
                name,
                family,
                created,
                retired,
                quality: draw.uniform(0.62, 0.93),
                popularity: 0.0,
                experiments: Vec::new(),
            }
        })
        .collect();
    for (model, rank) in models.iter_mut().zip(ranks(sizes.models, draw)) {
        model.popularity = (rank as f64 + 3.0).powf(-0.7);
    }
    models
}

/// A random order of 0..n in which the hot ones come first.
fn ranks(n: usize, draw: &mut Draw) -> Vec<usize> {
    let mut ranks: Vec<usize> = (0..n).collect();
    for position in (HOT.len() + 1..n).rev() {
        let other = HOT.len() + draw.below((position - HOT.len() + 1) as u64) as usize;
        ranks.swap(position, other);
    }
    ranks
}

fn experiments(sizes: Sizes, now: Timestamp, models: &mut [Model], draw: &mut Draw) -> Vec<Experiment> {
    let popularity = Weights::new(models.iter().map(|model| model.popularity));
    // Numbers that the hot experiments have already.
    let mut numbers = [0u32; FAMILIES.len()];
    let ranks = ranks(sizes.experiments, draw);
    (0..sizes.experiments)
        .map(|position| {
            // Every model has one, the popular ones more.
            let model = if position < models.len() { position } else { popularity.pick(draw) };
            let owner = &mut models[model];
            owner.experiments.push(position as u32);
            let name = match HOT.get(position) {
                Some((_, name)) => (*name).to_owned(),
                None => {
                    let number = &mut numbers[owner.family];
                    *number += 1;
                    if owner.family < HOT.len() && *number as usize == owner.family + 1 {
                        *number += 1;
                    }
                    format!("{}-exp-{:03}", FAMILIES[owner.family], number)
                }
            };
            let end = owner.retired.unwrap_or(now);
            let first = position < sizes.models;
            let from = if first {
                owner.created
            } else {
                owner.created + ((end - owner.created) as f64 * draw.uniform(0.0, 0.9)) as i64
            };
            let until = if owner.retired.is_none() && draw.chance(0.7) || first {
                end
            } else {
                from + ((end - from) as f64 * draw.uniform(0.2, 1.0)) as i64
            };
            let weight = (ranks[position] as f64 + 5.0).powf(-0.7);
            Experiment { name, model: model as u32, weight, from, until }
        })
        .collect()
}

fn versions(sizes: Sizes, now: Timestamp, models: &[Model], draw: &mut Draw) -> Vec<Version> {
    let lives: Vec<(Timestamp, i64)> =
        models.iter().map(|model| (model.created, model.retired.unwrap_or(now) - model.created)).collect();
    let weights =
        models.iter().zip(&lives).map(|(model, life)| model.popularity * (life.1 + 10 * DAY) as f64);
    let counts = apportion(sizes.versions, &weights.collect::<Vec<_>>());
    let mut versions = Vec::with_capacity(sizes.versions);
    for (position, (count, (created, life))) in counts.into_iter().zip(lives).enumerate() {
        let deployed_share = if position < HOT.len() { 0.2 } else { 0.15 };
        for number in 0..count {
            let at = (number as f64 + draw.unit()) / count as f64;
            versions.push(Version {
                id: draw.uuid(),
                model: position as u32,
                number: number as u32,
                registered: created + (life as f64 * growing(at, 0.2)) as i64,
                deployed: draw.chance(deployed_share),
            });
        }
    }
    versions.sort_by_key(|version| version.registered);
    versions
}

/// The version that each active model serves in production: its latest deployed one.
fn live_versions(models: &[Model], versions: &mut [Version]) -> Vec<u32> {
    let mut latest: Vec<Option<u32>> = vec![None; models.len()];
    let mut latest_deployed: Vec<Option<u32>> = vec![None; models.len()];
    for (position, version) in versions.iter().enumerate() {
        latest[version.model as usize] = Some(position as u32);
        if version.deployed {
            latest_deployed[version.model as usize] = Some(position as u32);
        }
    }
    let live: Vec<u32> = models
        .iter()
        .enumerate()
        .filter(|(_, model)| model.retired.is_none())
        .filter_map(|(position, _)| latest_deployed[position].or(latest[position]))
        .collect();
    for position in &live {
        versions[*position as usize].deployed = true;
    }
    live
}

fn registered_runs(sizes: Sizes, versions: &[Version], draw: &mut Draw) -> Vec<RegisteredRun> {
    let retrained: Vec<usize> = versions
        .iter()
        .map(|version| if version.deployed { 1 + usize::from(draw.chance(0.15)) } else { 0 })
        .collect();
    let sweeps: Vec<f64> = versions
        .iter()
        .map(|version| if version.deployed { 0.0 } else { 1.0 + draw.exponential(4.0) })
        .collect();
    let rest = (sizes.runs / 10).saturating_sub(retrained.iter().sum());
    let mut runs = Vec::with_capacity(sizes.runs / 10);
    for (position, (retrained, swept)) in retrained.into_iter().zip(apportion(rest, &sweeps)).enumerate() {
        for _ in 0..retrained + swept {
            let created = versions[position].registered - (draw.uniform(6.0, 60.0) * HOUR as f64) as i64;
            runs.push(RegisteredRun { created, version: position as u32 });
        }
    }
    runs.sort_by_key(|run| run.created);
    runs
}

fn deployments(
    sizes: Sizes,
    now: Timestamp,
    models: &[Model],
    versions: &[Version],
    live: &[u32],
    draw: &mut Draw,
) -> Vec<Deployment> {
    let mut deployments = Vec::with_capacity(sizes.deployments);
    let mut is_live = vec![false; versions.len()];

    // One in twenty is active in production: the live version of each active model, once for every
    // cluster and tenant that it serves.
    let reach = |position: &u32| {
        let version = &versions[*position as usize];
        models[version.model as usize].popularity.sqrt() * ((now - version.registered).max(0) + DAY) as f64
    };
    let weights: Vec<f64> = live.iter().map(|position| reach(position).sqrt()).collect();
    for (position, count) in live.iter().zip(apportion(sizes.deployments / 20, &weights)) {
        is_live[*position as usize] = true;
        let registered = versions[*position as usize].registered;
        for _ in 0..count {
            let at = registered + ((now - registered) as f64 * draw.unit()) as i64;
            deployments.push(Deployment { at, version: *position, environment: 1, status: "active" });
        }
    }

    // The rest is history: roll-outs of every deployed version through the environments, which add up
    // with the time that it has been there.
    let history = |version: &Version| (now - version.registered + 20 * DAY) as f64;
    let weights: Vec<f64> = versions
        .iter()
        .map(|version| if version.deployed { history(version) * draw.normal(0.0, 0.8).exp() } else { 0.0 })
        .collect();
    for (position, count) in
        apportion(sizes.deployments - deployments.len(), &weights).into_iter().enumerate()
    {
        let version = &versions[position];
        let end = models[version.model as usize].retired.unwrap_or(now);
        for _ in 0..count {
            let age = (draw.exponential(20.0) * DAY as f64) as i64;
            let longest = (end - version.registered).max(SECOND);
            let at = version.registered + if age < longest { age } else { draw.between(0, longest) };
            let environment = draw.pick(&[1, 1, 2, 2, 2, 3, 3, 3, 3]);
            let status = past_status(environment, is_live[position], now - at, draw);
            deployments.push(Deployment { at, version: position as u32, environment, status });
        }
    }
    deployments.sort_by_key(|deployment| deployment.at);
    deployments
}

fn past_status(environment: i32, live: bool, age: i64, draw: &mut Draw) -> &'static str {
    let chance = draw.unit();
    if age < DAY && chance < 0.3 {
        return "pending";
    }
    match environment {
        1 if chance < 0.85 => "retired",
        1 if chance < 0.93 => "rolled_back",
        1 => "failed",
        _ if live && chance < 0.4 => "active",
        _ if chance < 0.82 => "retired",
        _ if chance < 0.86 => "rolled_back",
        _ => "failed",
    }
}

/// Splits `total` into whole parts in proportion to the weights: largest remainders get the rest.
fn apportion(total: usize, weights: &[f64]) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        return vec![0; weights.len()];
    }
    let exact: Vec<f64> = weights.iter().map(|weight| weight / sum * total as f64).collect();
    let mut parts: Vec<usize> = exact.iter().map(|part| part.floor() as usize).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()).then(a.cmp(&b)));
    let missing = total.saturating_sub(parts.iter().sum());
    for position in by_remainder.into_iter().take(missing) {
        parts[position] += 1;
    }
    parts
}

/// The experiments that are under way at a time, drawn by their weight.
///
/// Source: Fenwick, "A New Data Structure for Cumulative Frequency Tables", 1994. Time only moves
/// forward, so that each experiment enters and leaves once.
pub(super) struct UnderWay<'a> {
    events: std::vec::IntoIter<(Timestamp, u32, f64)>,
    next: Option<(Timestamp, u32, f64)>,
    tree: Vec<f64>,
    running: usize,
    experiments: &'a [Experiment],
}

impl<'a> UnderWay<'a> {
    pub fn new(experiments: &'a [Experiment]) -> Self {
        let mut events: Vec<(Timestamp, u32, f64)> = experiments
            .iter()
            .enumerate()
            .flat_map(|(position, experiment)| {
                let position = position as u32;
                [
                    (experiment.from, position, experiment.weight),
                    (experiment.until, position, -experiment.weight),
                ]
            })
            .collect();
        events.sort_by(|a, b| a.0.cmp(&b.0).then(b.2.total_cmp(&a.2)).then(a.1.cmp(&b.1)));
        let mut events = events.into_iter();
        let next = events.next();
        let tree = vec![0.0; experiments.len().next_power_of_two() + 1];
        Self { events, next, tree, running: 0, experiments }
    }

    /// The position of an experiment that runs at `time`; times must not go back.
    pub fn pick(&mut self, time: Timestamp, draw: &mut Draw) -> usize {
        while let Some((at, position, weight)) = self.next {
            if at > time {
                break;
            }
            self.add(position as usize, weight);
            self.next = self.events.next();
        }
        if self.running == 0 {
            // Before the first experiment: the first hot one.
            return 0;
        }
        let top = self.tree.len() - 1;
        let mut target = draw.unit() * self.tree[top];
        let mut position = 0;
        let mut step = top / 2;
        while step > 0 {
            if self.tree[position + step] <= target {
                position += step;
                target -= self.tree[position];
            }
            step /= 2;
        }
        position.min(self.experiments.len() - 1)
    }

    fn add(&mut self, position: usize, weight: f64) {
        self.running = if weight > 0.0 { self.running + 1 } else { self.running - 1 };
        let mut node = position + 1;
        while node < self.tree.len() {
            self.tree[node] += weight;
            node += node & node.wrapping_neg();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = 800_000_000 * SECOND;

    #[test]
    fn parts_add_up_to_the_whole() {
        assert_eq!(apportion(10, &[1.0, 1.0, 1.0]), [4, 3, 3]);
        assert_eq!(apportion(5, &[0.0, 1.0]), [0, 5]);
        assert_eq!(apportion(5, &[0.0, 0.0]), [0, 0]);
        assert_eq!(apportion(7, &[0.2, 0.5, 0.3]).iter().sum::<usize>(), 7);
    }

    #[test]
    fn growth_keeps_the_ends_and_leans_to_the_present() {
        assert!(growing(0.0, 0.6).abs() < 1e-9);
        assert!((growing(1.0, 0.6) - 1.0).abs() < 1e-9);
        assert!(growing(0.5, 0.6) > 0.55);
    }

    #[test]
    fn the_same_seed_gives_the_same_registry_and_another_seed_another() {
        let ids = |seed| Plan::new(0.01, seed, NOW).versions.iter().map(|v| v.id).collect::<Vec<_>>();
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
    }

    #[test]
    fn the_skew_is_that_of_a_registry() {
        let plan = Plan::new(0.2, 42, NOW);
        let share = |n: usize, of: usize| n as f64 / of as f64;

        let active = plan.models.iter().filter(|model| model.retired.is_none()).count();
        assert!((0.08..0.18).contains(&share(active, plan.models.len())), "{active}");

        let live = plan.deployments.iter().filter(|d| d.environment == 1 && d.status == "active").count();
        assert_eq!(live, plan.sizes.deployments / 20);
        assert_eq!(plan.deployments.len(), plan.sizes.deployments);
        assert_eq!(plan.registered_runs.len(), plan.sizes.runs / 10);
        assert_eq!(plan.versions.len(), plan.sizes.versions);

        let deployed: std::collections::BTreeSet<u32> = plan.deployments.iter().map(|d| d.version).collect();
        assert!(share(deployed.len(), plan.versions.len()) < 0.25, "few versions are deployed");

        // Nothing is active for a retired model.
        assert!(plan.deployments.iter().filter(|d| d.status == "active").all(|d| {
            let version = &plan.versions[d.version as usize];
            plan.models[version.model as usize].retired.is_none()
        }));
    }

    #[test]
    fn nothing_happens_before_its_cause_or_in_the_future() {
        let plan = Plan::new(0.05, 3, NOW);
        for version in &plan.versions {
            let model = &plan.models[version.model as usize];
            assert!(version.registered >= model.created && version.registered <= plan.now);
        }
        for deployment in &plan.deployments {
            let version = &plan.versions[deployment.version as usize];
            assert!(deployment.at >= version.registered && deployment.at <= plan.now + SECOND);
        }
        for run in &plan.registered_runs {
            assert!(run.created < plan.versions[run.version as usize].registered);
        }
    }

    #[test]
    fn the_hot_experiments_are_the_ones_that_dashboards_watch() {
        let plan = Plan::new(0.2, 42, NOW);
        let mut under_way = UnderWay::new(&plan.experiments);
        let mut draw = Draw::new(1, 1);
        let mut counts = vec![0u32; plan.experiments.len()];
        for _ in 0..20_000 {
            counts[under_way.pick(plan.now - DAY, &mut draw)] += 1;
        }
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|&position| std::cmp::Reverse(counts[position]));
        let hottest: Vec<&str> = order[..3].iter().map(|&p| plan.experiments[p].name.as_str()).collect();
        for (_, experiment) in HOT {
            assert!(hottest.contains(&experiment), "{hottest:?}");
        }
        let over: Vec<_> =
            plan.experiments.iter().filter(|e| e.until < plan.now - DAY).map(|e| &e.name).collect();
        assert!(
            counts.iter().enumerate().all(|(p, &n)| n == 0 || !over.contains(&&plan.experiments[p].name))
        );
    }

    #[test]
    fn experiment_names_are_unique() {
        let plan = Plan::new(0.2, 42, NOW);
        let names: std::collections::BTreeSet<&str> =
            plan.experiments.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names.len(), plan.experiments.len());
    }
}
