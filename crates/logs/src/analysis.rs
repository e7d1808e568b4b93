//! How are many large logs counted at once? Readers cut them into blocks, workers count the blocks, and one thread merges what
//! they add up to in the order of the logs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::blocks::{Blocks, decoded};
use crate::entry::Entry;
use crate::error::LogError;
use crate::fingerprint::Normalizer;
use crate::format::{Format, FormatName};
use crate::language;
use crate::report::{FileReport, Report};
use crate::tally::{Counting, Tally};

/// Where a log comes from.
pub enum Input {
    /// A file, plain or compressed by gzip or zstd.
    File(PathBuf),
    /// Standard input, say, and what to call it.
    Stream(Box<dyn Read + Send>, PathBuf),
}

/// Which entries count. Empty lists take all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Milliseconds since 1970 on the log's own clock: entries before do not count.
    pub from_ms: Option<i64>,
    /// Entries at or after this do not count.
    pub to_ms: Option<i64>,
    /// Databases.
    pub databases: Vec<String>,
    /// Roles.
    pub users: Vec<String>,
    /// `application_name`.
    pub applications: Vec<String>,
}

/// Durations below a threshold of which only a part was logged (`log_min_duration_sample`, `log_statement_sample_rate`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampled {
    /// From this duration on, everything was logged (`log_min_duration_statement`).
    pub below_ms: f64,
    /// Which part of the others was logged, more than 0 and at most 1.
    pub rate: f64,
}

impl Sampled {
    /// For how many executions one of this duration stands.
    pub(crate) fn weight(self, ms: f64) -> u64 {
        if ms < self.below_ms && self.rate > 0.0 { (1.0 / self.rate).round().max(1.0) as u64 } else { 1 }
    }
}

/// How logs are analysed.
#[derive(Clone, Debug)]
pub struct Options {
    /// The setting `log_line_prefix`, for stderr logs; found out when not given.
    pub prefix: Option<crate::Prefix>,
    /// Which entries count.
    pub filter: Filter,
    /// Whether short statements were sampled.
    pub sampled: Option<Sampled>,
    /// Threads that count; at least one.
    pub jobs: usize,
    /// Statements, executions and errors in each listing.
    pub top: usize,
    /// Whether to keep examples of every statement, with their values.
    pub examples: bool,
    /// Whether to tell all durations of every statement.
    pub durations: bool,
}

impl Filter {
    pub(crate) fn takes(&self, entry: &Entry<'_>) -> bool {
        let origin = &entry.origin;
        let in_time = match origin.time_ms {
            Some(time) => self.from_ms.is_none_or(|f| time >= f) && self.to_ms.is_none_or(|t| time < t),
            None => self.from_ms.is_none() && self.to_ms.is_none(),
        };
        let among =
            |names: &[String], name: &[u8]| names.is_empty() || names.iter().any(|n| n.as_bytes() == name);
        in_time
            && among(&self.databases, origin.database)
            && among(&self.users, origin.user)
            && among(&self.applications, origin.application)
    }
}

/// A block on its way to a worker.
struct Block {
    file: usize,
    number: u64,
    format: Arc<Format>,
    bytes: Vec<u8>,
}

/// What came of a block or a file.
enum Done {
    Counted {
        file: usize,
        number: u64,
        tally: Box<Tally>,
        bytes: u64,
    },
    /// A file was read to its end: how many blocks it had.
    Read {
        file: usize,
        blocks: u64,
        end: End,
    },
    Failed(LogError),
}

/// What is known of a file when it was read to its end.
#[derive(Default)]
struct End {
    format: Option<FormatName>,
    prefix: Option<String>,
    cut_off: bool,
    other_language: bool,
}

/// A file in the making.
#[derive(Default)]
struct Part {
    tally: Tally,
    bytes: u64,
    next: u64,
    waiting: BTreeMap<u64, Box<Tally>>,
    blocks: Option<u64>,
    end: End,
}

/// Lets readers wait until the files before were merged.
struct Turn {
    state: Mutex<TurnState>,
    changed: Condvar,
}

struct TurnState {
    next: usize,
    merged: usize,
    stopped: bool,
}

/// Analyses logs; `progress` is told the bytes (uncompressed) that were counted since it was told last.
///
/// # Errors
/// Fails when a log cannot be read, or holds no entry although it is not empty.
pub fn analyze(
    inputs: Vec<Input>,
    options: &Options,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, LogError> {
    let jobs = options.jobs.max(1);
    let names: Vec<PathBuf> = inputs.iter().map(|i| i.path().to_owned()).collect();
    let count = inputs.len();
    let inputs: Vec<Mutex<Option<Input>>> = inputs.into_iter().map(|i| Mutex::new(Some(i))).collect();
    let turn =
        Turn { state: Mutex::new(TurnState { next: 0, merged: 0, stopped: false }), changed: Condvar::new() };
    let (to_workers, blocks) = sync_channel::<Block>(jobs);
    let (to_merger, done) = sync_channel::<Done>(jobs);
    let blocks = Mutex::new(blocks);
    let spare: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    let counting = Counting {
        filter: &options.filter,
        sampled: options.sampled,
        slowest: options.top,
        examples: options.examples,
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(count) {
            let (to_workers, to_merger) = (to_workers.clone(), to_merger.clone());
            let (turn, inputs, spare) = (&turn, &inputs, &spare);
            scope.spawn(move || {
                while let Some(file) = turn.take(count, 2 * jobs) {
                    let Some(input) = locked(&inputs[file]).take() else { continue };
                    let end = match read(file, input, options, spare, &to_workers) {
                        Ok(Some(end)) => end,
                        // The merger went away.
                        Ok(None) => break,
                        Err(error) => Done::Failed(error),
                    };
                    if to_merger.send(end).is_err() {
                        break;
                    }
                }
            });
        }
        for _ in 0..jobs {
            let to_merger = to_merger.clone();
            let (blocks, spare, counting) = (&blocks, &spare, &counting);
            scope.spawn(move || work(blocks, spare, counting, &to_merger));
        }
        drop((to_workers, to_merger));
        let merged = merge(&done, count, options.top, &turn, progress);
        // Whoever still reads or counts has nobody to tell.
        drop(done);
        turn.stop();
        merged
    })
    .map(|(tally, parts)| {
        let files = names
            .into_iter()
            .zip(parts)
            .map(|(path, (bytes, end))| FileReport {
                path,
                bytes,
                format: end.format,
                log_line_prefix: end.prefix,
                cut_off: end.cut_off,
                other_language: end.other_language,
            })
            .collect();
        Report::of(tally, files, options)
    })
}

impl Input {
    fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Stream(_, path) => path,
        }
    }
}

/// Reads one log to its end; nothing when nobody listens any more.
fn read(
    file: usize,
    input: Input,
    options: &Options,
    spare: &Mutex<Vec<Vec<u8>>>,
    to_workers: &SyncSender<Block>,
) -> Result<Option<Done>, LogError> {
    let path = input.path().to_owned();
    let failed = |source| LogError::Read { path: path.clone(), source };
    let source: Box<dyn Read + Send> = match input {
        Input::File(path) => Box::new(File::open(&path).map_err(failed)?),
        Input::Stream(stream, _) => stream,
    };
    let source = decoded(source).map_err(failed)?;
    let mut log = match Blocks::open(source).map_err(failed)? {
        Ok(log) => log,
        Err(text) if text.is_empty() => return Ok(Some(Done::Read { file, blocks: 0, end: End::default() })),
        Err(text) if language::is_another(&text) => return Err(LogError::OtherLanguage { path }),
        Err(_) => return Err(LogError::NoEntry { path }),
    };
    if let (Format::Stderr(_), Some(prefix)) = (log.format(), &options.prefix) {
        log.set_format(Format::Stderr(prefix.clone()));
    }
    let format = Arc::new(log.format().clone());
    let mut number = 0;
    loop {
        let mut bytes = locked(spare).pop().unwrap_or_default();
        if !log.next(&mut bytes).map_err(failed)? {
            break;
        }
        if to_workers.send(Block { file, number, format: Arc::clone(&format), bytes }).is_err() {
            return Ok(None);
        }
        number += 1;
    }
    let prefix = match &*format {
        Format::Stderr(prefix) => prefix.setting().map(str::to_owned),
        _ => None,
    };
    let end = End {
        format: Some(format.name()),
        prefix,
        cut_off: log.is_cut_off(),
        other_language: log.is_in_another_language(),
    };
    Ok(Some(Done::Read { file, blocks: number, end }))
}

fn work(
    blocks: &Mutex<Receiver<Block>>,
    spare: &Mutex<Vec<Vec<u8>>>,
    counting: &Counting<'_>,
    to_merger: &SyncSender<Done>,
) {
    let mut normalizer = Normalizer::default();
    loop {
        let Ok(block) = locked(blocks).recv() else { return };
        let mut tally = Box::new(Tally::default());
        let lines = block.format.read(&block.bytes, &mut |entry| tally.add(entry, counting, &mut normalizer));
        tally.lines = lines;
        let done =
            Done::Counted { file: block.file, number: block.number, tally, bytes: block.bytes.len() as u64 };
        locked(spare).push(block.bytes);
        if to_merger.send(done).is_err() {
            return;
        }
    }
}

type Parts = Vec<(u64, End)>;

fn merge(
    done: &Receiver<Done>,
    count: usize,
    slowest: usize,
    turn: &Turn,
    progress: &mut dyn FnMut(u64),
) -> Result<(Tally, Parts), LogError> {
    let mut whole = Tally::default();
    let mut parts: BTreeMap<usize, Part> = BTreeMap::new();
    let mut files = Vec::with_capacity(count);
    while files.len() < count {
        let Ok(message) = done.recv() else { break };
        match message {
            Done::Failed(error) => return Err(error),
            Done::Read { file, blocks, end } => {
                let part = parts.entry(file).or_default();
                (part.blocks, part.end) = (Some(blocks), end);
            }
            Done::Counted { file, number, tally, bytes } => {
                let part = parts.entry(file).or_default();
                part.bytes += bytes;
                part.waiting.insert(number, tally);
                while let Some(tally) = part.waiting.remove(&part.next) {
                    part.tally.merge(*tally, slowest);
                    part.next += 1;
                }
                progress(bytes);
            }
        }
        while parts.get(&files.len()).is_some_and(|p| p.blocks == Some(p.next)) {
            let Some(part) = parts.remove(&files.len()) else { break };
            whole.merge(part.tally, slowest);
            files.push((part.bytes, part.end));
            turn.merged();
        }
    }
    whole.finish(slowest);
    Ok((whole, files))
}

impl Turn {
    /// The next file, once no more than `ahead` files wait to be merged.
    fn take(&self, count: usize, ahead: usize) -> Option<usize> {
        let mut state = locked(&self.state);
        loop {
            if state.stopped || state.next >= count {
                return None;
            }
            if state.next < state.merged + ahead {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn merged(&self) {
        locked(&self.state).merged += 1;
        self.changed.notify_all();
    }

    fn stop(&self) {
        locked(&self.state).stopped = true;
        self.changed.notify_all();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked while holding it left whole values behind: they are only moved in and out.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
