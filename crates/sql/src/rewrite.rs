//! What would be the better query? Rules that give another text with the same answer, each with the conditions
//! it rests on, proved from the catalogue or left open with the reason; and a proof for pairs that others wrote.
//!
//! Sources: Kim, "On Optimizing an SQL-like Nested Query" (1982); Dayal, "Of Nests and Trees" (1987); Galindo-
//! Legaria and Joshi, "Orthogonal Optimization of Subqueries and Aggregation" (2001); Yan and Larson, "Eager
//! Aggregation and Lazy Aggregation" (1995). `docs/concepts/rewrites.md` tells the gates that a rewrite passes,
//! `docs/reference/rewrites.md` each rule.

mod calendar;
mod changes;
mod checks;
#[cfg(test)]
mod corpus_tests;
mod dependencies;
mod facts;
#[cfg(test)]
mod fixture;
mod functions;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod law_tests;
mod level;
#[cfg(test)]
mod neighbour_tests;
mod normal_form;
mod proof;
#[cfg(test)]
mod proof_tests;
mod reading;
mod restrictions;
mod rules;
mod tree;
mod walk;
mod writing;

use model::Snapshot;
use serde::Serialize;

pub use self::proof::Proof;
pub use self::rules::REWRITES;

use self::facts::{Facts, Proved, Scope};
use self::level::Level;
use self::restrictions::Reach;
use self::tree::Query;
use crate::catalog::SnapshotCatalog;
use crate::error::SqlError;
use crate::statement::{ParsedStatement, StatementKind};

/// A rule that gives another text with the same answer.
pub struct Rule {
    /// Kebab-case, permanent, the name of its file.
    pub id: &'static str,
    /// What becomes what.
    pub title: &'static str,
    /// Under which conditions, in a sentence fragment.
    pub sound_if: &'static str,
    find: fn(&Level<'_, '_>) -> Vec<Found>,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rule").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How a condition stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// The catalogue proves it.
    Proved {
        /// With what: constraints and their like.
        by: Vec<String>,
    },
    /// It is about what the application passes, which it knows and the catalogue does not.
    OfParameters,
    /// Results may differ in the last digits of floating-point numbers, whose order of summation neither text
    /// determines.
    Rounding,
    /// Nothing proves it.
    Open {
        /// What happens when it does not hold, in a sentence without a full stop.
        why: String,
    },
}

/// What a rewrite rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// What must hold, in a sentence fragment.
    pub claim: String,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
}

impl Condition {
    pub(crate) fn new(claim: impl Into<String>, proved: Proved) -> Self {
        let standing = match proved {
            Ok(proofs) => Standing::Proved { by: proofs.into_iter().collect() },
            Err(why) => Standing::Open { why },
        };
        Self { claim: claim.into(), standing }
    }

    pub(crate) fn of_parameters(claim: impl Into<String>) -> Self {
        Self { claim: claim.into(), standing: Standing::OfParameters }
    }

    /// Whether nothing proves it.
    pub fn is_open(&self) -> bool {
        matches!(self.standing, Standing::Open { .. })
    }
}

/// What a rule found at one query level.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// The level after the change; `None` when the text stays.
    query: Option<Query>,
    /// The whole statement after the change, where the tree cannot say it.
    text: Option<String>,
    conditions: Vec<Condition>,
    application: Vec<String>,
    advice: Option<String>,
}

impl Found {
    fn new(query: Query, conditions: Vec<Condition>) -> Self {
        Self { query: Some(query), conditions, ..Self::default() }
    }
}

/// A rewrite of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rewrite {
    /// The rule's id.
    pub rule: &'static str,
    /// The new text; `None` when the text stays and something else helps.
    pub sql: Option<String>,
    /// What it rests on.
    pub conditions: Vec<Condition>,
    /// What the application must change besides the text, in sentences.
    pub application: Vec<String>,
    /// What helps besides, or instead of, another text, in a sentence.
    pub advice: Option<String>,
}

impl Rewrite {
    /// Whether every condition is proved, or about what the application knows.
    pub fn is_proved(&self) -> bool {
        self.sql.is_some() && !self.conditions.iter().any(Condition::is_open)
    }

    /// The reasons why it is not proved, in sentence fragments.
    pub fn open(&self) -> impl Iterator<Item = &str> {
        self.conditions.iter().filter_map(|c| match &c.standing {
            Standing::Open { why } => Some(why.as_str()),
            _ => None,
        })
    }
}

/// Why a statement is not rewritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// It is no statement.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// It holds something that rewriting does not take apart.
    #[error("statement cannot be rewritten")]
    Unsupported {
        /// What, in a sentence fragment: `it locks rows`.
        reason: String,
    },
}

/// Rules compare every part of a statement with every other; what is longer is hardly written by a person.
const MAX_BYTES: usize = 64 << 10;

/// Rewrites statements over one snapshot.
#[derive(Debug)]
pub struct Rewriter<'a> {
    facts: Facts<'a>,
    catalog: SnapshotCatalog<'a>,
}

impl<'a> Rewriter<'a> {
    /// Reads what rewriting needs to know of the catalogue.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self { facts: Facts::new(snapshot), catalog: SnapshotCatalog::new(snapshot) }
    }

    /// Parses a statement that is not too long to be looked at from every side.
    fn parse(&self, statement: &str) -> Result<ParsedStatement, RewriteError> {
        if statement.len() > MAX_BYTES {
            let reason = format!("its text is longer than {MAX_BYTES} bytes");
            return Err(RewriteError::Unsupported { reason });
        }
        Ok(ParsedStatement::parse(statement)?)
    }

    pub(crate) fn read(&self, statement: &str) -> Result<Query, RewriteError> {
        let parsed = self.parse(statement)?;
        self.read_node(parsed.node()).map_err(|reason| RewriteError::Unsupported { reason })
    }

    fn read_node(&self, node: &pg_query::NodeEnum) -> Result<Query, reading::Refusal> {
        let (root, merged) = reading::read(node, self.facts.snapshot, &self.catalog)?;
        if !merged.is_empty() {
            let scope = Scope::new(&self.facts, &root);
            let type_of = |column: &tree::Column| scope.type_of(&tree::Expr::Column(column.clone()));
            for (one, other) in merged {
                if type_of(&one).is_none() || type_of(&one) != type_of(&other) {
                    return Err(format!("a join uses {}, which may be of two types", one.name));
                }
            }
        }
        match restrictions::shadowed(&root, &self.facts) {
            Some(name) => Err(format!("{name}() in its FROM may be a function of the schema")),
            None => Ok(root),
        }
    }

    /// The statement as the tree says it, which is how rewrites of it are written.
    ///
    /// # Errors
    /// As [`Self::rewrites`].
    pub fn formatted(&self, statement: &str) -> Result<String, RewriteError> {
        let root = self.read(statement)?;
        writing::write(&root)
            .ok_or_else(|| RewriteError::Unsupported { reason: "it could not be written again".into() })
    }

    /// The statement with another offset, when it has one.
    pub fn at_offset(&self, statement: &str, offset: u32) -> Option<String> {
        let mut root = self.read(statement).ok()?;
        root.offset.as_mut()?.clone_from(&tree::Expr::Constant(tree::Constant::Integer(i64::from(offset))));
        writing::write(&root)
    }

    /// Everything that the rules make of a statement, in the order of the registry. Of a statement that writes it is
    /// the queries within and the condition that are rewritten.
    ///
    /// # Errors
    /// [`RewriteError`] when the text cannot be parsed or taken apart.
    pub fn rewrites(&self, statement: &str) -> Result<Vec<Rewrite>, RewriteError> {
        let parsed = self.parse(statement)?;
        if parsed.kind() != StatementKind::Select && parsed.kind() != StatementKind::Utility {
            return changes::rewrites(self, parsed.node());
        }
        let root = self.read_node(parsed.node()).map_err(|reason| RewriteError::Unsupported { reason })?;
        Ok(self.rewrites_of(&root))
    }

    fn rewrites_of(&self, root: &Query) -> Vec<Rewrite> {
        let same = writing::write(root);
        let mut rewrites: Vec<Rewrite> = Vec::new();
        for (rule, found, tree) in self.apply(root) {
            let sql = match (&tree, found.text) {
                (_, Some(text)) => Some(text),
                (Some(tree), None) => match writing::write(tree) {
                    Some(sql) => Some(sql),
                    None => continue,
                },
                (None, None) => None,
            };
            let nothing = sql.is_none() && found.advice.is_none();
            if nothing
                || (sql.is_some() && sql == same)
                || rewrites.iter().any(|r| r.sql.is_some() && r.sql == sql)
            {
                continue;
            }
            rewrites.push(Rewrite {
                rule: rule.id,
                sql,
                conditions: found.conditions,
                application: found.application,
                advice: found.advice,
            });
        }
        rewrites
    }

    /// Every rule at every level of a tree, with the whole tree after it.
    fn apply(&self, root: &Query) -> Vec<(&'static Rule, Found, Option<Query>)> {
        let scope = Scope::new(&self.facts, root);
        let mut levels = Vec::new();
        root.levels(&mut |query| levels.push(query));
        let names = root.all_names();
        let reach = restrictions::reach(&levels);
        let mut all = Vec::new();
        for rule in REWRITES {
            for (number, query) in levels.iter().enumerate() {
                let level = Level { scope: &scope, query, is_root: number == 0, names: names.clone().into() };
                for found in (rule.find)(&level) {
                    let kept = match reach[number] {
                        Reach::Everything => true,
                        Reach::Conditions => {
                            found.text.is_none()
                                && found
                                    .query
                                    .as_ref()
                                    .is_none_or(|new| restrictions::only_conditions(query, new))
                        }
                        Reach::Nothing => found.query.is_none() && found.text.is_none(),
                    };
                    if !kept {
                        continue;
                    }
                    let tree = found.query.clone().map(|new| replaced(root, number, new));
                    all.push((rule, found, tree));
                }
            }
        }
        all
    }
}

/// A tree with another query in place of one of its levels.
fn replaced(root: &Query, number: usize, new: Query) -> Query {
    let mut root = root.clone();
    let mut at = 0;
    let mut new = Some(new);
    root.levels_mut(&mut |query| {
        if at == number
            && let Some(new) = new.take()
        {
            *query = new;
        }
        at += 1;
    });
    // A view whose definition was changed cannot be written by its name any more.
    root
}
