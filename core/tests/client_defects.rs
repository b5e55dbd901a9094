//! Defects of the client that comparing it with another one found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a test fails by panicking"
)]

mod kit;

use hgrpc::cbor::{ContentEncoding, EncodedArgs, EncodingSet, Status};
use hgrpc::client::{Client, ClientConfig, Event, Request, RequestState, Upload};
use hgrpc::output::{Output, Stream};
use hgrpc::store::FixedRequests;
use hgrpc::wire::RequestId;
use hgrpc::{ApiMisuse, ProtocolError, Revision};
use kit::{BEGIN, CONTINUATION, ENCODED, END, EOS, frame};

type Cli<const N: usize> = Client<Revision, FixedRequests<N>>;

const REQUEST: Request<'_> = Request::new(b"led", EncodedArgs::EMPTY);

fn full_duplex() -> ClientConfig {
    let mut config = ClientConfig::FULL_DUPLEX;
    config.announcement = None;
    config
}

/// A client with a request whose own frames were made.
fn sent<const N: usize>(config: ClientConfig, has_data: bool) -> (Cli<N>, Upload) {
    let mut client = Client::new(Revision::R0006, config, FixedRequests::new());
    let (upload, _) = client.request(has_data).unwrap();
    let mut buffer = [0; 64];
    let mut out = Output::new(Stream::CLIENT, &mut buffer);
    assert_eq!(client.send(&upload, &REQUEST, &mut out), Ok(true));
    (client, upload)
}

#[test]
fn nothing_of_a_refused_frame_goes_through_a_decoder() {
    let mut config = full_duplex();
    config.decoders = EncodingSet::IDENTITY.with(ContentEncoding::Zlib);
    let mut memory = [0; 64];
    // Its stream has not begun; then a decoder refuses its bytes.
    for (stream_flags, is_refused) in [(ENCODED, true), (BEGIN | ENCODED, false)] {
        let (mut client, _) = sent::<2>(config, false);
        let bytes = frame(1, 2, stream_flags, 3, EOS, b"encoded");
        let (first, mut rest) = bytes.split_at(10);
        let event = client.next(&mut &first[..], &mut memory);
        if is_refused {
            assert!(matches!(
                event,
                Some(Event::Error {
                    error: ProtocolError::StreamNotBegun,
                    ..
                })
            ));
        } else {
            assert!(matches!(event, Some(Event::Encoded { .. })));
            let _ = client.handle_decode_error(ProtocolError::DecodeFailed);
        }
        assert!(client.next(&mut rest, &mut memory).is_none());
        assert!(rest.is_empty() && client.finish().is_ok());
    }
}

#[test]
fn a_header_of_data_after_the_end_is_none_whatever_its_length() {
    let mut config = full_duplex();
    config.send_frame_size = 32;
    let (mut client, upload) = sent::<2>(config, true);
    let mut buffer = [0; 64];
    let mut out = Output::new(Stream::CLIENT, &mut buffer);
    assert_eq!(
        client.data_header(&upload, 33, false, &mut out),
        Err(ApiMisuse::TooLarge)
    );
    assert_eq!(
        client.send_data(&upload, &mut &[][..], true, &mut out),
        Ok(true)
    );
    assert_eq!(client.data_header(&upload, 33, false, &mut out), Ok(None));
}

#[test]
fn a_status_map_that_is_lent_takes_no_place_of_a_request() {
    let mut config = full_duplex();
    config.takes_status = true;
    let (mut client, _) = sent::<1>(config, false);
    let mut memory = [0; 64];
    let map = b"\xa2\x46status\x45error\x45error\xa1\x47message\x44oops";
    let (front, back) = map.split_at(9);
    let first = frame(1, 2, BEGIN, 3, CONTINUATION, front);
    assert!(client.next(&mut &first[..], &mut memory).is_none());
    let last = frame(1, 2, 0, 3, EOS, back);
    let event = client.next(&mut &last[..], &mut memory);
    // The event still borrows the map; its request has ended.
    let (upload, _) = client.request(false).unwrap();
    assert_eq!(upload.request_id().value(), 3);
    let Some(Event::Response {
        status: Some(Status::Error(error)),
        is_last: true,
        ..
    }) = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(error.to_string(), "oops");
    // All of the memory is free again with the next step.
    let mut buffer = [0; 64];
    let mut out = Output::new(Stream::CLIENT, &mut buffer);
    assert_eq!(client.send(&upload, &REQUEST, &mut out), Ok(true));
    let text = [&b"\x81\xa1\x43msg\x58\x37"[..], &[b'a'; 55]].concat();
    assert_eq!(text.len(), 64 - 1);
    let text = frame(3, 2, 0, 6, 0, &text);
    let (front, mut back) = text.split_at(40);
    assert!(client.next(&mut &front[..], &mut memory).is_none());
    assert!(matches!(
        client.next(&mut back, &mut memory),
        Some(Event::Text { .. })
    ));
}

#[test]
fn a_decoder_is_dropped_with_its_stream_encoded_or_not() {
    let mut config = full_duplex();
    config.decoders = EncodingSet::IDENTITY.with(ContentEncoding::Zlib);
    let mut memory = [0; 64];
    for payload in [&b""[..], b"data"] {
        let (mut client, _) = sent::<2>(config, false);
        let bytes = frame(1, 2, BEGIN | END, 3, EOS, payload);
        let (header, rest) = bytes.split_at(8);
        let event = client.next(&mut &header[..], &mut memory);
        assert!(matches!(event, Some(Event::DropDecoder { stream_id }) if stream_id.value() == 2));
        // The frame's own event; its header alone counts as an answer.
        assert!(client.next(&mut &[][..], &mut memory).is_some() == payload.is_empty());
        assert!(
            payload.is_empty()
                || client.request_state(RequestId::new(1)) == Some(RequestState::Receiving)
        );
        if payload.is_empty() {
            continue;
        }
        let event = client.next(&mut &rest[..], &mut memory);
        assert!(matches!(
            event,
            Some(Event::Error {
                error: ProtocolError::TruncatedResponse | ProtocolError::BadStatus,
                ..
            })
        ));
        assert!(client.finish().is_ok());
    }
}
