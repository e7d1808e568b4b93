//! What outlives a restart? Silences, what is pending and firing since when, and who was told of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::judge::Active;
use crate::labels::Labels;
use crate::outbox::Told;
use crate::silences::Silence;

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The version of its form.
    pub version: u32,
    pub silences: Vec<Silence>,
    pub active: Vec<KeptAlert>,
    /// By the name of the receiver.
    pub told: BTreeMap<String, Told>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptAlert {
    pub alert: String,
    pub labels: Labels,
    #[serde(flatten)]
    pub active: Active,
}

const VERSION: u32 = 1;

/// Reads the file; nothing is kept when it is not there.
///
/// # Errors
/// When it cannot be read or understood.
pub(crate) fn read(file: &Path) -> Result<Kept, Error> {
    let wrong = |reason: String| Error::StateFile { file: file.display().to_string(), reason };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(e) => return Err(wrong(format!("{e}."))),
    };
    let kept: Kept =
        serde_json::from_str(&text).map_err(|e| wrong(format!("It is not of this form: {e}.")))?;
    match kept.version {
        VERSION => Ok(kept),
        other => Err(wrong(format!("It is of version {other}; this pgwright reads {VERSION}."))),
    }
}

/// Writes the file, as a whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(file: &Path, mut kept: Kept) -> Result<(), Error> {
    let wrong = |reason: String| Error::StateFile { file: file.display().to_string(), reason };
    kept.version = VERSION;
    let text = serde_json::to_string(&kept).map_err(|e| wrong(format!("{e}.")))?;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = file.with_file_name(name);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        // Labels can hold names of the database.
        .mode(0o600)
        .open(&beside)
        .and_then(|mut opened| {
            opened.write_all(text.as_bytes())?;
            opened.sync_all()
        })
        .and_then(|()| std::fs::rename(&beside, file));
    written.map_err(|e| wrong(format!("{e}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Phase;

    #[test]
    fn what_is_written_is_read_and_what_is_broken_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alerts.json");
        assert_eq!(read(&file).unwrap(), Kept::default());
        let active = Active {
            phase: Phase::Firing,
            since_ms: 1,
            fired_ms: Some(2),
            resolved_ms: None,
            value: 0.5,
            kept: false,
        };
        let labels = [("datname", "a\"b")].into_iter().collect();
        let kept = Kept {
            version: VERSION,
            silences: Vec::new(),
            active: vec![KeptAlert { alert: "A".into(), labels, active }],
            told: [("ops".to_owned(), Told::default())].into(),
        };
        write(&file, kept.clone()).unwrap();
        assert_eq!(read(&file).unwrap(), kept);
        std::fs::write(&file, "{").unwrap();
        assert!(read(&file).is_err());
        std::fs::write(&file, "{\"version\":9,\"silences\":[],\"active\":[],\"told\":{}}").unwrap();
        assert!(read(&file).unwrap_err().detail().unwrap().contains("version 9"));
        assert!(write(&folder.path().join("nowhere/x"), kept).is_err());
    }
}
