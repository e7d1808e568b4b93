//! How does a test get a real PgBouncer in front of a real server?

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cluster::Server;

/// A pooler on a socket of its own. It goes away when it is dropped.
pub struct PgBouncer {
    child: Child,
    directory: tempfile::TempDir,
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl PgBouncer {
    /// Starts one in a `pool_mode` with so many server connections, under the account of the server,
    /// since it refuses to run as root just as PostgreSQL does.
    ///
    /// # Panics
    /// When PgBouncer is not installed or does not start.
    pub async fn start(server: &Server, mode: &str, pool_size: u32) -> Self {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("no pgbouncer; scripts/setup.sh test gets it");
        let owner = std::fs::metadata(server.data_dir()).expect("the server has a data directory");
        let directory =
            tempfile::Builder::new().prefix("pgb").tempdir_in("/tmp").expect("/tmp can be written");
        let config = directory.path().join("pgbouncer.ini");
        // `any` logs everybody in as the user of the database's entry.
        let text = format!(
            "[databases]\n* = user=postgres host={socket} port={port}\n\
             [pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {directory}\n\
             auth_type = any\npool_mode = {mode}\ndefault_pool_size = {pool_size}\n\
             logfile = {directory}/log\n",
            socket = server.socket_dir().display(),
            port = server.port(),
            directory = directory.path().display(),
        );
        std::fs::write(&config, text).expect("the configuration can be written");
        for path in [directory.path(), &config] {
            std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))
                .expect("files can be given away");
        }
        let mut command = Command::new(program);
        command.arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() != owner.uid()) {
            command.gid(owner.gid()).uid(owner.uid());
        }
        let pooler = Self { child: command.spawn().expect("pgbouncer can be run"), directory };
        for _ in 0..500 {
            // The file is there a moment before anybody listens.
            if UnixStream::connect(pooler.socket_dir().join(".s.PGSQL.6432")).is_ok() {
                return pooler;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let log = std::fs::read_to_string(pooler.socket_dir().join("log")).unwrap_or_default();
        panic!("pgbouncer did not start: {log}");
    }

    /// The directory of its socket.
    pub fn socket_dir(&self) -> &Path {
        self.directory.path()
    }

    /// The URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        let socket = self.socket_dir().display().to_string().replace('/', "%2F");
        format!("postgresql://postgres@{socket}:6432/{database}")
    }
}
