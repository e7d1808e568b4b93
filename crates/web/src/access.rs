//! Who may read? Whoever has the token, or a user with a password, of which only an Argon2 hash is known.
//!
//! Source: RFC 6750 (bearer tokens), RFC 7617 (basic authentication), the PHC string format.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use argon2::Argon2;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

/// The shortest token that is taken, in characters.
const TOKEN_CHARS: usize = 16;
/// So many credentials that were right are remembered.
const REMEMBERED: usize = 1000;

/// Who may read.
#[derive(Debug, Default)]
pub struct Access {
    token: Option<[u8; 32]>,
    /// Argon2 hashes by user.
    users: BTreeMap<String, String>,
    /// Digests of credentials that were right: a scraper comes every few seconds, and Argon2 is slow on purpose.
    admitted: Mutex<HashSet<[u8; 32]>>,
}

/// A token or a file of users that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too easy to guess.
    #[error("the token is shorter than {TOKEN_CHARS} characters")]
    ShortToken,
    /// A line that is not `user:hash`.
    #[error("line {0} of the users is not \"user:hash\" with an Argon2 hash")]
    Line(usize),
    /// A file without any.
    #[error("there are no users in the file")]
    NoUsers,
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
        self.token = Some(digest(token));
        Ok(self)
    }

    /// Asks for one of these users: lines `user:hash`, as [`hash_password`] gives it; `#` begins a comment.
    ///
    /// # Errors
    /// [`Error::Line`] and [`Error::NoUsers`].
    pub fn with_users(mut self, lines: &str) -> Result<Self, Error> {
        for (number, line) in lines.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = line.split_once(':').ok_or(Error::Line(number + 1))?;
            let is_argon2 = PasswordHash::new(hash).is_ok_and(|h| h.algorithm.as_str().starts_with("argon2"));
            if user.is_empty() || !is_argon2 {
                return Err(Error::Line(number + 1));
            }
            self.users.insert(user.to_owned(), hash.to_owned());
        }
        if self.users.is_empty() { Err(Error::NoUsers) } else { Ok(self) }
    }

    /// Whether nobody is asked.
    pub fn is_open(&self) -> bool {
        self.token.is_none() && self.users.is_empty()
    }

    /// Whether the value of an `Authorization` header is right. Takes some tens of milliseconds for a password that was
    /// not seen before.
    pub fn admits(&self, authorization: Option<&str>) -> bool {
        if self.is_open() {
            return true;
        }
        let Some((scheme, given)) = authorization.and_then(|a| a.split_once(' ')) else { return false };
        let given = given.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            // Of digests, how far they are equal says nothing about the token.
            return self.token.is_some_and(|token| token == digest(given));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let remembered = digest(given);
        if self.lock().contains(&remembered) {
            return true;
        }
        let decoded = BASE64.decode(given).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((user, password)) = decoded.as_deref().and_then(|d| d.split_once(':')) else { return false };
        let right = self
            .users
            .get(user)
            .and_then(|hash| PasswordHash::new(hash).ok())
            .is_some_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        if right {
            let mut admitted = self.lock();
            if admitted.len() >= REMEMBERED {
                admitted.clear();
            }
            admitted.insert(remembered);
        }
        right
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_or_a_password_opens() {
        let hash = hash_password("correct horse: battery").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        let access = Access::default()
            .with_token("0123456789abcdef\n")
            .and_then(|a| a.with_users(&format!("# who\nada:{hash}\n")))
            .unwrap();
        let basic = |credentials: &str| format!("Basic {}", BASE64.encode(credentials));
        let right = basic("ada:correct horse: battery");
        // The second time it is remembered.
        for _ in 0..2 {
            assert!(access.admits(Some(&right)));
        }
        assert!(access.admits(Some("bearer 0123456789abcdef")));
        for wrong in [
            "Bearer 0123456789abcdee",
            "Bearer",
            "Basic ???",
            &basic("ada:wrong"),
            &basic("bob:x"),
            "Digest x",
        ] {
            assert!(!access.admits(Some(wrong)), "{wrong}");
        }
        assert!(!access.admits(None) && Access::default().admits(None));
    }

    #[test]
    fn what_cannot_protect_is_refused() {
        assert_eq!(Access::default().with_token("short").unwrap_err(), Error::ShortToken);
        assert_eq!(Access::default().with_users("# nobody\n").unwrap_err(), Error::NoUsers);
        for line in ["ada", "ada:plain", ":x"] {
            assert_eq!(Access::default().with_users(line).unwrap_err(), Error::Line(1), "{line}");
        }
    }
}
