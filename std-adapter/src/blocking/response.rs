//! The answer to a call, as it arrives.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::time::Instant;

use hgrpc::cbor::{Location, ValueScanner};
use hgrpc::wire::RequestId;

use super::client::Handle;
use super::exchange::CallState;
use super::pipe::{Receiver, Stop};
use super::{AnswerError, CallError};
use crate::host::calls::TRUNCATED;
use crate::host::strings::{Step, Strings};

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
    call: Arc<CallState>,
    body: Receiver<CallError>,
    deadline: Option<Instant>,
    strings: Strings,
    /// The error or the end that reading came to.
    end: Option<Result<(), CallError>>,
}

impl Response {
    pub(super) fn new(
        handle: Arc<Handle>,
        call: Arc<CallState>,
        body: Receiver<CallError>,
        deadline: Option<Instant>,
    ) -> Self {
        let strings = Strings::of_response(handle.shared.revision);
        Self {
            handle,
            call,
            body,
            deadline,
            strings,
            end: None,
        }
    }

    /// Waits until the command has begun to answer, or has failed.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn wait(&self) -> Result<(), CallError> {
        self.body.wait_opened(self.deadline).map_err(stopped)
    }

    /// Where the server wants the answer to be fetched from (0006); waits as [`wait`](Self::wait).
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn redirect(&self) -> Result<Option<Location<'_>>, CallError> {
        self.wait()?;
        self.call.head.location()
    }

    /// Reads all that the command wrote, if it is at most `limit` bytes.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn read_bytes(mut self, limit: usize) -> Result<Vec<u8>, CallError> {
        let mut all = Vec::new();
        loop {
            let bytes = self.fill()?;
            if bytes.is_empty() {
                return Ok(all);
            }
            if bytes.len() > limit - all.len() {
                return Err(CallError::Answer(AnswerError::TooLarge));
            }
            all.extend_from_slice(bytes);
            let len = bytes.len();
            self.consume(len);
        }
    }

    /// Reads all that the command wrote as text, if it is at most `limit` bytes. Escape it before it
    /// goes to a terminal.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn read_text(self, limit: usize) -> Result<String, CallError> {
        String::from_utf8(self.read_bytes(limit)?)
            .map_err(|_| CallError::Answer(AnswerError::NotText))
    }

    /// The next CBOR value, encoded, as soon as it is complete; `None` at the end.
    ///
    /// # Errors
    /// See [`CallError`]. A value may have at most
    /// [`Limits::value_size`](super::Limits::value_size) bytes.
    pub fn next_value(&mut self) -> Result<Option<Vec<u8>>, CallError> {
        let most = self.handle.shared.limits.value_size;
        let mut value = Vec::new();
        let mut scanner = ValueScanner::new();
        loop {
            let bytes = self.raw()?;
            if bytes.is_empty() {
                return if value.is_empty() {
                    Ok(None)
                } else {
                    Err(TRUNCATED)
                };
            }
            let end = scanner
                .scan(bytes)
                .map_err(|_| CallError::Answer(AnswerError::NotValues))?;
            let len = end.unwrap_or(bytes.len());
            if len > most - value.len() {
                return Err(CallError::Answer(AnswerError::TooLarge));
            }
            value.extend_from_slice(bytes.get(..len).unwrap_or(bytes));
            self.body.consume(len);
            if end.is_some() {
                return Ok(Some(value));
            }
        }
    }

    /// The response's bytes as they are, which in 0006 are a sequence of CBOR values.
    pub const fn raw_body(&mut self) -> RawBody<'_> {
        RawBody(self)
    }

    /// The request's ID on its connection.
    pub fn request_id(&self) -> RequestId {
        // A response exists only once its request was sent.
        self.call.head.id().unwrap_or_default()
    }

    /// Gives the call up: what still comes of it is swallowed. The same as dropping it. The server
    /// is not told; the protocol has no way to.
    pub fn cancel(self) {}

    /// The next bytes of the body; empty at the end.
    fn raw(&mut self) -> Result<&[u8], CallError> {
        if self.call.head.is_redirected() {
            return Err(CallError::Answer(AnswerError::Redirected));
        }
        match self.body.fill(self.deadline) {
            Ok(bytes) => Ok(bytes.unwrap_or_default()),
            Err(stop) => Err(stopped(stop)),
        }
    }

    /// The next bytes of the command's own; empty at the end.
    fn fill(&mut self) -> Result<&[u8], CallError> {
        match &self.end {
            Some(Ok(())) => return Ok(&[]),
            Some(Err(error)) => return Err(error.clone()),
            None => {}
        }
        let len = match self.advance() {
            Ok(0) => {
                self.end = Some(Ok(()));
                return Ok(&[]);
            }
            Ok(len) => len,
            Err(CallError::TimedOut) => return Err(CallError::TimedOut),
            Err(error) => {
                self.end = Some(Err(error.clone()));
                return Err(error);
            }
        };
        let bytes = self.raw()?;
        Ok(bytes.get(..len).unwrap_or(bytes))
    }

    /// Passes over heads until content is at the front; how much of it, 0 at the end.
    fn advance(&mut self) -> Result<usize, CallError> {
        loop {
            let mut strings = self.strings.clone();
            let bytes = self.raw()?;
            if bytes.is_empty() {
                return if strings.is_between() {
                    Ok(0)
                } else {
                    Err(TRUNCATED)
                };
            }
            let step = strings.step(bytes)?;
            self.strings = strings;
            match step {
                Step::Content(len) => return Ok(len),
                Step::Head => self.body.consume(1),
            }
        }
    }
}

fn stopped(stop: Stop<CallError>) -> CallError {
    match stop {
        Stop::Ended(error) => error,
        Stop::TimedOut => CallError::TimedOut,
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
        Ok(self.fill()?)
    }

    fn consume(&mut self, len: usize) {
        self.strings.passed(len);
        self.body.consume(len);
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        if !self.body.is_ended() {
            self.handle.shared.cancel(&self.call);
        }
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
        Ok(self.0.raw()?)
    }

    fn consume(&mut self, len: usize) {
        self.0.body.consume(len);
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("call", &self.call)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
