//! Which rows does the model registry of the demo load? One function per table.
//!
//! Source: the queries of the performance-tuning exercise (steps 1.3 and 2.5, challenge 1), whose
//! columns these tables have, and the usual content of MLflow-like registries for the rest.

use std::fmt::Write;
use std::sync::Arc;

use super::copy_format::{RowSink, Stopped, Timestamp};
use super::registry_plan::{DAY, HOUR, Plan, SECOND, UnderWay, growing};
use super::{Table, TableRows};
use crate::workload::draw::Draw;

const FRAMEWORKS: [&str; 5] = ["pytorch", "xgboost", "sklearn", "tensorflow", "lightgbm"];
const TEAMS: [&str; 9] = [
    "ml-platform",
    "risk-ml",
    "growth-ml",
    "search-ml",
    "vision",
    "speech",
    "logistics",
    "pricing",
    "support-ml",
];
const DEPLOYERS: [&str; 8] = [
    "release-pipeline",
    "release-pipeline",
    "release-pipeline",
    "nightly-retrain",
    "nightly-retrain",
    "ml-platform",
    "risk-ml",
    "growth-ml",
];

/// The tables in the order in which they refer to one another.
pub(super) fn tables(scale: f64, seed: u64, now: Timestamp) -> Vec<Table> {
    let plan = Arc::new(Plan::new(scale, seed, now));
    let table = |name, columns, rows: usize, write: fn(&Plan, Draw, &mut RowSink) -> TableRows, stream| {
        let plan = Arc::clone(&plan);
        let generate = Box::new(move |sink: &mut RowSink| write(&plan, Draw::new(seed, stream), sink));
        Table { name, columns, rows: rows as u64, partitioned: false, generate }
    };
    let sizes = plan.sizes;
    vec![
        table("environments", "environment_id, name, region, created_at", 3, environments, 10),
        table(
            "models",
            "model_id, model_name, description, owner, is_active, created_at",
            sizes.models,
            models,
            11,
        ),
        table(
            "model_versions",
            "version_id, model_id, semver, framework, artifact_uri, registered_at, metadata_",
            sizes.versions,
            model_versions,
            12,
        ),
        table(
            "training_runs",
            "run_id, version_id, model_name, experiment_name, status, accuracy, created_at, started_at, \
             finished_at, hyperparameters, metrics",
            sizes.runs,
            training_runs,
            13,
        ),
        table(
            "deployments",
            "deployment_id, version_id, environment_id, status, deployed_at, deployed_by, replicas",
            sizes.deployments,
            deployments,
            14,
        ),
        table(
            "approvals",
            "approval_id, version_id, status, requested_at, approved_at, approved_by",
            sizes.approvals,
            approvals,
            15,
        ),
    ]
}

fn environments(plan: &Plan, _: Draw, sink: &mut RowSink) -> TableRows {
    for (id, name, region) in
        [(1, "production", "eu-west-1"), (2, "staging", "eu-west-1"), (3, "development", "local")]
    {
        sink.row(4)?.int4(id).text(name).text(region).timestamptz(plan.start - DAY);
    }
    Ok(())
}

fn models(plan: &Plan, mut draw: Draw, sink: &mut RowSink) -> TableRows {
    for model in &plan.models {
        let owner = TEAMS[model.family % TEAMS.len()];
        let description =
            format!("{} for {}, owned by {owner}", model.name, draw.pick(&["web", "app", "batch"]));
        sink.row(6)?
            .uuid(model.id)
            .text(&model.name)
            .text(&description)
            .text(owner)
            .boolean(model.retired.is_none())
            .timestamptz(model.created);
    }
    Ok(())
}

fn model_versions(plan: &Plan, mut draw: Draw, sink: &mut RowSink) -> TableRows {
    for version in &plan.versions {
        let model = &plan.models[version.model as usize];
        let framework = FRAMEWORKS[model.family % FRAMEWORKS.len()];
        let number = version.number;
        let semver = format!("{}.{}.{}", 1 + number / 100, number / 10 % 10, number % 10);
        let uri = format!("s3://model-artifacts/{}/{semver}", model.name);
        let metadata = format!(
            r#"{{"framework":"{framework}","dataset":"{}-v{}","parameters":{},"commit":"{:08x}"}}"#,
            model.name,
            1 + number / 7,
            10u64.pow(draw.between(4, 8) as u32),
            draw.below(1 << 32),
        );
        sink.row(7)?
            .uuid(version.id)
            .uuid(model.id)
            .text(&semver)
            .text(framework)
            .text(&uri)
            .timestamptz(version.registered)
            .jsonb(&metadata);
    }
    Ok(())
}

/// Runs in the order of their creation: the exploratory ones, one at each step of a growing
/// frequency, with those that became versions merged in.
fn training_runs(plan: &Plan, mut draw: Draw, sink: &mut RowSink) -> TableRows {
    let mut writer = RunWriter { plan, hyperparameters: String::new(), metrics: String::new() };
    let mut registered = plan.registered_runs.iter().peekable();
    let mut under_way = UnderWay::new(&plan.experiments);
    let exploratory = plan.sizes.runs - plan.registered_runs.len();
    let history = (plan.now - plan.start) as f64;
    for position in 0..exploratory {
        let share = (position as f64 + draw.unit()) / exploratory as f64;
        let created = plan.start + (history * growing(share, 0.6)) as i64;
        while let Some(run) = registered.next_if(|run| run.created <= created) {
            writer.registered(run.created, run.version as usize, &mut draw, sink)?;
        }
        let experiment = under_way.pick(created, &mut draw);
        writer.exploratory(created, experiment, &mut draw, sink)?;
    }
    for run in registered {
        writer.registered(run.created, run.version as usize, &mut draw, sink)?;
    }
    Ok(())
}

struct RunWriter<'a> {
    plan: &'a Plan,
    hyperparameters: String,
    metrics: String,
}

impl RunWriter<'_> {
    fn registered(
        &mut self,
        created: Timestamp,
        version: usize,
        draw: &mut Draw,
        sink: &mut RowSink,
    ) -> Result<(), Stopped> {
        let model = self.plan.versions[version].model as usize;
        let experiment = draw.pick(&self.plan.models[model].experiments) as usize;
        // What becomes a version has ended before it is registered.
        let duration = (duration(draw)).min(5 * HOUR);
        let status = if draw.chance(0.97) { "succeeded" } else { "failed" };
        self.write(created, duration, status, Some(version), experiment, draw, sink)
    }

    fn exploratory(
        &mut self,
        created: Timestamp,
        experiment: usize,
        draw: &mut Draw,
        sink: &mut RowSink,
    ) -> Result<(), Stopped> {
        let duration = duration(draw);
        let status = match draw.unit() {
            chance if chance < 0.80 => "succeeded",
            chance if chance < 0.94 => "failed",
            _ => "cancelled",
        };
        // Failed runs end early.
        let duration = if status == "succeeded" { duration } else { duration / 3 };
        self.write(created, duration, status, None, experiment, draw, sink)
    }

    #[allow(clippy::too_many_arguments)] // one row, one call
    fn write(
        &mut self,
        created: Timestamp,
        duration: i64,
        outcome: &str,
        version: Option<usize>,
        experiment: usize,
        draw: &mut Draw,
        sink: &mut RowSink,
    ) -> Result<(), Stopped> {
        let plan = self.plan;
        let experiment = &plan.experiments[experiment];
        let model = &plan.models[experiment.model as usize];
        let started = created + (draw.exponential(90.0) * SECOND as f64) as i64;
        let finished = started + duration;
        let (status, started, finished) = if started > plan.now {
            ("queued", None, None)
        } else if finished > plan.now {
            ("running", Some(started), None)
        } else {
            (outcome, Some(started), Some(finished))
        };
        let succeeded = status == "succeeded";
        // Only a run that went through has an accuracy; later runs of a model tend to be better.
        let progress = 0.05 * (created - plan.start) as f64 / (plan.now - plan.start) as f64;
        let accuracy = round4(draw.normal(model.quality + progress, 0.035).clamp(0.05, 0.9999));
        self.describe(model.family, accuracy, succeeded, draw);
        sink.row(11)?
            .uuid(draw.uuid())
            .optional(version, |sink, version| {
                sink.uuid(plan.versions[version].id);
            })
            .text(&model.name)
            .text(&experiment.name)
            .text(status)
            .optional(succeeded.then_some(accuracy), |sink, accuracy| {
                sink.float8(accuracy);
            })
            .timestamptz(created)
            .optional(started, |sink, at| {
                sink.timestamptz(at);
            })
            .optional(finished, |sink, at| {
                sink.timestamptz(at);
            })
            .jsonb(&self.hyperparameters)
            .jsonb(&self.metrics);
        Ok(())
    }

    fn describe(&mut self, family: usize, accuracy: f64, succeeded: bool, draw: &mut Draw) {
        let json = &mut self.hyperparameters;
        json.clear();
        // Half of the runs search the learning rate, the others use the team's default. Writing to a
        // String cannot fail.
        let rate = if draw.chance(0.5) { 10f64.powf(draw.uniform(-5.0, -1.0)) } else { 0.001 };
        let _ = write!(json, r#"{{"learning_rate":{rate:.6},"batch_size":{}"#, 16 << draw.below(6));
        if family.is_multiple_of(2) {
            let optimizer = draw.pick(&["adam", "adam", "adamw", "sgd"]);
            let _ = write!(json, r#","epochs":{},"optimizer":"{optimizer}"}}"#, 5 * draw.between(1, 20));
        } else {
            let depth = draw.between(3, 12);
            let _ = write!(json, r#","max_depth":{depth},"n_estimators":{}}}"#, 50 * draw.between(1, 20));
        }

        let json = &mut self.metrics;
        json.clear();
        if !succeeded {
            json.push_str("{}");
            return;
        }
        let loss = (1.0 - accuracy) * draw.uniform(1.5, 4.0);
        let precision = (accuracy + draw.normal(0.0, 0.02)).clamp(0.0, 1.0);
        let recall = (accuracy + draw.normal(0.0, 0.03)).clamp(0.0, 1.0);
        let f1 = if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
        let _ = write!(
            json,
            r#"{{"loss":{loss:.6},"precision":{precision:.4},"recall":{recall:.4},"f1":{f1:.4}}}"#
        );
    }
}

/// How long a run takes: most under two hours, some all night.
fn duration(draw: &mut Draw) -> i64 {
    (draw.normal(0.3, 0.9).exp().clamp(0.02, 20.0) * HOUR as f64) as i64
}

fn round4(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

fn deployments(plan: &Plan, mut draw: Draw, sink: &mut RowSink) -> TableRows {
    for deployment in &plan.deployments {
        let replicas = if deployment.environment == 1 { draw.between(2, 12) } else { draw.between(1, 2) };
        sink.row(7)?
            .uuid(draw.uuid())
            .uuid(plan.versions[deployment.version as usize].id)
            .int4(deployment.environment)
            .text(deployment.status)
            .timestamptz(deployment.at)
            .text(draw.pick(&DEPLOYERS))
            .int4(replicas as i32);
    }
    Ok(())
}

fn approvals(plan: &Plan, mut draw: Draw, sink: &mut RowSink) -> TableRows {
    let (versions, total) = (plan.versions.len(), plan.sizes.approvals);
    for position in 0..total {
        // In the order of the versions, about two for each.
        let version = &plan.versions[position * versions / total];
        let requested = (version.registered + (draw.exponential(8.0) * HOUR as f64) as i64).min(plan.now);
        let answered = (requested + (draw.exponential(20.0) * HOUR as f64) as i64).min(plan.now);
        let status = match draw.unit() {
            chance if chance < 0.30 => "approved",
            chance if chance < 0.70 => "superseded",
            chance if chance < 0.90 => "rejected",
            _ => "pending",
        };
        let approved = (status == "approved").then_some(answered);
        sink.row(6)?
            .uuid(draw.uuid())
            .uuid(version.id)
            .text(status)
            .timestamptz(requested)
            .optional(approved, |sink, at| {
                sink.timestamptz(at);
            })
            .optional(approved, |sink, _| {
                sink.text(draw.pick(&TEAMS));
            });
    }
    Ok(())
}
