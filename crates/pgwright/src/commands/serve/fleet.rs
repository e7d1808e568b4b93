//! Many servers in one pgwright: begun and ended as the file that names them changes, each on its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use web::Access;
use web::fleet::Fleet;

use super::servers::Server;
use super::watched::Watched;
use super::{Args, Signals, ended, listen, log, options, servers, told};
use crate::commands::{Context, read_text};
use crate::error::{CommandError, CommandResult};

/// How often it is looked whether the file has changed.
const LOOK: Duration = Duration::from_secs(2);
/// When a server is tried again that could not be begun.
const AGAIN: Duration = Duration::from_secs(60);

/// A server that the file names.
struct Named {
    server: Server,
    state: State,
}

enum State {
    Watched(Box<Watched>),
    /// Why it could not be begun, and when it is tried again.
    Failed(String, Instant),
}

/// Watches all servers of a file until it is interrupted.
pub async fn run(
    context: &Context,
    args: &Args,
    file: &Path,
    access: Arc<Access>,
    mut signals: Signals,
) -> CommandResult {
    if args.log.is_some() {
        return Err(CommandError::new("--log goes with one server")
            .detail("With --servers nobody could say whose log it is.")
            .hint("In the file a server has its log as the label log."));
    }
    if args.keeping.at.source.is_some() {
        return Err(CommandError::new("--source is the name of one server")
            .detail("With --servers each has the name that the file gives it."));
    }
    // What cannot be used at all is told at once.
    let text = read_text(file)?;
    let unusable = |detail: String| {
        CommandError::new(format!("could not use \"{}\"", file.display()))
            .detail(detail)
            .hint("It is a list of entries with targets and labels, as in docs/reference/commands/serve.md.")
    };
    let wanted = wanted(context, &text).map_err(unusable)?;
    for (name, server) in &wanted {
        let options = options(&of_server(context, name, &server.url), args)?;
        if server.log.is_some() {
            super::needs_sampling(&options, &format!("the log of server \"{name}\""))?;
        }
    }
    let (listener, address) = listen(args, &access).await?;
    let fleet = Arc::new(Fleet::new(access, env!("CARGO_PKG_VERSION")));
    let (stop, stopping) = watch::channel(false);
    let following = tokio::spawn(follow(
        context.for_another(|_| {}),
        args.clone(),
        file.to_owned(),
        (text, wanted),
        fleet.clone(),
        stopping.clone(),
    ));
    let serving = tokio::spawn(web::fleet::serve(listener, fleet, stopping));
    told(context, args, address);
    let (early, serving) = signals.or_end_of(serving).await;
    let _ = stop.send(true);
    let ended = ended(early, serving).await;
    // It lets go of all servers.
    let _ = following.await;
    ended
}

/// What a file names, if every connection string can be understood.
fn wanted(context: &Context, text: &str) -> Result<BTreeMap<String, Server>, String> {
    let found = servers::parse(text)?;
    for (name, server) in &found {
        context.settings.target_of(&server.url).map_err(|e| format!("Server \"{name}\": {}.", e.message))?;
    }
    Ok(found)
}

/// The surroundings of one of the servers.
fn of_server(context: &Context, name: &str, url: &str) -> Context {
    context.for_another(|settings| {
        settings.url = Some(url.to_owned());
        let alerts = &mut settings.alerts;
        // Each keeps what it has told, and links to its own pages.
        alerts.state_file = alerts.state_file.as_ref().map(|file| {
            let mut own = file.clone().into_os_string();
            own.push(format!(".{name}"));
            own.into()
        });
        alerts.external_url =
            alerts.external_url.as_ref().map(|url| format!("{}/s/{name}", url.trim_end_matches('/')));
    })
}

async fn begin(context: &Context, args: &Args, name: &str, server: &Server) -> Result<Watched, CommandError> {
    let context = of_server(context, name, &server.url);
    let mut args = args.clone();
    if args.keeping.is_asked() {
        args.keeping.at.source = Some(name.to_owned());
    }
    let mut options = options(&context, &args)?;
    options.server = Some(name.to_owned());
    if let Some(path) = &server.log {
        super::needs_sampling(&options, "its log")?;
        // That a log cannot be read is no reason not to watch the server.
        options.log = Some(Arc::new(log::Followed::once_readable(path)));
    }
    Watched::begin(&context, &args, options).await
}

/// Follows the file until `stop` becomes true, then lets go of all servers.
async fn follow(
    context: Context,
    args: Args,
    file: std::path::PathBuf,
    (mut text, mut wanted): (String, BTreeMap<String, Server>),
    fleet: Arc<Fleet>,
    mut stop: watch::Receiver<bool>,
) {
    let mut named: BTreeMap<String, Named> = BTreeMap::new();
    let mut unreadable = None;
    loop {
        let gone: Vec<String> = named
            .iter()
            .filter(|(name, server)| wanted.get(*name) != Some(&server.server))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            fleet.remove(&name);
            if let Some(Named { state: State::Watched(watched), .. }) = named.remove(&name) {
                context.printer.status(&format!("server \"{name}\" is not watched any more"));
                watched.stop();
                // It may take a while to end, and holds up nobody.
                tokio::spawn(watched.end());
            }
        }
        let now = Instant::now();
        let due = |name: &String| match named.get(name).map(|n| &n.state) {
            None => true,
            Some(State::Watched(_)) => false,
            Some(State::Failed(_, again)) => *again <= now,
        };
        let due: Vec<(String, Server)> =
            wanted.iter().filter(|(name, _)| due(name)).map(|(n, s)| (n.clone(), s.clone())).collect();
        let beginning = due.into_iter().map(|(name, server)| {
            let (context, args) = (&context, &args);
            async move {
                let begun = begin(context, args, &name, &server).await;
                (name, server, begun)
            }
        });
        for (name, server, begun) in futures_util::future::join_all(beginning).await {
            let state = match begun {
                Ok(watched) => {
                    fleet.put(&name, watched.app.clone(), watched.stopping());
                    State::Watched(Box::new(watched))
                }
                Err(error) => {
                    let reason = format!("server \"{name}\": {}", error.message);
                    context.printer.status(&format!("warning: {reason}; it is tried again in a minute"));
                    State::Failed(reason, Instant::now() + AGAIN)
                }
            };
            named.insert(name, Named { server, state });
        }
        let failed = named.values().filter_map(|n| match &n.state {
            State::Failed(reason, _) => Some(reason.clone()),
            State::Watched(_) => None,
        });
        let problems: Vec<String> = unreadable.iter().cloned().chain(failed).collect();
        fleet.tell_problem((!problems.is_empty()).then(|| problems.join("; ")));
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        let read = read_text(&file).map_err(|e| e.message).and_then(|read| {
            if read == text && unreadable.is_none() {
                return Ok(None);
            }
            self::wanted(&context, &read).map(|found| Some((read, found)))
        });
        match read {
            Ok(None) => {}
            Ok(Some((read, found))) => (text, wanted, unreadable) = (read, found, None),
            Err(reason) => {
                let reason = format!("\"{}\": {}", file.display(), reason.trim_end_matches('.'));
                if unreadable.as_ref() != Some(&reason) {
                    context.printer.status(&format!("warning: {reason}; the servers stay as they were"));
                }
                unreadable = Some(reason);
            }
        }
    }
    let ending = named.into_iter().filter_map(|(name, named)| {
        fleet.remove(&name);
        match named.state {
            State::Watched(watched) => Some(watched.end()),
            State::Failed(..) => None,
        }
    });
    futures_util::future::join_all(ending).await;
}
