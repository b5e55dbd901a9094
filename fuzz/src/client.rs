//! The client reactor fed with frames that nearly make sense, over any split.

use core::borrow::BorrowMut;

use hgrpc::Revision;
use hgrpc::cbor::EncodedArgs;
use hgrpc::client::{Client, ClientConfig, Event, Request, Upload};
use hgrpc::output::{Output, Stream};
use hgrpc::store::Requests;
use hgrpc::wire::RequestId;

use crate::input::Input;
use crate::kept::{Joined, fixed, growable, made};

/// What is done to a client.
#[derive(Clone, Debug)]
enum Step {
    Frame(Vec<u8>),
    Call { has_data: bool },
    MakeFrame { which: u8 },
    Cancel { id: u8 },
}

fn steps(input: &mut Input<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    while !input.is_empty() && steps.len() < 64 {
        steps.push(match input.byte() {
            op @ 0..32 => Step::Call {
                has_data: op & 1 == 1,
            },
            which @ 32..80 => Step::MakeFrame { which },
            id @ 80..88 => Step::Cancel { id: id & 7 },
            88..96 => {
                let len = usize::from(input.byte());
                Step::Frame(input.bytes(len).to_vec())
            }
            _ => Step::Frame(input.frame()),
        });
    }
    steps
}

/// Data of a request: more than a frame of either size holds.
const DATA: [u8; 65] = [7; 65];

/// A request whose frames are made.
struct Sending {
    upload: Upload,
    data: Option<&'static [u8]>,
    is_requested: bool,
}

impl Sending {
    /// Makes the next frame; whether it was the last.
    fn step<T: Requests>(
        &mut self,
        client: &mut Client<Revision, T>,
        out: &mut Output<'_>,
    ) -> bool {
        let request = Request::new(b"command", EncodedArgs::EMPTY);
        let result = match &mut self.data {
            _ if !self.is_requested => client.send(&self.upload, &request, out),
            Some(data) => client.send_data(&self.upload, data, true, out),
            None => return true,
        };
        let is_done = result.expect("a request that was taken is sent");
        let is_last = is_done && (self.is_requested || self.data.is_none());
        self.is_requested |= is_done;
        is_last
    }
}

/// Runs the steps, feeding each frame in pieces of at most `piece` bytes, and tells what happened
/// in words that do not depend on the split.
fn run<T: Requests>(
    (requests, mut memory): (T, impl BorrowMut<T::Memory>),
    revision: Revision,
    takes_status: bool,
    steps: &[Step],
    piece: usize,
) -> Vec<String> {
    let mut config = ClientConfig::FULL_DUPLEX;
    config.takes_status = takes_status;
    // The settings of 0006 have to fit a frame.
    config.send_frame_size = if revision.has_settings() { 64 } else { 16 };
    config.max_frame_size = 512;
    let mut client = Client::new(revision, config, requests);
    let mut buffer = [0; 128];
    let mut out = Output::new(Stream::CLIENT, &mut buffer);
    let mut calls: Vec<Sending> = Vec::new();
    let mut log = Vec::new();
    let mut data = Joined::default();
    for step in steps {
        match step {
            Step::Call { has_data } => {
                if let Ok((upload, _)) = client.request(*has_data) {
                    calls.push(Sending {
                        upload,
                        data: has_data.then_some(&DATA[..]),
                        is_requested: false,
                    });
                }
            }
            Step::MakeFrame { which } if !calls.is_empty() => {
                let which = usize::from(*which) % calls.len();
                let is_last = calls[which].step(&mut client, &mut out);
                if !out.frame().is_empty() {
                    log.push(made(out.frame()));
                }
                if is_last {
                    calls.swap_remove(which);
                }
            }
            Step::MakeFrame { .. } => {}
            Step::Cancel { id } => {
                let _ = client.cancel(RequestId::new(u16::from(*id)), memory.borrow_mut());
            }
            Step::Frame(bytes) => {
                for mut chunk in bytes.chunks(piece) {
                    while let Some(event) = client.next(&mut chunk, memory.borrow_mut()) {
                        match event {
                            Event::Response {
                                request_id,
                                status,
                                data: bytes,
                                expects_more,
                                is_last,
                            } => {
                                if let Some(status) = status {
                                    data.tell(&mut log);
                                    log.push(format!("status {request_id} {status:?}"));
                                }
                                let last = if is_last { "last" } else { "" };
                                let end = format!("{expects_more} {last}");
                                data.add(&mut log, format!("data {request_id}"), bytes, end);
                                if is_last {
                                    data.tell(&mut log);
                                }
                            }
                            Event::Error { error, request_id } => {
                                // What came of the frame before depends on the split.
                                data.clear();
                                log.push(format!("{error:?} {request_id:?}"));
                            }
                            other => {
                                data.tell(&mut log);
                                log.push(format!("{other:?}"));
                            }
                        }
                    }
                    assert!(chunk.is_empty(), "everything that is given is taken");
                }
                data.tell(&mut log);
            }
        }
        log.push(format!(
            "active {:?} {:?}",
            client.active().collect::<Vec<_>>(),
            client.finish()
        ));
    }
    while let Some(id) = client.handle_eof(memory.borrow_mut()) {
        log.push(format!("unfinished {id}"));
    }
    assert_eq!(client.active().count(), 0);
    log
}

/// The same steps give the same events whatever the split, and as much memory as there is.
pub fn client(data: &[u8]) {
    let mut input = Input::new(data);
    let revision = input.revision();
    let takes_status = input.byte() & 1 == 1;
    let steps = steps(&mut input);
    let whole = run(fixed(1_024), revision, takes_status, &steps, usize::MAX);
    for piece in [1, 7] {
        let parts = run(fixed(1_024), revision, takes_status, &steps, piece);
        assert_eq!(parts, whole, "in pieces of {piece}");
    }
    let grown = run(growable(1_024), revision, takes_status, &steps, 7);
    assert_eq!(grown, whole, "in growing memory");
}
