//! Responses on encoded streams: revision-0006.md, 3.5a, 3.6, 7.1 to 7.5; K-11.
#![cfg(all(feature = "zlib", feature = "zstd"))]

use hgrpc::cbor::{ContentEncoding, STATUS_OK, Value};
use hgrpc::server::{
    Body, Failure, Object, OutputStream, Responder, Server, ServerAction, ServerConfig,
};
use hgrpc::wire::{FrameHeader, FrameReader, StreamFlags};
use hgrpc::{ApiMisuse, Revision};
use hgrpc_std::encoding::{Encoder, StreamDecoders, encoder};
use hgrpc_std::respond::{EncodedAnswer, RespondError, Step};
use hgrpc_std::store::GrowableStore;

/// A server, its store, one output stream with its encoder, and a peer that decodes.
struct Owner {
    server: Server<Revision>,
    store: GrowableStore,
    stream: OutputStream,
    encoder: Box<dyn Encoder>,
    decoders: StreamDecoders,
}

/// What the peer made of a frame: type, flags, and decoded bytes.
type Seen = (u8, u8, Vec<u8>);

impl Owner {
    fn new(encoding: ContentEncoding) -> Self {
        let mut server = Server::new(Revision::R0006, ServerConfig::DEFAULT);
        let mut store = GrowableStore::default();
        let mut settings = b"\xa1\x50contentencodings\x81".to_vec();
        settings.extend_from_slice(encoding.stream_settings());
        feed(&mut server, &mut store, 0, 0x82, &settings);
        let stream = server.open_stream(&ContentEncoding::ALL).unwrap();
        assert_eq!(stream.encoding(), encoding);
        Self {
            server,
            store,
            stream,
            encoder: encoder(encoding).unwrap(),
            decoders: StreamDecoders::default(),
        }
    }

    fn request(&mut self, id: u16) -> Responder {
        feed(
            &mut self.server,
            &mut self.store,
            id,
            0x11,
            b"\xa1\x44name\x41c",
        )
        .unwrap()
    }

    fn answer<'a>(&mut self, id: u16, body: Body<'a>) -> EncodedAnswer<'a> {
        let responder = self.request(id);
        let table = self.store.split().0;
        let writer = self.server.begin_response(table, responder).unwrap();
        EncodedAnswer::new(writer, body)
    }

    /// One step of an answer; a frame is read by the peer.
    fn step(&mut self, answer: &mut EncodedAnswer<'_>) -> Result<Option<Seen>, RespondError> {
        loop {
            let mut out = self.server.output(self.store.split().0, &mut self.stream);
            let frame = match answer.step(&mut out, &mut *self.encoder)? {
                Step::Again => continue,
                Step::Ended => return Ok(None),
                Step::Frame(frame) => frame.as_slices().concat(),
            };
            let (header, payload) = FrameHeader::split_from(&frame).unwrap();
            let stream = header.stream_id();
            let kind = header.kind_number();
            if kind == 9 {
                let encoding = self.stream.encoding();
                assert_eq!(payload, encoding.stream_settings());
                self.decoders.install(stream, encoding);
            }
            let mut plain = payload.to_vec();
            if header.stream_flags().contains(StreamFlags::ENCODED) {
                plain.clear();
                let mut decoded = self.decoders.decode(stream, payload, true);
                while let Some(piece) = decoded.next_piece().unwrap() {
                    plain.extend_from_slice(piece);
                }
            }
            return Ok(Some((kind, header.flags().bits(), plain)));
        }
    }

    fn take(&mut self, answer: &mut EncodedAnswer<'_>) -> Vec<Seen> {
        let mut all = Vec::new();
        while let Some(seen) = self.step(answer).unwrap() {
            all.push(seen);
        }
        assert!(answer.is_ended());
        all
    }
}

fn feed(
    server: &mut Server<Revision>,
    store: &mut GrowableStore,
    id: u16,
    type_and_flags: u8,
    payload: &[u8],
) -> Option<Responder> {
    let [low, high] = id.to_le_bytes();
    let len = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![len, 0, 0, low, high, 1, 1, type_and_flags];
    frame.extend_from_slice(payload);
    let part = FrameReader::new(99)
        .next(&mut frame.as_slice())
        .unwrap()
        .unwrap();
    let (table, arena) = store.split();
    match server.handle(part, table, arena).unwrap() {
        ServerAction::RunCommand(command) => Some(command.responder),
        _ => None,
    }
}

/// The responses in frames, and the flags of the last one.
fn joined(frames: &[Seen]) -> (Vec<u8>, u8) {
    let responses = frames.iter().filter(|frame| frame.0 == 3);
    let bytes = responses
        .clone()
        .flat_map(|frame| frame.2.clone())
        .collect();
    let (last, others) = frames.split_last().unwrap();
    assert!(others.iter().all(|f| f.0 != 3 || f.1 == 1));
    (bytes, last.1)
}

const ENCODINGS: [ContentEncoding; 3] = ContentEncoding::ALL;

#[test]
fn a_response_is_decodable_when_it_has_ended_and_the_next_one_too() {
    for encoding in ENCODINGS {
        let mut owner = Owner::new(encoding);
        let long: Vec<u8> = (0..200_000u32)
            .flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_be_bytes())
            .collect();
        let objects = [
            Object::Cbor(Value::from_cbor(b"\x82\x01\x42ab").unwrap()),
            Object::PreEncoded(&long),
        ];
        for (id, body) in [
            (1, Body::Objects(&objects)),
            (3, Body::Bytes(b"\x05")),
            (5, Body::Objects(&[])),
        ] {
            let expected = match id {
                1 => [&STATUS_OK[..], b"\x82\x01\x42ab", &long].concat(),
                3 => [&STATUS_OK[..], b"\x05"].concat(),
                _ => STATUS_OK.to_vec(),
            };
            let mut answer = owner.answer(id, body);
            let frames = owner.take(&mut answer);
            // 4.2: settings once a stream.
            assert_eq!(
                frames.iter().filter(|f| f.0 == 9).count(),
                usize::from(id == 1)
            );
            let (bytes, last) = joined(&frames);
            assert!(bytes == expected, "{encoding} {id}");
            assert_eq!(last, 2);
        }
    }
}

#[test]
fn k_11_a_response_that_breaks_off_leaves_nothing_in_the_next() {
    for encoding in ENCODINGS {
        for after in 0..6 {
            let mut owner = Owner::new(encoding);
            let mut broken = owner.answer(1, Body::Bytes(&[7; 100_000]));
            let mut frames = Vec::new();
            for _ in 0..after {
                let mut out = owner
                    .server
                    .output(owner.store.split().0, &mut owner.stream);
                if let Step::Frame(frame) = broken.step(&mut out, &mut *owner.encoder).unwrap() {
                    frames.push(frame.as_slices().concat());
                }
            }
            // The peer reads those that were taken singly too.
            for frame in &frames {
                let (header, payload) = FrameHeader::split_from(frame).unwrap();
                if header.kind_number() == 9 {
                    owner.decoders.install(header.stream_id(), encoding);
                } else {
                    owner
                        .decoders
                        .decode(header.stream_id(), payload, true)
                        .skip()
                        .unwrap();
                }
            }
            broken.fail(Failure::command(b"went wrong"));
            let rest = owner.take(&mut broken);
            let (kind, flags, text) = rest.last().unwrap();
            // Before anything was encoded the failure is the response.
            assert_eq!(
                (*kind, *flags),
                if after == 0 { (3, 2) } else { (5, 0) },
                "{encoding} {after}"
            );
            assert!(text.windows(10).any(|part| part == b"went wrong"));
            let mut next = owner.answer(3, Body::Bytes(b"\x05"));
            let (bytes, _) = joined(&owner.take(&mut next));
            assert_eq!(
                bytes,
                [&STATUS_OK[..], b"\x05"].concat(),
                "{encoding} {after}"
            );
        }
    }
}

#[test]
fn a_failure_as_a_body_and_after_the_end() {
    for encoding in ENCODINGS {
        let mut owner = Owner::new(encoding);
        let mut failed = owner.answer(1, Body::Failure(Failure::server(b"no")));
        let frames = owner.take(&mut failed);
        // No settings before it (4.2), and not encoded.
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].0, frames[0].1), (5, 0));
        failed.fail(Failure::server(b"again"));
        assert!(owner.take(&mut failed).is_empty());
    }
}

#[test]
fn r7_5_redirects_are_encoded_and_never_left_out() {
    for encoding in ENCODINGS {
        let mut owner = Owner::new(encoding);
        let map = b"\xa1\x46status\x48redirect";
        let mut answer = owner.answer(1, Body::Redirect(map));
        let frames = owner.take(&mut answer);
        // Settings, the map in a frame of its own, the end.
        let kinds: Vec<_> = frames.iter().map(|f| (f.0, f.1)).collect();
        assert_eq!(kinds, [(9, 2), (3, 1), (3, 2)]);
        assert_eq!(joined(&frames).0, map);
        let mut next = owner.answer(3, Body::Bytes(b"\x05"));
        assert_eq!(
            joined(&owner.take(&mut next)).0,
            [&STATUS_OK[..], b"\x05"].concat()
        );
    }
}

#[test]
fn r3_5a_a_second_response_waits_without_touching_the_encoder() {
    for encoding in [ContentEncoding::Zlib, ContentEncoding::Zstd8Mb] {
        let mut owner = Owner::new(encoding);
        let mut one = owner.answer(1, Body::Bytes(b"\x01"));
        let mut two = owner.answer(3, Body::Bytes(b"\x02"));
        let mut frames = vec![owner.step(&mut one).unwrap().unwrap()];
        for _ in 0..3 {
            let refused = owner.step(&mut two).err();
            assert_eq!(
                refused,
                Some(RespondError::Misuse(ApiMisuse::StreamOccupied))
            );
        }
        frames.extend(owner.take(&mut one));
        assert_eq!(joined(&frames).0, [&STATUS_OK[..], b"\x01"].concat());
        assert_eq!(
            joined(&owner.take(&mut two)).0,
            [&STATUS_OK[..], b"\x02"].concat()
        );
    }
}
