//! One connection on a small device: 1 KiB for all requests, 64 bytes of input. It takes frames of
//! 32 KiB, streams 1 MiB through, refuses a request of 1 MiB by name, and answers two others
//! meanwhile, all interleaved.

use hgrpc::client::{self, Client, ClientConfig, Request, Upload};
use hgrpc::connection::{Buffers, ServerConnection};
use hgrpc::drive::blocking::Driver;
use hgrpc::output::{Output, Stream};
use hgrpc::server::{Event, Reply, Server, ServerConfig};
use hgrpc::store::FixedRequests;
use hgrpc::wire::{FrameHeader, RequestId};
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

/// A request that is sent.
struct Call<'a> {
    upload: Upload,
    request: Request<'a>,
    data: Option<&'a [u8]>,
    is_requested: bool,
    is_over: bool,
}

type Host = Client<Revision, FixedRequests<4>>;

impl<'a> Call<'a> {
    fn new(client: &mut Host, request: Request<'a>, data: Option<&'a [u8]>) -> Self {
        Self {
            upload: client.request(data.is_some()).unwrap().0,
            request,
            data,
            is_requested: false,
            is_over: false,
        }
    }

    /// Makes the next frame, if there is one.
    fn next(&mut self, client: &mut Host, out: &mut Output<'_>) -> bool {
        if self.is_over {
            return false;
        }
        let is_done = match &mut self.data {
            _ if !self.is_requested => client.send(&self.upload, &self.request, out),
            Some(data) => client.send_data(&self.upload, data, true, out),
            None => return false,
        }
        .unwrap();
        self.is_over = is_done && (self.is_requested || self.data.is_none());
        self.is_requested |= is_done;
        true
    }
}

fn serve(revision: Revision) {
    let upload: Vec<u8> = (0..MIB).map(|n| ((n * 31) >> 3) as u8).collect();
    let (mut small, mut large, mut other) = (Vec::new(), Vec::new(), Vec::new());
    args(&[0x61; 300], &mut small);
    args(&[0x62; MIB], &mut large);
    args(&[0x63; 200], &mut other);

    // The client's frames, at most 32 KiB each, one of each call in turn.
    let mut client = Client::new(revision, ClientConfig::FULL_DUPLEX, FixedRequests::new());
    let mut memory = [0; 256];
    let mut input = Vec::new();
    let mut buffer = vec![0; 0x9000];
    let mut out = Output::new(Stream::CLIENT, &mut buffer);
    let echo = Request::new(b"echo", encoded(&small));
    let digest = Request::new(b"digest", encoded(b"\xa0"));
    let oversized = Request::new(b"echo", encoded(&large));
    let mut calls = vec![
        Call::new(&mut client, digest, Some(&upload)),
        Call::new(&mut client, oversized, None),
        Call::new(&mut client, echo, None),
    ];
    let [digest_id, oversized_id, echo_id] = [0, 1, 2].map(|n: usize| calls[n].upload.request_id());
    let (mut late_id, mut frames) = (None, 0);
    loop {
        let mut is_done = true;
        for call in &mut calls {
            if call.next(&mut client, &mut out) {
                let (header, _) = FrameHeader::split_from(out.frame()).unwrap();
                assert!(header.length() <= 0x8000);
                input.extend_from_slice(out.frame());
                (is_done, frames) = (false, frames + 1);
            }
        }
        if frames > 30 && late_id.is_none() {
            // One more comes in the midst of the others.
            let request = Request::new(b"echo", encoded(&other));
            let call = Call::new(&mut client, request, None);
            late_id = Some(call.upload.request_id());
            calls.push(call);
            is_done = false;
        }
        if is_done {
            break;
        }
    }
    assert!(frames > 2 * 32);

    let (up, down) = (Pipe::new(&[61, 7, 64]), Pipe::new(&[]));
    up.bytes.borrow_mut().extend(&input);
    let requests = FixedRequests::<4>::new();
    let mut server = Server::new(revision, ServerConfig::STREAMING, requests);
    let buffers = Buffers {
        input: &mut [0; 64],
        memory: &mut [0; 1024],
        output: &mut [0; 96],
    };
    let connection = ServerConnection::new(&mut server, buffers);
    let mut device = Driver::new(connection, up, down.clone());
    let mut digest: Option<(Reply, u64)> = None;
    let mut order = Vec::new();
    let mut longest = 0;
    while let Some((event, mut replies)) = device.step().unwrap() {
        match event {
            Event::Command(command) => {
                order.push(command.reply.request_id());
                if command.is("digest") {
                    assert!(command.data_follows);
                    digest = Some((command.reply, SEED));
                } else if command.is("echo") {
                    // Answered while its arguments are borrowed.
                    let body = command.args.as_cbor();
                    replies.send(command.reply.body(body)).unwrap();
                } else {
                    replies.send(command.unknown()).unwrap();
                }
            }
            Event::Data {
                request_id,
                bytes,
                is_last,
            } => {
                assert_eq!(request_id, digest_id);
                longest = longest.max(bytes.len());
                let (reply, state) = digest.take().unwrap();
                let state = hash(state, bytes);
                if is_last {
                    order.push(request_id);
                    replies.send(reply.body(&state.to_be_bytes())).unwrap();
                } else {
                    digest = Some((reply, state));
                }
            }
            Event::Refused(refusal) => {
                assert_eq!(refusal.request_id(), oversized_id);
                assert_eq!(refusal.reason(), RefusalReason::RequestTooLarge);
                assert!(refusal.limit() <= 1024);
            }
            _ => {}
        }
    }
    assert!(longest <= 64);
    assert_eq!(server.receiving().count(), 0);
    assert_eq!(server.active().count(), 0);
    // The small ones ran while the upload was on its way.
    assert_eq!(order.pop(), Some(digest_id));
    order.sort_unstable();
    assert_eq!(order, [digest_id, echo_id, late_id.unwrap()]);

    let answers: Vec<u8> = down.bytes.borrow().iter().copied().collect();
    let mut rest = &answers[..];
    let mut bodies: Vec<(RequestId, Vec<u8>)> = Vec::new();
    let mut refusal = None;
    while let Some(event) = client.next(&mut rest, &mut memory) {
        match event {
            client::Event::Response {
                request_id,
                data,
                is_last,
                ..
            } => match bodies.iter_mut().find(|(id, _)| *id == request_id) {
                Some((_, body)) => body.extend_from_slice(data),
                None => {
                    bodies.push((request_id, data.to_vec()));
                    assert!(is_last || !data.is_empty() || revision.has_status_map());
                }
            },
            client::Event::Failed {
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
    assert_eq!(client.handle_eof(&mut memory), None);
}
