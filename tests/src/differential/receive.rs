//! What comes in: the next event of both servers.

use hgrpc::next::server::{Event, Refusal, Reply};

use super::judge::server::{Body, Rejection, Responder, ServerAction};
use super::judge::store::Arena;
use super::pair::{Backing, Chosen, Pair};

/// An event, as both tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Command {
        id: u16,
        name: Vec<u8>,
        args: Vec<u8>,
        redirect: Option<Vec<u8>>,
        data: Option<Vec<u8>>,
        data_follows: bool,
    },
    Data {
        id: u16,
        bytes: Vec<u8>,
        is_last: bool,
    },
    Refused {
        id: u16,
        reason: &'static str,
        limit: u32,
    },
    Error(&'static str),
}

/// The frames of an answer that was given while the arguments were still borrowed, or why not.
type Echo = Option<Result<Vec<Vec<u8>>, &'static str>>;

/// What one of the servers said.
pub(super) struct Said<R, J> {
    pub(super) seen: Seen,
    pub(super) reply: Option<R>,
    pub(super) refusal: Option<J>,
    pub(super) echo: Echo,
}

fn said<R, J>(seen: Seen) -> Said<R, J> {
    Said {
        seen,
        reply: None,
        refusal: None,
        echo: None,
    }
}

impl<C: Chosen, T: Backing> Pair<'_, C, T> {
    /// The first server's next event. With `echo` a command is answered at once, on that stream,
    /// with its own arguments.
    pub(super) fn next_of_first(
        &mut self,
        input: &mut &[u8],
        arena: &mut dyn Arena,
        echo: Option<usize>,
    ) -> Option<Said<Responder, Rejection>> {
        loop {
            let part = match self.reader.next(input) {
                Ok(part) => part?,
                Err(error) => return Some(said(Seen::Error(error.name()))),
            };
            let table = &mut *self.table;
            let action = match self.first.handle(part, table, arena) {
                Ok(action) => action,
                Err(error) => return Some(said(Seen::Error(error.name()))),
            };
            return Some(match action {
                ServerAction::RunCommand(command) => {
                    let mut said = said(Seen::Command {
                        id: command.request_id().value(),
                        name: command.name.chunks().flatten().copied().collect(),
                        args: command.args.as_cbor().to_vec(),
                        redirect: command.redirect.map(|map| map.as_cbor().to_vec()),
                        data: command.data.map(<[u8]>::to_vec),
                        data_follows: command.data_follows,
                    });
                    let Some(lane) = echo.and_then(|index| self.lanes.get_mut(index)) else {
                        said.reply = Some(command.responder);
                        return Some(said);
                    };
                    let body = Body::Bytes(command.args.as_cbor());
                    let answer = self.first.respond(&*table, command.responder, body);
                    let mut answer = match answer {
                        Ok(answer) => answer,
                        Err(error) => {
                            said.echo = Some(Err(error.name()));
                            return Some(said);
                        }
                    };
                    let mut scratch = vec![0; self.setup.room];
                    let mut frames = Vec::new();
                    said.echo = Some(loop {
                        let mut out = self.first.output(table, &mut lane.first);
                        match answer.next_frame(&mut out, &mut scratch) {
                            Ok(Some(frame)) => frames.push(frame.as_slices().concat()),
                            Ok(None) => break Ok(frames),
                            Err(error) => break Err(error.name()),
                        }
                    });
                    said
                }
                ServerAction::CommandData {
                    request_id,
                    bytes,
                    is_last,
                } => said(Seen::Data {
                    id: request_id.value(),
                    bytes: bytes.to_vec(),
                    is_last,
                }),
                ServerAction::RejectRequest(rejection) => {
                    let mut said = said(Seen::Refused {
                        id: rejection.request_id().value(),
                        reason: rejection.reason().name(),
                        limit: rejection.limit(),
                    });
                    said.refusal = Some(rejection);
                    said
                }
                _ => continue,
            });
        }
    }

    /// The second server's next event.
    pub(super) fn next_of_second(
        &mut self,
        input: &mut &[u8],
        memory: &mut T::Memory,
        echo: Option<usize>,
    ) -> Option<Said<Reply, Refusal>> {
        Some(match self.second.next(input, memory)? {
            Event::Command(command) => {
                let name = command.name.as_bytes();
                let name = name.map(|name| name.chunks().flatten().copied().collect());
                let mut said = said(Seen::Command {
                    id: command.reply.request_id().value(),
                    name: name.unwrap_or_else(|| b"not a byte string".to_vec()),
                    args: command.args.as_cbor().to_vec(),
                    redirect: command.redirect.map(|map| map.as_cbor().to_vec()),
                    data: command.data.map(<[u8]>::to_vec),
                    data_follows: command.data_follows,
                });
                if let Some(lane) = echo.and_then(|index| self.lanes.get_mut(index)) {
                    let mut body = command.args.as_cbor();
                    let mut frames = Vec::new();
                    said.echo = Some(loop {
                        let out = &mut lane.second;
                        let answer = self.second.respond(&command.reply, &mut body, true, out);
                        if answer.is_ok() && !out.frame().is_empty() {
                            frames.push(out.frame().to_vec());
                        }
                        match answer {
                            Ok(true) => break Ok(frames),
                            Ok(false) if out.frame().is_empty() => break Err("no progress"),
                            Ok(false) => {}
                            Err(error) => break Err(error.name()),
                        }
                    });
                }
                said.reply = Some(command.reply);
                said
            }
            Event::Data {
                request_id,
                bytes,
                is_last,
            } => said(Seen::Data {
                id: request_id.value(),
                bytes: bytes.to_vec(),
                is_last,
            }),
            Event::Refused(refusal) => {
                let mut said = said(Seen::Refused {
                    id: refusal.request_id().value(),
                    reason: refusal.reason().name(),
                    limit: refusal.limit(),
                });
                said.refusal = Some(refusal);
                said
            }
            Event::Error(error) => said(Seen::Error(error.name())),
            _ => said(Seen::Error("an unknown event")),
        })
    }
}
