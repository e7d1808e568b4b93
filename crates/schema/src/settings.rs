//! Which of the source's settings decide plans, and how does a session of a local server get them?
//!
//! Source: `pg_settings.category`; what else the planner reads stands in `guc_tables.c`.

use std::collections::BTreeSet;

use model::snapshot::{Setting, Snapshot};
use tokio_postgres::Client;

/// Settings outside of "Query Tuning" that change a plan, an estimate or the meaning of a text.
const OTHERS: &[&str] = &[
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "array_nulls",
    "backslash_quote",
    "check_function_bodies",
    "default_text_search_config",
    "hash_mem_multiplier",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "parallel_leader_participation",
    "standard_conforming_strings",
    "transform_null_equals",
    "work_mem",
];

/// What a session of a local server sets, in the order of names.
pub fn of_source(snapshot: &Snapshot) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = snapshot
        .settings
        .iter()
        .filter(|(name, setting)| decides_plans(name, setting))
        .map(|(name, setting)| (name.clone(), setting.setting.clone()))
        .collect();
    let path = snapshot
        .settings
        .get("search_path")
        // The session that read the snapshot pins its own path; that is not the users'.
        .filter(|s| s.source != "session")
        .map_or("\"$user\", public", |s| s.setting.as_str());
    let user = model::quote_identifier(&snapshot.server.user);
    let mut path = path.replace("\"$user\"", &user).replace("$user", &user);
    // Sessions may set another path than their role has. What the path does not find, the other schemas
    // have: `sql::SnapshotCatalog` looks there as well.
    let schemas: BTreeSet<&str> = snapshot.relations.iter().map(|r| r.name.schema.as_str()).collect();
    for schema in schemas {
        path.push_str(if path.is_empty() { "" } else { ", " });
        path.push_str(&model::quote_identifier(schema));
    }
    settings.push(("search_path".into(), path));
    settings
}

fn decides_plans(name: &str, setting: &Setting) -> bool {
    if matches!(setting.context.as_str(), "internal" | "postmaster" | "sighup") || setting.source == "session"
    {
        return false;
    }
    setting.category.starts_with("Query Tuning")
        // `current_setting('app.tenant')` in a policy or a view.
        || (setting.category == "Customized Options" && setting.source != "default")
        || OTHERS.contains(&name)
}

/// Makes the settings of a session. What this version does not know is given back.
pub async fn apply(client: &Client, settings: &[(String, String)]) -> Vec<String> {
    const ONE: &str = "SELECT /* pgwright:source_setting */ pg_catalog.set_config($1, $2, false)";
    let (names, values): (Vec<_>, Vec<_>) = settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).unzip();
    let all = "SELECT /* pgwright:source_settings */ pg_catalog.set_config(s.name, s.value, false)
        FROM pg_catalog.unnest($1::pg_catalog.text[], $2::pg_catalog.text[]) AS s (name, value)";
    if client.query(all, &[&names, &values]).await.is_ok() {
        return Vec::new();
    }
    let mut unknown = Vec::new();
    for (name, value) in settings {
        if client.query(ONE, &[name, value]).await.is_err() {
            unknown.push(name.clone());
        }
    }
    unknown
}
