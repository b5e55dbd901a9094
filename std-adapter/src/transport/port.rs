//! A serial port or pseudo-terminal that is listened on.

use std::io::{self, ErrorKind, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::PollFlags;

use super::line::Raw;
use super::wake::Wake;
use super::{Address, Connection, SerialSettings, raw, serial};

/// How often it is tried to open a port that is gone.
const PAUSE: Duration = Duration::from_millis(500);

/// Where connections come one after the other.
#[derive(Debug)]
pub(super) struct Port {
    /// What is opened again if it is gone; a pseudo-terminal never is.
    path: PathBuf,
    settings: SerialSettings,
    /// The other end of a pseudo-terminal, which keeps its master from hanging up.
    kept: Option<OwnedFd>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None`: it is gone, or a link has it.
    file: Option<Arc<OwnedFd>>,
    /// Ends with the last connection.
    last: Option<PipeReader>,
}

impl Port {
    fn new(path: &Path, settings: SerialSettings, file: OwnedFd, kept: Option<OwnedFd>) -> Self {
        Self {
            path: path.to_owned(),
            settings,
            kept,
            state: Mutex::new(State {
                file: Some(Arc::new(file)),
                last: None,
            }),
        }
    }

    /// Opens a serial port.
    pub(super) fn serial(path: &Path, settings: SerialSettings) -> io::Result<Self> {
        let file = serial::open_port(path, settings)?;
        Ok(Self::new(path, settings, file, None))
    }

    /// Makes a pseudo-terminal; the address of its other end.
    pub(super) fn pty() -> io::Result<(Self, Address)> {
        let (master, other, path) = serial::open_pty()?;
        let settings = SerialSettings::default();
        let port = Self::new(&path, settings, master, Some(other));
        Ok((port, Address::Serial { path, settings }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open port, for a link.
    pub(super) fn take(&self, peer: &str) -> io::Result<Raw> {
        let file = self.state().file.take().and_then(Arc::into_inner);
        let gone = || io::Error::from(ErrorKind::NotFound);
        Ok(Raw {
            file: file.ok_or_else(gone)?,
            // A pseudo-terminal is as fast as it can.
            baud: self.kept.is_none().then_some(self.settings.baud),
            peer: peer.to_owned(),
            address: None,
        })
    }

    /// Opens it again, as soon as that can be done. `None`: called off.
    pub(super) fn reopen(&self, wake: &Wake, peer: &str) -> io::Result<Option<Raw>> {
        loop {
            if let Ok(file) = serial::open_port(&self.path, self.settings) {
                self.state().file = Some(Arc::new(file));
                return self.take(peer).map(Some);
            }
            if wake.wait_any(&[], Some(PAUSE))?.is_none() {
                return Ok(None);
            }
        }
    }

    /// Waits until the last connection is gone, and something comes.
    pub(super) fn accept(&self, wake: &Wake, address: &Address) -> io::Result<Option<Connection>> {
        let last = self.state().last.take();
        if let Some(last) = last {
            if !wake.wait_readable(&last)? {
                return Ok(None);
            }
            if let Some(file) = &self.state().file {
                // The rest of what it did not read is no beginning.
                serial::discard_input(file);
            }
        }
        let file = self.state().file.clone();
        let file = match file {
            Some(file) => file,
            None => match self.reopen(wake, "")? {
                Some(raw) => Arc::new(raw.file),
                None => return Ok(None),
            },
        };
        self.state().file = Some(Arc::clone(&file));
        let Some([found]) = wake.wait_any(&[(file.as_fd(), PollFlags::IN)], None)? else {
            return Ok(None);
        };
        if found.intersects(PollFlags::HUP | PollFlags::ERR) {
            self.state().file = None;
            return Err(io::Error::new(ErrorKind::NotConnected, "the port is gone"));
        }
        let (connection, gone) = raw::connection(file, address.to_string())?;
        self.state().last = Some(gone);
        Ok(Some(connection))
    }
}
