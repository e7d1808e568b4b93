//! What should be done about writes that do more than their rows?
//!
//! Source: manual, "Storage Parameters" (fillfactor), "TOAST", `ALTER TABLE … SET COMPRESSION` (since 14).

use model::Snapshot;
use model::snapshot::Relation;

use super::Advised;
use crate::checks::Remedy;
use crate::facts;
use crate::node::Plan;
use crate::writes;

fn say(kind: Remedy, title: String, sql: Vec<String>) -> Advised {
    Advised { kind, title, sql, setting: None, resolves: Vec::new(), estimate: None }
}

/// The indexes that nobody scans.
pub(super) fn fewer_indexes(database: &Snapshot, table: &Relation) -> Advised {
    let unused = writes::unused(database, table);
    let all = writes::indexes(database, table).count();
    if unused.is_empty() {
        return say(
            Remedy::FewerIndexes,
            format!(
                "fewer indexes of {}: each of them was scanned or is there for a constraint; \"pgwright lint\" tells which of them \
                 others cover",
                table.name
            ),
            Vec::new(),
        );
    }
    let bytes: u64 = unused.iter().map(|index| index.bytes.0).sum();
    let since = match database.server.stats_reset.or(database.server.started_at) {
        Some(at) => format!(" since {}", at.format("%Y-%m-%d")),
        None => " since the counters began".into(),
    };
    say(
        Remedy::FewerIndexes,
        format!(
            "{} of its {all} indexes, {}, {} not scanned{since}: without them each row writes {} entries fewer; look at the \
             counters of all standbys first",
            unused.len(),
            model::Bytes(bytes),
            if unused.len() == 1 { "was" } else { "were" },
            unused.len()
        ),
        unused.iter().map(|index| format!("DROP INDEX CONCURRENTLY {}", index.name)).collect(),
    )
}

/// Room for a version of a tenth of the rows, and for two rows at least.
pub(super) fn fill_factor(table: &Relation) -> Option<Advised> {
    let now = facts::fill_factor(table);
    let rows_per_page = table.rows() / (table.pages.max(1) as f64) * 100.0 / now;
    let room = (200.0 / rows_per_page.max(1.0)).max(10.0);
    let lower = (5.0 * ((now - room) / 5.0).floor()).max(50.0);
    if lower >= now {
        return None;
    }
    Some(say(
        Remedy::FillFactor,
        format!(
            "a fill factor of {lower:.0} for {}, which leaves room for new versions in pages that are filled from now on; a \
             rewrite (pg_repack) gives it to all",
            table.name
        ),
        vec![format!("ALTER TABLE {} SET (fillfactor = {lower:.0})", table.name)],
    ))
}

/// A compression that takes less time.
pub(super) fn compression(plan: &Plan, database: &Snapshot, table: &Relation) -> Option<Advised> {
    if database.server.version_num < 140_000 || database.setting("default_toast_compression") == Some("lz4") {
        return None;
    }
    let assigned = writes::assigned(plan, table);
    let wide = table.columns.iter().filter(|c| {
        // What can be compressed: texts, documents, bytes and arrays.
        c.type_length == -1
            && matches!(c.type_category, 'S' | 'U' | 'A')
            && assigned.as_ref().is_none_or(|columns| columns.contains(&c.name))
            && !["varchar", "bpchar"].contains(&c.base_type.name.as_str())
    });
    let parts: Vec<String> = wide
        .map(|c| format!("ALTER COLUMN {} SET COMPRESSION lz4", model::quote_identifier(&c.name)))
        .collect();
    if parts.is_empty() {
        return None;
    }
    Some(say(
        Remedy::Compression,
        "lz4 in place of pglz for values that are written from now on, which compresses several times as fast (where the \
         server was built with it); and wide values that change seldom in a table of their own"
            .into(),
        vec![format!("ALTER TABLE {} {}", table.name, parts.join(", "))],
    ))
}
