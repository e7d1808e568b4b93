//! What does every page have around it? The same head, navigation and foot, and no style or script of its own.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest as _, Sha256};

use super::figures::{ago, written};
use crate::guard::Identity;
use crate::{Failure, Site};

const STYLE: &str = include_str!("../../assets/style.css");
const SCRIPT: &str = include_str!("../../assets/live.js");
const ICON: &str = include_str!("../../assets/icon.svg");

/// The pages in the order of the navigation.
const PAGES: &[(&str, &str)] = &[
    ("/", "Overview"),
    ("/alerts", "Alerts"),
    ("/statements", "Statements"),
    ("/tables", "Tables"),
    ("/indexes", "Indexes"),
    ("/locks", "Locks"),
    ("/recommendations", "Recommendations"),
    ("/journal", "Journal"),
    ("/maintenance", "Maintenance"),
    ("/partitions", "Partitions"),
    ("/replication", "Replication"),
    ("/catalogue", "Catalogue"),
];

/// The page over all servers; the same address on the pages of each of them.
pub(crate) const ALL: &str = "/servers";

/// One page.
pub(crate) struct Page<'a> {
    pub title: &'a str,
    /// Its entry in the navigation.
    pub place: &'a str,
    /// Whether parts of it change while it is looked at.
    pub live: bool,
}

/// The address of an asset; another text has another address, so that it can be kept for ever.
fn asset(name: &str, text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    format!("/static/{name}?{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
}

/// The whole page.
pub(crate) fn page(site: &Site, identity: &Identity, page: &Page<'_>, body: &Markup) -> Markup {
    let target = &site.app.exporter.options().target;
    let connected = site.app.exporter.ready();
    let sampled = site.last_sample();
    html! {
        (DOCTYPE)
        html lang="en" {
        (head(page.title, page.live))
        body {
            a.skip href="#content" { "Skip to content" }
            header {
                a.brand href="/" { "pgwright" }
                @if let Some(name) = &site.name { span { a href=(ALL) { "Servers" } " / " (name) } }
                span.server {
                    (target.database()) span.dim { " on " (target.host()) ":" (target.port()) }
                }
                @if let Err(reason) = &connected {
                    span.bad role="status" { "not connected" span.dim { " " (reason) } }
                }
                (who(identity))
            }
            nav aria-label="Pages" { ul {
                @for (path, title) in PAGES {
                    li { a href=(path) aria-current=[(*path == page.place).then_some("page")] { (title) } }
                }
            } }
            main id="content" tabindex="-1" {
                h1 { (page.title) }
                (body)
            }
            footer {
                @match sampled {
                    Some(at) => { "last sample " (ago(at)) ", " (written(at)) },
                    None => { "nothing was sampled yet" },
                }
                " · pgwright " (site.app.exporter.options().version)
            }
        }
        }
    }
}

/// Who is signed in, and the way out.
fn who(identity: &Identity) -> Markup {
    html! {
        @if let Some(name) = &identity.name {
            form.who method="post" action="/sign-out" {
                @if let Some(csrf) = &identity.csrf { input type="hidden" name="csrf" value=(csrf); }
                span { (name) " (" (identity.role.as_str()) ")" }
                @if identity.csrf.is_some() { button type="submit" { "Sign out" } }
            }
        }
    }
}

/// A page that is about no server alone.
pub(crate) fn common_page(identity: &Identity, title: &str, version: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
        (head(title, false))
        body {
            a.skip href="#content" { "Skip to content" }
            header {
                a.brand href=(ALL) { "pgwright" }
                (who(identity))
            }
            main id="content" tabindex="-1" {
                h1 { (title) }
                (body)
            }
            footer { "pgwright " (version) }
        }
        }
    }
}

fn head(title: &str, live: bool) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (title) " · pgwright" }
            link rel="icon" type="image/svg+xml" href=(asset("icon.svg", ICON));
            link rel="stylesheet" href=(asset("style.css", STYLE));
            @if live { script src=(asset("live.js", SCRIPT)) defer {} }
        }
    }
}

/// The page on which one signs in.
pub(crate) fn sign_in(has_users: bool, to: &str, problem: Option<&str>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
        (head("Sign in", false))
        body.sign-in {
            main id="content" {
                h1 { "pgwright" }
                @if let Some(problem) = problem { p.bad role="alert" { (problem) } }
                form method="post" action="/sign-in" {
                    input type="hidden" name="to" value=(to);
                    @if has_users {
                        label { "User" input name="user" autocomplete="username" autofocus; }
                        label { "Password" input type="password" name="password" autocomplete="current-password" required; }
                        p.dim { "With a token: leave the user empty, and give the token as the password." }
                    } @else {
                        label { "Token" input type="password" name="password" autocomplete="current-password" required autofocus; }
                    }
                    button type="submit" { "Sign in" }
                }
            }
        }
        }
    }
}

/// What went wrong, within a page.
pub(crate) fn failure(failure: &Failure) -> Markup {
    html! {
        div.failure role="alert" {
            p { strong { (failure.message) } }
            @if let Some(detail) = &failure.detail { p { (detail) } }
            @if let Some(hint) = &failure.hint { p.dim { (hint) } }
        }
    }
}

/// A file that never changes at its address.
pub(crate) fn kept_file(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (StatusCode::OK, headers, text).into_response()
}

pub(crate) async fn style() -> Response {
    kept_file("text/css; charset=utf-8", STYLE)
}

pub(crate) async fn script() -> Response {
    kept_file("text/javascript; charset=utf-8", SCRIPT)
}

pub(crate) async fn icon() -> Response {
    kept_file("image/svg+xml", ICON)
}
