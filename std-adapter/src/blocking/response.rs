//! The answer to a call, as it arrives.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;
use std::time::Instant;

use hgrpc::cbor::{FromValue, Location};
use hgrpc::wire::RequestId;

use super::client::Handle;
use super::{AnswerError, CallError};
use crate::engine::Key;
use crate::engine::client::{Content, More, location};
use crate::host::reads::reads;
use crate::host::sync::{block_until, lock};
use crate::host::values;

/// The answer to a call, as it arrives.
///
/// [Reading](Read) it gives what the command wrote, in all revisions alike: bytes, or values as they
/// are encoded. (In 0006 a value that is a byte string, if it is the first, reads as its content:
/// bytes come as such.) [`next_value`](Self::next_value) gives CBOR values. Use one or the other.
///
/// What arrives before it is read waits in a bounded buffer; when that is full, the connection
/// stops: read all responses at once, each in a thread of its own, or one after another in the
/// order in which they end. Dropped before its end, the call is given up and its neighbours go on.
#[must_use = "a response that is dropped gives its call up"]
pub struct Response {
    handle: Arc<Handle>,
    key: Key,
    id: RequestId,
    deadline: Option<Instant>,
    content: Content,
    /// An encoded status map that names another place, once that is known.
    redirect: OnceLock<Option<Vec<u8>>>,
    /// One thread waits at a time.
    opening: Mutex<()>,
}

impl Response {
    pub(super) fn new(
        handle: Arc<Handle>,
        key: Key,
        id: RequestId,
        deadline: Option<Instant>,
    ) -> Self {
        let content = Content::new(handle.shared.revision);
        Self {
            handle,
            key,
            id,
            deadline,
            content,
            redirect: OnceLock::new(),
            opening: Mutex::new(()),
        }
    }

    /// Waits until the command has begun to answer, or has failed.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn wait(&self) -> Result<(), CallError> {
        let _alone = lock(&self.opening);
        if !self.content.bytes().is_empty() {
            return Ok(());
        }
        let opened = block_until(self.deadline, |waker| {
            self.handle.shared.with(|connection| {
                let opened = connection.poll_opened(self.key, waker);
                opened.map_ok(|redirect| redirect.map(<[u8]>::to_vec))
            })
        });
        let redirect = opened.unwrap_or(Err(CallError::TimedOut))?;
        let _ = self.redirect.set(redirect);
        Ok(())
    }

    /// Where the server wants the answer to be fetched from (0006); waits as [`wait`](Self::wait).
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn redirect(&self) -> Result<Option<Location<'_>>, CallError> {
        self.wait()?;
        location(self.redirect.get().and_then(Option::as_deref))
    }

    reads!();

    /// The next CBOR value, encoded, as soon as it is complete; `None` at the end.
    ///
    /// # Errors
    /// See [`CallError`]. A value may have at most
    /// [`Limits::value_size`](super::Limits::value_size) bytes.
    pub fn next_value(&mut self) -> Result<Option<Vec<u8>>, CallError> {
        let most = self.handle.shared.limits.value_size;
        self.read_with(|content, more| content.value(most, more))
    }

    /// Reads of the response, waiting for more of it.
    fn read_with<R>(
        &mut self,
        read: impl FnOnce(&mut Content, &mut dyn FnMut() -> More) -> Option<Result<R, CallError>>,
    ) -> Result<R, CallError> {
        let (shared, key, deadline) = (&self.handle.shared, self.key, self.deadline);
        let mut more = || {
            let poll = |waker: &Waker| shared.with(|connection| connection.poll_read(key, waker));
            Some(block_until(deadline, poll).unwrap_or(Err(CallError::TimedOut)))
        };
        // It has waited.
        read(&mut self.content, &mut more).unwrap_or(Err(CallError::TimedOut))
    }

    /// Has bytes of the command's own in `content`; how many, 0 at the end.
    fn fill(&mut self) -> Result<usize, CallError> {
        self.read_with(|content, more| content.content(more))
    }
}

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(buffer)?;
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for Response {
    /// Errors hold a [`CallError`]; [`CallError::from_io`] takes it out.
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let len = self.fill()?;
        Ok(self.content.bytes().get(..len).unwrap_or_default())
    }

    fn consume(&mut self, len: usize) {
        self.content.consume_content(len);
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        self.handle.shared.call_dropped(self.key);
    }
}

/// A response's bytes as they are; see [`Response::raw_body`].
#[derive(Debug)]
pub struct RawBody<'a>(&'a mut Response);

impl Read for RawBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(buffer)?;
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for RawBody<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.read_with(|content, more| content.raw(more))?;
        Ok(self.0.content.bytes())
    }

    fn consume(&mut self, len: usize) {
        self.0.content.consume(len);
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
