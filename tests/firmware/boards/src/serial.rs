//! The serial line: a UART whose receive interrupt fills a ring, as embedded-io halves that sleep
//! while they wait.
//!
//! ```text
//!   UART ──interrupt──▶ Ring ──▶ SerialReader ──▶ link ──▶ server
//!   UART ◀──────────────────── SerialWriter ◀─── link ◀── server
//!   timer ──wake──▶ SerialReader fails with `Woken`: the main loop looks around, and reads on
//! ```

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use cortex_m::asm::wfi;
use cortex_m::interrupt;
use embedded_io::{Error, ErrorKind, ErrorType, Read, ReadReady, Write};
use hgrpc::connection::{Buffers, LinkBuffers};
use hgrpc::drive::blocking::Halves;
use hgrpc::link::Link;

use crate::ring::Ring;
use crate::uart::Uart;

/// Bytes that may come while the main loop is at something else.
pub const RING: usize = 256;

/// Bytes of the largest packet on the line, either way.
pub const PACKET: usize = 128;

/// Bytes of the largest frame that is sent: what a packet holds.
pub const OUT: usize = Link::<PACKET>::PAYLOAD;

/// The halves that a connection is driven with.
pub type SerialHalves<U> = Halves<SerialReader<U>, SerialWriter<U>>;

/// The buffers of a connection over the line.
#[derive(Debug)]
pub struct Memory {
    input: [u8; 64],
    /// What all requests share for what has to be gathered.
    gathered: [u8; GATHERED],
    output: [u8; OUT],
    received: [u8; PACKET],
    sent: [u8; PACKET],
}

/// Bytes that requests share for what has to be gathered.
pub const GATHERED: usize = 256;

impl Memory {
    /// Zeros.
    pub const fn new() -> Self {
        Self {
            input: [0; 64],
            gathered: [0; GATHERED],
            output: [0; OUT],
            received: [0; PACKET],
            sent: [0; PACKET],
        }
    }

    /// The buffers of the connection, and those of its link.
    pub const fn lend(&mut self) -> (Buffers<'_>, LinkBuffers<'_>) {
        let buffers = Buffers {
            input: &mut self.input,
            memory: &mut self.gathered,
            output: &mut self.output,
        };
        let packets = LinkBuffers {
            received: &mut self.received,
            sent: &mut self.sent,
        };
        (buffers, packets)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// A serial line; in a `static`, because an interrupt uses it.
#[derive(Debug)]
pub struct Serial<U> {
    uart: U,
    ring: Ring<RING>,
    is_woken: AtomicBool,
    /// The interrupts that were asked for last.
    listens: AtomicU8,
}

impl<U: Uart> Serial<U> {
    /// A line that is not switched on.
    pub const fn new(uart: U) -> Self {
        Self {
            uart,
            ring: Ring::new(),
            is_woken: AtomicBool::new(false),
            listens: AtomicU8::new(0),
        }
    }

    /// Switches the UART on and gives the halves, once in a program.
    pub fn start(&'static self) -> (SerialReader<U>, SerialWriter<U>) {
        self.uart.start();
        interrupt::free(|_| self.listen(true, false));
        (SerialReader(self), SerialWriter(self))
    }

    /// The UART's interrupt.
    pub fn on_interrupt(&self) {
        self.uart.acknowledge();
        self.fill();
    }

    /// Lets the reader return once, whatever has come: from any interrupt.
    pub fn wake(&self) {
        self.is_woken.store(true, Ordering::Release);
    }

    /// The most bytes that waited in the ring.
    pub fn most_waiting(&self) -> u16 {
        self.ring.most()
    }

    /// Moves what has come into the ring: in an interrupt, or while there can be none. When the
    /// ring is full the UART keeps the rest, and no interrupt says so: with flow control the peer
    /// waits, without it the UART loses bytes, and the link notices.
    fn fill(&self) {
        if !self.ring.is_full() {
            // Before bytes are taken, or one that comes meanwhile would go unnoticed; but not with a
            // full ring: switched on and off again, the interrupt would be pending for ever.
            self.listen(true, false);
        }
        while !self.ring.is_full() {
            let Some(byte) = self.uart.receive() else {
                return;
            };
            self.ring.put(byte);
        }
        self.listen(false, false);
    }

    /// Asks for these interrupts; also only in one, or while there can be none.
    fn listen(&self, receive: bool, room: bool) {
        let wanted = u8::from(receive) | u8::from(room) << 1;
        if self.listens.load(Ordering::Relaxed) != wanted {
            self.listens.store(wanted, Ordering::Relaxed);
            self.uart.listen(receive, room);
        }
    }
}

/// The read half.
#[derive(Debug)]
pub struct SerialReader<U: 'static>(&'static Serial<U>);

/// The write half.
#[derive(Debug)]
pub struct SerialWriter<U: 'static>(&'static Serial<U>);

/// [`Serial::wake`] was called: nothing is wrong, read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Woken;

impl fmt::Display for Woken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("woken")
    }
}

impl core::error::Error for Woken {}

impl Error for Woken {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Interrupted
    }
}

impl<U> ErrorType for SerialReader<U> {
    type Error = Woken;
}

impl<U: Uart> Read for SerialReader<U> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Woken> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let count = self.0.ring.take(buffer);
            if count > 0 {
                return Ok(count);
            }
            // What comes between this look and the sleep is pending, and ends the sleep.
            interrupt::free(|_| {
                self.0.fill();
                if self.0.ring.is_empty() && !self.0.is_woken.load(Ordering::Acquire) {
                    wfi();
                }
            });
            if self.0.ring.is_empty() && self.0.is_woken.load(Ordering::Acquire) {
                self.0.is_woken.store(false, Ordering::Release);
                return Err(Woken);
            }
        }
    }
}

impl<U: Uart> ReadReady for SerialReader<U> {
    fn read_ready(&mut self) -> Result<bool, Woken> {
        if self.0.ring.is_empty() {
            interrupt::free(|_| self.0.fill());
        }
        Ok(!self.0.ring.is_empty())
    }
}

impl<U> ErrorType for SerialWriter<U> {
    type Error = core::convert::Infallible;
}

impl<U: Uart> Write for SerialWriter<U> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        let uart = &self.0.uart;
        for byte in bytes {
            while !uart.has_room() {
                interrupt::free(|_| {
                    self.0.listen(!self.0.ring.is_full(), true);
                    if !uart.has_room() {
                        wfi();
                    }
                });
            }
            uart.send(*byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}
