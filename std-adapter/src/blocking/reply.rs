//! A response that is being written.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use hgrpc::ApiMisuse;
use hgrpc::cbor::Location;

use super::conn::Conn;
use super::{ByteStringWriter, ConnectionError, Failure, Notes};
use crate::engine::Key;
use crate::engine::server::{Connection, OwnedReply, Written};
use crate::host::values::{self, invalid};
use crate::host::{IntoReply, ReplyBody};

/// The response to one call.
///
/// - Bytes that are [written](Write) are the command's output: as they are in 0003 and 0005, as a
///   streamed byte string in 0006, where a response is a sequence of CBOR values. The other end
///   reads them by reading its [`Response`](super::Response), in all revisions alike.
/// - [`value`](Self::value) and [`cbor`](Self::cbor) add CBOR values.
/// - [`notes`](Self::notes) sends text output and progress, also from other threads.
///
/// Small writes are gathered to frames; [`flush`](Write::flush) sends what there is. Writing waits for
/// a slow peer. The connection's responses share the line evenly, in bytes.
///
/// A reply that is dropped without [`finish`](Self::finish) or [`fail`](Self::fail) is answered
/// with a server's error.
#[must_use = "a reply that is dropped is an error to the client"]
pub struct Reply {
    own: OwnedReply<Conn>,
    /// Bytes of a byte string of known length that are still to be written.
    missing: u64,
}

impl Reply {
    pub(super) const fn new(conn: Arc<Conn>, key: Key) -> Self {
        Self {
            own: OwnedReply::new(conn, key),
            missing: 0,
        }
    }

    /// Waits until something of the reply was written.
    fn write_with(&self, write: impl Fn(&mut Connection, Key) -> Written) -> io::Result<usize> {
        let OwnedReply { conn, key, .. } = &self.own;
        conn.block(|guarded, waker| {
            guarded.poll_written(*key, waker, |connection| write(connection, *key))
        })
    }

    /// Writes all bytes, as many at once as there is room for.
    fn write_all_with(
        &self,
        mut bytes: &[u8],
        write: impl Fn(&mut Connection, Key, &[u8]) -> Written,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.write_with(|connection, key| {
                let mut taken = 0;
                while let Some(rest) = bytes.get(taken..)
                    && !rest.is_empty()
                {
                    match write(connection, key, rest) {
                        Written::Taken(len) => taken += len,
                        other if taken == 0 => return other,
                        _ => break,
                    }
                }
                Written::Taken(taken)
            })?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Sends text output and progress beside the response; can be cloned and given to other
    /// threads.
    pub fn notes(&self) -> Notes {
        let OwnedReply { conn, key, .. } = &self.own;
        Notes {
            conn: Arc::clone(conn),
            key: *key,
        }
    }

    /// Text for people, beside the response.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn text(&self, text: impl AsRef<str>) -> Result<(), ConnectionError> {
        self.notes().text(text)
    }

    /// Adds one CBOR value to the response.
    ///
    /// # Errors
    /// Something that minicbor does not encode as one value; the connection has ended.
    pub fn value<T: minicbor::Encode<()> + ?Sized>(&mut self, value: &T) -> io::Result<()> {
        self.cbor(&values::encode(value).map_err(invalid)?)
    }

    /// Adds CBOR values that are encoded already, one behind another.
    ///
    /// # Errors
    /// The bytes are something else; the connection has ended.
    pub fn cbor(&mut self, values: &[u8]) -> io::Result<()> {
        values::check(values)?;
        self.check_complete()?;
        self.write_with(|connection, key| connection.write_values(key, values))
            .map(drop)
    }

    /// Adds a byte string of `len` bytes, which are then written to what is returned: for content
    /// that is large and whose receiver does not take it in chunks. (What is
    /// [written](Write) to the reply itself is, in 0006, a byte string in chunks.)
    ///
    /// # Errors
    /// The connection has ended.
    pub fn byte_string(&mut self, len: u64) -> io::Result<ByteStringWriter<'_>> {
        self.check_complete()?;
        self.write_with(|connection, key| connection.begin_bytes(key, len))?;
        self.missing = len;
        Ok(ByteStringWriter::new(self))
    }

    pub(super) const fn missing(&self) -> u64 {
        self.missing
    }

    /// Content of the byte string that was begun.
    pub(super) fn add_content(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let Some(missing) = self.missing.checked_sub(len) else {
            return Err(invalid(ApiMisuse::TooLarge));
        };
        self.write_all_with(bytes, Connection::write_content)?;
        self.missing = missing;
        Ok(())
    }

    /// Whether something else may come: not inside of a byte string.
    fn check_complete(&self) -> io::Result<()> {
        match self.missing {
            0 => Ok(()),
            missing => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a byte string of the response lacks {missing} bytes"),
            )),
        }
    }

    /// Answers with the value that a closure has returned, and ends.
    pub(super) fn return_value(mut self, value: impl IntoReply) -> io::Result<()> {
        match value.into_reply() {
            Ok(ReplyBody::Empty) => {}
            Ok(ReplyBody::Bytes(bytes)) => self.write_all(bytes.as_ref())?,
            Ok(ReplyBody::Values(values)) => self.cbor(&values)?,
            Err(failure) => return self.fail(failure),
        }
        self.finish()
    }

    /// Ends the response.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn finish(mut self) -> io::Result<()> {
        if let Err(error) = self.check_complete() {
            self.own.fail(&Failure::server(&error))?;
            return Err(error);
        }
        self.own.finish()
    }

    /// Ends the response by saying where it is instead (0006; revision-0006.md, 7.5). Only clients
    /// that say where they would go ([`Call::redirect_targets`](super::Call::redirect_targets))
    /// know what to do with it.
    ///
    /// # Errors
    /// Something was written before, or the location is not well-formed; the connection has ended.
    pub fn redirect(mut self, location: &Location<'_>) -> io::Result<()> {
        let mut redirected = Ok(Written::Closed);
        self.own.end_if(|connection, key| {
            redirected = connection.redirect(key, location);
            redirected.is_ok()
        });
        redirected.map_err(invalid)?.into_end()
    }

    /// Ends the response because the command failed. What was written but not yet sent is left
    /// out if nothing was sent at all: then the failure is the whole answer.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn fail(mut self, failure: impl Into<Failure>) -> io::Result<()> {
        Ok(self.own.fail(&failure.into())?)
    }
}

impl Write for Reply {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_complete()?;
        self.write_all_with(bytes, Connection::write)?;
        Ok(bytes.len())
    }

    /// Sends what was written so far, so that the peer can read it.
    fn flush(&mut self) -> io::Result<()> {
        self.write_with(Connection::flush).map(drop)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("has_ended", &self.own.has_ended())
            .finish_non_exhaustive()
    }
}
