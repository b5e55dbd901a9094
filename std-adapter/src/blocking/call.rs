//! A command that is being run: what the client asked for.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use hgrpc::Revision;
use hgrpc::cbor::{Args, RedirectTargets};
use hgrpc::wire::RequestId;

use super::conn::Conn;
use super::{Failure, Gone};
use crate::engine::Key;
use crate::engine::server::{Locked as _, Request};
use crate::host::arguments;

/// A command that is being run: its name, its arguments and its data.
///
/// Reading it reads the request's data, which arrives meanwhile.
#[derive(Debug)]
pub struct Call {
    pub(super) request: Request,
    /// What stands for the request's arguments.
    pub(super) args: Option<Vec<u8>>,
    pub(super) data: Option<Data>,
    pub(super) revision: Revision,
    pub(super) gone: Gone,
}

impl Call {
    /// The command's name.
    pub fn name(&self) -> &[u8] {
        self.request.name()
    }

    /// All arguments.
    pub fn args(&self) -> Args<'_> {
        match &self.args {
            Some(args) => Args::from_cbor(args).unwrap_or_default(),
            None => self.request.args(),
        }
    }

    /// Puts other arguments in their place: one encoded map.
    #[cfg(feature = "http-server")]
    pub(crate) fn set_args(&mut self, args: Vec<u8>) {
        self.args = Some(args);
    }

    /// An argument as any type that minicbor decodes; an `Option` may be missing.
    ///
    /// # Errors
    /// A failure of the command that names the argument, to be returned with `?`.
    pub fn arg<'a, T: minicbor::Decode<'a, ()>>(&'a self, key: &str) -> Result<T, Failure> {
        arguments::value(self.args(), key)
    }

    /// An argument that is a byte string.
    ///
    /// # Errors
    /// As for [`arg`](Self::arg).
    pub fn arg_bytes(&self, key: &str) -> Result<Cow<'_, [u8]>, Failure> {
        arguments::bytes(self.args(), key)
    }

    /// An argument that is text: a text string, or a byte string that holds UTF-8.
    ///
    /// # Errors
    /// As for [`arg`](Self::arg).
    pub fn arg_text(&self, key: &str) -> Result<Cow<'_, str>, Failure> {
        arguments::text(self.args(), key)
    }

    /// Whether the request has data, be it empty.
    pub fn has_data(&self) -> bool {
        self.data.is_some()
    }

    /// Takes the data, to read it elsewhere; empty if there is none, or if it was taken.
    pub fn take_data(&mut self) -> Data {
        self.data.take().unwrap_or_default()
    }

    /// Reads all the data.
    ///
    /// # Errors
    /// A failure of the command if there is more than `limit` bytes; I/O as for reading.
    pub fn read_data(&mut self, limit: usize) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        loop {
            let bytes = self.fill_buf()?;
            if bytes.is_empty() {
                return Ok(all);
            }
            if bytes.len() > limit - all.len() {
                return Err(Failure::command(format_args!(
                    "the data is longer than {limit} bytes"
                )));
            }
            all.extend_from_slice(bytes);
            let len = bytes.len();
            self.consume(len);
        }
    }

    /// Where the client would let itself be redirected to (0006).
    pub fn redirect_targets(&self) -> Option<RedirectTargets<'_>> {
        self.request.redirect_targets()
    }

    /// The request's ID on its connection.
    pub const fn request_id(&self) -> RequestId {
        self.request.id()
    }

    /// The revision that the client speaks.
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Tells when the client has gone.
    pub const fn gone(&self) -> &Gone {
        &self.gone
    }
}

impl Read for Call {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.data.as_mut().map_or(Ok(0), |data| data.read(buffer))
    }
}

impl BufRead for Call {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.data.as_mut().map_or(Ok(&[]), BufRead::fill_buf)
    }

    fn consume(&mut self, len: usize) {
        if let Some(data) = &mut self.data {
            data.consume(len);
        }
    }
}

/// A request's data, as it arrives.
///
/// Its end is the data's; if the connection ends first, or the handler was too slow for
/// [`Limits::stall`](super::Limits::stall), reading fails. Dropped before its end, the rest is
/// swallowed.
#[derive(Debug, Default)]
pub struct Data {
    /// Where it comes from; `None`: the request has none.
    source: Option<(Arc<Conn>, Key)>,
    chunk: Bytes,
}

impl Data {
    pub(super) fn new(conn: &Arc<Conn>, key: Key) -> Self {
        Self {
            source: Some((Arc::clone(conn), key)),
            chunk: Bytes::new(),
        }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if let Some((conn, key)) = &self.source {
            conn.with(|connection| connection.data_dropped(*key));
        }
    }
}

impl Read for Data {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(buffer)?;
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for Data {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty()
            && let Some((conn, key)) = &self.source
            && let Some((chunk, _)) = conn.block(|guarded, waker| guarded.poll_data(*key, waker))?
        {
            self.chunk = chunk;
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, len: usize) {
        self.chunk.advance(len.min(self.chunk.len()));
    }
}
