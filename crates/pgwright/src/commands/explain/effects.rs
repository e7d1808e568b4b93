//! What would a remedy be worth? The planner twin plans the one statement with it: the index advisor chooses
//! among indexes, a setting is set, and the rules of `rewrite` look for another text.

mod keys;
mod refreshed;

use advice::rewriting::{Depth, WeighedRewrite, Worth, rewrite, typed_statement};
use advice::statistics::{Verdict, verdict};
use advice::workload::Workload;
use model::cost_model::{Configuration, CostModel as _};
use model::estimate::Measured;
use model::snapshot::Statement;
use model::{Millis, Snapshot};
use plan::Plan;
use plan::checks::Remedy;
use plan::remedy::{Advised, Estimate};

use super::{Args, Explained};
use crate::commands::Context;
use crate::commands::cost_model::{Engine, Model};
use crate::commands::statistics::Site;
use crate::error::CommandError;

const BY: &str = "planner twin";

/// Calls that the statement counts as, so that upkeep of an index does not weigh more than its use.
const CALLS: i64 = 1_000;

/// Adds what the twin says to the remedies that it can judge; why it cannot is a note. Returns the keys of findings that
/// the twin does not confirm.
pub(super) async fn estimate(
    context: &Context,
    args: &Args,
    plan: &Plan,
    explained: &mut Explained,
    database: Option<Snapshot>,
    remedies: &mut [Advised],
) -> Vec<String> {
    let judged = |r: &Advised| {
        matches!(r.kind, Remedy::Index | Remedy::ForeignKeyIndex | Remedy::Rewrite)
            || r.setting.is_some()
            || refreshed::concerns(args, r)
            || (r.kind == Remedy::CustomPlan && explained.unbound.is_some())
            || wants_sample(args, r)
            || wants_vacuum(r)
    };
    let Some(sql) = explained.sql.clone() else { return Vec::new() };
    if !remedies.iter().any(judged)
        || sql::ParsedStatement::parse(&sql).is_ok_and(|p| !p.parameters().is_empty())
    {
        return Vec::new();
    }
    match try_all(context, args, plan, explained, database, &sql, remedies).await {
        Ok(unconfirmed) => unconfirmed,
        Err(error) => {
            explained.notes.push(format!("nothing was tried on a planner twin: {}", error.message));
            Vec::new()
        }
    }
}

async fn try_all(
    context: &Context,
    args: &Args,
    plan: &Plan,
    explained: &Explained,
    database: Option<Snapshot>,
    sql: &str,
    remedies: &mut [Advised],
) -> Result<Vec<String>, CommandError> {
    let snapshot = match (&args.snapshot, &explained.target, database) {
        (Some(_), _, Some(snapshot)) => Some(snapshot),
        (None, Some(target), _) => Some(context.snapshot_of(target).await?),
        _ => None,
    };
    let Some(mut snapshot) = snapshot else { return Ok(Vec::new()) };
    snapshot.statements = vec![statement(sql, plan)];
    let mut model = context.start_model(Engine::Twin, &snapshot).await?;
    for remedy in remedies.iter_mut() {
        // The planner took Memoize for the cheapest: what it says of another plan rests on the same error.
        // What JIT takes is measured; no cost says it.
        let judged = |kind| !matches!(kind, Remedy::NoMemoize | Remedy::NoJit);
        if let Some((name, value)) = remedy.setting.clone().filter(|_| judged(remedy.kind)) {
            remedy.estimate = with_setting(&mut model, sql, &name, &value).await?;
        }
    }
    for remedy in remedies.iter_mut().filter(|r| r.kind == Remedy::ForeignKeyIndex) {
        keys::estimate(&snapshot, &mut model, plan, remedy).await?;
    }
    if let Some(text) = &explained.unbound {
        for remedy in remedies.iter_mut().filter(|r| r.kind == Remedy::CustomPlan && r.estimate.is_none()) {
            remedy.estimate = custom_plan(&mut model, text, sql).await;
        }
    }
    if let Some(remedy) = remedies.iter_mut().find(|r| r.kind == Remedy::Rewrite) {
        written_otherwise(&snapshot, &mut model, sql, remedy).await?;
    }
    if remedies.iter().any(|r| wants_sample(args, r))
        && let Some(target) = &explained.target
    {
        try_statistics(context, args, plan, &snapshot, target, &mut model, remedies).await?;
    }
    if let Some(at) = remedies.iter().position(|r| r.kind == Remedy::Index) {
        match index(&snapshot, &mut model).await? {
            Ok((title, sql, estimate)) => {
                let remedy = &mut remedies[at];
                (remedy.title, remedy.sql, remedy.estimate) = (title, sql, Some(estimate));
            }
            // Other remedies of the same findings remain.
            Err(reason) => {
                remedies[at].title = reason;
                let others = |key: &String| {
                    let serves = |(number, r): (usize, &Advised)| number != at && r.resolves.contains(key);
                    remedies.iter().enumerate().any(serves)
                };
                if remedies[at].resolves.iter().all(others) {
                    remedies[at].resolves.clear();
                }
            }
        }
    }
    let mut site =
        Site { context, snapshot: &snapshot, target: explained.target.as_ref(), notes: &mut Vec::new() };
    refreshed::estimate(&mut site, args, &mut model, sql, remedies).await?;
    vacuumed(context, &snapshot, &mut model, sql, remedies).await
}

/// Whether VACUUM is hoped to make a scan index-only.
fn wants_vacuum(remedy: &Advised) -> bool {
    remedy.kind == Remedy::Vacuum && remedy.resolves.iter().any(|key| key.starts_with(INDEX_ONLY))
}

/// The check whose findings a twin with every page marked all-visible confirms or not.
const INDEX_ONLY: &str = "vacuum-for-index-only:";

/// A gain of less than this share is none.
const CONFIRMED: f64 = 0.95;

/// Plans with every page marked all-visible; returns the keys of findings that nothing comes of.
async fn vacuumed(
    context: &Context,
    snapshot: &Snapshot,
    model: &mut Model,
    sql: &str,
    remedies: &mut [Advised],
) -> Result<Vec<String>, CommandError> {
    if !remedies.iter().any(wants_vacuum) {
        return Ok(Vec::new());
    }
    let Some(mut marked) = advice::statistics::all_visible(snapshot) else { return Ok(Vec::new()) };
    // What could not be read was told with the first twin.
    marked.notes.clear();
    let current = Configuration::current();
    let Ok(before) = model.plan(sql, &current).await else { return Ok(Vec::new()) };
    let mut other = context.start_model(Engine::Twin, &marked).await?;
    let Ok(after) = other.plan(sql, &current).await else { return Ok(Vec::new()) };
    let alone = |planned: &model::cost_model::Planned| {
        let plan = Plan::from_json(&planned.explain).unwrap_or_default();
        plan.nodes.iter().filter(|n| n.is("Index Only Scan")).count()
    };
    let confirmed = after.total_cost < CONFIRMED * before.total_cost && alone(&after) > 0;
    let mut unconfirmed = Vec::new();
    for remedy in remedies.iter_mut().filter(|r| wants_vacuum(r)) {
        if confirmed {
            remedy.estimate = Some(Estimate {
                cost_before: before.total_cost,
                cost_after: after.total_cost,
                by: BY,
                rests_on_other_rows: false,
            });
        } else {
            unconfirmed.extend(remedy.resolves.iter().filter(|key| key.starts_with(INDEX_ONLY)).cloned());
        }
    }
    Ok(unconfirmed)
}

/// Whether statistics could be tried for a remedy: those of one table.
fn wants_sample(args: &Args, remedy: &Advised) -> bool {
    remedy.kind == Remedy::Statistics && !remedy.sql.is_empty() && !args.sampling.no_sample
}

/// Tries statistics of the statement's columns on a sample, and puts what helps, or that nothing does, in the place of
/// the guess.
async fn try_statistics(
    context: &Context,
    args: &Args,
    plan: &Plan,
    snapshot: &Snapshot,
    target: &postgres::Target,
    model: &mut Model,
    remedies: &mut [Advised],
) -> Result<(), CommandError> {
    let workload = Workload::from_snapshot(snapshot, &Default::default());
    let mut notes = Vec::new();
    let mut site = Site { context, snapshot, target: Some(target), notes: &mut notes };
    let trials = site.trials(&workload, &args.sampling, None).await?;
    let mut found = advice::statistics::judge(snapshot, trials);
    site.plan_changes(model, &mut found).await?;
    for remedy in remedies.iter_mut().filter(|r| wants_sample(args, r)) {
        let analyze = remedy.sql.last().cloned().unwrap_or_default();
        let columns = columns_of(plan, remedy);
        let of_table = |m: &&Measured| format!("ANALYZE {}", m.set.table) == analyze;
        let of_node = |m: &&Measured| m.set.needed_columns().iter().all(|c| columns.contains(c.as_str()));
        let measured: Vec<&Measured> = found.measured.iter().filter(of_table).filter(of_node).collect();
        let helps = found.recommendations.iter().find(|r| {
            let own =
                |m: &&Measured| r.resolves.iter().any(|key| key.ends_with(&format!(" ({})", m.set.label())));
            r.sql.last() == Some(&analyze) && measured.iter().any(own)
        });
        match (helps, measured.first()) {
            (Some(helps), _) => {
                remedy.title =
                    format!("{} (recommendation {}): {}", helps.title, helps.id, told(&helps.rationale));
                remedy.sql = helps.sql.iter().map(|s| s.trim_end_matches(';').to_owned()).collect();
                let planned = found.plans.iter().find(|p| p.recommendations.contains(&helps.id));
                remedy.estimate = planned.map(|p| Estimate {
                    cost_before: p.cost_before,
                    cost_after: p.cost_after,
                    by: BY,
                    rests_on_other_rows: true,
                });
            }
            (None, Some(measured)) => {
                if let Verdict::NotWorth { reason } = verdict(measured) {
                    let table = &measured.set.table;
                    remedy.title = format!(
                        "fresh statistics of {table}; those of its columns together do not help, as tried on a sample: \
                         {reason}"
                    );
                    remedy.sql = vec![analyze];
                }
            }
            // Nothing was measured: the guess stays one.
            (None, None) => {}
        }
    }
    Ok(())
}

/// The columns that the nodes name whose findings a remedy mends.
fn columns_of<'p>(plan: &'p Plan, remedy: &Advised) -> std::collections::BTreeSet<&'p str> {
    let nodes = remedy.resolves.iter().filter_map(|key| key.rsplit(' ').next()?.parse::<usize>().ok());
    nodes.filter_map(|n| plan.nodes.get(n)).flat_map(plan::remedy::named_columns).collect()
}

/// A rationale without what collecting the statistics takes.
fn told(rationale: &str) -> String {
    let sentences = rationale.split(" ANALYZE of the sample took ");
    let told = sentences.enumerate().map(|(number, part)| match number {
        0 => part,
        _ => part.split_once(". ").map_or("", |(_, rest)| rest),
    });
    told.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The statement as `pg_stat_statements` would have counted it.
fn statement(sql: &str, plan: &Plan) -> Statement {
    let mean =
        plan.execution_ms.unwrap_or_else(|| plan.root().map_or(1.0, |r| (r.total_cost / 100.0).max(0.1)));
    let rows = plan.root().map_or(1.0, |r| if plan.analyzed { r.rows() } else { r.plan_rows });
    Statement {
        queryid: 1,
        query: sql.to_owned(),
        toplevel: true,
        calls: CALLS,
        total_exec_time: Millis(mean * CALLS as f64),
        mean_exec_time: Millis(mean),
        min_exec_time: Millis(mean),
        max_exec_time: Millis(mean),
        rows: (rows * CALLS as f64) as i64,
        ..Statement::default()
    }
}

/// The other text that "written in another way" means, and how sure it is that it gives the same rows.
async fn written_otherwise(
    snapshot: &Snapshot,
    model: &mut Model,
    sql: &str,
    remedy: &mut Advised,
) -> Result<(), CommandError> {
    let Ok(statement) = typed_statement(snapshot, sql) else { return Ok(()) };
    let rewriter = sql::Rewriter::new(snapshot);
    let depth = Depth { with_indexes: 0, ..Depth::default() };
    let found =
        rewrite(snapshot, &rewriter, model, &statement, depth).await.map_err(advice::AdviceError::from)?;
    let cheaper: Vec<&WeighedRewrite> =
        found.rewrites.iter().filter(|r| r.worth != Worth::NotCheaper).collect();
    let estimate = |r: &WeighedRewrite| {
        Some(Estimate {
            cost_before: r.cost_before,
            cost_after: r.cost_after,
            by: BY,
            rests_on_other_rows: false,
        })
    };
    if let Some(best) = cheaper.iter().find(|r| r.is_proved()) {
        let more: String =
            best.application.iter().map(|change| format!(". {}", change.trim_end_matches('.'))).collect();
        remedy.title = format!(
            "another text, proved to give the same rows ({}); \"pgwright rewrite\" tells with what{more}",
            best.rules.join(", ")
        );
        remedy.sql = vec![best.sql.clone()];
        remedy.estimate = estimate(best);
    } else if let Some(open) = cheaper.first() {
        let reason = open.conditions.iter().find_map(|c| match &c.standing {
            sql::Standing::Open { why } => Some(why.as_str()),
            _ => None,
        });
        remedy.title = format!(
            "another text ({}) that nothing proves to give the same rows: {}; \"pgwright rewrite\" tries it on tiny databases",
            open.rules.join(", "),
            reason.unwrap_or("its conditions are open")
        );
        remedy.estimate = estimate(open);
    } else if let Some(reason) = found.passed_over {
        remedy.title.push_str(&format!("; it is not rewritten here: {reason}"));
    }
    Ok(())
}

/// What a plan for the values is expected to cost beside the one for any.
async fn custom_plan(model: &mut Model, text: &str, bound: &str) -> Option<Estimate> {
    let generic = model.plan_generic(text).await.ok()?;
    let custom = model.plan(bound, &Configuration::current()).await.ok()?;
    Some(Estimate {
        cost_before: generic.total_cost,
        cost_after: custom.total_cost,
        by: BY,
        rests_on_other_rows: true,
    })
}

async fn with_setting(
    model: &mut Model,
    sql: &str,
    name: &str,
    value: &str,
) -> Result<Option<Estimate>, CommandError> {
    let current = Configuration::current();
    let Ok(before) = model.plan(sql, &current).await else { return Ok(None) };
    // A setting that the twin does not take has no figure.
    let Ok(former) = model.set_planner_setting(name, value).await else { return Ok(None) };
    let after = model.plan(sql, &current).await;
    model.set_planner_setting(name, &former).await?;
    Ok(after.ok().map(|after| Estimate {
        cost_before: before.total_cost,
        cost_after: after.total_cost,
        by: BY,
        rests_on_other_rows: false,
    }))
}

/// The indexes that the advisor chooses for this statement alone.
async fn index(
    snapshot: &Snapshot,
    model: &mut Model,
) -> Result<Result<(String, Vec<String>, Estimate), String>, CommandError> {
    let advice = advice::advise(snapshot, model, &advice::Options::default()).await?;
    let creating: Vec<_> = advice
        .recommendations
        .iter()
        .filter(|r| r.sql.iter().any(|s| s.starts_with("CREATE ")) && !r.statements.is_empty())
        .collect();
    // What an index would need that is not there yet.
    let missing = advice.findings.iter().find(|finding| finding.check == "missing-extension");
    let none = missing
        .map_or("no index was found that would make it noticeably cheaper".into(), |f| f.summary.clone());
    let (Some(first), Some(last)) = (creating.first(), creating.last()) else { return Ok(Err(none)) };
    let (Some(before), Some(after)) = (first.statements.first(), last.statements.first()) else {
        return Ok(Err(none));
    };
    let estimate = Estimate {
        cost_before: before.cost_before,
        cost_after: after.cost_after,
        by: BY,
        rests_on_other_rows: false,
    };
    let bytes: u64 = creating.iter().map(|r| r.price.bytes.0).sum();
    let noun = if creating.len() == 1 { "an index" } else { "indexes" };
    // Another may be better that needs what is not there yet.
    let better = missing.map(|f| format!("; {}", f.summary)).unwrap_or_default();
    let title = format!(
        "{noun} of about {}; \"pgwright advise\" weighs it against the whole workload{better}",
        model::Bytes(bytes)
    );
    let sql =
        creating.iter().flat_map(|r| r.sql.iter()).map(|s| s.trim_end_matches(';').to_owned()).collect();
    Ok(Ok((title, sql, estimate)))
}
