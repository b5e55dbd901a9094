//! Notices a server that sends next to nothing.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// Fewer bytes than this in the time that a server may be silent are silence.
const LEAST: u64 = 1024;

/// A body that has to come at some pace. Only the time counts in which it is waited for.
pub(super) struct Paced<R> {
    body: R,
    time: Option<Duration>,
    waited: Duration,
    came: u64,
}

impl<R> Paced<R> {
    pub(super) const fn new(body: R, time: Option<Duration>) -> Self {
        Self {
            body,
            time,
            waited: Duration::ZERO,
            came: 0,
        }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(time) = self.time else {
            return self.body.read(buffer);
        };
        let began = Instant::now();
        let read = self.body.read(buffer)?;
        self.waited += began.elapsed();
        self.came += u64::try_from(read).unwrap_or(u64::MAX);
        if self.waited >= time && read > 0 {
            if self.came < LEAST {
                let what = format!("the server sent only {} bytes in {time:?}", self.came);
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
        Ok(read)
    }
}
