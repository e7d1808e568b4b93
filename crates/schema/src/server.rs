//! What server does a local database stand on? One that keeps nothing safe, does nothing of its own accord, and can
//! lock thousands of partitions at once.

use std::path::PathBuf;

use cluster::{Binaries, Initdb, Server, ServerOptions, Template};

/// Where the files of a local server are made, and what they are copied from.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where the server's directory is made; `None` means in memory where so much room is, else `/tmp`.
    pub parent_dir: Option<PathBuf>,
    /// Where clusters are kept that a new server is copied from; `None` runs `initdb` each time.
    pub template_dir: Option<PathBuf>,
    /// Bytes that it takes at most.
    pub room: u64,
}

/// Starts a server with settings of its user's own beside those that each has.
///
/// # Errors
/// When the programs are not there or the server does not start.
pub async fn start_server(
    binaries: &Binaries,
    place: Place,
    own: &'static [(&'static str, &'static str)],
) -> Result<Server, cluster::Error> {
    let binaries = binaries.clone();
    let started = tokio::task::spawn_blocking(move || {
        let parent_dir = place.parent_dir.or_else(|| cluster::memory_dir(place.room));
        let initdb = Initdb { wal_segment_mb: 1, ..Initdb::default() };
        // A directory that cannot be written costs a second and nothing else.
        let template =
            place.template_dir.as_ref().and_then(|dir| Template::ensure(&binaries, dir, &initdb).ok());
        let defaults = ServerOptions::default();
        let parent_dir = parent_dir.unwrap_or_else(|| defaults.parent_dir.clone());
        let mut server = ServerOptions { initdb, template, parent_dir, ..defaults }
            .throw_away()
            // What was logged takes room in memory.
            .set("max_wal_size", "64MB")
            .set("min_wal_size", "2MB")
            .set("autovacuum", "off")
            .set("track_counts", "off")
            .set("max_wal_senders", "0")
            .set("checkpoint_timeout", "1d")
            // Statements over thousands of partitions lock each of them.
            .set("max_locks_per_transaction", "1024")
            .set("huge_pages", "off");
        if binaries.major >= 18 {
            server = server.set("io_method", "sync");
        }
        for (name, value) in own.iter().copied() {
            server = server.set(name, value);
        }
        Server::start(&binaries, server)
    });
    match started.await {
        Ok(server) => server,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
