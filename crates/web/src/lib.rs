//! What does a running pgwright answer over HTTP, and to whom?
//!
//! - `/metrics`: what [`exporter`] has sampled.
//! - `/api/alerts`, `/api/silences`: how alerts stand, and what is silenced.
//! - `/healthz`: whether every database is connected; open to everybody, because it says nothing else.
//! - everything else: pages for people, in `pages`.
//!
//! Off the loopback interface nothing is served without a token or a password. Who changes something is a user with role
//! operator, whom a password has let in.

pub mod access;
mod alerts;
mod door;
pub mod encryption;
mod failure;
pub mod fixes;
pub mod fleet;
mod guard;
mod live;
mod metrics;
mod pages;
mod session;
mod workshop;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use chrono::{DateTime, Utc};
use exporter::Exporter;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use access::{Access, Role};
pub use failure::Failure;
pub use workshop::{Advised, Task, Tell, Workshop};

use door::Door;
use encryption::Encrypted;
use fixes::Fixes;
use live::Live;
use workshop::Bench;

/// What pages are made of.
#[derive(Clone, Debug)]
pub struct App {
    /// Samples and their state.
    pub exporter: Arc<Exporter>,
    /// Who makes advice and changes.
    pub workshop: Arc<dyn Workshop>,
    /// What was kept of the past, where it is.
    pub history: Option<Arc<history::Reader>>,
    /// How alerts stand, where they are evaluated.
    pub alerts: Option<Arc<alerting::Alerts>>,
    /// How often, at most, fixes are computed for what got slower.
    pub fixes_every: Option<Duration>,
}

/// What requests share.
#[derive(Debug)]
pub(crate) struct Site {
    pub app: App,
    pub door: Door,
    /// Its name, where it is one of several.
    pub name: Option<String>,
    pub began_at: DateTime<Utc>,
    pub live: Live,
    pub kept: pages::Keeping,
    pub advice: Bench<Advised>,
    pub fixes: Fixes,
    pub changes: Bench<String>,
    pub stop: watch::Receiver<bool>,
}

impl Site {
    fn new(app: App, door: Door, name: Option<String>, stop: watch::Receiver<bool>) -> Self {
        Self {
            fixes: Fixes::new(app.fixes_every.filter(|_| app.history.is_some())),
            app,
            door,
            name,
            began_at: Utc::now(),
            live: Live::new(),
            kept: pages::Keeping::default(),
            advice: Bench::new(),
            changes: Bench::new(),
            stop,
        }
    }

    /// What is recommended: what was asked for, and what was computed for statements that got slower.
    pub fn advised(&self) -> Option<Advised> {
        let fixes = self.fixes.advised();
        match (self.advice.result(), fixes) {
            (Some(mut asked), fixes) => {
                let (at, notes) = (asked.advised_at, asked.notes.len());
                fixes.iter().for_each(|fixes| asked.add(fixes));
                // What could not be done is told by who asked.
                asked.notes.truncate(notes);
                asked.advised_at = at;
                Some(asked)
            }
            (None, fixes) => fixes,
        }
    }

    /// For how long statements have been watched: counters of series begin at zero with pgwright.
    pub fn watched_seconds(&self) -> f64 {
        ((Utc::now() - self.began_at).num_milliseconds() as f64 / 1000.0).max(1.0)
    }

    /// When anything was sampled last.
    pub fn last_sample(&self) -> Option<DateTime<Utc>> {
        let samples = self.app.exporter.samples("pgwright_collector_last_success_timestamp_seconds");
        let last = samples.iter().map(|s| s.value).fold(f64::NEG_INFINITY, f64::max);
        last.is_finite().then(|| pages::figures::moment(last)).flatten()
    }
}

/// What keeps it from serving.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or none of this machine.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        reason: String,
    },
    /// Others could reach it, and nobody would be asked who they are.
    #[error("refusing to listen on {address} without authentication")]
    Open {
        /// The address.
        address: SocketAddr,
    },
}

impl Error {
    /// What is known beyond the message.
    pub fn detail(&self) -> Option<String> {
        Some(match self {
            Self::Listen { reason, .. } => format!("{reason}."),
            Self::Open { .. } => {
                "Other machines could read statements, names and figures of the database.".into()
            }
        })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Listen { .. } => "Choose another address with --listen.".into(),
            Self::Open { .. } => {
                "Name a file with a token (--token-file) or with users (--users-file), a proxy that asks (--proxy-header), or listen on \
                 127.0.0.1.".into()
            }
        })
    }
}

/// Opens the port.
///
/// # Errors
/// When it is taken, or would be open to others without authentication.
pub async fn listen(address: SocketAddr, access: &Access) -> Result<TcpListener, Error> {
    if !address.ip().is_loopback() && access.is_open() {
        return Err(Error::Open { address });
    }
    TcpListener::bind(address).await.map_err(|error| Error::Listen { address, reason: error.to_string() })
}

/// Answers until `stop` becomes true, then ends what is under way.
///
/// # Errors
/// When the port can no longer be read.
pub async fn serve(
    listener: TcpListener,
    app: App,
    access: Arc<Access>,
    stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let site = Arc::new(Site::new(app, Door::new(access.clone()), None, stop.clone()));
    tokio::spawn(fixes::keep_up(site.clone()));
    answer(listener, router(&site), &access, stop).await
}

/// Answers by a router until `stop` becomes true.
async fn answer(
    listener: TcpListener,
    router: Router,
    access: &Access,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    match access.encryption().cloned() {
        None => axum::serve(listener, router).with_graceful_shutdown(stopped).await,
        // The address of a client is only known of a listener that is tapped.
        Some(encryption) => {
            let listener = Encrypted::new(listener, encryption)?.tap_io(|_| ());
            axum::serve(listener, router).with_graceful_shutdown(stopped).await
        }
    }
}

fn router(site: &Arc<Site>) -> Router {
    let of_alerts = site.app.alerts.clone().map(alerts::router).unwrap_or_default();
    let programs = Router::new()
        .route("/metrics", get(metrics::answer))
        .merge(of_alerts)
        .route_layer(middleware::from_fn_with_state(site.door.clone(), guard::programs));
    Router::new()
        .route("/healthz", get(health))
        .merge(programs)
        .merge(pages::router(site))
        .layer(middleware::from_fn(harden))
        .with_state(site.clone())
}

impl FromRef<Arc<Site>> for Door {
    fn from_ref(site: &Arc<Site>) -> Self {
        site.door.clone()
    }
}

async fn health(State(site): State<Arc<Site>>) -> Response {
    match site.app.exporter.ready() {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        // Why is for those who may read.
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "a database is not connected\n").into_response(),
    }
}

/// Nothing is loaded from elsewhere, nothing runs but the own script, nobody may frame it.
async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Without any, browsers do not say either from where a form is sent.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
