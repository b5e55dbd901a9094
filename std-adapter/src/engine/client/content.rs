//! What a caller reads of a response: the command's own bytes, or values.

use bytes::{Buf as _, Bytes};
use hgrpc::Revision;
use hgrpc::cbor::ValueScanner;

use crate::host::calls::TRUNCATED;
use crate::host::strings::{Step, Strings};
use crate::host::{AnswerError, CallError};

/// The next bytes of a response, as [`Connection::poll_read`](super::Connection::poll_read) gives them; `None`:
/// they are to be waited for.
pub type More = Option<Result<Option<Bytes>, CallError>>;

/// A response that is read.
#[derive(Debug)]
pub struct Content {
    /// What came and is not used up.
    chunk: Bytes,
    strings: Strings,
    /// The error or the end that reading came to.
    end: Option<Result<(), CallError>>,
    /// A value that is not complete.
    value: Vec<u8>,
    scanner: ValueScanner,
}

impl Content {
    /// A response of which nothing was read.
    pub fn new(revision: Revision) -> Self {
        Self {
            chunk: Bytes::new(),
            strings: Strings::of_response(revision),
            end: None,
            value: Vec::new(),
            scanner: ValueScanner::new(),
        }
    }

    /// What is here to be read, as it came.
    pub fn bytes(&self) -> &[u8] {
        &self.chunk
    }

    /// So many bytes at the front were used.
    pub fn consume(&mut self, len: usize) {
        self.chunk.advance(len.min(self.chunk.len()));
    }

    /// The same of the command's own.
    pub fn consume_content(&mut self, len: usize) {
        let len = len.min(self.chunk.len());
        self.strings.passed(len);
        self.chunk.advance(len);
    }

    /// Takes bytes of the command's own off the front.
    pub fn take(&mut self, len: usize) -> Bytes {
        let len = len.min(self.chunk.len());
        self.strings.passed(len);
        self.chunk.split_to(len)
    }

    /// Has bytes as they came in [`bytes`](Self::bytes); none at the end.
    pub fn raw(&mut self, more: impl FnOnce() -> More) -> Option<Result<(), CallError>> {
        if self.chunk.is_empty() {
            match more()? {
                Ok(chunk) => self.chunk = chunk.unwrap_or_default(),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(()))
    }

    /// How many of the [`bytes`](Self::bytes) are the command's own; none at the end.
    pub fn content(&mut self, more: impl FnMut() -> More) -> Option<Result<usize, CallError>> {
        match &self.end {
            Some(Ok(())) => return Some(Ok(0)),
            Some(Err(error)) => return Some(Err(error.clone())),
            None => {}
        }
        let result = self.advance(more)?;
        match &result {
            Ok(0) => self.end = Some(Ok(())),
            // Its end may come yet.
            Ok(_) | Err(CallError::TimedOut) => {}
            Err(error) => self.end = Some(Err(error.clone())),
        }
        Some(result)
    }

    /// Passes over heads until content is at the front.
    fn advance(&mut self, mut more: impl FnMut() -> More) -> Option<Result<usize, CallError>> {
        loop {
            if let Err(error) = self.raw(&mut more)? {
                return Some(Err(error));
            }
            if self.chunk.is_empty() {
                return Some(match self.strings.is_between() {
                    true => Ok(0),
                    false => Err(TRUNCATED),
                });
            }
            match self.strings.step(&self.chunk) {
                Ok(Step::Content(len)) => return Some(Ok(len)),
                Ok(Step::Head) => self.chunk.advance(1),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next value, encoded, of at most so many bytes; `None` at the end.
    pub fn value(
        &mut self,
        most: usize,
        mut more: impl FnMut() -> More,
    ) -> Option<Result<Option<Vec<u8>>, CallError>> {
        loop {
            if let Err(error) = self.raw(&mut more)? {
                return Some(Err(error));
            }
            if self.chunk.is_empty() {
                return Some(match self.value.is_empty() {
                    true => Ok(None),
                    false => Err(TRUNCATED),
                });
            }
            let Ok(end) = self.scanner.scan(&self.chunk) else {
                return Some(Err(CallError::Answer(AnswerError::NotValues)));
            };
            let len = end.unwrap_or(self.chunk.len());
            if len > most - self.value.len() {
                return Some(Err(CallError::Answer(AnswerError::TooLarge)));
            }
            self.value.extend_from_slice(&self.chunk.split_to(len));
            if end.is_some() {
                self.scanner = ValueScanner::new();
                return Some(Ok(Some(std::mem::take(&mut self.value))));
            }
        }
    }

    /// Adds the command's own bytes at the front, so many, to `all`, which may have `limit` bytes.
    pub fn collect(
        &mut self,
        len: usize,
        all: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), CallError> {
        if len > limit - all.len() {
            return Err(CallError::Answer(AnswerError::TooLarge));
        }
        all.extend_from_slice(self.chunk.get(..len).unwrap_or_default());
        self.consume_content(len);
        Ok(())
    }
}
