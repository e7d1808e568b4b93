//! What is the workload that advisors are compared on? TPC-H: tables with primary keys only and the 22
//! queries with the substitution values of the specification's query validation.
//!
//! Source: TPC Benchmark H, revision 3.0.1, sections 1.4 (tables), 2.4 (queries and validation values)
//! and appendix B (Q15 as a common table expression is its variant A, so that it is one statement). Rows
//! come from the crate `tpchgen`, whose output is that of `dbgen`.

pub mod answers;
pub mod load;

use crate::workload::Query;

/// Creates the tables.
pub const SCHEMA: &str = include_str!("schema.sql");
/// Adds the primary keys.
pub const KEYS: &str = include_str!("keys.sql");

/// The texts of the queries in order.
const TEXTS: [&str; 22] = [
    include_str!("queries/q01.sql"),
    include_str!("queries/q02.sql"),
    include_str!("queries/q03.sql"),
    include_str!("queries/q04.sql"),
    include_str!("queries/q05.sql"),
    include_str!("queries/q06.sql"),
    include_str!("queries/q07.sql"),
    include_str!("queries/q08.sql"),
    include_str!("queries/q09.sql"),
    include_str!("queries/q10.sql"),
    include_str!("queries/q11.sql"),
    include_str!("queries/q12.sql"),
    include_str!("queries/q13.sql"),
    include_str!("queries/q14.sql"),
    include_str!("queries/q15.sql"),
    include_str!("queries/q16.sql"),
    include_str!("queries/q17.sql"),
    include_str!("queries/q18.sql"),
    include_str!("queries/q19.sql"),
    include_str!("queries/q20.sql"),
    include_str!("queries/q21.sql"),
    include_str!("queries/q22.sql"),
];

/// The 22 queries in order.
pub fn queries() -> Vec<Query> {
    TEXTS.iter().zip(1..).map(|(sql, number)| Query { number, sql: (*sql).to_owned() }).collect()
}
