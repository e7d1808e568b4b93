//! Can two statements be compared, and in what form are they run?

use std::collections::{BTreeMap, BTreeSet};

use sql::{Order, ParsedStatement, StatementKind, Value};
use tokio_postgres::types::Type;

use crate::catalog::{self, TypeFacts, Uses};
use crate::database::Cell;
use crate::error::{Error, Side};
use crate::outcome::{Comparison, Shape, Ties};
use crate::pool::Focus;
use crate::server::Refuter;

/// One of the two statements.
pub(crate) struct Prepared {
    parsed: ParsedStatement,
    /// What is run: for the first statement with the number of the tie.
    run: ParsedStatement,
    pub(crate) columns: Vec<(String, String)>,
    types: Vec<Type>,
    /// Types of its parameters as casts have them, by number.
    pub(crate) parameters: BTreeMap<u32, TypeFacts>,
    pub(crate) uses: Uses,
}

/// Both statements.
pub(crate) struct Pair {
    pub(crate) before: Prepared,
    pub(crate) after: Prepared,
    pub(crate) shape: Shape,
}

/// Either what was prepared, or why the statement cannot be compared.
type OrReason<T> = Result<T, String>;

impl Pair {
    /// Prepares both.
    pub(crate) async fn prepare(
        refuter: &Refuter,
        before: &str,
        after: &str,
    ) -> Result<OrReason<Self>, Error> {
        let mut prepared = Vec::new();
        for (side, text) in [(Side::Before, before), (Side::After, after)] {
            match Prepared::prepare(refuter, side, text).await? {
                Ok(statement) => prepared.push(statement),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        let (Some(after), Some(mut before)) = (prepared.pop(), prepared.pop()) else {
            return Ok(Err("There are no two statements.".into()));
        };
        let unknown: Vec<String> = after
            .parameters
            .keys()
            .filter(|number| !before.parameters.contains_key(number))
            .map(|number| format!("${number}"))
            .collect();
        if !unknown.is_empty() {
            return Ok(Err(format!(
                "The second statement has the parameter {}, which the first one has not: what is it given?",
                unknown.join(", ")
            )));
        }
        let ties = before.with_ties(refuter).await;
        let columns = before
            .types
            .iter()
            .map(|column_type| match *column_type {
                Type::NUMERIC => Comparison::Numeric,
                Type::FLOAT4 | Type::FLOAT8 => Comparison::Float,
                _ => Comparison::Text,
            })
            .collect();
        Ok(Ok(Self { before, after, shape: Shape { columns, ties } }))
    }

    /// Both texts with values in place of parameters.
    pub(crate) fn bound(&self, parameters: &[(u32, Cell)]) -> (String, String) {
        (self.before.bound(parameters), self.after.bound(parameters))
    }

    /// What both are made of.
    pub(crate) fn focus(&self) -> Focus {
        let mut focus = Focus::default();
        focus.add(self.before.parsed.ingredients());
        focus.add(self.after.parsed.ingredients());
        focus
    }

    /// How number, names or types of the columns differ, as a sentence.
    pub(crate) fn columns_differ(&self) -> Option<String> {
        let (before, after) = (&self.before.columns, &self.after.columns);
        if before.len() != after.len() {
            return Some(format!(
                "The first statement gives {} column{} and the second one {}.",
                before.len(),
                if before.len() == 1 { "" } else { "s" },
                after.len()
            ));
        }
        let differs = before.iter().zip(after).position(|(b, a)| b != a)?;
        let ((name, type_name), (other_name, other_type)) = (&before[differs], &after[differs]);
        let number = differs + 1;
        Some(match name == other_name {
            true => format!(
                "Column {number}, \"{name}\", is of type {type_name} in the first statement and of type {other_type} in the second."
            ),
            false => format!(
                "Column {number} is called \"{name}\" in the first statement and \"{other_name}\" in the second."
            ),
        })
    }
}

impl Prepared {
    async fn prepare(refuter: &Refuter, side: Side, text: &str) -> Result<OrReason<Self>, Error> {
        let in_text = |error| Error::Text { side, error };
        let parsed = ParsedStatement::parse(text).map_err(in_text)?;
        let safety = sql::statement_safety(text).map_err(in_text)?;
        if parsed.kind() != StatementKind::Select || !safety.reads_only {
            let reason = safety.reasons.first().cloned().unwrap_or_else(|| "it is no SELECT".into());
            return Ok(Err(format!("The {side} statement does not only read: {reason}.")));
        }
        let client = &refuter.client;
        let refused = |error: tokio_postgres::Error| match error.as_db_error() {
            Some(db) => Error::Statement {
                side,
                message: db.message().to_owned(),
                sqlstate: db.code().code().to_owned(),
                position: match db.position() {
                    Some(tokio_postgres::error::ErrorPosition::Original(at)) => usize::try_from(*at).ok(),
                    _ => None,
                },
                server_hint: db.hint().map(str::to_owned),
            },
            None => Error::sql("preparing a statement")(error),
        };
        let described = client.prepare(text).await.map_err(refused)?;
        let types: Vec<Type> = described.columns().iter().map(|c| c.type_().clone()).collect();
        let all: Vec<Type> = types.iter().chain(described.params()).cloned().collect();
        let facts = type_facts(refuter, &all).await?;
        let columns = described
            .columns()
            .iter()
            .zip(&facts)
            .map(|(column, facts)| (column.name().to_owned(), facts.name.clone()))
            .collect();
        let numbers = parsed.parameters();
        let of_parameters = facts.into_iter().skip(types.len());
        let parameters: BTreeMap<u32, TypeFacts> =
            (1..).zip(of_parameters).filter(|(number, _)| numbers.contains(number)).collect();
        let mut prepared =
            Self { run: parsed.clone(), parsed, columns, types, parameters, uses: Uses::default() };
        let nulls: Vec<(u32, Cell)> = prepared.parameters.keys().map(|n| (*n, Cell::Null)).collect();
        let bound = prepared.bound(&nulls);
        let bound = sql::single_statement(&bound).unwrap_or(&bound);
        prepared.uses = catalog::uses(client, bound).await.map_err(refused)?;
        if let Some(function) = prepared.uses.volatile.first() {
            return Ok(Err(format!(
                "The {side} statement calls the volatile function {function}(), whose answer changes from call to call."
            )));
        }
        if let Some(relation) = prepared.uses.foreign.first() {
            return Ok(Err(format!(
                "The {side} statement reads {relation}, whose rows cannot be made up here."
            )));
        }
        Ok(Ok(prepared))
    }

    /// Lets the statement tell where rows tie, when it asks for an order.
    async fn with_ties(&mut self, refuter: &Refuter) -> Ties {
        match self.parsed.order() {
            Order::Unordered => Ties::Unordered,
            Order::Columns(columns) => Ties::Columns(columns),
            Order::Unknown => Ties::Unknown,
            Order::Ranked(text) => match ParsedStatement::parse(&text) {
                Ok(ranked) if refuter.client.prepare(&text).await.is_ok() => {
                    self.run = ranked;
                    Ties::Last
                }
                _ => Ties::Unknown,
            },
        }
    }

    fn bound(&self, parameters: &[(u32, Cell)]) -> String {
        let values: BTreeMap<u32, Value> = parameters
            .iter()
            .filter_map(|(number, cell)| {
                let facts = self.parameters.get(number)?;
                let type_name = facts.name.clone();
                Some((
                    *number,
                    match cell {
                        Cell::Text(text) => Value::Typed { text: text.clone(), type_name },
                        other => Value::Computed { sql: other.sql(&type_name), text: String::new() },
                    },
                ))
            })
            .collect();
        self.run.bind(&values, None)
    }

    /// The constants of the output, for a message.
    pub(crate) fn output_names(&self) -> Vec<String> {
        self.columns.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn output_types(&self) -> Vec<String> {
        self.columns.iter().map(|(_, type_name)| type_name.clone()).collect()
    }

    /// The relations that it reads.
    pub(crate) fn relations(&self) -> &BTreeSet<tokio_postgres::types::Oid> {
        &self.uses.relations
    }
}

/// What is known of types, in their order.
async fn type_facts(refuter: &Refuter, types: &[Type]) -> Result<Vec<TypeFacts>, Error> {
    catalog::types(&refuter.client, &types.iter().map(Type::oid).collect::<Vec<_>>())
        .await
        .map_err(Error::sql("reading types"))
}
