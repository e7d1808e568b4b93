//! As whom does the server run? PostgreSQL refuses to run as root, so root lends it an account
//! that can do less.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::Error;

/// The account of the server; `None` when it is our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account(Option<(u32, u32)>);

impl Account {
    /// Our own, or `postgres`, or `nobody` when we are root.
    pub(crate) fn choose() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self(None));
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Some((id("-u", name)?, id("-g", name)?)))
            .filter(|(uid, _)| *uid != 0)
            .map(|ids| Self(Some(ids)))
            .ok_or(Error::NoAccount)
    }

    /// A command that will run under this account.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = self.0 {
            command.gid(gid).uid(uid);
        }
        command
    }

    /// Gives a file or directory to this account.
    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        match self.0 {
            Some((uid, gid)) => {
                std::os::unix::fs::lchown(path, Some(uid), Some(gid)).map_err(Error::io("give away", path))
            }
            None => Ok(()),
        }
    }
}

/// Asks `id`, which knows accounts from every source that the system is configured for.
fn id(which: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").arg(which).arg(name).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().parse().ok())?
}
