//! What every command needs: the resolved settings, the printer, and the ways to a snapshot.

use std::path::PathBuf;

use cluster::{Binaries, Search};
use model::Snapshot;
use postgres::{Session, SessionOptions, Target};

use crate::error::CommandError;
use crate::printer::Printer;
use crate::settings::{GlobalArgs, Settings};

/// The surroundings of one run.
#[derive(Debug)]
pub struct Context {
    /// Options resolved.
    pub settings: Settings,
    /// The only writer to the terminal.
    pub printer: Printer,
}

/// Where a snapshot comes from.
#[derive(clap::Args, Clone, Debug)]
pub struct SnapshotSource {
    /// Read this snapshot file instead of a server.
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
}

impl Context {
    /// Puts the surroundings together.
    pub fn new(settings: Settings, global: &GlobalArgs) -> Self {
        Self { settings, printer: Printer::new(global.json, global.quiet) }
    }

    /// The same surroundings with other settings, for what runs beside this.
    pub fn for_another(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.settings.clone();
        change(&mut settings);
        Self { settings, printer: self.printer.clone() }
    }

    /// The database that was asked for.
    ///
    /// # Errors
    /// Fails when the connection string cannot be understood.
    pub fn target(&self) -> Result<Target, CommandError> {
        let target = self.settings.target()?;
        if let Some(note) = target.passfile_note() {
            self.printer.status(&format!("warning: {note}"));
        }
        Ok(target)
    }

    /// Options of a session that only reads the catalog.
    pub fn reading(&self) -> SessionOptions {
        SessionOptions {
            statement_timeout: Some(self.settings.statement_timeout),
            lock_timeout: Some(self.settings.lock_timeout),
            read_only: true,
            ..SessionOptions::default()
        }
    }

    /// Options of a session that plans a user's statements, whose names mean what they mean to the role.
    pub fn planning(&self) -> SessionOptions {
        SessionOptions {
            lock_timeout: Some(self.settings.lock_timeout),
            read_only: true,
            ..SessionOptions::for_user_statements()
        }
    }

    /// Opens a session that only reads the catalog.
    ///
    /// # Errors
    /// Fails when the server cannot be reached or refuses.
    pub async fn connect(&self, target: &Target) -> Result<Session, CommandError> {
        Ok(target.connect(&self.reading()).await?)
    }

    /// The PostgreSQL programs on this machine, newest first.
    pub fn search(&self) -> Search {
        Search {
            explicit: self.settings.bin_dir.clone(),
            path: self.settings.path.clone(),
            ..Search::default()
        }
    }

    /// The newest `pg_dump` on this machine: it dumps every older server. Client programs often come in
    /// packages of their own, newer than the server's, so those in the path count as well.
    ///
    /// # Errors
    /// Fails when none is found.
    pub fn pg_dump(&self) -> Result<PathBuf, CommandError> {
        let beside_servers: Vec<PathBuf> =
            Binaries::discover(&self.search()).iter().filter_map(|b| b.program("pg_dump")).collect();
        // A folder that the user named is meant.
        if let (Some(_), Some(named)) = (&self.settings.bin_dir, beside_servers.first()) {
            return Ok(named.clone());
        }
        let in_path = self
            .settings
            .path
            .iter()
            .flat_map(|p| std::env::split_paths(p).collect::<Vec<_>>())
            .map(|d| d.join("pg_dump"))
            .filter(|p| p.is_file());
        let mut found: Vec<(Option<u32>, PathBuf)> = beside_servers
            .into_iter()
            .chain(in_path)
            .map(|path| (cluster::client_major(&path), path))
            .collect();
        // Of equal versions the first, which is the one beside a server.
        found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
        found.into_iter().next().map(|(_, path)| path).ok_or_else(|| {
            CommandError::new("could not find pg_dump")
                .detail("A snapshot holds the schema as pg_dump writes it.")
                .hint("Install the PostgreSQL client programs, or name their folder with --bin-dir.")
        })
    }

    /// The snapshot of the file that was named, or of the server.
    ///
    /// # Errors
    /// Fails when the file cannot be read or the server cannot be reached.
    pub async fn snapshot(&self, source: &SnapshotSource) -> Result<Snapshot, CommandError> {
        if let Some(path) = &source.snapshot {
            return Ok(postgres::snapshot_file::load(path)?);
        }
        let target = self.target()?;
        self.snapshot_of(&target).await
    }

    /// The snapshot of a server.
    ///
    /// # Errors
    /// Fails when the server cannot be reached or pg_dump is missing or too old.
    pub async fn snapshot_of(&self, target: &Target) -> Result<Snapshot, CommandError> {
        let session = self.connect(target).await?;
        let spinner = self.printer.spinner("reading the catalog and the statistics");
        let options = postgres::SnapshotOptions::new(self.pg_dump()?);
        let snapshot = postgres::snapshot::read(&session, target, &options).await;
        spinner.finish_and_clear();
        Ok(snapshot?)
    }
}
