//! A device without a driver: it is handed bytes wherever they lie, and hands out bytes to be sent.
//!
//! It does what a `ServerConnection` does, but is called instead of calling: from a main loop, or
//! from an interrupt, since nothing in it waits. What it is handed is not copied, unless a request
//! comes in several parts: then it is gathered in the 256 bytes that requests share.

use hgrpc::cbor::Head;
use hgrpc::server::{
    Body, Failure, OutputStream, Rejection, Responder, Server, ServerAction, ServerConfig,
};
use hgrpc::store::{FixedArena, FixedTable};
use hgrpc::wire::{FrameReader, OutFrame};
use hgrpc::{ApiMisuse, ProtocolError, R0005};

/// Requests at once.
const REQUESTS: usize = 4;

/// The device's state: some 700 bytes, of which none are a buffer for input or output.
pub struct Device {
    reader: FrameReader,
    server: Server<R0005>,
    table: FixedTable<REQUESTS>,
    arena: FixedArena<REQUESTS, 256>,
    stream: Option<OutputStream>,
    /// Who asked for a sum, and what it is so far.
    upload: Option<Responder>,
    sum: u32,
}

/// Why the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// This program did; it does not.
    Misuse(ApiMisuse),
}

impl From<ProtocolError> for Ended {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<ApiMisuse> for Ended {
    fn from(error: ApiMisuse) -> Self {
        Self::Misuse(error)
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::new()
    }
}

/// What an action asks for, with nothing borrowed from the arena but an answer's bytes.
enum Answer<'a> {
    Body(Responder, Body<'a>),
    Sum(Responder),
    Rejection(Rejection),
}

impl Device {
    /// A device at the start of a connection; it fits in a `static`.
    pub const fn new() -> Self {
        let config = ServerConfig::STREAMING;
        Self {
            reader: FrameReader::new(config.limits.max_frame_size),
            server: Server::new(R0005, config),
            table: FixedTable::new(),
            arena: FixedArena::new(),
            stream: None,
            upload: None,
            sum: 0,
        }
    }

    /// Takes what has come, in pieces of any size, and answers what is complete. `send` gets bytes
    /// to be sent, in order; it may not lose any.
    ///
    /// # Errors
    /// The connection is over.
    pub fn take(&mut self, mut bytes: &[u8], mut send: impl FnMut(&[u8])) -> Result<(), Ended> {
        while let Some(part) = self.reader.next(&mut bytes)? {
            // It borrows from `bytes`, or from the arena if it came in parts.
            let action = self.server.handle(part, &mut self.table, &mut self.arena)?;
            let answer = match action {
                ServerAction::RunCommand(command) => match command.name.as_slice() {
                    Some(b"echo") => {
                        let body = Body::Cbor(command.args.as_cbor());
                        Answer::Body(command.responder, body)
                    }
                    Some(b"sum") if command.data_follows && self.upload.is_none() => {
                        (self.upload, self.sum) = (Some(command.responder), 0);
                        continue;
                    }
                    _ => {
                        let failure = Failure::command(b"no such command, or busy");
                        Answer::Body(command.responder, Body::Failure(failure))
                    }
                },
                ServerAction::CommandData { bytes, is_last, .. } => {
                    self.sum = bytes
                        .iter()
                        .fold(self.sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
                    match self.upload.take() {
                        Some(responder) if is_last => Answer::Sum(responder),
                        waiting => {
                            self.upload = waiting;
                            continue;
                        }
                    }
                }
                ServerAction::RejectRequest(rejection) => Answer::Rejection(rejection),
                _ => continue,
            };
            let sum = Head::new(0, u64::from(self.sum));
            let stream = match &mut self.stream {
                Some(stream) => stream,
                empty => empty.insert(self.server.open_stream(&[])?),
            };
            let mut write = |frame: OutFrame<'_>| frame.as_slices().into_iter().for_each(&mut send);
            let (responder, body) = match answer {
                Answer::Body(responder, body) => (responder, body),
                Answer::Sum(responder) => (responder, Body::Cbor(sum.as_slice())),
                Answer::Rejection(rejection) => {
                    let mut refusal = self.server.reject(rejection);
                    let mut out = self.server.output(&mut self.table, stream);
                    while let Some(frame) = refusal.next_frame(&mut out)? {
                        write(frame);
                    }
                    continue;
                }
            };
            let mut answer = self.server.respond(&self.table, responder, body)?;
            let mut out = self.server.output(&mut self.table, stream);
            while let Some(frame) = answer.next_frame(&mut out, &mut [])? {
                write(frame);
            }
        }
        Ok(())
    }
}
