//! Is there a place in memory for a server whose data nobody will miss? Creating a file there takes a
//! fraction of what it takes on a disk, and a schema of a thousand tables is ten thousand files.
//!
//! Source: `tmpfs(5)`. Containers often have a small one, so it is asked how large it is.

use std::path::{Path, PathBuf};

/// Where Linux has POSIX shared memory.
const SHARED_MEMORY: &str = "/dev/shm";

/// A directory in memory with room for that many bytes, when there is one and the machine has as much
/// memory to spare.
pub fn memory_dir(bytes: u64) -> Option<PathBuf> {
    let dir = Path::new(SHARED_MEMORY);
    let room = rustix::fs::statvfs(dir).ok()?;
    let mounted = std::fs::read_to_string("/proc/mounts").ok()?;
    let in_memory = mounted.lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        words.next() == Some(SHARED_MEMORY) && words.next() == Some("tmpfs")
    });
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let spare = spare_memory(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    (in_memory && free >= bytes && spare >= bytes).then(|| dir.to_path_buf())
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn spare_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_machine_has_room_for_everything() {
        assert_eq!(memory_dir(u64::MAX), None);
        assert_eq!(spare_memory("MemTotal: 9 kB\nMemAvailable:   24 kB\n"), Some(24 * 1024));
        assert_eq!(spare_memory("MemTotal: 9 kB\n"), None);
    }
}
