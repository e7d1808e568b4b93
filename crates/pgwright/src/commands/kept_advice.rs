//! Where does advice stay between `advise` and `apply`? In the user's state folder, one file per
//! database, so that `apply` runs what was shown and nothing else. See
//! docs/decisions/0002-advice-is-kept-between-commands.md.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use model::Recommendation;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Context;
use crate::error::CommandError;

/// Advice as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptAdvice {
    /// The database, without its password.
    pub target: String,
    /// When it was given.
    pub advised_at: DateTime<Utc>,
    /// What was recommended, the best first.
    pub recommendations: Vec<Recommendation>,
}

/// The file of a database.
fn path_of(context: &Context, target: &str) -> Option<PathBuf> {
    let digest = Sha256::digest(target.as_bytes());
    let mut name = String::new();
    for byte in &digest[..8] {
        let _ = write!(name, "{byte:02x}");
    }
    Some(context.settings.state_dir()?.join("advice").join(format!("{name}.json")))
}

/// Names a database the same way in `advise` and `apply`.
pub fn target_name(target: &postgres::Target) -> String {
    format!("{}:{}/{}", target.host(), target.port(), target.database())
}

/// Keeps advice for `apply`; gives the file, or `None` when there is no place for state.
///
/// # Errors
/// Fails when the file cannot be written.
pub fn keep(context: &Context, advice: &KeptAdvice) -> Result<Option<PathBuf>, CommandError> {
    let Some(path) = path_of(context, &advice.target) else { return Ok(None) };
    write(&path, advice)?;
    Ok(Some(path))
}

/// Writes advice into a file.
///
/// # Errors
/// Fails when the file cannot be written.
pub fn write(path: &Path, advice: &KeptAdvice) -> Result<(), CommandError> {
    let failed = |e: &dyn std::fmt::Display| {
        CommandError::new(format!("could not write \"{}\"", path.display())).detail(format!("{e}."))
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|e| failed(&e))?;
    }
    let text = serde_json::to_string_pretty(advice).map_err(|e| failed(&e))?;
    std::fs::write(path, text).map_err(|e| failed(&e))
}

/// Reads the advice that was kept for a database, or that of a file.
///
/// # Errors
/// Fails when there is none, or the file cannot be understood. A file may be of another database, as that
/// of a snapshot is: `apply` checks every change against the database it is run on.
pub fn read(context: &Context, target: &str, file: Option<&Path>) -> Result<KeptAdvice, CommandError> {
    let path = match file {
        Some(path) => path.to_owned(),
        None => match path_of(context, target).filter(|p| p.exists()) {
            Some(path) => path,
            None => {
                return Err(CommandError::new(format!("no advice is kept for {target}"))
                    .detail("\"apply\" runs only what \"advise\" has shown.")
                    .hint("Run \"pgwright advise\" on this database first, or name a file with --advice."));
            }
        },
    };
    let text = super::read_text(&path)?;
    let advice: KeptAdvice = serde_json::from_str(&text).map_err(|e| {
        CommandError::new(format!("could not understand \"{}\"", path.display()))
            .detail(format!("{e}."))
            .hint("The file is written by \"pgwright advise --out FILE\".")
    })?;
    Ok(advice)
}
