//! Who has signed in, and who tries too often? Sessions live in memory: a restart signs everybody out.
//!
//! Source: OWASP, "Session Management Cheat Sheet" and "Cross-Site Request Forgery Prevention Cheat Sheet"; RFC 6265bis
//! (cookies).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::rand_core::{OsRng, RngCore as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::access::{Who, digest};

/// How long a session lasts at most, and how long without a request.
const LASTS: Duration = Duration::from_secs(12 * 3600);
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// So many sessions are kept; of more, the one that was idle longest ends.
const SESSIONS: usize = 1000;
/// So often may an address be wrong within a window.
const FAILURES: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// So many addresses are remembered.
const ADDRESSES: usize = 10_000;

/// The name of the cookie.
const COOKIE: &str = "pgwright_session";

/// 32 bytes of chance as text.
pub(crate) fn secret() -> String {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Somebody's session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub who: Who,
    /// What forms of this session must send back.
    pub csrf: String,
    began: Instant,
    last_used: Instant,
}

/// Everybody's. The keys are digests: who reads the memory of this process by accident finds no cookie.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_digest: Mutex<HashMap<[u8; 32], Session>>,
}

impl Sessions {
    /// Begins a session; given is what the cookie holds.
    pub fn begin(&self, who: Who) -> String {
        let (cookie, now) = (secret(), Instant::now());
        let mut sessions = self.lock();
        sessions.retain(|_, s| is_alive(s, now));
        if sessions.len() >= SESSIONS {
            let idlest = sessions.iter().min_by_key(|(_, s)| s.last_used).map(|(key, _)| *key);
            idlest.and_then(|key| sessions.remove(&key));
        }
        sessions.insert(digest(&cookie), Session { who, csrf: secret(), began: now, last_used: now });
        cookie
    }

    /// The session of a `Cookie` header.
    pub fn find(&self, cookies: &str) -> Option<Session> {
        let now = Instant::now();
        let mut sessions = self.lock();
        let session = sessions.get_mut(&digest(cookie_in(cookies)?)).filter(|s| is_alive(s, now))?;
        session.last_used = now;
        Some(session.clone())
    }

    /// Ends the session of a `Cookie` header.
    pub fn end(&self, cookies: &str) {
        if let Some(cookie) = cookie_in(cookies) {
            self.lock().remove(&digest(cookie));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.by_digest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_alive(session: &Session, now: Instant) -> bool {
    now.duration_since(session.began) < LASTS && now.duration_since(session.last_used) < IDLE
}

fn cookie_in(cookies: &str) -> Option<&str> {
    cookies.split(';').find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// The `Set-Cookie` header of a session, or of its end.
pub(crate) fn cookie_header(value: Option<&str>, secure: bool) -> String {
    let (value, age) = value.map_or(("", 0), |value| (value, LASTS.as_secs()));
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

/// Failed attempts to sign in, by address.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    by_address: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

impl Attempts {
    /// For how long an address has to wait before it may try again.
    pub fn wait(&self, address: IpAddr) -> Option<Duration> {
        let attempts = self.lock();
        let (failures, since) = attempts.get(&network(address))?;
        (*failures >= FAILURES).then(|| WINDOW.saturating_sub(since.elapsed())).filter(|left| !left.is_zero())
    }

    /// Notes that an address was wrong.
    pub fn failed(&self, address: IpAddr) {
        let mut attempts = self.lock();
        if attempts.len() >= ADDRESSES {
            attempts.retain(|_, (_, since)| since.elapsed() < WINDOW);
        }
        let entry = attempts.entry(network(address)).or_insert_with(|| (0, Instant::now()));
        if entry.1.elapsed() >= WINDOW {
            *entry = (0, Instant::now());
        }
        entry.0 += 1;
    }

    /// Forgets what an address did wrong: it was right.
    pub fn succeeded(&self, address: IpAddr) {
        self.lock().remove(&network(address));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, (u32, Instant)>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has one IPv6 address has a network of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << 64)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;

    #[test]
    fn a_session_is_found_by_its_cookie_until_it_ends() {
        let sessions = Sessions::default();
        let cookie = sessions.begin(Who { name: "ada".into(), role: Role::Operator });
        let header = format!("other=1; {COOKIE}={cookie}");
        let session = sessions.find(&header).unwrap();
        assert_eq!(session.who.name, "ada");
        assert_ne!(session.csrf, cookie);
        for wrong in ["", "pgwright_session", "pgwright_session=", &format!("{COOKIE}x={cookie}"), &cookie] {
            assert!(sessions.find(wrong).is_none(), "{wrong}");
        }
        sessions.end(&header);
        assert!(sessions.find(&header).is_none());
        assert!(cookie_header(Some("x"), true).ends_with("; HttpOnly; SameSite=Strict; Secure"));
        assert!(cookie_header(None, false).contains("pgwright_session=; Path=/; Max-Age=0;"));
    }

    #[test]
    fn the_sixth_attempt_of_a_network_has_to_wait_and_another_has_not() {
        let attempts = Attempts::default();
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        for _ in 0..FAILURES {
            assert_eq!(attempts.wait(one), None);
            attempts.failed(one);
        }
        assert!(attempts.wait("2001:db8::2".parse().unwrap()).is_some_and(|left| left <= WINDOW));
        assert_eq!(attempts.wait("2001:db8:0:1::1".parse().unwrap()), None);
        attempts.succeeded(one);
        assert_eq!(attempts.wait(one), None);
    }
}
