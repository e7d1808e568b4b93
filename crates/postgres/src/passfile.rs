//! Which password does `~/.pgpass` hold for a server?
//!
//! Source: PostgreSQL manual, "libpq: The Password File" (34.16), and `passwordFromFile()` in
//! `fe-connect.c`: lines `hostname:port:database:username:password`, `*` as wildcard, backslash
//! before `:` and `\`, and the file ignored when others may read it.

use std::path::Path;

/// What the password file said.
#[derive(Debug, PartialEq)]
pub(crate) enum Lookup {
    Found(String),
    NotFound,
    /// The file was not used, with the reason as a sentence.
    Ignored(String),
}

/// What a line of the file has to match.
pub(crate) struct Key<'a> {
    pub host: &'a str,
    pub port: u16,
    pub database: &'a str,
    pub user: &'a str,
}

pub(crate) fn lookup(path: &Path, key: &Key<'_>) -> Lookup {
    let Ok(metadata) = std::fs::metadata(path) else { return Lookup::NotFound };
    if !metadata.is_file() {
        return Lookup::Ignored(format!("Password file \"{}\" is not a plain file.", path.display()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Lookup::Ignored(format!(
                "Password file \"{}\" has group or world access; permissions should be u=rw (0600) or less.",
                path.display()
            ));
        }
    }
    match std::fs::read_to_string(path) {
        Ok(text) => find(&text, key).map_or(Lookup::NotFound, Lookup::Found),
        Err(error) => {
            Lookup::Ignored(format!("Password file \"{}\" could not be read: {error}.", path.display()))
        }
    }
}

fn find(text: &str, key: &Key<'_>) -> Option<String> {
    let port = key.port.to_string();
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for wanted in [key.host, &port, key.database, key.user] {
            let (field, wildcard, after) = next_field(rest)?;
            if !wildcard && field != wanted {
                return None;
            }
            rest = after;
        }
        // The password is the rest of the line; a colon in it needs no backslash, but may have one.
        let mut password = String::new();
        let mut chars = rest.chars();
        while let Some(c) = chars.next() {
            password.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        Some(password)
    })
}

/// The first field, whether it is a bare `*`, and what follows its colon.
fn next_field(line: &str) -> Option<(String, bool, &str)> {
    let mut field = String::new();
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => field.extend(chars.next().map(|(_, c)| c)),
            ':' => return Some((field, &line[..at] == "*", &line[at + 1..])),
            c => field.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# comment\n\
        db.example.com:5432:orders:app:first\n\
        db.example.com:*:*:app:a:b\\:c\\\\d\n\
        odd\\:host:5432:d\\\\b:\\*:star\n\
        *:*:*:reader:any\n\
        broken line\n\
        localhost:5432:*:u:\n";

    fn check(host: &str, port: u16, database: &str, user: &str, expected: Option<&str>) {
        let found = find(FILE, &Key { host, port, database, user });
        assert_eq!(found.as_deref(), expected, "{host}:{port}:{database}:{user}");
    }

    #[test]
    fn the_first_matching_line_wins() {
        check("db.example.com", 5432, "orders", "app", Some("first"));
        check("db.example.com", 5433, "orders", "app", Some("a:b:c\\d"));
        check("odd:host", 5432, "d\\b", "*", Some("star"));
        check("odd:host", 5432, "d\\b", "anyone", None);
        check("elsewhere", 1, "x", "reader", Some("any"));
        check("elsewhere", 1, "x", "writer", None);
        check("localhost", 5432, "x", "u", Some(""));
    }

    #[test]
    #[cfg(unix)]
    fn a_file_that_others_may_read_is_ignored() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pgpass");
        let key = Key { host: "h", port: 1, database: "d", user: "u" };
        assert_eq!(lookup(&path, &key), Lookup::NotFound);
        std::fs::write(&path, "h:1:d:u:secret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(lookup(&path, &key), Lookup::Ignored(why) if why.contains("0600")));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(lookup(&path, &key), Lookup::Found("secret".into()));
        assert!(matches!(lookup(dir.path(), &key), Lookup::Ignored(why) if why.contains("plain file")));
    }
}
