//! How does a partitioned table get or lose an index without stopping anybody? In many statements,
//! each short or concurrent: PostgreSQL has no `CONCURRENTLY` for a partitioned table.
//!
//! Source: PostgreSQL manual, "Partitioning" (Partition Maintenance), "CREATE INDEX" and "ALTER
//! INDEX"; `DefineIndex()` in `src/backend/commands/indexcmds.c`, `ATExecAttachPartitionIdx()` in
//! `tablecmds.c`.
//!
//! To create: `CREATE INDEX … ON ONLY` the table first, so that a partition that is made or attached
//! from then on gets the index from PostgreSQL itself; then `CREATE INDEX CONCURRENTLY` on each
//! partition; then `ALTER INDEX … ATTACH PARTITION` for each, from the leaves to the root, with which
//! the parents become valid. What is to be done is found from the catalog alone, so the same function
//! gives the plan, the rest after an interruption, and what has come up in between.
//!
//! To drop: `DROP INDEX`, which locks all partitions for an instant; see [`reversal`] for what was
//! there before.

pub(crate) mod expansion;
mod names;
pub(crate) mod reversal;
pub(crate) mod tree;
