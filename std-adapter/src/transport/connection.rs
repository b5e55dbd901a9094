//! Connections: two halves and a handle.

use std::fmt;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::{Arc, Weak};

/// What a connection's bytes are read from. A read gives 0 at the end, and after
/// [`Handle::close`].
pub type Reader = Box<dyn Read + Send>;

/// What a connection's bytes are written to. Nothing is buffered. Dropping it tells the peer that
/// no more comes.
pub type Writer = Box<dyn Write + Send>;

/// What all kinds of connections have beside their halves.
pub(super) trait Link: fmt::Debug + Send + Sync {
    /// Ends both directions, and what blocks in them.
    fn close(&self);

    /// How the program ended that the connection went to.
    fn exit_status(&self) -> Option<ExitStatus> {
        None
    }
}

/// A connection to a peer.
///
/// Dropping it, or the last of its halves, closes it. At the end of a connection to a program
/// (`exec:`) that waits for the program: about a second, then it is asked to end, and after another
/// second it is killed.
pub struct Connection {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) link: Weak<dyn Link>,
    pub(super) peer: String,
    /// Where the peer is, if it has come in over a link.
    #[cfg_attr(
        not(feature = "tokio"),
        allow(dead_code, reason = "nothing else counts connections by peer")
    )]
    pub(crate) address: Option<SocketAddr>,
}

impl Connection {
    pub(super) fn new<L: Link + 'static>(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
        link: &Arc<L>,
        peer: String,
    ) -> Self {
        let link: Weak<L> = Arc::downgrade(link);
        Self {
            reader: Box::new(reader),
            writer: Box::new(writer),
            link,
            peer,
            address: None,
        }
    }

    /// Who is at the other end, for messages: an address.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// What closes the connection from anywhere.
    pub fn handle(&self) -> Handle {
        Handle {
            link: Weak::clone(&self.link),
        }
    }

    /// The two halves, which may go to different threads, and the handle.
    pub fn into_parts(self) -> (Reader, Writer, Handle) {
        let handle = self.handle();
        (self.reader, self.writer, handle)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Closes a connection from any thread. It does not keep the connection open: without its halves it
/// is gone, and a handle does nothing.
#[derive(Clone, Debug)]
pub struct Handle {
    link: Weak<dyn Link>,
}

impl Handle {
    /// Ends both directions: a read that waits, and every later one, gives 0; a write fails. Only
    /// what is being written to this process's standard output is not called off. A program
    /// (`exec:`) is asked to end, and killed when it does not within a second.
    pub fn close(&self) {
        if let Some(link) = self.link.upgrade() {
            link.close();
        }
    }

    /// How the program ended that the connection went to (`exec:`), for messages after its end was
    /// read; `None` if it goes on, or for all other connections. May wait for a tenth of a second.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.link.upgrade()?.exit_status()
    }
}
