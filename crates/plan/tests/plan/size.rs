//! What happens to a plan of 100 MB and more? It is read, or refused with a reason, in memory that is bounded. The texts
//! are made while they are read.

use std::io::{BufRead, BufReader, Read};

use plan::input::{self, MAX_BYTES};
use plan::{PlanError, Thresholds, checks};

const MEGABYTE: usize = 1_000_000;

/// A head, a part so many times, and an end.
struct Long {
    head: Vec<u8>,
    part: Vec<u8>,
    end: Vec<u8>,
    times: usize,
    /// Which piece is read, and from where.
    piece: usize,
    at: usize,
}

impl Read for Long {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.piece < self.times + 2 {
            let piece = match self.piece {
                0 => &self.head,
                n if n <= self.times => &self.part,
                _ => &self.end,
            };
            let left = &piece[self.at..];
            if left.is_empty() {
                (self.piece, self.at) = (self.piece + 1, 0);
                continue;
            }
            let count = left.len().min(into.len());
            into[..count].copy_from_slice(&left[..count]);
            self.at += count;
            return Ok(count);
        }
        Ok(0)
    }
}

fn long(head: &str, part: &str, times: usize, end: &str) -> impl BufRead + use<> {
    let [head, part, end] = [head, part, end].map(|text| text.as_bytes().to_vec());
    BufReader::with_capacity(1 << 16, Long { head, part, end, times, piece: 0, at: 0 })
}

/// The most memory that this process ever had, where the system tells.
fn peak_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok()? * 1024)
}

const HEAD: &str = r#"[{"Plan": {"Node Type": "Append", "Startup Cost": 0, "Total Cost": 500, "Plan Rows": 50, "Plan Width": 4,
 "Actual Startup Time": 0.1, "Actual Total Time": 9.5, "Actual Rows": 50, "Actual Loops": 1, "Plans": [
 {"Node Type": "Result", "Total Cost": 1, "Actual Total Time": 0.1, "Actual Rows": 0, "Actual Loops": 1}"#;

const END: &str = "]}, \"Execution Time\": 10.5}]";

/// A scan whose condition is a list of a megabyte.
fn scan_of_a_megabyte() -> String {
    let list = "1234567,".repeat(MEGABYTE / 8);
    format!(
        r#",
 {{"Node Type": "Seq Scan", "Relation Name": "orders", "Alias": "orders", "Startup Cost": 0, "Total Cost": 5,
 "Plan Rows": 1, "Plan Width": 4, "Actual Startup Time": 0.01, "Actual Total Time": 0.1, "Actual Rows": 1,
 "Actual Loops": 1, "Filter": "(id = ANY ('{{{list}0}}'::integer[]))", "Rows Removed by Filter": 999}}"#
    )
}

#[test]
fn a_plan_of_a_hundred_megabytes_is_read() {
    let found = input::find(&mut long(HEAD, &scan_of_a_megabyte(), 100, END)).unwrap();
    let plan = found.plans[0].plan().unwrap();
    assert_eq!(plan.nodes.len(), 102);
    assert_eq!(plan.execution_ms, Some(10.5));
    drop(found);
    checks::run(&plan, &Thresholds::default());
    if let Some(peak) = peak_bytes() {
        assert!(peak < 12 * 100 * MEGABYTE, "{peak} bytes");
    }
}

#[test]
fn one_that_is_cut_off_is_refused_with_the_place() {
    let error = input::find(&mut long(HEAD, &scan_of_a_megabyte(), 20, "")).unwrap_err();
    assert!(matches!(error, PlanError::Json(_)), "{error:?}");
    assert!(error.detail().unwrap().contains("EOF"), "{error:?}");
}

#[test]
fn more_nodes_than_any_plan_has_are_refused_before_they_fill_the_memory() {
    let node = ",{\"Node Type\":\"Result\",\"Total Cost\":1,\"Plan Rows\":1}".repeat(1_000);
    let error = input::find(&mut long(HEAD, &node, 2_100, END)).unwrap_err();
    assert!(matches!(error, PlanError::TooLarge { what: "values", .. }), "{error:?}");
}

#[test]
fn what_is_larger_than_the_limit_is_not_kept() {
    let megabyte = format!("{}\n", "x".repeat(MEGABYTE - 1));
    let error = input::find(&mut long(HEAD, &megabyte, MAX_BYTES / MEGABYTE + 2, END)).unwrap_err();
    assert!(matches!(error, PlanError::TooLarge { what: "bytes", limit: MAX_BYTES }), "{error:?}");
}
