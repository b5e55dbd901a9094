//! The client's end of a connection: calls from any thread.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;

use hgrpc::Revision;

use super::exchange::Shared;
use super::request::Request;
use super::{Config, ConnectionError, Traffic, Transport, receive};

/// The client's end of one connection. Clone it to call from many threads at once.
///
/// The connection is closed when all clones, and all responses of theirs, are dropped.
#[derive(Clone)]
pub struct Client {
    pub(super) handle: Arc<Handle>,
}

/// Closes the connection when the last user is gone. (The reading thread is no user.)
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Client {
    /// A client over this connection; starts the thread that reads from it.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn new(transport: Transport, config: &Config) -> io::Result<Self> {
        let Transport { read, write, close } = transport;
        let shared = Shared::new(config, write, close);
        let reading = Arc::clone(&shared);
        thread::Builder::new()
            .name("hgrpc-client".into())
            .spawn(move || receive::run(read, &reading))?;
        Ok(Self {
            handle: Arc::new(Handle { shared }),
        })
    }

    /// A call of this command, to be given arguments and sent.
    pub fn call(&self, command: impl AsRef<[u8]>) -> Request {
        Request::new(Arc::clone(&self.handle), command.as_ref().to_vec())
    }

    /// The revision that is spoken.
    pub fn revision(&self) -> Revision {
        self.handle.shared.revision
    }

    /// Why the connection has ended; `None` if it has not.
    pub fn ended(&self) -> Option<ConnectionError> {
        self.handle
            .shared
            .with(|connection| connection.ended().cloned())
    }

    /// Closes the connection: every open call ends with [`ConnectionError::Shutdown`].
    pub fn close(&self) {
        let shared = &self.handle.shared;
        shared.with(|connection| connection.end(&ConnectionError::Shutdown));
        shared.close();
    }

    /// What went over the connection so far.
    pub fn traffic(&self) -> Traffic {
        self.handle.shared.meter.traffic()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("revision", &self.revision())
            .field("ended", &self.ended())
            .finish_non_exhaustive()
    }
}
