//! How does a snapshot become a file, and a file a snapshot again?
//!
//! JSON in zstd. Written beside its place and renamed, so that nobody ever reads half of one.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use model::Snapshot;
use model::snapshot::FORMAT_VERSION;
use serde::Deserialize;

use crate::error::Error;

/// A level at which compressing is faster than reading the catalog was.
const COMPRESSION_LEVEL: i32 = 9;

/// The first bytes of a zstd frame (RFC 8878, 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What a file may unpack to, whatever its size.
const SMALL: u64 = 64 << 20;
/// How many times its size a larger file may unpack to. Snapshots of many equal tables reach a few dozen times.
const RATIO: u64 = 250;
/// More than any snapshot has.
const LARGEST: u64 = 4 << 30;

/// Writes a snapshot. It holds values of user data (most common values, histogram bounds, constants
/// of utility statements), so only its owner may read it.
///
/// # Errors
/// [`Error::SnapshotFile`].
pub fn save(path: &Path, snapshot: &Snapshot) -> Result<(), Error> {
    let failed = |error: std::io::Error| file_error(path, "could not be written", Some(error.to_string()));
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        let detail = format!("There is no folder \"{}\"", directory.display());
        return Err(file_error(path, "could not be written", Some(detail)));
    }
    // A named temporary file has mode 0600 and is removed when anything below fails. Its own name says
    // nothing to the user, so of an error only the kind is told.
    let unmade = |error: std::io::Error| failed(error.kind().into());
    let mut file = tempfile::Builder::new().prefix(".pgwright-").tempfile_in(directory).map_err(unmade)?;
    let mut encoder =
        zstd::Encoder::new(BufWriter::new(file.as_file_mut()), COMPRESSION_LEVEL).map_err(failed)?;
    encoder.include_checksum(true).map_err(failed)?;
    serde_json::to_writer(&mut encoder, snapshot).map_err(|error| failed(error.into()))?;
    let mut writer = encoder.finish().map_err(failed)?;
    writer.flush().map_err(failed)?;
    drop(writer);
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Reads a snapshot. Memory is bounded: a file that unpacks to far more than snapshots do is refused on the way.
///
/// # Errors
/// [`Error::SnapshotFile`], which tells a missing, a foreign, a cut-off and a too new file apart.
pub fn load(path: &Path) -> Result<Snapshot, Error> {
    /// The rest of a newer format need not fit today's structs.
    #[derive(Deserialize)]
    struct Head {
        format_version: u32,
    }
    let too_new = |found: u32| {
        let detail = format!("It has format version {found}; this pgwright reads up to {FORMAT_VERSION}");
        file_error(path, "was written by a newer pgwright", Some(detail))
    };
    match read::<Snapshot>(path) {
        Ok(snapshot) if snapshot.format_version > FORMAT_VERSION => Err(too_new(snapshot.format_version)),
        Ok(snapshot) => Ok(snapshot),
        Err(Unread::Error(error)) => Err(error),
        Err(Unread::Unfit(reason)) => match read::<Head>(path) {
            Ok(head) if head.format_version > FORMAT_VERSION => Err(too_new(head.format_version)),
            Ok(_) => Err(file_error(path, "does not hold a complete snapshot", Some(reason))),
            Err(_) => Err(foreign(path)),
        },
    }
}

/// Why a file was not read.
enum Unread {
    Error(Error),
    /// It is JSON of another form, or no JSON.
    Unfit(String),
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Unread> {
    let unreadable =
        |error: std::io::Error| Unread::Error(file_error(path, "could not be read", Some(error.to_string())));
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut reader = BufReader::new(file);
    let mut magic = [0; 4];
    match reader.read_exact(&mut magic) {
        Ok(()) if magic == ZSTD_MAGIC => {}
        Ok(()) => return Err(Unread::Error(foreign(path))),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(Unread::Error(foreign(path)));
        }
        Err(error) => return Err(unreadable(error)),
    }
    let damaged = |error: &dyn std::fmt::Display| {
        Unread::Error(file_error(path, "is cut off or damaged", Some(format!("zstd: {error}"))))
    };
    let whole = std::io::Cursor::new(magic).chain(reader);
    let decoder = zstd::Decoder::with_buffer(BufReader::new(whole)).map_err(|error| damaged(&error))?;
    let most = SMALL.max(size.saturating_mul(RATIO)).min(LARGEST);
    let mut unpacked = Unpacked { decoder, left: most, failed: None };
    let unfit = match serde_json::from_reader(BufReader::with_capacity(1 << 16, &mut unpacked)) {
        Ok(value) => return Ok(value),
        Err(error) => error.to_string(),
    };
    if unpacked.failed.is_none() {
        // Damage may show as other text before the checksum at the end tells of it; what ends the reading is kept.
        let _ = std::io::copy(&mut unpacked, &mut std::io::sink());
    }
    Err(match unpacked.failed {
        Some(Stopped::Damaged(error)) => damaged(&error),
        Some(Stopped::TooMuch) => Unread::Error(file_error(
            path,
            "is not a snapshot of pgwright",
            Some(format!("Its {size} bytes unpack to more than {most}, which no snapshot does")),
        )),
        None => Unread::Unfit(unfit),
    })
}

enum Stopped {
    Damaged(std::io::Error),
    TooMuch,
}

/// What comes out of a decoder, up to a number of bytes; keeps why it ended early.
struct Unpacked<R> {
    decoder: R,
    left: u64,
    failed: Option<Stopped>,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.decoder.read(buffer) {
            Ok(length) if length as u64 > self.left => {
                self.failed = Some(Stopped::TooMuch);
                Err(std::io::ErrorKind::FileTooLarge.into())
            }
            Ok(length) => {
                self.left -= length as u64;
                Ok(length)
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(Stopped::Damaged(error));
                Err(kind.into())
            }
        }
    }
}

fn foreign(path: &Path) -> Error {
    file_error(path, "is not a snapshot of pgwright", None)
}

fn file_error(path: &Path, what: &str, detail: Option<String>) -> Error {
    Error::SnapshotFile {
        path: path.to_owned(),
        what: what.to_owned(),
        detail: detail.map(|d| format!("{d}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        let error = load(&path).unwrap_err();
        let text = error.to_string();
        text.replace(&format!("snapshot file \"{}\" ", path.display()), "")
    }

    #[test]
    fn what_is_not_a_snapshot_is_told_apart() {
        assert_eq!(message(b""), "is not a snapshot of pgwright");
        assert_eq!(message(b"{\"format_version\":1}"), "is not a snapshot of pgwright");
        let foreign = zstd::encode_all(&b"PK something"[..], 1).unwrap();
        assert_eq!(message(&foreign), "is not a snapshot of pgwright");
        let newer = zstd::encode_all(&b"{\"format_version\":999,\"new\":[]}"[..], 1).unwrap();
        assert_eq!(message(&newer), "was written by a newer pgwright");
        let partial = zstd::encode_all(&b"{\"format_version\":1}"[..], 1).unwrap();
        assert_eq!(message(&partial), "does not hold a complete snapshot");
        assert_eq!(message(&partial[..partial.len() - 3]), "is cut off or damaged");
        let small = zstd::encode_all(&b"{\"format_version\":1} and more"[..], 1).unwrap();
        assert_eq!(message(&small), "is not a snapshot of pgwright");
        let bomb = Read::chain(
            &b"{\"format_version\":1,\"schema_sql\":\""[..],
            std::io::repeat(b'x').take(SMALL + 1),
        );
        let bomb = zstd::encode_all(bomb, 1).unwrap();
        assert!(bomb.len() < 100_000);
        assert_eq!(message(&bomb), "is not a snapshot of pgwright");
        let missing = load(Path::new("/nonexistent/x")).unwrap_err();
        assert_eq!(missing.to_string(), "snapshot file \"/nonexistent/x\" could not be read");
    }
}
