//! How does the partition column become NOT NULL, and the table known to end before a bound, without a long lock? By
//! a CHECK that is first promised, then validated, from which PostgreSQL concludes the rest without reading the table.
//!
//! Source: PostgreSQL manual, "ALTER TABLE" (ADD table_constraint NOT VALID, VALIDATE CONSTRAINT, SET NOT NULL).

use model::{quote_identifier, quote_literal};

use super::plan::{ConversionPlan, Method};
use super::site::{Brief, Site, open_session};
use super::state::{Step, to_step};
use crate::error::Error;

/// The name of the constraint.
pub(crate) const CONSTRAINT: &str = "pgwright_conversion";

/// What is promised of the rows; `None` when nothing has to be.
pub(crate) fn condition(plan: &ConversionPlan) -> Option<String> {
    let nullable = plan.becomes_not_null();
    match plan.method {
        Method::Attach => plan.history.as_ref().and_then(|bound| bound.check_sql(&plan.division)),
        Method::Rewrite => nullable.then(|| format!("{} IS NOT NULL", quote_identifier(&plan.column))),
    }
}

/// Promises, validates, concludes. Begun again, it finds in the catalog what is done.
pub(crate) async fn run(site: &Site<'_>) -> Result<Step, Error> {
    let plan = &site.plan;
    let Some(condition) = condition(plan) else {
        site.advance(&site.session, Vec::new(), Step::Shadow).await?;
        return Ok(Step::Shadow);
    };
    let session = open_session(site.target, site.options).await?;
    let table = &plan.table;
    let brief = |statements| Brief {
        step: Step::NotNull,
        locks: vec![(format!("ONLY {table}"), "ACCESS EXCLUSIVE")],
        statements,
    };
    let of_table = format!("{}::pg_catalog.regclass", quote_literal(&table.to_string()));
    let state = site
        .text(&format!(
            "select /* pgwright:conversion_promise */ convalidated::text from pg_catalog.pg_constraint \
             where conrelid = {of_table} and conname = '{CONSTRAINT}'"
        ))
        .await?;
    if state.is_none() {
        let add = format!("ALTER TABLE {table} ADD CONSTRAINT {CONSTRAINT} CHECK ({condition}) NOT VALID");
        site.briefly(&session, &brief(vec![add]), async || Ok(())).await?;
    }
    if state.as_deref() != Some("true") {
        let validate =
            format!("ALTER TABLE /* pgwright:convert_validate */ {table} VALIDATE CONSTRAINT {CONSTRAINT}");
        session.batch_execute(&validate).await.map_err(|e| site.failed(&e))?;
    }
    let nullable = plan.becomes_not_null();
    let mut statements = Vec::new();
    if nullable {
        statements.push(format!(
            "ALTER TABLE {table} ALTER COLUMN {} SET NOT NULL",
            quote_identifier(&plan.column)
        ));
    }
    if plan.method == Method::Rewrite {
        statements.push(format!("ALTER TABLE {table} DROP CONSTRAINT {CONSTRAINT}"));
    }
    if statements.is_empty() {
        site.advance(&site.session, Vec::new(), Step::Shadow).await?;
    } else {
        statements.extend(to_step(site.id, Step::Shadow));
        site.briefly(&session, &brief(statements), async || Ok(())).await?;
    }
    Ok(Step::Shadow)
}

/// Takes the promise back, and NOT NULL when the column had been nullable.
pub(crate) fn undo(plan: &ConversionPlan) -> Vec<String> {
    let table = &plan.table;
    let mut statements = vec![format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {CONSTRAINT}")];
    if plan.becomes_not_null() {
        statements.push(format!(
            "ALTER TABLE {table} ALTER COLUMN {} DROP NOT NULL",
            quote_identifier(&plan.column)
        ));
    }
    statements
}
