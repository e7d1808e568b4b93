//! What is an index for a foreign key worth? The look-up that its trigger makes for each row is planned without and with it.
//!
//! Source: `RI_FKey_noaction_del()` in ri_triggers.c: `SELECT 1 FROM ONLY referencing x WHERE key = $1 … FOR KEY SHARE OF x`,
//! prepared, so that its value is known to no plan.

use model::cost_model::{Configuration, CostModel as _, Registered};
use model::snapshot::Constraint;
use model::{IndexDefinition, IndexKey, Snapshot, quote_identifier};
use plan::Plan;
use plan::remedy::{Advised, Estimate};

use super::BY;
use crate::commands::cost_model::Model;
use crate::error::CommandError;

/// Adds the cost of all look-ups without and with the indexes.
pub(super) async fn estimate(
    snapshot: &Snapshot,
    model: &mut Model,
    plan: &Plan,
    remedy: &mut Advised,
) -> Result<(), CommandError> {
    let keys: Vec<&Constraint> =
        remedy.sql.iter().filter_map(|sql| plan::remedy::foreign_key_of(snapshot, sql)).collect();
    let rows = plan::remedy::written_rows(plan).max(1.0);
    let (mut before, mut after, mut bytes) = (0.0, 0.0, 0);
    for key in keys {
        let Some((sql, index)) = look_up(snapshot, key) else { return Ok(()) };
        let registered = model.register(&[index]).await.map_err(advice::AdviceError::from)?;
        let Some(Registered::Ready { id, bytes: size }) = registered.first() else { return Ok(()) };
        let current = Configuration::current();
        let Ok(without) = model.plan(&sql, &current).await else { return Ok(()) };
        let Ok(with) = model.plan(&sql, &current.with(*id)).await else { return Ok(()) };
        before += without.total_cost * rows;
        after += with.total_cost * rows;
        bytes += size.0;
    }
    if before > 0.0 {
        remedy.title.push_str(&format!(
            ", of about {}, for one look-up by each of {}",
            model::Bytes(bytes),
            crate::printer::count(rows as usize, "row")
        ));
        remedy.estimate =
            Some(Estimate { cost_before: before, cost_after: after, by: BY, rests_on_other_rows: false });
    }
    Ok(())
}

/// The look-up with values that the planner does not know, and the index that serves it.
fn look_up(snapshot: &Snapshot, key: &Constraint) -> Option<(String, IndexDefinition)> {
    let relation = snapshot.relation(&key.table)?;
    let mut conditions = Vec::new();
    for name in &key.columns {
        let column = relation.column(name)?;
        conditions.push(format!("x.{} = (SELECT NULL::{})", quote_identifier(name), column.type_name));
    }
    let sql = format!("SELECT 1 FROM ONLY {} x WHERE {}", key.table, conditions.join(" AND "));
    let keys = key.columns.iter().map(|c| IndexKey::column(c.as_str())).collect();
    Some((sql, IndexDefinition::btree(key.table.clone(), "foreign_key_lookup_idx", keys)))
}
