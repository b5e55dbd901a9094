//! What the halves of a line promise: asking whether there is something never waits, and those of an
//! earlier connection are of no use.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

use embedded_io::{ErrorType, Read, ReadReady, Write};
use hgrpc::io::blocking::{LineError, LinkedLine};
use hgrpc::link::{Link, LinkConfig, LinkError, LinkEvent};

/// The other end, and what is on the line.
struct Peer {
    link: Link<64>,
    to_line: VecDeque<u8>,
    from_line: Vec<u8>,
    /// Reading may wait for the peer.
    may_wait: bool,
}

impl Peer {
    /// The peer takes what has come, and answers.
    fn work(&mut self) {
        let bytes = std::mem::take(&mut self.from_line);
        let mut input = bytes.as_slice();
        while let Some(event) = self.link.handle_bytes(&mut input) {
            assert!(!matches!(event, LinkEvent::Noise(_)));
        }
        let mut out = [0; 64];
        while let Some(packet) = self.link.control_packet(&mut out) {
            self.to_line.extend(packet.iter());
        }
    }

    fn packet(&mut self, mut payload: &[u8]) -> Vec<u8> {
        let mut out = [0; 64];
        self.link
            .packet(&mut payload, true, &mut out)
            .unwrap()
            .to_vec()
    }
}

#[derive(Clone)]
struct Half(Rc<RefCell<Peer>>);

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

type Line = LinkedLine<Half, Half, fn(&[u8]), 64>;

fn line() -> (Rc<RefCell<Peer>>, Line) {
    let peer = Rc::new(RefCell::new(Peer {
        link: Link::new(LinkConfig::new(7)),
        to_line: VecDeque::new(),
        from_line: Vec::new(),
        may_wait: true,
    }));
    let half = Half(Rc::clone(&peer));
    let line = LinkedLine::new(
        half.clone(),
        half,
        (|_| {}) as fn(&[u8]),
        LinkConfig::new(9),
    );
    (peer, line)
}

#[test]
fn asking_does_not_wait() {
    let (peer, line) = line();
    let (mut reader, _writer) = line.connect().unwrap();
    peer.borrow_mut().may_wait = false;
    // What is due goes out, and the peer is up, too.
    assert!(!reader.read_ready().unwrap());
    peer.borrow_mut().work();
    assert!(!reader.read_ready().unwrap());
    assert!(peer.borrow().link.is_up());
    peer.borrow_mut().work();

    // A packet that has come in part.
    let packet = peer.borrow_mut().packet(b"hello");
    let (front, rest) = packet.split_at(9);
    peer.borrow_mut().to_line.extend(front);
    assert!(!reader.read_ready().unwrap());
    peer.borrow_mut().to_line.extend(rest);
    assert!(reader.read_ready().unwrap());
    let mut buffer = [0; 8];
    assert_eq!(reader.read(&mut buffer).unwrap(), 5);
    assert_eq!(&buffer[..5], b"hello");
    assert!(!reader.read_ready().unwrap());

    // A peer that asks is answered, though there is nothing to read.
    assert_eq!(peer.borrow_mut().link.tick(), None);
    peer.borrow_mut().work();
    assert!(!reader.read_ready().unwrap());
    assert_eq!(peer.borrow().from_line.len(), 22);
}

#[test]
fn the_halves_of_an_earlier_connection_fail() {
    let (_peer, line) = line();
    let (mut old_reader, mut old_writer) = line.connect().unwrap();
    let (_reader, mut writer) = line.connect().unwrap();
    let lost = LineError::Link(LinkError::LinkLost);
    assert_eq!(old_reader.read(&mut [0; 8]), Err(lost));
    assert_eq!(old_reader.read_ready(), Err(lost));
    assert_eq!(old_writer.write(b"x"), Err(lost));
    assert_eq!(old_writer.flush(), Err(lost));
    assert_eq!(writer.write(b"x"), Ok(1));
}
