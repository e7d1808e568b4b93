//! Who stops the server when its owner is killed and can stop nothing any more?
//!
//! A shell that does nothing but read from a pipe. The owner holds the other end; when the owner
//! dies, however it dies, the system closes it and the shell wakes up. It stands in a process group
//! of its own, so that what hits the owner's group (Ctrl-C, a test runner's time-out) misses it.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::Error;

pub(crate) struct Watchdog {
    child: Child,
    pipe: Option<ChildStdin>,
}

/// `$1` is the data directory, `$2` the signal, `$3` and on are the directories to remove.
///
/// A process is only touched while `postmaster.pid` still names it: its number could have been
/// given to somebody else. The shell's `read` is told apart from the end of the pipe by its status.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
data=$1 signal=$2
shift 2
armed=
while read -r word; do
  case $word in
    armed) armed=yes ;;
    release) exit 0 ;;
  esac
done
named() {
  pid=
  read -r pid < "$data/postmaster.pid"
  [ -n "$pid" ] && kill -0 "$pid"
}
# The owner may have been killed between starting the server and the server's first file.
[ -n "$armed" ] && ! named && { sleep 0.5 || sleep 1; }
tries=0
while [ -n "$armed" ] && named; do
  case $tries in
    0) kill -"$signal" "$pid" ;;
    100) kill -QUIT "$pid" ;;
    200) kill -KILL "$pid"; sleep 1; break ;;
  esac
  tries=$((tries + 1))
  sleep 0.1 || sleep 1
done
for dir in "$@"; do
  rm -rf -- "$dir" || { sleep 1; rm -rf -- "$dir"; }
done
exit 0
"#;

impl Watchdog {
    /// Starts watching. `remove` are the directories that go when the owner is killed.
    pub(crate) fn start(data_dir: &Path, signal: &str, remove: &[&Path]) -> Result<Self, Error> {
        let shell = Path::new("/bin/sh");
        let mut child = Command::new(shell)
            .args(["-c", SCRIPT, "pgwright-watchdog"])
            .arg(data_dir)
            .arg(signal)
            .args(remove)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Error::io("run", shell))?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Tells the watchdog that the server in the data directory is ours from now on.
    pub(crate) fn arm(&mut self) {
        if let Some(pipe) = &mut self.pipe {
            let _ = pipe.write_all(b"armed\n");
        }
    }

    /// Sends the watchdog home: everything was cleaned up, or shall stay as it is.
    pub(crate) fn release(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(b"release\n");
        }
        let _ = self.child.wait();
    }
}
