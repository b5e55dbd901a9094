//! The answer to one command, as it is read.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hgrpc::cbor::ValueScanner;

use super::exchange::Exchange;
use super::redirect::Checked;
use super::string::Place;
use super::{Client, Error, Redirect, Redirects};
use crate::host::sequence::{Sequence, SequenceError};
use crate::value::{DecodeErrorKind, Value};

pub use super::string::Bytes;

/// The answer to one command: a sequence of CBOR values, read as it comes.
///
/// Nothing is read ahead, so a slow reader slows the server down. Dropped before its end, the
/// response is given up.
pub struct Response {
    client: Client,
    source: Source,
    /// Bytes that have come, of which those before `at` are used up.
    chunk: Vec<u8>,
    at: usize,
    /// Bytes of the response that are used up.
    pub(super) offset: u64,
    /// The byte string that is being read.
    pub(super) string: Option<Place>,
    /// The values, as far as they have come.
    values: Sequence,
    failed: Option<Error>,
}

enum Source {
    Frames(Arc<Mutex<Exchange>>, usize),
    Elsewhere(Checked),
}

/// One value of a response.
#[derive(Debug)]
#[non_exhaustive]
pub enum Item<'a> {
    /// A byte string, to be read as it comes.
    Bytes(Bytes<'a>),
    /// Any other value.
    Value(Value),
}

impl Response {
    pub(super) fn new(client: Client, exchange: Arc<Mutex<Exchange>>, index: usize) -> Self {
        Self {
            client,
            source: Source::Frames(exchange, index),
            chunk: Vec::new(),
            at: 0,
            offset: 0,
            string: None,
            values: Sequence::new(),
            failed: None,
        }
    }

    /// Waits until the command has begun to answer; where the answer is, if it is elsewhere and
    /// not followed.
    ///
    /// # Errors
    /// The command has failed; see [`Error`].
    pub fn wait(&mut self) -> Result<Option<Redirect>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Source::Frames(exchange, index) = &self.source else {
            return Ok(None);
        };
        let opened = lock(exchange).open(*index);
        let redirect = match opened {
            Ok(redirect) => redirect,
            Err(error) => return Err(self.fail(error)),
        };
        let Some(redirect) = redirect else {
            return Ok(None);
        };
        if self.client.0.config.redirects != Redirects::Follow {
            return Ok(Some(redirect));
        }
        if let Some(why) = redirect.refusal() {
            return Err(self.fail(Error::RedirectRefused(why)));
        }
        match self.client.fetch(&redirect) {
            Ok(body) => self.source = Source::Elsewhere(Checked::new(body, &redirect)),
            Err(error) => return Err(self.fail(error)),
        }
        Ok(None)
    }

    /// The next value; `None` at the end. A byte string is handed out to be read as it comes: what
    /// is not read of it is passed over by the next call.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, Error> {
        let Some(initial) = self.initial()? else {
            return Ok(None);
        };
        if initial >> 5 == 2 {
            let len = self.begin_string()?;
            return Ok(Some(Item::Bytes(Bytes::new(self, len))));
        }
        self.value().map(|value| Some(Item::Value(value)))
    }

    /// The next value as a whole; `None` at the end.
    ///
    /// # Errors
    /// See [`Error`]. A value may have at most [`Limits::value_size`](super::Limits::value_size)
    /// bytes.
    pub fn next_value(&mut self) -> Result<Option<Value>, Error> {
        match self.initial()? {
            Some(_) => self.value().map(Some),
            None => Ok(None),
        }
    }

    /// The next value, which has to be a byte string, to be read as it comes.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Unexpected`] if there is no value, or another.
    pub fn bytes(&mut self) -> Result<Bytes<'_>, Error> {
        match self.next_item()? {
            Some(Item::Bytes(bytes)) => Ok(bytes),
            _ => Err(Error::Unexpected("a byte string")),
        }
    }

    /// The one value that the response has.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Unexpected`] if it has none, or more.
    pub fn one_value(mut self) -> Result<Value, Error> {
        match (self.next_value()?, self.next_value()?) {
            (Some(value), None) => Ok(value),
            _ => Err(Error::Unexpected("one value")),
        }
    }

    /// All values, which is as much memory as the server sends.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn values(mut self) -> Result<Vec<Value>, Error> {
        let mut values = Vec::new();
        while let Some(value) = self.next_value()? {
            values.push(value);
        }
        Ok(values)
    }

    /// The next bytes of the sequence as they are, whatever values they belong to; `None` at the
    /// end. Not to be mixed with the other ways of reading.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn raw(&mut self) -> Result<Option<&[u8]>, Error> {
        if !self.fill()? {
            return Ok(None);
        }
        Ok(Some(self.take(usize::MAX)))
    }

    /// The initial byte of the next value, which stays where it is.
    fn initial(&mut self) -> Result<Option<u8>, Error> {
        self.finish_string()?;
        if !self.fill()? {
            return Ok(None);
        }
        Ok(self.rest().first().copied())
    }

    fn value(&mut self) -> Result<Value, Error> {
        let most = self.client.0.config.limits.value_size;
        let offset = self.offset;
        let mut bytes = Vec::new();
        let mut scanner = ValueScanner::new();
        loop {
            if !self.fill()? {
                return Err(self.fail(Error::TruncatedResponse));
            }
            // Of what is malformed all that is there goes to the decoder, which says what it is.
            let (len, has_more) = match scanner.scan(self.rest()) {
                Ok(Some(len)) => (len, false),
                Ok(None) => (self.rest().len(), true),
                Err(_) => (self.rest().len(), false),
            };
            // As much as there may be is looked at, however it comes: so a fault within the limit
            // is named even if what came with it is over the limit.
            let room = most.saturating_sub(bytes.len());
            bytes.extend_from_slice(self.take(len.min(room)));
            if has_more && len <= room {
                continue;
            }
            return match Value::decode_prefix(&bytes).map_err(|error| error.kind) {
                Ok((value, _)) => Ok(value),
                Err(DecodeErrorKind::EndOfInput) if len > room => {
                    Err(self.fail(Error::ValueTooLarge))
                }
                Err(kind) => Err(self.fail(Error::Malformed { kind, offset })),
            };
        }
    }

    // --- bytes ---

    /// The bytes that have come and are not used up.
    pub(super) fn rest(&self) -> &[u8] {
        self.chunk.get(self.at..).unwrap_or_default()
    }

    /// Uses bytes up, at most as many as there are.
    pub(super) fn take(&mut self, len: usize) -> &[u8] {
        let start = self.at;
        let end = start.saturating_add(len).min(self.chunk.len());
        self.at = end;
        self.offset += u64::try_from(end - start).unwrap_or(u64::MAX);
        self.chunk.get(start..end).unwrap_or_default()
    }

    /// Reads until a byte has come; `false` at the end.
    pub(super) fn fill(&mut self) -> Result<bool, Error> {
        if self.at < self.chunk.len() {
            return Ok(true);
        }
        if let Some(redirect) = self.wait()? {
            return Err(Error::Redirected(Box::new(redirect)));
        }
        self.chunk.clear();
        self.at = 0;
        let result = match &mut self.source {
            Source::Frames(exchange, index) => lock(exchange).pull(*index, &mut self.chunk),
            Source::Elsewhere(body) => body.pull(&mut self.chunk),
        };
        let has_more = result.map_err(|error| self.fail(error))?;
        if has_more {
            self.values.scan(&self.chunk);
        } else if self.values.end() == Err(SequenceError::Truncated) {
            return Err(self.fail(Error::TruncatedResponse));
        }
        Ok(has_more)
    }

    /// The response is of no more use; every later call gives the same error.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        self.chunk = Vec::new();
        self.at = 0;
        self.failed = Some(error.clone());
        error
    }
}

fn lock(exchange: &Mutex<Exchange>) -> std::sync::MutexGuard<'_, Exchange> {
    // A panic of a callback leaves nothing half done but a frame.
    exchange.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Response {
    fn drop(&mut self) {
        if let Source::Frames(exchange, index) = &self.source {
            lock(exchange).give_up(*index);
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("offset", &self.offset)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
