//! `pgwright serve`: watches a server or several, and answers Prometheus and people.
//!
//! `crates/exporter/README.md` tells how it is laid out.

mod bloat;
mod configured;
mod fleet;
mod log;
mod servers;
mod watched;
mod workshop;

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use exporter::{Exporter, Options, custom};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use web::encryption::Encryption;
use web::{Access, access};

pub use configured::ServeSettings;

use super::{Context, duration, history_store, read_text};
use crate::error::{CommandError, CommandResult, Exit};

/// Arguments.
#[derive(ClapArgs, Clone, Debug)]
#[command(
    before_help = "Examples:\n  pgwright serve postgres://monitor@db.example.com/shop\n  pgwright serve --listen 0.0.0.0:9187 --token-file token"
)]
pub struct Args {
    /// The address and port; 127.0.0.1:9187. Off the loopback interface a token or users are needed.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// A file that names several servers to watch, in the format of Prometheus' file_sd; it is read again when it changes.
    #[arg(long, value_name = "FILE")]
    servers: Option<PathBuf>,
    /// A file with the token that clients must send (Authorization: Bearer …).
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with lines user:hash, for clients that send a user and a password.
    #[arg(long, value_name = "FILE")]
    users_file: Option<PathBuf>,
    /// A file with the certificate (PEM, with those that vouch for it) by which what is sent is encrypted.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The file with the key of that certificate.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The header in which a proxy tells who somebody is, as X-Forwarded-User.
    #[arg(long, value_name = "HEADER")]
    proxy_header: Option<String>,
    /// An address that the proxy connects from. Can be repeated.
    #[arg(long, value_name = "ADDRESS")]
    proxy_address: Vec<IpAddr>,
    /// A user of the proxy who may change the database. Can be repeated.
    #[arg(long, value_name = "USER")]
    proxy_operator: Vec<String>,
    /// Read a password from standard input, print its hash for --users-file, and end.
    #[arg(long)]
    hash_password: bool,
    /// Another database of the server whose tables and indexes are read as well. Can be repeated.
    #[arg(long = "database", value_name = "NAME")]
    databases: Vec<String>,
    /// A file of queries of your own, in the format of postgres_exporter. Can be repeated.
    #[arg(long, value_name = "FILE")]
    queries: Vec<PathBuf>,
    /// How many statements have series of their own, 100; what the others did is summed.
    #[arg(long, value_name = "N")]
    statements: Option<usize>,
    /// Of how many statements, those that take most time, the plan is looked at every five minutes, 20; 0 for none.
    #[arg(long, value_name = "N")]
    plans: Option<usize>,
    /// How many objects of a collector have series of their own, 10000; the others are summed.
    #[arg(long, value_name = "N")]
    objects: Option<usize>,
    /// How often a collector runs, as in indexes=5m. Can be repeated.
    #[arg(long, value_name = "COLLECTOR=DURATION", value_parser = named_duration)]
    interval: Vec<(String, Duration)>,
    /// How long a collector may take, as in tables=30s; 10s. Can be repeated.
    #[arg(long, value_name = "COLLECTOR=DURATION", value_parser = named_duration)]
    timeout: Vec<(String, Duration)>,
    /// A collector that is not to run. Can be repeated.
    #[arg(long, value_name = "COLLECTOR")]
    without: Vec<String>,
    /// How often sessions are looked at, for latencies and waits, 100ms; 0 for not at all.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    sampling: Option<Duration>,
    /// Take executions of the database's statements from the server's log too, or from the logs in this folder; with --servers
    /// the file tells the log of each.
    #[arg(long, value_name = "PATH")]
    log: Option<PathBuf>,
    /// How often, at most, it is computed what would help the statements that got slower most, 15m; 0 for not at all. It
    /// needs history.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    fixes: Option<Duration>,
    #[command(flatten)]
    keeping: history_store::KeepingArgs,
    /// Tell everything under the names of postgres_exporter as well, so that dashboards for it go on working.
    #[arg(long)]
    compat: bool,
    /// List every metric with its type and meaning, and end.
    #[arg(long)]
    list: bool,
}

/// Where it listens when nothing else is asked for.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9187);

/// How often, at most, fixes are computed when nothing else is asked for.
const FIXES: Duration = Duration::from_secs(900);

impl Args {
    fn fixes_every(&self) -> Option<Duration> {
        Some(self.fixes.unwrap_or(FIXES)).filter(|every| !every.is_zero())
    }
}

fn named_duration(text: &str) -> Result<(String, Duration), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("\"{text}\" is not COLLECTOR=DURATION"))?;
    let value = duration(value)?;
    if value < Duration::from_millis(100) {
        return Err(format!("\"{text}\" is shorter than 100ms"));
    }
    Ok((name.to_owned(), value))
}

/// Runs the command until it is interrupted.
///
/// # Errors
/// Fails when the arguments cannot be used or the port cannot be opened. A server that is away is no error.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    if args.hash_password {
        return hash_password(context);
    }
    if args.list {
        return list(context);
    }
    let args = args.completed_by(&context.settings.serve);
    let access = Arc::new(access(&args)?);
    // Who is told that it serves may end it at once.
    let signals = Signals::new()?;
    match &args.servers {
        Some(file) => fleet::run(context, &args, file, access, signals).await,
        None => one(context, &args, access, signals).await,
    }
}

/// Watches the one server that was named.
async fn one(context: &Context, args: &Args, access: Arc<Access>, mut signals: Signals) -> CommandResult {
    let options = options(context, args)?;
    let (listener, address) = listen(args, &access).await?;
    let watched = watched::Watched::begin(context, args, options).await?;
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(web::serve(listener, watched.app.clone(), access, stopping));
    told(context, args, address);
    let (early, serving) = signals.or_end_of(serving).await;
    watched.stop();
    let _ = stop.send(true);
    let ended = ended(early, serving).await;
    watched.end().await;
    ended
}

/// Asks to be ended.
struct Signals {
    interrupted: tokio::signal::unix::Signal,
    terminated: tokio::signal::unix::Signal,
}

type Serving = JoinHandle<std::io::Result<()>>;
type Served = Result<std::io::Result<()>, tokio::task::JoinError>;

impl Signals {
    fn new() -> Result<Self, CommandError> {
        let waiting = |kind| {
            signal(kind).map_err(|e| CommandError::new("could not wait for signals").detail(format!("{e}.")))
        };
        Ok(Self {
            interrupted: waiting(SignalKind::interrupt())?,
            terminated: waiting(SignalKind::terminate())?,
        })
    }

    /// Waits until it is to end; given is how serving ended if it did so by itself.
    async fn or_end_of(&mut self, mut serving: Serving) -> (Option<Served>, Serving) {
        tokio::select! {
            ended = &mut serving => (Some(ended), serving),
            _ = self.interrupted.recv() => (None, serving),
            _ = self.terminated.recv() => (None, serving),
        }
    }
}

async fn listen(args: &Args, access: &Access) -> Result<(tokio::net::TcpListener, SocketAddr), CommandError> {
    let asked = args.listen.unwrap_or(LISTEN);
    let listener = web::listen(asked, access).await?;
    let address = listener.local_addr().unwrap_or(asked);
    Ok((listener, address))
}

fn told(context: &Context, args: &Args, address: SocketAddr) {
    let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
    context.printer.status(&format!("serving {scheme}://{address}/metrics; stop with Ctrl-C"));
}

/// How it ended, once who is being answered has been.
async fn ended(early: Option<Served>, serving: Serving) -> CommandResult {
    let ended = match early {
        Some(ended) => ended,
        // Clients that keep their connection open are not waited for.
        None => tokio::time::timeout(Duration::from_secs(2), serving).await.unwrap_or(Ok(Ok(()))),
    };
    let failed = |reason: String| CommandError::new("the server of pgwright failed").detail(reason);
    match ended {
        Ok(Ok(())) => Ok(Exit::Done),
        Ok(Err(error)) => Err(failed(format!("{error}."))),
        Err(error) => Err(failed(format!("{error}."))),
    }
}

fn hash_password(context: &Context) -> CommandResult {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|e| CommandError::new("could not read standard input").detail(format!("{e}.")))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(CommandError::new("there is no password on standard input")
            .hint("Run it as in: echo the-password | pgwright serve --hash-password."));
    }
    let hash = access::hash_password(password).map_err(|e| CommandError::new(e.to_string()))?;
    context.printer.out(&format!("{hash}\n"))?;
    Ok(Exit::Done)
}

fn list(context: &Context) -> CommandResult {
    let mut metrics = Exporter::metrics();
    metrics.extend(alerting::METRICS);
    metrics.extend(web::fleet::METRICS);
    metrics.extend(web::fixes::METRICS);
    metrics.sort_unstable_by_key(|m| m.0);
    if context.printer.json {
        let rows: Vec<BTreeMap<&str, &str>> = metrics
            .iter()
            .map(|(name, kind, help)| [("name", *name), ("type", kind.as_str()), ("help", *help)].into())
            .collect();
        context.printer.json("metrics", &rows)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = metrics
        .iter()
        .map(|(name, kind, help)| vec![(*name).into(), kind.as_str().into(), (*help).into()])
        .collect();
    context.printer.out(&format!("{}\n", context.printer.table(&["metric", "type", "meaning"], &rows)))?;
    Ok(Exit::Done)
}

fn access(args: &Args) -> Result<Access, CommandError> {
    for (one, is_given, other, needed) in [
        ("--tls-cert", args.tls_cert.is_some(), "--tls-key", args.tls_key.is_some()),
        ("--tls-key", args.tls_key.is_some(), "--tls-cert", args.tls_cert.is_some()),
        ("--proxy-header", args.proxy_header.is_some(), "--proxy-address", !args.proxy_address.is_empty()),
        ("--proxy-address", !args.proxy_address.is_empty(), "--proxy-header", args.proxy_header.is_some()),
        ("--proxy-operator", !args.proxy_operator.is_empty(), "--proxy-header", args.proxy_header.is_some()),
    ] {
        if is_given && !needed {
            return Err(CommandError::new(format!("{one} needs {other}"))
                .hint(format!("Give {other} as well, here or under [serve] of pgwright.toml.")));
        }
    }
    let mut access = Access::default();
    let unusable = |path: &PathBuf, error: &access::Error| {
        CommandError::new(format!("could not use \"{}\"", path.display())).detail(format!("{error}."))
    };
    if let Some(path) = &args.token_file {
        access = access.with_token(&read_text(path)?).map_err(|e| unusable(path, &e))?;
    }
    if let Some(path) = &args.users_file {
        access = access.with_users(&read_text(path)?).map_err(|e| {
            unusable(path, &e).hint("\"pgwright serve --hash-password\" makes the hash of a password.")
        })?;
    }
    if let Some(header) = &args.proxy_header {
        let proxy = access::Proxy {
            header: header.clone(),
            addresses: args.proxy_address.iter().map(IpAddr::to_canonical).collect(),
            operators: args.proxy_operator.iter().cloned().collect(),
        };
        access = access.with_proxy(proxy).map_err(|e| CommandError::new(e.to_string()))?;
    }
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let encryption = Encryption::from_files(certificate, key)
            .map_err(|e| CommandError::new(e.to_string()).detail(format!("{}.", e.reason())))?;
        access = access.with_encryption(encryption);
    }
    Ok(access)
}

fn needs_sampling(options: &Options, what: &str) -> Result<(), CommandError> {
    match options.sampling_interval {
        Some(_) => Ok(()),
        None => Err(CommandError::new(format!("{what} needs sampling"))
            .detail("A log has no executions shorter than what the server logs, and no commits.")
            .hint("Leave out --sampling 0.")),
    }
}

fn options(context: &Context, args: &Args) -> Result<Options, CommandError> {
    let target = context.target()?;
    let session = postgres::SessionOptions { allow_transaction_pooler: true, ..context.reading() };
    let mut options = Options::new(target, session);
    for path in &args.queries {
        options.custom.extend(custom::parse(&path.display().to_string(), &read_text(path)?)?);
    }
    options.more_databases.clone_from(&args.databases);
    options.statements = args.statements.unwrap_or(options.statements);
    options.plans = args.plans.unwrap_or(options.plans);
    options.objects = args.objects.unwrap_or(options.objects);
    // Statistics of all columns take memory that not everybody wants to give to it.
    let asked = args.interval.iter().any(|(name, _)| name == "bloat");
    options.bloat = asked.then_some(bloat::estimates);
    options.intervals = args.interval.iter().cloned().collect();
    options.timeouts = args.timeout.iter().cloned().collect();
    options.disabled.clone_from(&args.without);
    options.compat = args.compat;
    options.sampling_interval = match args.sampling {
        None => options.sampling_interval,
        Some(Duration::ZERO) => None,
        Some(short) if short < Duration::from_millis(10) => {
            return Err(CommandError::new("--sampling is out of range").detail("It is at least 10 ms, or 0."));
        }
        Some(interval) => Some(interval),
    };
    if let Some(path) = &args.log {
        needs_sampling(&options, "--log")?;
        options.log = Some(Arc::new(log::Followed::open(path)?));
    }
    let known = options.collectors();
    let named = args.interval.iter().chain(&args.timeout).map(|(name, _)| name).chain(&args.without);
    for name in named {
        if !known.contains(name) {
            return Err(CommandError::new(format!("there is no collector \"{name}\""))
                .hint(format!("There are {}.", known.join(", "))));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = known.iter().find(|name| !seen.insert(*name)) {
        return Err(CommandError::new(format!("there are two collectors called \"{twice}\""))
            .detail("An entry of --queries has the name of another.")
            .hint("Give it another name."));
    }
    Ok(options)
}
