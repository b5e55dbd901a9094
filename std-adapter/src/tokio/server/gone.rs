//! Tells a handler that its client has gone.

use std::fmt;

use tokio_util::sync::CancellationToken;

/// Whether the client has gone: its input has ended, or the connection broke.
///
/// A client that only closes its sending half looks the same; what is answered then still reaches
/// it. So this is a hint for commands that would otherwise run on for nobody. When the connection
/// breaks in both directions, handlers are dropped at their next `await`.
#[derive(Clone)]
pub struct Gone(pub(super) CancellationToken);

impl Gone {
    /// Whether it has.
    pub fn is_gone(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it has.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }
}

impl fmt::Debug for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gone").field(&self.is_gone()).finish()
    }
}
