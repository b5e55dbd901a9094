//! Waiting for a file that another thread can call off.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};

/// Calls off every wait, now and later: a pipe whose writing end is closed.
#[derive(Debug)]
pub(crate) struct Wake {
    reader: PipeReader,
    writer: Mutex<Option<PipeWriter>>,
}

impl Wake {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self {
            reader,
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Calls off; again does nothing.
    pub(super) fn wake(&self) {
        drop(self.writer().take());
    }

    pub(super) fn is_woken(&self) -> bool {
        self.writer().is_none()
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, Option<PipeWriter>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the file can be read; `false` if it was called off.
    pub(super) fn wait_readable(&self, file: &impl AsFd) -> io::Result<bool> {
        self.wait(file, PollFlags::IN)
    }

    /// Waits until the file can be written; `false` if it was called off.
    pub(super) fn wait_writable(&self, file: &impl AsFd) -> io::Result<bool> {
        self.wait(file, PollFlags::OUT)
    }

    fn wait(&self, file: &impl AsFd, event: PollFlags) -> io::Result<bool> {
        let mut files = [
            PollFd::new(&self.reader, PollFlags::empty()),
            PollFd::new(file, event),
        ];
        loop {
            match poll(&mut files, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let [wake, file] = &files;
            if !wake.revents().is_empty() {
                return Ok(false);
            }
            // Errors and hang-ups too: the operation itself tells them.
            if !file.revents().is_empty() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::thread;

    use super::*;

    #[test]
    fn waits_end_when_there_is_something_or_when_called_off() {
        let wake = Wake::new().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        assert!(wake.wait_writable(&writer).unwrap());
        writer.write_all(b"x").unwrap();
        assert!(wake.wait_readable(&reader).unwrap());
        let (empty, _writer) = io::pipe().unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| wake.wait_readable(&empty).unwrap());
            assert!(!wake.is_woken());
            wake.wake();
            assert!(!waiting.join().unwrap());
        });
        // What comes later is called off, even if there is something.
        assert!(wake.is_woken());
        assert!(!wake.wait_readable(&reader).unwrap());
        wake.wake();
    }
}
