//! A UART between two threads.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use embedded_io::{ErrorKind, ErrorType, Read, Write};

/// A UART that times out.
pub(crate) struct Rx(pub(crate) Receiver<u8>);
pub(crate) struct Tx {
    pub(crate) to: Sender<u8>,
    /// The next data packet is spoiled.
    pub(crate) spoils: bool,
}

#[derive(Debug)]
pub(crate) struct TimedOut;

impl std::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("timed out")
    }
}
impl std::error::Error for TimedOut {}
impl embedded_io::Error for TimedOut {
    fn kind(&self) -> ErrorKind {
        ErrorKind::TimedOut
    }
}
impl ErrorType for Rx {
    type Error = TimedOut;
}
impl ErrorType for Tx {
    type Error = TimedOut;
}

impl Read for Rx {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TimedOut> {
        match self.0.recv_timeout(Duration::from_millis(20)) {
            Ok(byte) => buffer[0] = byte,
            Err(RecvTimeoutError::Timeout) => return Err(TimedOut),
            Err(RecvTimeoutError::Disconnected) => return Ok(0),
        }
        let mut len = 1;
        while len < buffer.len()
            && let Ok(byte) = self.0.try_recv()
        {
            buffer[len] = byte;
            len += 1;
        }
        Ok(len)
    }
}

impl Write for Tx {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, TimedOut> {
        let spoiled = (bytes.len() > 40 && std::mem::take(&mut self.spoils)).then_some(30);
        for (n, byte) in bytes.iter().enumerate() {
            let byte = if Some(n) == spoiled {
                byte ^ 0x10
            } else {
                *byte
            };
            // The other end may be gone.
            let _ = self.to.send(byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), TimedOut> {
        Ok(())
    }
}
