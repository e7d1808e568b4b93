//! How does a file get onto the disk so that a half-written one never looks whole? Under another name, flushed, renamed,
//! and its folder flushed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::ArchiveError;

/// A folder of archives.
#[derive(Clone, Debug)]
pub(super) struct Folder(pub PathBuf);

impl Folder {
    pub fn shown(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub fn make(&self) -> Result<(), ArchiveError> {
        fs::create_dir_all(&self.0).map_err(ArchiveError::file("make folder", &self.0))
    }

    /// The names of its files; none when there is no folder.
    pub fn names(&self) -> Result<Vec<String>, ArchiveError> {
        let failed = || ArchiveError::file("read folder", &self.0);
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed())?,
        };
        let names: io::Result<Vec<_>> = entries.map(|entry| entry.map(|e| e.file_name())).collect();
        Ok(names.map_err(failed())?.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    /// A small file; `None` when there is none.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        let path = self.0.join(name);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(ArchiveError::file("read", &path)),
        }
    }

    /// Writes a small file.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let mut file = PartialFile::begin(&self.0.join(name))?;
        file.write(bytes)?;
        file.finish()
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) -> Result<(), ArchiveError> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(ArchiveError::file("remove", &path)(error)),
            Ok(()) => flush(&self.0),
        }
    }

    /// Opens a file to be read from the disk.
    pub fn open(&self, name: &str) -> Result<File, ArchiveError> {
        let path = self.0.join(name);
        let file = File::open(&path).map_err(ArchiveError::file("read", &path))?;
        // What is read back should come from the disk and not from memory.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        Ok(file)
    }

    pub fn begin(&self, name: &str) -> Result<PartialFile, ArchiveError> {
        PartialFile::begin(&self.0.join(name))
    }
}

/// A name is on the disk when its folder is.
fn flush(folder: &Path) -> Result<(), ArchiveError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(ArchiveError::file("flush folder", folder))
}

/// A file that is being written; it is removed unless it was finished.
pub(super) struct PartialFile {
    path: PathBuf,
    partial: PathBuf,
    file: File,
}

impl PartialFile {
    fn begin(path: &Path) -> Result<Self, ArchiveError> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).map_err(ArchiveError::file("write", &partial))?;
        Ok(Self { path: path.to_owned(), partial, file })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.file.write_all(bytes).map_err(ArchiveError::file("write", &self.partial))
    }

    /// Flushes it to the disk and gives it its name.
    pub fn finish(&mut self) -> Result<(), ArchiveError> {
        self.file.sync_all().map_err(ArchiveError::file("write", &self.partial))?;
        fs::rename(&self.partial, &self.path).map_err(ArchiveError::file("rename", &self.partial))?;
        self.path.parent().map_or(Ok(()), flush)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // After finish() there is no file of this name any more.
        let _ = fs::remove_file(&self.partial);
    }
}
