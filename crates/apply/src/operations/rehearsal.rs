//! Would the server build this index? Asked by building it on an empty temporary copy of the table in
//! a transaction that is rolled back: the server itself says whether access method, operator classes,
//! expressions and predicate are in order, and tells the definition in its own words, to be compared
//! with those that exist.
//!
//! Source: PostgreSQL manual, "CREATE TABLE … LIKE", "CREATE INDEX".

use model::{IndexDefinition, QualifiedName};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::catalog::shape_of;
use crate::error::Error;
use crate::partitions::expansion::Likeness;
use crate::partitions::tree;

/// What the server said.
pub(crate) enum Rehearsed {
    /// It can be built.
    Possible {
        /// Its definition from `USING` on.
        shape: Option<String>,
        /// What another index must be like to be the same.
        likeness: Option<Likeness>,
    },
    /// It cannot be built.
    Refused {
        /// Why.
        sqlstate: String,
        /// In the server's words.
        message: String,
    },
    /// It could not be tried.
    Postponed,
}

/// Tries a definition.
pub(crate) async fn rehearse(client: &Client, wanted: &IndexDefinition) -> Result<Rehearsed, Error> {
    let doing = "try an index on an empty copy";
    let copy = QualifiedName::new("pg_temp", "pgwright_rehearsal");
    let trial = IndexDefinition { table: copy.clone(), ..wanted.clone() };
    let control =
        |sql: &'static str| async move { client.batch_execute(sql).await.map_err(Error::query(doing)) };
    // Who holds the table so strongly that it cannot be read is not waited for here.
    control("BEGIN /* pgwright:rehearsal_begin */; SET LOCAL lock_timeout = '300ms'").await?;
    let tried = async {
        let like = format!(
            "CREATE /* pgwright:rehearsal_table */ TEMPORARY TABLE pgwright_rehearsal (LIKE {})",
            wanted.table
        );
        client.execute(&like, &[]).await?;
        client.execute(&super::marked("rehearsal_index", &trial.create_sql(false)), &[]).await?;
        let row = client
            .query_one(
                "SELECT /* pgwright:rehearsal_shape */ i.indrelid as table_oid, \
                   pg_catalog.pg_get_indexdef(i.indexrelid) as definition \
                 FROM pg_catalog.pg_index i WHERE i.indrelid = 'pg_temp.pgwright_rehearsal'::pg_catalog.regclass",
                &[],
            )
            .await?;
        Ok::<_, tokio_postgres::Error>((row.try_get::<_, u32>("table_oid")?, row.try_get::<_, String>("definition")?))
    }
    .await;
    let answer = match tried {
        Ok((table, definition)) => {
            let index = tree::indexes_of(client, &[table]).await.map(|mut all| all.remove(&table));
            let shape = shape_of(&definition, wanted.unique, &wanted.name, &copy).map(str::to_owned);
            index.map(|index| Rehearsed::Possible {
                shape,
                likeness: index.and_then(|i| i.first().map(Likeness::of)),
            })
        }
        Err(error) => match error.as_db_error() {
            // A lock on the table says nothing of the definition; the step itself waits and retries.
            Some(db)
                if [
                    SqlState::LOCK_NOT_AVAILABLE,
                    SqlState::QUERY_CANCELED,
                    SqlState::T_R_DEADLOCK_DETECTED,
                    SqlState::INSUFFICIENT_PRIVILEGE,
                ]
                .contains(db.code()) =>
            {
                Ok(Rehearsed::Postponed)
            }
            Some(db) => Ok(Rehearsed::Refused {
                sqlstate: db.code().code().to_owned(),
                message: db.message().to_owned(),
            }),
            None => Err(Error::query(doing)(error)),
        },
    };
    control("ROLLBACK /* pgwright:rehearsal_end */").await?;
    answer
}
