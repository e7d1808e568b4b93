//! How do several servers share one address? Each has pages of its own under `/s/NAME`, made as if it were alone: on the way out
//! their links are given that prefix. Before them stand one page over all (`/`), one `/metrics` and one door.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use alerting::StandingAlert;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, FromRef, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Router, middleware};
use exporter::exposition::{Kind, number, sample};
use exporter::{Chunk, Format};
use futures_util::StreamExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_service::Service as _;

use crate::door::Door;
use crate::pages::{self, layout::ALL};
use crate::{Access, App, Site, guard, harden, metrics, router};

/// What the fleet tells of itself.
pub const METRICS: &[(&str, Kind, &str)] = &[
    ("pgwright_servers", Kind::Gauge, "Servers that are watched"),
    ("pgwright_servers_file_valid", Kind::Gauge, "Whether the file of servers could be read the last time"),
];

/// One of the servers.
pub(crate) struct Member {
    pub site: Arc<Site>,
    router: Router,
}

/// The servers that are watched at this moment; they come and go.
pub struct Fleet {
    door: Door,
    /// The version of the program.
    pub(crate) version: String,
    members: RwLock<BTreeMap<String, Arc<Member>>>,
    /// What is wrong with the file that names them.
    problem: Mutex<Option<String>>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").finish_non_exhaustive()
    }
}

impl Fleet {
    /// No server yet.
    pub fn new(access: Arc<Access>, version: &str) -> Self {
        Self {
            door: Door::new(access),
            version: version.to_owned(),
            members: RwLock::default(),
            problem: Mutex::default(),
        }
    }

    /// Takes a server in, in place of one of that name. Its pages end when `stop` becomes true.
    pub fn put(&self, name: &str, app: App, stop: watch::Receiver<bool>) {
        let site = Arc::new(Site::new(app, self.door.clone(), Some(name.to_owned()), stop));
        tokio::spawn(crate::fixes::keep_up(site.clone()));
        let member = Member { router: router(&site), site };
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        members.insert(name.to_owned(), Arc::new(member));
    }

    /// Lets a server go.
    pub fn remove(&self, name: &str) {
        self.members.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Says what is wrong with the file that names the servers, or that nothing is any more.
    pub fn tell_problem(&self, problem: Option<String>) {
        *self.lock_problem() = problem;
    }

    pub(crate) fn problem(&self) -> Option<String> {
        self.lock_problem().clone()
    }

    fn lock_problem(&self) -> MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The servers by name.
    pub(crate) fn members(&self) -> Vec<(String, Arc<Member>)> {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        members.iter().map(|(name, member)| (name.clone(), member.clone())).collect()
    }

    fn member(&self, name: &str) -> Option<Arc<Member>> {
        self.members.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn own(&self, servers: usize) -> Vec<Chunk> {
        let values = [servers as f64, f64::from(u8::from(self.problem().is_none()))];
        let chunk = |((name, kind, help), value): (&(&str, Kind, &str), f64)| {
            let mut text = String::new();
            sample(name, "", &number(value), &mut text);
            Chunk::new(*name, *kind, *help, text)
        };
        METRICS.iter().zip(values).map(chunk).collect()
    }
}

impl Member {
    /// What fires there, the worst first.
    pub fn firing(&self) -> Vec<StandingAlert> {
        self.site.app.alerts.as_ref().map(|alerts| alerts.firing()).unwrap_or_default()
    }
}

impl FromRef<Arc<Fleet>> for Door {
    fn from_ref(fleet: &Arc<Fleet>) -> Self {
        fleet.door.clone()
    }
}

/// Answers for all servers until `stop` becomes true, then ends what is under way.
///
/// # Errors
/// When the port can no longer be read.
pub async fn serve(
    listener: TcpListener,
    fleet: Arc<Fleet>,
    stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let programs = Router::new()
        .route("/metrics", get(scrape))
        .route_layer(middleware::from_fn_with_state(fleet.door.clone(), guard::programs));
    let known = Router::new()
        .route("/", get(pages::fleet::show))
        .route(ALL, get(pages::fleet::show))
        .merge(
            Router::new()
                .route("/sign-out", post(pages::sign_in::end))
                .route_layer(middleware::from_fn(guard::forms)),
        )
        .layer(middleware::from_fn_with_state(fleet.door.clone(), guard::pages));
    let common = Router::new()
        .route("/healthz", get(health))
        .merge(programs)
        .merge(pages::entrance())
        .merge(known)
        .layer(middleware::from_fn(harden));
    let all = Router::new()
        .route("/s/{name}", any(one))
        .route("/s/{name}/", any(one))
        .route("/s/{name}/{*rest}", any(one))
        .merge(common)
        .with_state(fleet.clone());
    let access = fleet.door.access.clone();
    crate::answer(listener, all, &access, stop).await
}

async fn health(State(fleet): State<Arc<Fleet>>) -> Response {
    match fleet.members().iter().all(|(_, member)| member.site.app.exporter.ready().is_ok()) {
        true => (StatusCode::OK, "ok\n").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "a database is not connected\n").into_response(),
    }
}

async fn scrape(
    State(fleet): State<Arc<Fleet>>,
    ConnectInfo(peer): ConnectInfo<std::net::SocketAddr>,
    headers: HeaderMap,
) -> Response {
    metrics::told(peer, &headers, |format: Format| {
        let members = fleet.members();
        let exporters = members.iter().map(|(name, member)| (name.as_str(), &*member.site.app.exporter));
        exporter::fleet::scrape(exporters, format, &fleet.own(members.len()))
    })
}

/// Hands a request on to the pages of a server.
async fn one(
    State(fleet): State<Arc<Fleet>>,
    Path(parts): Path<BTreeMap<String, String>>,
    request: Request,
) -> Response {
    let name = parts.get("name").map(String::as_str).unwrap_or_default();
    let Some(member) = fleet.member(name) else {
        // Who may not come in learns no names.
        return Redirect::to(ALL).into_response();
    };
    let prefix = format!("/s/{name}");
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let rest = match path.strip_prefix(&prefix) {
        Some("") => return Redirect::to(&format!("{prefix}/")).into_response(),
        Some(rest) if rest.starts_with('?') => format!("/{rest}"),
        Some(rest) => rest.to_owned(),
        None => return StatusCode::NOT_FOUND.into_response(),
    };
    let (mut head, body) = request.into_parts();
    match rest.parse::<Uri>() {
        Ok(uri) => head.uri = uri,
        Err(_) => return StatusCode::BAD_REQUEST.into_response(),
    }
    let answer = member.router.clone().call(Request::from_parts(head, body)).await;
    let answer = answer.unwrap_or_else(|never| match never {});
    prefixed(answer, &prefix)
}

/// Gives the links of an answer their prefix.
fn prefixed(answer: Response, prefix: &str) -> Response {
    let (mut head, body) = answer.into_parts();
    let to = head.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
    if let Some(to) = to.filter(|to| to.starts_with('/') && *to != ALL)
        && let Ok(to) = HeaderValue::from_str(&format!("{prefix}{to}"))
    {
        head.headers.insert(header::LOCATION, to);
    }
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("text/html") && !kind.starts_with("text/event-stream") {
        return Response::from_parts(head, body);
    }
    head.headers.remove(header::CONTENT_LENGTH);
    let prefix = prefix.to_owned();
    // A page and an event come in one piece each.
    let pieces = body.into_data_stream().map(move |piece| piece.map(|piece| with_prefix(&piece, &prefix)));
    Response::from_parts(head, Body::from_stream(pieces))
}

/// The attributes that hold an address.
const ATTRIBUTES: [&str; 4] = ["href", "action", "src", "data-live"];

/// A piece of a page whose links have a prefix. In text a quote is written as `&quot;`, so that nothing else can look like an
/// attribute.
fn with_prefix(piece: &Bytes, prefix: &str) -> Bytes {
    let Ok(text) = std::str::from_utf8(piece) else { return piece.clone() };
    let mut text = text.to_owned();
    for attribute in ATTRIBUTES {
        text = text.replace(&format!(" {attribute}=\"/"), &format!(" {attribute}=\"{prefix}/"));
    }
    // The way back to all servers is the same from everywhere.
    text = text.replace(&format!(" href=\"{prefix}{ALL}\""), &format!(" href=\"{ALL}\""));
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_get_the_prefix_and_texts_do_not() {
        let page = "<a href=\"/tables?x=1\">t</a><a href=\"/servers\">all</a><a href=\"https://e.org/\">e</a>\
                    <a href=\"#content\">s</a><form method=\"post\" action=\"/journal/undo\"><code>a href=&quot;/x&quot;</code>";
        let given = with_prefix(&Bytes::from(page), "/s/one");
        assert_eq!(
            std::str::from_utf8(&given).unwrap(),
            "<a href=\"/s/one/tables?x=1\">t</a><a href=\"/servers\">all</a><a href=\"https://e.org/\">e</a>\
             <a href=\"#content\">s</a><form method=\"post\" action=\"/s/one/journal/undo\"><code>a href=&quot;/x&quot;</code>"
        );
    }
}
