//! The other end of a line, played step by step.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

use embedded_io::{ErrorType, Read, ReadReady, Write};
use hgrpc::link::{Link, LinkConfig, LinkEvent};

/// The other end, and what is on the line.
pub(crate) struct Peer {
    pub(crate) link: Link<64>,
    pub(crate) to_line: VecDeque<u8>,
    pub(crate) from_line: Vec<u8>,
    /// Payload that has come, and in how many packets.
    pub(crate) payload: Vec<u8>,
    pub(crate) packets: usize,
    /// Reading may wait for the peer.
    pub(crate) may_wait: bool,
}

impl Peer {
    /// An end that has just started.
    pub(crate) fn new() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            link: Link::new(LinkConfig::new(7)),
            to_line: VecDeque::new(),
            from_line: Vec::new(),
            payload: Vec::new(),
            packets: 0,
            may_wait: true,
        }))
    }

    /// The peer takes what has come, and answers.
    pub(crate) fn work(&mut self) {
        let bytes = std::mem::take(&mut self.from_line);
        let mut input = bytes.as_slice();
        while let Some(event) = self.link.handle_bytes(&mut input) {
            match event {
                LinkEvent::Payload { bytes, .. } => {
                    self.payload.extend_from_slice(bytes);
                    self.packets += 1;
                }
                LinkEvent::Noise(_) => panic!(),
                _ => {}
            }
        }
        let mut out = [0; 64];
        while let Some(packet) = self.link.control_packet(&mut out) {
            self.to_line.extend(packet.iter());
        }
    }

    pub(crate) fn packet(&mut self, mut payload: &[u8]) -> Vec<u8> {
        let mut out = [0; 64];
        let packet = self.link.packet(&mut payload, true, &mut out).unwrap();
        assert!(payload.is_empty());
        packet.to_vec()
    }
}

#[derive(Clone)]
pub(crate) struct Half(pub(crate) Rc<RefCell<Peer>>);

impl ErrorType for Half {
    type Error = Infallible;
}

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let mut peer = self.0.borrow_mut();
        if peer.to_line.is_empty() {
            assert!(peer.may_wait, "it waits");
            peer.work();
        }
        Ok(std::io::Read::read(&mut peer.to_line, buffer).unwrap())
    }
}

impl ReadReady for Half {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.borrow().to_line.is_empty())
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.borrow_mut().from_line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// It never waits for anybody: a future of it is ready when it is polled.
impl embedded_io_async::Read for Half {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        Read::read(self, buffer)
    }
}

impl embedded_io_async::Write for Half {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Write::write(self, bytes)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
