//! Does this crate read what real servers print? All tests of the crate that use the fixtures of
//! `tests/fixtures/plans`, in one binary.

// Clippy takes only functions marked #[test] for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod attribution;
mod diffs;
mod logs;
mod remedies;
mod rendering;
mod robustness;
mod size;
mod text_format;

use plan::Plan;

/// Where the plans stand.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/plans");

/// Every fixture, `15/seq_scan_filter` and so on, with its text, in order of names.
fn fixtures() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for major in std::fs::read_dir(FIXTURES).unwrap().map(Result::unwrap) {
        let folder = major.file_name().into_string().unwrap();
        if folder.parse::<u32>().is_err() {
            continue;
        }
        for file in std::fs::read_dir(major.path()).unwrap().map(Result::unwrap) {
            let name = file.file_name().into_string().unwrap();
            // The same plans in text format stand beside them.
            if !name.ends_with(".json") {
                continue;
            }
            let text = std::fs::read_to_string(file.path()).unwrap();
            all.push((format!("{folder}/{}", name.trim_end_matches(".json")), text));
        }
    }
    all.sort();
    assert!(all.len() > 100, "only {} fixtures in {FIXTURES}", all.len());
    all
}

fn fixture(name: &str) -> Plan {
    let path = format!("{FIXTURES}/{name}.json");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}")).parse().unwrap()
}
