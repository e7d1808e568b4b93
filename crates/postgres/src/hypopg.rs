//! What would a statement cost if …? HypoPG on the user's own server answers, where no planner twin can
//! be had.
//!
//! Source: <https://hypopg.readthedocs.io>. A hypothetical index lives in the memory of the session that
//! made it: no other session sees it, nothing is written, no lock is held beyond a call. Statements are
//! planned with `EXPLAIN` and never run; the session is read-only, and every call has a time limit.
//!
//! HypoPG knows B-tree, hash, BRIN and bloom. It cannot switch an index off and on, so each change of
//! the configuration drops and makes hypothetical indexes, which is cheap. Indexes that exist can be
//! hidden since 1.4.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use model::cost_model::{CandidateId, Configuration, CostError, CostModel, Planned, Registered};
use model::{Bytes, IndexDefinition, QualifiedName};
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};

use crate::catalog::ExtensionRow;
use crate::catalog_query::{read as read_catalog, version};
use crate::error::Error;
use crate::session::{SearchPath, Session, SessionOptions};
use crate::target::Target;

const EXTENSION: &str = "hypopg";
/// The first version that can hide an index.
const HIDES_SINCE: [u32; 2] = [1, 4];

/// How the server is asked.
#[derive(Clone, Debug)]
pub struct HypoPgOptions {
    /// After how long planning a statement is given up.
    pub statement_timeout: Duration,
    /// How long a plan may wait for a lock on a table.
    pub lock_timeout: Duration,
    /// The path that finds what the statements name.
    pub search_path: SearchPath,
}

impl Default for HypoPgOptions {
    fn default() -> Self {
        Self {
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(1),
            search_path: SearchPath::RoleDefault,
        }
    }
}

/// A candidate that HypoPG accepted.
#[derive(Clone, Debug)]
struct Candidate {
    definition: IndexDefinition,
    bytes: Bytes,
}

/// A hypothetical index of the session.
#[derive(Clone, Debug)]
struct Made {
    oid: u32,
    /// HypoPG's name for it, which plans show.
    name: String,
}

/// A session in which hypothetical indexes are made. They end with it.
#[derive(Debug)]
pub struct HypoPg {
    session: Session,
    /// Quoted, for the text of a query.
    schema: String,
    version: String,
    candidates: Vec<Candidate>,
    on: BTreeMap<CandidateId, Made>,
    hidden: BTreeSet<QualifiedName>,
    calls: u64,
}

impl HypoPg {
    /// Opens a session on a server that has the extension.
    ///
    /// # Errors
    /// [`Error::ExtensionMissing`], [`Error::Refused`] behind a pooler, which would keep the hypothetical
    /// indexes for whoever comes next, and those of connecting.
    pub async fn connect(target: &Target, options: &HypoPgOptions) -> Result<Self, Error> {
        let session_options = SessionOptions {
            statement_timeout: Some(options.statement_timeout),
            lock_timeout: Some(options.lock_timeout),
            // Functions that are evaluated while planning shall not write.
            read_only: true,
            search_path: options.search_path.clone(),
            ..SessionOptions::default()
        };
        let session = target.connect(&session_options).await?;
        if session.behind_pooler() {
            return Err(Error::Refused {
                message: "hypothetical indexes need a session of their own".into(),
                hint: Some("Connect to the PostgreSQL server itself, past the pooler.".into()),
            });
        }
        let extensions: Vec<ExtensionRow> = read_catalog(&session, session.version_num(), &[]).await?;
        let found = extensions.into_iter().find(|e| e.name == EXTENSION);
        let extension = found.ok_or_else(|| Error::ExtensionMissing {
            name: EXTENSION.into(),
            database: session.target().database().to_owned(),
        })?;
        Ok(Self {
            session,
            schema: model::quote_identifier(&extension.schema),
            version: extension.version,
            candidates: Vec::new(),
            on: BTreeMap::new(),
            hidden: BTreeSet::new(),
            calls: 0,
        })
    }

    /// The extension's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether an index that exists can be switched off.
    pub fn hides_indexes(&self) -> bool {
        version(&self.version) >= HIDES_SINCE
    }

    /// What its answers lack, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "HypoPG predicts B-trees without the merging of duplicates, so indexes on columns with few values come \
             out too large; it knows no GIN, GiST or SP-GiST."
                .to_owned(),
        ];
        if !self.hides_indexes() {
            notes.push(format!(
                "HypoPG {} cannot hide an index, so what dropping one does cannot be tried; version 1.4 can.",
                self.version
            ));
        }
        notes
    }

    /// The operator class of an access method that an unqualified name means; `None` when there is none.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn operator_class(
        &self,
        access_method: &str,
        name: &str,
    ) -> Result<Option<QualifiedName>, Error> {
        let sql = "SELECT /* pgwright:opclass */ n.nspname::pg_catalog.text, o.opcname::pg_catalog.text
            FROM pg_catalog.pg_opclass AS o
            JOIN pg_catalog.pg_am AS m ON m.oid = o.opcmethod
            JOIN pg_catalog.pg_namespace AS n ON n.oid = o.opcnamespace
            WHERE m.amname = $1 AND o.opcname = $2 AND pg_catalog.pg_opclass_is_visible(o.oid)";
        self.find(sql, &[access_method, name]).await
    }

    /// The collation that an unqualified name means; `None` when there is none.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn collation(&self, name: &str) -> Result<Option<QualifiedName>, Error> {
        let sql = "SELECT /* pgwright:collation */ n.nspname::pg_catalog.text, c.collname::pg_catalog.text
            FROM pg_catalog.pg_collation AS c
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.collnamespace
            WHERE c.collname = $1 AND pg_catalog.pg_collation_is_visible(c.oid)
            LIMIT 1";
        self.find(sql, &[name]).await
    }

    async fn find(&self, sql: &str, values: &[&str]) -> Result<Option<QualifiedName>, Error> {
        let typed: Vec<_> = values.iter().map(|v| (v as &(dyn ToSql + Sync), Type::TEXT)).collect();
        let rows = self.session.query_typed(sql, &typed).await.map_err(|e| Error::from_query("name", &e))?;
        let Some(row) = rows.first() else { return Ok(None) };
        let part = |at: usize| crate::catalog_query::column::<String>(row, at, "name", "name");
        Ok(Some(QualifiedName::new(part(0)?, part(1)?)))
    }

    /// Changes a setting of the session and gives the value that it had.
    ///
    /// # Errors
    /// [`CostError::Statement`] when PostgreSQL refuses the name or the value.
    pub async fn set_planner_setting(&mut self, name: &str, value: &str) -> Result<String, CostError> {
        let get = "SELECT /* pgwright:setting */ pg_catalog.current_setting($1)";
        let set = "SELECT /* pgwright:setting */ pg_catalog.set_config($1, $2, false)";
        let before = self.text(get, &[name]).await?;
        self.text(set, &[name, value]).await?;
        Ok(before)
    }

    async fn text(&self, sql: &str, values: &[&str]) -> Result<String, CostError> {
        let typed: Vec<_> = values.iter().map(|v| (v as &(dyn ToSql + Sync), Type::TEXT)).collect();
        let rows = self.session.query_typed(sql, &typed).await.map_err(|e| refusal(&e))?;
        let text = rows.first().and_then(|row| row.try_get::<_, String>(0).ok());
        Ok(text.unwrap_or_default())
    }

    /// Makes a hypothetical index; gives it with its size.
    async fn make(&self, definition: &IndexDefinition) -> Result<(Made, Bytes), CostError> {
        let sql = format!(
            "SELECT /* pgwright:hypopg_create */ h.indexrelid, h.indexname, {0}.hypopg_relation_size(h.indexrelid)
             FROM {0}.hypopg_create_index($1) AS h",
            self.schema
        );
        let statement = definition.create_sql(false);
        let rows = self.session.query_typed(&sql, &[(&statement, Type::TEXT)]).await;
        let rows = rows.map_err(|e| refusal(&e))?;
        let row = rows.first().ok_or_else(|| CostError::Statement {
            message: "HypoPG made no index of it".into(),
            sqlstate: None,
        })?;
        let read = || -> Result<_, tokio_postgres::Error> {
            let bytes: i64 = row.try_get(2)?;
            let made = Made { oid: row.try_get(0)?, name: row.try_get(1)? };
            Ok((made, Bytes(u64::try_from(bytes).unwrap_or(0))))
        };
        read().map_err(|e| CostError::Model { message: format!("HypoPG's answer cannot be read: {e}") })
    }

    async fn unmake(&self, oids: &[u32]) -> Result<(), CostError> {
        if oids.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT /* pgwright:hypopg_drop */ {}.hypopg_drop_index(i) FROM pg_catalog.unnest($1) AS i",
            self.schema
        );
        self.session.query_typed(&sql, &[(&oids, Type::OID_ARRAY)]).await.map_err(|e| refusal(&e))?;
        Ok(())
    }

    /// Makes the session see exactly this configuration.
    async fn switch(&mut self, wanted: &Configuration) -> Result<(), CostError> {
        let off: Vec<CandidateId> =
            self.on.keys().filter(|id| wanted.added.binary_search(id).is_err()).copied().collect();
        let oids: Vec<u32> = off.iter().filter_map(|id| self.on.get(id)).map(|made| made.oid).collect();
        self.unmake(&oids).await?;
        for id in off {
            self.on.remove(&id);
        }
        for id in &wanted.added {
            if self.on.contains_key(id) {
                continue;
            }
            let candidate = self.candidates.get(id.0 as usize).ok_or_else(|| CostError::Model {
                message: format!("no candidate has the number {}", id.0),
            })?;
            let (made, _) = self.make(&candidate.definition).await?;
            self.on.insert(*id, made);
        }
        let wanted: BTreeSet<QualifiedName> = wanted.dropped.iter().cloned().collect();
        for name in self.hidden.difference(&wanted).cloned().collect::<Vec<_>>() {
            self.hide(&name, false).await?;
            self.hidden.remove(&name);
        }
        for name in wanted.difference(&self.hidden).cloned().collect::<Vec<_>>() {
            self.hide(&name, true).await?;
            self.hidden.insert(name);
        }
        Ok(())
    }

    /// Hides an index that exists, with those of its partitions, or shows it again.
    async fn hide(&self, name: &QualifiedName, hide: bool) -> Result<(), CostError> {
        if !self.hides_indexes() {
            return Err(CostError::Model {
                message: format!("HypoPG {} cannot hide index {name}; version 1.4 can", self.version),
            });
        }
        let verb = if hide { "hide" } else { "unhide" };
        let sql = format!(
            "WITH /* pgwright:hypopg_{verb} */ RECURSIVE tree (oid) AS (
                 SELECT pg_catalog.to_regclass($1)::pg_catalog.oid
                 UNION ALL
                 SELECT h.inhrelid FROM tree AS t JOIN pg_catalog.pg_inherits AS h ON h.inhparent = t.oid
             )
             SELECT {}.hypopg_{verb}_index(t.oid) FROM tree AS t WHERE t.oid IS NOT NULL",
            self.schema
        );
        let rows = self.session.query_typed(&sql, &[(&name.to_string(), Type::TEXT)]).await;
        let rows = rows.map_err(|e| refusal(&e))?;
        if rows.is_empty() {
            return Err(CostError::Model { message: format!("index {name} is not on the server") });
        }
        Ok(())
    }

    /// Shows hypothetical indexes under the candidates' own names.
    fn rename(&self, explain: &mut Value) {
        let shown: HashMap<&str, &str> = self
            .on
            .iter()
            .filter_map(|(id, made)| {
                let candidate = self.candidates.get(id.0 as usize)?;
                Some((made.name.as_str(), candidate.definition.name.as_str()))
            })
            .collect();
        rename(explain, &shown);
    }
}

fn rename(value: &mut Value, shown: &HashMap<&str, &str>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(name) if key == "Index Name" => {
                        if let Some(shown) = shown.get(name.as_str()) {
                            *name = (*shown).to_owned();
                        }
                    }
                    other => rename(other, shown),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|e| rename(e, shown)),
        _ => {}
    }
}

/// What the server refused, or that it is gone.
fn refusal(error: &tokio_postgres::Error) -> CostError {
    match error.as_db_error() {
        Some(db) if !error.is_closed() => CostError::Statement {
            message: db.message().to_owned(),
            sqlstate: Some(db.code().code().to_owned()),
        },
        _ => CostError::Model { message: Error::from_query(EXTENSION, error).to_string() },
    }
}

impl CostModel for HypoPg {
    async fn register(&mut self, candidates: &[IndexDefinition]) -> Result<Vec<Registered>, CostError> {
        let mut answers = Vec::new();
        for definition in candidates {
            let known = self.candidates.iter().position(|c| c.definition == *definition);
            if let Some(known) = known {
                let id = CandidateId(u32::try_from(known).unwrap_or(u32::MAX));
                answers.push(Registered::Ready { id, bytes: self.candidates[known].bytes });
                continue;
            }
            match self.make(definition).await {
                Ok((made, bytes)) => {
                    self.unmake(&[made.oid]).await?;
                    let id = CandidateId(u32::try_from(self.candidates.len()).unwrap_or(u32::MAX));
                    self.candidates.push(Candidate { definition: definition.clone(), bytes });
                    answers.push(Registered::Ready { id, bytes });
                }
                Err(CostError::Statement { message, .. }) => {
                    answers.push(Registered::Refused { reason: message });
                }
                Err(failed) => return Err(failed),
            }
        }
        Ok(answers)
    }

    async fn plan(&mut self, sql: &str, configuration: &Configuration) -> Result<Planned, CostError> {
        self.switch(configuration).await?;
        self.calls += 1;
        // The extended protocol takes one statement only, so nothing can hide behind a semicolon; and
        // with options in parentheses, ANALYZE in front of the statement is a syntax error.
        let explain = format!("EXPLAIN /* pgwright:hypopg */ (FORMAT JSON) {sql}");
        let rows = self.session.query_typed(&explain, &[]).await.map_err(|e| refusal(&e))?;
        let not_a_plan = || CostError::Statement { message: "it has no plan".into(), sqlstate: None };
        let json: Value = rows.first().and_then(|r| r.try_get(0).ok()).ok_or_else(not_a_plan)?;
        let mut explain = match json {
            Value::Array(mut plans) if !plans.is_empty() => plans.swap_remove(0),
            _ => return Err(not_a_plan()),
        };
        let total_cost =
            explain.pointer("/Plan/Total Cost").and_then(Value::as_f64).ok_or_else(not_a_plan)?;
        self.rename(&mut explain);
        Ok(Planned { total_cost, explain })
    }

    fn planner_calls(&self) -> u64 {
        self.calls
    }
}
