//! Does a server run in this data directory, and is it ready? `postmaster.pid` tells.
//!
//! Source: PostgreSQL's `src/include/utils/pidfile.h`: line 1 is the process id, 4 the port, 5 the
//! directory of the socket, 8 the state.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use rustix::process::Pid;

/// The contents of `postmaster.pid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: u32,
    pub(crate) port: Option<u16>,
    pub(crate) socket_dir: Option<PathBuf>,
    pub(crate) listens: bool,
    pub(crate) ready: bool,
}

impl PidFile {
    pub(crate) fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("postmaster.pid")
    }

    pub(crate) fn read(data_dir: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(Self::path(data_dir)).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let line = |n: usize| lines.get(n - 1).copied().filter(|l| !l.is_empty());
        Some(Self {
            pid: line(1)?.parse().ok()?,
            port: line(4).and_then(|l| l.parse().ok()),
            socket_dir: line(5).map(PathBuf::from),
            listens: line(6).is_some(),
            ready: line(8) == Some("ready"),
        })
    }

    /// Whether the process is a PostgreSQL server of this data directory. After a crash of the
    /// machine, or in a container, the number may belong to a stranger by now.
    pub(crate) fn is_alive(&self, data_dir: &Path) -> bool {
        if !process_exists(self.pid) {
            return false;
        }
        // A postmaster's working directory is its data directory. Where the system does not tell
        // (no /proc, or another user's process), the existing process counts.
        match fs::read_link(format!("/proc/{}/cwd", self.pid)) {
            Ok(cwd) => data_dir.canonicalize().is_ok_and(|d| d == cwd),
            Err(_) => !is_zombie(self.pid),
        }
    }
}

pub(crate) fn process_exists(pid: u32) -> bool {
    let Some(pid) = to_pid(pid) else { return false };
    !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

pub(crate) fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// A process that has ended and that nobody has waited for.
fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|s| s.rsplit_once(')').map(|(_, rest)| rest.trim_start().starts_with('Z')))
        .unwrap_or(false)
}

/// The end of a log file, which is where the reason stands.
pub(crate) fn log_tail(path: &Path) -> String {
    const BYTES: u64 = 4096;
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_is_read_line_by_line() {
        let text = "4711\n/data\n1700000000\n5432\n/tmp/s\n\n  123 456\nready   \n";
        let file = PidFile::parse(text).unwrap();
        assert_eq!((file.pid, file.port, file.listens, file.ready), (4711, Some(5432), false, true));
        assert_eq!(file.socket_dir, Some("/tmp/s".into()));
        assert!(!PidFile::parse("4711\n/data\n").unwrap().ready);
        assert_eq!(PidFile::parse(""), None);
    }

    #[test]
    fn a_stranger_with_the_same_number_is_not_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let of = |pid| PidFile { pid, port: None, socket_dir: None, listens: false, ready: true };
        assert!(process_exists(std::process::id()));
        assert!(!of(std::process::id()).is_alive(dir.path()));
        let here = std::env::current_dir().unwrap();
        assert!(of(std::process::id()).is_alive(&here));
    }
}
