//! Does any statement make reading, rewriting, proving or writing panic? Statements that a grammar makes by chance,
//! and those of the corpus with tokens moved about; `cargo xtask fuzz-statements` tries as many as are asked for.

mod grammar;

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use self::grammar::{Chance, Grammar};
use super::{RewriteError, Rewriter};
use crate::catalog::SnapshotCatalog;
use crate::statement::ParsedStatement;

/// What was reached, so that a run that tries nothing cannot pass for one that finds nothing.
#[derive(Debug, Default)]
struct Reached {
    statements: usize,
    parsed: usize,
    read: usize,
    rewritten: usize,
    proved: usize,
}

/// Puts one statement through everything that takes a text.
fn try_out(rewriter: &Rewriter<'_>, catalog: &SnapshotCatalog<'_>, sql: &str, reached: &mut Reached) {
    reached.statements += 1;
    let _ = crate::statement_safety(sql);
    let _ = crate::fingerprint(sql);
    let Ok(parsed) = ParsedStatement::parse(sql) else { return };
    reached.parsed += 1;
    let _ = parsed.analyze(catalog);
    let _ = rewriter.at_offset(sql, 100);
    let rewrites = rewriter.rewrites(sql);
    let Ok(tree) = rewriter.read(sql) else {
        return;
    };
    reached.read += 1;
    // PostgreSQL refuses some of these, a SELECT * without FROM for one, and nothing can be written of them.
    let Ok(written) = rewriter.formatted(sql) else {
        return;
    };
    match rewriter.read(&written) {
        Ok(again) => assert_eq!(again.output_names(), tree.output_names(), "{written}"),
        // A key that is a position repeats a column, and the names of what is in it.
        Err(RewriteError::Unsupported { .. }) => {}
        Err(error) => panic!("not read again: {error:?}\n{written}"),
    }
    let _ = rewriter.prove(sql, &written);
    for rewrite in rewrites.unwrap_or_default() {
        let Some(text) = rewrite.sql else { continue };
        reached.rewritten += 1;
        assert!(ParsedStatement::parse(&text).is_ok(), "{}: {text}", rewrite.rule);
        reached.proved += usize::from(matches!(rewriter.prove(sql, &text), Ok(Some(_))));
    }
}

/// Tries statements; gives the first that fails, with how.
fn run(seed: u64, count: usize) -> Result<Reached, String> {
    let snapshot = super::fixture::shop();
    let rewriter = Rewriter::new(&snapshot);
    let catalog = SnapshotCatalog::new(&snapshot);
    let corpus = super::corpus_tests::texts("shop");
    let mut reached = Reached::default();
    let mut chance = Chance::new(seed);
    for number in 0..count {
        let mut grammar = Grammar::new(&mut chance, &corpus);
        let sql = grammar.statement();
        let outcome = catch_unwind(AssertUnwindSafe(|| try_out(&rewriter, &catalog, &sql, &mut reached)));
        if let Err(panic) = outcome {
            let said = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            return Err(format!("seed {seed}, statement {number}: {}\n{sql}", said.unwrap_or_default()));
        }
    }
    Ok(reached)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_statement_makes_anything_panic(seed in any::<u64>()) {
        run(seed, 25).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn statements_made_by_chance_reach_the_rules() {
    // This is how "cargo xtask fuzz-statements" asks for more.
    let asked = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let count = asked("PGWRIGHT_STATEMENTS").map_or(400, |n| usize::try_from(n).unwrap());
    let seed = asked("PGWRIGHT_SEED").unwrap_or(1);
    let reached = run(seed, count).unwrap_or_else(|e| panic!("{e}"));
    println!("seed {seed}: {reached:?}");
    assert_eq!(reached.statements, count);
    assert!(reached.parsed * 2 > reached.statements, "{reached:?}");
    assert!(reached.read * 6 > reached.statements, "{reached:?}");
    assert!(reached.rewritten > 0 && reached.proved > 0, "{reached:?}");
}

/// A text that is nested so deep in one way.
fn nested(way: usize, depth: usize) -> String {
    let around = |open: &str, inner: &str, close: &str| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    match way {
        0 => format!("select {}", around("(", "1", ")")),
        1 => format!("select 1{}", "+1".repeat(depth)),
        2 => format!("select {} true", "not ".repeat(depth)),
        3 => format!("select {}", around("case when true then ", "1", " end")),
        4 => format!("select {}", around("(select ", "1", ")")),
        5 => format!("select 1{}", " union all select 1".repeat(depth)),
        6 => format!("select 1 from orders{}", " cross join orders".repeat(depth)),
        7 => format!("select 1{}", "::int".repeat(depth)),
        8 => format!("select * from {}", around("(select * from ", "orders", ") o")),
        9 => format!("select {}", around("abs(", "1", ")")),
        10 => format!(
            "select id from orders where {}",
            around("id in (select id from orders where ", "true", ")")
        ),
        11 => format!("select {} 1", "- ".repeat(depth)),
        12 => format!("select {}", around("array[", "1", "]")),
        13 => format!("select 'a'{}", "||'a'".repeat(depth)),
        14 => format!("{} select 1 {}", "with a as (".repeat(depth), ") select 1".repeat(depth)),
        15 => format!("select id from orders where id = 1{}", " or id = 1 and id = 2".repeat(depth)),
        16 => format!("select id from orders where {}", around("(id = 1 or (id = 2 and ", "true", "))")),
        _ => format!("select a{}", ".b".repeat(depth)),
    }
}

#[test]
fn deep_nesting_is_an_answer_or_an_error_and_no_overflow() {
    let snapshot = super::fixture::shop();
    // The stack of a thread, as tasks have it, and not the larger one of a program.
    let tried = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        let rewriter = Rewriter::new(&snapshot);
        let catalog = SnapshotCatalog::new(&snapshot);
        let mut refused = 0;
        for way in 0..=17 {
            for depth in [10, 40, 100, 1_000, 5_000] {
                // Long and not deep: the parser makes one list of it.
                if way == 15 && depth > 100 {
                    continue;
                }
                let sql = nested(way, depth);
                refused += usize::from(ParsedStatement::parse(&sql).is_err());
                try_out(&rewriter, &catalog, &sql, &mut Reached::default());
            }
        }
        refused
    });
    let refused = tried.unwrap().join().unwrap();
    assert!(refused >= 15, "{refused}");
}
