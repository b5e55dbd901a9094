//! Whether a call's client is still there.

use std::time::Duration;

use hgrpc_std::tokio::{Failure, Gone, Notes};
use tokio::time::{sleep, timeout};

/// How often a client that has closed its sending half, or whose data waits, is asked whether it is
/// still there. One that is gone is noticed at the second time.
const PROBE: Duration = Duration::from_millis(250);

/// Waits until the client has gone: its input has ended, and it is not there to be answered.
pub(super) async fn left(gone: &Gone, side: &Notes) {
    gone.wait().await;
    // One that takes no text is not there once its input has ended.
    while side.is_taken() && is_there(side).await {
        sleep(PROBE).await;
    }
}

/// Waits until a client has gone that cannot be seen to go: the server does not read on while data
/// waits for its command. One that takes no text is not asked; time limits are left.
pub(super) async fn left_unread(side: &Notes) {
    loop {
        sleep(PROBE).await;
        if side.is_taken() && !is_there(side).await {
            return;
        }
    }
}

/// Asks a client that takes text whether it is there.
///
/// A text output without text is shown by nobody; sending it fails where nobody is, over TCP at the
/// second time. One that does not read is there, as far as can be told.
async fn is_there(side: &Notes) -> bool {
    timeout(PROBE, side.atoms(&[]))
        .await
        .map_or(true, |sent| sent.is_ok())
}

/// What a call fails with whose client has gone.
pub(super) fn has_gone() -> Failure {
    Failure::server("the client has gone")
}
