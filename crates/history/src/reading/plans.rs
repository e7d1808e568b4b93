//! Which plans did a statement have, and since when?

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postgres::Session;
use postgres::tokio_postgres::types::Type;
use serde::Serialize;

use super::{Error, Known, StatementKey, ask, get};

/// The last so many changes of all statements that are asked for.
const MOST: i64 = 2000;

/// A plan that a statement had from an instant on, until the next.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatementPlan {
    /// When it was first seen to be the plan.
    pub at: DateTime<Utc>,
    /// What the planner expected it to cost then, in its own units.
    pub cost: f64,
    /// Of what it does, without estimates: plans with the same are the same.
    pub shape_hash: String,
    /// What `EXPLAIN (FORMAT JSON)` said when it was seen for the first time ever.
    pub plan: serde_json::Value,
}

impl Known {
    /// The plans of statements that were seen before an instant, in order.
    pub(super) async fn plans(
        &self,
        session: &Session,
        queryids: &[i64],
        to: DateTime<Utc>,
    ) -> Result<BTreeMap<StatementKey, Vec<StatementPlan>>, Error> {
        let rows = ask(
            session,
            "history_plans",
            "select /* pgwright:history_plans */ p.datname, p.queryid, d.at, d.cost, p.shape_hash, p.plan \
             from pgwright.history_plan p join pgwright.history_plan_day d using (plan_id) \
             where p.source_id = $1 and p.queryid = any ($2) and d.at < $3 \
             order by d.at desc, d.plan_id limit $4",
            &[
                (&self.source_id, Type::INT2),
                (&queryids, Type::INT8_ARRAY),
                (&to, Type::TIMESTAMPTZ),
                (&MOST, Type::INT8),
            ],
        )
        .await;
        let rows = match rows {
            // A store that an earlier pgwright made, and that no later one has written to.
            Err(Error::Store(error)) if error.sqlstate() == Some("42P01") => Vec::new(),
            rows => rows?,
        };
        let mut found: BTreeMap<StatementKey, Vec<StatementPlan>> = BTreeMap::new();
        for row in rows.iter().rev() {
            let key = StatementKey { datname: get(row, "datname")?, queryid: get(row, "queryid")? };
            found.entry(key).or_default().push(StatementPlan {
                at: get(row, "at")?,
                cost: get(row, "cost")?,
                shape_hash: get(row, "shape_hash")?,
                plan: get(row, "plan")?,
            });
        }
        Ok(found)
    }
}
