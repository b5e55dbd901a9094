//! Listening where each line has a link over it.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::PollFlags;

use super::arrivals::{Arrival, Arrivals};
use super::line::{self, Plan, Raw};
use super::listener::{Listener, Source, there};
use super::{Connection, LinkSettings, Options};
#[cfg(feature = "serial")]
use crate::host::origin::Origin;

/// The lines, and the links over them.
pub(super) struct Linked {
    settings: LinkSettings,
    options: Options,
    arrivals: Arc<Arrivals>,
}

impl Linked {
    pub(super) fn new(settings: LinkSettings, options: &Options) -> io::Result<Self> {
        Ok(Self {
            settings,
            options: options.clone(),
            arrivals: Arc::new(Arrivals::new()?),
        })
    }

    /// Puts a link over a line, which may be without a connection for so long.
    pub(super) fn start(&self, raw: Raw, silence: Option<Duration>) -> io::Result<()> {
        let plan = Plan {
            settings: self.settings,
            console: self.options.console.clone(),
            silence,
            is_busy: Arc::default(),
            is_single: false,
        };
        line::start(raw, plan, &self.arrivals)
    }

    /// Whether there is room for one more line.
    fn has_room(&self, raw: &Raw) -> bool {
        let [all, own] = self.arrivals.count(raw.origin());
        all < self.options.lines && own < self.options.peer_lines
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
            Source::Port(port) if self.arrivals.count(Origin::Unknown) == [0, 0] => {
                let name = listener.address.to_string();
                let Some(raw) = port.reopen(&listener.wake, &name)? else {
                    return Ok(false);
                };
                self.start(raw, None)?;
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
            && self.has_room(&raw)
        {
            self.start(raw, self.options.line_silence)?;
        }
        Ok(true)
    }
}

/// A line that has come in.
fn accepted(listener: &Listener) -> io::Result<Option<Raw>> {
    let (raw, peer, address) = match &listener.source {
        Source::Tcp(listener) => match there(listener.accept())? {
            Some((stream, peer)) => (Raw::socket(stream), format!("tcp://{peer}"), Some(peer)),
            None => return Ok(None),
        },
        Source::Unix(socket, _) => match there(socket.accept())? {
            Some((stream, _)) => (Raw::socket(stream), listener.address.to_string(), None),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    // Its options cannot be set any more: the client is gone.
    let Ok(mut raw) = raw else {
        return Ok(None);
    };
    raw.peer = peer;
    raw.address = address;
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
