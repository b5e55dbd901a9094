//! What responses put into their lanes, and how it becomes frames.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hgrpc::ApiMisuse;
use hgrpc::cbor::{Atom, Progress, Text};
use hgrpc::server::{Body, Push, Rejection};
use hgrpc::wire::OutFrame;

use super::super::outgoing::{Made, Maker};
use super::conn::{Conn, Reactor};
use crate::encoding::Encoder;
use crate::host::Direction;
use crate::host::counting::{add, count};
use crate::host::refusal::Composed;

/// Something to be sent.
pub(super) enum Job {
    /// A piece of a response; the first on a compressing stream is its status map.
    Piece { number: u64, bytes: Vec<u8> },
    /// 0003 and 0005: all of a response.
    Whole {
        number: u64,
        bytes: Vec<u8>,
        is_cbor: bool,
    },
    /// A response's end.
    Finish {
        number: u64,
        flushed: Vec<u8>,
        encoder: Option<Box<dyn Encoder>>,
    },
    /// A response's end with a failure.
    Fail {
        number: u64,
        flushed: Vec<u8>,
        failure: Box<Composed>,
        encoder: Option<Box<dyn Encoder>>,
    },
    /// Text output beside a response.
    Text { number: u64, atoms: Vec<OwnedAtom> },
    /// Progress beside a response.
    Progress {
        number: u64,
        progress: Box<OwnedProgress>,
    },
    /// The answer to a request that was refused.
    Reject(Option<Rejection>),
}

/// A piece of text that waits to be sent.
pub(super) struct OwnedAtom {
    pub(super) msg: Vec<u8>,
    pub(super) args: Vec<Vec<u8>>,
    pub(super) labels: Vec<Vec<u8>>,
}

/// An update that waits to be sent.
pub(super) struct OwnedProgress {
    pub(super) topic: String,
    pub(super) pos: i64,
    pub(super) total: u64,
    pub(super) label: Option<String>,
    pub(super) item: Option<String>,
}

/// Makes one connection's frames.
pub(super) struct JobMaker(pub(super) Arc<Conn>);

impl Maker for JobMaker {
    type Job = Job;

    fn make(&mut self, job: &mut Job, out: &mut Vec<u8>) -> Made {
        let mut reactor = self.0.reactor();
        let made = self.make_with(&mut reactor, job, out);
        // A request that is not active any more gets nothing, and that is all.
        let made = made.unwrap_or(Made::Done);
        if made == Made::Done {
            match job {
                Job::Finish {
                    number, encoder, ..
                }
                | Job::Fail {
                    number, encoder, ..
                } => reactor.end_reply(*number, encoder.take()),
                Job::Whole { number, .. } => reactor.end_reply(*number, None),
                _ => return made,
            }
            drop(reactor);
            self.0.notify();
        }
        made
    }

    fn written(&mut self, bytes: usize, left: usize) {
        add(&self.0.shared.counters.bytes_out, bytes);
        self.0.clock.written(self.0.shared.now(), left);
        self.0
            .shared
            .counters
            .most_waiting
            .fetch_max(self.0.out.most_jobs(), Ordering::Relaxed);
    }
}

impl JobMaker {
    fn make_with(
        &self,
        reactor: &mut Reactor,
        job: &mut Job,
        out: &mut Vec<u8>,
    ) -> Result<Made, ApiMisuse> {
        let frame = match job {
            Job::Piece { number, bytes } => {
                let push = reactor.write(*number, |writer, frames, is_coded| {
                    if is_coded {
                        writer.push_encoded(frames, &mut [], bytes)
                    } else {
                        writer.push(frames, &mut [], bytes)
                    }
                })?;
                match push {
                    Push::Frame(frame) => Some(frame),
                    Push::Taken => None,
                }
            }
            Job::Whole {
                number,
                bytes,
                is_cbor,
            } => {
                let body = if *is_cbor {
                    Body::Cbor(bytes)
                } else {
                    Body::Bytes(bytes)
                };
                let responder = reactor
                    .take_fresh(*number)
                    .ok_or(ApiMisuse::RequestNotActive)?;
                let mut answer = reactor.server.respond(&reactor.table, responder, body)?;
                // It was bounded by a frame's size, so these are few.
                while let Some(frame) = answer.next_frame(&mut reactor.frames(), &mut [])? {
                    self.emit(&frame, out);
                }
                None
            }
            Job::Finish {
                number, flushed, ..
            } => reactor.write(*number, |writer, frames, is_coded| {
                if is_coded {
                    writer.finish_encoded(frames, &[], flushed)
                } else {
                    writer.finish(frames, &[])
                }
            })?,
            Job::Fail {
                number,
                flushed,
                failure,
                ..
            } => {
                // What it says never changes, so that it can be made anew for each frame.
                let mut core = failure.as_core();
                if let Some(frame) = reactor.write(*number, |writer, frames, _| {
                    writer.fail(frames, &[], flushed, &mut core)
                })? {
                    self.emit(&frame, out);
                    return Ok(Made::More);
                }
                None
            }
            Job::Text { number, atoms } => {
                self.text(reactor, *number, atoms, out)?;
                None
            }
            Job::Progress { number, progress } => {
                self.progress(reactor, *number, progress, out)?;
                None
            }
            Job::Reject(rejection) => {
                let Some(rejection) = rejection.take() else {
                    return Ok(Made::Done);
                };
                let mut answer = reactor.server.reject(rejection);
                if let Some(frame) = answer.next_frame(&mut reactor.frames())? {
                    self.emit(&frame, out);
                }
                None
            }
        };
        Ok(match frame {
            Some(frame) => {
                self.emit(&frame, out);
                Made::More
            }
            None => Made::Done,
        })
    }

    fn emit(&self, frame: &OutFrame<'_>, out: &mut Vec<u8>) {
        for slice in frame.as_slices() {
            out.extend_from_slice(slice);
        }
        count(&self.0.shared.counters.frames_out);
        if let Some(observer) = &self.0.shared.observer {
            observer(&self.0.peer, Direction::Out, frame.header());
        }
    }

    fn text(
        &self,
        reactor: &mut Reactor,
        number: u64,
        atoms: &[OwnedAtom],
        out: &mut Vec<u8>,
    ) -> Result<(), ApiMisuse> {
        let lists: Vec<[Vec<&[u8]>; 2]> = atoms
            .iter()
            .map(|atom| [slices(&atom.args), slices(&atom.labels)])
            .collect();
        let atoms: Vec<Atom<'_>> = atoms
            .iter()
            .zip(&lists)
            .map(|(atom, [args, labels])| Atom {
                msg: &atom.msg,
                args,
                labels,
            })
            .collect();
        let len: usize = atoms
            .iter()
            .map(|atom| {
                let lists = atom.args.iter().chain(atom.labels);
                64 + atom.msg.len() + lists.map(|part| part.len() + 9).sum::<usize>()
            })
            .sum();
        let mut buffer = vec![0; 64 + len];
        let responder = reactor
            .responder(number)
            .ok_or(ApiMisuse::RequestNotActive)?;
        let mut side = reactor.server.text_output(responder, &atoms, &mut buffer)?;
        if let Some(frame) = side.next_frame(&mut reactor.frames())? {
            self.emit(&frame, out);
        }
        Ok(())
    }

    fn progress(
        &self,
        reactor: &mut Reactor,
        number: u64,
        owned: &OwnedProgress,
        out: &mut Vec<u8>,
    ) -> Result<(), ApiMisuse> {
        let mut progress = Progress::new(&owned.topic, owned.pos, owned.total);
        progress.label = owned.label.as_deref().map(Text::new);
        progress.item = owned.item.as_deref().map(Text::new);
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let size = 128 + owned.topic.len() + len(&owned.label) + len(&owned.item);
        let mut buffer = vec![0; size];
        let responder = reactor
            .responder(number)
            .ok_or(ApiMisuse::RequestNotActive)?;
        let mut side = reactor.server.progress(responder, &progress, &mut buffer)?;
        if let Some(frame) = side.next_frame(&mut reactor.frames())? {
            self.emit(&frame, out);
        }
        Ok(())
    }
}

fn slices(parts: &[Vec<u8>]) -> Vec<&[u8]> {
    parts.iter().map(Vec::as_slice).collect()
}
