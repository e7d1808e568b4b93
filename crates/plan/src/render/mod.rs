//! How is a plan shown? As a tree for a person in a terminal or a browser, as a shape for a comparison.

mod figures;
mod html;
mod plain;
mod shape;
mod tree;

pub(crate) use figures::{count, factor, kilobytes, milliseconds, percent};
pub use html::{Page, page};
pub use plain::plain;
pub use shape::{shape, shape_hash};
pub use tree::{Style, tree, tree_with};
