//! May this request be answered? Who asks is found by a header or a session; what changes something needs the session's
//! own token, so that no other site can send it.
//!
//! Source: OWASP, "Cross-Site Request Forgery Prevention Cheat Sheet"; Fetch Metadata (W3C).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::access::{Role, Who};
use crate::door::Door;
use crate::pages::link;
use crate::session::Turn;

/// A form holds a few words.
const FORM_BYTES: usize = 64 << 10;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// `None` where nobody is asked who they are.
    pub name: Option<String>,
    pub role: Role,
    /// What forms must send back; `None` for who sends a header with each request, which gets no forms.
    pub csrf: Option<String>,
}

impl Identity {
    /// Whether it may have advice computed, which costs this machine something and changes nothing.
    pub fn may_ask_for_advice(&self) -> bool {
        self.csrf.is_some() && (self.role == Role::Operator || self.name.is_none())
    }

    /// Whether it may keep alerts quiet: whoever reaches the loopback interface where nobody is asked who they are,
    /// operators elsewhere. By the page and by a program alike.
    pub fn may_silence(&self) -> bool {
        self.name.is_none() || self.role == Role::Operator
    }

    /// Whether it may change the database.
    pub fn may_change(&self) -> bool {
        self.csrf.is_some() && self.role == Role::Operator
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// For programs: who is not known is asked for a header.
pub(crate) async fn programs(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    admit(&door, peer, request, next, |_| {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"pgwright\", charset=\"UTF-8\"")];
        (StatusCode::UNAUTHORIZED, challenge, "authentication is needed\n").into_response()
    })
    .await
}

/// For pages: who is not known is sent to sign in.
pub(crate) async fn pages(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    admit(&door, peer, request, next, |request| {
        let wanted = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let wanted = if request.method() == Method::GET { wanted } else { "/" };
        Redirect::to(&link("/sign-in", &[("to", wanted)])).into_response()
    })
    .await
}

/// Hands on a request with who asks, or answers it where that is not known.
async fn admit(
    door: &Door,
    peer: SocketAddr,
    mut request: Request,
    next: Next,
    not_known: impl FnOnce(&Request) -> Response,
) -> Response {
    match identify(door, peer, request.headers()).await {
        Ok(Some(identity)) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Ok(None) => not_known(&request),
        Err(refusal) => refusal,
    }
}

/// For what changes something: a form of the page itself, sent by who may.
pub(crate) async fn forms(request: Request, next: Next) -> Response {
    let Some(identity) = request.extensions().get::<Identity>().cloned() else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    if is_from_elsewhere(request.headers()) {
        return (StatusCode::FORBIDDEN, "this form was sent by another site\n").into_response();
    }
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, FORM_BYTES).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "the form is too long\n").into_response();
    };
    let sent = url::form_urlencoded::parse(&bytes)
        .find(|(name, _)| name == "csrf")
        .map(|(_, value)| value.into_owned());
    let right = match (&identity.csrf, &sent) {
        // Of digests, how far they are equal says nothing about the token.
        (Some(csrf), Some(sent)) => crate::access::digest(csrf) == crate::access::digest(sent),
        _ => false,
    };
    if !right {
        return (
            StatusCode::FORBIDDEN,
            "this form is not of this session; go back, load the page again and repeat\n",
        )
            .into_response();
    }
    next.run(Request::from_parts(parts, Body::from(bytes))).await
}

/// Whether a browser says that another site has sent this.
pub(crate) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    // Browsers send this to who they trust: over TLS, and on the machine itself.
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let (Some(origin), Some(host)) = (text(headers, header::ORIGIN), text(headers, header::HOST)) else {
        return false;
    };
    origin.split_once("://").is_none_or(|(_, origin)| !origin.eq_ignore_ascii_case(host))
}

/// Who asks, where that is known; a refusal where it does not matter who.
async fn identify(door: &Door, peer: SocketAddr, headers: &HeaderMap) -> Result<Option<Identity>, Response> {
    if door.access.is_open() {
        // Another site can give its name this machine's address, and would then be taken for the same one.
        let hosts = headers.get_all(header::HOST);
        if !hosts.iter().all(|host| host.to_str().is_ok_and(is_loopback)) {
            let told = "this name is not one of the machine itself\n\
                        Ask for 127.0.0.1 or localhost, or have pgwright ask who you are (--token-file, --users-file).\n";
            return Err((StatusCode::MISDIRECTED_REQUEST, told).into_response());
        }
        let csrf = Some(door.open_csrf.to_string());
        return Ok(Some(Identity { name: None, role: Role::Viewer, csrf }));
    }
    if let Some(who) = door.access.told_by_proxy(peer.ip(), headers) {
        // There is no session; what other sites cannot know is made of a secret of this process.
        let csrf = BASE64.encode(crate::access::digest(&format!("{} {}", door.open_csrf, who.name)));
        return Ok(Some(Identity { name: Some(who.name), role: who.role, csrf: Some(csrf) }));
    }
    if let Some(given) = text(headers, header::AUTHORIZATION).map(str::to_owned) {
        if let Some(who) = door.access.with_strong_token(&given) {
            return Ok(Some(Identity { name: Some(who.name), role: who.role, csrf: None }));
        }
        let quick = door.access.is_quick(&given);
        let access = door.access.clone();
        let who = attempt(door, peer.ip(), quick, move || access.identify(&given)).await?;
        return Ok(who.map(|w| Identity { name: Some(w.name), role: w.role, csrf: None }));
    }
    let session = text(headers, header::COOKIE).and_then(|cookies| door.sessions.find(cookies));
    Ok(session.map(|s| Identity { name: Some(s.who.name), role: s.who.role, csrf: Some(s.csrf) }))
}

/// Looks at credentials; after a while where their address was wrong too often.
pub(crate) async fn attempt(
    door: &Door,
    address: IpAddr,
    quick: bool,
    look: impl FnOnce() -> Option<Who> + Send + 'static,
) -> Result<Option<Who>, Response> {
    // As long as this is there, nobody else of the address is looked at.
    let waiting = match door.attempts.turn(address) {
        Turn::Now => None,
        Turn::After(wait, waiting) => {
            tokio::time::sleep(wait).await;
            Some(waiting)
        }
        Turn::Refused(wait) => return Err(too_many(wait)),
    };
    let who = if quick {
        look()
    } else {
        // Argon2 takes time and memory on purpose; many at once would take all of them.
        let _turn =
            door.hashing.acquire().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE.into_response())?;
        tokio::task::spawn_blocking(look).await.ok().flatten()
    };
    let again = match &who {
        Some(_) => {
            door.attempts.succeeded(address);
            None
        }
        None => door.attempts.failed(address),
    };
    match again {
        // The attempt that makes the next one wait is told what was wrong.
        Some(wait) if waiting.is_some() => Err(too_many(wait)),
        _ => Ok(who),
    }
}

fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    let told = format!("there were too many wrong attempts; try again in {seconds} s\n");
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, HeaderValue::from(seconds))], told).into_response()
}

/// Whether a `Host` names the machine itself.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_machine_itself_are_loopback() {
        for host in ["127.0.0.1:9187", "localhost", "LOCALHOST:80", "[::1]:9187", "x.localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:9187", "10.0.0.1", "", "[::2]:1", "notlocalhost"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_form_of_another_site_is_known_by_what_the_browser_says() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
                .collect::<HeaderMap>()
        };
        for (elsewhere, pairs) in [
            (false, &[("host", "a:1")][..]),
            (false, &[("host", "a:1"), ("origin", "http://a:1"), ("sec-fetch-site", "same-origin")][..]),
            (true, &[("host", "a:1"), ("origin", "http://b:1")][..]),
            (true, &[("host", "a:1"), ("origin", "null")][..]),
            (false, &[("host", "a:1"), ("origin", "null"), ("sec-fetch-site", "same-origin")][..]),
            (true, &[("host", "a:1"), ("sec-fetch-site", "cross-site")][..]),
            (true, &[("host", "a:1"), ("sec-fetch-site", "same-site")][..]),
        ] {
            assert_eq!(is_from_elsewhere(&headers(pairs)), elsewhere, "{pairs:?}");
        }
    }
}
