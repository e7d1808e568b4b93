//! Does a database among hundreds show a difference, and is it the statements' difference?
//!
//! A statement whose answer depends on where rows happen to be stored (`LIMIT` without a total order,
//! `row_number()` over ties, `array_agg` without an order) differs from itself. So a difference counts only if
//! the first statement keeps its answer when rows are stored in another order and other plans are forced; what
//! of its answer is kept counts even where the whole is not, for instance the number of rows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::catalog::{self, Tables};
use crate::database::Database;
use crate::error::Error;
use crate::generator::Generator;
use crate::outcome::{Outcome, Shape};
use crate::pool::{Focus, Pool, Reader};
use crate::run::{Ran, run, survivors};
use crate::server::Refuter;
use crate::statement::Pair;
use crate::verdict::{Answer, Difference, Verdict, Witness};

/// After so many databases, dead rows are thrown away.
const ROUND: u32 = 100;
/// So often numbers that are equal and written differently are looked into.
const WRITTEN_MAX: u32 = 30;
/// When the answer was undetermined this often, nothing else will come out.
const UNDETERMINED_MAX: u32 = 20;

/// Plans that are forced, each with another order of rows.
const PLANS: &[&str] = &[
    "SET LOCAL enable_hashagg = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_indexscan = off;\
     SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off;",
    "SET LOCAL enable_sort = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off;",
    "SET LOCAL enable_nestloop = off; SET LOCAL enable_material = off; SET LOCAL enable_memoize = off;",
];

/// A comparison at work.
pub(crate) struct Comparison<'a> {
    pub(crate) refuter: &'a Refuter,
    pub(crate) pair: &'a Pair,
    pub(crate) tables: &'a Tables,
    pub(crate) focus: &'a Focus,
    /// How answers are compared at the moment.
    pub(crate) shape: Shape,
    /// Whether that is as they are written, not by value.
    pub(crate) written: bool,
}

/// What became of a difference.
enum Judged {
    /// It is the statements' own.
    Confirmed(Database),
    /// The first statement differs from itself.
    Undetermined,
}

impl Refuter {
    /// Looks for a database on which two statements give different answers.
    ///
    /// # Errors
    /// When a statement cannot be parsed, PostgreSQL refuses it on this schema, or the local server fails.
    pub async fn compare(&mut self, before: &str, after: &str) -> Result<Verdict, Error> {
        self.reopen().await?;
        let pair = match Pair::prepare(self, before, after).await? {
            Ok(pair) => pair,
            Err(reason) => return Ok(Verdict::NotComparable { reason }),
        };
        let seed = self.options.seed;
        if let Some(explanation) = pair.columns_differ() {
            let answer = |of: &crate::statement::Prepared| Answer {
                columns: of.output_names(),
                types: of.output_types(),
                ..Answer::default()
            };
            return Ok(Verdict::Refuted(Box::new(Witness {
                difference: Difference::Columns,
                explanation,
                settings: Vec::new(),
                parameters: Vec::new(),
                inserts: Vec::new(),
                before: answer(&pair.before),
                after: answer(&pair.after),
                databases: 0,
                seed,
            })));
        }
        let relations: BTreeSet<_> = pair.before.relations() | pair.after.relations();
        let tables = catalog::tables(&self.client, &relations).await?;
        self.let_circles_be_filled(&tables).await?;
        let mut focus = pair.focus();
        for check in tables.tables.iter().flat_map(|t| &t.checks) {
            focus.add_constants(check);
        }
        focus.add_foreign_keys(&tables);
        let mut reader = Reader::new(&self.client, &focus);
        let pools = reader.columns(&tables).await?;
        let mut parameters: BTreeMap<u32, Pool> = BTreeMap::new();
        for (number, facts) in &pair.before.parameters {
            let names = focus.parameters.get(number).into_iter().flatten();
            let related: BTreeSet<String> = names.flat_map(|name| focus.related(name)).collect();
            parameters.insert(*number, reader.pool(facts, &related).await?);
        }
        for (table, pools) in tables.tables.iter().zip(&pools) {
            for (column, pool) in table.columns.iter().zip(pools) {
                if column.not_null && pool.choices.is_empty() {
                    return Ok(Verdict::NotComparable {
                        reason: format!(
                            "No value is known for the column \"{}\" of {}, whose type is {}.",
                            column.name, table.name, column.column_type.name
                        ),
                    });
                }
            }
        }
        let pinned = self.options.pinned.keys().map(|name| name.to_lowercase()).collect();
        let generator = Generator {
            tables: &tables,
            pools: &pools,
            focus: &focus,
            parameters: &parameters,
            pinned: &pinned,
            seed,
            count: pair.focus().count(),
        };
        let shape = pair.shape.clone();
        let comparison =
            Comparison { refuter: self, pair: &pair, tables: &tables, focus: &focus, shape, written: false };
        comparison.all(&generator).await
    }
}

impl Refuter {
    /// Lets foreign keys between tables of a circle be looked up late. Nothing else changes by it.
    async fn let_circles_be_filled(&self, tables: &Tables) -> Result<(), Error> {
        for circle in tables.circles() {
            let names: Vec<String> = tables
                .tables
                .iter()
                .take(circle.end() + 1)
                .skip(*circle.start())
                .map(|t| t.name.to_string())
                .collect();
            self.client
                .execute(
                    "SELECT /* pgwright:refuter_circles */ pgwright_refuter.make_deferrable($1::pg_catalog.text[])",
                    &[&names],
                )
                .await
                .map_err(Error::sql("preparing a circle of foreign keys"))?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Counts {
    alike: u32,
    with_rows: u32,
    failed: Option<String>,
    undetermined: u32,
    unanswered: u32,
    written: u32,
}

impl Comparison<'_> {
    async fn all(&self, generator: &Generator<'_>) -> Result<Verdict, Error> {
        let options = &self.refuter.options;
        let began = Instant::now();
        let mut counts = Counts::default();
        for number in 0..options.databases {
            if began.elapsed() > options.time_limit && number >= 3 {
                break;
            }
            if number % ROUND == 0 {
                self.empty_tables().await?;
            }
            let database = generator.database(number);
            let Some(ran) = self.fill_and_run(&database).await? else { continue };
            if ran.before == Outcome::Unanswered || ran.after == Outcome::Unanswered {
                counts.unanswered += 1;
                // Each of them takes the whole time-out.
                if counts.unanswered >= 5 && counts.alike == 0 {
                    break;
                }
                continue;
            }
            if self.shape.difference(&ran.before, &ran.after).is_none() {
                if let Some(witness) = self.written_differently(&database, &ran, number, &mut counts).await? {
                    return Ok(Verdict::Refuted(Box::new(witness)));
                }
                match &ran.before {
                    Outcome::Rows(rows) => {
                        counts.alike += 1;
                        counts.with_rows += u32::from(!rows.is_empty());
                    }
                    Outcome::Failed { message, .. } => counts.failed = Some(message.clone()),
                    Outcome::Unanswered => {}
                }
                continue;
            }
            match self.judge(&database).await? {
                Judged::Confirmed(database) => {
                    let witness = self.shrink(database, number + 1).await?;
                    return Ok(Verdict::Refuted(Box::new(witness)));
                }
                Judged::Undetermined => counts.undetermined += 1,
            }
            if counts.undetermined >= UNDETERMINED_MAX {
                break;
            }
        }
        Ok(counts.verdict(options.seed))
    }

    /// A witness when answers are equal and a number is written differently, and the first statement determines how.
    /// `1.0` and `1.00` are one to `DISTINCT`, `GROUP BY` and `max()`, which show the one that comes first: such a
    /// statement changes its answer with the order of rows and is no measure. Which branch of a `UNION` comes
    /// first no order of rows changes, so that statements with one are compared by value only.
    async fn written_differently(
        &self,
        database: &Database,
        ran: &Ran,
        number: u32,
        counts: &mut Counts,
    ) -> Result<Option<Witness>, Error> {
        let shape = self.shape.as_written();
        if self.pair.before.uses.set_operations
            || counts.written >= WRITTEN_MAX
            || shape.difference(&ran.before, &ran.after).is_none()
        {
            return Ok(None);
        }
        counts.written += 1;
        let written = Comparison { shape, written: true, ..*self };
        match written.judge(database).await? {
            Judged::Confirmed(database) => Ok(Some(written.shrink(database, number + 1).await?)),
            Judged::Undetermined => Ok(None),
        }
    }

    async fn empty_tables(&self) -> Result<(), Error> {
        let names: Vec<String> = self.tables.tables.iter().map(|t| t.name.to_string()).collect();
        if names.is_empty() {
            return Ok(());
        }
        // A table of an extension belongs to somebody else, and just keeps its dead rows.
        let sql = format!("TRUNCATE {} CASCADE", names.join(", "));
        match self.refuter.client.batch_execute(&sql).await {
            Err(error) if error.as_db_error().is_none() => Err(Error::sql("emptying tables")(error)),
            _ => Ok(()),
        }
    }

    /// Makes a draft of a database and runs both statements; row by row when an insertion fails as a whole.
    async fn fill_and_run(&self, draft: &Database) -> Result<Option<Ran>, Error> {
        let client = &self.refuter.client;
        let inserts = draft.filtered_inserts(self.tables);
        if let Some(ran) = run(client, self.tables, draft, &inserts, "", self.pair).await? {
            return Ok(Some(ran));
        }
        let database = self.surviving(draft).await?;
        self.run(&database, "").await
    }

    /// The database that is left of a draft.
    async fn surviving(&self, draft: &Database) -> Result<Database, Error> {
        let inserts = draft.filtered_inserts_by_row(self.tables);
        let circles = !self.tables.circles().is_empty();
        let survived = survivors(&self.refuter.client, draft, &inserts, circles).await?;
        let mut survived = survived.into_iter();
        let mut database = draft.clone();
        for (table, rows) in self.tables.tables.iter().zip(&mut database.rows) {
            if table.columns.is_empty() {
                rows.clear();
            } else {
                rows.retain(|_| survived.next().unwrap_or(false));
            }
        }
        database.drop_dangling(self.tables);
        Ok(database)
    }

    /// Runs both statements on a database that the schema accepts; `None` when it does not.
    pub(crate) async fn run(&self, database: &Database, planner: &str) -> Result<Option<Ran>, Error> {
        let inserts = database.inserts(self.tables);
        run(&self.refuter.client, self.tables, database, &inserts, planner, self.pair).await
    }

    async fn judge(&self, draft: &Database) -> Result<Judged, Error> {
        let database = self.surviving(draft).await?;
        Ok(match self.differs(&database).await? {
            Some(_) => Judged::Confirmed(database),
            None => Judged::Undetermined,
        })
    }

    /// Whether the statements differ on a database, and what they answer there.
    pub(crate) async fn differs(&self, database: &Database) -> Result<Option<(Difference, Ran)>, Error> {
        let shape = &self.shape;
        let Some(ran) = self.run(database, "").await? else { return Ok(None) };
        let Some(mut difference) = shape.difference(&ran.before, &ran.after) else { return Ok(None) };
        if self.written && self.pair.shape.difference(&ran.before, &ran.after).is_none() {
            difference = Difference::Text;
        }
        let mut others = Vec::new();
        for (number, plan) in PLANS.iter().enumerate() {
            let Some(other) = self.run(&reordered(database, number), plan).await? else { continue };
            others.push(other);
        }
        if others
            .iter()
            .all(|other| same(shape.difference(&ran.before, &other.before), &ran.before, &other.before))
        {
            let kept = others.len() == PLANS.len() || !self.written;
            return Ok(kept.then_some((difference, ran)));
        }
        if self.written {
            return Ok(None);
        }
        // Not the whole answer is determined; perhaps a column of it is, and is not what the second one gives.
        let columns = |outcome: &Outcome| match outcome {
            Outcome::Rows(rows) => Some((rows.len(), shape.columns_of(rows))),
            _ => None,
        };
        let (Some((length, ours)), Some(_)) = (columns(&ran.before), columns(&ran.after)) else {
            return Ok(None);
        };
        let of_before: Option<Vec<_>> = others.iter().map(|o| columns(&o.before)).collect();
        let of_after: Option<Vec<_>> = others.iter().chain([&ran]).map(|o| columns(&o.after)).collect();
        let (Some(of_before), Some(of_after)) = (of_before, of_after) else { return Ok(None) };
        if of_before.iter().any(|(other, _)| *other != length) {
            return Ok(None);
        }
        let certain = (0..ours.len()).any(|column| {
            of_before.iter().all(|(_, other)| other[column] == ours[column])
                && of_after.iter().all(|(_, other)| other.get(column) != Some(&ours[column]))
        });
        let count_differs = of_after.iter().all(|(other, _)| *other != length);
        Ok((certain || count_differs).then_some((Difference::Rows, ran)))
    }
}

/// The same rows, stored in another order. A table's rows are inserted by one statement, at whose end foreign keys to the
/// table itself are looked up.
fn reordered(database: &Database, number: usize) -> Database {
    let mut other = database.clone();
    for rows in other.rows.iter_mut().filter(|rows| !rows.is_empty()) {
        match number {
            0 => rows.reverse(),
            1 => rows.rotate_left(1),
            _ => {
                let half = rows.len() / 2;
                rows.rotate_left(half);
                rows.reverse();
            }
        }
    }
    other
}

/// Whether a statement keeps its answer; an answer that becomes an error is not kept, and the other way round.
fn same(difference: Option<Difference>, one: &Outcome, other: &Outcome) -> bool {
    difference.is_none() && *other != Outcome::Unanswered && *one != Outcome::Unanswered
}

impl Counts {
    fn verdict(self, seed: u64) -> Verdict {
        if self.undetermined > 0 {
            return Verdict::NotComparable {
                reason: format!(
                    "The first statement's answer is not determined: on {} of {} databases it changes with the order in \
                     which rows are stored, as with LIMIT without a total order. On the others both statements agree.",
                    self.undetermined,
                    self.undetermined + self.alike
                ),
            };
        }
        if self.alike == 0 {
            let reason = match self.failed {
                Some(message) => format!("Both statements fail on every database: {message}."),
                None if self.unanswered > 0 => "The statements take too long even on tiny databases.".into(),
                None => "No database could be made that the schema's constraints accept.".into(),
            };
            return Verdict::NotComparable { reason };
        }
        Verdict::Tested { databases: self.alike, with_rows: self.with_rows, seed }
    }
}
