//! Where do stand-ins come from? From a secret, so that nobody who has only the file can compute them again.

use rand::SeedableRng as _;
use rand_chacha::ChaCha12Rng;
use sha2::{Digest as _, Sha256};

/// A secret of 256 bits.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// A key. Make it of random bytes, and keep it nowhere.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A stream of random numbers that belongs to a name within a domain.
    pub(crate) fn stream(&self, domain: &str, name: &[u8]) -> ChaCha12Rng {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update((domain.len() as u64).to_be_bytes());
        hash.update(domain.as_bytes());
        hash.update(name);
        ChaCha12Rng::from_seed(hash.finalize().into())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(secret)")
    }
}
