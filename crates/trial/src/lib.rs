//! Would statistics of several columns together, or more room for those of one, mend an estimate? How small would a
//! table and its indexes be if they were written anew? Tried with a sample of the table in a throw-away server: made,
//! analyzed, and estimates compared with counts; or indexed, and sizes read.
//!
//! Source: PostgreSQL manual, "Extended Statistics" and "Multivariate Statistics Examples". The sample holds rows
//! of the user's; it stays in the directory of a local server that nobody else can reach and that is removed when
//! [`Trial`] is dropped, and each table is dropped as soon as its sets of columns have been tried.
//!
//! The server is made as the planner twin and the refuter make theirs: the schema belongs to a role that is no
//! superuser, so types, collations and functions are the user's, and nothing of them can reach beyond the database.

mod collected;
mod conditions;
mod error;
mod fresh;
mod measure;
mod rewrite;
mod server;

pub use error::Error;
pub use rewrite::Rewritten;
pub use server::{Existing, Source, Trial, TrialOptions};
