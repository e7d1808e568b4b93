//! Who has come in, and who has tried? One door for all servers that a pgwright watches.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::Access;
use crate::session::{Attempts, Sessions, secret};

/// So many passwords are checked at a time.
const HASHING: usize = 2;

/// What decides who may come in.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub access: Arc<Access>,
    pub sessions: Arc<Sessions>,
    pub attempts: Arc<Attempts>,
    pub hashing: Arc<Semaphore>,
    /// What forms must send back where nobody is asked who they are.
    pub open_csrf: Arc<str>,
}

impl Door {
    pub fn new(access: Arc<Access>) -> Self {
        Self {
            access,
            sessions: Arc::default(),
            attempts: Arc::default(),
            hashing: Arc::new(Semaphore::new(HASHING)),
            open_csrf: secret().into(),
        }
    }
}
