//! Is it told truly which partitions statements read? Statements run on a real server, their plans read there and on
//! the twin.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod check;
mod layout;
mod world;
