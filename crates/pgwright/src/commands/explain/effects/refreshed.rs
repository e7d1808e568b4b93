//! What plan would fresh statistics make? A sample of the table is analyzed in a throw-away server, and the statement is
//! planned on a twin that holds what was found.

use model::QualifiedName;
use model::cost_model::{Configuration, CostModel as _};
use plan::Plan;
use plan::checks::Remedy;
use plan::remedy::{Advised, Estimate};
use plan::render::shape;

use super::BY;
use crate::commands::cost_model::{Engine, Model};
use crate::commands::explain::Args;
use crate::commands::statistics::Site;
use crate::error::CommandError;

/// More columns of a table than these are not sampled.
const MAX_COLUMNS: usize = 16;

/// Whether fresh statistics are what it is about.
pub(super) fn concerns(args: &Args, remedy: &Advised) -> bool {
    matches!(remedy.kind, Remedy::Analyze | Remedy::Distinct) && !args.sampling.no_sample
}

/// Adds the cost of the plan with fresh statistics, and whether it is another plan.
pub(super) async fn estimate(
    site: &mut Site<'_>,
    args: &Args,
    model: &mut Model,
    sql: &str,
    remedies: &mut [Advised],
) -> Result<(), CommandError> {
    if site.target.is_none() {
        return Ok(());
    }
    for remedy in remedies.iter_mut().filter(|r| concerns(args, r)) {
        let Some(table) = table_of(site, remedy) else { continue };
        let columns = columns_of(site, &table, sql);
        if columns.is_empty() || columns.len() > MAX_COLUMNS {
            continue;
        }
        let Ok(found) = site.analyzed(&args.sampling, &table, columns).await? else { continue };
        let mut changed = site.snapshot.clone();
        changed.notes.clear();
        let Some(relation) = changed.relations.iter_mut().find(|r| r.name == table) else { continue };
        let live = relation.activity.as_ref().map_or(0, |a| a.n_live_tup) as f64;
        relation.reltuples = if live > 0.0 { live } else { relation.rows() };
        relation.relpages = relation.pages;
        let told = distinct_of(remedy);
        for (name, mut statistics) in found {
            if let Some((_, value)) =
                told.as_ref().filter(|(column, _)| *column == model::quote_identifier(&name))
            {
                statistics.n_distinct = *value;
            }
            if let Some(column) = relation.columns.iter_mut().find(|c| c.name == name) {
                column.options.retain(|o| !o.starts_with("n_distinct="));
                column.statistics = Some(statistics);
            }
        }
        let current = Configuration::current();
        let Ok(before) = model.plan(sql, &current).await else { continue };
        let mut other = site.context.start_model(Engine::Twin, &changed).await?;
        let Ok(after) = other.plan(sql, &current).await else { continue };
        let of = |explain: &serde_json::Value| {
            Plan::from_json(explain).map(|plan| shape(&plan)).unwrap_or_default()
        };
        remedy.title.push_str(if of(&before.explain) == of(&after.explain) {
            "; as tried with a sample, the plan stays the same"
        } else {
            "; as tried with a sample, the plan becomes another"
        });
        remedy.estimate = Some(Estimate {
            cost_before: before.total_cost,
            cost_after: after.total_cost,
            by: BY,
            rests_on_other_rows: true,
        });
    }
    Ok(())
}

/// The table that is to be analyzed.
fn table_of(site: &Site<'_>, remedy: &Advised) -> Option<QualifiedName> {
    let name = remedy.sql.iter().find_map(|sql| sql.strip_prefix("ANALYZE "))?;
    site.snapshot.relations.iter().map(|r| &r.name).find(|n| n.to_string() == name).cloned()
}

/// The columns that the statement names, as far as words tell.
fn columns_of(site: &Site<'_>, table: &QualifiedName, sql: &str) -> Vec<String> {
    let text = sql.to_lowercase();
    let words: std::collections::BTreeSet<&str> =
        text.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let relation = site.snapshot.relation(table);
    let columns = relation.map(|r| r.columns.as_slice()).unwrap_or_default();
    columns
        .iter()
        .filter(|c| words.contains(c.name.to_lowercase().as_str()))
        .map(|c| c.name.clone())
        .collect()
}

/// The column and the number of `ALTER COLUMN … SET (n_distinct = …)`.
fn distinct_of(remedy: &Advised) -> Option<(String, f32)> {
    let (before, value) = remedy.sql.first()?.split_once(" SET (n_distinct = ")?;
    let (_, column) = before.split_once(" ALTER COLUMN ")?;
    Some((column.to_owned(), value.trim_end_matches(')').parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_that_is_set() {
        let remedy = |sql: &str| Advised {
            kind: Remedy::Distinct,
            title: String::new(),
            sql: vec![sql.to_owned()],
            setting: None,
            resolves: Vec::new(),
            estimate: None,
        };
        let set = remedy("ALTER TABLE public.lines ALTER COLUMN item_id SET (n_distinct = -0.5)");
        assert_eq!(distinct_of(&set), Some(("item_id".into(), -0.5)));
        assert_eq!(
            distinct_of(&remedy("ALTER TABLE public.lines ALTER COLUMN item_id RESET (n_distinct)")),
            None
        );
    }
}
