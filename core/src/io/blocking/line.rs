//! Read and write halves over a raw line, with a link between (link.md, "States").

use core::cell::{RefCell, RefMut};
use core::fmt;

use embedded_io::{Error, ErrorKind, ErrorType, Read, ReadReady, Write};

use crate::link::{Link, LinkConfig, LinkError, LinkEvent};
use crate::wire::FrameReader;

/// A raw line, such as a UART, with a [`Link`] over it, for the connections of this module.
///
/// ```text
///   R, W ──▶ LinkedLine ──connect──▶ LineReader, LineWriter ──▶ ServerConnection / ClientConnection
///   console ◀──┘   ▲                                                       │
///                  └───────────── link-lost, peer-restarted ───────────────┘
/// ```
/// It takes packets of up to `N` bytes, and sends such; `IN` bytes are read at once. Text between
/// packets goes to `console`. The bundles should join as much as a packet holds (their `OUT` at
/// `N` − 12 or more): each write makes a packet.
///
/// There is no clock in it. A read half that fails with [`ErrorKind::TimedOut`] when nothing has come
/// for a while makes a [tick](Link::tick) of that; one that waits for ever leaves ticking to the peer.
///
/// ```
/// use embedded_io::{Read, Write};
/// use hgrpc::R0005;
/// use hgrpc::io::blocking::{LineError, LinkedLine, NextError, ReceiveError, ServerConnection};
/// use hgrpc::link::LinkConfig;
/// use hgrpc::server::ServerConfig;
///
/// fn run<R: Read, W: Write>(uart_rx: R, uart_tx: W, starts: u16) -> Result<(), LineError<R::Error, W::Error>> {
///     let config = LinkConfig::new(u32::from(starts) << 16);
///     let mut line: LinkedLine<R, W, _, 64> = LinkedLine::new(uart_rx, uart_tx, |_: &[u8]| {}, config);
///     loop {
///         // Waits for the peer. After a loss all is made anew.
///         let (reader, writer) = line.connect()?;
///         let mut server: ServerConnection<_, _, 4, 256, 64, 64, R0005> =
///             ServerConnection::new(reader, writer, R0005, ServerConfig::STREAMING);
///         loop {
///             match server.next_action() {
///                 Ok(Some((_action, _replies))) => {} // as without a link
///                 Ok(None) => return Ok(()),
///                 Err(NextError::Receive(ReceiveError::Io(LineError::Link(_error)))) => break,
///                 Err(_) => break,
///             }
///         }
///     }
/// }
/// ```
pub struct LinkedLine<R, W, C, const N: usize, const IN: usize = 64> {
    inner: RefCell<Inner<R, W, C, N, IN>>,
}

struct Inner<R, W, C, const N: usize, const IN: usize> {
    input: R,
    output: W,
    console: C,
    link: Link<N>,
    buffer: [u8; IN],
    /// Where the bytes start and end that the link has not taken.
    start: usize,
    end: usize,
    /// Bytes of the last payload that were not read.
    unread: usize,
    out: [u8; N],
    /// Follows what is written, for the mark of packets that begin with a frame.
    frames: FrameReader,
    /// Why the connection is over.
    lost: Option<LinkError>,
    /// Which connection the halves must be of.
    connection: u16,
}

/// Why a line can go no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LineError<R, W> {
    /// The connection is over; [`LinkedLine::connect`] makes the next one.
    Link(LinkError),
    /// The read half failed; the next call goes on.
    Read(R),
    /// The write half failed. If a packet is cut, the peer sees a loss.
    Write(W),
    /// The write half took no byte, which it must not do.
    WroteNothing,
    /// The input has ended, while a connection was waited for.
    Ended,
    /// `console` has called back into the line.
    InUse,
}

/// The read half of a connection over a [`LinkedLine`].
pub struct LineReader<'l, R, W, C, const N: usize, const IN: usize>(Half<'l, R, W, C, N, IN>);

/// The write half of a connection over a [`LinkedLine`].
pub struct LineWriter<'l, R, W, C, const N: usize, const IN: usize>(Half<'l, R, W, C, N, IN>);

/// What both halves are: the line, and which connection over it they belong to.
struct Half<'l, R, W, C, const N: usize, const IN: usize> {
    line: &'l RefCell<Inner<R, W, C, N, IN>>,
    connection: u16,
}

/// The halves of a connection.
type Halves<'l, R, W, C, const N: usize, const IN: usize> = (
    LineReader<'l, R, W, C, N, IN>,
    LineWriter<'l, R, W, C, N, IN>,
);

impl<R, W, C, const N: usize, const IN: usize> LinkedLine<R, W, C, N, IN> {
    /// Bytes of memory that the line takes, the halves included.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// A line that is not connected.
    pub const fn new(input: R, output: W, console: C, config: LinkConfig) -> Self {
        const { assert!(IN > 0, "something must be read") }
        Self {
            inner: RefCell::new(Inner {
                input,
                output,
                console,
                link: Link::new(config),
                buffer: [0; IN],
                start: 0,
                end: 0,
                unread: 0,
                out: [0; N],
                frames: FrameReader::new(u32::MAX),
                lost: None,
                connection: 0,
            }),
        }
    }

    /// The read half and the write half themselves. What is read from one is missing, and what is
    /// written to the other is text to the peer if it falls between packets.
    pub fn io_mut(&mut self) -> (&mut R, &mut W) {
        let inner = self.inner.get_mut();
        (&mut inner.input, &mut inner.output)
    }

    /// Gives the halves back.
    pub fn into_halves(self) -> (R, W) {
        let inner = self.inner.into_inner();
        (inner.input, inner.output)
    }

    /// The link.
    pub fn link(&mut self) -> &Link<N> {
        &self.inner.get_mut().link
    }
}

impl<R: Read, W: Write, C: FnMut(&[u8]), const N: usize, const IN: usize>
    LinkedLine<R, W, C, N, IN>
{
    /// Waits until the peer is there, and gives the halves of a new connection. One that is up is
    /// [given up](Link::disconnect); from then on its halves fail with `link-lost`.
    ///
    /// The halves of a line in a `static` are `'static`, so that a connection over them can be in
    /// one too.
    ///
    /// # Errors
    /// [`LineError`], but not [`LineError::Link`].
    #[expect(clippy::type_complexity, reason = "a named pair and its error")]
    pub fn connect(&self) -> Result<Halves<'_, R, W, C, N, IN>, LineError<R::Error, W::Error>> {
        let mut inner = self.inner.try_borrow_mut().map_err(|_| LineError::InUse)?;
        inner.connection = inner.connection.wrapping_add(1);
        // What an earlier connection has left is not wanted.
        inner.link.disconnect();
        inner.unread = 0;
        inner.lost = None;
        while inner.lost.take().is_some() || !inner.link.is_up() {
            if !inner.step()? {
                return Err(LineError::Ended);
            }
        }
        inner.frames = FrameReader::new(u32::MAX);
        let (line, connection) = (&self.inner, inner.connection);
        Ok((
            LineReader(Half { line, connection }),
            LineWriter(Half { line, connection }),
        ))
    }
}

impl<R: Read, W: Write, C, const N: usize, const IN: usize> Half<'_, R, W, C, N, IN> {
    /// The line, if the connection is still the half's.
    #[expect(clippy::type_complexity, reason = "a guard and its error")]
    fn inner(&self) -> Result<RefMut<'_, Inner<R, W, C, N, IN>>, LineError<R::Error, W::Error>> {
        let inner = self.line.try_borrow_mut().map_err(|_| LineError::InUse)?;
        if inner.connection == self.connection {
            Ok(inner)
        } else {
            Err(LineError::Link(LinkError::LinkLost))
        }
    }
}

impl<R: Read, W: Write, C: FnMut(&[u8]), const N: usize, const IN: usize> Inner<R, W, C, N, IN> {
    /// Goes on by one event, or by one read; sends what is due. `false`: the input has ended.
    fn step(&mut self) -> Result<bool, LineError<R::Error, W::Error>> {
        let mut input = self.buffer.get(self.start..self.end).unwrap_or_default();
        match self.link.handle_bytes(&mut input) {
            Some(LinkEvent::Payload { bytes, .. }) => self.unread = bytes.len(),
            Some(LinkEvent::Lost(error)) => self.lost = Some(error),
            Some(LinkEvent::Console(text) | LinkEvent::Noise(text)) => (self.console)(text),
            Some(LinkEvent::Up) => {}
            None => return self.read_more(),
        }
        self.start = self.end.saturating_sub(input.len());
        Ok(true)
    }

    /// Everything has been taken: answers, and reads.
    fn read_more(&mut self) -> Result<bool, LineError<R::Error, W::Error>> {
        self.start = 0;
        self.end = 0;
        if let Some(packet) = self.link.control_packet(&mut self.out) {
            write_all(&mut self.output, packet)?;
            self.output.flush().map_err(LineError::Write)?;
        }
        match self.input.read(&mut self.buffer) {
            Ok(len) => self.end = len.min(IN),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                if let Some(error) = self.link.tick() {
                    self.lost = Some(error);
                }
                return Ok(true);
            }
            Err(error) => return Err(LineError::Read(error)),
        }
        Ok(self.end > 0)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, LineError<R::Error, W::Error>> {
        while self.unread == 0 {
            if let Some(error) = self.lost {
                return Err(LineError::Link(error));
            }
            if buffer.is_empty() || !self.step()? {
                return Ok(0);
            }
        }
        let payload = self.link.last_payload();
        let rest = payload
            .get(payload.len().saturating_sub(self.unread)..)
            .unwrap_or_default();
        buffer
            .iter_mut()
            .zip(rest)
            .for_each(|(to, from)| *to = *from);
        let len = buffer.len().min(rest.len());
        self.unread = rest.len().saturating_sub(len);
        Ok(len)
    }

    /// Writes one packet of these bytes, and what is due before it; how many it holds.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, LineError<R::Error, W::Error>> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(error) = self.lost {
                return Err(LineError::Link(error));
            }
            let mut rest = bytes;
            let is_frame_start = self.frames.received() == 0 && self.frames.current().is_none();
            let packet = self
                .link
                .packet(&mut rest, is_frame_start, &mut self.out)
                // It is not up: `lost` is about to say why.
                .map_err(|_| LineError::Link(LinkError::LinkLost))?;
            write_all(&mut self.output, packet)?;
            let len = bytes.len().saturating_sub(rest.len());
            if len > 0 {
                let mut sent = bytes.get(..len).unwrap_or_default();
                // No length is over the reader's maximum.
                while let Ok(Some(_)) = self.frames.next(&mut sent) {}
                return Ok(len);
            }
        }
    }
}

/// Writes everything. (`write_all` of the trait panics on a writer that takes none.)
fn write_all<W: Write, R>(output: &mut W, mut bytes: &[u8]) -> Result<(), LineError<R, W::Error>> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(LineError::WroteNothing),
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(LineError::Write(error)),
        }
    }
    Ok(())
}

impl<R: ErrorType, W: ErrorType, C, const N: usize, const IN: usize> ErrorType
    for LineReader<'_, R, W, C, N, IN>
{
    type Error = LineError<R::Error, W::Error>;
}

impl<R: Read, W: Write, C: FnMut(&[u8]), const N: usize, const IN: usize> Read
    for LineReader<'_, R, W, C, N, IN>
{
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        let mut inner = self.0.inner()?;
        inner.read(buffer)
    }
}

impl<R: Read + ReadReady, W: Write, C: FnMut(&[u8]), const N: usize, const IN: usize> ReadReady
    for LineReader<'_, R, W, C, N, IN>
{
    fn read_ready(&mut self) -> Result<bool, Self::Error> {
        let mut inner = self.0.inner()?;
        loop {
            if inner.unread > 0 || inner.lost.is_some() {
                return Ok(true);
            }
            if inner.start == inner.end && !inner.input.read_ready().map_err(LineError::Read)? {
                return Ok(false);
            }
            if !inner.step()? {
                return Ok(true);
            }
        }
    }
}

impl<R: ErrorType, W: ErrorType, C, const N: usize, const IN: usize> ErrorType
    for LineWriter<'_, R, W, C, N, IN>
{
    type Error = LineError<R::Error, W::Error>;
}

impl<R: Read, W: Write, C: FnMut(&[u8]), const N: usize, const IN: usize> Write
    for LineWriter<'_, R, W, C, N, IN>
{
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        let mut inner = self.0.inner()?;
        inner.write(bytes)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        let mut inner = self.0.inner()?;
        inner.output.flush().map_err(LineError::Write)
    }
}

impl<R: fmt::Display, W: fmt::Display> fmt::Display for LineError<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::Write(error) => error.fmt(f),
            Self::WroteNothing => f.write_str("the writer takes no more bytes"),
            Self::Ended => f.write_str("the input has ended"),
            Self::InUse => f.write_str("the line is in use"),
        }
    }
}

impl<R: core::error::Error, W: core::error::Error> core::error::Error for LineError<R, W> {}

impl<R: Error, W: Error> Error for LineError<R, W> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Link(_) => ErrorKind::ConnectionReset,
            Self::Read(error) => error.kind(),
            Self::Write(error) => error.kind(),
            Self::WroteNothing => ErrorKind::WriteZero,
            Self::Ended => ErrorKind::NotConnected,
            Self::InUse => ErrorKind::Other,
        }
    }
}

macro_rules! opaque {
    ($($name:ident $($lifetime:lifetime)?;)*) => {$(
        impl<$($lifetime,)? R, W, C, const N: usize, const IN: usize> fmt::Debug
            for $name<$($lifetime,)? R, W, C, N, IN>
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        #[cfg(feature = "defmt")]
        impl<$($lifetime,)? R, W, C, const N: usize, const IN: usize> defmt::Format
            for $name<$($lifetime,)? R, W, C, N, IN>
        {
            fn format(&self, f: defmt::Formatter<'_>) {
                defmt::write!(f, "{=str}", stringify!($name));
            }
        }
    )*};
}

// The console is a closure, which shows as nothing.
opaque! {
    LinkedLine;
    LineReader 'l;
    LineWriter 'l;
}
