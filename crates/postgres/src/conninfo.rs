//! What did the user write as a connection string? Both forms of libpq, read into keyword and value.
//!
//! Source: PostgreSQL manual, "libpq: Connection Strings" (34.1.1), and `conninfo_parse()` and
//! `conninfo_uri_parse_options()` in `fe-connect.c`, whose rules are followed to the letter: several
//! hosts, percent-encoding, sockets as hosts, quotes and backslashes.

use std::collections::BTreeMap;

use crate::error::Error;

/// Keywords of libpq and the environment variable that gives each its default.
///
/// A keyword that is listed with [`Support::No`] changes who is trusted or what is encrypted in a way
/// that pgwright does not do; ignoring it would be less safe than refusing it.
const KEYWORDS: &[(&str, Option<&str>, Support)] = &[
    ("host", Some("PGHOST"), Support::Yes),
    ("hostaddr", Some("PGHOSTADDR"), Support::Yes),
    ("port", Some("PGPORT"), Support::Yes),
    ("dbname", Some("PGDATABASE"), Support::Yes),
    ("user", Some("PGUSER"), Support::Yes),
    ("password", Some("PGPASSWORD"), Support::Yes),
    ("passfile", Some("PGPASSFILE"), Support::Yes),
    ("service", Some("PGSERVICE"), Support::Yes),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT"), Support::Yes),
    ("application_name", Some("PGAPPNAME"), Support::Yes),
    ("fallback_application_name", None, Support::Yes),
    ("options", Some("PGOPTIONS"), Support::Yes),
    ("sslmode", Some("PGSSLMODE"), Support::Yes),
    ("sslrootcert", Some("PGSSLROOTCERT"), Support::Yes),
    ("sslcert", Some("PGSSLCERT"), Support::Yes),
    ("sslkey", Some("PGSSLKEY"), Support::Yes),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS"), Support::Yes),
    ("channel_binding", Some("PGCHANNELBINDING"), Support::Yes),
    ("keepalives", None, Support::Yes),
    ("keepalives_idle", None, Support::Yes),
    ("keepalives_interval", None, Support::Yes),
    ("keepalives_count", None, Support::Yes),
    ("tcp_user_timeout", None, Support::Yes),
    // Honoured by doing nothing: pgwright always speaks UTF8, never compresses, never uses GSSAPI
    // and tries hosts in the order given.
    ("client_encoding", None, Support::Ignored),
    ("sslcompression", None, Support::Ignored),
    ("sslsni", None, Support::Ignored),
    ("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION"), Support::Ignored),
    ("gssencmode", Some("PGGSSENCMODE"), Support::Ignored),
    ("krbsrvname", Some("PGKRBSRVNAME"), Support::Ignored),
    ("gsslib", Some("PGGSSLIB"), Support::Ignored),
    ("gssdelegation", None, Support::Ignored),
    ("load_balance_hosts", None, Support::Ignored),
    ("sslpassword", None, Support::No),
    ("sslcrl", Some("PGSSLCRL"), Support::No),
    ("sslcrldir", Some("PGSSLCRLDIR"), Support::No),
    ("sslnegotiation", None, Support::No),
    ("sslcertmode", None, Support::No),
    ("ssl_max_protocol_version", None, Support::No),
    ("requirepeer", Some("PGREQUIREPEER"), Support::No),
    ("require_auth", Some("PGREQUIREAUTH"), Support::No),
    ("replication", None, Support::No),
];

#[derive(Clone, Copy, PartialEq)]
enum Support {
    Yes,
    Ignored,
    No,
}

/// Keyword and value, as libpq would have them before defaults.
pub(crate) type Options = BTreeMap<String, String>;

/// The environment variables that libpq reads for connections, so that a child process can be
/// given exactly these and no others.
pub(crate) fn environment_variables() -> impl Iterator<Item = &'static str> {
    KEYWORDS.iter().filter_map(|(_, variable, _)| *variable).chain(["PGSERVICEFILE", "PGSYSCONFDIR"])
}

/// The keywords that have a variable, with its name.
pub(crate) fn environment_defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYWORDS
        .iter()
        .filter(|(_, _, support)| *support != Support::Ignored)
        .filter_map(|(keyword, variable, _)| variable.map(|v| (*keyword, v)))
}

/// Stores an option after checking that libpq has such a keyword and that pgwright can honor it.
pub(crate) fn set(options: &mut Options, keyword: &str, value: String) -> Result<(), Error> {
    match KEYWORDS.iter().find(|(known, _, _)| *known == keyword) {
        None => Err(conninfo(format!("invalid connection option \"{keyword}\""))),
        Some((_, _, Support::Ignored)) => Ok(()),
        Some((_, _, Support::No)) if !value.is_empty() => {
            Err(conninfo(format!("connection option \"{keyword}\" is not supported")))
        }
        Some(_) => {
            options.insert(keyword.to_owned(), value);
            Ok(())
        }
    }
}

/// Reads a URI, a `keyword=value` string or a bare database name, as psql tells them apart.
pub(crate) fn parse(text: &str) -> Result<Options, Error> {
    let trimmed = text.trim();
    for scheme in ["postgresql://", "postgres://"] {
        if let Some(rest) = trimmed.strip_prefix(scheme) {
            return parse_uri(rest);
        }
    }
    if trimmed.contains("://") && !trimmed.contains('=') {
        return Err(conninfo("connection URI must begin with postgres:// or postgresql://".into()));
    }
    if trimmed.contains('=') {
        return parse_keyword_values(trimmed);
    }
    let mut options = Options::new();
    if !trimmed.is_empty() {
        options.insert("dbname".into(), trimmed.to_owned());
    }
    Ok(options)
}

fn parse_keyword_values(text: &str) -> Result<Options, Error> {
    let mut options = Options::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(options);
        }
        let mut keyword = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            keyword.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next_if_eq(&'=').is_none() {
            return Err(conninfo(format!("missing \"=\" after \"{keyword}\" in connection string")));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut value = String::new();
        if chars.next_if_eq(&'\'').is_some() {
            loop {
                match chars.next() {
                    Some('\\') => value.extend(chars.next()),
                    Some('\'') => break,
                    Some(c) => value.push(c),
                    None => return Err(conninfo("unterminated quoted string in connection string".into())),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                if c == '\\' {
                    value.extend(chars.next());
                } else {
                    value.push(c);
                }
            }
        }
        set(&mut options, &keyword, value)?;
    }
}

/// Reads what follows the scheme: `[user[:password]@][host][:port][,…][/dbname][?keyword=value&…]`.
fn parse_uri(rest: &str) -> Result<Options, Error> {
    let mut options = Options::new();
    let (body, parameters) = match rest.split_once('?') {
        Some((body, parameters)) => (body, Some(parameters)),
        None => (rest, None),
    };
    let (authority, database) = match body.split_once('/') {
        Some((authority, database)) => (authority, Some(database)),
        None => (body, None),
    };
    let hosts = match authority.split_once('@') {
        Some((user, hosts)) => {
            let (user, password) = match user.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (user, None),
            };
            insert_unless_empty(&mut options, "user", decode(user)?);
            if let Some(password) = password {
                insert_unless_empty(&mut options, "password", decode(password)?);
            }
            hosts
        }
        None => authority,
    };
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for part in hosts.split(',') {
        let (name, port) = split_host(part)?;
        names.push(decode(name)?);
        ports.push(decode(port)?);
    }
    // A host list from `?host=` overrides an empty authority only.
    insert_unless_empty(&mut options, "host", join_unless_blank(&names));
    insert_unless_empty(&mut options, "port", join_unless_blank(&ports));
    if let Some(database) = database {
        insert_unless_empty(&mut options, "dbname", decode(database)?);
    }
    for parameter in parameters.into_iter().flat_map(|p| p.split('&')).filter(|p| !p.is_empty()) {
        let Some((keyword, value)) = parameter.split_once('=') else {
            return Err(conninfo(format!(
                "missing \"=\" after \"{parameter}\" in the parameters of the URI"
            )));
        };
        let (keyword, value) = (decode(keyword)?, decode(value)?);
        // JDBC's spelling, which libpq accepts as well.
        if keyword == "ssl" && value == "true" {
            options.insert("sslmode".into(), "require".into());
        } else {
            set(&mut options, &keyword, value)?;
        }
    }
    Ok(options)
}

fn insert_unless_empty(options: &mut Options, keyword: &str, value: String) {
    if !value.is_empty() {
        options.insert(keyword.to_owned(), value);
    }
}

fn join_unless_blank(parts: &[String]) -> String {
    if parts.iter().all(String::is_empty) { String::new() } else { parts.join(",") }
}

fn split_host(part: &str) -> Result<(&str, &str), Error> {
    if let Some(inner) = part.strip_prefix('[') {
        let Some((address, after)) = inner.split_once(']') else {
            return Err(conninfo(format!("missing \"]\" in IPv6 host address \"{part}\"")));
        };
        if address.is_empty() {
            return Err(conninfo("IPv6 host address may not be empty".into()));
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((address, port)),
            None if after.is_empty() => Ok((address, "")),
            None => Err(conninfo(format!("unexpected text \"{after}\" after IPv6 host address"))),
        };
    }
    Ok(part.split_once(':').unwrap_or((part, "")))
}

fn decode(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
        match (digit(tail.first()), digit(tail.get(1))) {
            (Some(0), Some(0)) => return Err(conninfo("forbidden value %00 in the URI".into())),
            (Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = tail.get(2..).unwrap_or_default();
            }
            // The text itself may be a password, so it is not repeated.
            _ => return Err(conninfo("invalid percent-encoding in the URI".into())),
        }
    }
    String::from_utf8(bytes).map_err(|_| conninfo("percent-encoded text in the URI is not UTF-8".into()))
}

pub(crate) fn conninfo(message: String) -> Error {
    Error::Conninfo { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Options = expected.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        assert_eq!(parse(text).unwrap(), expected, "{text}");
    }

    fn refused(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn uris_read_as_libpq_reads_them() {
        check("postgresql://", &[]);
        check("postgres://localhost", &[("host", "localhost")]);
        check("postgres://localhost:5433/", &[("host", "localhost"), ("port", "5433")]);
        check(
            "postgres://user:secret@localhost/db?sslmode=require&application_name=a%20b",
            &[
                ("user", "user"),
                ("password", "secret"),
                ("host", "localhost"),
                ("dbname", "db"),
                ("sslmode", "require"),
                ("application_name", "a b"),
            ],
        );
        check(
            "postgres://u@h1:1,h2:2,h3/db?target_session_attrs=read-write",
            &[
                ("user", "u"),
                ("host", "h1,h2,h3"),
                ("port", "1,2,"),
                ("dbname", "db"),
                ("target_session_attrs", "read-write"),
            ],
        );
        check("postgres://[2001:db8::1]:5/x", &[("host", "2001:db8::1"), ("port", "5"), ("dbname", "x")]);
        check("postgres://%2Fvar%2Frun/db", &[("host", "/var/run"), ("dbname", "db")]);
        check("postgres:///db?host=/tmp&port=9", &[("host", "/tmp"), ("port", "9"), ("dbname", "db")]);
        check(
            "postgres://u:p%40%2F%25@h/d%C3%A9",
            &[("user", "u"), ("password", "p@/%"), ("host", "h"), ("dbname", "dé")],
        );
        check("postgres://h/d?ssl=true", &[("host", "h"), ("dbname", "d"), ("sslmode", "require")]);
    }

    #[test]
    fn keyword_values_read_as_libpq_reads_them() {
        check("host=h port = 5", &[("host", "h"), ("port", "5")]);
        check(r"password='it\'s \\ fine' user=a\ b", &[("password", r"it's \ fine"), ("user", "a b")]);
        check("dbname='' host=h", &[("dbname", ""), ("host", "h")]);
        check("orders", &[("dbname", "orders")]);
    }

    #[test]
    fn what_cannot_be_read_says_why_and_repeats_no_password() {
        assert_eq!(refused("host=h nonsense"), "missing \"=\" after \"nonsense\" in connection string");
        assert_eq!(refused("hots=h"), "invalid connection option \"hots\"");
        assert_eq!(refused("password='open"), "unterminated quoted string in connection string");
        assert_eq!(refused("postgres://u:%zz@h/d"), "invalid percent-encoding in the URI");
        assert_eq!(refused("postgres://[::1/d"), "missing \"]\" in IPv6 host address \"[::1\"");
        assert_eq!(refused("postgres://h/d?sslcrl=f"), "connection option \"sslcrl\" is not supported");
        assert_eq!(refused("mysql://h/d"), "connection URI must begin with postgres:// or postgresql://");
    }
}
