//! Where do archives lie, and what is one called? In a folder or in a bucket, which are written and read alike.

use std::path::{Path, PathBuf};

use model::QualifiedName;
use partitioning::ArchiveLocation;

use super::ArchiveError;
use super::bucket::{Bucket, ObjectStorage, Upload};
use super::digest::{Tally, Total};
use super::folder::Folder;
use super::manifest::{Manifest, VERSION};
use super::stream::{Reading, Sink, Source, Writing};

/// The longest name of a file, without what follows the last dot.
const LONGEST_STEM: usize = 200;

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

/// A folder or a bucket of archives.
#[derive(Clone, Debug)]
pub struct Store(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Folder(Folder),
    Bucket(Bucket),
}

/// One archive, by its manifest.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Store,
    manifest: String,
}

impl Store {
    /// A folder, or the bucket and prefix of `s3://bucket/prefix`. Nothing is asked yet.
    ///
    /// # Errors
    /// When it cannot be understood, or what is known of the storage is not enough.
    pub fn open(location: &str, storage: &ObjectStorage) -> Result<Self, ArchiveError> {
        let kind = match ArchiveLocation::parse(location).map_err(ArchiveError::Unfit)? {
            ArchiveLocation::Folder(folder) => Kind::Folder(Folder(PathBuf::from(folder))),
            ArchiveLocation::Bucket { bucket, prefix } => {
                Kind::Bucket(Bucket::open(&bucket, &prefix, storage)?)
            }
        };
        Ok(Self(kind))
    }

    /// A file or an object, for people.
    pub(super) fn shown(&self, name: &str) -> String {
        match &self.0 {
            Kind::Folder(folder) => folder.shown(name),
            Kind::Bucket(bucket) => bucket.shown(name),
        }
    }

    /// Its archives with their manifests, the oldest first. What is no manifest is passed over.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn list(&self) -> Result<Vec<(Archive, Manifest)>, ArchiveError> {
        let names = match &self.0 {
            Kind::Folder(folder) => folder.names()?,
            Kind::Bucket(bucket) => bucket.names().await?,
        };
        let mut found = Vec::new();
        for name in names.into_iter().filter(|name| name.ends_with(".json")) {
            let archive = Archive { store: self.clone(), manifest: name };
            match archive.read_manifest().await {
                Ok(manifest) => found.push((archive, manifest)),
                Err(ArchiveError::NoManifest { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by(|a, b| (&a.1.archived_at, &a.0.manifest).cmp(&(&b.1.archived_at, &b.0.manifest)));
        Ok(found)
    }

    /// Writes something and removes it: what takes no archives is found before anything is detached.
    pub(crate) async fn probe(&self) -> Result<(), ArchiveError> {
        let name = format!(".pgwright-{}", uuid::Uuid::new_v4());
        self.make()?;
        self.put(&name, b"?".to_vec()).await?;
        self.remove(&name).await
    }

    /// Makes the folder; buckets are made by those who pay for them.
    pub(super) fn make(&self) -> Result<(), ArchiveError> {
        match &self.0 {
            Kind::Folder(folder) => folder.make(),
            Kind::Bucket(_) => Ok(()),
        }
    }

    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        match &self.0 {
            Kind::Folder(folder) => folder.put(name, &bytes),
            Kind::Bucket(bucket) => bucket.put(name, bytes).await,
        }
    }

    async fn remove(&self, name: &str) -> Result<(), ArchiveError> {
        match &self.0 {
            Kind::Folder(folder) => folder.remove(name),
            Kind::Bucket(bucket) => bucket.remove(name).await,
        }
    }

    /// Begins to write rows; how large the table is says how much is sent at once.
    pub(super) async fn begin_writing(&self, name: &str, table_bytes: u64) -> Result<Writing, ArchiveError> {
        let sink = match &self.0 {
            Kind::Folder(folder) => Sink::File(folder.begin(name)?),
            Kind::Bucket(bucket) => {
                bucket.abandon(name).await?;
                Sink::Object(Upload::begin(bucket, name, table_bytes)?)
            }
        };
        let path = self.shown(name);
        Writing::new(sink).map_err(|source| ArchiveError::File { doing: "write", path, source })
    }

    /// Begins to read rows.
    pub(super) async fn begin_reading(&self, name: &str) -> Result<Reading, ArchiveError> {
        let source = match &self.0 {
            Kind::Folder(folder) => Source::File(folder.open(name)?),
            Kind::Bucket(bucket) => Source::Object(bucket.stream(name).await?),
        };
        Reading::new(source, self.shown(name))
    }

    /// Reads rows to their end, from where they are kept.
    pub(super) async fn read_back(&self, name: &str) -> Result<Total, ArchiveError> {
        let mut reading = self.begin_reading(name).await?;
        let mut tally = Tally::new();
        while let Some(piece) = reading.next().await? {
            tally.add(piece);
        }
        tally.total().ok_or_else(|| {
            ArchiveError::Differs(format!("\"{}\" ends in the middle of a row", self.shown(name)))
        })
    }
}

impl std::fmt::Display for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.store.shown(&self.manifest))
    }
}

impl Archive {
    /// The archive of a manifest, which is the path of a file or `s3://bucket/prefix/name.json`. Nothing is read yet.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn open(manifest: &str, storage: &ObjectStorage) -> Result<Self, ArchiveError> {
        let (location, name) = match manifest.rsplit_once('/') {
            Some(("", name)) => ("/", name),
            Some(found) => found,
            None => (".", manifest),
        };
        Ok(Self { store: Store::open(location, storage)?, manifest: name.to_owned() })
    }

    /// The archive of this name, without what follows the last dot.
    pub(super) fn of(store: Store, stem: &str) -> Self {
        Self { store, manifest: format!("{stem}.json") }
    }

    /// Where it is.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Reads its manifest.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub async fn read_manifest(&self) -> Result<Manifest, ArchiveError> {
        let text = match &self.store.0 {
            Kind::Folder(folder) => folder.get(&self.manifest)?,
            Kind::Bucket(bucket) => bucket.get(&self.manifest).await?,
        };
        let wrong = |reason: String| ArchiveError::NoManifest { path: self.to_string(), reason };
        let text = text.ok_or_else(|| wrong("it is not there".to_owned()))?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
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

    /// Writes the manifest, the last of an archive.
    pub(super) async fn write_manifest(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let mut text = serde_json::to_string_pretty(manifest)
            .map_err(|e| ArchiveError::Unfit(format!("the manifest could not be written as JSON: {e}")))?;
        text.push('\n');
        self.store.put(&self.manifest, text.into_bytes()).await
    }

    /// Removes the manifest, so that what is beside it can be written anew.
    pub(super) async fn remove_manifest(&self) -> Result<(), ArchiveError> {
        self.store.remove(&self.manifest).await
    }
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
