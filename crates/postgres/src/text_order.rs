//! In which order does the server put texts? Only it knows its collations.
//!
//! Source: PostgreSQL manual, "Collation Support". The texts travel there and back; no table is read.

use model::QualifiedName;

use crate::error::Error;
use crate::session::Session;

/// By what texts are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRule<'a> {
    /// The collation of the database.
    Database,
    /// The same, in lower case.
    Folded,
    /// This collation.
    Collation(&'a QualifiedName),
}

/// Sorts texts. Those that a collation takes for equal stand in the order of their bytes.
///
/// # Errors
/// Those of the query.
pub async fn sorted(session: &Session, texts: &[String], rule: TextRule<'_>) -> Result<Vec<String>, Error> {
    let key = match rule {
        TextRule::Database => "t.value".to_owned(),
        TextRule::Folded => "pg_catalog.lower(t.value)".to_owned(),
        TextRule::Collation(name) => format!("t.value COLLATE {name}"),
    };
    let sql = format!(
        "SELECT /* pgwright:sorted_texts */ t.value FROM pg_catalog.unnest($1::pg_catalog.text[]) AS t (value) \
         ORDER BY {key}, t.value COLLATE pg_catalog.\"C\""
    );
    let failed = |error: tokio_postgres::Error| Error::from_query("sorted_texts", &error);
    let typed: [(&(dyn tokio_postgres::types::ToSql + Sync), _); 1] =
        [(&texts, tokio_postgres::types::Type::TEXT_ARRAY)];
    let rows = session.query_typed(&sql, &typed).await.map_err(failed)?;
    rows.iter().map(|row| row.try_get(0).map_err(failed)).collect()
}
