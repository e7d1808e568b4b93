//! How does one sign in and out?

use std::net::SocketAddr;

use axum::Form;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::layout;
use crate::door::Door;
use crate::guard;
use crate::session::cookie_header;

#[derive(Deserialize)]
pub(crate) struct Place {
    #[serde(default)]
    to: String,
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    #[serde(default)]
    user: String,
    password: String,
    #[serde(default)]
    to: String,
}

/// An address of this site, and nothing else: no other host, and no header.
fn own(to: &str) -> &str {
    let own = to.starts_with('/')
        && !to.starts_with("//")
        && to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
        && !to.starts_with("/sign-");
    if own { to } else { "/" }
}

/// Whether this connection is encrypted, or a proxy in front says that it was asked over TLS. Who says so without one gets a cookie that it does not send
/// back, and nothing else.
fn over_tls(door: &Door, headers: &HeaderMap) -> bool {
    door.access.encryption().is_some()
        || headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https")
}

pub(crate) async fn show(State(door): State<Door>, Query(place): Query<Place>) -> Response {
    if door.access.is_open() {
        return Redirect::to("/").into_response();
    }
    layout::sign_in(door.access.has_users(), own(&place.to), None).into_response()
}

pub(crate) async fn begin(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Response {
    let again = |status: StatusCode, problem: &str| {
        let page = layout::sign_in(door.access.has_users(), own(&given.to), Some(problem));
        (status, page).into_response()
    };
    if guard::is_from_elsewhere(&headers) {
        return again(StatusCode::FORBIDDEN, "This form was sent by another site.");
    }
    let access = door.access.clone();
    let (user, password) = (given.user.clone(), given.password.clone());
    let who = guard::attempt(&door, peer.ip(), false, move || access.sign_in(&user, &password)).await;
    match who {
        Ok(Some(who)) => {
            let cookie = door.sessions.begin(who);
            let cookie = cookie_header(Some(&cookie), over_tls(&door, &headers));
            ([(header::SET_COOKIE, cookie)], Redirect::to(own(&given.to))).into_response()
        }
        Ok(None) => again(StatusCode::UNAUTHORIZED, "User or password are wrong."),
        Err(refusal) => {
            let retry = refusal.headers().get(header::RETRY_AFTER).cloned();
            let status = refusal.status();
            let mut page = again(
                status,
                "User or password are wrong, or somebody else tries from the same address. Wait half a minute and try again.",
            );
            if let Some(retry) = retry {
                page.headers_mut().insert(header::RETRY_AFTER, retry);
            }
            page
        }
    }
}

pub(crate) async fn end(State(door): State<Door>, headers: HeaderMap) -> Response {
    if let Some(cookies) = headers.get(header::COOKIE).and_then(|v| v.to_str().ok()) {
        door.sessions.end(cookies);
    }
    ([(header::SET_COOKIE, cookie_header(None, over_tls(&door, &headers)))], Redirect::to("/sign-in"))
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(own("/statement?queryid=-1&database=a%22b"), "/statement?queryid=-1&database=a%22b");
        for elsewhere in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\r\nSet-Cookie:x",
            "/sign-in",
        ] {
            assert_eq!(own(elsewhere), "/", "{elsewhere}");
        }
    }
}
