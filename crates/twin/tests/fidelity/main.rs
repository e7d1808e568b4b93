//! Does the twin plan as the server does? Asked of every version on this machine, with and without
//! indexes that are then really built.

#![allow(clippy::unwrap_used)] // A test says what it expects by unwrapping.

mod behavior;
mod comparison;
mod databases;
mod events;
mod expressions;
mod extended;
mod safety;
mod source;
