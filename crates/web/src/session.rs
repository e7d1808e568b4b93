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
/// So often may an address be wrong before it has to wait; twice as long after each attempt, up to the longest.
const FAILURES: u32 = 5;
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// After this time without an attempt that was wrong, those before are forgotten.
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
    by_address: Mutex<HashMap<IpAddr, Failed>>,
}

#[derive(Debug)]
struct Failed {
    times: u32,
    last: Instant,
    /// Somebody waits until it may be tried again.
    somebody_waits: bool,
}

impl Failed {
    fn wait(&self) -> Option<Duration> {
        let more = self.times.checked_sub(FAILURES)?;
        let wait = WAITS.0.saturating_mul(2_u32.saturating_pow(more)).min(WAITS.1);
        Some(wait.saturating_sub(self.last.elapsed())).filter(|_| self.last.elapsed() < WINDOW)
    }
}

/// Whether credentials are looked at. Those that are right have to be, whoever else was wrong from the same address; who
/// guesses is slowed down by having to wait.
#[derive(Debug)]
pub(crate) enum Turn<'a> {
    /// At once.
    Now,
    /// After this time; for all others of the address later, as long as this is kept.
    After(Duration, Waiting<'a>),
    /// Not, because somebody else of the address waits; perhaps after this time.
    Refused(Duration),
}

/// The one attempt of an address that waits.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    attempts: &'a Attempts,
    address: IpAddr,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(failed) = self.attempts.lock().get_mut(&network(self.address)) {
            failed.somebody_waits = false;
        }
    }
}

impl Attempts {
    /// Whether an address may try.
    pub fn turn(&self, address: IpAddr) -> Turn<'_> {
        let mut attempts = self.lock();
        let Some(failed) = attempts.get_mut(&network(address)) else { return Turn::Now };
        let Some(wait) = failed.wait() else { return Turn::Now };
        if std::mem::replace(&mut failed.somebody_waits, true) {
            return Turn::Refused(wait);
        }
        Turn::After(wait, Waiting { attempts: self, address })
    }

    /// Notes that an address was wrong; how long it has to wait.
    pub fn failed(&self, address: IpAddr) -> Option<Duration> {
        let mut attempts = self.lock();
        if attempts.len() >= ADDRESSES {
            attempts.retain(|_, failed| failed.somebody_waits || failed.last.elapsed() < WINDOW);
        }
        let now = Instant::now();
        let none = Failed { times: 0, last: now, somebody_waits: false };
        let failed = attempts.entry(network(address)).or_insert(none);
        if failed.last.elapsed() >= WINDOW {
            failed.times = 0;
        }
        (failed.times, failed.last) = (failed.times + 1, now);
        failed.wait()
    }

    /// Forgets what an address did wrong: it was right.
    pub fn succeeded(&self, address: IpAddr) {
        self.lock().remove(&network(address));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Failed>> {
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
    fn the_sixth_attempt_of_a_network_has_to_wait_alone_and_another_network_has_not() {
        let attempts = Attempts::default();
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        for number in 1..=FAILURES {
            assert!(matches!(attempts.turn(one), Turn::Now), "{number}");
            assert_eq!(attempts.failed(one).is_some(), number == FAILURES);
        }
        let same: IpAddr = "2001:db8::2".parse().unwrap();
        let Turn::After(wait, waiting) = attempts.turn(same) else { panic!("it does not wait") };
        assert!(wait <= WAITS.0);
        assert!(matches!(attempts.turn(one), Turn::Refused(_)), "two wait at a time");
        assert!(matches!(attempts.turn("2001:db8:0:1::1".parse().unwrap()), Turn::Now));
        // Who was wrong again waits longer, but not for ever.
        let waits: Vec<Duration> = (0..40).filter_map(|_| attempts.failed(one)).collect();
        assert!(waits[..4].is_sorted() && waits[0] > WAITS.0, "{waits:?}");
        assert!(waits.iter().all(|w| *w <= WAITS.1), "{waits:?}");
        drop(waiting);
        assert!(matches!(attempts.turn(one), Turn::After(..)));
        attempts.succeeded(one);
        assert!(matches!(attempts.turn(one), Turn::Now));
    }
}
