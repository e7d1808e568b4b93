//! How do a tiny database and two statements run together? In one transaction that is rolled back, all of it
//! sent at once, so that a database takes one round trip.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use schema::pipeline;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::catalog::Tables;
use crate::database::Database;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::statement::Pair;

/// Beyond this number of rows an answer is not read.
const ROWS_MAX: usize = 5000;

/// What happened on one database.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) before: Outcome,
    pub(crate) after: Outcome,
}

/// Makes the database by these insertions and runs both statements; `None` when an insertion fails.
pub(crate) async fn run(
    client: &Client,
    tables: &Tables,
    database: &Database,
    inserts: &[String],
    planner: &str,
    pair: &Pair,
) -> Result<Option<Ran>, Error> {
    let mut begin = String::from("BEGIN;");
    begin.push_str(&database.settings_sql());
    for insert in inserts {
        begin.push_str(insert);
        begin.push(';');
    }
    begin.push_str("SET CONSTRAINTS ALL IMMEDIATE;");
    for view in &tables.materialized_views {
        begin.push_str(&format!("REFRESH MATERIALIZED VIEW {view};"));
    }
    begin.push_str(planner);
    begin.push_str("SAVEPOINT filled");
    let (before, after) = pair.bound(&database.parameters);
    let messages = [begin.as_str(), &before, "ROLLBACK TO SAVEPOINT filled", &after, "ROLLBACK"];
    let mut answers = pipeline::all(messages.into_iter().map(|sql| ask(client, sql))).await.into_iter();
    let mut next = || answers.next().unwrap_or(Ok(Outcome::Unanswered));
    let (filled, before, _, after, ended) = (next()?, next()?, next()?, next()?, next()?);
    if matches!(ended, Outcome::Failed { .. }) {
        return Ok(None);
    }
    Ok(matches!(filled, Outcome::Rows(_)).then_some(Ran { before, after }))
}

/// Which insertions have an effect, in this order; with foreign keys that are looked up later, where tables
/// reference each other in a circle.
pub(crate) async fn survivors(
    client: &Client,
    database: &Database,
    inserts: &[String],
    circles: bool,
) -> Result<Vec<bool>, Error> {
    let deferred = if circles { "SET CONSTRAINTS ALL DEFERRED;" } else { "" };
    let begin = format!("BEGIN;{}{deferred}", database.settings_sql());
    let tries: Vec<String> = inserts
        .iter()
        .map(|insert| format!("SELECT pgwright_refuter.try({}, {})", model::quote_literal(insert), !circles))
        .collect();
    let messages =
        std::iter::once(begin.as_str()).chain(tries.iter().map(String::as_str)).chain(["ROLLBACK"]);
    let answers = pipeline::all(messages.map(|sql| ask(client, sql))).await;
    let mut survived = Vec::with_capacity(inserts.len());
    for answer in answers.into_iter().skip(1).take(inserts.len()) {
        let inserted = match answer? {
            Outcome::Rows(rows) => rows.first().and_then(|row| row.first().cloned().flatten()),
            _ => None,
        };
        survived.push(inserted.as_deref() == Some("t"));
    }
    Ok(survived)
}

/// Sends a message and reads its rows.
async fn ask(client: &Client, sql: &str) -> Result<Outcome, Error> {
    match read(client, sql).await {
        Ok(outcome) => Ok(outcome),
        Err(error) => match error.as_db_error() {
            // Out of time, memory, disk or stack says nothing about the answer.
            Some(db)
                if db.code().code().starts_with("53") || ["57014", "54001"].contains(&db.code().code()) =>
            {
                Ok(Outcome::Unanswered)
            }
            Some(db) => Ok(Outcome::Failed {
                sqlstate: db.code().code().to_owned(),
                message: db.message().to_owned(),
            }),
            None => Err(Error::sql("running a statement")(error)),
        },
    }
}

async fn read(client: &Client, sql: &str) -> Result<Outcome, tokio_postgres::Error> {
    let mut stream = pin!(client.simple_query_raw(sql).await?);
    let mut rows = Vec::new();
    let mut too_many = false;
    while let Some(message) = stream.try_next().await? {
        let SimpleQueryMessage::Row(row) = message else { continue };
        if rows.len() >= ROWS_MAX {
            // What is left is read and forgotten, so that the next message finds its own answer.
            too_many = true;
            continue;
        }
        rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
    }
    Ok(if too_many { Outcome::Unanswered } else { Outcome::Rows(rows) })
}
