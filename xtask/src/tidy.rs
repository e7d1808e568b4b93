//! Is the workspace what ARCHITECTURE.md says it is?
//!
//! Each rule reads files and returns problems, one line each: `path[:line]: what is wrong`. Rules that look
//! for words in source text are heuristics, made so that they err on the side of silence; an exception
//! is written down here with its reason.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::reference;
use crate::sources::{self, Source};

/// Who may depend on whom. Crates that are not named may not exist without a line here.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("sql", &["model"]),
    ("plan", &["model"]),
    ("postgres", &["model"]),
    ("cluster", &["model"]),
    ("schema", &["model", "cluster"]),
    ("twin", &["model", "cluster", "postgres", "schema"]),
    ("refuter", &["model", "sql", "cluster", "schema"]),
    ("partitioning", &["model"]),
    ("trial", &["model", "cluster", "schema"]),
    ("advice", &["model", "sql", "plan", "partitioning"]),
    ("apply", &["model", "postgres", "partitioning", "history"]),
    ("logs", &["model"]),
    ("sampling", &["model"]),
    ("exporter", &["model", "sql", "plan", "postgres", "sampling", "history"]),
    ("web", &["model", "sql", "plan", "postgres", "apply", "sampling", "exporter", "history", "alerting"]),
    ("monitoring", &[]),
    ("alerting", &["exporter", "monitoring"]),
    ("history", &["model", "postgres", "sampling"]),
    ("alerting", &["exporter", "monitoring"]),
    ("redaction", &["model", "sql"]),
    ("testkit", &["model", "cluster", "postgres"]),
    (
        "pgwright",
        &[
            "model",
            "sql",
            "plan",
            "postgres",
            "cluster",
            "twin",
            "refuter",
            "trial",
            "advice",
            "apply",
            "partitioning",
            "logs",
            "redaction",
            "sampling",
            "exporter",
            "web",
            "monitoring",
            "history",
            "alerting",
        ],
    ),
];

/// Crates that are functions of their input: they have no business with sockets or tasks.
const PURE: &[&str] = &["model", "sql", "plan", "advice", "redaction", "partitioning", "sampling"];
const IMPURE_DEPENDENCIES: &[&str] = &["tokio", "tokio-postgres", "rustls", "reqwest", "hyper"];

/// Crates that may print and read the environment: the binaries, and what only tests use.
const NOT_LIBRARIES: &[&str] = &["benches", "pgwright", "testkit", "xtask"];

/// Files that may be longer than [`MAX_LINES`], with the reason.
const LONG_FILES: &[(&str, &str)] = &[];
const MAX_LINES: usize = 700;

/// Where catalog relations may be read besides `crates/postgres`, with the reason.
const CATALOG_READERS: &[(&str, &str)] = &[
    ("benches/", "its queries go to the server that it started"),
    ("crates/apply/", "a change checks its own lock, its own objects and its own journal"),
    ("crates/refuter/", "its queries go to its own throw-away server"),
    ("crates/schema/", "its queries go to servers that pgwright started"),
    ("crates/trial/", "its queries go to its own throw-away server"),
    ("crates/twin/", "its queries go to its own throw-away server"),
    ("crates/cluster/", "its queries go to servers that it started"),
    ("crates/pgwright/src/demo", "its queries go to the database that it created"),
    ("crates/pgwright/src/commands/demo", "its queries go to the database that it created"),
    ("xtask/", "the rule itself"),
];

/// Runs every rule.
pub fn check(root: &Path) -> io::Result<Vec<String>> {
    let sources = sources::read(root)?;
    let mut problems = Vec::new();
    problems.extend(architecture_names_what_exists(root)?);
    problems.extend(sources.iter().flat_map(file_opens_with_a_question));
    problems.extend(sources.iter().flat_map(file_is_not_too_long));
    problems.extend(sources.iter().flat_map(libraries_are_silent));
    problems.extend(sources.iter().flat_map(nothing_is_left_undone));
    problems.extend(sources.iter().flat_map(catalog_sql_has_its_place));
    problems.extend(crates_know_whom_they_may(root)?);
    problems.extend(commands_have_pages(root)?);
    problems.extend(checks_have_pages(root)?);
    problems.extend(lint_has_pages(root)?);
    if !root.join("CHANGELOG.md").is_file() {
        problems.push("CHANGELOG.md: missing".into());
    }
    Ok(problems)
}

fn read_if_there(path: &Path) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

/// Every path in back-quotes that begins with a folder of the workspace exists.
fn architecture_names_what_exists(root: &Path) -> io::Result<Vec<String>> {
    let page = "ARCHITECTURE.md";
    let text = read_if_there(&root.join(page))?;
    if text.is_empty() {
        return Ok(vec![format!("{page}: missing")]);
    }
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in line.split('`').skip(1).step_by(2) {
            let tops = ["benches/", "crates/", "docs/", "tests/", "scripts/", "xtask/"];
            let is_path =
                tops.iter().any(|top| word.starts_with(top)) || ["benches", "xtask"].contains(&word);
            if is_path && !word.contains(['*', '<', ' ']) && !root.join(word).exists() {
                problems.push(format!("{page}:{}: {word} does not exist", number + 1));
            }
        }
    }
    Ok(problems)
}

fn file_opens_with_a_question(source: &Source) -> Option<String> {
    let opens = source.text.lines().next().is_some_and(|l| l.starts_with("//! "));
    (!opens).then(|| format!("{}:1: does not open with //! and the question that it answers", source.path))
}

fn file_is_not_too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    let excused = LONG_FILES.iter().any(|(path, _)| *path == source.path);
    (source.path.contains("/src/") && lines > MAX_LINES && !excused)
        .then(|| format!("{}: {lines} lines, more than {MAX_LINES}", source.path))
}

fn libraries_are_silent(source: &Source) -> Vec<String> {
    if NOT_LIBRARIES.contains(&source.crate_name()) || !source.is_product() {
        return Vec::new();
    }
    let printing = ["println!(", "eprintln!(", "print!(", "eprint!(", "dbg!("];
    let environment =
        ["env::var", "env::args", "env::current_dir", "env::temp_dir", "env::home_dir", "env::set_var"];
    let mut problems = Vec::new();
    for (number, line) in source.product_lines() {
        if let Some(word) = printing.iter().find(|w| line.contains(**w)) {
            let word = word.trim_end_matches('(');
            problems.push(format!("{}:{number}: a library prints: {word}", source.path));
        }
        for word in environment.iter().filter(|w| line.contains(**w)) {
            problems.push(format!("{}:{number}: a library reads the environment: {word}", source.path));
        }
    }
    problems
}

fn nothing_is_left_undone(source: &Source) -> Vec<String> {
    // Put together here so that this file does not hold the words.
    let words = [("todo", "!("), ("unimplemented", "!("), ("#[ign", "ore")].map(|(a, b)| format!("{a}{b}"));
    let mut problems = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        for word in words.iter().filter(|w| line.contains(w.as_str())) {
            problems.push(format!("{}:{}: {}", source.path, number + 1, word.trim_end_matches('(')));
        }
    }
    problems
}

/// SQL that reads `pg_catalog` relations stands in `crates/postgres`.
fn catalog_sql_has_its_place(source: &Source) -> Vec<String> {
    let excused = CATALOG_READERS.iter().any(|(path, _)| source.path.starts_with(path));
    if excused || source.crate_name() == "postgres" || !source.is_product() {
        return Vec::new();
    }
    let reads = |line: &str| {
        let line = line.to_ascii_lowercase();
        [
            "from pg_catalog.pg_",
            "join pg_catalog.pg_",
            "from pg_stat",
            "join pg_stat",
            "from pg_class",
            "from pg_index",
        ]
        .iter()
        .any(|words| line.contains(words))
    };
    let lines = source.product_lines().filter(|(_, line)| reads(line));
    lines
        .map(|(number, _)| format!("{}:{number}: catalog SQL outside of crates/postgres", source.path))
        .collect()
}

fn crates_know_whom_they_may(root: &Path) -> io::Result<Vec<String>> {
    let allowed: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let mut problems = Vec::new();
    let mut folders: Vec<_> = std::fs::read_dir(root.join("crates"))?.collect::<io::Result<_>>()?;
    folders.sort_by_key(std::fs::DirEntry::file_name);
    for folder in folders {
        let manifest = folder.path().join("Cargo.toml");
        if !manifest.is_file() {
            continue;
        }
        let name = folder.file_name().to_string_lossy().into_owned();
        let place = format!("crates/{name}/Cargo.toml");
        let table: toml::Table = match std::fs::read_to_string(&manifest)?.parse() {
            Ok(table) => table,
            Err(error) => {
                problems.push(format!("{place}: {}", error.message()));
                continue;
            }
        };
        let Some(may_know) = allowed.get(name.as_str()) else {
            problems.push(format!("{place}: not in the table of xtask/src/tidy.rs"));
            continue;
        };
        let dependencies = table.get("dependencies").and_then(toml::Value::as_table);
        for dependency in dependencies.into_iter().flat_map(toml::Table::keys) {
            let is_ours = allowed.contains_key(dependency.as_str());
            if is_ours && !may_know.contains(&dependency.as_str()) {
                problems.push(format!("{place}: {name} may not know {dependency}"));
            }
            if PURE.contains(&name.as_str()) && IMPURE_DEPENDENCIES.contains(&dependency.as_str()) {
                problems.push(format!("{place}: {name} is pure and may not use {dependency}"));
            }
            if dependency == "pg_query" && name != "sql" {
                problems.push(format!("{place}: only sql links libpg_query"));
            }
        }
    }
    Ok(problems)
}

/// The commands are the variants of `Command`: `/// …` and then `Name(module::Args),`.
fn commands_have_pages(root: &Path) -> io::Result<Vec<String>> {
    let place = "crates/pgwright/src/commands/mod.rs";
    let text = read_if_there(&root.join(place))?;
    let mut problems = Vec::new();
    for line in text.lines().map(str::trim) {
        let variant = line.strip_suffix("::Args),").and_then(|l| l.split_once('('));
        let Some((_, module)) = variant else { continue };
        let page = format!("docs/reference/commands/{}.md", module.replace('_', "-"));
        if !root.join(&page).is_file() {
            problems.push(format!("{place}: command {module} has no page {page}"));
        }
    }
    Ok(problems)
}

fn checks_have_pages(root: &Path) -> io::Result<Vec<String>> {
    let checks = reference::checks(root)?;
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let page = read_if_there(&root.join(reference::PAGE))?;
    let mut problems: Vec<String> = checks
        .iter()
        .filter(|check| !page.contains(&format!("\n## `{}`\n", check.id)))
        .map(|check| format!("{}: check {} is missing; run cargo xtask reference", reference::PAGE, check.id))
        .collect();
    if problems.is_empty() && page != reference::page(root)? {
        problems.push(format!("{}: not what the source says; run cargo xtask reference", reference::PAGE));
    }
    Ok(problems)
}

fn lint_has_pages(root: &Path) -> io::Result<Vec<String>> {
    let folder = root.join(reference::LINT_PAGES);
    let mut problems = Vec::new();
    let pages = reference::lint_pages(root)?;
    for (name, text) in &pages {
        if read_if_there(&folder.join(name))? != *text {
            let page = format!("{}/{name}", reference::LINT_PAGES);
            problems.push(format!("{page}: not what the source says; run cargo xtask reference"));
        }
    }
    if folder.is_dir() {
        for entry in std::fs::read_dir(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if pages.iter().all(|(page, _)| *page != name) {
                problems.push(format!("{}/{name}: of a check that is no more", reference::LINT_PAGES));
            }
        }
    }
    problems.sort();
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let problems = check(&crate::root()).unwrap();
        assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
    }

    /// A workspace made of these files.
    fn workspace(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("crates")).unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn problems_of(files: &[(&str, &str)]) -> Vec<String> {
        let mut all = vec![("ARCHITECTURE.md", "# Architecture\n"), ("CHANGELOG.md", "# Changelog\n")];
        all.extend_from_slice(files);
        check(workspace(&all).path()).unwrap()
    }

    #[test]
    fn a_workspace_without_faults_has_no_problems() {
        let problems = problems_of(&[
            ("crates/model/Cargo.toml", "[dependencies]\nserde = \"1\"\n"),
            ("crates/model/src/lib.rs", "//! What is it?\n\n/// println!(\"in a comment\")\npub fn f() {}\n"),
            (
                "crates/advice/Cargo.toml",
                "[dependencies]\nmodel = \"1\"\n[dev-dependencies]\npostgres = \"1\"\ntokio = \"1\"\n",
            ),
        ]);
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_named() {
        let long = format!("//! Long?\n{}", "\n".repeat(MAX_LINES));
        let undone = format!("//! Undone?\nfn f() {{ {}{}) }}\n", "todo", "!(");
        let cases: &[(&str, &str, &str)] = &[
            ("crates/sql/src/a.rs", "fn f() {}\n", "does not open with //!"),
            ("crates/sql/src/a.rs", &long, "701 lines"),
            ("crates/sql/src/a.rs", &undone, "todo!"),
            (
                "crates/sql/src/a.rs",
                "//! Q?\nfn f() { println!(\"x\") }\n",
                "crates/sql/src/a.rs:2: a library prints",
            ),
            ("crates/sql/src/a.rs", "//! Q?\nfn f() { std::env::var(\"X\"); }\n", "reads the environment"),
            (
                "crates/advice/src/a.rs",
                "//! Q?\nconst Q: &str = \"SELECT 1 FROM pg_catalog.pg_class\";\n",
                "catalog SQL",
            ),
            (
                "crates/advice/Cargo.toml",
                "[dependencies]\npostgres = \"1\"\n",
                "advice may not know postgres",
            ),
            ("crates/plan/Cargo.toml", "[dependencies]\ntokio = \"1\"\n", "plan is pure"),
            ("crates/twin/Cargo.toml", "[dependencies]\npg_query = \"1\"\n", "only sql links"),
            ("crates/other/Cargo.toml", "[package]\n", "not in the table"),
            (
                "ARCHITECTURE.md",
                "see `crates/gone` and `Cargo.toml`\n",
                "ARCHITECTURE.md:1: crates/gone does not exist",
            ),
            (
                "crates/pgwright/src/commands/mod.rs",
                "//! Q?\nenum Command {\n    Doctor(doctor::Args),\n}\n",
                "docs/reference/commands/doctor.md",
            ),
            (
                "crates/plan/src/checks/cold_cache.rs",
                "//! Was it cold?\nconst C: Check = Check { title: \"pages\" };\n",
                "check cold-cache is missing",
            ),
        ];
        for (path, text, expected) in cases {
            let problems = problems_of(&[(path, text)]);
            assert_eq!(problems.len(), 1, "{path}: {problems:?}");
            assert!(problems[0].contains(expected), "{problems:?} has no {expected}");
        }
    }

    #[test]
    fn tests_may_print_and_read_the_environment() {
        let text = "//! Q?\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() { println!(\"{:?}\", std::env::var(\"X\")); }\n}\n";
        assert_eq!(problems_of(&[("crates/sql/src/a.rs", text)]), Vec::<String>::new());
        let whole = "//! Q?\nfn g() { println!(\"x\"); }\n";
        assert_eq!(problems_of(&[("crates/sql/tests/sql/main.rs", whole)]), Vec::<String>::new());
        assert_eq!(problems_of(&[("crates/pgwright/src/printer.rs", whole)]), Vec::<String>::new());
    }

    #[test]
    fn the_pages_of_lint_follow_the_source() {
        let check_file = (
            "crates/advice/src/schema/checks/empty_table.rs",
            "//! Is it empty?\n\nconst C: Check = Check { title: \"no rows\", severity: Severity::Info, on: true };\n",
        );
        let settings = (
            "crates/advice/src/schema/settings.rs",
            "//! Which?\npub struct Thresholds {\n    /// The share. 0.5.\n    pub null_share: f64,\n}\n",
        );
        let root = workspace(&[("ARCHITECTURE.md", "#\n"), ("CHANGELOG.md", "#\n"), check_file, settings]);
        assert_eq!(check(root.path()).unwrap().len(), 2, "the page and the index are missing");
        let thresholds = root.path().join("crates/plan/src/checks/thresholds.rs");
        std::fs::create_dir_all(thresholds.parent().unwrap()).unwrap();
        std::fs::write(&thresholds, "//! When?\npub struct Thresholds {\n}\n").unwrap();
        reference::write(root.path()).unwrap();
        assert_eq!(check(root.path()).unwrap(), Vec::<String>::new());
        let folder = root.path().join(reference::LINT_PAGES);
        let page = std::fs::read_to_string(folder.join("empty-table.md")).unwrap();
        assert!(page.contains("no rows. Severity: info.\n\nIs it empty?"), "{page}");
        std::fs::write(folder.join("gone.md"), "# gone\n").unwrap();
        assert_eq!(check(root.path()).unwrap().len(), 1);
    }

    #[test]
    fn the_page_of_checks_follows_the_source() {
        let check_file = (
            "crates/plan/src/checks/cold_cache.rs",
            "//! Was it cold?\n//!\n//! Fields: reads.\n\nconst C: Check = Check { id: \"cold-cache\", title: \"pages had to be read\" };\n",
        );
        let thresholds = (
            "crates/plan/src/checks/thresholds.rs",
            "//! When?\npub struct Thresholds {\n    /// The share. 0.5.\n    pub cold_share: f64,\n}\n",
        );
        let root = workspace(&[("ARCHITECTURE.md", "#\n"), ("CHANGELOG.md", "#\n"), check_file, thresholds]);
        assert_eq!(check(root.path()).unwrap().len(), 1);
        reference::write(root.path()).unwrap();
        assert_eq!(check(root.path()).unwrap(), Vec::<String>::new());
        let page = std::fs::read_to_string(root.path().join(reference::PAGE)).unwrap();
        assert!(page.contains("## `cold-cache`\n\nFinds: pages had to be read.\n\nWas it cold?"), "{page}");
        assert!(page.contains("| `cold_share` | The share. 0.5. |"), "{page}");
        std::fs::write(root.path().join(reference::PAGE), page.replace("cold?", "warm?")).unwrap();
        assert_eq!(check(root.path()).unwrap().len(), 1);
    }
}
