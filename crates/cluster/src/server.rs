//! A server of our own: started, reached, stopped.
//!
//! Source: PostgreSQL manual, "Shutting Down the Server" (SIGINT is fast, SIGQUIT immediate) and
//! "Connection Settings".

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::Rng as _;
use rustix::process::{Signal, kill_process};

use crate::account::Account;
use crate::initdb::{Initdb, Template, create_private, write_owned};
use crate::postmaster::{PidFile, log_tail, process_exists, to_pid};
use crate::watchdog::Watchdog;
use crate::{Binaries, Error};

/// How a server is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Settings beyond those that a private socket needs, in `postgresql.conf`'s syntax without
    /// quotes: `("shared_buffers", "16MB")`.
    pub settings: Vec<(String, String)>,
    /// Where the data lives. An existing cluster is started again; `None` means a temporary
    /// directory that is removed when the server stops.
    pub data_dir: Option<PathBuf>,
    /// Whether to listen on a free port of 127.0.0.1 too, with a random password.
    pub tcp: bool,
    /// Whether a temporary data directory stays when the server stops.
    pub keep: bool,
    /// How a new cluster is made.
    pub initdb: Initdb,
    /// A cluster to copy instead of running `initdb`; it must have been made with equal `initdb`.
    pub template: Option<Template>,
    /// Where temporary directories are made. A short path: that of a socket has 107 bytes at most.
    pub parent_dir: PathBuf,
    /// How long to wait for the server to become ready.
    pub start_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            settings: Vec::new(),
            data_dir: None,
            tcp: false,
            keep: false,
            initdb: Initdb::default(),
            template: None,
            parent_dir: "/tmp".into(),
            start_timeout: Duration::from_secs(60),
        }
    }
}

impl ServerOptions {
    /// Adds a setting.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Adds the settings of a server whose data nobody will miss: nothing is flushed to disk.
    #[must_use]
    pub fn throw_away(self) -> Self {
        self.set("fsync", "off")
            .set("synchronous_commit", "off")
            .set("full_page_writes", "off")
            .set("shared_buffers", "16MB")
            .set("max_wal_size", "1GB")
    }
}

/// A running server. Dropping it stops it.
pub struct Server {
    binaries: Binaries,
    data_dir: PathBuf,
    /// The temporary directory of the socket, the log and, unless one was given, the data.
    /// `None` for a server that somebody else started.
    base: Option<PathBuf>,
    socket_dir: PathBuf,
    log: PathBuf,
    port: u16,
    tcp: bool,
    password: Option<String>,
    superuser: String,
    /// Whether the data outlive the server.
    durable: bool,
    /// Whether somebody else started it.
    attached: bool,
    start_timeout: Duration,
    account: Account,
    child: Option<Child>,
    watchdog: Option<Watchdog>,
}

/// A server that goes on without us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftRunning {
    /// Its data directory, with which [`Server::attach`] finds it again.
    pub data_dir: PathBuf,
    /// The directory of its socket.
    pub socket_dir: PathBuf,
    /// Its port.
    pub port: u16,
    /// Its process id.
    pub pid: u32,
}

/// A socket's address holds 108 bytes with the closing zero on Linux, 104 on macOS.
const SOCKET_PATH_MAX: usize = if cfg!(target_os = "macos") { 103 } else { 107 };
/// The port names the socket's file; a server without TCP has its directory to itself.
const SOCKET_ONLY_PORT: u16 = 5432;
const CONF: &str = "pgwright.conf";
const PASSWORD_FILE: &str = "pgwright.password";

impl Server {
    /// Makes a cluster unless one is there, starts a server in it and waits until it is ready.
    ///
    /// # Errors
    /// See [`Error`]; nothing is left behind.
    pub fn start(binaries: &Binaries, options: ServerOptions) -> Result<Self, Error> {
        let account = Account::choose()?;
        let base = make_base(account, &options.parent_dir)?;
        let data_dir = match &options.data_dir {
            Some(dir) => std::path::absolute(dir).map_err(Error::io("open", dir))?,
            None => base.join("data"),
        };
        // From here on `server` cleans up when it is dropped.
        let mut server = Self {
            binaries: binaries.clone(),
            data_dir,
            socket_dir: base.join("s"),
            log: base.join("server.log"),
            base: Some(base.clone()),
            port: SOCKET_ONLY_PORT,
            tcp: options.tcp,
            password: None,
            superuser: options.initdb.superuser.clone(),
            durable: options.data_dir.is_some(),
            attached: false,
            start_timeout: options.start_timeout,
            account,
            child: None,
            watchdog: None,
        };
        create_private(account, &server.socket_dir)?;
        let durable = options.keep || options.data_dir.is_some();
        // A kept temporary directory holds the data: only the socket goes.
        let remove: Vec<&Path> = if options.keep { vec![&server.socket_dir] } else { vec![&base] };
        let signal = if durable { "INT" } else { "QUIT" };
        server.watchdog = Some(Watchdog::start(&server.data_dir, signal, &remove)?);
        server.prepare_data(&options)?;
        server.data_dir = server.data_dir.canonicalize().map_err(Error::io("open", &server.data_dir))?;
        if server.tcp {
            server.set_password()?;
        }
        server.launch(&options.settings)?;
        server.durable = durable;
        Ok(server)
    }

    /// Finds a server that was left running. It goes on when this value is dropped; `stop` stops it.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when nothing runs there.
    pub fn attach(binaries: &Binaries, data_dir: &Path) -> Result<Self, Error> {
        let not_running = || Error::NotRunning { data_dir: data_dir.to_path_buf() };
        let data_dir = data_dir.canonicalize().map_err(|_| not_running())?;
        let file = PidFile::read(&data_dir).filter(|f| f.is_alive(&data_dir)).ok_or_else(not_running)?;
        let socket_dir = file.socket_dir.ok_or_else(not_running)?;
        let conf = fs::read_to_string(data_dir.join(CONF)).unwrap_or_default();
        let superuser = conf.lines().find_map(|l| l.strip_prefix("# superuser ")).unwrap_or("postgres");
        Ok(Self {
            binaries: binaries.clone(),
            log: socket_dir.with_file_name("server.log"),
            base: None,
            port: file.port.unwrap_or(SOCKET_ONLY_PORT),
            tcp: file.listens,
            password: fs::read_to_string(data_dir.join(PASSWORD_FILE)).ok(),
            superuser: superuser.to_owned(),
            durable: true,
            attached: true,
            start_timeout: ServerOptions::default().start_timeout,
            account: Account::choose()?,
            child: None,
            watchdog: None,
            socket_dir,
            data_dir,
        })
    }

    /// The connection URI of a database through the private socket. Needs no password.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgresql://{}@{}:{}/{}",
            percent_encode(self.superuser.as_bytes()),
            percent_encode(self.socket_dir.as_os_str().as_bytes()),
            self.port,
            percent_encode(database.as_bytes())
        )
    }

    /// The connection URI of a database through TCP, with the password; `None` when the server
    /// does not listen.
    pub fn tcp_url(&self, database: &str) -> Option<String> {
        let password = self.password.as_deref().filter(|_| self.tcp)?;
        Some(format!(
            "postgresql://{}:{}@127.0.0.1:{}/{}",
            percent_encode(self.superuser.as_bytes()),
            percent_encode(password.as_bytes()),
            self.port,
            percent_encode(database.as_bytes())
        ))
    }

    /// The directory of the socket.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The port, which is part of the socket's name and, with `tcp`, the one that is listened on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The server's log.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// The programs that this server runs.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The process id of the postmaster, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running_pid()
    }

    /// Stops the server and starts it with these settings instead of those it had.
    ///
    /// # Errors
    /// When it does not stop or does not start again.
    pub fn restart(&mut self, settings: &[(String, String)]) -> Result<(), Error> {
        self.stop_postmaster(Signal::INT)?;
        self.launch(settings)
    }

    /// Stops the server and removes what is temporary.
    ///
    /// # Errors
    /// When it does not stop or something cannot be removed.
    pub fn stop(mut self) -> Result<(), Error> {
        self.shut_down()
    }

    /// Lets the server and its data live on after this process.
    pub fn leave_running(mut self) -> LeftRunning {
        let left = LeftRunning {
            data_dir: self.data_dir.clone(),
            socket_dir: self.socket_dir.clone(),
            port: self.port,
            pid: self.pid().unwrap_or_default(),
        };
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.release();
        }
        self.child = None;
        self.base = None;
        left
    }

    /// Makes sure that `data_dir` holds a cluster that can be started.
    fn prepare_data(&self, options: &ServerOptions) -> Result<(), Error> {
        let data_dir = &self.data_dir;
        match fs::read_to_string(data_dir.join("PG_VERSION")) {
            Ok(version) if version.trim() != self.binaries.major.to_string() => {
                return Err(Error::WrongMajor {
                    data_dir: data_dir.clone(),
                    found: version.trim().to_owned(),
                    wanted: self.binaries.major,
                });
            }
            Ok(_) => {
                if let Some(file) = PidFile::read(data_dir) {
                    if file.is_alive(data_dir) {
                        return Err(Error::InUse { data_dir: data_dir.clone(), pid: file.pid });
                    }
                    // Left behind by a crash. PostgreSQL would believe it when a stranger has the
                    // number now.
                    let path = PidFile::path(data_dir);
                    fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                }
                return Ok(());
            }
            Err(_) => {}
        }
        if let (Some(template), false) = (&options.template, data_dir.exists()) {
            template.copy(self.account, data_dir)?;
        } else {
            if !data_dir.exists() {
                create_private(self.account, data_dir)?;
            } else {
                self.account.own(data_dir)?;
            }
            options.initdb.run(&self.binaries, self.account, data_dir)?;
        }
        let conf = data_dir.join("postgresql.conf");
        let mut text = fs::read_to_string(&conf).map_err(Error::io("read", &conf))?;
        let _ = writeln!(text, "\ninclude_if_exists = '{CONF}'");
        write_owned(self.account, &conf, &text, 0o600)
    }

    /// Gives the superuser a password, the one of last time when there is one.
    fn set_password(&mut self) -> Result<(), Error> {
        let path = self.data_dir.join(PASSWORD_FILE);
        let password = match fs::read_to_string(&path) {
            Ok(known) => known,
            Err(_) => {
                let mut rng = rand::rng();
                (0..32).map(|_| char::from(rng.sample(rand::distr::Alphanumeric))).collect()
            }
        };
        let role = self.superuser.replace('"', "\"\"");
        let statement = format!("ALTER ROLE \"{role}\" PASSWORD '{password}'");
        let failed = |log: String| Error::Start { data_dir: self.data_dir.clone(), log };
        let mut child = self
            .account
            .command(&self.binaries.dir.join("postgres"))
            .args(["--single", "-D"])
            .arg(&self.data_dir)
            .args(["-c", "password_encryption=scram-sha-256", "-c", "shared_preload_libraries=", "postgres"])
            .current_dir(&self.data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| failed(e.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A failure to write shows in the exit status.
            let _ = std::io::Write::write_all(&mut stdin, format!("{statement}\n").as_bytes());
        }
        let output = child.wait_with_output().map_err(|e| failed(e.to_string()))?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() || text.contains("ERROR:") {
            return Err(failed(text));
        }
        write_owned(self.account, &path, &password, 0o600)?;
        self.password = Some(password);
        Ok(())
    }

    /// Starts the postmaster. A port that somebody else took in the meantime is replaced.
    fn launch(&mut self, settings: &[(String, String)]) -> Result<(), Error> {
        let mut attempts = 5;
        loop {
            if self.tcp {
                self.port = free_port()?;
            }
            attempts -= 1;
            match self.launch_once(settings) {
                Err(Error::Start { log, .. })
                    if self.tcp && attempts > 0 && log.contains("could not create any TCP/IP sockets") => {}
                other => return other,
            }
        }
    }

    fn launch_once(&mut self, settings: &[(String, String)]) -> Result<(), Error> {
        let mut conf = format!("# superuser {}\n", self.superuser);
        let own = [
            ("unix_socket_directories", self.socket_dir.display().to_string()),
            ("unix_socket_permissions", "0700".into()),
            ("listen_addresses", if self.tcp { "127.0.0.1".into() } else { String::new() }),
            ("port", self.port.to_string()),
        ];
        // Why a server does not start is read in its own log, unless the caller wants others.
        let usual = [("logging_collector", "off".to_owned()), ("log_destination", "stderr".into())];
        let given = settings.iter().map(|(n, v)| (n.as_str(), v.clone()));
        // The last one wins, and where the server is reached is not up for change.
        for (name, value) in usual.into_iter().chain(given).chain(own) {
            let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
            if !valid || name.is_empty() {
                return Err(Error::SettingName { name: name.to_owned() });
            }
            let value = value.replace('\\', "\\\\").replace('\'', "''").replace('\n', "\\n");
            let _ = writeln!(conf, "{name} = '{value}'");
        }
        write_owned(self.account, &self.data_dir.join(CONF), &conf, 0o600)?;

        write_owned(self.account, &self.log, "", 0o600)?;
        let log =
            fs::OpenOptions::new().append(true).open(&self.log).map_err(Error::io("write", &self.log))?;
        let log_too = log.try_clone().map_err(Error::io("write", &self.log))?;
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.arm();
        }
        let mut command: Command = self.account.command(&self.binaries.dir.join("postgres"));
        let child = command
            .arg("-D")
            .arg(&self.data_dir)
            .current_dir(&self.data_dir)
            .env_remove("PGDATA")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            // Ctrl-C is for the owner, who then stops the server in order.
            .process_group(0)
            .spawn()
            .map_err(|e| Error::Start {
                data_dir: self.data_dir.clone(),
                log: format!("The system said: {e}."),
            })?;
        let pid = child.id();
        self.child = Some(child);
        let deadline = Instant::now() + self.start_timeout;
        loop {
            if PidFile::read(&self.data_dir).is_some_and(|f| f.pid == pid && f.ready) {
                return Ok(());
            }
            if self.child_has_exited() {
                self.child = None;
                return Err(Error::Start { data_dir: self.data_dir.clone(), log: log_tail(&self.log) });
            }
            if Instant::now() > deadline {
                let log = log_tail(&self.log);
                let _ = self.stop_postmaster(Signal::QUIT);
                let seconds = self.start_timeout.as_secs();
                return Err(Error::Timeout { data_dir: self.data_dir.clone(), seconds, log });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn child_has_exited(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| c.try_wait().is_ok_and(|status| status.is_some()))
    }

    /// Signals the postmaster and waits; what does not want to go is made to go.
    fn stop_postmaster(&mut self, signal: Signal) -> Result<(), Error> {
        let Some(pid) = self.running_pid() else { return Ok(()) };
        let mut signals = vec![Signal::KILL, Signal::QUIT];
        if signal != Signal::QUIT {
            signals.push(signal);
        }
        while let (Some(next), Some(target)) = (signals.pop(), to_pid(pid)) {
            match kill_process(target, next) {
                Err(rustix::io::Errno::SRCH) => break,
                other => other.map_err(|e| Error::io("stop the server in", &self.data_dir)(e.into()))?,
            }
            let deadline = Instant::now() + Duration::from_secs(15);
            while Instant::now() < deadline {
                if self.child_has_exited() || (self.child.is_none() && !process_exists(pid)) {
                    self.child = None;
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.child = None;
        Ok(())
    }

    fn running_pid(&self) -> Option<u32> {
        match &self.child {
            Some(child) => Some(child.id()),
            // The server in a directory that we failed to start in is not ours.
            None if !self.attached => None,
            None => PidFile::read(&self.data_dir).filter(|f| f.is_alive(&self.data_dir)).map(|f| f.pid),
        }
    }

    fn shut_down(&mut self) -> Result<(), Error> {
        // Temporary data need no checkpoint.
        let stopped = self.stop_postmaster(if self.durable { Signal::INT } else { Signal::QUIT });
        let mut removed = Ok(());
        if let Some(base) = self.base.take() {
            let keeps_data = self.durable && self.data_dir.starts_with(&base);
            let gone = if keeps_data { &self.socket_dir } else { &base };
            if gone.exists() {
                removed = fs::remove_dir_all(gone).map_err(Error::io("remove", gone));
            }
        }
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.release();
        }
        stopped.and(removed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that was attached to, or left running, has no base and is not ours to stop.
        if self.base.is_some() {
            let _ = self.shut_down();
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The password stays out of logs.
        f.debug_struct("Server")
            .field("version", &self.binaries.version)
            .field("data_dir", &self.data_dir)
            .field("socket_dir", &self.socket_dir)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Makes the temporary directory, in `/tmp` when the wanted parent makes the socket's path too long.
fn make_base(account: Account, parent: &Path) -> Result<PathBuf, Error> {
    let make = |parent: &Path| {
        tempfile::Builder::new()
            .prefix("pgwright-")
            .tempdir_in(parent)
            .map_err(Error::io("create a directory in", parent))
    };
    let mut base = make(parent)?;
    let socket = base.path().join("s").join(format!(".s.PGSQL.{}.lock", u16::MAX));
    if socket.as_os_str().len() > SOCKET_PATH_MAX {
        base = make(Path::new("/tmp"))?;
    }
    account.own(base.path())?;
    Ok(base.keep())
}

fn free_port() -> Result<u16, Error> {
    let any = Path::new("127.0.0.1");
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Error::io("find a free port of", any))?;
    listener.local_addr().map(|a| a.port()).map_err(Error::io("find a free port of", any))
}

fn percent_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &b in bytes {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}
