//! How does pgwright open a session, and how does it keep out of the way once it is in?
//!
//! Source: PostgreSQL manual, "libpq: Database Connection Control Functions" (34.1), "Frontend/Backend
//! Protocol: Start-up" (55.2.1), and pgBackRest's `db/db.c`, whose sessions pin `search_path` and name
//! themselves. Settings are made after connecting, never as start-up options, which poolers refuse.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::quote_literal;
use tokio_postgres::config::SslMode as Encryption;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, SimpleQueryMessage, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{CONNECT, Error, root_cause};
use crate::pooler::{self, Pooling};
use crate::target::{Endpoint, SslMode, Target};
use crate::tls;

/// Which `search_path` a session has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SearchPath {
    /// `pg_catalog` alone, for pgwright's own queries: nobody can put a function of theirs in front.
    #[default]
    Pinned,
    /// Whatever the role has, for a user's own statements.
    RoleDefault,
    /// This value, for instance the one that a statement was written for.
    Set(String),
}

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// `application_name`, unless the connection string gives one.
    pub application_name: String,
    /// `statement_timeout`.
    pub statement_timeout: Option<Duration>,
    /// `lock_timeout`.
    pub lock_timeout: Option<Duration>,
    /// `idle_in_transaction_session_timeout`.
    pub idle_in_transaction_session_timeout: Option<Duration>,
    /// `default_transaction_read_only`.
    pub read_only: bool,
    /// `search_path`.
    pub search_path: SearchPath,
    /// Accept a pooler in transaction mode. No setting of this struct is made then, because it would
    /// stay behind in a connection that others use; only queries of this crate may be run.
    pub allow_transaction_pooler: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            application_name: "pgwright".into(),
            statement_timeout: None,
            lock_timeout: None,
            idle_in_transaction_session_timeout: None,
            read_only: false,
            search_path: SearchPath::Pinned,
            allow_transaction_pooler: false,
        }
    }
}

impl SessionOptions {
    /// Options under which a user's own statement means what it means to the user: the role's
    /// `search_path` and settings.
    pub fn for_user_statements() -> Self {
        Self { search_path: SearchPath::RoleDefault, ..Self::default() }
    }

    /// The settings, in SQL's words.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = Vec::new();
        for (name, timeout) in [
            ("statement_timeout", self.statement_timeout),
            ("lock_timeout", self.lock_timeout),
            ("idle_in_transaction_session_timeout", self.idle_in_transaction_session_timeout),
        ] {
            if let Some(timeout) = timeout {
                // Zero would mean "no limit", the opposite of a very small one.
                settings.push((name, format!("{}ms", timeout.as_millis().max(1))));
            }
        }
        if self.read_only {
            settings.push(("default_transaction_read_only", "on".into()));
        }
        match &self.search_path {
            SearchPath::RoleDefault => {}
            SearchPath::Set(path) => settings.push(("search_path", path.clone())),
            SearchPath::Pinned => {
                settings.push(("search_path", "pg_catalog".into()));
                settings.extend(PINNED.iter().map(|(name, value)| (*name, (*value).to_owned())));
            }
        }
        settings
    }
}

/// What the text form of values depends on, pinned for pgwright's own queries so that two snapshots
/// of one database are equal whoever took them; and no JIT for queries over catalogs.
pub(crate) const PINNED: &[(&str, &str)] = &[
    ("datestyle", "ISO, YMD"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("quote_all_identifiers", "off"),
    ("xmlbinary", "base64"),
    ("jit", "off"),
];

/// A message that the server sent beside its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `NOTICE`, `WARNING`, …
    pub severity: String,
    /// SQLSTATE.
    pub sqlstate: String,
    /// The message.
    pub message: String,
}

/// At most so many notices are kept, the latest.
const NOTICES_KEPT: usize = 200;

/// An open session. It ends when dropped.
pub struct Session {
    client: Client,
    connector: MakeRustlsConnect,
    target: Target,
    backend_pid: i32,
    version_num: i32,
    pooling: Pooling,
    notices: Arc<Mutex<VecDeque<Notice>>>,
}

/// Cancels what a session is doing, from outside of it.
#[derive(Clone)]
pub struct CancelToken {
    token: tokio_postgres::CancelToken,
    connector: MakeRustlsConnect,
}

impl CancelToken {
    /// Asks the server to cancel the running statement. Success means that the request was sent.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] when the request could not be sent.
    pub async fn cancel(&self) -> Result<(), Error> {
        self.token
            .cancel_query(self.connector.clone())
            .await
            .map_err(|error| Error::from_query("cancel", &error))
    }
}

impl Session {
    /// A handle to cancel the running statement with.
    pub fn cancel_token(&self) -> CancelToken {
        CancelToken { token: self.client.cancel_token(), connector: self.connector.clone() }
    }

    /// The process that serves this session (`pg_backend_pid()`).
    pub fn backend_pid(&self) -> i32 {
        self.backend_pid
    }

    /// `server_version_num`, for instance 150012.
    pub fn version_num(&self) -> i32 {
        self.version_num
    }

    /// The target, with the one host of its list that answered.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether a pooler in transaction mode stands in between.
    pub fn behind_transaction_pooler(&self) -> bool {
        self.pooling == Pooling::Transaction
    }

    /// Whether any pooler stands in between.
    pub fn behind_pooler(&self) -> bool {
        self.pooling != Pooling::None
    }

    /// Takes the notices that have come in since the last call, at most the latest 200.
    pub fn take_notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("target", &self.target)
            .field("backend_pid", &self.backend_pid)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// Opens a session with the first host that answers.
    ///
    /// # Errors
    /// Every way in which a connection can fail has its own variant of [`Error`].
    pub async fn connect(&self, options: &SessionOptions) -> Result<Session, Error> {
        let connector = tls::connector(self)?;
        let wanted = self.rest.get("target_session_attrs").map_or("any", String::as_str);
        let mut passes = vec![wanted];
        if wanted == "prefer-standby" {
            passes = vec!["standby", "any"];
        }
        let mut failures: Vec<(&Endpoint, Error)> = Vec::new();
        for pass in passes {
            for endpoint in &self.endpoints {
                match self.connect_endpoint(endpoint, &connector, options, pass).await {
                    Ok(session) => return Ok(session),
                    // As in libpq: who answers and refuses the role ends the search.
                    Err(
                        error @ (Error::Unreachable { .. } | Error::TlsRefused { .. } | Error::Tls { .. }),
                    ) => failures.push((endpoint, error)),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(summarize(failures))
    }

    async fn connect_endpoint(
        &self,
        endpoint: &Endpoint,
        connector: &MakeRustlsConnect,
        options: &SessionOptions,
        wanted: &str,
    ) -> Result<Session, Error> {
        let link = self.open(endpoint, connector, options).await?;
        let Link { client, notices } = link;
        let probe = pooler::probe(&client).await?;
        let unreachable = |reason: &str| Error::Unreachable {
            host: endpoint.host.clone(),
            port: endpoint.port,
            reason: reason.to_owned(),
        };
        let suits = match wanted {
            "read-write" => !probe.read_only,
            "read-only" => probe.read_only,
            "primary" => !probe.in_recovery,
            "standby" => probe.in_recovery,
            _ => true,
        };
        if !suits {
            return Err(unreachable(&format!("the server is not of kind \"{wanted}\"")));
        }
        let pooling = if pooler::key_process_id(&client).await == Some(probe.backend_pid) {
            Pooling::None
        } else {
            pooler::classify(&client, async || Ok(self.open(endpoint, connector, options).await?.client))
                .await
        };
        let session = Session {
            client,
            connector: connector.clone(),
            target: self.narrowed_to(endpoint),
            backend_pid: probe.backend_pid,
            version_num: probe.version_num,
            pooling,
            notices,
        };
        if session.behind_transaction_pooler() {
            if !options.allow_transaction_pooler {
                return Err(Error::Pooler {
                    host: endpoint.host.clone(),
                    port: endpoint.port,
                    reason: "Transactions of one session are served by different server processes".into(),
                });
            }
            return Ok(session);
        }
        let settings = options.settings();
        if !settings.is_empty() {
            let calls: Vec<String> = settings
                .iter()
                .map(|(name, value)| {
                    format!("pg_catalog.set_config({}, {}, false)", quote_literal(name), quote_literal(value))
                })
                .collect();
            let sql = format!("SELECT /* pgwright:session_settings */ {}", calls.join(", "));
            session
                .client
                .simple_query(&sql)
                .await
                .map_err(|error| Error::from_query("session_settings", &error))?;
        }
        Ok(session)
    }

    /// Opens a bare connection, with the ways of encrypting in the order that `sslmode` gives.
    async fn open(
        &self,
        endpoint: &Endpoint,
        connector: &MakeRustlsConnect,
        options: &SessionOptions,
    ) -> Result<Link, Error> {
        let attempts: &[Encryption] = match self.ssl_mode {
            // libpq speaks no TLS over a socket of the same machine, whatever the mode.
            _ if endpoint.is_socket() => &[Encryption::Disable],
            SslMode::Disable => &[Encryption::Disable],
            SslMode::Allow => &[Encryption::Disable, Encryption::Require],
            SslMode::Prefer => &[Encryption::Prefer, Encryption::Disable],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Encryption::Require],
        };
        let mut first_error = None;
        for encryption in attempts {
            let mut config = self.config(endpoint, options)?;
            config.ssl_mode(*encryption);
            let opening = config.connect(connector.clone());
            let opened = match self.connect_timeout {
                Some(limit) => tokio::time::timeout(limit, opening).await,
                None => Ok(opening.await),
            };
            let error = match opened {
                Ok(Ok((client, connection))) => {
                    let notices = Arc::new(Mutex::new(VecDeque::new()));
                    tokio::spawn(drive(connection, notices.clone()));
                    return Ok(Link { client, notices });
                }
                Ok(Err(error)) => self.sort(endpoint, &error),
                Err(_) => Error::Unreachable {
                    host: endpoint.host.clone(),
                    port: endpoint.port,
                    reason: "the connection timed out".into(),
                },
            };
            let other_way_may_do =
                matches!(error, Error::Tls { .. } | Error::TlsRefused { .. } | Error::NotAdmitted { .. });
            // The first reason is the one that matters: with `allow` a server that has no TLS and
            // does not admit the role has not admitted the role.
            let error = first_error.take().unwrap_or(error);
            if !other_way_may_do {
                return Err(error);
            }
            first_error = Some(error);
        }
        Err(first_error.unwrap_or_else(|| Error::Conninfo { message: "no way to connect".into() }))
    }

    fn config(&self, endpoint: &Endpoint, options: &SessionOptions) -> Result<Config, Error> {
        let mut config = Config::new();
        config.host(&endpoint.host).port(endpoint.port).user(&self.user).dbname(&self.database);
        if let Some(address) = endpoint.hostaddr {
            config.hostaddr(address);
        }
        if let Some(password) = &endpoint.password {
            config.password(password);
        }
        let given = |keyword: &str| self.rest.get(keyword);
        let name = given("application_name").or_else(|| given("fallback_application_name"));
        config.application_name(name.unwrap_or(&options.application_name));
        if let Some(text) = given("options") {
            config.options(text);
        }
        if let Some(limit) = self.connect_timeout {
            config.connect_timeout(limit);
        }
        match given("channel_binding").map(String::as_str) {
            Some("disable") => config.channel_binding(tokio_postgres::config::ChannelBinding::Disable),
            Some("require") => config.channel_binding(tokio_postgres::config::ChannelBinding::Require),
            _ => config.channel_binding(tokio_postgres::config::ChannelBinding::Prefer),
        };
        let seconds =
            |keyword: &str| given(keyword).and_then(|v| v.trim().parse::<u64>().ok()).filter(|v| *v > 0);
        config.keepalives(given("keepalives").is_none_or(|v| v != "0"));
        if let Some(idle) = seconds("keepalives_idle") {
            config.keepalives_idle(Duration::from_secs(idle));
        }
        if let Some(interval) = seconds("keepalives_interval") {
            config.keepalives_interval(Duration::from_secs(interval));
        }
        if let Some(count) = seconds("keepalives_count") {
            config.keepalives_retries(u32::try_from(count).unwrap_or(u32::MAX));
        }
        if let Some(timeout) = seconds("tcp_user_timeout") {
            config.tcp_user_timeout(Duration::from_millis(timeout));
        }
        Ok(config)
    }

    /// Says why a connection failed.
    fn sort(&self, endpoint: &Endpoint, error: &tokio_postgres::Error) -> Error {
        let (host, port) = (endpoint.host.clone(), endpoint.port);
        let role = self.user.clone();
        if let Some(db) = error.as_db_error() {
            return self.sort_refusal(endpoint, db);
        }
        let reason = root_cause(error);
        // The library's own words for its kinds, which it does not export.
        match error.to_string().as_str() {
            "invalid configuration" if reason == "password missing" => Error::WrongPassword {
                role,
                supplied: false,
                sqlstate: None,
                note: self.passfile_note.clone(),
            },
            "error performing TLS handshake" if reason == "server does not support TLS" => {
                Error::TlsRefused { host, port }
            }
            "error performing TLS handshake" => Error::Tls { host, port, reason },
            "authentication error" => {
                Error::NotAdmitted { host, port, role, database: self.database.clone(), message: reason }
            }
            _ => Error::Unreachable { host, port, reason },
        }
    }

    fn sort_refusal(&self, endpoint: &Endpoint, db: &DbError) -> Error {
        let (host, port) = (endpoint.host.clone(), endpoint.port);
        let (role, database) = (self.user.clone(), self.database.clone());
        let message = db.message().to_owned();
        match db.code() {
            &SqlState::INVALID_PASSWORD => Error::WrongPassword {
                role,
                supplied: endpoint.password.is_some(),
                sqlstate: Some("28P01".into()),
                note: self.passfile_note.clone(),
            },
            &SqlState::INVALID_AUTHORIZATION_SPECIFICATION
                if db.routine() == Some("InitializeSessionUserId") && message.contains("does not exist") =>
            {
                Error::RoleMissing { role }
            }
            &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                Error::NotAdmitted { host, port, role, database, message }
            }
            &SqlState::INVALID_CATALOG_NAME => Error::DatabaseMissing { database },
            &SqlState::TOO_MANY_CONNECTIONS => Error::TooManyConnections { host, port, message },
            &SqlState::CANNOT_CONNECT_NOW | &SqlState::ADMIN_SHUTDOWN => {
                Error::Unreachable { host, port, reason: message }
            }
            // PgBouncer reports all of its own refusals under 08P01, in English.
            &SqlState::PROTOCOL_VIOLATION if message.starts_with("no such database") => {
                Error::DatabaseMissing { database }
            }
            &SqlState::PROTOCOL_VIOLATION if message.contains("no more connections allowed") => {
                Error::TooManyConnections { host, port, message }
            }
            &SqlState::PROTOCOL_VIOLATION if message.contains("unsupported startup parameter") => {
                Error::Pooler { host, port, reason: message }
            }
            &SqlState::INSUFFICIENT_PRIVILEGE => Error::PrivilegeDenied {
                object: message.strip_prefix("permission denied for ").unwrap_or(&message).to_owned(),
                query: CONNECT.into(),
            },
            code => Error::Query {
                name: CONNECT.into(),
                sqlstate: code.code().to_owned(),
                message,
                detail: db.detail().map(str::to_owned),
                hint: db.hint().map(str::to_owned),
            },
        }
    }
}

/// A connection before it has been looked at.
struct Link {
    client: Client,
    notices: Arc<Mutex<VecDeque<Notice>>>,
}

/// One host's error as it is; those of several as one that lists them all.
fn summarize(mut failures: Vec<(&Endpoint, Error)>) -> Error {
    let several = failures.len() > 1;
    let reasons: Vec<String> = failures
        .iter()
        .map(|(e, error)| {
            format!("{}:{}: {}", e.host, e.port, error.detail().unwrap_or_else(|| error.to_string()))
        })
        .collect();
    match failures.pop() {
        Some((endpoint, _)) if several => {
            Error::Unreachable { host: endpoint.host.clone(), port: endpoint.port, reason: reasons.join(" ") }
        }
        Some((_, error)) => error,
        None => Error::Conninfo { message: "no host to connect to".into() },
    }
}

/// Moves the connection's bytes until either side closes it, and keeps the server's notices.
async fn drive<T>(mut connection: Connection<Socket, T>, notices: Arc<Mutex<VecDeque<Notice>>>)
where
    T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
{
    loop {
        match std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notice(notice))) => {
                let notice = Notice {
                    severity: notice.severity().to_owned(),
                    sqlstate: notice.code().code().to_owned(),
                    message: notice.message().to_owned(),
                };
                tracing::debug!(severity = notice.severity, "{}", notice.message);
                let mut kept = notices.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == NOTICES_KEPT {
                    kept.pop_front();
                }
                kept.push_back(notice);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!("connection ended: {}", root_cause(&error));
                return;
            }
            None => return,
        }
    }
}

/// The values of the one row that a simple query answered.
pub(crate) fn single_row(messages: &[SimpleQueryMessage]) -> Option<&tokio_postgres::SimpleQueryRow> {
    messages.iter().find_map(|m| match m {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}
