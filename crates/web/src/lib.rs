//! What does a running pgwright answer over HTTP, and to whom?
//!
//! - `/metrics`: what [`exporter`] has sampled.
//! - `/healthz`: whether every database is connected; open to everybody, because it says nothing else.
//!
//! Off the loopback interface nothing is served without a token or a password.

pub mod access;
mod metrics;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use exporter::Exporter;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use access::Access;

/// What pages are made of.
#[derive(Clone, Debug)]
pub struct App {
    /// Samples and their state.
    pub exporter: Arc<Exporter>,
    /// Who may read.
    pub access: Arc<Access>,
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
                "Name a file with a token (--token-file) or with users (--users-file), or listen on 127.0.0.1.".into()
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
pub async fn serve(listener: TcpListener, app: App, mut stop: watch::Receiver<bool>) -> std::io::Result<()> {
    let router = router(app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await
}

fn router(app: App) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics::answer))
        .route_layer(middleware::from_fn_with_state(app.clone(), guard));
    Router::new()
        .route("/healthz", get(health))
        .merge(guarded)
        .layer(middleware::from_fn(harden))
        .with_state(app)
}

async fn health(State(app): State<App>) -> Response {
    match app.exporter.ready() {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        // Why is for those who may read.
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "a database is not connected\n").into_response(),
    }
}

async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let access = app.access.clone();
    // Checking a password takes long on purpose; meanwhile others are answered.
    let admitted =
        tokio::task::spawn_blocking(move || access.admits(given.as_deref())).await.unwrap_or(false);
    if admitted {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"pgwright\", charset=\"UTF-8\"")];
    (StatusCode::UNAUTHORIZED, challenge, "authentication is needed\n").into_response()
}

/// Nothing is loaded from elsewhere, nothing runs, nobody may frame it.
async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
