//! The server reactor fed with frames that nearly make sense, over any split.

use core::borrow::BorrowMut;

use hgrpc::Revision;
use hgrpc::output::Output;
use hgrpc::server::{DataMode, Event, Failure, Reply, Server, ServerConfig};
use hgrpc::store::Requests;

use crate::input::Input;
use crate::kept::{Joined, fixed, growable, made};

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
fn run<T: Requests>(
    (requests, mut memory): (T, impl BorrowMut<T::Memory>),
    revision: Revision,
    config: ServerConfig,
    steps: &[Step],
    piece: usize,
) -> Vec<String> {
    let mut server = Server::new(revision, config, requests);
    let stream = server.open_stream(&[]).expect("the first stream is free");
    let mut buffer = [0; 128];
    let mut out = Output::new(stream, &mut buffer);
    let mut replies: Vec<Reply> = Vec::new();
    let mut log = Vec::new();
    let mut data = Joined::default();
    for step in steps {
        match step {
            Step::Frame(bytes) => {
                for mut chunk in bytes.chunks(piece) {
                    while let Some(event) = server.next(&mut chunk, memory.borrow_mut()) {
                        if !matches!(event, Event::Data { .. }) {
                            data.tell(&mut log);
                        }
                        match event {
                            Event::Command(command) => {
                                log.push(format!(
                                    "run {:?} {:?} {:?}",
                                    command.name,
                                    command.args.as_cbor(),
                                    command.data
                                ));
                                replies.push(command.reply);
                            }
                            Event::Data {
                                request_id,
                                bytes,
                                is_last,
                            } => {
                                let end = if is_last { "last" } else { "" };
                                let what = format!("data {request_id}");
                                data.add(&mut log, what, bytes, end.into());
                                if is_last {
                                    data.tell(&mut log);
                                }
                            }
                            Event::Refused(refusal) => {
                                log.push(format!("refused {refusal:?}"));
                                assert_eq!(server.refuse(&refusal, &mut out), Ok(true));
                                log.push(made(out.frame()));
                            }
                            Event::Error(error) => log.push(format!("{error}")),
                            other => panic!("an event without a rule: {other:?}"),
                        }
                    }
                    assert!(chunk.is_empty(), "everything that is given is taken");
                }
                data.tell(&mut log);
            }
            Step::Answer { which, how } if !replies.is_empty() => {
                let reply = replies.remove(usize::from(*which) % replies.len());
                let id = reply.request_id();
                let mut body: &[u8] = b"\x43abc";
                let mut frames = 0;
                loop {
                    let result = match how % 3 {
                        0 => server.respond(&reply, &mut body, true, &mut out),
                        1 => server.fail(&reply, &Failure::command(b"no %s"), &mut out),
                        _ => server.fail(&reply, &Failure::server(b"broken"), &mut out),
                    };
                    // Stale where a new request with too many frames took the place of its own.
                    let Ok(is_done) = result else {
                        assert_eq!(frames, 0, "an answer that was begun is sent");
                        log.push(format!("stale {id}"));
                        break;
                    };
                    log.push(made(out.frame()));
                    frames += 1;
                    assert!(frames < 10, "an answer ends");
                    if is_done {
                        assert!(
                            !server.active().any(|active| active == id),
                            "it is answered"
                        );
                        break;
                    }
                }
            }
            Step::Answer { .. } => {}
        }
        let receiving: Vec<_> = server.receiving().collect();
        let active: Vec<_> = server.active().collect();
        if config.data_mode == DataMode::Collect {
            assert!(receiving.iter().all(|id| !active.contains(id)));
        }
        log.push(format!(
            "receiving {receiving:?} active {active:?} {:?} frames {} {:?}",
            server.state(),
            server.frames(),
            server.finish(),
        ));
    }
    log
}

/// The same steps give the same events whatever the split, and as much memory as there is.
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
    let whole = run(fixed(256), revision, config, &steps, usize::MAX);
    for piece in [1, 7] {
        let parts = run(fixed(256), revision, config, &steps, piece);
        assert_eq!(parts, whole, "in pieces of {piece}");
    }
    let grown = run(growable(256), revision, config, &steps, 7);
    assert_eq!(grown, whole, "in growing memory");
}
