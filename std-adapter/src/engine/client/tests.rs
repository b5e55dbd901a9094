//! A client's connection against a server's, and against frames made by hand.

use std::collections::HashMap;
use std::io::IoSlice;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hgrpc::cbor::{ArgsWriter, ContentEncoding};
use hgrpc::{ApiMisuse, Revision};

use super::*;
use crate::engine::server::{self, Hooks, Outcome, Peer, ServerLimits, Written};
use crate::host::AnswerError;

const WAKER: &Waker = Waker::noop();

fn outgoing(data: Data) -> Outgoing {
    let mut buffer = [0; 16];
    let args = ArgsWriter::new(&mut buffer, hgrpc::KeyOrder::Bytewise);
    Outgoing {
        command: b"answer".to_vec(),
        args: args.finish().unwrap().as_cbor().to_vec(),
        redirect: None,
        data,
        notes: NoteRoute::Ignored,
    }
}

fn connection(config: &Config) -> Connection {
    Connection::new(config, Arc::new(Meter::new(None)), WAKER.clone())
}

fn joined(slices: &[IoSlice<'_>]) -> Vec<u8> {
    slices
        .iter()
        .flat_map(|slice| slice.iter().copied())
        .collect()
}

/// Takes what is to be written.
fn written(client: &mut Connection) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        client.fill();
        let mut slices = [IoSlice::new(&[]); 3];
        let count = client.output(&mut slices);
        let bytes = joined(&slices[..count]);
        if bytes.is_empty() {
            return all;
        }
        client.sent(bytes.len());
        all.extend(bytes);
    }
}

/// A frame of a response.
fn frame(id: u16, stream_flags: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [low, high] = id.to_le_bytes();
    let len = u8::try_from(payload.len()).unwrap();
    let head = [len, 0, 0, low, high, 2, stream_flags, 0x30 | flags];
    [&head, payload].concat()
}

/// The bytes that are here of a response, and what comes behind them.
fn read(client: &mut Connection, key: Key) -> (Vec<u8>, String) {
    let mut all = Vec::new();
    loop {
        match client.poll_read(key, WAKER) {
            Poll::Ready(Ok(Some(bytes))) => all.extend_from_slice(&bytes),
            Poll::Ready(Ok(None)) => return (all, "it has ended".into()),
            Poll::Ready(Err(error)) => return (all, error.to_string()),
            Poll::Pending => return (all, "more comes".into()),
        }
    }
}

#[test]
fn a_full_buffer_stops_the_input_until_its_call_is_given_up() {
    let mut config = Config::new(Revision::R0005);
    config.limits.buffer = 10;
    config.limits.stall = Some(Duration::from_millis(100));
    let mut client = connection(&config);
    let keys = [(); 2].map(|()| client.call(outgoing(Data::None)).unwrap());
    let payload = [b"\xa1FstatusBok".as_slice(), &[7; 30]].concat();
    let mut input = frame(1, 1, 1, &payload);
    input.extend(frame(3, 0, 2, b"\xa1FstatusBokz"));
    let mut rest = input.as_slice();
    assert!(client.receive(&mut rest, 5).unwrap().is_none());
    assert_eq!((client.is_stuck(), client.deadline()), (true, Some(105)));
    assert_eq!(
        read(&mut client, keys[0]),
        (vec![7; 10], "more comes".into())
    );
    assert!(client.take_wakes().input);
    // What was taken buys time.
    assert!(client.receive(&mut rest, 50).unwrap().is_none());
    assert_eq!(client.deadline(), Some(150));
    assert_eq!(read(&mut client, keys[1]).1, "more comes");
    assert!(client.receive(&mut rest, 149).unwrap().is_none());
    assert!(client.is_stuck());
    assert!(client.receive(&mut rest, 150).unwrap().is_none());
    assert!(!client.is_stuck() && rest.is_empty());
    let (bytes, end) = read(&mut client, keys[0]);
    assert_eq!(bytes, [7; 10]);
    assert_eq!(end, CallError::Answer(AnswerError::Stalled).to_string());
    assert_eq!(
        read(&mut client, keys[1]),
        (b"z".to_vec(), "it has ended".into())
    );
}

#[test]
fn a_place_is_free_when_the_response_has_ended_and_not_before() {
    let mut config = Config::new(Revision::R0005);
    config.limits.calls = 1;
    let mut client = connection(&config);
    let key = client.call(outgoing(Data::None)).unwrap();
    let unsent = client.call(outgoing(Data::None)).unwrap_err();
    assert!(matches!(
        unsent.error,
        CallError::Misuse(ApiMisuse::RequestIdsExhausted)
    ));
    // Given up, it is still answered.
    client.call_dropped(key);
    assert_eq!(client.take_wakes().freed, 0);
    let input = frame(1, 1, 2, b"\xa1FstatusBokz");
    client.receive(&mut input.as_slice(), 1).unwrap();
    assert_eq!(client.take_wakes().freed, 1);
    client.call(outgoing(Data::None)).unwrap();
    assert_eq!(client.take_wakes().freed, 0);
}

#[test]
fn every_call_ends_once_and_what_was_not_sent_comes_back() {
    let mut client = connection(&Config::new(Revision::R0005));
    let large = || outgoing(Data::Whole(Bytes::from(vec![1; 40_000])));
    let sent = [(); 2].map(|()| client.call(large()).unwrap());
    let [given_up, waiting] = [(); 2].map(|()| client.call(large()).unwrap());
    assert!(client.poll_sent(sent[1], WAKER).is_ready());
    assert!(client.poll_sent(waiting, WAKER).is_pending());
    client.call_dropped(given_up);
    client.end(&ConnectionError::Closed);
    client.end(&ConnectionError::Shutdown);
    let Poll::Ready(Err(unsent)) = client.poll_sent(waiting, WAKER) else {
        panic!("it was not sent");
    };
    assert_eq!(unsent.outgoing.unwrap().command, b"answer");
    for key in sent {
        let (_, end) = read(&mut client, key);
        assert_eq!(end, "no answer to answer: the peer closed the connection");
        client.call_dropped(key);
    }
    assert_eq!(client.calls.slab.len(), 0);
    let unsent = client.call(outgoing(Data::None)).unwrap_err();
    assert!(unsent.outgoing.is_some() && matches!(unsent.error, CallError::Connection(_)));
}

#[test]
fn data_of_a_call_that_has_ended_is_cut_short() {
    let mut client = connection(&Config::new(Revision::R0005));
    let key = client.call(outgoing(Data::Streamed)).unwrap();
    assert_eq!(client.poll_wants_data(key, WAKER), Poll::Ready(true));
    client.upload(key, Bytes::from_static(b"abc"));
    let before = written(&mut client);
    let input = frame(1, 1, 2, b"\xa1FstatusBokz");
    client.receive(&mut input.as_slice(), 1).unwrap();
    assert_eq!(client.poll_wants_data(key, WAKER), Poll::Ready(false));
    client.upload(key, Bytes::from_static(b"def"));
    client.upload_ended(key);
    // An empty frame with `eos`.
    assert_eq!(written(&mut client), b"\0\0\0\x01\0\x01\0\x22");
    assert!(
        before.ends_with(b"\x03\0\0\x01\0\x01\0\x21abc"),
        "{before:x?}"
    );
    assert_eq!(client.take_wakes().freed, 1);
    assert_eq!(
        read(&mut client, key),
        (b"z".to_vec(), "it has ended".into())
    );
}

/// Both ends.
struct Both {
    client: Connection,
    server: server::Connection,
    to_client: Vec<u8>,
    answers: HashMap<Key, Vec<u8>>,
    body: Vec<u8>,
}

impl Both {
    fn new(client: &Config, server: Config, body: Vec<u8>) -> Self {
        let shared = server::Shared::new(server, ServerLimits::DEFAULT, Hooks::default());
        let peer = Arc::new(Peer::UNKNOWN);
        Self {
            client: connection(client),
            server: server::Connection::new(shared, peer, WAKER.clone(), 1).unwrap(),
            to_client: Vec::new(),
            answers: HashMap::new(),
            body,
        }
    }

    /// Moves what can be moved.
    fn run(&mut self) {
        loop {
            let sent = written(&mut self.client);
            let mut input = sent.as_slice();
            while let Some(command) = self.server.next(&mut input, 1, |_| Some(())).unwrap() {
                self.answers.insert(command.key, self.body.clone());
            }
            let server = &mut self.server;
            self.answers.retain(|key, rest| {
                while !rest.is_empty() {
                    match server.write(*key, rest) {
                        Written::Taken(len) => drop(rest.drain(..len)),
                        _ => return true,
                    }
                }
                if matches!(server.finish(*key), Written::Full) {
                    return true;
                }
                server.reply_dropped(*key, false);
                server.handler_ended(*key, Outcome::Done);
                false
            });
            // The line holds no more than so much.
            if self.to_client.len() < 100_000 {
                self.server.fill(1);
                let mut slices = [IoSlice::new(&[]); 3];
                let count = self.server.output(&mut slices);
                let bytes = joined(&slices[..count]);
                self.server.sent(bytes.len(), 1);
                self.to_client.extend(bytes);
            }
            let mut input = self.to_client.as_slice();
            let before = input.len();
            assert!(self.client.receive(&mut input, 1).unwrap().is_none());
            let taken = before - input.len();
            self.to_client.drain(..taken);
            if sent.is_empty() && taken == 0 {
                return;
            }
        }
    }
}

#[test]
fn compressed_responses_wait_for_room_and_lose_nothing() {
    let body: Vec<u8> = (0..600_000u32)
        .map(|n| (n / 1000).to_le_bytes()[0])
        .collect();
    let mut config = Config::new(Revision::R0006);
    config.limits.buffer = 5000;
    let mut server = config.clone();
    for encoding in crate::encoding::SUPPORTED {
        server.encodes = vec![*encoding, ContentEncoding::Identity];
        let mut both = Both::new(&config, server.clone(), body.clone());
        let keys = [(); 3].map(|()| both.client.call(outgoing(Data::None)).unwrap());
        let mut contents = keys.map(|_| (Content::new(Revision::R0006), Vec::new()));
        let mut open = 3;
        let mut was_stuck = false;
        let mut rounds = 0;
        while open > 0 {
            rounds += 1;
            assert!(rounds < 1_000_000, "nothing moves");
            both.run();
            was_stuck |= both.client.is_stuck();
            for (index, (content, all)) in contents.iter_mut().enumerate() {
                let client = &mut both.client;
                if index == 1 {
                    // Its reader goes in the middle.
                    if rounds == 3 {
                        client.call_dropped(keys[1]);
                        open -= 1;
                    }
                    continue;
                }
                let more = || match client.poll_read(keys[index], WAKER) {
                    Poll::Ready(read) => Some(read),
                    Poll::Pending => None,
                };
                match content.content(more) {
                    None => {}
                    Some(Ok(0)) if all.len() == body.len() => {
                        assert!(*all == body);
                        all.push(0);
                        open -= 1;
                    }
                    Some(Ok(0)) => assert_eq!(all.len(), body.len() + 1),
                    Some(len) => {
                        let len = len.unwrap();
                        content.collect(len, all, usize::MAX).unwrap();
                    }
                }
            }
        }
        assert!(was_stuck);
        both.run();
        assert_eq!(both.client.core.requests().len(), 0);
    }
}
