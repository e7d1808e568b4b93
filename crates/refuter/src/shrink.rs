//! What is the smallest database on which the answers still differ? Rows are left out, settings, and values
//! made plain one by one, as long as the difference stays.
//!
//! Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input": halves of a table's rows
//! first, then ever smaller parts.

use std::time::{Duration, Instant};

use model::quote_identifier;

use crate::catalog::{Column, Table};
use crate::compare::Comparison;
use crate::database::{Cell, Database};
use crate::error::Error;
use crate::outcome::Outcome;
use crate::run::Ran;
use crate::statement::Prepared;
use crate::verdict::{Answer, Difference, Witness};

const TRIES_MAX: u32 = 400;
const TIME_MAX: Duration = Duration::from_secs(10);

/// Values that are plainer than others, by class, the plainest first.
fn plain_values(class: &str, column: &Column) -> Vec<Cell> {
    let texts: Vec<String> = match class {
        "number" => ["1", "2", "3", "4", "0"].map(str::to_owned).to_vec(),
        "text" => ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
        "instant" => match column.column_type.base.as_str() {
            "date" => ["2024-01-15", "2024-01-16", "2024-01-17"].map(str::to_owned).to_vec(),
            "timestamp" => ["2024-01-15 00:00:00", "2024-01-16 00:00:00"].map(str::to_owned).to_vec(),
            _ => ["2024-01-15 00:00:00+00", "2024-01-16 00:00:00+00"].map(str::to_owned).to_vec(),
        },
        "bool" => vec!["true".into(), "false".into()],
        "uuid" => (1..5).map(|n| format!("00000000-0000-0000-0000-00000000000{n}")).collect(),
        "json" => vec!["{}".into()],
        _ => column.column_type.labels.clone(),
    };
    texts.into_iter().map(Cell::Text).collect()
}

struct Shrinking<'a> {
    comparison: &'a Comparison<'a>,
    best: Database,
    tries: u32,
    until: Instant,
}

impl Shrinking<'_> {
    /// Keeps a smaller database if the answers still differ on it.
    async fn keep(&mut self, smaller: Database) -> Result<bool, Error> {
        if self.tries >= TRIES_MAX || Instant::now() > self.until || smaller == self.best {
            return Ok(false);
        }
        self.tries += 1;
        let differs = self.comparison.differs(&smaller).await?.is_some();
        if differs {
            self.best = smaller;
        }
        Ok(differs)
    }

    async fn drop_settings(&mut self) -> Result<(), Error> {
        for at in (0..self.best.settings.len()).rev() {
            let mut smaller = self.best.clone();
            smaller.settings.remove(at);
            self.keep(smaller).await?;
        }
        Ok(())
    }

    async fn drop_rows(&mut self) -> Result<(), Error> {
        loop {
            let before = self.best.len();
            // Referencing tables first.
            for table in (0..self.best.rows.len()).rev() {
                if self.best.rows[table].len() > 1 {
                    let mut smaller = self.best.clone();
                    smaller.rows[table].clear();
                    if self.keep(smaller).await? {
                        continue;
                    }
                }
                let mut chunk = self.best.rows[table].len().div_ceil(2).max(1);
                loop {
                    let mut end = self.best.rows[table].len();
                    while end > 0 {
                        let start = end.saturating_sub(chunk);
                        let mut smaller = self.best.clone();
                        smaller.rows[table].drain(start..end);
                        self.keep(smaller).await?;
                        end = start;
                    }
                    if chunk == 1 {
                        break;
                    }
                    chunk /= 2;
                }
            }
            if self.best.len() == before {
                return Ok(());
            }
        }
    }

    /// Columns that no statement names become NULL or their default, all at once where that is possible.
    async fn empty_unnamed_columns(&mut self) -> Result<(), Error> {
        let tables = self.comparison.tables;
        for (at, table) in tables.tables.iter().enumerate() {
            let unnamed: Vec<usize> =
                (0..table.columns.len()).filter(|c| self.may_be_left_out(&table.columns[*c])).collect();
            let left_out = |column: usize| match table.columns[column].plain_default {
                true => Cell::Default,
                false => Cell::Null,
            };
            let mut smaller = self.best.clone();
            for row in &mut smaller.rows[at] {
                for column in &unnamed {
                    row[*column] = left_out(*column);
                }
            }
            if self.keep(smaller).await? {
                continue;
            }
            for column in unnamed {
                let mut smaller = self.best.clone();
                smaller.rows[at].iter_mut().for_each(|row| row[column] = left_out(column));
                self.keep(smaller).await?;
            }
        }
        Ok(())
    }

    fn may_be_left_out(&self, column: &Column) -> bool {
        (!column.not_null || column.plain_default) && !self.comparison.focus.columns.contains(&column.name)
    }

    /// One value becomes a plainer one wherever it stands, so that joins still meet.
    async fn rename_values(&mut self) -> Result<(), Error> {
        let mut places: Vec<(String, Cell, Column)> = Vec::new();
        for (table, rows) in self.comparison.tables.tables.iter().zip(&self.best.rows) {
            for row in rows {
                for (cell, column) in row.iter().zip(&table.columns) {
                    let class = crate::candidates::class(&column.column_type);
                    let known = places.iter().any(|(c, other, _)| *c == class && other == cell);
                    if !known && !matches!(cell, Cell::Null | Cell::Default) {
                        places.push((class, cell.clone(), column.clone()));
                    }
                }
            }
        }
        for (class, cell, column) in places {
            let plain = plain_values(&class, &column);
            let rank = plain.iter().position(|p| *p == cell).unwrap_or(plain.len());
            for plainer in &plain[..rank] {
                let mut smaller = self.best.clone();
                for (table, rows) in self.comparison.tables.tables.iter().zip(&mut smaller.rows) {
                    for row in rows {
                        for (place, column) in table.columns.iter().enumerate() {
                            if row[place] == cell && crate::candidates::class(&column.column_type) == class {
                                row[place] = plainer.clone();
                            }
                        }
                    }
                }
                for (number, value) in &mut smaller.parameters {
                    let parameter = self.comparison.pair.before.parameters.get(number);
                    if *value == cell && parameter.is_some_and(|p| crate::candidates::class(p) == class) {
                        *value = plainer.clone();
                    }
                }
                if self.keep(smaller).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Single values become the plainest ones. A NULL that decides nothing does not stay either.
    async fn simplify_values(&mut self) -> Result<(), Error> {
        let tables = self.comparison.tables;
        for (at, table) in tables.tables.iter().enumerate() {
            for place in 0..table.columns.len() {
                let column = &table.columns[place];
                if self.may_be_left_out(column) {
                    continue;
                }
                let plain = plain_values(&crate::candidates::class(&column.column_type), column);
                for row in 0..self.best.rows[at].len() {
                    let cell = self.best.rows[at][row][place].clone();
                    let rank = plain.iter().position(|p| *p == cell).unwrap_or(plain.len());
                    for plainer in plain[..rank].iter().take(2) {
                        let mut smaller = self.best.clone();
                        smaller.rows[at][row][place] = plainer.clone();
                        if self.keep(smaller).await? {
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl Comparison<'_> {
    /// The smallest witness that is found from this one.
    pub(crate) async fn shrink(&self, database: Database, databases: u32) -> Result<Witness, Error> {
        let mut shrinking =
            Shrinking { comparison: self, best: database, tries: 0, until: Instant::now() + TIME_MAX };
        shrinking.drop_rows().await?;
        shrinking.drop_settings().await?;
        shrinking.empty_unnamed_columns().await?;
        shrinking.rename_values().await?;
        shrinking.simplify_values().await?;
        shrinking.drop_rows().await?;
        let best = shrinking.best;
        let (difference, ran) = match self.differs(&best).await? {
            Some(found) => found,
            // It differed a moment ago; what it was then is not known any more.
            None => (Difference::Rows, Ran { before: Outcome::Unanswered, after: Outcome::Unanswered }),
        };
        let number = |(number, cell): &(u32, Cell)| {
            let facts = self.pair.before.parameters.get(number);
            (*number, facts.map_or_else(|| cell.plain_sql(), |facts| cell.sql(&facts.name)))
        };
        Ok(Witness {
            difference,
            explanation: self.explain(difference, &ran),
            settings: best.settings.clone(),
            parameters: best.parameters.iter().map(number).collect(),
            inserts: self.inserts(&best),
            before: self.answer(&self.pair.before, &ran.before),
            after: self.answer(&self.pair.after, &ran.after),
            databases,
            seed: self.refuter.options.seed,
        })
    }

    fn inserts(&self, database: &Database) -> Vec<String> {
        let inserts = database.inserts_by(self.tables, |table, rows| self.insert(table, rows));
        inserts.into_iter().map(|insert| format!("{insert};")).collect()
    }

    /// An insertion for people: without columns that are NULL and that nobody asks for.
    fn insert(&self, table: &Table, rows: &[Vec<Cell>]) -> String {
        let shown: Vec<usize> = (0..table.columns.len())
            .filter(|at| {
                let column = &table.columns[*at];
                let given = |cell: &Cell| match cell {
                    Cell::Default => false,
                    // Left out, it would become something else.
                    Cell::Null => column.has_default || self.focus.columns.contains(&column.name),
                    _ => true,
                };
                rows.iter().any(|row| given(&row[*at]))
            })
            .collect();
        let names: Vec<String> = shown.iter().map(|at| quote_identifier(&table.columns[*at].name)).collect();
        let always = shown.iter().any(|at| table.columns[*at].always_identity);
        let rows: Vec<String> = rows
            .iter()
            .map(|row| {
                let cells = shown.iter().map(|at| match &row[*at] {
                    Cell::Text(text)
                        if table.columns[*at].column_type.category == 'N' && is_plain_number(text) =>
                    {
                        text.clone()
                    }
                    cell => cell.plain_sql(),
                });
                format!("({})", cells.collect::<Vec<_>>().join(", "))
            })
            .collect();
        format!(
            "INSERT INTO {} ({}){} VALUES {}",
            table.name,
            names.join(", "),
            if always { " OVERRIDING SYSTEM VALUE" } else { "" },
            rows.join(", ")
        )
    }

    fn answer(&self, statement: &Prepared, outcome: &Outcome) -> Answer {
        let columns = statement.output_names();
        let types = statement.output_types();
        let width = columns.len();
        match outcome {
            Outcome::Rows(rows) => Answer {
                columns,
                types,
                // Without the number of the tie.
                rows: rows.iter().map(|row| row.iter().take(width).cloned().collect()).collect(),
                error: None,
            },
            Outcome::Failed { sqlstate, message } => Answer {
                columns,
                types,
                rows: Vec::new(),
                error: Some(format!("{message} (SQLSTATE {sqlstate})")),
            },
            Outcome::Unanswered => Answer { columns, types, ..Answer::default() },
        }
    }

    fn explain(&self, difference: Difference, ran: &Ran) -> String {
        let rows = |count: usize| format!("{count} row{}", if count == 1 { "" } else { "s" });
        match (&ran.before, &ran.after) {
            (Outcome::Failed { message, .. }, Outcome::Rows(after)) => {
                format!("The first statement fails ({message}), the second gives {}.", rows(after.len()))
            }
            (Outcome::Rows(before), Outcome::Failed { message, .. }) => {
                format!("The first statement gives {}, the second fails ({message}).", rows(before.len()))
            }
            (Outcome::Rows(_), Outcome::Rows(_)) if difference == Difference::Order => {
                "Both give the same rows, the second one not in the order that the first one asks for.".into()
            }
            (Outcome::Rows(_), Outcome::Rows(_)) if difference == Difference::Text => {
                "Both give equal rows, and numbers in them are written differently.".into()
            }
            (Outcome::Rows(before), Outcome::Rows(after)) if before.len() != after.len() => {
                format!("The first statement gives {}, the second {}.", rows(before.len()), rows(after.len()))
            }
            (Outcome::Rows(before), _) => {
                format!("Both statements give {}, of different values.", rows(before.len()))
            }
            _ => "The answers differ.".into(),
        }
    }
}

fn is_plain_number(text: &str) -> bool {
    !text.is_empty()
        && text.trim_start_matches('-').chars().all(|c| c.is_ascii_digit() || c == '.')
        && text.parse::<f64>().is_ok()
        && text != "-0"
}
