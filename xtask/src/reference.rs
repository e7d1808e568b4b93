//! What can be said of the checks without writing it twice? `docs/reference/checks.md` is made from the
//! head of each file in `crates/plan/src/checks` and from the thresholds, the pages of `docs/reference/lint` likewise
//! from `crates/advice/src/schema/checks`.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

const CHECKS: &str = "crates/plan/src/checks";
/// Where the page stands.
pub const PAGE: &str = "docs/reference/checks.md";
const LINT_CHECKS: &str = "crates/advice/src/schema/checks";
const LINT_SETTINGS: &str = "crates/advice/src/schema/settings.rs";
const MIGRATION_CHECKS: &str = "crates/advice/src/migration/checks";
/// Where the pages of lint stand.
pub const LINT_PAGES: &str = "docs/reference/lint";

/// A check as its file describes it.
pub struct CheckPage {
    /// Its id, the file's name with hyphens.
    pub id: String,
    /// What it finds, in a few words.
    title: String,
    /// The `//!` head as paragraphs.
    head: String,
    /// The severity that its findings have, unless they say otherwise.
    severity: String,
    /// Whether it has to be enabled.
    off: bool,
}

/// Reads every check file.
pub fn checks(root: &Path) -> io::Result<Vec<CheckPage>> {
    checks_in(root, CHECKS)
}

fn checks_in(root: &Path, folder: &str) -> io::Result<Vec<CheckPage>> {
    let folder = root.join(folder);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name == "mod" || name == "thresholds" || path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        pages.push(CheckPage {
            id: name.replace('_', "-"),
            title: between(&text, "title: \"", "\"").unwrap_or_default().to_owned(),
            head: head(&text),
            severity: between(&text, "severity: Severity::", ",").unwrap_or_default().to_lowercase(),
            off: text.contains("\n    on: false,\n"),
        });
    }
    pages.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(pages)
}

/// The page as it should be.
pub fn page(root: &Path) -> io::Result<String> {
    let mut page = String::from(
        "# Checks on execution plans\n\n\
         What `pgwright explain` looks for in a plan. Made by `cargo xtask reference` from \
         `crates/plan/src/checks`; do not edit.\n\n\
         A check that explains another's finding takes it over as evidence, so that the cause is reported and not \
         its symptoms. What concerns less than `min_share` of the execution time is not reported.\n",
    );
    for check in checks(root)? {
        let _ = write!(page, "\n## `{}`\n\nFinds: {}.\n\n{}", check.id, check.title, check.head);
    }
    let thresholds = std::fs::read_to_string(root.join(CHECKS).join("thresholds.rs"))?;
    write_thresholds(&thresholds, &mut page);
    Ok(page)
}

fn write_thresholds(source: &str, page: &mut String) {
    page.push_str("\n## Thresholds\n\n| name | meaning and default |\n|---|---|\n");
    let fields = between(source, "pub struct Thresholds {", "\n}").unwrap_or_default();
    let mut meaning = String::new();
    for line in fields.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            if !meaning.is_empty() {
                meaning.push(' ');
            }
            meaning.push_str(text);
        } else if let Some((name, _)) = line.strip_prefix("pub ").and_then(|l| l.split_once(':')) {
            let _ = writeln!(page, "| `{name}` | {} |", std::mem::take(&mut meaning));
        }
    }
}

/// The pages of lint as they should be: their names and texts. None where there are no checks.
pub fn lint_pages(root: &Path) -> io::Result<Vec<(String, String)>> {
    let schema = checks_in(root, LINT_CHECKS)?;
    let migration = checks_in(root, MIGRATION_CHECKS)?;
    if schema.is_empty() && migration.is_empty() {
        return Ok(Vec::new());
    }
    let mut index = String::from(
        "# Checks of pgwright lint\n\nMade by `cargo xtask reference` from the source; do not edit. How to call it, to suppress \
         a finding and to change a severity: [pgwright lint](../commands/lint.md).\n",
    );
    let mut pages = Vec::new();
    for (title, what, checks) in
        [("On a schema", "schema", &schema), ("On migrations (`lint --migration`)", "migrations", &migration)]
    {
        if checks.is_empty() {
            continue;
        }
        let _ = write!(index, "\n## {title}\n\n| check | severity | finds |\n|---|---|---|\n");
        for check in checks {
            let off = if check.off { ", off by default" } else { "" };
            let _ = writeln!(
                index,
                "| [{}]({}.md) | {}{off} | {} |",
                check.id, check.id, check.severity, check.title
            );
            let text = format!(
                "# {}\n\nMade by `cargo xtask reference` from the source; do not edit.\n\nFinds, on {what}: {}. Severity: \
                 {}{off}.\n\n{}\n[All checks](README.md) · [pgwright lint](../commands/lint.md)\n",
                check.id, check.title, check.severity, check.head
            );
            pages.push((format!("{}.md", check.id), text));
        }
    }
    let settings = std::fs::read_to_string(root.join(LINT_SETTINGS))?;
    write_thresholds(&settings, &mut index);
    pages.push(("README.md".into(), index));
    Ok(pages)
}

/// Writes the pages, and takes away those of checks that are no more.
pub fn write(root: &Path) -> io::Result<()> {
    let path = root.join(PAGE);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, page(root)?)?;
    let pages = lint_pages(root)?;
    if pages.is_empty() {
        return Ok(());
    }
    let folder = root.join(LINT_PAGES);
    if folder.is_dir() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    pages.into_iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inner, _)| inner)
}

/// The `//!` lines at the beginning, as Markdown.
fn head(text: &str) -> String {
    let mut head = String::new();
    for line in text.lines().map_while(|l| l.strip_prefix("//!")) {
        head.push_str(line.strip_prefix(' ').unwrap_or(line));
        head.push('\n');
    }
    head
}
