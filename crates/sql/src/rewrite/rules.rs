//! The rules, one file each. A rule looks at one query level and gives what it could become, with conditions.

pub(super) mod bare_column;
mod coalesce_value;
mod correlated_aggregate;
pub(super) mod count_to_exists;
mod cte_unfenced;
pub(super) mod distinct_to_exists;
mod exists_or;
mod extreme_to_window;
mod function_once;
mod grouped_lateral;
mod index_pointers;
mod inner_join_dropped;
mod keyset_row;
mod left_join_is_null;
mod limit_below_join;
pub(super) mod native_type;
mod not_in;
mod offset_to_keyset;
mod or_chain;
mod or_to_union;
mod pre_aggregate;
mod scans_to_filter;
mod skip_scan;
pub(super) mod time_range;
mod top_n_lateral;
mod union_to_union_all;

use super::Rule;

/// All rules.
pub const REWRITES: &[Rule] = &[
    not_in::RULE,
    left_join_is_null::RULE,
    or_to_union::RULE,
    or_chain::RULE,
    time_range::RULE,
    offset_to_keyset::RULE,
    pre_aggregate::RULE,
    correlated_aggregate::RULE,
    count_to_exists::RULE,
    distinct_to_exists::RULE,
    inner_join_dropped::RULE,
    exists_or::RULE,
    cte_unfenced::RULE,
    union_to_union_all::RULE,
    scans_to_filter::RULE,
    native_type::RULE,
    bare_column::RULE,
    coalesce_value::RULE,
    keyset_row::RULE,
    extreme_to_window::RULE,
    limit_below_join::RULE,
    top_n_lateral::RULE,
    grouped_lateral::RULE,
    function_once::RULE,
    skip_scan::RULE,
    index_pointers::RULE,
];

/// What a rule makes of a statement over the tables of the tests, for people to read.
#[cfg(test)]
pub(super) fn check(rule: &str, sql: &str, expect: expect_test::Expect) {
    use std::fmt::Write as _;

    use super::{Rewriter, Standing};
    let snapshot = super::fixture::shop();
    let rewriter = Rewriter::new(&snapshot);
    let mut out = String::new();
    match rewriter.rewrites(sql) {
        Ok(rewrites) => {
            for rewrite in rewrites.into_iter().filter(|r| r.rule == rule) {
                for text in rewrite.sql.iter().chain(&rewrite.advice) {
                    writeln!(out, "{text}").unwrap();
                }
                for condition in &rewrite.conditions {
                    match &condition.standing {
                        Standing::Proved { by } => writeln!(out, "+ {}: {}", condition.claim, by.join(", ")),
                        Standing::OfParameters => writeln!(out, "$ {}", condition.claim),
                        Standing::Rounding => writeln!(out, "~ {}", condition.claim),
                        Standing::Open { why } => writeln!(out, "- {}: {why}", condition.claim),
                    }
                    .unwrap();
                }
                for change in &rewrite.application {
                    writeln!(out, "! {change}").unwrap();
                }
            }
        }
        Err(error) => writeln!(out, "{error:?}").unwrap(),
    }
    expect.assert_eq(&out);
}
