//! Does pgwright do what it says, as a user calls it? The real program against real servers: every
//! command, every bad input, and the whole loop on databases of other shapes than the demo's.

mod interruptions;
mod main_loop;
mod outputs;
mod poolers_and_standbys;
mod program;
mod unreachable;
mod unusable_input;
mod world;
