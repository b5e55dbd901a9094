//! What the halves of a line promise: asking whether there is something never waits, and those of an
//! earlier connection are of no use.

use std::cell::RefCell;
use std::rc::Rc;

use embedded_io::{Read, ReadReady, Write};
use hgrpc::io::blocking::{LineError, LinkedLine};
use hgrpc::link::{LinkConfig, LinkError};

use crate::peer::{Half, Peer};

type Line = LinkedLine<Half, Half, fn(&[u8]), 64>;

fn line() -> (Rc<RefCell<Peer>>, Line) {
    let peer = Peer::new();
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
