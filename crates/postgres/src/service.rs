//! Which connection options does a service name stand for?
//!
//! Source: PostgreSQL manual, "libpq: The Connection Service File" (34.17): an INI file, first
//! `PGSERVICEFILE` or `~/.pg_service.conf`, then `pg_service.conf` in `PGSYSCONFDIR`.

use std::path::Path;

use crate::conninfo::{self, Options};
use crate::error::Error;

/// Looks for a service in the files in order; files that do not exist are passed over.
pub(crate) fn lookup(name: &str, files: &[&Path]) -> Result<Options, Error> {
    for path in files {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                let message = format!("could not read service file \"{}\": {error}", path.display());
                return Err(conninfo::conninfo(message));
            }
        };
        if let Some(options) = find(name, &text, path)? {
            return Ok(options);
        }
    }
    Err(conninfo::conninfo(format!("definition of service \"{name}\" not found")))
}

fn find(name: &str, text: &str, path: &Path) -> Result<Option<Options>, Error> {
    let mut found: Option<Options> = None;
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            inside = section.strip_suffix(']') == Some(name);
            if inside {
                found = Some(Options::new());
            }
            continue;
        }
        if let (true, Some(options)) = (inside, found.as_mut()) {
            let syntax = |what: &str| {
                let at = format!("service file \"{}\", line {}", path.display(), number + 1);
                conninfo::conninfo(format!("{what} in {at}"))
            };
            let Some((keyword, value)) = line.split_once('=') else { return Err(syntax("syntax error")) };
            if keyword == "service" {
                return Err(syntax("nested service specification"));
            }
            conninfo::set(options, keyword, value.to_owned()).map_err(|error| syntax(&error.to_string()))?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# c\n[first]\nhost=a\n\n[mine]\n# inner\nhost=db.example.com\nport=5433\n\
                        options=-c geqo=off\n[bad]\nnonsense\n[nested]\nservice=x\n";

    #[test]
    fn a_service_is_a_section_of_the_file() {
        let path = Path::new("f.conf");
        let mine = find("mine", FILE, path).unwrap().unwrap();
        assert_eq!(mine["host"], "db.example.com");
        assert_eq!(mine["options"], "-c geqo=off");
        assert_eq!(mine.len(), 3);
        assert_eq!(find("none", FILE, path).unwrap(), None);
        assert_eq!(
            find("bad", FILE, path).unwrap_err().to_string(),
            "syntax error in service file \"f.conf\", line 11"
        );
        assert!(find("nested", FILE, path).unwrap_err().to_string().starts_with("nested service"));
    }

    #[test]
    fn a_service_that_no_file_defines_is_an_error() {
        let error = lookup("x", &[Path::new("/nonexistent/service")]).unwrap_err();
        assert_eq!(error.to_string(), "definition of service \"x\" not found");
    }
}
