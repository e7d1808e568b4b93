//! How is something shown that goes on while one looks? What it has told so far, renewed every second until it ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use maud::{Markup, html};

use super::figures::{ago, written};
use super::layout;
use crate::Site;
use crate::workshop::Job;

const EVERY: Duration = Duration::from_secs(1);

/// A job with what it told. The part is renewed from `events` while it goes on.
pub(super) fn show<T>(job: &Job<T>, events: &str) -> Markup {
    let going_on = job.ended.is_none();
    html! {
        div data-live=[going_on.then_some(events)] { (part(job)) }
    }
}

fn part<T>(job: &Job<T>) -> Markup {
    html! {
        p role="status" {
            strong { (job.title) } ", "
            @match &job.ended {
                None => { "begun " (ago(job.began_at)) },
                Some((at, Ok(_))) => { span.good { "done" } " " (written(*at)) },
                Some((at, Err(_))) => { span.bad { "failed" } " " (written(*at)) },
            }
        }
        @if !job.lines.is_empty() { pre tabindex="0" { code { @for line in &job.lines { (line) "\n" } } } }
        @if let Some((_, Err(failure))) = &job.ended { (layout::failure(failure)) }
    }
}

/// Sends the part until the job has ended, and then that it has.
pub(super) fn events<T: Clone + Send + 'static>(
    site: Arc<Site>,
    job: impl Fn(&Site) -> Option<Job<T>> + Send + 'static,
) -> Response {
    let stop = site.stop.clone();
    let answers = stream::unfold((site, job, stop, Some(true)), |(site, job, mut stop, first)| async move {
        // Nothing after the end.
        if !first? {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return None,
            }
        }
        let event = match job(&site) {
            Some(now) if now.ended.is_none() => {
                (Event::default().data(part(&now).into_string().replace('\r', " ")), Some(false))
            }
            _ => (Event::default().event("done").data("ended"), None),
        };
        Some((Ok::<_, Infallible>(event.0), (site, job, stop, event.1)))
    });
    Sse::new(answers).keep_alive(KeepAlive::default()).into_response()
}
