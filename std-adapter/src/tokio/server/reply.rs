//! A response that is being written.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::thread;

use hgrpc::cbor::Progress;
use hgrpc::wire::RequestId;
use tokio::io::AsyncWrite;

use super::Side;
use super::compose::Composer;
use super::conn::Conn;
use super::shared::shown;
use crate::host::counting::count;
use crate::host::sync::lock;
use crate::host::{ConnectionError, Failure, values};

/// The response to one call.
///
/// - Bytes that are written ([`AsyncWrite`]) are the command's output: as they are in 0003 and
///   0005, as a streamed byte string in 0006, where a response is a sequence of CBOR values.
///   Clients of this crate read them alike.
/// - [`value`](Self::value) and [`cbor`](Self::cbor) add CBOR values.
/// - [`side`](Self::side) sends text output and progress, also from other tasks.
///
/// Small writes are gathered to frames; flushing sends what there is. Writing waits for a slow
/// peer. The connection's responses share the line evenly, in bytes. Dropping a write, a flush or
/// a value that waits has either given all of its bytes or none.
///
/// A reply ends with [`finish`](Self::finish) or [`fail`](Self::fail). One that is dropped before
/// is answered with the failure that its handler returns, or else with an error of the server's. It
/// may be moved to another task and outlive its handler.
#[must_use = "a reply that is dropped is an error to the client"]
pub struct Reply {
    /// `None`: it was ended, or given back.
    composer: Option<Composer>,
    side: Side,
    home: Arc<Home>,
}

/// Where a reply goes that a handler drops: whoever runs the handler knows what it says.
pub(super) struct Home(Mutex<Watch>);

enum Watch {
    /// The handler runs.
    Waits,
    /// It has dropped its reply.
    Has(Box<Composer>),
    /// It has ended.
    Over,
}

impl Home {
    /// The handler has ended: the reply that it has dropped, if so.
    pub(super) fn close(&self) -> Option<Composer> {
        match std::mem::replace(&mut *lock(&self.0), Watch::Over) {
            Watch::Has(composer) => Some(*composer),
            Watch::Waits | Watch::Over => None,
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Whoever ran the handler was dropped itself, or a panic passes.
        if let Some(composer) = self.close() {
            unanswered(composer);
        }
    }
}

/// Ends a reply that nobody has ended.
pub(super) fn unanswered(composer: Composer) {
    let counters = &composer.conn().shared.counters;
    if composer.is_refused() {
        // Whoever refused it has counted that, and has said what it is answered.
        composer.fail(&Failure::server("the request was refused"));
    } else if thread::panicking() {
        count(&counters.panicked);
        let (id, command) = composer.asked().unzip();
        tracing::error!(
            id = id.map(RequestId::value),
            command = command.as_deref().map(shown),
            "the command panicked"
        );
        composer.fail(&Failure::server("the command panicked"));
    } else {
        count(&counters.unanswered);
        composer.fail(&Failure::server("the command gave no answer"));
    }
}

impl Reply {
    pub(super) fn new(conn: Arc<Conn>, number: u64) -> (Self, Arc<Home>) {
        let home = Arc::new(Home(Mutex::new(Watch::Waits)));
        let composer = Composer::new(Arc::clone(&conn), number);
        let side = Side {
            lane: composer.lane(),
            conn,
            number,
        };
        let reply = Self {
            composer: Some(composer),
            side,
            home: Arc::clone(&home),
        };
        (reply, home)
    }

    fn composer(&mut self) -> io::Result<&mut Composer> {
        self.composer
            .as_mut()
            .ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    /// Sends text output and progress beside the response; can be cloned and given to other tasks.
    pub fn side(&self) -> Side {
        self.side.clone()
    }

    /// Text for people, beside the response.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn text(&mut self, text: impl AsRef<str>) -> Result<(), ConnectionError> {
        self.side.text(text).await
    }

    /// How far an operation is, beside the response.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn progress(&mut self, progress: &Progress<'_>) -> Result<(), ConnectionError> {
        self.side.progress(progress).await
    }

    /// Adds one CBOR value to the response.
    ///
    /// # Errors
    /// Something that minicbor does not encode as one value; the connection has ended.
    pub async fn value<T: minicbor::Encode<()> + ?Sized>(&mut self, value: &T) -> io::Result<()> {
        let encoded = values::encode(value).map_err(values::invalid)?;
        self.cbor(&encoded).await
    }

    /// Adds CBOR values that are encoded already, one behind another.
    ///
    /// # Errors
    /// The bytes are something else; the connection has ended.
    pub async fn cbor(&mut self, values: &[u8]) -> io::Result<()> {
        values::check(values)?;
        let composer = self.composer()?;
        poll_fn(|cx| composer.poll_sent(cx)).await?;
        composer.add_values(values)?;
        // What does not go now goes with what comes next.
        composer.send_now()
    }

    /// Ends the response. It does not wait for the peer.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn finish(mut self) -> io::Result<()> {
        match self.composer.take() {
            Some(composer) => composer.finish(),
            None => Ok(()),
        }
    }

    /// Ends the response because the command failed. What was written but not yet sent is left
    /// out if nothing was sent at all: then the failure is the whole answer.
    pub fn fail(mut self, failure: impl Into<Failure>) {
        if let Some(composer) = self.composer.take() {
            composer.fail(&failure.into());
        }
    }
}

impl AsyncWrite for Reply {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let composer = self.composer()?;
        ready!(composer.poll_sent(cx))?;
        let len = composer.add_some(bytes)?;
        composer.send_now()?;
        Poll::Ready(Ok(len))
    }

    /// Sends what was written so far, so that the peer can read it.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let composer = self.composer()?;
        composer.flush()?;
        composer.poll_made(cx)
    }

    /// As `poll_flush`: a response ends with [`finish`](Reply::finish).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let Some(composer) = self.composer.take() else {
            return;
        };
        let mut watch = lock(&self.home.0);
        if matches!(*watch, Watch::Waits) && !thread::panicking() {
            *watch = Watch::Has(Box::new(composer));
        } else {
            drop(watch);
            unanswered(composer);
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("has_ended", &self.composer.is_none())
            .finish_non_exhaustive()
    }
}
