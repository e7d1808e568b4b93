//! What went wrong between pgwright and a server, said so that a person knows what to do.
//!
//! Source: PostgreSQL manual, "PostgreSQL Error Codes" (appendix A). Decisions rest on the SQLSTATE
//! and on the name of the reporting C function, never on message text alone, because servers
//! translate their messages.

use std::path::PathBuf;

use tokio_postgres::error::SqlState;

use crate::schema_dump::PG_DUMP;

/// An error of this crate. `Display` is one factual line; [`Error::detail`] and [`Error::hint`] are
/// sentences.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection string, a PG* variable or the service file cannot be understood.
    #[error("{message}")]
    Conninfo {
        /// Why.
        message: String,
    },
    /// Nobody answers there, or not in time, or the server is starting or shutting down.
    #[error("could not connect to server at {host}:{port}")]
    Unreachable {
        /// Host name, address or socket directory.
        host: String,
        /// Port.
        port: u16,
        /// What the operating system or the server said.
        reason: String,
    },
    /// The server refused the password, or wants one and there is none.
    #[error("password authentication failed for role \"{role}\"")]
    WrongPassword {
        /// The role.
        role: String,
        /// Whether a password was sent at all.
        supplied: bool,
        /// SQLSTATE, when the server got as far as sending one.
        sqlstate: Option<String>,
        /// Where the password came from or why there is none, as a sentence.
        note: Option<String>,
    },
    /// The server has no TLS and `sslmode` demands it.
    #[error("server at {host}:{port} does not accept TLS connections")]
    TlsRefused {
        /// Host.
        host: String,
        /// Port.
        port: u16,
    },
    /// The TLS handshake failed, or the certificate was not accepted.
    #[error("TLS connection to {host}:{port} failed")]
    Tls {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// What rustls said.
        reason: String,
    },
    /// `pg_hba.conf` has no entry that admits this connection.
    #[error("server at {host}:{port} does not admit role \"{role}\" to database \"{database}\"")]
    NotAdmitted {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// The role.
        role: String,
        /// The database.
        database: String,
        /// The server's message.
        message: String,
    },
    /// The database does not exist.
    #[error("database \"{database}\" does not exist")]
    DatabaseMissing {
        /// The database.
        database: String,
    },
    /// The role does not exist.
    #[error("role \"{role}\" does not exist")]
    RoleMissing {
        /// The role.
        role: String,
    },
    /// No connection slot is free.
    #[error("server at {host}:{port} has no connection slot left")]
    TooManyConnections {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// The server's message.
        message: String,
    },
    /// The role may not do this.
    #[error("permission denied for {object}")]
    PrivilegeDenied {
        /// The object as the server names it, for instance `table orders`.
        object: String,
        /// The pgwright query that was refused.
        query: String,
    },
    /// An extension is not installed in the database.
    #[error("extension \"{name}\" is not installed in database \"{database}\"")]
    ExtensionMissing {
        /// The extension.
        name: String,
        /// The database.
        database: String,
    },
    /// An extension is installed, but its library was not loaded when the server started.
    #[error("extension \"{name}\" is not loaded by the server")]
    NotPreloaded {
        /// The library to put into `shared_preload_libraries`.
        name: String,
    },
    /// A pooler stands between pgwright and the server and breaks what pgwright relies on.
    #[error("{host}:{port} is a connection pooler in transaction mode, not a PostgreSQL server")]
    Pooler {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// How it was noticed, as a sentence.
        reason: String,
    },
    /// A statement failed.
    #[error("query \"{name}\" failed: {message}")]
    Query {
        /// pgwright's name for the statement.
        name: String,
        /// SQLSTATE.
        sqlstate: String,
        /// The server's message.
        message: String,
        /// The server's detail.
        detail: Option<String>,
        /// The server's hint.
        hint: Option<String>,
    },
    /// A statement of the user failed at a place of its text.
    #[error("{message}")]
    Statement {
        /// SQLSTATE.
        sqlstate: String,
        /// The server's message.
        message: String,
        /// The place in the statement's text, in characters from 1.
        position: usize,
        /// The server's detail.
        detail: Option<String>,
        /// The server's hint.
        hint: Option<String>,
    },
    /// The server canceled a statement because it took longer than a time limit.
    #[error("query \"{name}\" was canceled: {message}")]
    Timeout {
        /// pgwright's name for the statement.
        name: String,
        /// SQLSTATE: 57014, 55P03 or 25P03.
        sqlstate: String,
        /// The server's message.
        message: String,
    },
    /// The connection broke.
    #[error("connection to the server was lost during query \"{name}\"")]
    ConnectionLost {
        /// pgwright's name for the statement.
        name: String,
        /// What the operating system or the server said.
        reason: String,
        /// SQLSTATE, when the server said good-bye.
        sqlstate: Option<String>,
    },
    /// The server sent something that the row's struct cannot hold.
    #[error("column \"{column}\" of query \"{query}\" could not be read")]
    Decode {
        /// pgwright's name for the statement.
        query: String,
        /// The column.
        column: String,
        /// Why.
        reason: String,
    },
    /// The server is older than any variant of a query.
    #[error("PostgreSQL {found} is not supported")]
    UnsupportedVersion {
        /// The server's or extension's version.
        found: String,
        /// The oldest that is supported.
        oldest: String,
    },
    /// `pg_dump` is not there.
    #[error("pg_dump was not found at \"{}\"", path.display())]
    PgDumpMissing {
        /// Where it was looked for.
        path: PathBuf,
        /// The server's version.
        server_version: String,
    },
    /// `pg_dump` is older than the server and would refuse it.
    #[error("pg_dump {pg_dump_version} cannot dump a server of version {server_version}")]
    PgDumpTooOld {
        /// The program.
        path: PathBuf,
        /// Its version.
        pg_dump_version: String,
        /// The server's version.
        server_version: String,
    },
    /// `pg_dump` failed.
    #[error("pg_dump could not dump the schema")]
    PgDumpFailed {
        /// Its last lines on stderr.
        stderr: String,
    },
    /// A snapshot file could not be read or written.
    #[error("snapshot file \"{}\" {what}", path.display())]
    SnapshotFile {
        /// The file.
        path: PathBuf,
        /// What is the matter, as the end of a sentence.
        what: String,
        /// More about it, as a sentence.
        detail: Option<String>,
    },
    /// A statement was refused before it was sent.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
        /// What to do instead.
        hint: Option<String>,
    },
}

/// The name under which errors of the connection itself are reported.
pub(crate) const CONNECT: &str = "connect";

impl Error {
    /// The SQLSTATE, when the server sent one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Query { sqlstate, .. }
            | Self::Statement { sqlstate, .. }
            | Self::Timeout { sqlstate, .. } => Some(sqlstate),
            Self::WrongPassword { sqlstate, .. } | Self::ConnectionLost { sqlstate, .. } => {
                sqlstate.as_deref()
            }
            Self::NotAdmitted { .. } | Self::RoleMissing { .. } => Some("28000"),
            Self::DatabaseMissing { .. } => Some("3D000"),
            Self::TooManyConnections { .. } => Some("53300"),
            Self::PrivilegeDenied { .. } => Some("42501"),
            Self::NotPreloaded { .. } => Some("55000"),
            _ => None,
        }
    }

    /// What is known beyond the primary message, as sentences.
    pub fn detail(&self) -> Option<String> {
        let text = match self {
            Self::Unreachable { reason, .. }
            | Self::Tls { reason, .. }
            | Self::Pooler { reason, .. }
            | Self::ConnectionLost { reason, .. }
            | Self::Decode { reason, .. } => sentence(reason),
            Self::NotAdmitted { message, .. } | Self::TooManyConnections { message, .. } => sentence(message),
            Self::WrongPassword { supplied, note, .. } => match (supplied, note) {
                (_, Some(note)) => note.clone(),
                (false, None) => "The server asks for a password and none was given.".into(),
                (true, None) => return None,
            },
            Self::PrivilegeDenied { query, .. } if query == CONNECT => return None,
            Self::PrivilegeDenied { query, .. } => {
                format!("pgwright's query \"{query}\" needs to read it.")
            }
            Self::Query { detail, .. } | Self::Statement { detail, .. } => return detail.clone(),
            Self::UnsupportedVersion { oldest, .. } => {
                format!("The oldest supported version is {oldest}.")
            }
            Self::PgDumpMissing { server_version, .. } => format!(
                "The schema is read with pg_dump, which must not be older than the server ({server_version})."
            ),
            Self::PgDumpTooOld { path, pg_dump_version, server_version } => format!(
                "\"{}\" is version {pg_dump_version}; the server is version {server_version}.",
                path.display()
            ),
            Self::PgDumpFailed { stderr } => stderr.clone(),
            Self::SnapshotFile { detail, .. } => return detail.clone(),
            _ => return None,
        };
        Some(text)
    }

    /// What to do about it, as sentences.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unreachable { .. } => {
                "Check that the server runs, that it listens there (listen_addresses, port) and that no \
                 firewall stands between."
            }
            Self::WrongPassword { supplied: false, .. } => {
                "Give the password in PGPASSWORD or in a password file with mode 0600 (~/.pgpass)."
            }
            Self::WrongPassword { .. } => "Check the role and its password.",
            Self::TlsRefused { .. } => {
                "Switch TLS on at the server (ssl = on), or connect with sslmode=prefer."
            }
            Self::Tls { .. } => {
                "Give the certificate authority's file in sslrootcert, or connect with sslmode=require, \
                 which encrypts without checking who answers."
            }
            Self::NotAdmitted { message, .. } if message.contains("pg_hba") => {
                "Add a line for this role, database and address to pg_hba.conf."
            }
            Self::NotAdmitted { message, .. } if message.contains("Peer") || message.contains("Ident") => {
                "Run pgwright as the operating system's user of that name, or connect to a TCP port with a \
                 password."
            }
            Self::NotAdmitted { .. } => "Connect with a role that has LOGIN.",
            Self::DatabaseMissing { .. } => "List the databases with psql -l.",
            Self::RoleMissing { .. } => {
                "Create a role for pgwright; \"pgwright doctor --print-sql\" prints its statements."
            }
            Self::TooManyConnections { .. } => {
                "Close idle sessions or raise max_connections, then try again."
            }
            Self::PrivilegeDenied { query, .. } if query == CONNECT => {
                "Grant the role CONNECT on the database (GRANT CONNECT ON DATABASE name TO role)."
            }
            Self::PrivilegeDenied { query, .. } if query == PG_DUMP => {
                "pg_dump locks every table in ACCESS SHARE mode, which needs the privilege to read it: GRANT \
                 pg_read_all_data TO the role."
            }
            Self::PrivilegeDenied { object, .. } if object.contains("pg_stat_statements") => {
                "Grant the role SELECT on the extension's views; \"pgwright doctor\" prints the statement."
            }
            Self::PrivilegeDenied { .. } => {
                "Grant the role membership in pg_monitor (GRANT pg_monitor TO role)."
            }
            Self::ExtensionMissing { name, .. } => {
                return Some(format!(
                    "Run CREATE EXTENSION {} in this database.",
                    model::quote_identifier(name)
                ));
            }
            Self::NotPreloaded { name } => {
                return Some(format!(
                    "Add {name} to shared_preload_libraries in postgresql.conf and restart the server."
                ));
            }
            Self::Pooler { .. } => "Connect to the PostgreSQL server itself, past the pooler.",
            Self::Query { hint, .. } | Self::Statement { hint, .. } => return hint.clone(),
            Self::Timeout { sqlstate, .. } if sqlstate == "55P03" => {
                "Another session holds a lock; try again when it is gone."
            }
            Self::Timeout { .. } => "Allow more time, or try again when the server is less busy.",
            Self::PgDumpMissing { server_version, .. } | Self::PgDumpTooOld { server_version, .. } => {
                let major = server_version.split('.').next().unwrap_or(server_version);
                return Some(format!(
                    "Install the client programs of PostgreSQL {major} or later \
                     (on Debian: apt install postgresql-client-{major})."
                ));
            }
            Self::Refused { hint, .. } => return hint.clone(),
            _ => return None,
        };
        Some(text.into())
    }

    /// Sorts an error that a statement met.
    pub fn from_query(name: &str, error: &tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return Self::ConnectionLost { name: name.into(), reason: root_cause(error), sqlstate: None };
        };
        let name = name.to_owned();
        let sqlstate = db.code().code().to_owned();
        let message = db.message().to_owned();
        match db.code() {
            &SqlState::INSUFFICIENT_PRIVILEGE => Self::PrivilegeDenied {
                object: message.strip_prefix("permission denied for ").unwrap_or(&message).to_owned(),
                query: name,
            },
            // "pg_stat_statements must be loaded via "shared_preload_libraries"" and its like; the
            // setting's name is not translated.
            &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE if message.contains("shared_preload_libraries") => {
                // Translations put the library elsewhere in the sentence; only names have underscores.
                let words = message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                let mut names = words.filter(|w| w.contains('_') && *w != "shared_preload_libraries");
                let name = names.next().unwrap_or("the library");
                Self::NotPreloaded { name: name.to_owned() }
            }
            &SqlState::QUERY_CANCELED | &SqlState::LOCK_NOT_AVAILABLE => {
                Self::Timeout { name, sqlstate, message }
            }
            &SqlState::ADMIN_SHUTDOWN
            | &SqlState::CRASH_SHUTDOWN
            | &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => {
                Self::ConnectionLost { name, reason: message, sqlstate: Some(sqlstate) }
            }
            _ => Self::Query {
                name,
                sqlstate,
                message,
                detail: db.detail().map(str::to_owned),
                hint: db.hint().map(str::to_owned),
            },
        }
    }
}

/// The innermost cause, which says more than "error communicating with the server".
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// A message of a server or of the operating system as a sentence.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let mut text: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    text.push_str(chars.as_str());
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}
