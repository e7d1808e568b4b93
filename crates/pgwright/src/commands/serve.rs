//! `pgwright serve`: watches a server, and answers Prometheus.
//!
//! `crates/exporter/README.md` tells how it is laid out.

mod workshop;

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alerting::Alerts;
use clap::Args as ClapArgs;
use exporter::{Exporter, Options, custom};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use web::encryption::Encryption;
use web::{Access, App, access};

use super::{Context, duration, history_store, read_text};
use crate::error::{CommandError, CommandResult, Exit};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright serve postgres://monitor@db.example.com/shop\n  pgwright serve --listen 0.0.0.0:9187 --token-file token"
)]
pub struct Args {
    /// The address and port. Off the loopback interface a token or users are needed.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9187")]
    listen: SocketAddr,
    /// A file with the token that clients must send (Authorization: Bearer …).
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with lines user:hash, for clients that send a user and a password.
    #[arg(long, value_name = "FILE")]
    users_file: Option<PathBuf>,
    /// A file with the certificate (PEM, with those that vouch for it) by which what is sent is encrypted.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The file with the key of that certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The header in which a proxy tells who somebody is, as X-Forwarded-User.
    #[arg(long, value_name = "HEADER", requires = "proxy_address")]
    proxy_header: Option<String>,
    /// An address that the proxy connects from. Can be repeated.
    #[arg(long, value_name = "ADDRESS", requires = "proxy_header")]
    proxy_address: Vec<IpAddr>,
    /// A user of the proxy who may change the database. Can be repeated.
    #[arg(long, value_name = "USER", requires = "proxy_header")]
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
    /// How many statements have series of their own; what the others did is summed.
    #[arg(long, value_name = "N", default_value_t = 100)]
    statements: usize,
    /// How many objects of a collector have series of their own; the others are summed.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    objects: usize,
    /// How often a collector runs, as in indexes=5m. Can be repeated.
    #[arg(long, value_name = "COLLECTOR=DURATION", value_parser = named_duration)]
    interval: Vec<(String, Duration)>,
    /// How long a collector may take, as in tables=30s; 10s. Can be repeated.
    #[arg(long, value_name = "COLLECTOR=DURATION", value_parser = named_duration)]
    timeout: Vec<(String, Duration)>,
    /// A collector that is not to run. Can be repeated.
    #[arg(long, value_name = "COLLECTOR")]
    without: Vec<String>,
    /// How often sessions are looked at, for latencies and waits; 0 for not at all.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "100ms")]
    sampling: Duration,
    #[command(flatten)]
    keeping: history_store::KeepingArgs,
    /// Tell everything under the names of postgres_exporter as well, so that dashboards for it go on working.
    #[arg(long)]
    compat: bool,
    /// List every metric with its type and meaning, and end.
    #[arg(long)]
    list: bool,
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
    let access = access(&args)?;
    let mut options = options(context, &args)?;
    // Who is told that it serves may end it at once.
    let waiting = |kind| {
        signal(kind).map_err(|e| CommandError::new("could not wait for signals").detail(format!("{e}.")))
    };
    let (mut interrupted, mut terminated) =
        (waiting(SignalKind::interrupt())?, waiting(SignalKind::terminate())?);
    let listener = web::listen(args.listen, &access).await?;
    let address = listener.local_addr().unwrap_or(args.listen);
    let (stop, stopping) = watch::channel(false);
    let interval = options.interval("statements", postgres::metrics::Pace::Seldom);
    let keeping =
        history_store::begin(context, &args.keeping, &options.target, interval, stopping.clone()).await?;
    options.history = keeping.as_ref().map(|(tap, _)| tap.clone());
    let exporter = Arc::new(Exporter::new(options));
    let alerts = match context.settings.alerts.enabled {
        true => Some(Arc::new(Alerts::new(&context.settings.alerts, exporter.clone())?)),
        false => None,
    };
    let sampling = tokio::spawn({
        let (exporter, stopping) = (exporter.clone(), stopping.clone());
        async move { exporter.run(stopping).await }
    });
    let workshop = workshop::Workshop::new(context);
    let judging = alerts.clone().map(|alerts| tokio::spawn(alerts.run(stopping.clone())));
    let history = args.keeping.reader(context)?.map(Arc::new);
    let app =
        App { exporter, access: Arc::new(access), workshop: Arc::new(workshop.clone()), history, alerts };
    let mut serving = tokio::spawn(web::serve(listener, app, stopping));
    let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
    context.printer.status(&format!("serving {scheme}://{address}/metrics; stop with Ctrl-C"));
    let early = tokio::select! {
        ended = &mut serving => Some(ended),
        _ = interrupted.recv() => None,
        _ = terminated.recv() => None,
    };
    let _ = stop.send(true);
    workshop.close().await;
    let ended = match early {
        Some(ended) => ended,
        None => {
            // Clients that keep their connection open are not waited for.
            tokio::time::timeout(Duration::from_secs(2), serving).await.unwrap_or(Ok(Ok(())))
        }
    };
    if let Some(judging) = judging {
        // It writes down what has to outlive this.
        let _ = tokio::time::timeout(Duration::from_secs(2), judging).await;
    }
    let _ = tokio::time::timeout(Duration::from_secs(10), sampling).await;
    if let Some((_, task)) = keeping {
        let _ = tokio::time::timeout(Duration::from_secs(10), task).await;
    }
    match ended {
        Ok(Ok(())) => Ok(Exit::Done),
        Ok(Err(error)) => Err(CommandError::new("the server of pgwright failed").detail(format!("{error}."))),
        Err(error) => Err(CommandError::new("the server of pgwright failed").detail(format!("{error}."))),
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

fn options(context: &Context, args: &Args) -> Result<Options, CommandError> {
    let target = context.target()?;
    let session = postgres::SessionOptions { allow_transaction_pooler: true, ..context.reading() };
    let mut options = Options::new(target, session);
    for path in &args.queries {
        options.custom.extend(custom::parse(&path.display().to_string(), &read_text(path)?)?);
    }
    options.more_databases.clone_from(&args.databases);
    (options.statements, options.objects) = (args.statements, args.objects);
    options.intervals = args.interval.iter().cloned().collect();
    options.timeouts = args.timeout.iter().cloned().collect();
    options.disabled.clone_from(&args.without);
    options.compat = args.compat;
    options.sampling_interval = match args.sampling {
        Duration::ZERO => None,
        short if short < Duration::from_millis(10) => {
            return Err(CommandError::new("--sampling is out of range").detail("It is at least 10 ms, or 0."));
        }
        interval => Some(interval),
    };
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
