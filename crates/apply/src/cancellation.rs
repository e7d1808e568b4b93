//! How does Ctrl-C reach a statement that a server is working on? The binary calls
//! [`Cancellation::cancel`]; whoever waits for a server also waits for [`Cancellation::cancelled`]
//! and then asks the server to stop, so that a half-built index is removed and journaled.

use std::sync::Arc;

use tokio::sync::watch;

/// A wish to stop that can be shared and made only once.
#[derive(Clone, Debug)]
pub struct Cancellation {
    sender: Arc<watch::Sender<bool>>,
}

impl Default for Cancellation {
    fn default() -> Self {
        Self { sender: Arc::new(watch::Sender::new(false)) }
    }
}

impl Cancellation {
    /// Asks for a stop. May be called from anywhere and more than once.
    pub fn cancel(&self) {
        self.sender.send_replace(true);
    }

    /// Whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        *self.sender.borrow()
    }

    /// Resolves when a stop is asked for, at once if it already was.
    pub async fn cancelled(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = receiver.wait_for(|asked| *asked).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clone_hears_the_wish_before_and_after_it_waits() {
        let cancellation = Cancellation::default();
        let other = cancellation.clone();
        let waiting = tokio::spawn(async move { other.cancelled().await });
        assert!(!cancellation.is_cancelled());
        cancellation.cancel();
        waiting.await.unwrap();
        cancellation.clone().cancelled().await;
        assert!(cancellation.is_cancelled());
    }
}
