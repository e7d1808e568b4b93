//! Which server does the user mean? A connection string, the PG* variables, a service file and a
//! password file, resolved once into plain values.
//!
//! Source: PostgreSQL manual, "libpq: Parameter Key Words" (34.1.2), "Environment Variables"
//! (34.15), "The Password File" (34.16). The order is libpq's: the string, the service, the
//! environment, the built-in default.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::conninfo::{self, Options, conninfo as syntax};
use crate::error::Error;
use crate::passfile;
use crate::service;

/// What the process was started with. The binary fills it; the library reads no environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables by name; only those of libpq are looked at.
    pub vars: BTreeMap<String, String>,
    /// The home directory, for `~/.pgpass`, `~/.pg_service.conf` and `~/.postgresql`.
    pub home: Option<PathBuf>,
    /// The operating system's name of the user, the default role.
    pub user: Option<String>,
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are libpq's own.
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslMode {
    fn parse(text: &str) -> Result<Self, Error> {
        Ok(match text {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return Err(syntax(format!("invalid sslmode value: \"{text}\""))),
        })
    }

    /// The word as libpq spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// One of the hosts that a connection string may list.
#[derive(Clone, PartialEq)]
pub(crate) struct Endpoint {
    /// Host name, or the directory of a Unix socket when it starts with `/` (or `@`).
    pub host: String,
    pub hostaddr: Option<IpAddr>,
    pub port: u16,
    pub password: Option<String>,
}

impl Endpoint {
    pub(crate) fn is_socket(&self) -> bool {
        self.hostaddr.is_none() && (self.host.starts_with('/') || self.host.starts_with('@'))
    }
}

/// Where the TLS files are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TlsFiles {
    /// `sslrootcert`, or `~/.postgresql/root.crt` when that exists; `system` for the system's own.
    pub root_cert: Option<PathBuf>,
    /// `sslcert` with `sslkey`, or the pair in `~/.postgresql`.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A server, a database and a role to reach it with. `Display` shows a URL without the password.
#[derive(Clone)]
pub struct Target {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) ssl_mode: SslMode,
    pub(crate) tls: TlsFiles,
    pub(crate) connect_timeout: Option<Duration>,
    /// Everything else that was given, by keyword of libpq.
    pub(crate) rest: Options,
    /// Why a password file was not used, as a sentence.
    pub(crate) passfile_note: Option<String>,
}

impl Target {
    /// Resolves a connection string (a URI, `keyword=value` pairs, or a bare database name) against
    /// the environment. `None` takes everything from the environment.
    ///
    /// # Errors
    /// [`Error::Conninfo`] when something cannot be understood.
    pub fn parse(conninfo: Option<&str>, environment: &Environment) -> Result<Self, Error> {
        let mut options = match conninfo {
            Some(text) => conninfo::parse(text)?,
            None => Options::new(),
        };
        let variable = |name: &str| environment.vars.get(name).filter(|v| !v.is_empty());
        if let Some(name) = options.get("service").or_else(|| variable("PGSERVICE")).cloned() {
            let own = variable("PGSERVICEFILE")
                .map(PathBuf::from)
                .or_else(|| environment.home.as_ref().map(|h| h.join(".pg_service.conf")));
            let system = Path::new(variable("PGSYSCONFDIR").map_or("/etc/postgresql-common", String::as_str))
                .join("pg_service.conf");
            let files: Vec<&Path> = own.as_deref().into_iter().chain([system.as_path()]).collect();
            for (keyword, value) in service::lookup(&name, &files)? {
                options.entry(keyword).or_insert(value);
            }
        }
        for (keyword, name) in conninfo::environment_defaults() {
            if let (Some(value), false) = (variable(name), options.contains_key(keyword)) {
                conninfo::set(&mut options, keyword, value.clone())?;
            }
        }
        options.retain(|_, value| !value.is_empty());
        Self::resolve(options, environment)
    }

    fn resolve(mut options: Options, environment: &Environment) -> Result<Self, Error> {
        options.remove("service");
        let user = options.remove("user").or_else(|| environment.user.clone()).ok_or_else(|| {
            syntax("no role given and the user of the operating system is not known".into())
        })?;
        let database = options.remove("dbname").unwrap_or_else(|| user.clone());
        let ssl_mode = options.remove("sslmode").map_or(Ok(SslMode::Prefer), |m| SslMode::parse(&m))?;
        let connect_timeout = match options.remove("connect_timeout") {
            // libpq: zero or negative waits for ever, one second is rounded up to two.
            Some(text) => match number("connect_timeout", &text)? {
                seconds if seconds <= 0 => None,
                seconds => Some(Duration::from_secs(seconds.max(2).unsigned_abs())),
            },
            None => Some(DEFAULT_CONNECT_TIMEOUT),
        };
        let mut endpoints = endpoints(&mut options)?;
        let password = options.remove("password");
        let passfile = options
            .remove("passfile")
            .map(PathBuf::from)
            .or_else(|| environment.home.as_ref().map(|h| h.join(".pgpass")));
        let mut passfile_note = None;
        for endpoint in &mut endpoints {
            endpoint.password.clone_from(&password);
            if let (None, Some(path)) = (&password, &passfile) {
                // As in libpq, a socket in the default directory is looked up as localhost.
                let host = match endpoint.host.as_str() {
                    host if DEFAULT_SOCKET_DIRECTORIES.contains(&host) => "localhost",
                    host => host,
                };
                let key = passfile::Key { host, port: endpoint.port, database: &database, user: &user };
                match passfile::lookup(path, &key) {
                    passfile::Lookup::Found(found) => endpoint.password = Some(found),
                    passfile::Lookup::NotFound => {}
                    passfile::Lookup::Ignored(why) => passfile_note = Some(why),
                }
            }
        }
        let postgresql = environment.home.as_ref().map(|h| h.join(".postgresql"));
        let existing = |name: &str| postgresql.as_ref().map(|d| d.join(name)).filter(|p| p.exists());
        let root_cert = options.remove("sslrootcert").map(PathBuf::from).or_else(|| existing("root.crt"));
        let cert = options.remove("sslcert").map(PathBuf::from).or_else(|| existing("postgresql.crt"));
        let key = options.remove("sslkey").map(PathBuf::from).or_else(|| existing("postgresql.key"));
        let client = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (Some(cert), None) => {
                return Err(syntax(format!("sslkey is missing for certificate \"{}\"", cert.display())));
            }
            (None, _) => None,
        };
        for keyword in ["target_session_attrs", "channel_binding"] {
            if let Some(value) = options.get(keyword) {
                let known: &[&str] = if keyword == "channel_binding" {
                    &["disable", "prefer", "require"]
                } else {
                    &["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]
                };
                if !known.contains(&value.as_str()) {
                    return Err(syntax(format!("invalid {keyword} value: \"{value}\"")));
                }
            }
        }
        for keyword in
            ["keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"]
        {
            if let Some(value) = options.get(keyword) {
                number(keyword, value)?;
            }
        }
        let tls = TlsFiles { root_cert, client };
        Ok(Self { endpoints, database, user, ssl_mode, tls, connect_timeout, rest: options, passfile_note })
    }

    /// The same server and role, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The first host: a name, an address or the directory of a Unix socket.
    pub fn host(&self) -> &str {
        self.endpoints.first().map_or("", |e| &e.host)
    }

    /// The first port.
    pub fn port(&self) -> u16 {
        self.endpoints.first().map_or(5432, |e| e.port)
    }

    /// The role.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Why the password file was left aside, if it was.
    pub fn passfile_note(&self) -> Option<&str> {
        self.passfile_note.as_deref()
    }

    /// This target with only the endpoint that a session reached, so that `pg_dump` goes to the
    /// same server.
    #[must_use]
    pub(crate) fn narrowed_to(&self, endpoint: &Endpoint) -> Self {
        match self.endpoints.iter().find(|e| (&e.host, e.port) == (&endpoint.host, endpoint.port)) {
            Some(found) => Self { endpoints: vec![found.clone()], ..self.clone() },
            None => self.clone(),
        }
    }

    /// The environment with which a libpq program such as `pg_dump` reaches this target and no
    /// other: `Some` is to be set, `None` is to be removed. The password travels here, because a
    /// command line can be read by every user of the machine.
    pub fn libpq_environment(&self) -> Vec<(String, Option<String>)> {
        let mut set: BTreeMap<&str, String> = BTreeMap::new();
        let join =
            |f: &dyn Fn(&Endpoint) -> String| self.endpoints.iter().map(f).collect::<Vec<_>>().join(",");
        set.insert("PGHOST", join(&|e| e.host.clone()));
        set.insert("PGPORT", join(&|e| e.port.to_string()));
        if self.endpoints.iter().any(|e| e.hostaddr.is_some()) {
            set.insert("PGHOSTADDR", join(&|e| e.hostaddr.map(|a| a.to_string()).unwrap_or_default()));
        }
        set.insert("PGDATABASE", self.database.clone());
        set.insert("PGUSER", self.user.clone());
        if let Some(password) = self.endpoints.first().and_then(|e| e.password.clone()) {
            set.insert("PGPASSWORD", password);
        }
        set.insert("PGSSLMODE", self.ssl_mode.as_str().into());
        let path = |p: &Path| p.to_string_lossy().into_owned();
        match &self.tls.root_cert {
            Some(file) => {
                set.insert("PGSSLROOTCERT", path(file));
            }
            // pgwright then trusts the system's certificates; "system" is libpq's word since 16.
            None if matches!(self.ssl_mode, SslMode::VerifyFull) => {
                set.insert("PGSSLROOTCERT", "system".into());
            }
            None => {}
        }
        if let Some((cert, key)) = &self.tls.client {
            set.insert("PGSSLCERT", path(cert));
            set.insert("PGSSLKEY", path(key));
        }
        if let Some(timeout) = self.connect_timeout {
            set.insert("PGCONNECT_TIMEOUT", timeout.as_secs().to_string());
        }
        for (keyword, name) in conninfo::environment_defaults() {
            if let Some(value) = self.rest.get(keyword) {
                set.entry(name).or_insert_with(|| value.clone());
            }
        }
        set.entry("PGAPPNAME").or_insert_with(|| "pgwright".into());
        conninfo::environment_variables().map(|name| (name.to_owned(), set.get(name).cloned())).collect()
    }
}

/// libpq waits for as long as the operating system does, two minutes and more; a person does not.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The socket directories that distributions compile in: Debian's and PostgreSQL's own.
const DEFAULT_SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

fn default_socket_directory() -> String {
    let [debian, own] = DEFAULT_SOCKET_DIRECTORIES;
    if Path::new(debian).is_dir() { debian.into() } else { own.into() }
}

fn endpoints(options: &mut Options) -> Result<Vec<Endpoint>, Error> {
    let mut list = |keyword: &str| -> Vec<String> {
        options
            .remove(keyword)
            .map(|v| v.split(',').map(str::trim).map(str::to_owned).collect())
            .unwrap_or_default()
    };
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = hosts.len().max(addresses.len()).max(1);
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err(syntax(format!(
            "could not match {} host names to {} hostaddr values",
            hosts.len(),
            addresses.len()
        )));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(syntax(format!("could not match {} port numbers to {count} hosts", ports.len())));
    }
    let mut endpoints = Vec::with_capacity(count);
    for i in 0..count {
        let hostaddr = match addresses.get(i).filter(|a| !a.is_empty()) {
            Some(text) => {
                Some(text.parse().map_err(|_| syntax(format!("invalid hostaddr value: \"{text}\"")))?)
            }
            None => None,
        };
        let host = match (hosts.get(i).filter(|h| !h.is_empty()), hostaddr) {
            (Some(host), _) => host.clone(),
            (None, Some(address)) => IpAddr::to_string(&address),
            (None, None) => default_socket_directory(),
        };
        let port = match ports.get(i).or(ports.first().filter(|_| ports.len() == 1)).filter(|p| !p.is_empty())
        {
            Some(text) => text
                .parse::<u16>()
                .ok()
                .filter(|p| *p > 0)
                .ok_or_else(|| syntax(format!("invalid port number: \"{text}\"")))?,
            None => 5432,
        };
        endpoints.push(Endpoint { host, hostaddr, port, password: None });
    }
    Ok(endpoints)
}

fn number(keyword: &str, text: &str) -> Result<i64, Error> {
    text.trim()
        .parse()
        .map_err(|_| syntax(format!("invalid integer value \"{text}\" for connection option \"{keyword}\"")))
}

fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}", percent_encode(&self.user).replace('/', "%2F"))?;
        if self.endpoints.iter().any(|e| e.password.is_some()) {
            f.write_str(":***")?;
        }
        f.write_str("@")?;
        for (i, endpoint) in self.endpoints.iter().enumerate() {
            let separator = if i > 0 { "," } else { "" };
            let host = match &endpoint.host {
                host if host.starts_with(['/', '@']) => percent_encode(host).replace('/', "%2F"),
                host if host.contains(':') => format!("[{host}]"),
                host => host.clone(),
            };
            write!(f, "{separator}{host}:{}", endpoint.port)?;
        }
        write!(f, "/{}", percent_encode(&self.database).replace('/', "%2F"))?;
        if self.ssl_mode != SslMode::Prefer {
            write!(f, "?sslmode={}", self.ssl_mode.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Target {
    /// The same as `Display`: a target in a log must not show its password either.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
