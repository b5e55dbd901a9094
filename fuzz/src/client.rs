//! The client reactor fed with frames that nearly make sense, over any split.

use hgrpc::Revision;
use hgrpc::cbor::EncodedArgs;
use hgrpc::client::{Call, CallData, Client, ClientAction, ClientConfig, Request};
use hgrpc::store::{Arena, FixedStore, Table};
use hgrpc::wire::{FrameReader, OutFrame, RequestId};
use hgrpc_std::store::{Budgets, GrowableStore};

use crate::input::Input;

/// What is done to a client.
#[derive(Clone, Debug)]
enum Step {
    Frame(Vec<u8>),
    Call { has_data: bool },
    TakeFrame { which: u8 },
    Cancel { id: u8 },
}

fn steps(input: &mut Input<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    while !input.is_empty() && steps.len() < 64 {
        steps.push(match input.byte() {
            op @ 0..32 => Step::Call {
                has_data: op & 1 == 1,
            },
            which @ 32..80 => Step::TakeFrame { which },
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

fn show(frame: &OutFrame<'_>) -> String {
    let mut bytes = vec![0; frame.wire_len()];
    assert_eq!(frame.copy_to(&mut bytes), Some(bytes.len()));
    assert_eq!(frame.header().length() as usize + 8, bytes.len());
    assert_eq!(frame.as_slices().concat(), bytes);
    format!("out {bytes:02x?}")
}

/// Runs the steps, feeding each frame in pieces of at most `piece` bytes, and tells what happened
/// in words that do not depend on the split.
fn run<T: Table, A: Arena>(
    (table, arena): (&mut T, &mut A),
    revision: Revision,
    takes_status: bool,
    steps: &[Step],
    piece: usize,
) -> Vec<String> {
    let mut config = ClientConfig::FULL_DUPLEX;
    config.takes_status = takes_status;
    config.send_frame_size = 16;
    let mut client = Client::new(revision, config);
    let mut reader = FrameReader::new(512);
    let mut calls: Vec<Call<'_>> = Vec::new();
    let mut log = Vec::new();
    let mut data = Vec::new();
    for step in steps {
        match step {
            Step::Call { has_data } => {
                let request = Request::new(b"command", EncodedArgs::EMPTY);
                let upload = if *has_data {
                    CallData::Bytes(b"0123456789abcdef0")
                } else {
                    CallData::None
                };
                if let Ok((call, _)) = client.call(table, request.with_data(upload)) {
                    calls.push(call);
                }
            }
            Step::TakeFrame { which } if !calls.is_empty() => {
                let which = usize::from(*which) % calls.len();
                match calls[which].next_frame(&mut client.output(table)) {
                    Some(frame) => log.push(show(&frame)),
                    None => drop(calls.swap_remove(which)),
                }
            }
            Step::TakeFrame { .. } => {}
            Step::Cancel { id } => {
                let _ = client.cancel(table, arena, RequestId::new(u16::from(*id)));
            }
            Step::Frame(bytes) => {
                for mut chunk in bytes.chunks(piece) {
                    loop {
                        let part = match reader.next(&mut chunk) {
                            Ok(Some(part)) => part,
                            Ok(None) => break,
                            Err(error) => {
                                log.push(format!("{error}"));
                                return log;
                            }
                        };
                        // An error at a frame's head is told once; its parts are of no use.
                        match client.handle(part, table, arena) {
                            Ok(ClientAction::Noop) => {}
                            Ok(ClientAction::ResponseData {
                                request_id,
                                status,
                                data: bytes,
                                expect_more,
                                eos,
                            }) => {
                                if let Some(status) = status {
                                    log.push(format!("status {request_id} {status:?}"));
                                }
                                data.extend_from_slice(bytes);
                                if part.is_last {
                                    log.push(format!(
                                        "data {request_id} {data:02x?} {expect_more} {eos}"
                                    ));
                                    data.clear();
                                }
                            }
                            Ok(other) => log.push(format!("{other:?}")),
                            Err(error) => {
                                data.clear();
                                log.push(format!("{error:?}"));
                            }
                        }
                    }
                }
            }
        }
        log.push(format!(
            "active {:?}",
            client.active(table).collect::<Vec<_>>()
        ));
    }
    while let Some(id) = client.handle_eof(table) {
        log.push(format!("unfinished {id}"));
    }
    assert_eq!(client.active(table).count(), 0);
    log
}

/// The same steps give the same actions whatever the split, and as much memory as there is.
pub fn client(data: &[u8]) {
    let mut input = Input::new(data);
    let revision = input.revision();
    let takes_status = input.byte() & 1 == 1;
    let steps = steps(&mut input);
    let budgets = {
        let mut budgets = Budgets::DEFAULT;
        budgets.requests = 4;
        budgets.bytes = 1_024;
        budgets
    };
    let whole = run(
        FixedStore::<4, 1_024>::new().split(),
        revision,
        takes_status,
        &steps,
        usize::MAX,
    );
    for piece in [1, 7] {
        let parts = run(
            FixedStore::<4, 1_024>::new().split(),
            revision,
            takes_status,
            &steps,
            piece,
        );
        assert_eq!(parts, whole, "in pieces of {piece}");
    }
    let grown = run(
        GrowableStore::new(budgets).split(),
        revision,
        takes_status,
        &steps,
        7,
    );
    assert_eq!(grown, whole, "in growing memory");
}
