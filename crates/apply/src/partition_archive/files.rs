//! How does an archive get onto the disk so that a half-written one never looks whole?

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use model::QualifiedName;

use super::ArchiveError;
use super::digest::{Tally, Total};
use super::manifest::{Manifest, VERSION};

/// zstd's own default: about as fast as a disk.
const LEVEL: i32 = 3;
/// The longest name of a file, without what follows the last dot.
const LONGEST_STEM: usize = 200;
const PIECE: usize = 64 * 1024;

/// The name under which a partition is archived: database, schema, table and time.
pub(crate) fn stem(database: &str, partition: &QualifiedName, now_micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(now_micros)
        .map_or_else(|| now_micros.to_string(), |t| t.format("%Y%m%dT%H%M%SZ").to_string());
    let parts = [database, &partition.schema, &partition.name].map(safe).join(".");
    let parts = partitioning::fitted(&parts, LONGEST_STEM).unwrap_or(parts);
    format!("{parts}.{time}")
}

/// A name with everything that a file system or a shell could take for something else in hexadecimal digits.
fn safe(name: &str) -> String {
    let mut safe = String::new();
    for c in name.chars() {
        if c.is_alphanumeric() || matches!(c, '_' | '-') {
            safe.push(c);
        } else {
            safe.push_str(&format!("%{:02X}", u32::from(c)));
        }
    }
    safe
}

/// Makes the folder, and a file in it that goes again: a full or read-only one is found before anything is detached.
pub(crate) fn probe(folder: &str) -> Result<(), ArchiveError> {
    let folder = Path::new(folder);
    fs::create_dir_all(folder).map_err(ArchiveError::file("make folder", folder))?;
    let path = folder.join(format!(".pgwright-{}.partial", std::process::id()));
    let tried = File::create(&path).and_then(|mut f| f.write_all(b"?").and_then(|()| f.sync_all()));
    let _ = fs::remove_file(&path);
    tried.map_err(ArchiveError::file("write to", folder))
}

/// Where the files of an archive are.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub folder: PathBuf,
    pub rows: PathBuf,
    pub manifest: PathBuf,
}

impl Paths {
    pub fn new(folder: &str, stem: &str) -> Self {
        let folder = PathBuf::from(folder);
        Self {
            rows: folder.join(format!("{stem}.csv.zst")),
            manifest: folder.join(format!("{stem}.json")),
            folder,
        }
    }
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// A file of rows that is being written; it is removed unless it was finished.
pub(super) struct Writing {
    path: PathBuf,
    partial: PathBuf,
    encoder: Option<zstd::stream::write::Encoder<'static, BufWriter<File>>>,
}

impl Writing {
    pub fn begin(path: &Path) -> Result<Self, ArchiveError> {
        let partial = partial(path);
        let begun = File::create(&partial).and_then(|file| {
            let mut encoder =
                zstd::stream::write::Encoder::new(BufWriter::with_capacity(PIECE, file), LEVEL)?;
            // zstd's own checksum finds a damaged block where it is.
            encoder.include_checksum(true)?;
            Ok(encoder)
        });
        let encoder = begun.map_err(ArchiveError::file("write", &partial))?;
        Ok(Self { path: path.to_owned(), partial, encoder: Some(encoder) })
    }

    pub fn write(&mut self, piece: &[u8]) -> Result<(), ArchiveError> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        encoder.write_all(piece).map_err(ArchiveError::file("write", &self.partial))
    }

    /// Flushes it to the disk and gives it its name.
    pub fn finish(mut self) -> Result<u64, ArchiveError> {
        let Some(encoder) = self.encoder.take() else { return Ok(0) };
        let flushed = encoder
            .finish()
            .and_then(|writer| writer.into_inner().map_err(io::IntoInnerError::into_error))
            .and_then(|file| file.sync_all().and_then(|()| file.metadata()));
        let bytes = flushed.map_err(ArchiveError::file("write", &self.partial))?.len();
        rename(&self.partial, &self.path)?;
        Ok(bytes)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // After finish() there is no file of this name any more.
        let _ = fs::remove_file(&self.partial);
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), ArchiveError> {
    fs::rename(from, to).map_err(ArchiveError::file("rename", from))?;
    sync_folder(to.parent())
}

/// A name is on the disk when its folder is.
fn sync_folder(folder: Option<&Path>) -> Result<(), ArchiveError> {
    let Some(folder) = folder else { return Ok(()) };
    File::open(folder).and_then(|f| f.sync_all()).map_err(ArchiveError::file("flush folder", folder))
}

/// Writes the manifest, the last of an archive.
pub(super) fn write_manifest(path: &Path, manifest: &Manifest) -> Result<(), ArchiveError> {
    let text = serde_json::to_string_pretty(manifest)
        .map_err(|e| ArchiveError::Unfit(format!("the manifest could not be written as JSON: {e}")))?;
    let partial = partial(path);
    let write = || -> io::Result<()> {
        let mut file = File::create(&partial)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(ArchiveError::file("write", &partial))?;
    rename(&partial, path)
}

/// Removes a manifest, so that what is beside it can be written anew.
pub(super) fn remove_manifest(path: &Path) -> Result<(), ArchiveError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ArchiveError::file("remove", path)(error))
        }
        _ => sync_folder(path.parent()),
    }
}

/// Reads a manifest.
///
/// # Errors
/// When it cannot be read or is none.
pub fn read_manifest(path: &Path) -> Result<Manifest, ArchiveError> {
    let wrong = |reason: String| ArchiveError::NoManifest { path: path.display().to_string(), reason };
    let text = fs::read_to_string(path).map_err(ArchiveError::file("read", path))?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    if manifest.pgwright_archive > VERSION {
        return Err(wrong(format!(
            "it has version {}, this program knows {VERSION}",
            manifest.pgwright_archive
        )));
    }
    // Another folder's files are not read through a manifest.
    if Path::new(&manifest.file).file_name().is_none_or(|name| name != manifest.file.as_str()) {
        return Err(wrong(format!("it names the file \"{}\", which is not beside it", manifest.file)));
    }
    Ok(manifest)
}

/// The archives of a folder with their manifests, the oldest first. What is no manifest is passed over.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<(PathBuf, Manifest)>, ArchiveError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(ArchiveError::file("read folder", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(ArchiveError::file("read folder", folder))?.path();
        if path.extension().is_some_and(|e| e == "json")
            && let Ok(manifest) = read_manifest(&path)
        {
            found.push((path, manifest));
        }
    }
    found.sort_by(|a, b| (&a.1.archived_at, &a.0).cmp(&(&b.1.archived_at, &b.0)));
    Ok(found)
}

/// The rows of an archive, piece by piece.
pub(super) struct Reading {
    path: PathBuf,
    decoder: zstd::stream::read::Decoder<'static, BufReader<File>>,
    piece: Vec<u8>,
}

impl Reading {
    pub fn begin(path: &Path) -> Result<Self, ArchiveError> {
        let open = || -> io::Result<_> {
            let file = File::open(path)?;
            // What is read back should come from the disk and not from memory.
            #[cfg(target_os = "linux")]
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
            zstd::stream::read::Decoder::new(file)
        };
        let decoder = open().map_err(ArchiveError::file("read", path))?;
        Ok(Self { path: path.to_owned(), decoder, piece: vec![0; PIECE] })
    }

    /// The next piece; `None` at the end.
    pub fn next(&mut self) -> Result<Option<&[u8]>, ArchiveError> {
        let read = self.decoder.read(&mut self.piece).map_err(ArchiveError::file("read", &self.path))?;
        Ok(self.piece.get(..read).filter(|piece| !piece.is_empty()))
    }
}

/// Reads the rows of an archive from the disk to their end.
pub(super) fn read_back(path: &Path) -> Result<Total, ArchiveError> {
    let mut reading = Reading::begin(path)?;
    let mut tally = Tally::new();
    while let Some(piece) = reading.next()? {
        tally.add(piece);
    }
    tally
        .total()
        .ok_or_else(|| ArchiveError::Differs(format!("\"{}\" ends in the middle of a row", path.display())))
}

/// Whether what was read back is what the manifest says.
pub(super) fn agrees(manifest: &Manifest, total: &Total) -> bool {
    manifest.rows == total.rows
        && manifest.csv_bytes == total.bytes
        && manifest.csv_sha256 == total.sha256
        && manifest.row_sum == total.row_sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_hold_no_slash_no_dot_of_their_own_and_are_not_too_long() {
        let name = QualifiedName::new("My Schema", "a\"b.c/../x");
        assert_eq!(stem("db", &name, 0), "db.My%20Schema.a%22b%2Ec%2F%2E%2E%2Fx.19700101T000000Z");
        let long = QualifiedName::new("\"".repeat(63), "/".repeat(63));
        assert!(stem("db", &long, 0).len() < 230);
    }
}
