//! Which operator class and which collation does an unqualified name mean, as the source's sessions
//! read it?
//!
//! Source: PostgreSQL manual, "Operator Classes and Operator Families" and `pg_opclass_is_visible`.
//! The planning session has the source's `search_path`, so what is visible there is what is meant.

use model::QualifiedName;
use model::cost_model::CostError;

use crate::error::Error;
use crate::the_twin::Twin;

const OPERATOR_CLASS: &str = "
SELECT /* pgwright:twin_opclass */ n.nspname::pg_catalog.text, o.opcname::pg_catalog.text
FROM pg_catalog.pg_opclass AS o
JOIN pg_catalog.pg_am AS m ON m.oid = o.opcmethod
JOIN pg_catalog.pg_namespace AS n ON n.oid = o.opcnamespace
WHERE m.amname = $1 AND o.opcname = $2 AND pg_catalog.pg_opclass_is_visible(o.oid)";

const COLLATION: &str = "
SELECT /* pgwright:twin_collation */ n.nspname::pg_catalog.text, c.collname::pg_catalog.text
FROM pg_catalog.pg_collation AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.collnamespace
WHERE c.collname = $1 AND pg_catalog.pg_collation_is_visible(c.oid)
LIMIT 1";

impl Twin {
    /// The operator class of an access method that an unqualified name means; `None` when there is none.
    ///
    /// # Errors
    /// When the twin's server fails.
    pub async fn operator_class(
        &self,
        access_method: &str,
        name: &str,
    ) -> Result<Option<QualifiedName>, CostError> {
        self.find(OPERATOR_CLASS, &[access_method, name]).await
    }

    /// The collation that an unqualified name means; `None` when there is none.
    ///
    /// # Errors
    /// When the twin's server fails.
    pub async fn collation(&self, name: &str) -> Result<Option<QualifiedName>, CostError> {
        self.find(COLLATION, &[name]).await
    }

    /// The one name that a query gives. Its parameters are texts.
    async fn find(&self, sql: &str, values: &[&str]) -> Result<Option<QualifiedName>, CostError> {
        let typed: Vec<_> = values
            .iter()
            .map(|v| (v as &(dyn tokio_postgres::types::ToSql + Sync), tokio_postgres::types::Type::TEXT))
            .collect();
        let failed = Error::sql("looking a name up");
        let rows = match self.planner.query_typed(sql, &typed).await {
            Ok(rows) => rows,
            Err(e) => return Err(failed(e).into()),
        };
        let Some(row) = rows.first() else { return Ok(None) };
        let part = |at: usize| row.try_get::<_, String>(at).map_err(|e| Error::sql("reading a name")(e));
        Ok(Some(QualifiedName::new(part(0)?, part(1)?)))
    }
}
