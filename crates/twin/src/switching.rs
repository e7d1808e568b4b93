//! Which indexes does the planner see? Those of a configuration, by `pg_index.indisvalid`.
//!
//! Source: `get_relation_info` in `src/backend/optimizer/util/plancat.c` leaves out what is not valid, and
//! `CacheInvalidateHeapTuple` in `inval.c` makes a session forget an index, and nothing else, when its row
//! changes. What a statement does not scan does not decide its plan: so only the indexes of the tables
//! that it scans are switched, and of ten thousand partitions only those that are left after pruning.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash as _, Hasher as _};

use model::QualifiedName;
use model::cost_model::{Configuration, CostError};
use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::types::Oid;

use crate::error::Error;
use crate::session::OWNER;

/// Beyond this number it pays to find out first which tables a statement scans.
const MANY: usize = 64;

/// What is switched on and off, and what each statement needs.
#[derive(Debug, Default)]
pub(crate) struct Switches {
    /// The source's indexes, with those of their partitions.
    existing: BTreeMap<QualifiedName, Vec<Oid>>,
    /// The source's indexes that the twin does not have.
    missing: BTreeSet<QualifiedName>,
    /// The index of each candidate, with those of the partitions.
    candidates: Vec<Vec<Oid>>,
    /// All of them together.
    of_candidates: BTreeSet<Oid>,
    /// The tables that indexes are on. Those of partitioned tables themselves are left out: no plan tells
    /// that it has looked at one.
    table_of: HashMap<Oid, Oid>,
    tables: HashMap<String, Vec<Oid>>,
    /// The partitions of each partitioned table that is not one itself.
    trees: Vec<BTreeSet<Oid>>,
    /// Candidates that are on and existing indexes that are off.
    flipped: BTreeSet<Oid>,
    /// What each statement scans.
    scanned: HashMap<u64, Scanned>,
}

/// The tables whose indexes matter to a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Scanned {
    tables: BTreeSet<Oid>,
    /// Partitions were planned with that no plan names.
    everything: bool,
}

/// A step towards a configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Switch these and the plan is that of the configuration, unless it scans something new.
    Switch(BTreeSet<Oid>),
    /// Plan as things are, to learn what the statement scans.
    Learn,
}

impl Switches {
    /// `existing` are the indexes of the source with those of their partitions, `missing` those that the twin
    /// does not have, `tables` the names, without schemas, of what can be scanned, and `trees` the partitions of
    /// each partitioned table that is not one itself.
    pub(crate) fn new(
        existing: BTreeMap<QualifiedName, Vec<Oid>>,
        missing: BTreeSet<QualifiedName>,
        table_of: HashMap<Oid, Oid>,
        tables: HashMap<String, Vec<Oid>>,
        trees: Vec<BTreeSet<Oid>>,
    ) -> Self {
        Self { existing, missing, table_of, tables, trees, ..Self::default() }
    }

    /// Whether the source has an index of this name, and the twin too.
    pub(crate) fn has(&self, index: &QualifiedName) -> bool {
        self.existing.contains_key(index)
    }

    /// Makes a candidate known, given the index of each of its parts and the table that it is on. It is off.
    pub(crate) fn add(&mut self, parts: &[(Oid, Option<Oid>)]) {
        self.candidates.push(parts.iter().map(|(index, _)| *index).collect());
        self.of_candidates.extend(parts.iter().map(|(index, _)| *index));
        self.table_of.extend(parts.iter().filter_map(|(index, table)| Some((*index, (*table)?))));
    }

    /// What a configuration has flipped.
    ///
    /// # Errors
    /// When it names what is not there.
    pub(crate) fn of(&self, configuration: &Configuration) -> Result<BTreeSet<Oid>, CostError> {
        let mut flipped = BTreeSet::new();
        for name in &configuration.dropped {
            match self.existing.get(name) {
                Some(oids) => flipped.extend(oids),
                // What is missing has no table on the twin either, so no plan can tell the difference.
                None if self.missing.contains(name) => {}
                None => {
                    return Err(CostError::Model { message: format!("index {name} is not in the snapshot") });
                }
            }
        }
        for id in &configuration.added {
            match self.candidates.get(id.0 as usize) {
                Some(oids) => flipped.extend(oids),
                None => {
                    return Err(CostError::Model {
                        message: format!("no candidate has the number {}", id.0),
                    });
                }
            }
        }
        Ok(flipped)
    }

    /// What to do before a statement is planned as `wanted`.
    pub(crate) fn step(&self, statement: u64, wanted: &BTreeSet<Oid>) -> Step {
        let change: BTreeSet<Oid> =
            self.differing(wanted).into_iter().filter(|index| self.matters(statement, *index)).collect();
        if !self.scanned.contains_key(&statement) && change.len() > MANY {
            Step::Learn
        } else {
            Step::Switch(change)
        }
    }

    /// What is flipped and should not be, or should be and is not.
    pub(crate) fn differing(&self, wanted: &BTreeSet<Oid>) -> BTreeSet<Oid> {
        wanted.symmetric_difference(&self.flipped).copied().collect()
    }

    /// Whether an index is on a table that a statement scans, as far as that is known.
    pub(crate) fn matters(&self, statement: u64, index: Oid) -> bool {
        match self.scanned.get(&statement) {
            Some(scanned) if !scanned.everything => {
                self.table_of.get(&index).is_none_or(|table| scanned.tables.contains(table))
            }
            _ => true,
        }
    }

    /// What has to be switched for the database as it is.
    pub(crate) fn flipped(&self) -> BTreeSet<Oid> {
        self.flipped.clone()
    }

    /// Notes what has been switched.
    pub(crate) fn switched(&mut self, change: &BTreeSet<Oid>) {
        self.flipped = self.flipped.symmetric_difference(change).copied().collect();
    }

    /// Remembers what a plan scans; says whether all of it was known before.
    pub(crate) fn learn(&mut self, statement: u64, explain: &Value) -> bool {
        let mut found = Scanned::default();
        self.collect(explain, &mut found);
        match self.scanned.get_mut(&statement) {
            Some(known) => {
                let all = known.everything || (!found.everything && found.tables.is_subset(&known.tables));
                known.everything |= found.everything;
                known.tables.extend(found.tables);
                all
            }
            None => {
                self.scanned.insert(statement, found);
                false
            }
        }
    }

    /// What a plan scans. The schema is not told, so all tables of a name are taken.
    fn collect(&self, value: &Value, found: &mut Scanned) {
        match value {
            Value::Object(members) => {
                // Partitions that a stable expression excludes are planned with, and left out when the plan is
                // started: EXPLAIN tells their number and not their names.
                let removed = members.get("Subplans Removed").and_then(Value::as_u64).unwrap_or(0);
                let mut below = Scanned::default();
                for (key, member) in members {
                    match member {
                        Value::String(name) if key == "Relation Name" => {
                            below.tables.extend(self.tables.get(name).into_iter().flatten());
                        }
                        other => self.collect(other, &mut below),
                    }
                }
                if removed > 0 {
                    let siblings: Vec<&BTreeSet<Oid>> =
                        self.trees.iter().filter(|tree| !tree.is_disjoint(&below.tables)).collect();
                    below.everything |= siblings.is_empty();
                    below.tables.extend(siblings.into_iter().flatten());
                }
                found.everything |= below.everything;
                found.tables.append(&mut below.tables);
            }
            Value::Array(elements) => elements.iter().for_each(|e| self.collect(e, found)),
            _ => {}
        }
    }

    /// The SQL that makes these changes.
    pub(crate) fn sql(&self, change: &BTreeSet<Oid>) -> String {
        // A candidate that is flipped is on, and an existing index that is flipped is off.
        let goes_on = |index: &Oid| self.of_candidates.contains(index) != self.flipped.contains(index);
        let (on, off): (Vec<Oid>, Vec<Oid>) = change.iter().partition(|index| goes_on(index));
        let list = |oids: &[Oid]| oids.iter().map(Oid::to_string).collect::<Vec<_>>().join(",");
        // The session is read-only otherwise.
        format!(
            "BEGIN /* pgwright:twin_switch */ READ WRITE; SELECT {SCHEMA}.switch('{{{}}}', '{{{}}}'); COMMIT",
            list(&on),
            list(&off)
        )
    }
}

/// A number for a statement's text, under which it is remembered.
pub(crate) fn statement_number(sql: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    sql.hash(&mut hasher);
    hasher.finish()
}

const SCHEMA: &str = "pgwright_switch";

/// Makes the function by which the planning session, which is no superuser's, switches indexes. It does
/// nothing else, and not to the catalog's own indexes.
pub(crate) async fn prepare(admin: &Client) -> Result<(), Error> {
    let sql = format!(
        "CREATE SCHEMA {SCHEMA};
         CREATE FUNCTION {SCHEMA}.switch(switch_on pg_catalog.oid[], switch_off pg_catalog.oid[]) RETURNS void
             LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
             AS $$BEGIN
                 UPDATE pg_catalog.pg_index SET indisvalid = (indexrelid = ANY (switch_on))
                 WHERE indexrelid = ANY (switch_on || switch_off) AND indexrelid >= 16384;
             END$$;
         REVOKE ALL ON FUNCTION {SCHEMA}.switch FROM PUBLIC;
         GRANT USAGE ON SCHEMA {SCHEMA} TO {OWNER};
         GRANT EXECUTE ON FUNCTION {SCHEMA}.switch TO {OWNER}"
    );
    admin.batch_execute(&sql).await.map_err(Error::sql("preparing to switch indexes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::cost_model::CandidateId;
    use serde_json::json;

    /// Tables 1 and 2 with an existing index each (11, 12), and a candidate each (21, 22).
    fn switches() -> Switches {
        let name = |n: &str| QualifiedName::new("public", n);
        let mut switches = Switches::new(
            BTreeMap::from([(name("a"), vec![11]), (name("b"), vec![12])]),
            BTreeSet::from([name("gone")]),
            HashMap::from([(11, 1), (12, 2)]),
            HashMap::from([("one".to_owned(), vec![1]), ("two".to_owned(), vec![2])]),
            vec![BTreeSet::from([5003, 5004])],
        );
        switches.add(&[(21, Some(1))]);
        switches.add(&[(22, Some(2))]);
        switches
    }

    #[test]
    fn only_what_a_statement_scans_is_switched() {
        let mut switches = switches();
        let both = Configuration::current().with(CandidateId(0)).with(CandidateId(1));
        let wanted = switches.of(&both).unwrap();
        assert_eq!(switches.step(7, &wanted), Step::Switch(BTreeSet::from([21, 22])));
        let plan = json!({"Plan": {"Node Type": "Seq Scan", "Relation Name": "one"}});
        assert!(!switches.learn(7, &plan));
        assert!(switches.learn(7, &plan));
        assert_eq!(switches.step(7, &wanted), Step::Switch(BTreeSet::from([21])));
        assert!(switches.sql(&BTreeSet::from([21])).contains("switch('{21}', '{}')"));
        switches.switched(&BTreeSet::from([21]));
        assert_eq!(switches.step(7, &wanted), Step::Switch(BTreeSet::new()));
        assert_eq!(switches.step(8, &wanted), Step::Switch(BTreeSet::from([22])));
        // Back, and an existing index off.
        let dropped =
            Configuration { dropped: vec![QualifiedName::new("public", "a")], ..Default::default() };
        let wanted = switches.of(&dropped).unwrap();
        assert_eq!(switches.step(7, &wanted), Step::Switch(BTreeSet::from([11, 21])));
        assert!(switches.sql(&BTreeSet::from([11, 21])).contains("switch('{}', '{11,21}')"));
    }

    #[test]
    fn of_many_changes_a_statement_needs_few() {
        let mut switches = switches();
        let parts: Vec<(Oid, Option<Oid>)> = (0..1000).map(|n| (1000 + n, Some(5000 + n))).collect();
        switches.add(&parts);
        switches.tables.insert("part".into(), vec![5003]);
        let wanted = switches.of(&Configuration::current().with(CandidateId(2))).unwrap();
        assert_eq!(switches.step(7, &wanted), Step::Learn);
        switches.learn(7, &json!({"Plan": {"Relation Name": "part"}}));
        assert_eq!(switches.step(7, &wanted), Step::Switch(BTreeSet::from([1003])));
        // What was left out at the start of the plan was planned with.
        let append =
            |plans: Value| json!({"Plan": {"Node Type": "Append", "Subplans Removed": 1, "Plans": plans}});
        assert!(!switches.learn(7, &append(json!([{"Relation Name": "part"}]))));
        assert_eq!(switches.step(7, &wanted), Step::Switch(BTreeSet::from([1003, 1004])));
        assert!(!switches.learn(7, &append(json!([]))));
        let Step::Switch(all) = switches.step(7, &wanted) else { panic!() };
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn a_configuration_names_only_what_is_there() {
        let switches = switches();
        let without = |name: &str| Configuration {
            dropped: vec![QualifiedName::new("public", name)],
            ..Default::default()
        };
        assert_eq!(switches.of(&without("gone")).unwrap(), BTreeSet::new());
        assert!(switches.of(&without("other")).is_err());
        assert!(switches.of(&Configuration::current().with(CandidateId(9))).is_err());
    }
}
