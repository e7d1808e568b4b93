//! Which values does the database have for a workload's parameters? Asked once, before a run.
//!
//! Source: docs/reference/workload-file.md. Queries are the file's own and run with the role's
//! `search_path`; each is marked as pgwright's, so that a profile leaves it out.

use std::collections::BTreeMap;

use postgres::tokio_postgres::{self, SimpleQueryMessage};
use postgres::{Session, SessionOptions, Target};

use super::draw::Weights;
use super::error::WorkloadError;
use super::file::WorkloadFile;
use super::parameter::{BoundParameters, Rows, Source};
use super::template::Template;

/// Runs the parameters' queries and checks that every use of a parameter has a value.
///
/// # Errors
/// [`WorkloadError`] naming the parameter or the statement.
pub async fn bind(
    target: &Target,
    file: &WorkloadFile,
    options: &SessionOptions,
) -> Result<BoundParameters, WorkloadError> {
    let mut rows = BTreeMap::new();
    let mut session = None;
    for (name, parameter) in &file.parameters {
        if let Source::Query { sql, weight_column } = &parameter.source {
            let session = match &mut session {
                Some(session) => session,
                none => none.insert(target.connect(options).await.map_err(WorkloadError::connect)?),
            };
            rows.insert(name.clone(), query_rows(session, name, sql, weight_column.as_deref()).await?);
        }
    }
    let parameters = BoundParameters::new(file.parameters.clone(), rows);
    let check = |what: String, template: &Template| {
        template.references().try_for_each(|reference| match parameters.missing_column(reference) {
            Some(reason) => Err(WorkloadError::Column {
                statement: what.clone(),
                reference: reference.to_string(),
                reason,
            }),
            None => Ok(()),
        })
    };
    for statement in &file.statements {
        check(format!("statement \"{}\"", statement.name), &statement.template)?;
    }
    if let Some(ingest) = &file.ingest {
        for template in [&ingest.row, &ingest.update, &ingest.cleanup] {
            check("[ingest]".to_owned(), template)?;
        }
    }
    Ok(parameters)
}

async fn query_rows(
    session: &Session,
    parameter: &str,
    sql: &str,
    weight_column: Option<&str>,
) -> Result<Rows, WorkloadError> {
    let failed = |error: tokio_postgres::Error| WorkloadError::ParameterQuery {
        parameter: parameter.to_owned(),
        source: Box::new(postgres::Error::from_query("workload_parameter", &error)),
    };
    let no_values =
        |reason: &str| WorkloadError::NoValues { parameter: parameter.to_owned(), reason: reason.to_owned() };
    let messages = session.simple_query(&marked(sql)).await.map_err(failed)?;
    let mut columns: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    let mut weights = Vec::new();
    let mut weight_at = None;
    for message in &messages {
        match message {
            SimpleQueryMessage::RowDescription(description) => {
                columns = description.iter().map(|column| column.name().to_owned()).collect();
                weight_at = weight_column.and_then(|name| columns.iter().position(|column| column == name));
                if weight_column.is_some() && weight_at.is_none() {
                    return Err(no_values("its query does not return the weight_column"));
                }
                if let Some(position) = weight_at {
                    columns.remove(position);
                }
            }
            SimpleQueryMessage::Row(row) => {
                let weight = weight_at.map(|position| row.get(position).and_then(|text| text.parse().ok()));
                // A weight that is null or no number is never drawn.
                weights.push(weight.map_or(1.0, |weight| weight.unwrap_or(0.0)));
                rows.push(
                    (0..row.len())
                        .filter(|position| Some(*position) != weight_at)
                        .map(|position| row.get(position).map(str::to_owned))
                        .collect(),
                );
            }
            _ => {}
        }
    }
    let weights = Weights::new(weights);
    if rows.is_empty() {
        return Err(no_values("its query returns no rows"));
    }
    if columns.is_empty() || weights.total() <= 0.0 {
        return Err(no_values("its query returns nothing that can be drawn"));
    }
    Ok(Rows { columns, rows, weights })
}

/// Marks a query as pgwright's own, after its first key word, so that it is left out of profiles.
fn marked(sql: &str) -> String {
    let sql = sql.trim_start();
    let word = sql.bytes().take_while(u8::is_ascii_alphabetic).count();
    format!("{} /* pgwright:workload_parameter */{}", &sql[..word], &sql[word..])
}

#[cfg(test)]
mod tests {
    use super::marked;

    #[test]
    fn the_mark_stands_after_the_first_key_word() {
        let check = |sql: &str, expected: &str| assert_eq!(marked(sql), expected);
        check("\n SELECT 1", "SELECT /* pgwright:workload_parameter */ 1");
        check(
            "WITH a AS (SELECT 1) TABLE a",
            "WITH /* pgwright:workload_parameter */ a AS (SELECT 1) TABLE a",
        );
        check("(SELECT 1)", " /* pgwright:workload_parameter */(SELECT 1)");
    }
}
