//! The client's end of a connection.

mod conn;
mod driver;
mod notes;
mod reconnect;
mod request;
mod response;
mod service;
mod upload;

use std::fmt;
use std::sync::Arc;

use hgrpc::Revision;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Config, ConnectionError, Traffic};
use conn::Conn;

pub use driver::Driver;
pub use notes::{Note, NoteStream, ProgressUpdate, TextOutput};
pub use reconnect::{Backoff, ReconnectingClient};
pub use request::Request;
pub use response::{RawBody, Response};
pub use service::Values;
pub use upload::Upload;

/// The client's end of one connection. Clone it to call from many tasks at once.
///
/// The connection is closed when all clones, and all responses of theirs, are dropped; what they
/// have sent still goes out. When it ends otherwise, every call that is open and every later one
/// fails with [`CallError::Connection`](super::CallError::Connection); [`ended`](Self::ended) says
/// why. It is not made again: see [`ReconnectingClient`].
///
/// # What it holds
/// At most, in bytes, whatever the server sends:
///
/// ```text
///   256 Ki                                   receive buffer, at its largest
/// + gathered                                 messages that come in several frames
/// + calls × (buffer + 32 Ki)                 responses on their way
/// + calls with side events × 64 Ki           or one event, if that has more
/// + uploads × 128 Ki                         data on its way, and buffer more if written by hand
/// + 64 Ki and a frame, or a request          what is being written
/// + decoding.memory                          while responses are compressed
/// ```
/// The names are those of [`Limits`](super::Limits). A call takes its part only as it flows.
///
/// ```
/// use hgrpc_std::tokio::{Client, Config};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use hgrpc_std::blocking::{self, Router, Transport};
/// # use std::io::Write;
/// # let (here, there) = std::os::unix::net::UnixStream::pair()?;
/// # std::thread::spawn(move || {
/// #     let router = Router::new().command("greet", |call, reply| {
/// #         write!(reply, "hello {}", call.arg_text("name")?)?;
/// #         Ok(())
/// #     });
/// #     blocking::serve(Transport::unix(there).unwrap(), &router, &blocking::Config::default())
/// # });
/// # here.set_nonblocking(true)?;
/// # let stream = tokio::net::UnixStream::from_std(here)?;
/// let client = Client::spawn(stream, &Config::default());
/// let response = client.call("greet").arg("name", "world").send().await?;
/// assert_eq!(response.read_text(1000).await?, "hello world");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Closes the connection when the last user is gone. (The driver is no user.)
struct Handle {
    conn: Arc<Conn>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.conn.close();
    }
}

impl Client {
    /// A client over this connection, and its driver: a future that has to be polled for anything
    /// to happen, on a runtime with its timers, and that is done when the connection has ended.
    pub fn new<T>(io: T, config: &Config) -> (Self, Driver)
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let conn = Conn::new(config);
        let driver = Driver::new(Arc::clone(&conn), io);
        let handle = Arc::new(Handle { conn });
        (Self { handle }, driver)
    }

    /// As [`new`](Self::new), over something to read from and something to write to.
    pub fn over<R, W>(reader: R, writer: W, config: &Config) -> (Self, Driver)
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        Self::new(tokio::io::join(reader, writer), config)
    }

    /// A client over this connection, whose driver is a task of this runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime. The driver panics on one without timers.
    pub fn spawn<T>(io: T, config: &Config) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (client, driver) = Self::new(io, config);
        tokio::spawn(driver);
        client
    }

    /// A call of this command, to be given arguments and sent. Until then it costs nothing.
    pub fn call(&self, command: impl AsRef<[u8]>) -> Request<'_> {
        Request::new(self, command.as_ref().to_vec())
    }

    /// The revision that is spoken.
    pub fn revision(&self) -> Revision {
        self.handle.conn.revision
    }

    /// Why the connection has ended; `None` if it has not.
    pub fn ended(&self) -> Option<ConnectionError> {
        self.handle.conn.ended()
    }

    /// Closes the connection at once: every open call ends with [`ConnectionError::Shutdown`], and
    /// what waits to be written is lost.
    pub fn close(&self) {
        self.handle.conn.cut();
    }

    /// Closes the connection in order, as dropping the last clone does: every open call ends with
    /// [`ConnectionError::Shutdown`], what was sent goes out, the peer reads the end and may end in
    /// order, too. That takes a second at most; the [`Driver`] tells when it is done.
    pub fn finish(&self) {
        self.handle.conn.finish();
    }

    /// What went over the connection so far.
    pub fn traffic(&self) -> Traffic {
        self.handle.conn.meter.traffic()
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
