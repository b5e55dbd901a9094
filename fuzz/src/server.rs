//! The server reactor fed with frames that nearly make sense, over any split.

use hgrpc::server::{Body, DataMode, Failure, Responder, Server, ServerAction, ServerConfig};
use hgrpc::store::{Arena, FixedStore, Table};
use hgrpc::wire::FrameReader;
use hgrpc::{ProtocolError, Revision};
use hgrpc_std::store::{Budgets, GrowableStore};

use crate::input::Input;

/// What is done to a server.
#[derive(Clone, Debug)]
enum Step {
    Frame(Vec<u8>),
    Answer { which: u8, how: u8 },
}

fn steps(input: &mut Input<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    while !input.is_empty() && steps.len() < 64 {
        steps.push(match input.byte() {
            op @ 0..48 => Step::Answer {
                which: op,
                how: input.byte(),
            },
            48..56 => {
                let len = usize::from(input.byte());
                Step::Frame(input.bytes(len).to_vec())
            }
            _ => Step::Frame(input.frame()),
        });
    }
    steps
}

/// Runs the steps, feeding each frame in pieces of at most `piece` bytes, and tells what happened
/// in words that do not depend on the split.
fn run<T: Table, A: Arena>(
    (table, arena): (&mut T, &mut A),
    revision: Revision,
    config: ServerConfig,
    steps: &[Step],
    piece: usize,
) -> Vec<String> {
    let mut server = Server::new(revision, config);
    let mut reader = FrameReader::new(config.limits.max_frame_size);
    let mut stream = server.open_stream(&[]).expect("the first stream is free");
    let mut responders: Vec<Responder> = Vec::new();
    let mut log = Vec::new();
    let mut data = String::new();
    for step in steps {
        match step {
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
                        match server.handle(part, table, arena) {
                            Ok(ServerAction::Noop) => {}
                            Ok(ServerAction::WantFrame(state)) => log.push(state.name().into()),
                            Ok(ServerAction::RunCommand(command)) => {
                                log.push(format!(
                                    "run {:?} {:?} {:?}",
                                    command.name,
                                    command.args.as_cbor(),
                                    command.data
                                ));
                                responders.push(command.responder);
                            }
                            Ok(ServerAction::CommandData {
                                request_id,
                                bytes,
                                is_last,
                            }) => {
                                data.push_str(
                                    &format!("{bytes:02x?}").replace(['[', ']', ',', ' '], ""),
                                );
                                if is_last || part.is_last {
                                    log.push(format!("data {request_id} {data} {is_last}"));
                                    data.clear();
                                }
                            }
                            Ok(ServerAction::RejectRequest(rejection)) => {
                                log.push(format!("reject {rejection:?}"));
                                let mut answer = server.reject(rejection);
                                let mut out = server.output(table, &mut stream);
                                assert!(matches!(answer.next_frame(&mut out), Ok(Some(_))));
                            }
                            Ok(other) => panic!("an action without a rule: {other:?}"),
                            Err(ProtocolError::AlreadyErrored) if !part.is_first => {}
                            Err(error) => log.push(format!("{error}")),
                        }
                    }
                }
            }
            Step::Answer { which, how } if !responders.is_empty() => {
                let responder = responders.remove(usize::from(*which) % responders.len());
                let body = match how % 3 {
                    0 => Body::Bytes(b"\x43abc"),
                    1 => Body::Failure(Failure::command(b"no %s")),
                    _ => Body::Failure(Failure::server(b"broken")),
                };
                let id = responder.request_id();
                // Stale where a new request with too many frames took the place of its own.
                let Ok(mut answer) = server.respond(table, responder, body) else {
                    log.push(format!("stale {id}"));
                    continue;
                };
                let mut frames = 0;
                while let Some(frame) = answer
                    .next_frame(&mut server.output(table, &mut stream), &mut [0; 64])
                    .expect("an answer that was accepted is sent")
                {
                    assert_eq!(frame.header().length() as usize + 8, frame.wire_len());
                    frames += 1;
                    assert!(frames < 10, "an answer ends");
                }
                assert!(
                    !server.active(table).any(|active| active == id),
                    "it is answered"
                );
            }
            Step::Answer { .. } => {}
        }
        let receiving: Vec<_> = server.receiving(table).collect();
        let active: Vec<_> = server.active(table).collect();
        if config.data_mode == DataMode::Collect {
            assert!(receiving.iter().all(|id| !active.contains(id)));
        }
        log.push(format!(
            "receiving {receiving:?} active {active:?} {:?}",
            server.state()
        ));
    }
    log
}

/// The same steps give the same actions whatever the split, and as much memory as there is.
pub fn server(data: &[u8]) {
    let mut input = Input::new(data);
    let revision = input.revision();
    let mode = input.byte();
    let mut config = ServerConfig::DEFAULT;
    if mode & 1 == 1 {
        config.data_mode = DataMode::Stream;
    }
    config.limits.request_frames = 8;
    config.limits.max_frame_size = 512;
    let steps = steps(&mut input);
    let mut budgets = Budgets::DEFAULT;
    budgets.requests = 4;
    budgets.refused = 4;
    budgets.bytes = 256;
    let whole = run(
        FixedStore::<4, 256>::new().split(),
        revision,
        config,
        &steps,
        usize::MAX,
    );
    for piece in [1, 7] {
        let parts = run(
            FixedStore::<4, 256>::new().split(),
            revision,
            config,
            &steps,
            piece,
        );
        assert_eq!(parts, whole, "in pieces of {piece}");
    }
    let grown = run(
        GrowableStore::new(budgets).split(),
        revision,
        config,
        &steps,
        7,
    );
    assert_eq!(grown, whole, "in growing memory");
}
