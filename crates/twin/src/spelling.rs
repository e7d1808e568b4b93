//! How is a candidate written for a session that searches no schema?
//!
//! Candidates carry expressions as statements write them, and statements find functions, types and operators through
//! their `search_path`. Whoever builds the index has another one: `apply` searches `pg_catalog` alone, and a person who
//! pastes the command has their own, in which the name may not be there or be something else. The server that created
//! the candidate knows what was meant.
//!
//! Source: PostgreSQL manual, "System Information Functions" (`pg_get_indexdef()`, `pg_get_expr()`): what is not
//! visible is shown with its schema.

use model::cost_model::CandidateId;
use model::{IndexDefinition, KeyTarget};
use tokio_postgres::Client;
use tokio_postgres::types::Oid;

use crate::error::Error;
use crate::session::{As, DATABASE, connect};
use crate::the_twin::Twin;

const WHAT: &str = "reading how candidates are written";

/// The keys that are expressions, by their place from 1, and the predicate.
type Texts = (Vec<(usize, String)>, Option<String>);

/// The definitions of candidates whose expressions name what is not in `pg_catalog`, with the schemas written out.
pub(crate) async fn spelt_out(
    twin: &Twin,
    candidates: &[CandidateId],
) -> Result<Vec<Option<IndexDefinition>>, Error> {
    let path = twin.settings.iter().find(|(name, _)| name == "search_path").map_or("", |(_, v)| v.as_str());
    let mut session = None;
    let mut all = Vec::new();
    for id in candidates {
        let candidate = usize::try_from(id.0).ok().and_then(|at| twin.candidates.get(at));
        let Some(candidate) = candidate.filter(|c| has_expression(&c.definition)) else {
            all.push(None);
            continue;
        };
        if session.is_none() {
            session = Some(connect(&twin.server, DATABASE, As::Owner).await?);
        }
        let Some(client) = &session else { continue };
        let found = texts(client, path, candidate.oid, &candidate.definition).await?;
        let alone = texts(client, "pg_catalog", candidate.oid, &candidate.definition).await?;
        all.push((found != alone).then(|| {
            let mut definition = candidate.definition.clone();
            for (place, text) in alone.0 {
                if let Some(key) = definition.keys.get_mut(place - 1) {
                    key.target = KeyTarget::Expression(text);
                }
            }
            definition.predicate = alone.1;
            definition
        }));
    }
    Ok(all)
}

fn has_expression(definition: &IndexDefinition) -> bool {
    definition.predicate.is_some() || expressions(definition).next().is_some()
}

fn expressions(definition: &IndexDefinition) -> impl Iterator<Item = usize> {
    let is_expression = |key: &model::IndexKey| matches!(key.target, KeyTarget::Expression(_));
    (1..).zip(&definition.keys).filter(move |(_, key)| is_expression(key)).map(|(place, _)| place)
}

/// What the server shows of an index under a `search_path`.
async fn texts(
    client: &Client,
    path: &str,
    index: Oid,
    definition: &IndexDefinition,
) -> Result<Texts, Error> {
    let set = "SELECT /* pgwright:twin_setting */ pg_catalog.set_config('search_path', $1, false)";
    client.query(set, &[&path]).await.map_err(Error::sql(WHAT))?;
    let mut keys = Vec::new();
    for place in expressions(definition) {
        let column = i32::try_from(place).unwrap_or_default();
        let show = "SELECT /* pgwright:twin_spelling */ pg_catalog.pg_get_indexdef($1, $2, false)";
        let row = client.query_one(show, &[&index, &column]).await.map_err(Error::sql(WHAT))?;
        let text: String = row.try_get(0).map_err(Error::sql(WHAT))?;
        // All but calls of functions stand in parentheses of their own.
        let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        keys.push((place, inner.unwrap_or(&text).to_owned()));
    }
    let show = "SELECT /* pgwright:twin_spelling */ pg_catalog.pg_get_expr(indpred, indrelid)
        FROM pg_catalog.pg_index WHERE indexrelid = $1";
    let row = client.query_one(show, &[&index]).await.map_err(Error::sql(WHAT))?;
    let predicate: Option<String> = row.try_get(0).map_err(Error::sql(WHAT))?;
    Ok((keys, predicate))
}
