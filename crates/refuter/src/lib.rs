//! Do two statements give the same answer on every database that respects the schema's constraints?
//!
//! Nobody can try every database. [`Refuter::compare`] tries hundreds of tiny random ones on a real server of
//! its own: NULLs wherever they are allowed, duplicates, ties, empty tables, values that join, and the
//! statements' own constants with their neighbours. One on which the answers differ refutes that the
//! statements are equivalent, and is shrunk until nothing can be left out ([`Witness`]); finding none is
//! evidence, never a proof.
//!
//! Sources: Rigger and Su, "Testing Database Engines via Pivoted Query Synthesis" (OSDI 2020), "Detecting
//! Optimization Bugs in Database Engines via Non-Optimizing Reference Engine Construction" (FSE 2020) and
//! "Finding Bugs in Database Systems via Query Partitioning" (OOPSLA 2020); Chu et al., "Cosette: An Automated
//! Prover for SQL" (CIDR 2017), which pairs a prover with small counterexamples; Zeller and Hildebrandt,
//! "Simplifying and Isolating Failure-Inducing Input" (TSE 2002) for the shrinking. The README beside this
//! crate tells how they are used.

mod candidates;
mod catalog;
mod compare;
mod database;
mod error;
mod generator;
mod outcome;
mod policies;
mod pool;
mod run;
mod server;
mod shrink;
mod statement;
mod verdict;

pub use error::{Error, Side};
pub use policies::policies_of_one;
pub use server::{Options, Refuter, ddl_snapshot};
pub use verdict::{Answer, Difference, Verdict, Witness};
