//! A serial port's bytes as they are, as a connection.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use super::Connection;
use super::connection::Link;
use super::wake::Wake;

/// The connection over a file that does not block; the pipe ends when it is gone.
pub(super) fn connection(file: Arc<OwnedFd>, peer: String) -> io::Result<(Connection, PipeReader)> {
    let (gone, alive) = io::pipe()?;
    let link = Arc::new(RawLink {
        file,
        wake: Wake::new()?,
        _alive: alive,
    });
    let halves = (RawReader(Arc::clone(&link)), RawWriter(Arc::clone(&link)));
    let connection = Connection::new(halves.0, halves.1, &link, peer);
    Ok((connection, gone))
}

#[derive(Debug)]
struct RawLink {
    file: Arc<OwnedFd>,
    wake: Wake,
    _alive: PipeWriter,
}

impl Link for RawLink {
    fn close(&self) {
        self.wake.wake();
    }
}

struct RawReader(Arc<RawLink>);

impl Read for RawReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.0.wake.wait_readable(&self.0.file)? {
                return Ok(0);
            }
            match rustix::io::read(&self.0.file, &mut *buffer) {
                Err(Errno::AGAIN) => {}
                result => return Ok(result?),
            }
        }
    }
}

struct RawWriter(Arc<RawLink>);

impl Write for RawWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if !self.0.wake.wait_writable(&self.0.file)? {
                return Err(ErrorKind::BrokenPipe.into());
            }
            match rustix::io::write(&self.0.file, bytes) {
                Err(Errno::AGAIN) => {}
                result => return Ok(result?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
