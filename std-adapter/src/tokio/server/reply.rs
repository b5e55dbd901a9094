//! A response that is being written.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hgrpc::cbor::Progress;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::Notes;
use super::conn::Conn;
use crate::engine::Key;
use crate::engine::server::{Connection, OwnedReply, Written};
use crate::host::{ConnectionError, Failure, IntoReply, ReplyBody, values};

/// The response to one call.
///
/// - Bytes that are written ([`AsyncWrite`]) are the command's output: as they are in 0003 and
///   0005, as a streamed byte string in 0006, where a response is a sequence of CBOR values.
///   Clients of this crate read them alike.
/// - [`value`](Self::value) and [`cbor`](Self::cbor) add CBOR values.
/// - [`notes`](Self::notes) sends text output and progress, also from other tasks.
///
/// Small writes are gathered to frames; flushing sends what there is, and so does a handler that
/// waits for something. Writing waits for a slow
/// peer. The connection's responses share the line evenly, in bytes. Dropping a write, a flush or
/// a value that waits has either given all of its bytes or none.
///
/// A reply ends with [`finish`](Self::finish) or [`fail`](Self::fail). One that is dropped before
/// is answered with the failure that its handler returns, or else with an error of the server's. It
/// may be moved to another task and outlive its handler.
#[must_use = "a reply that is dropped is an error to the client"]
pub struct Reply(OwnedReply<Conn>);

impl Reply {
    pub(super) const fn new(conn: Arc<Conn>, key: Key) -> Self {
        Self(OwnedReply::new(conn, key))
    }

    /// Answers with the value that a handler has returned, and ends.
    pub(super) async fn return_value(mut self, value: impl IntoReply) -> Result<(), Failure> {
        match value.into_reply()? {
            ReplyBody::Empty => {}
            ReplyBody::Bytes(bytes) => {
                let bytes = bytes.as_ref();
                // At once, if that needs no waiting.
                if self
                    .0
                    .end_if(|connection, key| connection.answer(key, bytes))
                {
                    return Ok(());
                }
                // That the client is gone is nobody's error here.
                let _ = self.write_all(bytes).await;
            }
            ReplyBody::Values(values) => self.cbor(&values).await?,
        }
        let _ = self.finish();
        Ok(())
    }

    fn poll(
        &self,
        cx: &Context<'_>,
        write: impl FnOnce(&mut Connection, Key) -> Written,
    ) -> Poll<io::Result<usize>> {
        let OwnedReply { conn, key, .. } = &self.0;
        conn.poll_written(*key, cx, |connection| write(connection, *key))
    }

    /// Sends text output and progress beside the response; can be cloned and given to other tasks.
    pub fn notes(&self) -> Notes {
        let OwnedReply { conn, key, .. } = &self.0;
        Notes {
            conn: Arc::clone(conn),
            key: *key,
        }
    }

    /// Text for people, beside the response.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn text(&mut self, text: impl AsRef<str>) -> Result<(), ConnectionError> {
        self.notes().text(text).await
    }

    /// How far an operation is, beside the response.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn progress(&mut self, progress: &Progress<'_>) -> Result<(), ConnectionError> {
        self.notes().progress(progress).await
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
        let write = |connection: &mut Connection, key| connection.write_values(key, values);
        poll_fn(|cx| self.poll(cx, write)).await.map(drop)
    }

    /// Ends the response. It does not wait for the peer.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.finish()
    }

    /// Ends the response because the command failed. What was written but not yet sent is left
    /// out if nothing was sent at all: then the failure is the whole answer.
    pub fn fail(mut self, failure: impl Into<Failure>) {
        // That the client is gone is nobody's error here.
        let _ = self.0.fail(&failure.into());
    }
}

impl AsyncWrite for Reply {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |connection, key| connection.write(key, bytes))
    }

    /// Sends what was written so far, so that the peer can read it.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = |connection: &mut Connection, key| connection.flush(key);
        self.poll(cx, flush).map_ok(drop)
    }

    /// As `poll_flush`: a response ends with [`finish`](Reply::finish).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("has_ended", &self.0.has_ended())
            .finish_non_exhaustive()
    }
}
