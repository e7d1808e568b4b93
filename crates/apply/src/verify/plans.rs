//! Which indexes does the plan of a statement use, and which tables does it write? Asked of `EXPLAIN`
//! on the real server, in the `search_path` that the statement was written for; nothing is run.
//!
//! Source: PostgreSQL manual, "EXPLAIN"; `ExplainIndexScanDetails()` and `show_modifytable_info()` in
//! `src/backend/commands/explain.c`.

use std::collections::BTreeSet;
use std::time::Duration;

use model::QualifiedName;
use postgres::explain::ExplainOptions;
use postgres::{SearchPath, Session, SessionOptions, Target};
use serde_json::Value;

use crate::error::Error;

/// How many typical executions of one statement are looked at.
const EXAMPLES: usize = 4;

/// What the plans of a statement show.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PlanFacts {
    /// The indexes that they read.
    pub indexes: BTreeSet<QualifiedName>,
    /// The tables that they read.
    pub read: BTreeSet<QualifiedName>,
    /// The tables that they write.
    pub written: BTreeSet<QualifiedName>,
}

impl PlanFacts {
    /// The facts of a plan as `EXPLAIN (FORMAT JSON, VERBOSE)` gives it.
    pub fn of(plan: &Value) -> Self {
        let mut facts = Self::default();
        facts.collect(plan, None);
        facts
    }

    /// Walks a plan. A bitmap index scan does not say its schema; the bitmap heap scan above it does,
    /// and an index lives in the schema of its table.
    fn collect(&mut self, node: &Value, schema: Option<&str>) {
        match node {
            Value::Array(items) => items.iter().for_each(|item| self.collect(item, schema)),
            Value::Object(fields) => {
                let text = |key: &str| fields.get(key).and_then(Value::as_str);
                let schema = text("Schema").or(schema);
                if let Some(schema) = schema {
                    if let Some(index) = text("Index Name") {
                        self.indexes.insert(QualifiedName::new(schema, index));
                    }
                    if let Some(table) = text("Relation Name") {
                        let table = QualifiedName::new(schema, table);
                        match text("Node Type") {
                            Some("ModifyTable") => self.written.insert(table),
                            _ => self.read.insert(table),
                        };
                    }
                }
                for key in ["Plan", "Plans"] {
                    if let Some(below) = fields.get(key) {
                        self.collect(below, schema);
                    }
                }
                // The partitions that an update may touch are written, too.
                if let Some(Value::Array(targets)) = fields.get("Target Tables") {
                    for target in targets {
                        let part = |key: &str| target.get(key).and_then(Value::as_str);
                        if let (Some(schema), Some(table)) = (part("Schema"), part("Relation Name")) {
                            self.written.insert(QualifiedName::new(schema, table));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Adds those of another plan.
    pub fn merge(&mut self, other: Self) {
        self.indexes.extend(other.indexes);
        self.read.extend(other.read);
        self.written.extend(other.written);
    }
}

/// A session that plans users' statements.
pub(super) async fn open(target: &Target, search_path: Option<&str>) -> Result<Session, Error> {
    let options = SessionOptions {
        read_only: true,
        statement_timeout: Some(Duration::from_secs(30)),
        lock_timeout: Some(Duration::from_secs(2)),
        search_path: search_path.map_or(SearchPath::RoleDefault, |path| SearchPath::Set(path.to_owned())),
        ..SessionOptions::for_user_statements()
    };
    Ok(target.connect(&options).await?)
}

/// The facts of typical executions; of the text itself, planned without values for its parameters,
/// when there are none. `None` when the server would plan none of it.
pub(super) async fn facts(session: &Session, examples: &[String], query: &str) -> Option<PlanFacts> {
    let options = ExplainOptions { verbose: true, settings: false, ..ExplainOptions::default() };
    let mut all: Option<PlanFacts> = None;
    for example in examples.iter().filter(|e| !e.is_empty()).take(EXAMPLES) {
        if let Ok(plan) = postgres::explain::explain(session, example, &options).await {
            all.get_or_insert_default().merge(PlanFacts::of(&plan));
        }
    }
    if all.is_none() && !query.is_empty() {
        let generic = ExplainOptions { generic: true, ..options };
        let plan = postgres::explain::explain(session, query, &generic).await.ok()?;
        all = Some(PlanFacts::of(&plan));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_and_tables_of_a_plan_are_found_with_their_schema() {
        let plan = serde_json::json!({"Plan": {"Node Type": "Nested Loop", "Plans": [
            {"Node Type": "Bitmap Heap Scan", "Schema": "a", "Relation Name": "t", "Plans": [
                {"Node Type": "Bitmap Index Scan", "Index Name": "i"}]},
            {"Node Type": "Index Scan", "Schema": "b", "Relation Name": "u", "Index Name": "j"},
        ]}});
        let facts = PlanFacts::of(&plan);
        let names =
            |set: &BTreeSet<QualifiedName>| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!((names(&facts.indexes), names(&facts.read)), ("a.i b.j".into(), "a.t b.u".into()));
        assert_eq!(facts.written, BTreeSet::new());
    }

    #[test]
    fn what_is_written_is_told_from_what_is_read() {
        let plan = serde_json::json!({"Plan": {
            "Node Type": "ModifyTable", "Operation": "Update", "Schema": "s", "Relation Name": "p",
            "Target Tables": [{"Schema": "s", "Relation Name": "p1"}, {"Schema": "o", "Relation Name": "p2"}],
            "Plans": [{"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "q"}],
        }});
        let facts = PlanFacts::of(&plan);
        let names: Vec<_> = facts.written.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["o.p2", "s.p", "s.p1"]);
        assert!(facts.read.contains(&QualifiedName::new("s", "q")));
    }
}
