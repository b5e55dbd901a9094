//! Listening where each line has a link over it.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::event::PollFlags;

use super::arrivals::{Arrival, Arrivals};
use super::line::{self, Raw};
use super::listener::{Listener, Source, there};
use super::options::Console;
use super::{Connection, LinkSettings, Options};

/// Lines at once, whether their links are up or not: each has a thread. One more is closed.
const MAX_LINES: usize = 64;

/// The lines, and the links over them.
pub(super) struct Linked {
    settings: LinkSettings,
    console: Option<Console>,
    arrivals: Arc<Arrivals>,
}

impl Linked {
    pub(super) fn new(settings: LinkSettings, options: &Options) -> io::Result<Self> {
        Ok(Self {
            settings,
            console: options.console.clone(),
            arrivals: Arc::new(Arrivals::new()?),
        })
    }

    /// Puts a link over a line.
    pub(super) fn start(&self, raw: Raw) -> io::Result<()> {
        let console = self.console.clone();
        line::start(raw, self.settings, console, &self.arrivals, false)
    }

    /// Waits for the next connection of any line.
    pub(super) fn accept(&self, listener: &Listener) -> io::Result<Option<Connection>> {
        loop {
            match self.arrivals.pop() {
                _ if listener.wake.is_woken() => return Ok(None),
                Some(Arrival::Up(connection)) => return Ok(Some(connection)),
                Some(Arrival::Gone(error)) => match &listener.source {
                    #[cfg(feature = "serial")]
                    Source::Port(_) => return Err(error),
                    // Its client has gone.
                    _ => drop(error),
                },
                None => {
                    if !self.wait(listener)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Waits for connections, and for lines; `false` if that was called off.
    fn wait(&self, listener: &Listener) -> io::Result<bool> {
        let source = match &listener.source {
            Source::Tcp(listener) => listener.as_fd(),
            Source::Unix(listener, _) => listener.as_fd(),
            #[cfg(feature = "serial")]
            Source::Port(port) if self.arrivals.count() == 0 => {
                let name = listener.address.to_string();
                let Some(raw) = port.reopen(&listener.wake, &name)? else {
                    return Ok(false);
                };
                self.start(raw)?;
                self.arrivals.as_fd()
            }
            _ => self.arrivals.as_fd(),
        };
        let files = [
            (self.arrivals.as_fd(), PollFlags::IN),
            (source, PollFlags::IN),
        ];
        let Some([_, found]) = listener.wake.wait_any(&files, None)? else {
            return Ok(false);
        };
        if !found.is_empty()
            && let Some(raw) = accepted(listener)?
            && self.arrivals.count() < MAX_LINES
        {
            self.start(raw)?;
        }
        Ok(true)
    }
}

/// A line that has come in.
fn accepted(listener: &Listener) -> io::Result<Option<Raw>> {
    let raw = match &listener.source {
        Source::Tcp(listener) => match there(listener.accept())? {
            Some((stream, peer)) => (Raw::socket(stream), format!("tcp://{peer}")),
            None => return Ok(None),
        },
        Source::Unix(socket, _) => match there(socket.accept())? {
            Some((stream, _)) => (Raw::socket(stream), listener.address.to_string()),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    // Its options cannot be set any more: the client is gone.
    let (Ok(mut raw), peer) = raw else {
        return Ok(None);
    };
    raw.peer = peer;
    Ok(Some(raw))
}

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linked")
            .field("settings", &self.settings)
            .field("arrivals", &self.arrivals)
            .finish_non_exhaustive()
    }
}
