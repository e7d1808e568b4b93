//! What can go wrong with a server of our own, and what to do about it.

use std::path::{Path, PathBuf};

/// Why a local server could not be found, made, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No PostgreSQL server programs were found.
    #[error("no PostgreSQL server programs were found on this machine")]
    NoBinaries {
        /// The directories that were looked at.
        searched: Vec<PathBuf>,
    },
    /// The programs of one major version were asked for and are not there.
    #[error("no server programs of PostgreSQL {major} were found on this machine")]
    NoSuchMajor {
        /// The version that was asked for.
        major: u32,
        /// The versions that are there.
        found: Vec<String>,
    },
    /// Programs were found but do not run.
    #[error("\"{}\" does not run", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// What it wrote, or the system's message.
        output: String,
    },
    /// `initdb` failed.
    #[error("could not create a database cluster in \"{}\"", data_dir.display())]
    Initdb {
        /// Where.
        data_dir: PathBuf,
        /// What `initdb` wrote.
        output: String,
    },
    /// The server exited while starting.
    #[error("could not start a server in \"{}\"", data_dir.display())]
    Start {
        /// Its data directory.
        data_dir: PathBuf,
        /// The end of its log.
        log: String,
    },
    /// The server did not become ready in time.
    #[error("server in \"{}\" was not ready within {seconds} s", data_dir.display())]
    Timeout {
        /// Its data directory.
        data_dir: PathBuf,
        /// How long it was waited for.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// Another server runs in the data directory.
    #[error("data directory \"{}\" is used by a running server", data_dir.display())]
    InUse {
        /// The data directory.
        data_dir: PathBuf,
        /// Its postmaster.
        pid: u32,
    },
    /// No server runs in the data directory.
    #[error("no server is running in \"{}\"", data_dir.display())]
    NotRunning {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// The data directory was made by another major version.
    #[error("data directory \"{}\" belongs to PostgreSQL {found}, not {wanted}", data_dir.display())]
    WrongMajor {
        /// The data directory.
        data_dir: PathBuf,
        /// Its `PG_VERSION`.
        found: String,
        /// The version of the programs.
        wanted: u32,
    },
    /// pgwright runs as root and there is no account to run the server as.
    #[error("no unprivileged account to run PostgreSQL as")]
    NoAccount,
    /// A setting has a name that no setting can have.
    #[error("\"{name}\" is not the name of a setting")]
    SettingName {
        /// The name.
        name: String,
    },
    /// The system refused something.
    #[error("could not {what} \"{}\"", path.display())]
    Io {
        /// What was tried, for instance `create`.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source }
    }

    /// More about what happened, in sentences.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::NoBinaries { searched } if searched.is_empty() => None,
            Self::NoBinaries { searched } => {
                let list: Vec<_> = searched.iter().map(|p| p.display().to_string()).collect();
                Some(format!("Looked for \"postgres\" and \"initdb\" in {}.", list.join(", ")))
            }
            Self::NoSuchMajor { found, .. } if found.is_empty() => {
                Some("No other version is there either.".into())
            }
            Self::NoSuchMajor { found, .. } => Some(format!("This machine has {}.", found.join(", "))),
            Self::Program { output, .. } | Self::Initdb { output, .. } => tail(output),
            Self::Start { log, .. } | Self::Timeout { log, .. } => tail(log),
            Self::InUse { pid, .. } => Some(format!("Its process id is {pid}.")),
            Self::Io { source, .. } => Some(format!("The system said: {source}.")),
            Self::NotRunning { .. }
            | Self::WrongMajor { .. }
            | Self::NoAccount
            | Self::SettingName { .. } => None,
        }
    }

    /// What to do about it, in sentences.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoBinaries { .. } => {
                "Install a PostgreSQL server package (for instance \"apt install postgresql\"); it need not run."
            }
            Self::NoSuchMajor { .. } => "Install the server package of that version; it need not run.",
            Self::Program { .. } => "Check the shared libraries that it needs and who may execute it.",
            Self::Initdb { .. } => "Check that the directory is empty and that there is room on the disk.",
            Self::Start { log, .. } if log.contains("No space left") => "Make room on the disk.",
            Self::Start { log, .. } if log.contains("could not access file") => {
                "A library in shared_preload_libraries is not installed for this version of PostgreSQL."
            }
            Self::Start { .. } => "The end of the server's log says why.",
            Self::Timeout { .. } => "The machine may be overloaded; try again.",
            Self::InUse { .. } => "Stop that server, or use another directory.",
            Self::NotRunning { .. } => "Start it first.",
            Self::WrongMajor { .. } => {
                "Use the programs of the version that made the directory, or another directory."
            }
            Self::NoAccount => {
                "PostgreSQL refuses to run as root: run pgwright as another user, or create the account \"postgres\"."
            }
            Self::SettingName { .. } => {
                "Names consist of letters, digits and underscores, with one dot at most."
            }
            Self::Io { .. } => return None,
        };
        Some(hint.into())
    }
}

/// The last lines of what a program wrote, enough to hold its error.
fn tail(text: &str) -> Option<String> {
    let lines: Vec<_> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(12)..];
    (!last.is_empty()).then(|| last.join("\n"))
}
