//! Does the refuter find what is wrong, and nothing where nothing is wrong?

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod corpus;
mod mutants;
mod proofs;
mod verdicts;
mod world;
