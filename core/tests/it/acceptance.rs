//! One connection on a small device: 1 KiB for all requests, 64 bytes of input. It takes frames of
//! 32 KiB, streams 1 MiB through, refuses a request of 1 MiB by name, and answers two others
//! meanwhile, all interleaved.

use hgrpc::client::{CallData, Client, ClientAction, ClientConfig, Request};
use hgrpc::io::blocking::ServerConnection;
use hgrpc::server::{Body, Failure, Responder, ServerAction, ServerConfig};
use hgrpc::store::FixedStore;
use hgrpc::wire::{FrameReader, RequestId};
use hgrpc::{REVISIONS, RefusalReason, Revision};

use crate::pipe::Pipe;
use crate::script::{args, encoded};

const MIB: usize = 1 << 20;

/// A hash that is kept from piece to piece (FNV-1a).
fn hash(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
    })
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

#[test]
fn a_small_device_serves_large_and_small_requests_at_once() {
    for revision in REVISIONS {
        serve(revision);
    }
}

fn serve(revision: Revision) {
    let upload: Vec<u8> = (0..MIB).map(|n| ((n * 31) >> 3) as u8).collect();
    let (mut small, mut large, mut other) = (Vec::new(), Vec::new(), Vec::new());
    args(&[0x61; 300], &mut small);
    args(&[0x62; MIB], &mut large);
    args(&[0x63; 200], &mut other);

    // The client's frames, at most 32 KiB each, one of each call in turn.
    let mut client: Client = Client::new(revision, ClientConfig::FULL_DUPLEX);
    let mut memory = FixedStore::<4, 256>::new();
    let mut input = Vec::new();
    let (table, arena) = memory.split();
    let echo = Request::new(b"echo", encoded(&small));
    let digest = Request::new(b"digest", encoded(b"\xa0")).with_data(CallData::Bytes(&upload));
    let oversized = Request::new(b"echo", encoded(&large));
    let mut calls = [
        client.call(table, digest).unwrap().0,
        client.call(table, oversized).unwrap().0,
        client.call(table, echo).unwrap().0,
    ];
    let [digest_id, oversized_id, echo_id] = [0, 1, 2].map(|n: usize| calls[n].request_id());
    let (mut late, mut late_id, mut frames) = (None, None, 0);
    loop {
        let mut out = client.output(table);
        let mut is_done = true;
        for call in calls.iter_mut().chain(&mut late) {
            if let Some(frame) = call.next_frame(&mut out) {
                assert!(frame.header().length() <= 0x8000);
                input.extend(frame.as_slices().concat());
                (is_done, frames) = (false, frames + 1);
            }
        }
        if frames > 30 && late.is_none() {
            // One more comes in the midst of the others.
            let request = Request::new(b"echo", encoded(&other));
            let call = client.call(table, request).unwrap().0;
            late_id = Some(call.request_id());
            late = Some(call);
            is_done = false;
        }
        if is_done {
            break;
        }
    }
    assert!(frames > 2 * 32);

    let (up, down) = (Pipe::new(&[61, 7, 64]), Pipe::new(&[]));
    up.bytes.borrow_mut().extend(&input);
    let mut server: ServerConnection<_, _, 4, 1024, 64, 64> =
        ServerConnection::new(up, down.clone(), revision, ServerConfig::STREAMING);
    let mut digest: Option<(Responder, u64)> = None;
    let mut order = Vec::new();
    let mut longest = 0;
    while let Some((action, replies)) = server.next_action().unwrap() {
        match action {
            ServerAction::RunCommand(command) => {
                order.push(command.request_id());
                if command.name == *b"digest" {
                    assert!(command.data_follows);
                    digest = Some((command.responder, SEED));
                } else if command.name == *b"echo" {
                    // Answered while its arguments are borrowed.
                    let body = Body::Bytes(command.args.as_cbor());
                    replies.respond(command.responder, body).unwrap();
                } else {
                    let failure = Failure::command(b"no such command");
                    replies
                        .respond(command.responder, Body::Failure(failure))
                        .unwrap();
                }
            }
            ServerAction::CommandData {
                request_id,
                bytes,
                is_last,
            } => {
                assert_eq!(request_id, digest_id);
                longest = longest.max(bytes.len());
                let (responder, state) = digest.take().unwrap();
                let state = hash(state, bytes);
                if is_last {
                    order.push(request_id);
                    let body = state.to_be_bytes();
                    replies.respond(responder, Body::Bytes(&body)).unwrap();
                } else {
                    digest = Some((responder, state));
                }
            }
            ServerAction::RejectRequest(rejection) => {
                assert_eq!(rejection.request_id(), oversized_id);
                assert_eq!(rejection.reason(), RefusalReason::RequestTooLarge);
                assert!(rejection.limit() <= 1024);
                replies.reject(rejection).unwrap();
            }
            _ => {}
        }
    }
    assert!(longest <= 64);
    assert_eq!(server.receiving().count(), 0);
    assert_eq!(server.replies().active().count(), 0);
    // The small ones ran while the upload was on its way.
    assert_eq!(order.pop(), Some(digest_id));
    order.sort_unstable();
    assert_eq!(order, [digest_id, echo_id, late_id.unwrap()]);

    let answers: Vec<u8> = down.bytes.borrow().iter().copied().collect();
    let mut reader = FrameReader::new(0xffff);
    let mut rest = &answers[..];
    let mut bodies: Vec<(RequestId, Vec<u8>)> = Vec::new();
    let mut refusal = None;
    while let Some(part) = reader.next(&mut rest).unwrap() {
        match client.handle(part, table, arena).unwrap() {
            ClientAction::ResponseData {
                request_id,
                data,
                eos,
                ..
            } => match bodies.iter_mut().find(|(id, _)| *id == request_id) {
                Some((_, body)) => body.extend_from_slice(data),
                None => {
                    bodies.push((request_id, data.to_vec()));
                    assert!(eos || !data.is_empty() || revision.has_settings());
                }
            },
            ClientAction::ErrorResponse {
                request_id,
                message,
            } => refusal = Some((request_id, message.to_string())),
            _ => {}
        }
    }
    let (refused, message) = refusal.unwrap();
    assert_eq!(refused, oversized_id);
    assert!(
        message.starts_with("request-too-large, limit "),
        "{message}"
    );
    let body = |id| &bodies.iter().find(|(other, _)| *other == id).unwrap().1;
    assert_eq!(body(echo_id), &small);
    assert_eq!(body(late_id.unwrap()), &other);
    assert_eq!(body(digest_id), &hash(SEED, &upload).to_be_bytes());
    assert_eq!(client.handle_eof(table), None);
}
