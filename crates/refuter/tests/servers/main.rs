//! Does the refuter find what is wrong, and nothing where nothing is wrong?

mod corpus;
mod proofs;
mod verdicts;
mod world;
