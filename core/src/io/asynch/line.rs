//! Read and write halves over a raw line, with a link between (link.md, "States").
#![expect(
    clippy::await_holding_refcell_ref,
    reason = "whoever comes in between is told that the line is in use"
)]

use core::cell::{RefCell, RefMut};

use embedded_io_async::{Error, ErrorKind, ErrorType, Read, Write};

use super::super::line::LineState;
use super::LineError;
use crate::link::{Link, LinkConfig, LinkError};

/// A raw line, such as a UART, with a [`Link`] over it, for the connections of this module; as
/// [`blocking::LinkedLine`](crate::io::blocking::LinkedLine).
///
/// There is no clock in it. A read half that fails with [`ErrorKind::TimedOut`] when nothing has
/// come for a while makes a [tick](Link::tick) of that, and so does [`tick`](Self::tick); a device
/// whose peer ticks needs neither.
///
/// ```
/// use embedded_io_async::{Read, Write};
/// use hgrpc::R0005;
/// use hgrpc::io::asynch::{LineError, LinkedLine, ServerConnection};
/// use hgrpc::link::LinkConfig;
/// use hgrpc::server::ServerConfig;
///
/// async fn run<R: Read, W: Write>(
///     rx: R,
///     tx: W,
///     starts: u16,
/// ) -> Result<(), LineError<R::Error, W::Error>> {
///     let config = LinkConfig::new(u32::from(starts) << 16);
///     let line: LinkedLine<R, W, _, 64> = LinkedLine::new(rx, tx, |_: &[u8]| {}, config);
///     loop {
///         // Waits for the peer. After a loss all is made anew.
///         let (reader, writer) = line.connect().await?;
///         let mut server: ServerConnection<_, _, 4, 256, 64, 64, R0005> =
///             ServerConnection::new(reader, writer, R0005, ServerConfig::STREAMING);
///         while let Ok(Some((_action, _replies))) = server.next_action().await {
///             // as without a link
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
    state: LineState<C, N, IN>,
}

/// The read half of a connection over a [`LinkedLine`]: gives payload, whole and in order, or
/// fails with [`LineError::Link`] when the connection is over, from then on. Not `Send`.
pub struct LineReader<'l, R, W, C, const N: usize, const IN: usize>(Half<'l, R, W, C, N, IN>);

/// The write half of a connection over a [`LinkedLine`]: each write makes a packet, which goes out
/// with the next write, flush or read. Fails as the [read half](LineReader) does. Not `Send`.
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
        Self {
            inner: RefCell::new(Inner {
                input,
                output,
                state: LineState::new(console, config),
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

    /// The link, for its session numbers and whether it [is up](Link::is_up).
    pub fn link(&mut self) -> &Link<N> {
        &self.inner.get_mut().state.link
    }

    /// Some time has passed; see [`Link::tick`]. `false`: a future of the line is under way; drop
    /// it first. What is due goes out with the next one.
    pub fn tick(&self) -> bool {
        let inner = self.inner.try_borrow_mut();
        inner.is_ok_and(|mut inner| {
            inner.state.tick();
            true
        })
    }
}

impl<R: Read, W: Write, C: FnMut(&[u8]), const N: usize, const IN: usize>
    LinkedLine<R, W, C, N, IN>
{
    /// Waits until the peer is there, and gives the halves of a new connection. One that is up is
    /// [given up](Link::disconnect); from then on its halves fail with `link-lost`.
    ///
    /// May be dropped at any time; the next call begins anew.
    ///
    /// # Errors
    /// [`LineError`], but not [`LineError::Link`].
    pub async fn connect(
        &self,
    ) -> Result<Halves<'_, R, W, C, N, IN>, LineError<R::Error, W::Error>> {
        let mut inner = self.inner.try_borrow_mut().map_err(|_| LineError::InUse)?;
        inner.state.begin();
        while !inner.state.has_begun() {
            if !inner.step().await? {
                return Err(LineError::Ended);
            }
        }
        let (line, connection) = (&self.inner, inner.state.connection);
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
        if inner.state.connection == self.connection {
            Ok(inner)
        } else {
            Err(LineError::Link(LinkError::LinkLost))
        }
    }
}

impl<R: Read, W: Write, C, const N: usize, const IN: usize> Inner<R, W, C, N, IN> {
    /// Writes what was made. (`write_all` of the trait panics on a writer that takes none, and does
    /// not know how far it has come when it is dropped.)
    async fn drain(&mut self) -> Result<(), LineError<R::Error, W::Error>> {
        while !self.state.pending().is_empty() {
            match self.output.write(self.state.pending()).await {
                Ok(0) => return Err(LineError::WroteNothing),
                Ok(len) => self.state.wrote(len),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(LineError::Write(error)),
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), LineError<R::Error, W::Error>> {
        self.drain().await?;
        self.output.flush().await.map_err(LineError::Write)
    }

    /// Makes one packet of these bytes, which goes out with the next call; what was made before is
    /// written. How many it holds.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, LineError<R::Error, W::Error>> {
        loop {
            self.drain().await?;
            // From here on nothing waits, unless nothing of them was taken.
            let len = self.state.put(bytes)?;
            if len > 0 || bytes.is_empty() {
                return Ok(len);
            }
        }
    }
}

impl<R: Read, W: Write, C: FnMut(&[u8]), const N: usize, const IN: usize> Inner<R, W, C, N, IN> {
    /// Goes on by one event, or by one read; sends what is due. `false`: the input has ended.
    async fn step(&mut self) -> Result<bool, LineError<R::Error, W::Error>> {
        if self.state.step() {
            return Ok(true);
        }
        // Everything has been taken: answers, and reads.
        self.state.answer();
        if !self.state.pending().is_empty() {
            self.flush().await?;
        }
        match self.input.read(self.state.room()).await {
            Ok(len) => self.state.filled(len),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                self.state.tick();
                return Ok(true);
            }
            Err(error) => return Err(LineError::Read(error)),
        }
        Ok(self.state.has_input())
    }

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, LineError<R::Error, W::Error>> {
        loop {
            let len = self.state.read(buffer);
            if len > 0 || buffer.is_empty() {
                return Ok(len);
            }
            self.state.check()?;
            if !self.step().await? {
                return Ok(0);
            }
        }
    }
}

impl<R: ErrorType, W: ErrorType, C, const N: usize, const IN: usize> ErrorType
    for LineReader<'_, R, W, C, N, IN>
{
    type Error = LineError<R::Error, W::Error>;
}

impl<R: Read, W: Write, C: FnMut(&[u8]), const N: usize, const IN: usize> Read
    for LineReader<'_, R, W, C, N, IN>
{
    /// May be dropped at any time.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        let mut inner = self.0.inner()?;
        inner.read(buffer).await
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
    /// May be dropped at any time.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        let mut inner = self.0.inner()?;
        inner.write(bytes).await
    }

    /// May be dropped at any time.
    async fn flush(&mut self) -> Result<(), Self::Error> {
        let mut inner = self.0.inner()?;
        inner.flush().await
    }
}

super::super::line::opaque! {
    LinkedLine;
    LineReader 'l;
    LineWriter 'l;
}
