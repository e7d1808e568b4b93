//! How is a tiny database made up? From small domains, so that rows join, tie and repeat; with NULLs where they
//! are allowed, tables that are empty, and rows that differ from another one in a single column.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::seq::{IndexedRandom as _, IteratorRandom as _};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::candidates::ZONES;
use crate::catalog::{Table, Tables};
use crate::database::{Cell, Database, Row};
use crate::pool::{Choice, Focus, Pool, Pools};

/// Everything that databases are made from.
pub(crate) struct Generator<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) pools: &'a Pools,
    pub(crate) focus: &'a Focus,
    /// Pools of parameters, by number.
    pub(crate) parameters: &'a BTreeMap<u32, Pool>,
    /// Lower-case names of settings that are not varied.
    pub(crate) pinned: &'a BTreeSet<String>,
    pub(crate) seed: u64,
    /// A number that rows are counted up to, for instance that of `LIMIT 50`, when it is more than a tiny
    /// database has.
    pub(crate) count: Option<usize>,
}

/// Rows of a table in most databases.
pub(crate) const ROWS_MAX: usize = 8;
/// Every so many databases one has more rows than the statements count up to.
const LARGE_EVERY: u32 = 7;

/// What one database is like.
struct Knobs {
    /// How many values a column has.
    values: usize,
    /// How often a value is NULL where that is allowed.
    nulls: f64,
    /// How often columns of one class have the same values.
    shared: f64,
    /// How often a row is another one with one column changed.
    copies: f64,
    /// Rows of a table at most; tables are empty now and then.
    rows: usize,
    empty: f64,
}

impl Generator<'_> {
    /// The database of a number. The first ones are the simplest: nothing, one row, one row with NULLs.
    pub(crate) fn database(&self, number: u32) -> Database {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(number));
        let mut knobs = match number {
            0 => Knobs { values: 1, nulls: 0.0, shared: 1.0, copies: 0.0, rows: 0, empty: 1.0 },
            1 => Knobs { values: 1, nulls: 0.0, shared: 1.0, copies: 0.0, rows: 1, empty: 0.0 },
            2 => Knobs { values: 1, nulls: 1.0, shared: 1.0, copies: 0.0, rows: 1, empty: 0.0 },
            _ => Knobs {
                values: pick(&mut rng, &[1, 2, 2, 3, 3, 4, 6]),
                nulls: pick(&mut rng, &[0.0, 0.1, 0.2, 0.4, 0.7]),
                shared: pick(&mut rng, &[0.0, 0.3, 0.6, 1.0]),
                copies: pick(&mut rng, &[0.0, 0.3, 0.5, 0.8]),
                rows: pick(&mut rng, &[1, 2, 3, 4, 5, 6, ROWS_MAX]),
                empty: 0.1,
            },
        };
        let large = self.count.filter(|_| number % LARGE_EVERY == 5);
        if large.is_some() && rng.random_bool(0.6) {
            // Groups of so many rows.
            knobs.values = pick(&mut rng, &[1, 1, 2]);
            knobs.nulls = pick(&mut rng, &[0.0, 0.1]);
        }
        let domains = self.domains(&mut rng, &knobs);
        let mut database =
            Database { rows: vec![Vec::new(); self.tables.tables.len()], ..Database::default() };
        for (at, table) in self.tables.tables.iter().enumerate() {
            let count = match (knobs.rows, large) {
                _ if rng.random_bool(knobs.empty) => 0,
                (_, Some(count)) if rng.random_bool(0.4) => count - 1 + rng.random_range(0..=2),
                (_, Some(count)) if rng.random_bool(0.6) => count + rng.random_range(0..=ROWS_MAX),
                (1, _) => 1,
                (most, _) => rng.random_range(1..=most),
            };
            for _ in 0..count {
                let row = self.row(&mut rng, &knobs, at, table, &domains[at], &database.rows);
                database.rows[at].extend(row);
            }
        }
        self.close_circles(&mut rng, &knobs, &mut database);
        self.settings(&mut rng, number, &mut database);
        for (parameter, pool) in self.parameters {
            let cell = self.parameter(&mut rng, *parameter, pool, &database);
            database.parameters.push((*parameter, cell));
        }
        database
    }

    /// For each column the choices of this database.
    fn domains(&self, rng: &mut ChaCha8Rng, knobs: &Knobs) -> Vec<Vec<Vec<Cell>>> {
        // By class: values that columns of it have in common here.
        let mut common: HashMap<&str, Vec<&Cell>> = HashMap::new();
        for pool in self.pools.iter().flatten() {
            if !common.contains_key(pool.class.as_str()) {
                let cells = draw(rng, &pool.choices, knobs.values);
                common.insert(&pool.class, cells);
            }
        }
        self.pools
            .iter()
            .map(|pools| {
                pools
                    .iter()
                    .map(|pool| {
                        let mut cells: Vec<Cell> = Vec::new();
                        if rng.random_bool(knobs.shared) {
                            let common = common.get(pool.class.as_str()).into_iter().flatten();
                            let allowed =
                                common.filter(|cell| pool.choices.iter().any(|c| c.cell == ***cell));
                            cells.extend(allowed.map(|cell| (*cell).clone()));
                        }
                        if cells.is_empty() || rng.random_bool(0.7) {
                            cells.extend(draw(rng, &pool.choices, knobs.values).into_iter().cloned());
                        }
                        if knobs.rows > 1 && rng.random_bool(0.15) {
                            cells.extend(cells.first().and_then(|cell| neighbour(rng, pool, cell)));
                        }
                        cells
                    })
                    .collect()
            })
            .collect()
    }

    fn row(
        &self,
        rng: &mut ChaCha8Rng,
        knobs: &Knobs,
        at: usize,
        table: &Table,
        domains: &[Vec<Cell>],
        rows: &[Vec<Row>],
    ) -> Option<Row> {
        let before = &rows[at];
        let copied =
            (!before.is_empty() && rng.random_bool(knobs.copies)).then(|| before.choose(rng)).flatten();
        let changed = rng.random_range(0..table.columns.len().max(1));
        let mut row: Row = match copied {
            Some(row) => row.clone(),
            None => vec![Cell::Null; table.columns.len()],
        };
        for (place, column) in table.columns.iter().enumerate() {
            if copied.is_none() || place == changed {
                row[place] = match !column.not_null && rng.random_bool(knobs.nulls) {
                    true => Cell::Null,
                    false => domains[place].choose(rng).cloned().unwrap_or(Cell::Null),
                };
            }
        }
        for key in &table.foreign_keys {
            let keeps = copied.is_some() && !key.columns.contains(&changed);
            if keeps {
                continue;
            }
            let optional = key.columns.iter().any(|c| !table.columns[*c].not_null);
            let parents = &rows[key.table];
            let parent = match optional && rng.random_bool(knobs.nulls) {
                true => None,
                false => parents.choose(rng),
            };
            // One column that is NULL frees the others, which keep what they have.
            let half = (parent.is_none() && !key.match_full && key.columns.len() > 1 && rng.random_bool(0.6))
                .then(|| key.columns.iter().copied().filter(|c| !table.columns[*c].not_null).choose(rng))
                .flatten();
            for (own, other) in key.columns.iter().zip(&key.referenced) {
                match parent {
                    Some(parent) => row[*own] = parent[*other].clone(),
                    None if half.is_some_and(|half| half != *own) => {}
                    None if !table.columns[*own].not_null => row[*own] = Cell::Null,
                    None => {}
                }
            }
        }
        // Keys that are taken would only be skipped.
        for key in &table.keys {
            for _ in 0..6 {
                let taken = before
                    .iter()
                    .any(|other| key.iter().all(|c| other[*c] == row[*c] && !matches!(row[*c], Cell::Null)));
                let free: Vec<usize> = key
                    .iter()
                    .copied()
                    .filter(|c| !table.foreign_keys.iter().any(|f| f.columns.contains(c)))
                    .collect();
                let (true, Some(place)) = (taken, free.choose(rng)) else { break };
                let pool = &self.pools[at][*place];
                row[*place] = match fresh(&pool.class, before.len()) {
                    Some(cell) if before.len() >= ROWS_MAX => cell,
                    _ => draw(rng, &pool.choices, 1).first().map(|c| (*c).clone())?,
                };
            }
        }
        // A row may reference itself.
        for key in table.foreign_keys.iter().filter(|key| key.table == at) {
            if rng.random_bool(0.12) {
                for (own, other) in key.columns.iter().zip(&key.referenced) {
                    row[*own] = row[*other].clone();
                }
            }
        }
        Some(row)
    }

    /// Fills references to tables that came later, of which there were no rows yet.
    fn close_circles(&self, rng: &mut ChaCha8Rng, knobs: &Knobs, database: &mut Database) {
        let mut circular = false;
        for (at, table) in self.tables.tables.iter().enumerate() {
            for key in table.foreign_keys.iter().filter(|key| key.table > at) {
                circular = true;
                let mut parents: Vec<Row> = database.rows[key.table].clone();
                let once = table.keys.iter().any(|unique| unique.iter().all(|c| key.columns.contains(c)));
                let optional = key.columns.iter().any(|c| !table.columns[*c].not_null);
                for row in &mut database.rows[at] {
                    if parents.is_empty() || optional && rng.random_bool(knobs.nulls) {
                        continue;
                    }
                    let chosen = rng.random_range(0..parents.len());
                    for (own, other) in key.columns.iter().zip(&key.referenced) {
                        row[*own] = parents[chosen][*other].clone();
                    }
                    if once {
                        parents.swap_remove(chosen);
                    }
                }
            }
        }
        if circular {
            database.drop_dangling(self.tables);
        }
    }

    fn settings(&self, rng: &mut ChaCha8Rng, number: u32, database: &mut Database) {
        if number < 3 {
            return;
        }
        let mut vary = |name: &str, chance: f64, values: &[&str]| {
            let chosen = rng.random_bool(chance).then(|| values.choose(rng)).flatten();
            if let Some(value) = chosen.filter(|_| !self.pinned.contains(&name.to_lowercase())) {
                database.settings.push((name.to_owned(), (*value).to_owned()));
            }
        };
        vary("TimeZone", 0.6, ZONES);
        vary("DateStyle", 0.15, &["German", "SQL, DMY", "ISO, DMY"]);
    }

    /// A value of a parameter: often one that stands in a column that it is compared with.
    fn parameter(&self, rng: &mut ChaCha8Rng, number: u32, pool: &Pool, database: &Database) -> Cell {
        let names: BTreeSet<String> = self
            .focus
            .parameters
            .get(&number)
            .into_iter()
            .flatten()
            .flat_map(|c| self.focus.related(c))
            .collect();
        let mut present: Vec<&Cell> = Vec::new();
        for ((table, pools), rows) in self.tables.tables.iter().zip(self.pools).zip(&database.rows) {
            for (place, column) in table.columns.iter().enumerate() {
                if names.contains(&column.name) && pools[place].class == pool.class {
                    present.extend(rows.iter().map(|row| &row[place]).filter(|cell| **cell != Cell::Null));
                }
            }
        }
        if rng.random_bool(0.04) {
            return Cell::Null;
        }
        if let Some(cell) = present.choose(rng).filter(|_| rng.random_bool(0.7)) {
            return (*cell).clone();
        }
        draw(rng, &pool.choices, 1).first().map_or(Cell::Null, |cell| (*cell).clone())
    }
}

/// A value that few columns have already, for the key of one more row among many.
fn fresh(class: &str, number: usize) -> Option<Cell> {
    let text = match class {
        "number" => (200 + number).to_string(),
        "text" => format!("k{number}"),
        "instant" => format!("2024-01-{:02} {:02}:00:00+00", 1 + number / 24 % 28, number % 24),
        "uuid" => format!("00000000-0000-0000-0001-{number:012}"),
        _ => return None,
    };
    Some(Cell::Text(text))
}

/// A value of a pool that comes next to another one, upwards or downwards: what rounding, cutting off, or another
/// comparison takes for the same.
fn neighbour(rng: &mut ChaCha8Rng, pool: &Pool, cell: &Cell) -> Option<Cell> {
    let Cell::Text(text) = cell else { return None };
    let upwards = rng.random_bool(0.5);
    let number = (pool.class == "number").then(|| text.parse::<f64>().ok()).flatten();
    let others = pool.choices.iter().filter_map(|choice| match &choice.cell {
        Cell::Text(other) if other != text => Some(other),
        _ => None,
    });
    let found = match number {
        Some(number) => others
            .filter_map(|other| Some((other, other.parse::<f64>().ok()? - number)))
            .filter(|(_, distance)| {
                distance.is_finite() && (*distance == 0.0 || (*distance > 0.0) == upwards)
            })
            .min_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs()))
            .map(|(other, _)| other),
        None if upwards => others.filter(|other| *other > text).min(),
        None => others.filter(|other| *other < text).max(),
    };
    found.cloned().map(Cell::Text)
}

fn pick<T: Copy>(rng: &mut ChaCha8Rng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

/// Draws by weight, the same value twice at times.
fn draw<'a>(rng: &mut ChaCha8Rng, choices: &'a [Choice], count: usize) -> Vec<&'a Cell> {
    let total: f64 = choices.iter().map(|c| c.weight).sum();
    if choices.is_empty() || total <= 0.0 {
        return Vec::new();
    }
    let mut drawn = Vec::with_capacity(count);
    for _ in 0..count {
        let mut left = rng.random_range(0.0..total);
        let found = choices.iter().find(|choice| {
            left -= choice.weight;
            left < 0.0
        });
        drawn.extend(found.or(choices.last()).map(|choice| &choice.cell));
    }
    drawn
}
