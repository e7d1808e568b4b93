//! Which source files does the workspace have, and which of their lines run outside of tests?

use std::io;
use std::path::{Path, PathBuf};

/// A Rust file.
pub struct Source {
    /// Its path from the root of the workspace, with slashes.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// The crate that it belongs to: `crates/<name>/…`, `benches` or `xtask`.
    pub fn crate_name(&self) -> &str {
        self.path.strip_prefix("crates/").unwrap_or(&self.path).split('/').next().unwrap_or_default()
    }

    /// Whether it is compiled into the crate, and not only into its tests.
    pub fn is_product(&self) -> bool {
        let tests = ["/tests.rs", "_tests.rs"].iter().any(|end| self.path.ends_with(end))
            || ["/tests/", "_tests/"].iter().any(|folder| self.path.contains(folder));
        self.path.contains("/src/") && !tests
    }

    /// Lines with their number that are neither comments nor in a test module. Test modules stand at the
    /// end of a file, so the first one ends what runs.
    pub fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| {
            pair[0].trim() == "#[cfg(test)]"
                && pair[1].starts_with("mod ")
                && pair[1].trim_end().ends_with('{')
        });
        let end = tests.unwrap_or(lines.len());
        lines
            .into_iter()
            .take(end)
            .enumerate()
            .map(|(i, line)| (i + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// All Rust files of `benches`, `crates`, `xtask` and `tests`, in order of their paths.
pub fn read(root: &Path) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["benches", "crates", "xtask", "tests"].iter().map(|f| root.join(f)).collect();
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                if path.file_name().is_none_or(|n| n != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                sources.push(Source { path: relative, text: std::fs::read_to_string(&path)? });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}
