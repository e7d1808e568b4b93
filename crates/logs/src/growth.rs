//! What has been written to a log since it was last read?

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{Error, Read as _, Result, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::Input;

/// A log that is written to, or a folder of such logs, and how far each file has been read.
///
/// Files are told apart by their inodes and by when these were made, so that one that was given another name is not read again.
#[derive(Clone, Debug)]
pub struct GrowingLog {
    path: PathBuf,
    read: BTreeMap<FileId, u64>,
}

/// What was written to a log.
#[derive(Default)]
pub struct Grown {
    /// The new part of each file, whole lines of it.
    pub inputs: Vec<Input>,
    /// The bytes of all parts.
    pub bytes: u64,
}

impl GrowingLog {
    /// The log from here on.
    ///
    /// # Errors
    /// When the file or the folder cannot be read.
    pub fn from_its_end(path: &Path) -> Result<Self> {
        let mut log = Self { path: path.to_owned(), read: BTreeMap::new() };
        for file in log.files()? {
            // Whether it can be read is known now, not when something has been written.
            File::open(&file.path).map_err(|error| of_file(&file.path, &error))?;
            log.read.insert(file.id, file.length);
        }
        Ok(log)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written since it was asked last. A line that has no end yet is left for the next time.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn written(&mut self) -> Result<Grown> {
        let mut grown = Grown::default();
        let mut read = BTreeMap::new();
        for file in self.files()? {
            let before = self.read.get(&file.id).copied().unwrap_or(0);
            // One that has become shorter was begun anew.
            let from = if before <= file.length { before } else { 0 };
            let mut to = from;
            if from < file.length {
                let failed = |error: Error| of_file(&file.path, &error);
                let mut opened = File::open(&file.path).map_err(failed)?;
                to = end_of_last_line(&opened, from, file.length).map_err(failed)?;
                if from < to {
                    opened.seek(SeekFrom::Start(from)).map_err(failed)?;
                    grown.bytes += to - from;
                    grown.inputs.push(Input::Stream(Box::new(opened.take(to - from)), file.path));
                }
            }
            read.insert(file.id, to);
        }
        // Files that are gone are forgotten.
        self.read = read;
        Ok(grown)
    }

    fn files(&self) -> Result<Vec<LogFile>> {
        let metadata = std::fs::metadata(&self.path)?;
        if !metadata.is_dir() {
            return Ok(vec![LogFile::new(self.path.clone(), &metadata)]);
        }
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() && !is_put_away(&path) => {
                    found.push(LogFile::new(path, &metadata));
                }
                Ok(_) => {}
                // It was removed in this moment.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(of_file(&path, &error)),
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }
}

/// Device, inode, and when it was made where the file system tells: a number is given again.
type FileId = (u64, u64, Option<SystemTime>);

struct LogFile {
    path: PathBuf,
    id: FileId,
    length: u64,
}

impl LogFile {
    fn new(path: PathBuf, metadata: &Metadata) -> Self {
        let id = (metadata.dev(), metadata.ino(), metadata.created().ok());
        Self { path, id, length: metadata.len() }
    }
}

fn of_file(path: &Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Whether logrotate or somebody else has made it of a log that was written before: its end is a number or that of a compressed file.
fn is_put_away(path: &Path) -> bool {
    let Some(extension) = path.extension().and_then(OsStr::to_str) else { return false };
    matches!(extension, "gz" | "zst" | "xz" | "bz2" | "lz4")
        || extension.len() < 4 && extension.bytes().all(|b| b.is_ascii_digit())
}

/// Where the last whole line of a part ends; where it begins when it has none.
fn end_of_last_line(file: &File, from: u64, to: u64) -> Result<u64> {
    const BLOCK: u64 = 8192;
    let (mut end, mut block) = (to, Vec::new());
    while end > from {
        let begin = end.saturating_sub(BLOCK).max(from);
        block.resize(usize::try_from(end - begin).unwrap_or(0), 0);
        file.read_exact_at(&mut block, begin)?;
        if let Some(at) = block.iter().rposition(|b| *b == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(from)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use super::*;

    fn append(path: &Path, text: &str) {
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// What was written, file by file.
    fn told(log: &mut GrowingLog) -> Vec<String> {
        let grown = log.written().unwrap();
        let texts: Vec<String> = grown
            .inputs
            .into_iter()
            .map(|input| {
                let Input::Stream(mut stream, _) = input else { panic!("not a part of a file") };
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                text
            })
            .collect();
        assert_eq!(grown.bytes, texts.iter().map(|t| t.len() as u64).sum::<u64>());
        texts
    }

    #[test]
    fn only_whole_lines_that_are_new_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.log");
        append(&path, "before\n");
        let mut log = GrowingLog::from_its_end(&path).unwrap();
        assert!(told(&mut log).is_empty());
        append(&path, "one\ntw");
        assert_eq!(told(&mut log), ["one\n"]);
        assert!(told(&mut log).is_empty());
        let long = "x".repeat(20_000);
        append(&path, &format!("o\n{long}"));
        assert_eq!(told(&mut log), ["two\n"]);
        append(&path, "\n");
        assert_eq!(told(&mut log), [format!("{long}\n")]);
        // Truncated, as by logrotate's copytruncate.
        std::fs::write(&path, "anew\n").unwrap();
        assert_eq!(told(&mut log), ["anew\n"]);
        std::fs::remove_file(&path).unwrap();
        assert!(log.written().is_err());
        append(&path, "again\n");
        assert_eq!(told(&mut log), ["again\n"]);
    }

    #[test]
    fn in_a_folder_files_that_come_are_read_and_those_that_were_put_away_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        append(&file("monday.log"), "before\n");
        append(&file("monday.csv"), "");
        let mut log = GrowingLog::from_its_end(folder.path()).unwrap();
        append(&file("monday.log"), "late\n");
        append(&file("tuesday.log"), "early\n");
        append(&file("monday.log.1"), "before\n");
        append(&file("sunday.log.2.gz"), "packed\n");
        assert_eq!(told(&mut log), ["late\n", "early\n"]);
        std::fs::rename(file("tuesday.log"), file("wednesday.log")).unwrap();
        append(&file("wednesday.log"), "later\n");
        assert_eq!(told(&mut log), ["later\n"]);
    }
}
