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

/// More than any snapshot has; a file that unpacks to more is not one.
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

/// Reads a snapshot.
///
/// # Errors
/// [`Error::SnapshotFile`], which tells a missing, a foreign, a cut-off and a too new file apart.
pub fn load(path: &Path) -> Result<Snapshot, Error> {
    let unreadable = |error: std::io::Error| file_error(path, "could not be read", Some(error.to_string()));
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut magic = [0; 4];
    match reader.read_exact(&mut magic) {
        Ok(()) if magic == ZSTD_MAGIC => {}
        Ok(()) => return Err(foreign(path)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(foreign(path)),
        Err(error) => return Err(unreadable(error)),
    }
    let whole = std::io::Cursor::new(magic).chain(reader);
    let mut json = Vec::new();
    zstd::Decoder::with_buffer(BufReader::new(whole))
        .map(|decoder| decoder.take(LARGEST))
        .and_then(|mut decoder| decoder.read_to_end(&mut json))
        .map_err(|error| file_error(path, "is cut off or damaged", Some(format!("zstd: {error}"))))?;
    // The version first: the rest of a newer format need not fit today's structs.
    #[derive(Deserialize)]
    struct Head {
        format_version: u32,
    }
    let head: Head = serde_json::from_slice(&json).map_err(|_| foreign(path))?;
    if head.format_version > FORMAT_VERSION {
        let detail = format!(
            "It has format version {}; this pgwright reads up to {FORMAT_VERSION}",
            head.format_version
        );
        return Err(file_error(path, "was written by a newer pgwright", Some(detail)));
    }
    serde_json::from_slice(&json)
        .map_err(|error| file_error(path, "does not hold a complete snapshot", Some(error.to_string())))
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
        let missing = load(Path::new("/nonexistent/x")).unwrap_err();
        assert_eq!(missing.to_string(), "snapshot file \"/nonexistent/x\" could not be read");
    }
}
