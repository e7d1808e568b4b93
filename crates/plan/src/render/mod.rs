//! How is a plan shown? As a tree for a person, as a shape for a comparison.

mod figures;
mod plain;
mod shape;
mod tree;

pub(crate) use figures::{count, factor, kilobytes, milliseconds, percent};
pub use plain::plain;
pub use shape::{shape, shape_hash};
pub use tree::{Style, tree, tree_with};
