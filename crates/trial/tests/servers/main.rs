//! Does what is measured on a sample hold on real servers of every version?

#![allow(clippy::unwrap_used)]

mod estimates;
mod rewrites;
