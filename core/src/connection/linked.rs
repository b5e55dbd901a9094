//! Connections over a raw line, with a link between (link.md, "States").

use super::sender::Sealed;
use super::{Buffers, Connection, Drive, End, Input, Line, Sender};
use crate::Error;
use crate::client::Client;
use crate::link::{Incoming, LinkConfig, LinkError, Outgoing, Received};
use crate::server::Server;

/// A server's end of connections over a raw line, such as a UART, one after the other.
///
/// What differs from a [`ServerConnection`](super::ServerConnection):
/// [`Event::Line`](crate::server::Event::Line) says when a connection begins, when it is lost,
/// and what text came between packets. When one begins the server begins anew; until then nothing
/// can be sent ([`ApiMisuse::OutOfOrder`](crate::ApiMisuse::OutOfOrder)). Frames are joined in
/// packets, which go out when they are full and before anything is read.
///
/// There is no clock in it. A read half that fails with `TimedOut` when nothing has come for a while
/// makes a [tick](Drive::tick) of that; one that waits for ever leaves ticking to the peer.
///
#[cfg_attr(feature = "embedded-io-v0_7", doc = "```")]
#[cfg_attr(not(feature = "embedded-io-v0_7"), doc = "```ignore")]
/// use embedded_io::{Read, Write};
/// use hgrpc::{Error, R0005};
/// use hgrpc::link::LinkConfig;
/// use hgrpc::connection::{Buffers, LineEvent, LinkBuffers, LinkedServer};
/// use hgrpc::drive::blocking::Driver;
/// use hgrpc::server::{Event, Server, ServerConfig};
/// use hgrpc::store::FixedRequests;
///
/// type Device<'b, R, W> = Driver<LinkedServer<'b, R0005, FixedRequests<4>>, R, W>;
///
/// /// Serves connection after connection, until the line ends; `starts` counts the device's starts.
/// fn run<R: Read, W: Write>(rx: R, tx: W, starts: u16) {
///     let buffers = Buffers {
///         input: &mut [0; 64],
///         memory: &mut [0; 256],
///         output: &mut [0; 64],
///     };
///     let packets = LinkBuffers {
///         received: &mut [0; 64],
///         sent: &mut [0; 64],
///     };
///     let mut server = Server::new(R0005, ServerConfig::STREAMING, FixedRequests::new());
///     let link = LinkConfig::new(u32::from(starts) << 16);
///     let connection = LinkedServer::linked(&mut server, buffers, link, packets);
///     let mut device = Driver::new(connection, rx, tx);
///     while serve(&mut device).is_err() {
///         device.connection_mut().disconnect();
///     }
/// }
///
/// /// Serves until the line ends, or the host breaks the protocol.
/// fn serve<R: Read, W: Write>(
///     device: &mut Device<'_, R, W>,
/// ) -> Result<(), Error<R::Error, W::Error>> {
///     while let Some((event, mut replies)) = device.step()? {
///         match event {
///             Event::Command(command) => replies.send(command.unknown())?,
///             // Every open call has ended: what is remembered of them is forgotten.
///             Event::Line(LineEvent::Up | LineEvent::Lost(_)) => {}
///             _ => {}
///         }
///     }
///     Ok(())
/// }
/// ```
pub type LinkedServer<'b, P, T> = Connection<'b, Server<P, T>, Packets<'b>>;

/// A client's end of connections over a raw line; as [`LinkedServer`]. When a connection is lost,
/// [`take_unanswered`](Connection::take_unanswered) gives the requests that were open, until the next
/// one begins.
pub type LinkedClient<'b, P, T> = Connection<'b, Client<P, T>, Packets<'b>>;

/// What a line has to say.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LineEvent<'a> {
    /// A connection begins: the end begins anew, and may send from now on.
    Up,
    /// The connection is over; the next one begins when the peer is there again. What the peer sent
    /// after the last event is lost, and so may be what was sent to it.
    Lost(LinkError),
    /// Text between packets, in pieces, or a bad packet as it came.
    Console(&'a [u8]),
}

/// The memory that a link uses: 32 to 256 bytes each.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkBuffers<'b> {
    /// The packet that comes. As large a one is asked for.
    pub received: &'b mut [u8],
    /// The packet that goes. It is no larger than the peer takes.
    pub sent: &'b mut [u8],
}

/// A link lies between a connection and the bytes that are read and written.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Packets<'b>(Outgoing<'b>);

/// The packet that is received.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Packet<'b>(Incoming<'b>);

impl Sealed for Packets<'_> {}
impl<'b> Line for Packets<'b> {
    type Receiver = Packet<'b>;

    fn pending<'p>(&'p mut self, frame: &'p [u8], taken: &mut usize) -> &'p [u8] {
        self.0.pending(frame, taken)
    }

    fn wrote(&mut self, len: usize, _taken: &mut usize) {
        self.0.wrote(len);
    }

    fn flush(&mut self) {
        self.0.flush();
    }

    fn is_up(&self) -> bool {
        self.0.is_up()
    }
}

impl<'b, E: End> Connection<'b, E, Packets<'b>> {
    /// An end, as for [`Connection::new`], that waits for its first connection. `link` has its first
    /// session number.
    pub const fn linked(
        end: &'b mut E,
        buffers: Buffers<'b>,
        link: LinkConfig,
        packets: LinkBuffers<'b>,
    ) -> Self {
        let outgoing = Outgoing::new(link, packets.received.len(), packets.sent);
        Self {
            input: Input::new(buffers.input),
            line: Packet(Incoming::new(packets.received)),
            memory: buffers.memory,
            sender: Sender::new(end, buffers.output, Packets(outgoing)),
        }
    }

    /// Whether there is a connection.
    pub const fn is_up(&self) -> bool {
        self.sender.line.0.is_up()
    }

    /// This end's session number, for logs and for a device that keeps it over restarts.
    pub const fn session(&self) -> u32 {
        self.sender.line.0.session()
    }

    /// The peer's session number, as far as it is known.
    pub const fn peer_session(&self) -> Option<u32> {
        self.sender.line.0.peer_session()
    }

    /// Gives up the connection, if there is one: the peer's ends with `link-lost`, and the next one
    /// begins as soon as both are there. For an owner that was told that the peer broke the protocol,
    /// or that begins anew. Nothing is reported at this end.
    pub fn disconnect(&mut self) {
        self.sender.line.0.disconnect();
        self.line.0.drop_payload();
    }
}

impl<'b, E: End> Drive for Connection<'b, E, Packets<'b>> {
    type Event<'a>
        = E::Event<'a>
    where
        Self: 'a;
    type Sender = Sender<'b, E, Packets<'b>>;

    fn room(&mut self) -> &mut [u8] {
        self.input.room()
    }

    /// The line has ended, wherever that was; link.md knows no such thing.
    fn filled(&mut self, len: usize) -> Result<bool, Error> {
        self.input.filled(len);
        Ok(len > 0)
    }

    fn has_input(&self) -> bool {
        self.line.0.has_payload() || self.sender.line.0.has_report() || !self.input.is_empty()
    }

    fn look(&mut self) -> Result<bool, Error> {
        let (mut raw, left) = self.input.take();
        let outgoing = &mut self.sender.line.0;
        self.line.0.look(outgoing, &mut raw);
        left.set(raw.len());
        match outgoing.lost() {
            Some(error) => Err(Error::Lost(error)),
            None => Ok(!self.has_input()),
        }
    }

    fn tick(&mut self) -> bool {
        self.sender.line.0.tick();
        true
    }

    fn next(&mut self) -> Result<(Self::Event<'_>, &mut Self::Sender), Error> {
        let Self {
            input,
            line: Packet(incoming),
            memory,
            sender,
        } = self;
        if !incoming.has_payload() {
            let (mut raw, left) = input.take();
            let received = incoming.next(&mut sender.line.0, &mut raw);
            left.set(raw.len());
            let event = match received {
                None => E::idle(),
                Some(Received::Up) => {
                    sender.restart(memory);
                    sender.line.0.drop_joined();
                    E::line(LineEvent::Up)
                }
                Some(Received::Lost(error)) => E::line(LineEvent::Lost(error)),
                Some(Received::Text(text)) => E::line(LineEvent::Console(text)),
                Some(Received::Held(end)) => E::line(LineEvent::Console(incoming.held(end))),
                Some(Received::Payload) => E::idle(),
            };
            return Ok((event, sender));
        }
        let (mut bytes, start, end) = incoming.payload();
        let event = sender.receive(&mut bytes, memory);
        *start = end.wrapping_sub(bytes.len());
        Ok((event?.unwrap_or_else(E::idle), sender))
    }

    fn sender(&mut self) -> &mut Self::Sender {
        &mut self.sender
    }
}
