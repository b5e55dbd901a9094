//! Waiting for a file that another thread can call off.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Calls off every wait, now and later: a pipe whose writing end is closed.
#[derive(Debug)]
pub(super) struct Wake {
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
        self.wait_any(&[(file.as_fd(), event)], None)
            .map(|found| found.is_some())
    }

    /// Waits for one of these files, or until the time is up; what there is of each. `None` if it
    /// was called off.
    pub(super) fn wait_any<const N: usize>(
        &self,
        files: &[(BorrowedFd<'_>, PollFlags); N],
        time: Option<Duration>,
    ) -> io::Result<Option<[PollFlags; N]>> {
        let mut polled = Vec::with_capacity(N + 1);
        polled.push(PollFd::new(&self.reader, PollFlags::empty()));
        polled.extend(files.iter().map(|(file, event)| PollFd::new(file, *event)));
        let time = time.map(timespec);
        loop {
            match poll(&mut polled, time.as_ref()) {
                Ok(0) => return Ok(Some([PollFlags::empty(); N])),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mut found = polled.iter().map(PollFd::revents);
            if found.next().is_some_and(|wake| !wake.is_empty()) {
                return Ok(None);
            }
            // Errors and hang-ups too: the operation itself tells them.
            let found = std::array::from_fn(|_| found.next().unwrap_or_else(PollFlags::empty));
            if found.iter().any(|found: &PollFlags| !found.is_empty()) {
                return Ok(Some(found));
            }
        }
    }
}

/// A time to wait for, to the millisecond or so; a second at most where it is very long.
pub(super) fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(1),
        tv_nsec: time.subsec_nanos().into(),
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
