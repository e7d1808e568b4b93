//! What does a statement say? The only crate that links libpg_query, PostgreSQL's own parser.
//!
//! Text in, facts out, no I/O: texts of `pg_stat_statements` are parsed even when normalisation has
//! made them invalid ([`ParsedStatement`]), their tables, predicates, joins and sort orders are
//! resolved against a catalog ([`Analysis`]), values are put back in place of parameters
//! ([`ParsedStatement::bind`]), and it is decided whether running a statement could change data
//! ([`statement_safety`]).

mod action;
mod analysis;
mod block;
mod builtins;
mod catalog;
mod definitions;
mod domain;
mod error;
mod executed_values;
mod expression;
mod hoisting;
mod idea;
mod ingredients;
mod input;
mod lexemes;
mod lowering;
mod moments;
mod ordering;
mod partition_bound;
mod predicate;
mod rewrite;
mod safety;
mod script;
mod statement;
mod text;
mod views;
mod written_statistics;

pub use action::{
    Action, ConstraintKind, Dropped, NewColumn, NewConstraint, Reindexed, Renamed, TableChange,
};
pub use analysis::{
    Analysis, Arm, Grouping, JoinEquality, KeyExpression, Nearest, Operator, ParameterContext, Predicate,
    RelationUse, SortItem, SortNeed, SortOrigin, Target,
};
pub use block::{Block, Unseen};
pub use builtins::{Builtin, Kind, Volatility, builtin, is_volatile, tells_the_time};
pub use catalog::{Catalog, ResolvedColumn, ResolvedRelation, SnapshotCatalog};
pub use definitions::dumped_definitions;
pub use domain::{Domain, DomainChange, domains};
pub use error::SqlError;
pub use executed_values::{ExecutedValues, executed_values, logged_parameters};
pub use expression::{ColumnUse, Expression, Literal};
pub use hoisting::{Hoisted, hoist_calls};
pub use idea::{Idea, IdeaError, NewIndex, NewKey, WrittenName, ideas};
pub use ingredients::{Ingredients, expression_ingredients};
pub use input::{InputError, Place, single_statement, statements};
pub use lexemes::{Lexeme, LexemeKind, lexemes, string_value};
pub use ordering::{Order, RANK};
pub use partition_bound::{PartitionBound, RangeBound};
pub use predicate::{always_true, check_implies, equivalent, implies, same_expression};
pub use rewrite::{Condition, Proof, REWRITES, Rewrite, RewriteError, Rewriter, Rule, Standing};
pub use safety::{Body, Safety, function_body, statement_safety};
pub use script::{Ignore, Mistake, Passage, Position, Script, ScriptStatement};
pub use statement::{ParsedStatement, StatementKind, fingerprint, is_utility, laid_out};
pub use text::Value;
pub use views::View;
pub use written_statistics::{WrittenStatistics, written_statistics};
