//! Does it work on real servers, of every version, and when things go wrong?

mod baselines;
mod deaths;
mod disk;
mod happy_path;
mod locks;
mod refusals;
mod verification;
mod world;
