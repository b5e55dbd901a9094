//! A connection: an end of the protocol with its memory and its output. It has no reader, no writer
//! and no clock: bytes go in, events and bytes come out.
//!
//! ```text
//!   read ─▶ room, filled ─▶ next ─▶ event ─▶ your code
//!                                              │ reply.ok(&value), calls.request(…)
//!   write ◀─ pending, wrote ◀─ make ◀──────────┘
//! ```
//! - [`ServerConnection`], [`ClientConnection`]: see [`Connection`], which both are.
//! - `LinkedServer`, `LinkedClient` (feature `link`): the same over a raw line, such as a UART.
//! - [`Frames`]: what can be sent: [`Reply::ok`](super::server::Reply::ok) and its like make them.
//! - [`HeldBack`]: answers for a half-duplex line, held back until all input has come.
//!
//! The module `drive` has what moves the bytes. Without it a connection is used like this, by
//! whoever has the bytes; an interrupt may, since nothing waits:
//!
//! ```
//! use hgrpc::Error;
//! use hgrpc::connection::{Buffers, ServerConnection};
//! use hgrpc::server::{Event, Server, ServerConfig};
//! use hgrpc::store::FixedRequests;
//! use hgrpc::R0005;
//!
//! type Device<'b> = ServerConnection<'b, R0005, FixedRequests<4>>;
//!
//! /// Takes what has come, wherever it lies, and gives out what is to be sent.
//! fn handle(
//!     device: &mut Device<'_>,
//!     mut bytes: &[u8],
//!     mut write: impl FnMut(&[u8]),
//! ) -> Result<(), Error> {
//!     while let Some((event, replies)) = device.take(&mut bytes)? {
//!         if let Event::Command(command) = event {
//!             let mut answer = command.reply.ok(&true);
//!             replies.make_all(&mut answer, &mut write)?;
//!         }
//!         replies.write_all(&mut write);
//!     }
//!     Ok(())
//! }
//!
//! let (mut memory, mut output) = ([0; 256], [0; 64]);
//! let buffers = Buffers { input: &mut [], memory: &mut memory, output: &mut output };
//! let mut server = Server::new(R0005, ServerConfig::STREAMING, FixedRequests::new());
//! let mut device = ServerConnection::new(&mut server, buffers);
//! let mut sent = Vec::new();
//! for byte in b"\x0b\0\0\x01\0\x01\x01\x11\xa1DnameDping" {
//!     handle(&mut device, &[*byte], |bytes| sent.extend_from_slice(bytes))?;
//! }
//! assert_eq!(sent, b"\x0c\0\0\x01\0\x02\x01\x32\xa1FstatusBok\xf5");
//! # Ok::<(), Error>(())
//! ```

mod answer;
mod call;
mod end;
mod held;
mod input;
#[cfg(feature = "link")]
mod linked;
mod sender;

pub use answer::{Body, Failed, Named, Note, Outcome, ValueOf};
pub(crate) use answer::{UNKNOWN_COMMAND, UNKNOWN_COMMAND_SHORT, WRONG_ARGUMENTS, fail_named};
pub use call::{Call, Data};
pub use end::{End, Frames};
pub use held::HeldBack;
#[cfg(feature = "link")]
pub use linked::{LineEvent, LinkBuffers, LinkedClient, LinkedServer, Packets};
pub use sender::{Direct, Line, Outgoing, Sender};

use super::Error;
use super::client::Client;
use super::server::Server;
use super::store::Requests;
use crate::wire::RequestId;
use crate::{ApiMisuse, Protocol};
use input::Input;

/// A server's end of a connection.
pub type ServerConnection<'b, P, T> = Connection<'b, Server<P, T>, Direct>;

/// A client's end of a connection.
pub type ClientConnection<'b, P, T> = Connection<'b, Client<P, T>, Direct>;

/// The memory that a connection uses.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Buffers<'b> {
    /// What is read goes here, at least a byte: a larger one saves reads.
    pub input: &'b mut [u8],
    /// Where the open requests gather what comes in several parts.
    pub memory: &'b mut [u8],
    /// Where frames are made, one at a time: none is larger. 64 bytes are enough for refusals, in
    /// 0006 96.
    pub output: &'b mut [u8],
}

/// An end of the protocol with its memory and its output: a [`ServerConnection`] or a
/// [`ClientConnection`], or one over a link.
///
/// A step is: write what is [`pending`](Outgoing::pending), read into [`room`](Self::room) unless
/// there [is input](Self::has_input), say how much came with [`filled`](Self::filled), and take the
/// [`next`](Self::next) event. What an event borrows lies in the buffers and is gone with the next
/// one. The half that sends comes beside the event, so an event can be answered while its arguments
/// are still borrowed.
///
/// Work per call is bounded by the bytes taken and the request or message that they complete.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Connection<'b, E: End, L: Line = Direct> {
    input: Input<'b>,
    #[cfg_attr(
        not(any(feature = "link", feature = "defmt")),
        expect(dead_code, reason = "only a link has something here")
    )]
    line: L::Receiver,
    memory: &'b mut [u8],
    sender: Sender<'b, E, L>,
}

/// What a driver needs of a connection.
pub trait Drive {
    /// What has come.
    type Event<'a>
    where
        Self: 'a;

    /// The half that sends.
    type Sender: Outgoing;

    /// Where to read to. Nothing may be read while there [is input](Self::has_input).
    fn room(&mut self) -> &mut [u8];

    /// So many bytes were read. `false`: none, the input has ended, between two frames.
    ///
    /// # Errors
    /// [`ProtocolError::ShortHeader`](crate::ProtocolError::ShortHeader) or
    /// [`ShortPayload`](crate::ProtocolError::ShortPayload): it has ended inside a frame.
    fn filled(&mut self, len: usize) -> Result<bool, Error>;

    /// Whether there is something to be taken without reading.
    fn has_input(&self) -> bool;

    /// Takes what was read as far as it says whether the connection still is there, and nothing that
    /// is the owner's; `false`: more cannot be told before the next event. Text between packets is
    /// passed over.
    ///
    /// # Errors
    /// `Error::Lost` over a link: the peer has given up the connection, or has started anew. The next
    /// event says so too.
    fn look(&mut self) -> Result<bool, Error> {
        Ok(false)
    }

    /// Nothing has come for a while. `false`: that means nothing to the connection.
    fn tick(&mut self) -> bool;

    /// Takes the next event, and gives the half that sends beside it.
    ///
    /// # Errors
    /// [`Error::Protocol`], or [`Error::Misuse`] if the output is too small for a refusal.
    fn next(&mut self) -> Result<(Self::Event<'_>, &mut Self::Sender), Error>;

    /// The half that sends.
    fn sender(&mut self) -> &mut Self::Sender;
}

impl<'b, E: End> Connection<'b, E, Direct> {
    /// A connection of an end, which is new or has been [restarted](Server::restart). A client's should
    /// send at once, any number of requests, and decode nothing but `identity`, as
    /// [`FULL_DUPLEX`](crate::client::ClientConfig::FULL_DUPLEX) says.
    pub const fn new(end: &'b mut E, buffers: Buffers<'b>) -> Self {
        Self {
            input: Input::new(buffers.input),
            line: (),
            memory: buffers.memory,
            sender: Sender::new(end, buffers.output, Direct),
        }
    }

    /// Takes the next event of bytes that lie elsewhere, which are advanced past what was taken.
    /// `None`: all were. What the event borrows lies there too, unless it came in several parts.
    ///
    /// # Errors
    /// As for [`next`](Drive::next).
    #[expect(clippy::type_complexity, reason = "a pair of named types")]
    pub fn take<'a, 'i: 'a>(
        &'a mut self,
        bytes: &mut &'i [u8],
    ) -> Result<Option<(E::Event<'a>, &'a mut Sender<'b, E, Direct>)>, Error> {
        let Self { memory, sender, .. } = self;
        let event = sender.receive(bytes, memory)?;
        Ok(event.map(|event| (event, sender)))
    }
}

impl<'b, E: End> Drive for Connection<'b, E, Direct> {
    type Event<'a>
        = E::Event<'a>
    where
        Self: 'a;
    type Sender = Sender<'b, E, Direct>;

    fn room(&mut self) -> &mut [u8] {
        self.input.room()
    }

    #[inline]
    fn filled(&mut self, len: usize) -> Result<bool, Error> {
        if len == 0 {
            self.sender.end.finish()?;
        }
        self.input.filled(len);
        Ok(len > 0)
    }

    fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    fn tick(&mut self) -> bool {
        false
    }

    #[inline]
    fn next(&mut self) -> Result<(Self::Event<'_>, &mut Self::Sender), Error> {
        let Self {
            input,
            memory,
            sender,
            ..
        } = self;
        let (mut bytes, rest) = input.take();
        let event = sender.receive(&mut bytes, memory);
        rest.set(bytes.len());
        Ok((event?.unwrap_or_else(E::idle), sender))
    }

    fn sender(&mut self) -> &mut Self::Sender {
        &mut self.sender
    }
}

impl<E: End, L: Line> Connection<'_, E, L> {
    /// Bytes of memory that the connection takes, its end and its buffers not counted.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// The reactor.
    pub const fn end(&self) -> &E {
        self.sender.end
    }

    /// Bytes of the memory that are not in use, for a high-water mark: asked after each event it
    /// misses nothing, since what an event has borrowed is held until the next one.
    pub fn free_memory(&self) -> usize {
        self.sender.end.free(self.memory)
    }

    /// Begins anew, for the next connection. Tokens of before are stale; nothing of what was to be
    /// sent is left.
    pub fn restart(&mut self) {
        self.input.clear();
        self.sender.restart(self.memory);
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>, L: Line> Connection<'_, Client<P, T>, L> {
    /// Gives up on a request; see [`Client::cancel`]. One whose data is being sent is to be ended
    /// by sending on.
    ///
    /// # Errors
    /// [`ApiMisuse::RequestNotActive`]: it has ended, or never was.
    pub fn cancel(&mut self, id: RequestId) -> Result<(), ApiMisuse> {
        self.sender.end.cancel(id, self.memory)
    }

    /// After the end of input: takes the requests that will never be answered, one by one.
    pub fn take_unanswered(&mut self) -> Option<RequestId> {
        self.sender.end.handle_eof(self.memory)
    }
}
