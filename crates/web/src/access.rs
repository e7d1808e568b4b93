//! Who may read, and who may change? Whoever has the token reads; users with a password, of which only an Argon2 hash is
//! known, read or change as their role says.
//!
//! Source: RFC 6750 (bearer tokens), RFC 7617 (basic authentication), the PHC string format.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use argon2::Argon2;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use axum::http::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use crate::encryption::Encryption;

/// The shortest token that is taken, in characters.
const TOKEN_CHARS: usize = 16;
/// With a million attempts a second, this takes hundreds of thousands of years.
const STRONG_BITS: f64 = 64.0;
/// So many credentials that were right are remembered.
const REMEMBERED: usize = 1000;

/// What somebody may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read.
    #[default]
    Viewer,
    /// Read, and change the database.
    Operator,
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// Somebody who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The user, or `token`.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

#[derive(Clone, Debug)]
struct User {
    hash: String,
    role: Role,
}

/// A proxy that asks people who they are, and tells it in a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// The header that holds the name of the user.
    pub header: String,
    /// The addresses that the proxy connects from; from others the header says nothing.
    pub addresses: BTreeSet<IpAddr>,
    /// Users who may change the database.
    pub operators: BTreeSet<String>,
}

/// A token, of which only the digest is kept.
#[derive(Clone, Copy, Debug)]
struct Token {
    digest: [u8; 32],
    /// It cannot be guessed, however often somebody tries.
    is_strong: bool,
}

/// Who may read and change.
#[derive(Debug, Default)]
pub struct Access {
    token: Option<Token>,
    users: BTreeMap<String, User>,
    proxy: Option<Proxy>,
    encryption: Option<Encryption>,
    /// Digests of credentials that were right: a scraper comes every few seconds, and Argon2 is slow on purpose.
    admitted: Mutex<HashMap<[u8; 32], Who>>,
}

/// A token or a file of users that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too easy to guess.
    #[error("the token is shorter than {TOKEN_CHARS} characters")]
    ShortToken,
    /// A line that is not `user:hash` or `user:hash:operator`.
    #[error("line {0} of the users is not \"user:hash\" or \"user:hash:operator\" with an Argon2 hash")]
    Line(usize),
    /// A file without any.
    #[error("there are no users in the file")]
    NoUsers,
    /// A header that no request can have.
    #[error("\"{0}\" is no name of a header")]
    Header(String),
    /// The system gives no random numbers, or the password is too long.
    #[error("could not hash the password: {0}")]
    Hash(String),
}

impl Access {
    /// Asks for a token.
    ///
    /// # Errors
    /// [`Error::ShortToken`].
    pub fn with_token(mut self, token: &str) -> Result<Self, Error> {
        let token = token.trim();
        if token.chars().count() < TOKEN_CHARS {
            return Err(Error::ShortToken);
        }
        self.token = Some(Token { digest: digest(token), is_strong: is_strong(token) });
        Ok(self)
    }

    /// Asks for one of these users: lines `user:hash`, as [`hash_password`] gives it, for who may read, and
    /// `user:hash:operator` for who may change the database; `#` begins a comment.
    ///
    /// # Errors
    /// [`Error::Line`] and [`Error::NoUsers`].
    pub fn with_users(mut self, lines: &str) -> Result<Self, Error> {
        for (number, line) in lines.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, rest) = line.split_once(':').ok_or(Error::Line(number + 1))?;
            // There is no colon in a hash.
            let (hash, role) = match rest.split_once(':') {
                None | Some((_, "viewer")) => (rest.trim_end_matches(":viewer"), Role::Viewer),
                Some((hash, "operator")) => (hash, Role::Operator),
                Some(_) => return Err(Error::Line(number + 1)),
            };
            let is_argon2 = PasswordHash::new(hash).is_ok_and(|h| h.algorithm.as_str().starts_with("argon2"));
            if user.is_empty() || !is_argon2 {
                return Err(Error::Line(number + 1));
            }
            self.users.insert(user.to_owned(), User { hash: hash.to_owned(), role });
        }
        if self.users.is_empty() { Err(Error::NoUsers) } else { Ok(self) }
    }

    /// Believes a proxy who somebody is.
    ///
    /// # Errors
    /// [`Error::Header`].
    pub fn with_proxy(mut self, proxy: Proxy) -> Result<Self, Error> {
        if HeaderName::from_bytes(proxy.header.as_bytes()).is_err() {
            return Err(Error::Header(proxy.header));
        }
        self.proxy = Some(proxy);
        Ok(self)
    }

    /// Encrypts what is sent.
    #[must_use]
    pub fn with_encryption(mut self, encryption: Encryption) -> Self {
        self.encryption = Some(encryption);
        self
    }

    /// What connections are encrypted with.
    pub fn encryption(&self) -> Option<&Encryption> {
        self.encryption.as_ref()
    }

    /// Whether nobody is asked.
    pub fn is_open(&self) -> bool {
        self.token.is_none() && self.users.is_empty() && self.proxy.is_none()
    }

    /// Who somebody is by the word of the proxy, when the request comes from it.
    pub fn told_by_proxy(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Who> {
        let proxy = self.proxy.as_ref().filter(|p| p.addresses.contains(&peer.to_canonical()))?;
        let mut names = headers.get_all(&proxy.header).iter();
        // Of two, one may be the client's own.
        let (Some(name), None) = (names.next(), names.next()) else { return None };
        let name = name.to_str().ok().map(str::trim).filter(|n| !n.is_empty())?;
        let role = if proxy.operators.contains(name) { Role::Operator } else { Role::Viewer };
        Some(Who { name: name.to_owned(), role })
    }

    /// Whether there are users, and not only a token.
    pub fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Who has sent the value of an `Authorization` header. Takes some tens of milliseconds for a password that was
    /// not seen before, and says so by [`Self::is_quick`].
    pub fn identify(&self, authorization: &str) -> Option<Who> {
        let (scheme, given) = authorization.split_once(' ')?;
        let given = given.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.with_right_token(given);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let remembered = digest(given);
        if let Some(who) = self.lock().get(&remembered) {
            return Some(who.clone());
        }
        let decoded = BASE64.decode(given).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
        let (user, password) = decoded.split_once(':')?;
        let who = self.with_right_password(user, password)?;
        let mut admitted = self.lock();
        if admitted.len() >= REMEMBERED {
            admitted.clear();
        }
        admitted.insert(remembered, who.clone());
        Some(who)
    }

    /// Whether [`Self::identify`] answers at once.
    pub fn is_quick(&self, authorization: &str) -> bool {
        let Some((scheme, given)) = authorization.split_once(' ') else { return true };
        !scheme.eq_ignore_ascii_case("basic") || self.lock().contains_key(&digest(given.trim()))
    }

    /// Who has sent the right token, where it is one that cannot be guessed: whoever else was wrong from the same address does
    /// not lock them out.
    pub fn with_strong_token(&self, authorization: &str) -> Option<Who> {
        let (scheme, given) = authorization.split_once(' ')?;
        let strong = self.token.is_some_and(|token| token.is_strong);
        (strong && scheme.eq_ignore_ascii_case("bearer")).then(|| self.with_right_token(given.trim()))?
    }

    /// Who signs in with a user and a password, or with the token and no user. Takes some tens of milliseconds, for
    /// users that do not exist as well.
    pub fn sign_in(&self, user: &str, password: &str) -> Option<Who> {
        if user.is_empty() {
            self.with_right_token(password.trim())
        } else {
            self.with_right_password(user, password)
        }
    }

    fn with_right_token(&self, given: &str) -> Option<Who> {
        // Of digests, how far they are equal says nothing about the token.
        (self.token?.digest == digest(given)).then(|| Who { name: "token".into(), role: Role::Viewer })
    }

    fn with_right_password(&self, name: &str, password: &str) -> Option<Who> {
        let user = self.users.get(name);
        let nobodys = nobodys_hash();
        let hash = PasswordHash::new(user.map_or(nobodys, |u| u.hash.as_str())).ok()?;
        let right = Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
        user.filter(|_| right).map(|u| Who { name: name.to_owned(), role: u.role })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Who>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a token looks as if it were made by chance: by its length and the different characters in it, it is one of more
/// than can be tried.
fn is_strong(token: &str) -> bool {
    let different = token.chars().collect::<BTreeSet<char>>().len() as f64;
    token.chars().count() as f64 * different.log2() >= STRONG_BITS
}

/// What the password of a user who does not exist is compared with, so that it takes as long.
fn nobodys_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash_password("nobody's").unwrap_or_default())
}

/// The Argon2id hash of a password, for a file of users.
///
/// # Errors
/// [`Error::Hash`].
pub fn hash_password(password: &str) -> Result<String, Error> {
    let salt = SaltString::generate(&mut OsRng);
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.map(|h| h.to_string()).map_err(|e| Error::Hash(e.to_string()))
}

pub(crate) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_proxy_is_believed() {
        let proxy = Proxy {
            header: "X-Forwarded-User".into(),
            addresses: BTreeSet::from(["10.0.0.5".parse().unwrap()]),
            operators: BTreeSet::from(["ada".into()]),
        };
        assert!(Access::default().with_proxy(Proxy { header: "a b".into(), ..proxy.clone() }).is_err());
        let access = Access::default().with_proxy(proxy).unwrap();
        assert!(!access.is_open());
        let told = |peer: &str, names: &[&str]| {
            let headers: HeaderMap = names
                .iter()
                .map(|n| (HeaderName::from_static("x-forwarded-user"), n.parse().unwrap()))
                .collect::<Vec<_>>()
                .into_iter()
                .fold(HeaderMap::new(), |mut all, (name, value)| {
                    all.append(name, value);
                    all
                });
            access.told_by_proxy(peer.parse().unwrap(), &headers).map(|w| (w.name, w.role))
        };
        assert_eq!(told("10.0.0.5", &["ada"]), Some(("ada".into(), Role::Operator)));
        assert_eq!(told("::ffff:10.0.0.5", &["bob"]), Some(("bob".into(), Role::Viewer)));
        assert_eq!(told("10.0.0.6", &["ada"]), None);
        assert_eq!(told("10.0.0.5", &["bob", "ada"]), None);
        assert_eq!(told("10.0.0.5", &[" "]), None);
        assert_eq!(told("10.0.0.5", &[]), None);
    }

    #[test]
    fn a_token_or_a_password_opens() {
        let hash = hash_password("correct horse: battery").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        let access = Access::default()
            .with_token("0123456789abcdef\n")
            .and_then(|a| {
                a.with_users(&format!("# who\nada:{hash}:operator\nbob:{hash}\neve:{hash}:viewer\n"))
            })
            .unwrap();
        let basic = |credentials: &str| format!("Basic {}", BASE64.encode(credentials));
        let right = basic("ada:correct horse: battery");
        assert!(!access.is_quick(&right));
        // The second time it is remembered.
        for _ in 0..2 {
            assert_eq!(access.identify(&right), Some(Who { name: "ada".into(), role: Role::Operator }));
        }
        assert!(access.is_quick(&right));
        assert_eq!(access.identify("bearer 0123456789abcdef").unwrap().role, Role::Viewer);
        for user in ["bob", "eve"] {
            assert_eq!(access.sign_in(user, "correct horse: battery").unwrap().role, Role::Viewer);
        }
        assert_eq!(access.sign_in("", " 0123456789abcdef ").unwrap().name, "token");
        for (user, password) in
            [("", "0123"), ("ada", "0123456789abcdef"), ("nobody's", "nobody's"), ("", "")]
        {
            assert_eq!(access.sign_in(user, password), None, "{user}");
        }
        for wrong in [
            "Bearer 0123456789abcdee",
            "Bearer",
            "Basic ???",
            &basic("ada:wrong"),
            &basic("nobody:nobody's"),
            "Digest x",
            "",
        ] {
            assert_eq!(access.identify(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_guessed_is_right_whatever_others_tried() {
        let strong = |token: &str| {
            let access = Access::default().with_token(token).unwrap();
            let who = access.with_strong_token(&format!("Bearer {token}"));
            assert_eq!(access.with_strong_token("Bearer 0123456789abcdee"), None);
            assert_eq!(access.with_strong_token(&format!("Basic {token}")), None);
            assert!(access.identify(&format!("Bearer {token}")).is_some());
            who.is_some()
        };
        assert!(strong("9f86d081884c7d659a2feaa0c55ad015") && strong("k3J9-xQ2vT8_mLr5ZpWd"));
        for weak in ["aaaaaaaaaaaaaaaaaaaaaaaa", "passwordpassword", "0101010101010101010101"] {
            assert!(!strong(weak), "{weak}");
        }
    }

    #[test]
    fn what_cannot_protect_is_refused() {
        assert_eq!(Access::default().with_token("short").unwrap_err(), Error::ShortToken);
        assert_eq!(Access::default().with_users("# nobody\n").unwrap_err(), Error::NoUsers);
        let hash = hash_password("x").unwrap();
        for line in ["ada", "ada:plain", ":x", &format!("ada:{hash}:root"), &format!("ada:{hash}:operator:")]
        {
            assert_eq!(Access::default().with_users(line).unwrap_err(), Error::Line(1), "{line}");
        }
    }
}
