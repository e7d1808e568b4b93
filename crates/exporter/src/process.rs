//! What does pgwright itself use? From `/proc`, where there is one.
//!
//! Source: proc(5), "/proc/pid/stat"; Prometheus' "Writing client libraries", process metrics.

/// CPU time and memory of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usage {
    /// User and system time.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: u64,
}

/// Reads them; `None` where there is no `/proc`.
pub(crate) fn usage() -> Option<Usage> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold spaces and parentheses; the fields begin after the last one.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = rustix::param::clock_ticks_per_second();
    Some(Usage {
        cpu_seconds: (field(14)? + field(15)?) as f64 / ticks as f64,
        resident_bytes: field(24)? * rustix::param::page_size() as u64,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_process_uses_memory() {
        let usage = super::usage().unwrap();
        assert!(usage.resident_bytes > 1_000_000 && usage.cpu_seconds >= 0.0, "{usage:?}");
    }
}
