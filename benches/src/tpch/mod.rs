//! What is the workload that advisors are compared on? TPC-H: tables with primary keys only and the 22
//! queries with the substitution values of the specification's query validation.
//!
//! Source: TPC Benchmark H, revision 3.0.1, sections 1.4 (tables), 2.4 (queries and validation values)
//! and appendix B (Q15 as a common table expression is its variant A, so that it is one statement). Rows
//! come from the crate `tpchgen`, whose output is that of `dbgen`.

pub mod answers;
pub mod load;

/// Creates the tables.
pub const SCHEMA: &str = include_str!("schema.sql");
/// Adds the primary keys.
pub const KEYS: &str = include_str!("keys.sql");

/// A query of the workload.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// Its number, 1 to 22.
    pub number: u8,
    /// Its text, one statement without a semicolon.
    pub sql: &'static str,
}

impl Query {
    /// `Q1` to `Q22`.
    pub fn name(&self) -> String {
        format!("Q{}", self.number)
    }
}

/// The 22 queries in order.
pub const QUERIES: [Query; 22] = [
    Query { number: 1, sql: include_str!("queries/q01.sql") },
    Query { number: 2, sql: include_str!("queries/q02.sql") },
    Query { number: 3, sql: include_str!("queries/q03.sql") },
    Query { number: 4, sql: include_str!("queries/q04.sql") },
    Query { number: 5, sql: include_str!("queries/q05.sql") },
    Query { number: 6, sql: include_str!("queries/q06.sql") },
    Query { number: 7, sql: include_str!("queries/q07.sql") },
    Query { number: 8, sql: include_str!("queries/q08.sql") },
    Query { number: 9, sql: include_str!("queries/q09.sql") },
    Query { number: 10, sql: include_str!("queries/q10.sql") },
    Query { number: 11, sql: include_str!("queries/q11.sql") },
    Query { number: 12, sql: include_str!("queries/q12.sql") },
    Query { number: 13, sql: include_str!("queries/q13.sql") },
    Query { number: 14, sql: include_str!("queries/q14.sql") },
    Query { number: 15, sql: include_str!("queries/q15.sql") },
    Query { number: 16, sql: include_str!("queries/q16.sql") },
    Query { number: 17, sql: include_str!("queries/q17.sql") },
    Query { number: 18, sql: include_str!("queries/q18.sql") },
    Query { number: 19, sql: include_str!("queries/q19.sql") },
    Query { number: 20, sql: include_str!("queries/q20.sql") },
    Query { number: 21, sql: include_str!("queries/q21.sql") },
    Query { number: 22, sql: include_str!("queries/q22.sql") },
];
