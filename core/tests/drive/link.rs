//! The blocking driver over a raw line: between two threads with losses and restarts, and beside a
//! peer that is played step by step.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::mpsc::{self};
use std::task::{Context, Poll, Waker};

use hgrpc::Error;
use hgrpc::R0005;
use hgrpc::cbor::{Atom, EncodedArgs, Progress};
use hgrpc::client::{Event as Answer, Request};
use hgrpc::connection::{LineEvent, LinkBuffers, LinkedClient, LinkedServer, Outgoing};
use hgrpc::drive::blocking::Driver;
use hgrpc::link::{Link, LinkConfig, LinkError};
use hgrpc::server::{Event, Reply};
use hgrpc::{ApiMisuse, ProtocolError};

use crate::memory::{self, Requests, buffers};
use crate::peer::{Half, Peer};
use crate::uart::{Rx, Tx};

type Device<R, W> = Driver<LinkedServer<'static, R0005, Requests>, R, W>;
type Host<R, W> = Driver<LinkedClient<'static, R0005, Requests>, R, W>;

fn packets(len: usize) -> LinkBuffers<'static> {
    LinkBuffers {
        received: vec![0; len].leak(),
        sent: vec![0; len].leak(),
    }
}

/// Serves connection after connection; returns why each one ended.
fn serve(rx: Rx, tx: Tx) -> Vec<LinkError> {
    // The threads may have to wait for a processor.
    let link = LinkConfig::new(1 << 16).with_patience(100);
    let buffers = buffers(64, 256, 64);
    let connection = memory::linked_server(R0005, buffers, link, packets(64));
    let mut device: Device<_, _> = Driver::new(connection, rx, tx);
    let mut errors = Vec::new();
    while let Some((event, mut replies)) = device.step().unwrap() {
        match event {
            Event::Command(command) => {
                let answer = command.reply.body(command.args.as_cbor());
                replies.send(answer).unwrap();
            }
            Event::Line(LineEvent::Lost(error)) => errors.push(error),
            _ => {}
        }
    }
    errors
}

/// What goes to the console is kept.
struct Caller {
    host: Host<Rx, Tx>,
    console: Vec<u8>,
}

impl Caller {
    fn new(rx: Rx, tx: Tx, session: u32) -> Self {
        let link = LinkConfig::new(session).with_patience(100);
        let buffers = buffers(64, 256, 244);
        let connection = memory::linked_client(R0005, buffers, link, packets(256));
        Self {
            host: Driver::new(connection, rx, tx),
            console: Vec::new(),
        }
    }

    /// Waits for a connection.
    fn connect(&mut self) {
        while !self.host.connection().is_up() {
            if let Some((Answer::Line(LineEvent::Console(text)), _)) = self.host.step().unwrap() {
                self.console.extend_from_slice(text);
            }
        }
    }

    /// Calls once on a new connection.
    fn call(&mut self) -> Result<Vec<u8>, LinkError> {
        self.host.connection_mut().disconnect();
        self.connect();
        let args = b"\xa1DdataX\x28\0\0\0\0\0\0\0\0abcdefghijklmnopqrstuvwxyz012345";
        let args = EncodedArgs::from_cbor(args).unwrap();
        let mut calls = self.host.sender();
        let call = calls.request(Request::new(b"echo", args), false).unwrap();
        calls.send(call).unwrap();
        let mut answer = Vec::new();
        while let Some((event, _)) = self.host.step().unwrap() {
            match event {
                Answer::Response { data, is_last, .. } => {
                    answer.extend_from_slice(data);
                    if is_last {
                        return Ok(answer);
                    }
                }
                Answer::Line(LineEvent::Lost(error)) => return Err(error),
                Answer::Line(LineEvent::Console(text)) => self.console.extend_from_slice(text),
                _ => {}
            }
        }
        panic!("the line has ended")
    }
}

#[test]
fn calls_over_a_line_with_losses_and_restarts() {
    let (to_device, from_host) = mpsc::channel();
    let (to_host, from_device) = mpsc::channel();
    let boot = b"boot v1.2\r\n";
    for byte in boot {
        to_host.send(*byte).unwrap();
    }
    let tx = |to| Tx { to, spoils: false };
    let device = std::thread::spawn(move || serve(Rx(from_host), tx(to_host)));

    let mut host = Caller::new(Rx(from_device), tx(to_device.clone()), 0x5eed);
    let whole = host.call().unwrap();
    assert!(whole.ends_with(b"012345"));
    // The host begins anew.
    assert_eq!(host.call().unwrap(), whole);

    // It gives up in the middle of a request; the next packet is the beginning of one again.
    host.host.connection_mut().disconnect();
    host.connect();
    let args = [&b"\xa1AaY\x01\xf4"[..], &[0; 500]].concat();
    let request = Request::new(b"echo", EncodedArgs::from_cbor(&args).unwrap());
    let mut calls = host.host.sender();
    let mut call = calls.request(request, false).unwrap();
    assert_eq!(calls.make(&mut call), Ok(false));
    calls.flush().unwrap();
    assert_eq!(host.call().unwrap(), whole);

    // A spoiled byte in the next call's packet.
    host.host.halves().1.spoils = true;
    assert_eq!(host.call(), Err(LinkError::LinkLost));
    assert_eq!(host.call().unwrap(), whole);

    // The host's program restarts.
    let text = host.console;
    let (Rx(from_device), _) = host.host.into_halves();
    let mut host = Caller::new(Rx(from_device), tx(to_device), 0xf00d);
    assert_eq!(host.call().unwrap(), whole);
    drop(host);
    assert_eq!(text, boot);
    let errors = device.join().unwrap();
    // Each beginning of the host's, one of them by the spoiled byte, and its restart.
    let [begun @ .., last] = errors.as_slice() else {
        panic!("{errors:?}");
    };
    assert_eq!(begun, [LinkError::LinkLost; 5]);
    assert_eq!(*last, LinkError::PeerRestarted);
}

fn device() -> (Rc<RefCell<Peer>>, Device<Half, Half>) {
    let peer = Peer::new();
    let half = Half(Rc::clone(&peer));
    let link = LinkConfig::new(9);
    let buffers = buffers(64, 256, 64);
    let connection = memory::linked_server(R0005, buffers, link, packets(64));
    (peer, Driver::new(connection, half.clone(), half))
}

/// Takes steps until both are up.
fn connect(peer: &RefCell<Peer>, device: &mut Device<Half, Half>) {
    while !device.connection().is_up() || !peer.borrow().link.is_up() {
        device.step().unwrap();
    }
}

/// Takes all steps that do not wait; gives the commands' names.
fn settle(device: &mut Device<Half, Half>, answer: &[u8]) -> usize {
    let mut commands = 0;
    while device.is_ready().unwrap() {
        let (event, mut replies) = device.step().unwrap().unwrap();
        if let Event::Command(command) = event {
            commands += 1;
            replies.send(command.reply.body(answer)).unwrap();
        }
    }
    commands
}

const HELLO: &[u8] = crate::blocking::HELLO;

#[test]
fn asking_does_not_wait_and_frames_are_joined_in_packets() {
    let (peer, mut device) = device();
    connect(&peer, &mut device);
    peer.borrow_mut().may_wait = false;
    assert_eq!(settle(&mut device, b""), 0);

    // A packet that has come in part.
    let packet = peer.borrow_mut().packet(HELLO);
    let (front, rest) = packet.split_at(9);
    peer.borrow_mut().to_line.extend(front);
    assert_eq!(settle(&mut device, b""), 0);
    peer.borrow_mut().to_line.extend(rest);
    assert_eq!(settle(&mut device, b"\x01"), 1);
    device.sender().flush().unwrap();
    peer.borrow_mut().work();
    assert_eq!(peer.borrow().payload.len(), 20);

    // A peer that asks is answered, though there is nothing for the owner.
    assert_eq!(peer.borrow_mut().link.tick(), None);
    peer.borrow_mut().work();
    assert_eq!(settle(&mut device, b""), 0);
    device.sender().flush().unwrap();
    assert_eq!(peer.borrow().from_line.len(), 22);
    peer.borrow_mut().work();

    // Two answers, of three frames in all, in as few packets as hold them.
    let (before, bytes) = (peer.borrow().packets, peer.borrow().payload.len());
    let second = [&[0x0b, 0, 0, 3, 0, 1, 0, 0x11], &HELLO[8..]].concat();
    let both = [HELLO.replace_id(5).as_slice(), &second].concat();
    let packet = peer.borrow_mut().packet(&both);
    peer.borrow_mut().to_line.extend(packet);
    assert_eq!(settle(&mut device, &[7; 30]), 2);
    device.sender().flush().unwrap();
    peer.borrow_mut().work();
    let len = peer.borrow().payload.len() - bytes;
    assert_eq!(len, 2 * (8 + 11 + 30));
    assert_eq!(
        peer.borrow().packets - before,
        len.div_ceil(Link::<64>::PAYLOAD)
    );
}

trait ReplaceId {
    fn replace_id(&self, id: u8) -> Vec<u8>;
}

impl ReplaceId for [u8] {
    /// The frame with another request's ID, on a stream that is open.
    fn replace_id(&self, id: u8) -> Vec<u8> {
        let mut frame = self.to_vec();
        (frame[3], frame[6]) = (id, 0);
        frame
    }
}

/// Sends progress, and nothing else, until that fails: at most so often.
fn only_writes(
    device: &mut Device<Half, Half>,
    reply: &Reply,
    most: i64,
) -> Result<(), Error<Infallible, Infallible>> {
    (0..most).try_for_each(|pos| {
        let progress = Progress::new("blink", pos, 1000);
        device.send(reply.progress(&progress))
    })
}

/// Takes steps until a command has come.
fn command(peer: &RefCell<Peer>, device: &mut Device<Half, Half>) -> Reply {
    let packet = peer.borrow_mut().packet(HELLO);
    peer.borrow_mut().to_line.extend(packet);
    loop {
        if let Some((Event::Command(command), _)) = device.step().unwrap() {
            return command.reply;
        }
    }
}

#[test]
fn a_device_that_only_writes_learns_that_its_host_is_gone() {
    let (peer, mut device) = device();
    connect(&peer, &mut device);
    let reply = command(&peer, &mut device);
    peer.borrow_mut().may_wait = false;
    only_writes(&mut device, &reply, 3).unwrap();
    // All of it has gone out, without a step.
    peer.borrow_mut().work();
    let seen = String::from_utf8_lossy(&peer.borrow().payload)
        .matches("blink")
        .count();
    assert_eq!(seen, 3);

    // The host gives the connection up; text that stands before that is passed over.
    peer.borrow_mut().to_line.extend(b"text\0");
    peer.borrow_mut().link.disconnect();
    peer.borrow_mut().work();
    let lost = only_writes(&mut device, &reply, 4);
    assert_eq!(lost, Err(Error::Lost(LinkError::LinkLost)));
    // The next one is told of as ever, and begins.
    let (event, _) = device.step().unwrap().unwrap();
    assert!(matches!(
        event,
        Event::Line(LineEvent::Lost(LinkError::LinkLost))
    ));
    peer.borrow_mut().may_wait = true;
    connect(&peer, &mut device);

    // The host's program is another one.
    let reply = command(&peer, &mut device);
    peer.borrow_mut().link = Link::new(LinkConfig::new(77));
    peer.borrow_mut().may_wait = false;
    peer.borrow_mut().work();
    let lost = only_writes(&mut device, &reply, 4);
    assert_eq!(lost, Err(Error::Lost(LinkError::PeerRestarted)));
    peer.borrow_mut().may_wait = true;
    connect(&peer, &mut device);
    let _ = command(&peer, &mut device);
}

/// The same with a future, which is ready at once here.
#[test]
fn a_task_that_only_writes_learns_that_its_host_is_gone() {
    let peer = Peer::new();
    let half = Half(Rc::clone(&peer));
    let buffers = buffers(64, 256, 64);
    let connection = memory::linked_server(R0005, buffers, LinkConfig::new(9), packets(64));
    let mut device = hgrpc::drive::asynch::Driver::new(connection, half.clone(), half);
    let mut work = std::pin::pin!(async {
        while !device.connection().is_up() || !peer.borrow().link.is_up() {
            device.step().await.unwrap();
        }
        let packet = peer.borrow_mut().packet(HELLO);
        peer.borrow_mut().to_line.extend(packet);
        let reply = loop {
            if let Some((Event::Command(command), _)) = device.step().await.unwrap() {
                break command.reply;
            }
        };
        peer.borrow_mut().may_wait = false;
        device.send(reply.text(&[Atom::new("here")])).await.unwrap();
        peer.borrow_mut().work();
        peer.borrow_mut().link.disconnect();
        peer.borrow_mut().work();
        for _ in 0..4 {
            let sent = device.send(reply.text(&[Atom::new("gone")])).await;
            sent?;
        }
        Ok(())
    });
    let mut cx = Context::from_waker(Waker::noop());
    let lost = Poll::Ready(Err(Error::Lost(LinkError::LinkLost)));
    assert_eq!(work.as_mut().poll(&mut cx), lost);
    assert!(String::from_utf8_lossy(&peer.borrow().payload).contains("here"));
}

#[test]
fn what_comes_while_a_device_writes_is_not_lost() {
    let (peer, mut device) = device();
    connect(&peer, &mut device);
    let reply = command(&peer, &mut device);
    peer.borrow_mut().may_wait = false;
    let second = peer.borrow_mut().packet(&HELLO.replace_id(3));
    let third = peer.borrow_mut().packet(&HELLO.replace_id(5));
    peer.borrow_mut()
        .to_line
        .extend(second.iter().chain(&third));
    only_writes(&mut device, &reply, 20).unwrap();
    assert_eq!(settle(&mut device, b"\x01"), 2);
    device.send(reply.ok(&true)).unwrap();
    peer.borrow_mut().work();
    assert!(peer.borrow().payload.ends_with(b"\xf5"));
}

#[test]
fn tokens_of_an_earlier_connection_are_stale() {
    let (peer, mut device) = device();
    connect(&peer, &mut device);
    let mut kept = None;
    let packet = peer.borrow_mut().packet(HELLO);
    peer.borrow_mut().to_line.extend(packet);
    while kept.is_none() {
        if let Some((Event::Command(command), _)) = device.step().unwrap() {
            kept = Some(command.reply);
        }
    }
    // Nothing can be sent between two connections, and nothing is torn.
    device.connection_mut().disconnect();
    let reply = kept.unwrap();
    let sent = device.sender().send(reply.piece(b"\x01"));
    assert_eq!(sent, Err(Error::Misuse(ApiMisuse::OutOfOrder)));
    while !device.connection().is_up() {
        device.step().unwrap();
    }
    let sent = device.sender().send(reply.piece(b"\x01"));
    assert_eq!(sent, Err(Error::Misuse(ApiMisuse::RequestNotActive)));
    connect(&peer, &mut device);
    let packet = peer.borrow_mut().packet(HELLO);
    peer.borrow_mut().to_line.extend(packet);
    peer.borrow_mut().may_wait = false;
    assert_eq!(settle(&mut device, b"\x01"), 1);
}

#[test]
fn after_the_peers_error_the_next_connection_begins() {
    let (peer, mut device) = device();
    for _ in 0..3 {
        connect(&peer, &mut device);
        // An even stream is the server's.
        let packet = peer.borrow_mut().packet(b"\0\0\0\x01\0\x02\x01\x11");
        peer.borrow_mut().to_line.extend(packet);
        let error = loop {
            match device.step() {
                Ok(step) => assert!(matches!(step, Some((Event::Idle, _)))),
                Err(error) => break error,
            }
        };
        assert_eq!(error, Error::Protocol(ProtocolError::StreamParity));
        device.connection_mut().disconnect();
        assert!(!device.connection().is_up());
    }
}

/// Between packets, what is joined is given up with its connection.
#[test]
fn what_was_joined_is_lost_with_its_connection() {
    let (peer, mut device) = device();
    connect(&peer, &mut device);
    let packet = peer.borrow_mut().packet(HELLO);
    peer.borrow_mut().to_line.extend(packet);
    loop {
        if let Some((Event::Command(command), mut replies)) = device.step().unwrap() {
            let mut pieces = command.reply.body(&[7; 100]);
            assert_eq!(replies.send(&mut pieces), Ok(()));
            break;
        }
    }
    device.connection_mut().disconnect();
    let bytes = peer.borrow().payload.len();
    connect(&peer, &mut device);
    let packet = peer.borrow_mut().packet(HELLO);
    peer.borrow_mut().to_line.extend(packet);
    peer.borrow_mut().may_wait = false;
    assert_eq!(settle(&mut device, b"\x01"), 1);
    device.sender().flush().unwrap();
    peer.borrow_mut().work();
    let peer = peer.borrow();
    // Only whole packets of before have come, and then the answer, from its frame's start.
    assert!(
        peer.payload
            .ends_with(b"\x0c\0\0\x01\0\x02\x01\x32\xa1FstatusBok\x01")
    );
    assert!(peer.payload.len() > bytes);
}
