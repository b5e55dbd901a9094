//! Connections by address, on tokio.
//!
//! [`Address`](crate::transport::Address) has two more methods, `connect_async` and `listen_async`.
//! They do what `connect` and `listen` do, with the same errors, and wait without a thread.
//!
//! | address | how it is read and written |
//! | --- | --- |
//! | `tcp://…`, `unix://…` | a socket of tokio's |
//! | `exec:…` | a child's pipes; the child is ended as that of the blocking connection |
//! | all others | by two threads, since such files cannot be waited for with others |
//!
//! ```no_run
//! use hgrpc_std::transport::Address;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let address: Address = "tcp://127.0.0.1:7070".parse()?;
//! let connection = address.connect_async(None).await?;
//! let (mut reader, mut writer) = connection.into_split();
//! writer.write_all(b"...").await?;
//! writer.shutdown().await?; // the peer reads the end
//! let mut answer = Vec::new();
//! reader.read_to_end(&mut answer).await?;
//! # Ok(())
//! # }
//! ```

mod connect;
mod halves;
mod listen;
mod program;
mod threads;

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::Peer;

pub use listen::Listener;
pub use program::Program;

/// What a connection's bytes are read from.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// What a connection's bytes are written to. Shutting it down, or dropping it, tells the peer that
/// no more comes. What was written is on its way only when it was shut down or flushed.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection to a peer, made from an [`Address`](crate::transport::Address).
///
/// Dropping it, or both of its halves, closes it. A program (`exec:`) is then given about a second
/// to end, asked to end, and killed after another second.
pub struct Connection {
    reader: Reader,
    writer: Writer,
    peer: Peer,
    name: String,
    program: Option<Program>,
    left: Left,
}

/// Tells when nothing of a connection is left; see [`Connection::left`].
#[derive(Clone, Debug)]
pub struct Left(Option<watch::Receiver<()>>);

impl Left {
    /// Waits until both halves of the connection were dropped and what moved its bytes has ended: a
    /// program, a link over a line. A process that itself ends before that cuts them short.
    pub async fn wait(&self) {
        if let Some(left) = &self.0 {
            let mut left = left.clone();
            while left.changed().await.is_ok() {}
        }
    }
}

impl Connection {
    fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        name: String,
    ) -> Self {
        Self {
            reader: Box::new(reader),
            writer: Box::new(writer),
            peer: Peer::UNKNOWN,
            name,
            program: None,
            left: Left(None),
        }
    }

    /// Who is at the other end, for messages: an address.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who is at the other end, as far as the operating system says, with its [name](Self::name).
    pub fn peer(&self) -> Peer {
        let mut peer = self.peer.clone();
        peer.label = Some(self.name.clone());
        peer
    }

    /// The program that the connection goes to (`exec:`).
    pub fn program(&self) -> Option<&Program> {
        self.program.as_ref()
    }

    /// What tells when nothing of the connection is left. It does not keep it open.
    pub fn left(&self) -> Left {
        self.left.clone()
    }

    /// The two halves, which may go to different tasks.
    pub fn into_split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}
