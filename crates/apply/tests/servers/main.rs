//! Does it work on real servers, of every version, and when things go wrong?

#![allow(clippy::unwrap_used)]

mod baselines;
mod conversion;
mod conversion_deaths;
mod conversion_kinds;
mod conversion_objects;
mod conversion_oddities;
mod conversion_subscribers;
mod conversion_surroundings;
mod conversion_waits;
mod conversion_writers;
mod deaths;
mod disk;
mod happy_path;
mod history;
mod locks;
mod partition_archive;
mod partition_buckets;
mod partition_crashes;
mod partition_deaths;
mod partition_default;
mod partition_schedule;
mod partition_sets;
mod partitions;
mod pooler;
mod refusals;
mod statistics;
mod verification;
mod world;
