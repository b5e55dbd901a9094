//! What moves a client connection's bytes: one future for reading, writing and the data of calls.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument as _, debug, debug_span};

use super::exchange::Shared;
use super::receive;
use super::writer::Frames;
use crate::tokio::ConnectionError;

/// How long a connection that cannot be written is read all the same: what the peer said before it
/// closed may still be on its way.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long what was sent may take to go out when nobody has the client any more, and the peer to
/// close its side after that.
const LINGER: Duration = Duration::from_secs(1);

/// What moves a connection's bytes, until it has ended; then, why it has. Spawn it.
///
/// It reads and writes at the same time, and reads the data of calls. Dropped, the connection is cut
/// and every open call ends with [`ConnectionError::Shutdown`]. Polled again after its end, it gives
/// the same error; after a panic of a data source or an observer, which cuts the connection,
/// [`ConnectionError::Shutdown`].
#[must_use = "nothing happens unless the driver is polled"]
pub struct Driver {
    /// What moves the bytes, or why it has ended.
    running: Result<BoxFuture<'static, ConnectionError>, ConnectionError>,
}

/// Ends the calls, also when the driver is dropped.
struct End(Arc<Shared>);

impl End {
    fn end(&self, error: &ConnectionError) {
        self.0.end(error);
        self.0.out.end(error.clone());
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.end(&ConnectionError::Shutdown);
    }
}

impl Driver {
    pub(super) fn new<R, W>(
        shared: Arc<Shared>,
        reader: R,
        writer: W,
        uploads: mpsc::UnboundedReceiver<BoxFuture<'static, ()>>,
    ) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let end = End(shared);
        let running = async move {
            let error = run(&end.0, reader, writer, uploads).await;
            debug!(%error, "the connection has ended");
            end.end(&error);
            error
        };
        Self {
            running: Ok(Box::pin(running.instrument(debug_span!("hgrpc_client")))),
        }
    }
}

impl Future for Driver {
    type Output = ConnectionError;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectionError> {
        // Taken out: one that panics is not polled again either.
        let running = std::mem::replace(&mut self.running, Err(ConnectionError::Shutdown));
        let polled = match running {
            Ok(mut running) => match running.as_mut().poll(cx) {
                Poll::Ready(error) => Err(error),
                Poll::Pending => Ok(running),
            },
            Err(error) => Err(error),
        };
        self.running = polled;
        match &self.running {
            Ok(_) => Poll::Pending,
            Err(error) => Poll::Ready(error.clone()),
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

async fn run<R, W>(
    shared: &Arc<Shared>,
    mut reader: R,
    mut writer: W,
    uploads: mpsc::UnboundedReceiver<BoxFuture<'static, ()>>,
) -> ConnectionError
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    let mut frames = Frames(Arc::clone(shared));
    let mut reading = pin!(receive::run(&mut reader, shared));
    let mut writing = pin!(shared.out.write(&mut writer, &mut frames));
    let mut uploading = pin!(upload(shared, uploads));
    let error = tokio::select! {
        error = &mut reading => return error,
        () = shared.cut.cancelled() => return ConnectionError::Shutdown,
        result = &mut writing => result.err().unwrap_or(ConnectionError::Shutdown),
        () = &mut uploading => {
            // Nobody wants more of it. What was sent goes out; what the peer still says is read, so
            // that it can read that, and a socket is not reset under it.
            shared.out.close();
            let both = async { tokio::join!(&mut writing, &mut reading) };
            tokio::select! {
                _ = both => {}
                () = shared.cut.cancelled() => {}
                () = sleep_until(Instant::now() + LINGER) => {}
            }
            return ConnectionError::Shutdown;
        }
    };
    shared.out.end(error.clone());
    tokio::select! {
        _ = &mut reading => {}
        () = shared.closing.cancelled() => {}
        () = shared.cut.cancelled() => {}
        () = sleep_until(Instant::now() + PATIENCE) => {}
    }
    error
}

/// Runs uploads, until nobody has the client any more and all have ended.
async fn upload(shared: &Shared, mut uploads: mpsc::UnboundedReceiver<BoxFuture<'static, ()>>) {
    let mut running = FuturesUnordered::new();
    let mut is_closing = false;
    while !is_closing || !running.is_empty() {
        tokio::select! {
            biased;
            Some(upload) = uploads.recv() => running.push(upload),
            () = shared.closing.cancelled(), if !is_closing => is_closing = true,
            Some(()) = running.next() => {}
        }
    }
}
