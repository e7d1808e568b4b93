//! What do people see? One file per page; each gives the part between head and foot.

mod alerts;
mod catalogue;
pub(crate) mod changed;
mod chart;
pub(crate) mod figures;
pub(crate) mod fleet;
mod indexes;
mod jobs;
mod journal;
pub(crate) mod layout;
mod listing;
mod locks;
mod maintenance;
mod overview;
mod partitions;
mod past;
mod plans;
mod recommendations;
mod replication;
mod samples;
pub(crate) mod sign_in;
mod statements;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use maud::{Markup, html};
use postgres::catalog::{CatalogueRow, IndexFactsRow, LockWaitRow};

use crate::door::Door;
use crate::guard::{self, Identity};
use crate::live::Kept;
use crate::{Failure, Site};
use layout::Page;
use listing::Wanted;

/// Answers of the server that pages share.
#[derive(Debug)]
pub(crate) struct Keeping {
    pub index_facts: Kept<Arc<Vec<IndexFactsRow>>>,
    pub lock_waits: Kept<Arc<Vec<LockWaitRow>>>,
    pub catalogue: Kept<Arc<Vec<CatalogueRow>>>,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            index_facts: Kept::new(Duration::from_secs(30)),
            lock_waits: Kept::new(Duration::from_millis(900)),
            catalogue: Kept::new(Duration::from_secs(30)),
        }
    }
}

/// An address with a query string.
pub(crate) fn link(path: &str, parts: &[(&str, &str)]) -> String {
    if parts.is_empty() {
        return path.to_owned();
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parts).finish();
    format!("{path}?{query}")
}

/// What the handler of a page knows.
pub(crate) struct Visit {
    pub site: Arc<Site>,
    pub identity: Identity,
    pub wanted: Wanted,
}

impl Visit {
    /// The page as an answer.
    fn show(&self, page: &Page<'_>, body: &Markup) -> Response {
        layout::page(&self.site, &self.identity, page, body).into_response()
    }

    /// A page on which something went wrong.
    fn fail(&self, status: StatusCode, page: &Page<'_>, failure: &Failure) -> Response {
        (status, layout::page(&self.site, &self.identity, page, &layout::failure(failure))).into_response()
    }
}

impl Visit {
    /// The hidden part of a form that changes something.
    fn csrf(&self) -> Markup {
        html! { @if let Some(csrf) = &self.identity.csrf { input type="hidden" name="csrf" value=(csrf); } }
    }
}

impl axum::extract::FromRequestParts<Arc<Site>> for Visit {
    type Rejection = StatusCode;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        site: &Arc<Site>,
    ) -> Result<Self, Self::Rejection> {
        let identity = parts.extensions.get::<Identity>().cloned().ok_or(StatusCode::UNAUTHORIZED)?;
        Ok(Self { site: site.clone(), identity, wanted: Wanted::parse(parts.uri.query()) })
    }
}

/// All pages.
pub(crate) fn router(site: &Arc<Site>) -> Router<Arc<Site>> {
    let forms = Router::new()
        .route("/sign-out", post(sign_in::end))
        .route("/recommendations", post(recommendations::begin))
        .route("/recommendations/apply", post(recommendations::apply))
        .route("/journal/undo", post(journal::undo))
        .route("/alerts/silence", post(alerts::silence))
        .route("/alerts/unsilence", post(alerts::unsilence))
        .route_layer(middleware::from_fn(guard::forms));
    let known = Router::new()
        .route("/", get(overview::show))
        .route("/alerts", get(alerts::list))
        .route("/statements", get(statements::list))
        .route("/statement", get(statements::one))
        .route("/tables", get(tables::list))
        .route("/table", get(tables::one))
        .route("/indexes", get(indexes::list))
        .route("/locks", get(locks::show))
        .route("/locks/events", get(locks::events))
        .route("/recommendations", get(recommendations::list))
        .route("/recommendations/events", get(recommendations::events))
        .route("/recommendations/apply", get(recommendations::confirm))
        .route("/maintenance", get(maintenance::show))
        .route("/partitions", get(partitions::list))
        .route("/replication", get(replication::show))
        .route("/catalogue", get(catalogue::list))
        .route("/changes", get(journal::change))
        .route("/changes/events", get(journal::events))
        .route("/journal", get(journal::list))
        .route("/journal/undo", get(journal::confirm))
        .merge(forms)
        .fallback(missing)
        .layer(middleware::from_fn_with_state(site.door.clone(), guard::pages));
    entrance().merge(known)
}

/// What everybody gets: the way in, and what pages look like.
pub(crate) fn entrance<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Door: FromRef<S>,
{
    Router::new()
        .route("/sign-in", get(sign_in::show).post(sign_in::begin))
        .route("/static/style.css", get(layout::style))
        .route("/static/live.js", get(layout::script))
        .route("/static/icon.svg", get(layout::icon))
}

async fn missing(visit: Visit) -> Response {
    let failure = Failure::new("there is no such page").hint("The pages are those of the navigation.");
    visit.fail(StatusCode::NOT_FOUND, &Page { title: "Not found", place: "", live: false }, &failure)
}
