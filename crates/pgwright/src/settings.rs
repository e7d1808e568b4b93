//! Which database, which programs, which limits? Options resolved once into plain structs:
//! the command line first, then `PGWRIGHT_URL`, then `pgwright.toml`, then libpq's own variables.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::error::CommandError;

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
pub struct GlobalArgs {
    /// The database: a libpq URL or a key=value string. A bare postgres:// argument works as well.
    #[arg(long, short = 'd', global = true, value_name = "URL")]
    pub url: Option<String>,
    /// The configuration file; pgwright.toml in this folder by default.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write data as JSON with a versioned schema.
    #[arg(long, global = true)]
    pub json: bool,
    /// Leave out status lines and progress.
    #[arg(long, short = 'q', global = true)]
    pub quiet: bool,
    /// The folder of the PostgreSQL programs (postgres, initdb, pg_dump) for the planner twin.
    #[arg(long, global = true, value_name = "DIR", env = "PGWRIGHT_BIN_DIR")]
    pub bin_dir: Option<PathBuf>,
}

/// `pgwright.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The database.
    pub url: Option<String>,
    /// The folder of the PostgreSQL programs.
    pub bin_dir: Option<PathBuf>,
    /// How long a change may wait for a lock, in milliseconds.
    pub lock_timeout_ms: Option<u64>,
    /// How long one of pgwright's own queries may run, in milliseconds.
    pub statement_timeout_ms: Option<u64>,
    /// When a check on plans says something.
    #[serde(default)]
    pub checks: plan::Thresholds,
    /// When `check` takes a statement for worse.
    #[serde(default)]
    pub check: advice::regression::Gates,
    /// Which checks `lint` makes, and what it lets be.
    #[serde(default)]
    pub lint: advice::schema::Settings,
    /// The partitioned tables that `partition run` looks after.
    #[serde(default)]
    pub partition_set: Vec<partitioning::settings::SetSettings>,
    /// Which alerts `serve` judges, and who is told.
    #[serde(default)]
    pub alerts: alerting::Settings,
    /// Options of `serve`.
    #[serde(default)]
    pub serve: crate::commands::serve::ServeSettings,
    /// How the buckets of `archive = "s3://…"` are reached.
    #[serde(default)]
    pub object_storage: ObjectStorageFile,
}

/// `[object_storage]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectStorageFile {
    /// The address of S3-compatible storage that is not Amazon's.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Whether the bucket stands in the path instead of the name of the host.
    pub path_style: Option<bool>,
    /// Certificates that are trusted beside the system's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Who.
    pub access_key_id: Option<String>,
    /// The file that holds the secret.
    pub secret_access_key_file: Option<PathBuf>,
}

/// Everything resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The connection string, or `None` for libpq's variables and defaults.
    pub url: Option<String>,
    /// The environment handed to the libraries, which read none themselves.
    pub environment: postgres::Environment,
    /// The folder of the PostgreSQL programs, when one was named.
    pub bin_dir: Option<PathBuf>,
    /// `PATH`, to look for PostgreSQL programs.
    pub path: Option<std::ffi::OsString>,
    /// How long a change may wait for a lock.
    pub lock_timeout: Duration,
    /// How long one of pgwright's own queries may run.
    pub statement_timeout: Duration,
    /// When a check on plans says something.
    pub checks: plan::Thresholds,
    /// When `check` takes a statement for worse.
    pub gates: advice::regression::Gates,
    /// Which checks `lint` makes, and what it lets be.
    pub lint: advice::schema::Settings,
    /// The partitioned tables that `partition run` looks after.
    pub partition_sets: Vec<partitioning::settings::SetSettings>,
    /// Which alerts `serve` judges, and who is told.
    pub alerts: alerting::Settings,
    /// Options of `serve`.
    pub serve: crate::commands::serve::ServeSettings,
    /// How the buckets of archives are reached.
    pub object_storage: ObjectStorageFile,
}

impl Settings {
    /// Resolves the options of this run.
    ///
    /// # Errors
    /// Fails when the configuration file is missing though named, or cannot be understood.
    pub fn resolve(global: &GlobalArgs) -> Result<Self, CommandError> {
        let file = read_file(global.config.as_deref())?;
        let variables = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect::<std::collections::BTreeMap<_, _>>();
        let from_variable = variables.get("PGWRIGHT_URL").filter(|u| !u.is_empty()).cloned();
        let home = variables.get("HOME").map(PathBuf::from);
        // libpq asks the system who runs the process, whatever USER says.
        let user = whoami::fallible::username().ok().or_else(|| variables.get("USER").cloned());
        Ok(Self {
            url: global.url.clone().or(from_variable).or(file.url),
            environment: postgres::Environment { vars: variables, home, user },
            bin_dir: global.bin_dir.clone().or(file.bin_dir),
            path: std::env::var_os("PATH"),
            lock_timeout: Duration::from_millis(file.lock_timeout_ms.unwrap_or(2_000)),
            statement_timeout: Duration::from_millis(file.statement_timeout_ms.unwrap_or(60_000)),
            checks: known(file.checks)?,
            gates: file.check,
            lint: file.lint,
            partition_sets: file.partition_set,
            alerts: file.alerts,
            serve: file.serve,
            object_storage: file.object_storage,
        })
    }

    /// How buckets of archives are reached: variables `AWS_…` first, then the file.
    ///
    /// # Errors
    /// Fails when the file of the secret cannot be read.
    pub fn object_storage(&self) -> Result<apply::partition_archive::ObjectStorage, CommandError> {
        let file = &self.object_storage;
        let mut variables: std::collections::BTreeMap<String, String> = self
            .environment
            .vars
            .iter()
            .filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // Half a key from here and half from there would be none.
        if !variables.contains_key("AWS_ACCESS_KEY_ID")
            && !variables.contains_key("AWS_SECRET_ACCESS_KEY")
            && let Some(id) = &file.access_key_id
        {
            let secret = match &file.secret_access_key_file {
                Some(path) => std::fs::read_to_string(path).map_err(|e| {
                    CommandError::new(format!("could not read \"{}\"", path.display()))
                        .detail(format!("{e}."))
                        .hint("It is the \"secret_access_key_file\" of [object_storage] in pgwright.toml.")
                })?,
                None => {
                    return Err(CommandError::new(
                        "[object_storage] has an access_key_id without its secret",
                    )
                    .hint("Name the file that holds it as secret_access_key_file."));
                }
            };
            variables.insert("AWS_ACCESS_KEY_ID".to_owned(), id.clone());
            variables.insert("AWS_SECRET_ACCESS_KEY".to_owned(), secret.trim_end().to_owned());
        }
        Ok(apply::partition_archive::ObjectStorage {
            endpoint: file.endpoint.clone(),
            region: file.region.clone(),
            path_style: file.path_style,
            ca_file: file.ca_file.clone(),
            variables,
        })
    }

    /// The database that was asked for.
    ///
    /// # Errors
    /// Fails when the connection string or a file that it names cannot be understood.
    pub fn target(&self) -> Result<postgres::Target, CommandError> {
        Ok(postgres::Target::parse(self.url.as_deref(), &self.environment)?)
    }

    /// The database of another connection string, with the same surroundings.
    ///
    /// # Errors
    /// Fails when it cannot be understood.
    pub fn target_of(&self, url: &str) -> Result<postgres::Target, CommandError> {
        Ok(postgres::Target::parse(Some(url), &self.environment)?)
    }

    /// The folder in which advice is kept between `advise` and `apply`, by the XDG rules.
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.own_dir("XDG_STATE_HOME", ".local/state")
    }

    /// The folder for what can be made anew, by the XDG rules.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        self.own_dir("XDG_CACHE_HOME", ".cache")
    }

    fn own_dir(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let named = self.environment.vars.get(variable).filter(|d| Path::new(d).is_absolute());
        let base =
            named.map(PathBuf::from).or_else(|| self.environment.home.as_ref().map(|h| h.join(below_home)));
        base.map(|b| b.join("pgwright"))
    }
}

/// Refuses ids of checks that do not exist, so that a typing mistake does not switch off nothing.
fn known(checks: plan::Thresholds) -> Result<plan::Thresholds, CommandError> {
    let exists = |id: &String| plan::checks::CHECKS.iter().any(|c| c.id == id);
    match checks.disabled.iter().find(|id| !exists(id)) {
        Some(id) => Err(CommandError::new(format!("there is no check \"{id}\""))
            .detail("It stands in \"disabled\" of [checks] in pgwright.toml.")
            .hint("The checks are listed in docs/reference/checks.md.")),
        None => Ok(checks),
    }
}

fn read_file(named: Option<&Path>) -> Result<File, CommandError> {
    let path = named.unwrap_or(Path::new("pgwright.toml"));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if named.is_none() && e.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(e) => {
            return Err(CommandError::new(format!("could not read \"{}\"", path.display()))
                .detail(format!("{e}."))
                .hint(
                    "Name another file with --config, or create it; see docs/reference/configuration.md.",
                ));
        }
    };
    toml::from_str(&text).map_err(|e| {
        CommandError::new(format!("could not understand \"{}\"", path.display()))
            .detail(mistake(&text, &e))
            .hint("The keys are listed in docs/reference/configuration.md.")
    })
}

/// What is wrong and where, in a sentence.
fn mistake(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim().replace('\n', ", ");
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => {
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!("Line {line}, column {column}: {message}.")
        }
        None => format!("{message}."),
    }
}
