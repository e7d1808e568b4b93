//! The rules that hold for an index whichever way it goes: what half-done looks like, how it is
//! dropped, how it is made again from PostgreSQL's own words.
//!
//! Source: PostgreSQL manual, "CREATE INDEX", "Building Indexes Concurrently": a failed build leaves
//! an index with `indisvalid` false, which takes updates and serves no query, and the recommended
//! way is to drop it and build again. `DROP INDEX CONCURRENTLY` leaves the same state when it is
//! stopped between its transactions.

use model::QualifiedName;
use tokio_postgres::Client;

use crate::action::IndexShape;
use crate::catalog::{IndexState, index_state, kind_name};
use crate::error::Error;
use crate::operations::Condition;

/// The statement that drops an index without blocking readers or writers.
pub(super) fn drop_sql(index: &QualifiedName) -> String {
    format!("DROP INDEX CONCURRENTLY {index}")
}

/// The statement that drops the index of a partitioned table and those of its partitions.
pub(super) fn drop_whole_sql(index: &QualifiedName) -> String {
    format!("DROP INDEX {index}")
}

/// `pg_get_indexdef()` with `CONCURRENTLY` put in, `None` when the text does not begin as that
/// function's output does.
pub(super) fn recreate_sql(definition: &str) -> Option<String> {
    ["CREATE INDEX ", "CREATE UNIQUE INDEX "]
        .iter()
        .find_map(|head| definition.strip_prefix(head).map(|rest| format!("{head}CONCURRENTLY {rest}")))
}

/// What became of an index that was to exist.
pub(super) async fn inspect_wanted(
    client: &Client,
    name: &QualifiedName,
    table: &QualifiedName,
    shape: &IndexShape,
) -> Result<Condition, Error> {
    let Some(state) = index_state(client, name).await? else { return Ok(Condition::NotDone) };
    if !state.resembles(table, shape) {
        return Ok(Condition::Foreign { found: found(&state) });
    }
    if state.valid {
        return Ok(Condition::Done { made: state.definition.map(|d| (state.oid, d)) });
    }
    if let Some(pid) = state.busy_pid {
        return Ok(Condition::Busy { pid });
    }
    Ok(Condition::HalfDone { mend: drop_sql(name), found: format!("invalid index {name}") })
}

/// What became of an index that was to go.
pub(super) async fn inspect_unwanted(
    client: &Client,
    name: &QualifiedName,
    table: &QualifiedName,
    definition: &str,
) -> Result<Condition, Error> {
    let Some(state) = index_state(client, name).await? else { return Ok(Condition::Done { made: None }) };
    if !state.is_index()
        || state.table.as_ref() != Some(table)
        || state.definition.as_deref() != Some(definition)
    {
        return Ok(Condition::Foreign { found: found(&state) });
    }
    if state.valid {
        return Ok(Condition::NotDone);
    }
    if let Some(pid) = state.busy_pid {
        return Ok(Condition::Busy { pid });
    }
    Ok(Condition::HalfDone { mend: drop_sql(name), found: format!("invalid index {name}") })
}

/// What stands under a name, in PostgreSQL's words.
pub(crate) fn found(state: &IndexState) -> String {
    match &state.definition {
        Some(definition) => definition.clone(),
        None => format!("{} {}", kind_name(state.relkind), state.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_of_pg_get_indexdef_are_made_again() {
        assert_eq!(
            recreate_sql("CREATE INDEX i ON s.t USING btree (x)").unwrap(),
            "CREATE INDEX CONCURRENTLY i ON s.t USING btree (x)"
        );
        assert_eq!(recreate_sql("DROP TABLE t; CREATE INDEX i ON t (x)"), None);
    }
}
