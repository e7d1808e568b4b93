//! What can be said of the checks without writing it twice? `docs/reference/checks.md` is made from the
//! head of each file in `crates/plan/src/checks` and from the thresholds.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

const CHECKS: &str = "crates/plan/src/checks";
/// Where the page stands.
pub const PAGE: &str = "docs/reference/checks.md";

/// A check as its file describes it.
pub struct CheckPage {
    /// Its id, the file's name with hyphens.
    pub id: String,
    /// What it finds, in a few words.
    title: String,
    /// The `//!` head as paragraphs.
    head: String,
}

/// Reads every check file.
pub fn checks(root: &Path) -> io::Result<Vec<CheckPage>> {
    let folder = root.join(CHECKS);
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
    page.push_str("\n## Thresholds\n\n| name | meaning and default |\n|---|---|\n");
    let thresholds = std::fs::read_to_string(root.join(CHECKS).join("thresholds.rs"))?;
    let fields = between(&thresholds, "pub struct Thresholds {", "\n}").unwrap_or_default();
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
    Ok(page)
}

/// Writes the page.
pub fn write(root: &Path) -> io::Result<()> {
    let path = root.join(PAGE);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, page(root)?)
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
