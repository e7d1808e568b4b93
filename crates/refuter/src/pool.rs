//! From what is a column filled? From the candidates that its type and its own CHECK constraints accept, as the
//! server writes them, those near constants that the column is compared with most often.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sql::Ingredients;
use tokio_postgres::Client;

use crate::candidates::{Candidate, Constants, candidates, class};
use crate::catalog::{Tables, TypeFacts};
use crate::database::Cell;
use crate::error::Error;
use crate::generator::ROWS_MAX;

/// A value and how often it is drawn.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) cell: Cell,
    pub(crate) weight: f64,
}

/// To count further, databases would have to be large.
const COUNT_MAX: usize = 120;

/// What a column or a parameter is filled from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    /// See [`class`].
    pub(crate) class: String,
    pub(crate) choices: Vec<Choice>,
}

/// The pools of all columns, by table and column.
pub(crate) type Pools = Vec<Vec<Pool>>;

/// What both statements and the schema are made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Focus {
    pub(crate) constants: Constants,
    pub(crate) tells_time: bool,
    pub(crate) columns: BTreeSet<String>,
    pub(crate) parameters: BTreeMap<u32, BTreeSet<String>>,
    compared: BTreeSet<(String, String)>,
}

impl Focus {
    pub(crate) fn add(&mut self, ingredients: Ingredients) {
        for (constant, columns) in ingredients.constants {
            self.constants.entry(constant).or_default().extend(columns);
        }
        for (parameter, columns) in ingredients.parameters {
            self.parameters.entry(parameter).or_default().extend(columns);
        }
        self.tells_time |= ingredients.tells_time;
        self.columns.extend(ingredients.columns);
        self.compared.extend(ingredients.compared);
    }

    /// Takes over the constants of a condition of the schema.
    pub(crate) fn add_constants(&mut self, condition: &str) {
        for (constant, columns) in sql::expression_ingredients(condition).constants {
            self.constants.entry(constant).or_default().extend(columns);
        }
    }

    /// What is compared with a referencing column has to stand in the column that it references.
    pub(crate) fn add_foreign_keys(&mut self, tables: &Tables) {
        for table in &tables.tables {
            for key in &table.foreign_keys {
                let Some(referenced) = tables.tables.get(key.table) else { continue };
                for (own, other) in key.columns.iter().zip(&key.referenced) {
                    if let (Some(own), Some(other)) =
                        (table.columns.get(*own), referenced.columns.get(*other))
                    {
                        self.compared.insert((own.name.clone(), other.name.clone()));
                    }
                }
            }
        }
    }

    /// The largest number that rows could be counted up to, beyond what a tiny database has: of `LIMIT`,
    /// `OFFSET`, `HAVING count(*) > …`.
    pub(crate) fn count(&self) -> Option<usize> {
        let numbers = self.constants.keys().filter_map(|constant| constant.parse::<usize>().ok());
        numbers.filter(|number| (ROWS_MAX..=COUNT_MAX).contains(number)).max()
    }

    /// A column's name and the names of columns that it is compared with, directly or not.
    pub(crate) fn related(&self, column: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::from([column.to_owned()]);
        loop {
            let before = found.len();
            for (a, b) in &self.compared {
                if found.contains(a) || found.contains(b) {
                    found.extend([a.clone(), b.clone()]);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }
}

/// Reads which candidates the types and checks accept.
pub(crate) struct Reader<'a> {
    client: &'a Client,
    focus: &'a Focus,
    /// By type name: candidates with their texts.
    accepted: HashMap<String, Vec<(Candidate, Cell)>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(client: &'a Client, focus: &'a Focus) -> Self {
        Self { client, focus, accepted: HashMap::new() }
    }

    /// The pools of all columns.
    pub(crate) async fn columns(&mut self, tables: &Tables) -> Result<Pools, Error> {
        let mut pools = Pools::new();
        for table in &tables.tables {
            let mut of_table = Vec::new();
            for column in &table.columns {
                let related = self.focus.related(&column.name);
                let mut pool = self.pool(&column.column_type, &related).await?;
                for check in &table.checks {
                    let names = sql::expression_ingredients(check).columns;
                    if names.len() == 1 && names.contains(&column.name) {
                        self.keep_passing(&mut pool, &column.name, &column.column_type.name, check).await?;
                    }
                }
                of_table.push(pool);
            }
            pools.push(of_table);
        }
        Ok(pools)
    }

    /// What the type accepts, weighted for columns of these names.
    pub(crate) async fn pool(
        &mut self,
        facts: &TypeFacts,
        related: &BTreeSet<String>,
    ) -> Result<Pool, Error> {
        if !self.accepted.contains_key(&facts.name) {
            let found = self.accept(facts).await.map_err(Error::sql("choosing values"))?;
            self.accepted.insert(facts.name.clone(), found);
        }
        let mut choices: Vec<Choice> = Vec::new();
        let mut places: HashMap<&Cell, usize> = HashMap::new();
        for (candidate, cell) in self.accepted.get(&facts.name).into_iter().flatten() {
            let factor = match candidate.columns.is_empty() {
                true => 1.0,
                false if candidate.columns.is_disjoint(related) => 0.2,
                false => 4.0,
            };
            let weight = candidate.weight * factor;
            match places.get(cell) {
                Some(at) => choices[*at].weight = choices[*at].weight.max(weight),
                None => {
                    places.insert(cell, choices.len());
                    choices.push(Choice { cell: cell.clone(), weight });
                }
            }
        }
        Ok(Pool { class: class(facts), choices })
    }

    async fn accept(&self, facts: &TypeFacts) -> Result<Vec<(Candidate, Cell)>, tokio_postgres::Error> {
        let candidates = candidates(facts, &self.focus.constants, self.focus.tells_time);
        let texts: Vec<&str> = candidates.iter().map(|c| c.sql.as_str()).collect();
        // Texts of values shall not depend on the source's settings.
        self.client
            .batch_execute("BEGIN; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, MDY'")
            .await?;
        let rows = self
            .client
            .query(
                "SELECT /* pgwright:refuter_values */ pgwright_refuter.value(e.sql, $2)
                 FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS e (sql, place) ORDER BY e.place",
                &[&texts, &facts.name],
            )
            .await;
        self.client.batch_execute("ROLLBACK").await?;
        let mut found = Vec::new();
        for (candidate, row) in candidates.into_iter().zip(rows?) {
            let text: Option<String> = row.try_get(0)?;
            let cell = match (text, candidate.clock) {
                (None, _) => continue,
                (Some(_), true) => Cell::Clock(candidate.sql.clone()),
                (Some(text), false) => Cell::Text(text),
            };
            found.push((candidate, cell));
        }
        Ok(found)
    }

    /// Drops what a CHECK constraint on this column alone refuses. A check that cannot be asked so is left to
    /// the table.
    async fn keep_passing(
        &self,
        pool: &mut Pool,
        column: &str,
        type_name: &str,
        check: &str,
    ) -> Result<(), Error> {
        let values: Vec<String> = pool.choices.iter().map(|c| c.cell.sql(type_name)).collect();
        if values.is_empty() {
            return Ok(());
        }
        let rows: Vec<String> = values.iter().enumerate().map(|(at, v)| format!("({at}, {v})")).collect();
        let sql = format!(
            "SELECT /* pgwright:refuter_check */ v.pgwright_place
             FROM (VALUES {}) AS v (pgwright_place, {}) WHERE ({check}) IS NOT FALSE",
            rows.join(", "),
            model::quote_identifier(column)
        );
        let Ok(rows) = self.client.query_typed(&sql, &[]).await else { return Ok(()) };
        let mut passing = BTreeSet::new();
        for row in rows {
            let place: i32 = row.try_get(0).map_err(Error::sql("choosing values"))?;
            passing.insert(usize::try_from(place).unwrap_or(usize::MAX));
        }
        let mut at = 0;
        pool.choices.retain(|_| {
            at += 1;
            passing.contains(&(at - 1))
        });
        Ok(())
    }
}
