//! How do plans get into the store? Each shape of a statement once, and a row for each time that it became the plan.

use history::PlanSeen;
use postgres::Session;
use tokio_postgres::types::Type;

use super::writing::{get, run};
use crate::error::Error;

/// Keeps plans, in the order in which they were seen.
pub(super) async fn write(session: &Session, source_id: i16, plans: &[PlanSeen]) -> Result<(), Error> {
    for seen in plans {
        let datname: &str = &seen.datname;
        let rows = run(
            session,
            "insert /* pgwright:history_plan */ into pgwright.history_plan as p \
               (source_id, datname, queryid, shape_hash, plan, seen_at) values ($1, $2, $3, $4, $5, $6) \
             on conflict (source_id, queryid, datname, shape_hash) do update \
               set seen_at = greatest(p.seen_at, excluded.seen_at) \
             returning plan_id",
            &[
                (&source_id, Type::INT2),
                (&datname, Type::TEXT),
                (&seen.queryid, Type::INT8),
                (&seen.shape_hash, Type::TEXT),
                (&seen.plan, Type::JSON),
                (&seen.at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
        let Some(row) = rows.first() else { continue };
        let plan_id: i32 = get(row, "plan_id")?;
        // What an earlier process saw last counts: a plan that changed while nobody watched has changed.
        run(
            session,
            "insert /* pgwright:history_plan_day */ into pgwright.history_plan_day (at, cost, plan_id, source_id) \
             select $4, $5, $6, $1 \
             where $6 is distinct from ( \
               select d.plan_id from pgwright.history_plan p join pgwright.history_plan_day d using (plan_id) \
               where p.source_id = $1 and p.queryid = $3 and p.datname = $2 order by d.at desc limit 1) \
             on conflict do nothing",
            &[
                (&source_id, Type::INT2),
                (&datname, Type::TEXT),
                (&seen.queryid, Type::INT8),
                (&seen.at, Type::TIMESTAMPTZ),
                (&seen.cost, Type::FLOAT8),
                (&plan_id, Type::INT4),
            ],
        )
        .await?;
    }
    Ok(())
}
