//! What does the workspace do to itself? `cargo xtask tidy` checks that it is what ARCHITECTURE.md says,
//! `cargo xtask reference` writes the pages that follow from the source.

mod reference;
mod sources;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask tidy         check the invariants of ARCHITECTURE.md; exit 1 when one is broken
cargo xtask reference    write docs/reference/checks.md and docs/reference/lint from the heads of the checks
cargo xtask fuzz-plans   try plans made by chance: --inputs 1000000 --seed 1; exit 1 when one panics
cargo xtask fuzz-statements  try statements made by chance: --inputs 1000000 --seed 1; exit 1 when one panics
";

fn root() -> PathBuf {
    // The manifest of xtask lies one level below the workspace.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Hands the arguments to the example of `crates/plan`, optimized.
fn fuzz_plans() -> ExitCode {
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args([
        "run",
        "--quiet",
        "--release",
        "-p",
        "pgwright-plan",
        "--example",
        "fuzz_plans",
        "--",
    ]);
    cargo.args(std::env::args_os().skip(2));
    run(cargo)
}

/// Hands the numbers to the test of `crates/sql` that makes statements, optimized.
fn fuzz_statements() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let option = |name: &str, default: &str| {
        let at = arguments.iter().position(|a| a == name);
        at.and_then(|at| arguments.get(at + 1)).map_or(default.to_owned(), Clone::clone)
    };
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root())
        .env("PGWRIGHT_STATEMENTS", option("--inputs", "1000000"))
        .env("PGWRIGHT_SEED", option("--seed", "1"));
    cargo.args([
        "test",
        "--quiet",
        "--release",
        "-p",
        "pgwright-sql",
        "--lib",
        "--",
        "--exact",
        "--nocapture",
    ]);
    cargo.arg("rewrite::hostile_tests::statements_made_by_chance_reach_the_rules");
    run(cargo)
}

fn run(mut cargo: std::process::Command) -> ExitCode {
    match cargo.status() {
        Ok(status) => ExitCode::from(u8::try_from(status.code().unwrap_or(2)).unwrap_or(2)),
        Err(error) => {
            eprintln!("error: could not run cargo: {error}");
            ExitCode::from(2)
        }
    }
}

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    let outcome = match command.as_str() {
        "tidy" => tidy::check(&root()),
        "reference" => reference::write(&root()).map(|()| Vec::new()),
        "fuzz-plans" => return fuzz_plans(),
        "fuzz-statements" => return fuzz_statements(),
        "" | "help" | "--help" | "-h" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("error: there is no task \"{other}\"\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            for problem in &problems {
                println!("{problem}");
            }
            println!("{} problems", problems.len());
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
