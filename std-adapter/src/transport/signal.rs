//! Waking a thread that polls.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// Can be polled until it is cleared: a pipe with a byte in it.
#[derive(Debug)]
pub(super) struct Signal {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Signal {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        Ok(Self { reader, writer })
    }

    /// Makes it readable.
    pub(super) fn set(&self) {
        // A pipe that is full is readable.
        let _ = (&self.writer).write(&[0]);
    }

    /// Makes it unreadable; to be called before one looks at what it told of.
    pub(super) fn clear(&self) {
        while let Ok(1..) = (&self.reader).read(&mut [0; 64]) {}
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
