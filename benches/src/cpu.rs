//! How much processor time have processes used?
//!
//! Source: proc(5). `/proc/<pid>/schedstat` counts nanoseconds on a processor; where the kernel does not
//! keep it, `/proc/<pid>/stat` counts ticks of ten milliseconds, and with them the children that have ended.

use std::collections::BTreeMap;
use std::fs;

/// What `/proc/<pid>/stat` says of a process.
struct Stat {
    parent: u32,
    /// Seconds of its own.
    own: f64,
    /// Seconds of its children that have ended and were waited for, and of theirs.
    ended_children: f64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok());
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    // Counted from the state, which is field 3 of the manual page.
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        own: (number(11)? + number(12)?) as f64 / per_second,
        ended_children: (number(13)? + number(14)?) as f64 / per_second,
    })
}

/// Seconds that one process has spent on a processor, its threads' included.
pub fn of_process(pid: u32) -> Option<f64> {
    let exact = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok();
    let nanoseconds = exact.and_then(|t| t.split_whitespace().next()?.parse::<u64>().ok());
    match nanoseconds {
        Some(n) if n > 0 => Some(n as f64 / 1e9),
        _ => stat(pid).map(|s| s.own),
    }
}

/// All processes by their number.
fn processes() -> BTreeMap<u32, Stat> {
    let mut known = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok());
        if let Some((pid, stat)) = pid.and_then(|p| Some((p, stat(p)?))) {
            known.insert(pid, stat);
        }
    }
    known
}

/// Whether a process is this one or below it, and not below `except`.
fn belongs(known: &BTreeMap<u32, Stat>, pid: u32, except: Option<u32>) -> bool {
    let root = std::process::id();
    let mut at = pid;
    loop {
        if Some(at) == except {
            return false;
        }
        if at == root {
            return true;
        }
        match known.get(&at) {
            Some(stat) if stat.parent != at && stat.parent != 0 => at = stat.parent,
            _ => return false,
        }
    }
}

/// Memory of the processes below this one, in bytes: what several share counts once.
pub fn memory_of_descendants() -> u64 {
    let known = processes();
    let own = std::process::id();
    known
        .keys()
        .filter(|pid| **pid != own && belongs(&known, **pid, None))
        .map(|pid| proportional_set(*pid))
        .sum()
}

/// The proportional set size of a process; all of its resident pages where the kernel does not tell.
fn proportional_set(pid: u32) -> u64 {
    let kilobytes = |file: &str, name: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    1024 * kilobytes("smaps_rollup", "Pss:").or_else(|| kilobytes("status", "VmRSS:")).unwrap_or(0)
}

/// Seconds that this process, its descendants and those of them that have ended have used, without the
/// tree below `except`.
pub fn of_this_tree(except: Option<u32>) -> f64 {
    let known = processes();
    let counted = known.iter().filter(|(pid, _)| belongs(&known, **pid, except));
    counted.map(|(_, s)| s.own + s.ended_children).sum()
}

/// The most memory that this process has had, in bytes.
pub fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn work_is_counted_and_sleep_is_not() {
        let before = super::of_this_tree(None);
        let own_before = super::of_process(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while super::of_this_tree(None) < before + 0.05 {
            sum = (0..1_000_000_u64).fold(sum, |s, n| std::hint::black_box(s.wrapping_add(n)));
        }
        assert!(std::hint::black_box(sum) > 0);
        // schedstat is of the main thread alone, so the process counts at least what it counted before.
        assert!(super::of_process(std::process::id()).unwrap() >= own_before);
        assert!(super::peak_memory().unwrap() > 1 << 20);
    }
}
