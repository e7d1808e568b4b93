//! What does a message report? Durations, statements, connections, checkpoints, temporary files, locks, autovacuum.
//!
//! The texts are those of postgres.c (`check_log_duration`, `exec_simple_query`, `exec_execute_message`), xlog.c
//! (`LogCheckpointEnd`), fd.c (`ReportTemporaryFileUsage`), proc.c (`ProcSleep`), vacuumlazy.c (`heap_vacuum_rel`) and
//! analyze.c, in English: with another `lc_messages` the server translates them.

use crate::entry::find;

/// What a message of severity LOG reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Message<'a> {
    /// A duration; the text belongs to it unless it is empty.
    Duration {
        ms: f64,
        step: Step,
        text: &'a [u8],
    },
    /// A statement that was logged before it ran (`log_statement`).
    Statement(&'a [u8]),
    /// A plan of auto_explain.
    Plan {
        ms: f64,
        text: &'a [u8],
    },
    ConnectionReceived,
    ConnectionAuthorized,
    Disconnection {
        session_ms: Option<f64>,
    },
    CheckpointStarting {
        cause: &'a [u8],
    },
    CheckpointComplete(Checkpoint),
    CheckpointsTooFrequent,
    TemporaryFile {
        bytes: u64,
    },
    /// A wait for a lock that goes on, or that ended.
    LockWait {
        ended: bool,
        ms: f64,
        mode: &'a [u8],
        object: &'a [u8],
    },
    Vacuum(Upkeep<'a>),
    Analyze(Upkeep<'a>),
    /// Starts, stops and crashes.
    Server,
    Other,
}

/// Which part of a statement took the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// All of it, in the simple protocol.
    Statement,
    /// In the extended protocol.
    Parse,
    Bind,
    Execute,
    /// A duration alone (`log_duration`): of the statement that was logged before.
    Unnamed,
}

/// The figures of a checkpoint or restartpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Checkpoint {
    pub buffers: u64,
    pub write_s: f64,
    pub sync_s: f64,
    pub total_s: f64,
    pub distance_kb: u64,
    pub wal_files_added: u64,
    pub wal_files_removed: u64,
    pub wal_files_recycled: u64,
}

/// One run of autovacuum over a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Upkeep<'a> {
    /// `database.schema.table`.
    pub table: &'a [u8],
    pub elapsed_s: f64,
    pub tuples_removed: u64,
    pub pages_removed: u64,
    pub tuples_not_removable: u64,
    pub against_wraparound: bool,
}

/// Reads a message of severity LOG.
pub(crate) fn read(message: &[u8]) -> Message<'_> {
    match message.first() {
        Some(b'd') => {
            if let Some(rest) = message.strip_prefix(b"duration: ") {
                return duration(rest).unwrap_or(Message::Other);
            }
            if let Some(rest) = message.strip_prefix(b"disconnection: session time: ") {
                return Message::Disconnection { session_ms: session_ms(rest) };
            }
            if message.starts_with(b"database system ") { Message::Server } else { Message::Other }
        }
        Some(b's') => {
            if let Some(text) = message.strip_prefix(b"statement: ") {
                return Message::Statement(text);
            }
            let is_server = [&b"shutting down"[..], b"server process ", b"starting PostgreSQL "];
            if is_server.iter().any(|s| message.starts_with(s)) { Message::Server } else { Message::Other }
        }
        Some(b'e') => match message.strip_prefix(b"execute ").and_then(after_name) {
            Some(text) => Message::Statement(text),
            None => Message::Other,
        },
        Some(b'c') => {
            if message.starts_with(b"connection received: ") {
                Message::ConnectionReceived
            } else if message.starts_with(b"connection authorized: ") {
                Message::ConnectionAuthorized
            } else if let Some(rest) = message.strip_prefix(b"checkpoint ") {
                checkpoint(rest)
            } else if message.starts_with(b"checkpoints are occurring too frequently") {
                Message::CheckpointsTooFrequent
            } else {
                Message::Other
            }
        }
        Some(b'r') => match message.strip_prefix(b"restartpoint ") {
            Some(rest) => checkpoint(rest),
            None if message.starts_with(b"received ") && contains(message, b"shutdown request") => {
                Message::Server
            }
            None => Message::Other,
        },
        Some(b't') => {
            if let Some(rest) = message.strip_prefix(b"temporary file: path ") {
                let bytes = after(rest, b", size ").map_or(0, |n| number(n) as u64);
                return Message::TemporaryFile { bytes };
            }
            if message.starts_with(b"terminating any other active server processes") {
                return Message::Server;
            }
            Message::Other
        }
        Some(b'p') => lock_wait(message).unwrap_or(Message::Other),
        Some(b'a') => {
            if message.starts_with(b"all server processes terminated")
                || message.starts_with(b"aborting any active")
            {
                return Message::Server;
            }
            autovacuum(message).unwrap_or(Message::Other)
        }
        _ => Message::Other,
    }
}

fn duration(rest: &[u8]) -> Option<Message<'_>> {
    let ms = number(rest);
    let beginning = &rest[..rest.len().min(40)];
    let unit = find(beginning, b" ms")?;
    let text = &rest[unit + 3..];
    let text = text.trim_ascii_start();
    let of = |step, text| Some(Message::Duration { ms, step, text });
    if text.is_empty() {
        return of(Step::Unnamed, text);
    }
    if let Some(text) = text.strip_prefix(b"statement: ") {
        return of(Step::Statement, text);
    }
    if let Some(text) = text.strip_prefix(b"plan:") {
        return Some(Message::Plan { ms, text });
    }
    for (word, step) in [(&b"execute "[..], Step::Execute), (b"parse ", Step::Parse), (b"bind ", Step::Bind)]
    {
        if let Some(text) = text.strip_prefix(word) {
            return of(step, after_name(text)?);
        }
    }
    // "fastpath function call": its text is the statement.
    of(Step::Statement, text)
}

/// What follows the name of a prepared statement or portal: `S_1/C_2: SELECT …`, `fetch from S_1: SELECT …`.
fn after_name(text: &[u8]) -> Option<&[u8]> {
    after(text, b": ")
}

/// `0:01:02.345 user=…`, hours unlimited.
fn session_ms(rest: &[u8]) -> Option<f64> {
    let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
    let mut total = 0.0;
    for part in rest[..end].split(|b| *b == b':') {
        total = total * 60.0 + std::str::from_utf8(part).ok()?.parse::<f64>().ok()?;
    }
    Some(total * 1000.0)
}

fn checkpoint(rest: &[u8]) -> Message<'_> {
    if let Some(cause) = rest.strip_prefix(b"starting: ") {
        return Message::CheckpointStarting { cause: cause.trim_ascii() };
    }
    let Some(text) = rest.strip_prefix(b"complete: ") else { return Message::Other };
    let figure = |mark: &[u8]| after(text, mark).map_or(0.0, number);
    let before = |mark: &[u8]| {
        find(text, mark).map_or(0.0, |at| {
            let from = text[..at].iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |p| p + 1);
            number(&text[from..at])
        }) as u64
    };
    Message::CheckpointComplete(Checkpoint {
        buffers: figure(b"wrote ") as u64,
        write_s: figure(b"write="),
        sync_s: figure(b"sync="),
        total_s: figure(b"total="),
        distance_kb: figure(b"distance=") as u64,
        wal_files_added: before(b" WAL file(s) added"),
        wal_files_removed: before(b" removed"),
        wal_files_recycled: before(b" recycled"),
    })
}

fn lock_wait(message: &[u8]) -> Option<Message<'_>> {
    let rest = after(message.strip_prefix(b"process ")?, b" ")?;
    let (ended, rest) = match rest.strip_prefix(b"still waiting for ") {
        Some(rest) => (false, rest),
        None => (true, rest.strip_prefix(b"acquired ")?),
    };
    let on = find(rest, b" on ")?;
    let waited = memchr::memmem::rfind(rest, b" after ")?;
    let object = rest.get(on + 4..waited)?;
    Some(Message::LockWait { ended, ms: number(&rest[waited + 7..]), mode: &rest[..on], object })
}

fn autovacuum(message: &[u8]) -> Option<Message<'_>> {
    let rest = message.strip_prefix(b"automatic ")?;
    let is_analyze = rest.starts_with(b"analyze ");
    if !is_analyze && !rest.starts_with(b"vacuum ") && !rest.starts_with(b"aggressive vacuum ") {
        return None;
    }
    let named = after(rest, b"of table \"")?;
    let table = &named[..named
        .iter()
        .position(|b| matches!(b, b'\n'))
        .map_or(named.len(), |line| named[..line].iter().rposition(|b| *b == b'"').unwrap_or(line))];
    let table = match find(table, b"\" system usage") {
        Some(at) => &table[..at],
        None => table.strip_suffix(b"\"").unwrap_or(table),
    };
    let figure = |mark: &[u8], of: &[u8]| {
        after(rest, of).and_then(|line| after(line, mark)).map_or(0, |n| number(n) as u64)
    };
    let upkeep = Upkeep {
        table,
        elapsed_s: after(rest, b"elapsed: ").map_or(0.0, number),
        tuples_removed: figure(b": ", b"tuples"),
        pages_removed: figure(b": ", b"pages"),
        tuples_not_removable: after(rest, b"remain, ")
            .and_then(|_| {
                let at = find(rest, b" are dead but not yet removable")?;
                let from = rest[..at].iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |p| p + 1);
                Some(number(&rest[from..at]) as u64)
            })
            .unwrap_or(0),
        against_wraparound: contains(&rest[..rest.len().min(80)], b"to prevent wraparound"),
    };
    Some(if is_analyze { Message::Analyze(upkeep) } else { Message::Vacuum(upkeep) })
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    find(text, what).is_some()
}

/// What follows the first occurrence of `mark`.
fn after<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    find(text, mark).map(|at| &text[at + mark.len()..])
}

/// The decimal number at the beginning; 0 when there is none.
fn number(text: &[u8]) -> f64 {
    let mut whole = 0.0;
    let mut scale = 0.0;
    for byte in text {
        match byte {
            b'0'..=b'9' => {
                whole = whole * 10.0 + f64::from(byte - b'0');
                scale *= 10.0;
            }
            b'.' if scale == 0.0 => scale = 1.0,
            _ => break,
        }
    }
    if scale > 0.0 { whole / scale } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let duration = |ms, step, text: &'static str| Message::Duration { ms, step, text: text.as_bytes() };
        for (message, expected) in [
            ("duration: 1.234 ms  statement: select 1 ms", duration(1.234, Step::Statement, "select 1 ms")),
            ("duration: 0.050 ms  parse <unnamed>: select $1", duration(0.05, Step::Parse, "select $1")),
            ("duration: 0.050 ms  bind S_1/C: 2: select $1", duration(0.05, Step::Bind, "2: select $1")),
            (
                "duration: 12345.678 ms  execute fetch from x/y: select 1",
                duration(12345.678, Step::Execute, "select 1"),
            ),
            ("duration: 7.000 ms", duration(7.0, Step::Unnamed, "")),
            ("statement: begin", Message::Statement(b"begin")),
            ("execute S_1: commit", Message::Statement(b"commit")),
            (
                "duration: 3.5 ms  plan:\n\tQuery Text: x",
                Message::Plan { ms: 3.5, text: b"\n\tQuery Text: x" },
            ),
            ("duration: x", Message::Other),
        ] {
            assert_eq!(read(message.as_bytes()), expected, "{message}");
        }
    }

    #[test]
    fn reports_of_the_server_are_read() {
        assert_eq!(
            read(b"checkpoint complete: wrote 54 buffers (0.3%); 1 WAL file(s) added, 2 removed, 3 recycled; write=5.410 s, \
                   sync=0.120 s, total=5.600 s; sync files=13, longest=0.004 s, average=0.001 s; distance=1024 kB, estimate=2048 kB"),
            Message::CheckpointComplete(Checkpoint {
                buffers: 54,
                write_s: 5.41,
                sync_s: 0.12,
                total_s: 5.6,
                distance_kb: 1024,
                wal_files_added: 1,
                wal_files_removed: 2,
                wal_files_recycled: 3
            })
        );
        assert_eq!(
            read(b"temporary file: path \"base/pgsql_tmp/pgsql_tmp7.0\", size 14000128"),
            Message::TemporaryFile { bytes: 14_000_128 }
        );
        assert_eq!(
            read(b"process 7 still waiting for ShareLock on transaction 12 after 1000.123 ms"),
            Message::LockWait { ended: false, ms: 1000.123, mode: b"ShareLock", object: b"transaction 12" }
        );
        assert_eq!(
            read(b"disconnection: session time: 1:02:03.500 user=a database=b host=[local]"),
            Message::Disconnection { session_ms: Some(3_723_500.0) }
        );
        let vacuum = "automatic vacuum of table \"shop.public.a \"b.c\": index scans: 1\n\tpages: 3 removed, 5 remain, 5 scanned \
                      (100.00% of total)\n\ttuples: 1200 removed, 200 remain, 17 are dead but not yet removable\n\tsystem usage: CPU: user: \
                      0.00 s, system: 0.00 s, elapsed: 1.25 s";
        assert_eq!(
            read(vacuum.as_bytes()),
            Message::Vacuum(Upkeep {
                table: b"shop.public.a \"b.c",
                elapsed_s: 1.25,
                tuples_removed: 1200,
                pages_removed: 3,
                tuples_not_removable: 17,
                against_wraparound: false
            })
        );
        assert!(matches!(
            read(b"automatic analyze of table \"shop.public.t\" system usage: CPU: user: 0.01 s, system: 0.00 s, elapsed: 0.50 s"),
            Message::Analyze(Upkeep { table: b"shop.public.t", elapsed_s: 0.5, .. })
        ));
        assert_eq!(read(b"checkpoint starting: time"), Message::CheckpointStarting { cause: b"time" });
        assert_eq!(read(b"database system is ready to accept connections"), Message::Server);
        assert_eq!(read(b"could not receive data from client: Connection reset by peer"), Message::Other);
    }
}
