//! Random answers, given by both servers.

use std::collections::VecDeque;

use hgrpc::next::output::Output;
use hgrpc::next::server::{Refusal, Reply};

use super::fixtures::{ARGS, BODY, Failing, Kind, LINES, MESSAGES, OBJECTS, TEXTS};
use super::judge::server::{Answer, Body, Failure, Push, Rejection, Responder, ResponseWriter};
use super::judge::wire::OutFrame;
use super::pair::{Backing, Chosen, Lane, Pair};
use super::rng::Rng;
use super::{Counts, judge};

/// A command that is not answered yet.
pub(super) struct Open {
    pub(super) id: u16,
    first: Writing,
    second: Reply,
    job: Job,
    /// The stream on which its response has begun.
    lane: Option<u8>,
    scratch: Vec<u8>,
    /// A piece was taken, and what opens a response before it.
    has_status: bool,
    /// Its request was refused while it ran, or taken over, or is of an earlier connection.
    pub(super) is_dead: bool,
    /// A failure was refused after output had begun: nothing but another follows.
    must_fail: bool,
}

/// The first server's half.
enum Writing {
    Token(Responder),
    Writer(ResponseWriter),
    Answer(Box<Answer<'static>>),
    /// It went into a call that failed.
    Lost,
}

/// What is being written.
enum Job {
    Idle,
    /// An [`Answer`] of the first server.
    Script(VecDeque<Call>),
    Piece {
        piece: &'static [u8],
        rest: &'static [u8],
    },
    /// The last piece, or what was flushed, and the end.
    Last {
        piece: &'static [u8],
        rest: &'static [u8],
        is_taken: bool,
    },
    Fail(Failing, Box<Failure<'static>>),
    Redirect {
        status: &'static [u8],
        script: VecDeque<Call>,
        is_sent: bool,
    },
}

/// A call of the second server's.
enum Call {
    Respond(&'static [u8], bool),
    Redirect(&'static [u8]),
    Fail(Failing),
}

type Frame = Option<Vec<u8>>;

/// What a step led to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// More is to be done.
    Continues,
    Done,
    /// Both refused.
    Refused,
    /// The stream has ended with the frame, so that the first server cannot say that the piece was
    /// taken.
    Abandoned,
}

fn bytes(frame: &OutFrame<'_>) -> Vec<u8> {
    frame.as_slices().concat()
}

fn pushed(push: Result<Push<'_>, judge::ApiMisuse>) -> Result<Option<Vec<u8>>, judge::ApiMisuse> {
    Ok(match push? {
        Push::Taken => None,
        Push::Frame(frame) => Some(bytes(&frame)),
    })
}

impl Open {
    pub(super) fn new(id: u16, first: Responder, second: Reply) -> Self {
        Self {
            id,
            first: Writing::Token(first),
            second,
            job: Job::Idle,
            lane: None,
            scratch: Vec::new(),
            has_status: false,
            is_dead: false,
            must_fail: false,
        }
    }

    fn is_idle(&self) -> bool {
        matches!(self.job, Job::Idle)
    }
}

/// What both servers are asked to answer.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) opens: Vec<Open>,
    pub(super) refusals: Vec<(Rejection, Refusal)>,
}

/// What every step needs.
pub(super) struct Context<'c> {
    pub(super) rng: &'c mut Rng,
    pub(super) counts: &'c mut Counts,
    pub(super) trace: bool,
}

impl Context<'_> {
    fn trace(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("  {}", what());
        }
    }

    /// Compares the frame that one call gave, or the error.
    fn compare(
        &mut self,
        what: &str,
        first: Result<Frame, judge::ApiMisuse>,
        second: Result<(Frame, bool), hgrpc::ApiMisuse>,
        has_faults: bool,
    ) -> Result<Outcome, String> {
        self.trace(|| format!("{what}: {}", shown(&second)));
        match (first, second) {
            (Ok(first), Ok((second, is_done))) if first == second => {
                if let Some(frame) = &second {
                    self.counts.add("frames");
                    let len = u64::try_from(frame.len()).unwrap_or(0);
                    self.counts.add_many("bytes of frames", len);
                } else if !is_done {
                    return Err(format!("{what}: no frame, and not done"));
                }
                Ok(match is_done {
                    true => Outcome::Done,
                    false => Outcome::Continues,
                })
            }
            (Err(first), Err(second)) if first.name() == second.name() => {
                self.counts.add(&format!("misuse {}", first.name()));
                Ok(Outcome::Refused)
            }
            (Err(first), Err(second)) if has_faults => {
                let both = format!("misuse {} or {}", first.name(), second.name());
                self.counts.add(&both);
                Ok(Outcome::Refused)
            }
            (first, second) => Err(format!(
                "{what}:\n  first  {}\n  second {}",
                shown(&first.map(|frame| (frame, true))),
                shown(&second)
            )),
        }
    }
}

fn shown<E: core::fmt::Debug>(result: &Result<(Frame, bool), E>) -> String {
    match result {
        Ok((None, is_done)) => format!("no frame, {is_done}"),
        Ok((Some(frame), is_done)) => format!("{}, {is_done}", crate::bytes::hex(frame)),
        Err(error) => format!("{error:?}"),
    }
}

/// The frame of a call of the second server's. The first call after a response came to nothing may
/// give none: it drops what was joined for that.
fn made(
    lane: &mut Lane<'_>,
    mut call: impl FnMut(&mut Output<'_>) -> Result<bool, hgrpc::ApiMisuse>,
) -> Result<(Frame, bool), hgrpc::ApiMisuse> {
    let mut is_done = call(&mut lane.second)?;
    if !is_done && lane.second.frame().is_empty() && std::mem::take(&mut lane.is_stale) {
        is_done = call(&mut lane.second)?;
    }
    let frame = lane.second.frame();
    Ok(((!frame.is_empty()).then(|| frame.to_vec()), is_done))
}

impl<C: Chosen, T: Backing> Pair<'_, C, T> {
    /// Does something about what waits.
    pub(super) fn act(
        &mut self,
        waiting: &mut Waiting,
        context: &mut Context<'_>,
    ) -> Result<(), String> {
        if context.rng.chance(4) || self.lanes.is_empty() {
            self.change_streams(waiting, context)?;
        }
        if self.lanes.is_empty() {
            return Ok(());
        }
        if !waiting.refusals.is_empty() && context.rng.chance(40) {
            return self.refuse(waiting, context);
        }
        if waiting.opens.is_empty() {
            return Ok(());
        }
        let index = context.rng.below(waiting.opens.len());
        let open = &mut waiting.opens[index];
        if context.rng.chance(5) && !open.is_dead && open.is_idle() && open.lane.is_none() {
            let taken = self.take_over(open, context)?;
            if let Some(new) = taken {
                let mut old = std::mem::replace(open, new);
                old.is_dead = true;
                waiting.opens.push(old);
            }
            return Ok(());
        }
        let Some(lane) = self.choose_lane(open, context) else {
            return Ok(());
        };
        if context.rng.chance(12) {
            return self.note(open, lane, context);
        }
        let in_one_go = context.rng.chance(60)
            || (self.revision().has_settings() && matches!(open.job, Job::Script(_)));
        loop {
            if open.is_idle() {
                self.begin(open, lane, context);
            }
            if open.is_idle() {
                return Ok(());
            }
            let is_ending = !matches!(open.job, Job::Piece { .. });
            let outcome = self.step(open, lane, context)?;
            self.agree_on_lane(lane)?;
            if outcome != Outcome::Refused && open.lane.is_none() {
                open.lane = Some(self.lanes[lane].second.stream().id().value());
            }
            match outcome {
                Outcome::Continues if in_one_go => {}
                Outcome::Continues => return Ok(()),
                Outcome::Abandoned => {
                    waiting.opens.swap_remove(index);
                    return Ok(());
                }
                Outcome::Done if is_ending => {
                    self.check_stale(open, lane)?;
                    waiting.opens.swap_remove(index);
                    return Ok(());
                }
                Outcome::Done => {
                    open.job = Job::Idle;
                    return Ok(());
                }
                Outcome::Refused => {
                    self.after_refused(waiting, index, lane, context)?;
                    return Ok(());
                }
            }
        }
    }

    /// What becomes of an answer that neither server took.
    fn after_refused(
        &mut self,
        waiting: &mut Waiting,
        index: usize,
        lane: usize,
        context: &mut Context<'_>,
    ) -> Result<(), String> {
        let open = &mut waiting.opens[index];
        let has_begun = match &open.first {
            Writing::Writer(writer) => writer.has_begun(),
            _ => open.lane.is_some(),
        };
        if open.is_dead || (has_begun && self.lanes[lane].is_ended) {
            waiting.opens.swap_remove(index);
            return Ok(());
        }
        match &open.first {
            Writing::Writer(_) => {
                open.must_fail |= has_begun && matches!(open.job, Job::Fail(..));
                open.job = Job::Idle;
            }
            Writing::Token(_) => open.job = Job::Idle,
            Writing::Answer(_) | Writing::Lost => {
                // Where frames are tiny nothing fits.
                if has_begun || (self.setup.frame() < 11 && context.rng.chance(70)) {
                    waiting.opens.swap_remove(index);
                    return Ok(());
                }
                match self.take_over(open, context)? {
                    Some(new) => *open = new,
                    None => {
                        waiting.opens.swap_remove(index);
                    }
                }
            }
        }
        Ok(())
    }

    /// Both have the same notion of what became of the stream.
    fn agree_on_lane(&mut self, lane: usize) -> Result<(), String> {
        let lane = &mut self.lanes[lane];
        lane.is_ended = lane.first.is_ended();
        if lane.is_ended == lane.second.stream().is_ended() {
            Ok(())
        } else {
            Err("one of the streams has ended".into())
        }
    }

    fn change_streams(
        &mut self,
        waiting: &Waiting,
        context: &mut Context<'_>,
    ) -> Result<(), String> {
        // The only stream has no others beside it, nor after it: the second server knows nothing of it.
        if self.has_only && self.lanes.is_empty() {
            return Ok(());
        }
        if self.lanes.len() < if self.has_only { 1 } else { 3 }
            && (self.lanes.is_empty() || context.rng.chance(50))
        {
            if !self.has_opened && context.rng.chance(20) {
                self.has_opened = true;
                return self.open_only_stream();
            }
            self.has_opened = true;
            let all = ["zstd-8mb", "zlib", "identity"];
            let wanted = match context.rng.chance(30) {
                true => &all[context.rng.below(3)..],
                false => &[],
            };
            return self.open_stream(wanted);
        }
        let index = context.rng.below(self.lanes.len());
        let has_settings = self.revision().has_settings();
        let lane = &mut self.lanes[index];
        if lane.is_ended {
            if self.has_only {
                // Another one would be mixed with it.
                return Ok(());
            }
            return self.close_stream(index);
        }
        let id = lane.second.stream().id().value();
        let is_free = lane.joined.is_none() && waiting.opens.iter().all(|o| o.lane != Some(id));
        if is_free || !has_settings {
            context.trace(|| format!("end stream {id} with its next frame"));
            lane.first.end_with_next();
            lane.second.stream_mut().end_with_next();
        }
        Ok(())
    }

    /// Where an answer goes on. In 0006 the second server sends what is joined for one response
    /// before a frame of another, which the first one does not: then the stream is left alone.
    fn choose_lane(&self, open: &Open, context: &mut Context<'_>) -> Option<usize> {
        let has_settings = self.revision().has_settings();
        let index = match open.lane {
            Some(id) if has_settings || context.rng.chance(90) => {
                let mut lanes = self.lanes.iter();
                lanes.position(|lane| lane.second.stream().id().value() == id)
            }
            _ => None,
        };
        let index = match index {
            Some(index) => index,
            // Its stream was closed.
            None if open.lane.is_some() && has_settings && !open.is_dead => return None,
            None => context.rng.below(self.lanes.len()),
        };
        let lane = &self.lanes[index];
        let is_blocked = lane.joined.is_some_and(|id| id != open.id || open.is_dead);
        (!is_blocked).then_some(index)
    }

    fn is_encoded(&self, lane: usize) -> bool {
        self.revision().has_settings()
            && self.lanes[lane].second.stream().encoding().name() != "identity"
    }

    fn has_faults(&self, open: &Open, lane: usize) -> bool {
        open.is_dead || self.lanes[lane].is_ended || self.setup.frame() < 11
    }

    fn take_over(
        &mut self,
        open: &Open,
        context: &mut Context<'_>,
    ) -> Result<Option<Open>, String> {
        context.trace(|| format!("take over {}", open.id));
        let first = self
            .first
            .take_over(&mut *self.table, judge::wire::RequestId::new(open.id));
        let second = self.second.take_over(hgrpc::wire::RequestId::new(open.id));
        match (first, second) {
            (Some(first), Some(second)) => {
                context.counts.add("taken over");
                Ok(Some(Open::new(open.id, first, second)))
            }
            (None, None) => Ok(None),
            (first, second) => Err(format!("take_over: {first:?}, {second:?}")),
        }
    }

    /// After its end an answer's token is of no use.
    fn check_stale(&mut self, open: &Open, lane: usize) -> Result<(), String> {
        let out = &mut self.lanes[lane].second;
        match self.second.respond(&open.second, &mut &b"x"[..], true, out) {
            Err(_) if out.frame().is_empty() => Ok(()),
            other => Err(format!("a stale token: {other:?}")),
        }
    }

    fn refuse(&mut self, waiting: &mut Waiting, context: &mut Context<'_>) -> Result<(), String> {
        let index = context.rng.below(waiting.refusals.len());
        let lane_index = context.rng.below(self.lanes.len());
        let lane = &mut self.lanes[lane_index];
        if lane.joined.is_some() {
            return Ok(());
        }
        let (rejection, refusal) = waiting.refusals.swap_remove(index);
        let mut answer = self.first.reject(rejection);
        let mut out = self.first.output(&mut *self.table, &mut lane.first);
        let first = answer.next_frame(&mut out);
        let first = first.map(|frame| frame.map(|frame| bytes(&frame)));
        let server = &mut self.second;
        let second = made(lane, |out| server.refuse(&refusal, out));
        let has_faults = lane.is_ended;
        context.compare("refuse", first, second, has_faults)?;
        self.agree_on_lane(lane_index)
    }

    /// Text output or progress.
    fn note(
        &mut self,
        open: &Open,
        lane_index: usize,
        context: &mut Context<'_>,
    ) -> Result<(), String> {
        let has_faults = self.has_faults(open, lane_index) || !self.second.peer_takes_notes();
        let frame = self.setup.frame();
        let lane = &mut self.lanes[lane_index];
        if lane.joined.is_some() {
            return Ok(());
        }
        let responder = match &open.first {
            Writing::Token(responder) => responder,
            Writing::Writer(writer) => writer.responder(),
            Writing::Answer(answer) => answer.responder(),
            Writing::Lost => return Ok(()),
        };
        let mut buffer = vec![0; frame];
        let (what, side, second) = if context.rng.chance(50) {
            let lines: Vec<_> = (0..context.rng.below(3))
                .map(|_| &LINES[context.rng.below(LINES.len())])
                .collect();
            macro_rules! atoms {
                ($core:ident) => {
                    lines
                        .iter()
                        .map(|line| $core::cbor::Atom {
                            msg: line.msg,
                            args: line.args,
                            labels: line.labels,
                        })
                        .collect::<Vec<_>>()
                };
            }
            let side = self
                .first
                .text_output(responder, &atoms!(judge), &mut buffer);
            let (server, atoms) = (&mut self.second, atoms!(hgrpc));
            let second = made(lane, |out| server.text(&open.second, &atoms, out));
            ("text", side, second)
        } else {
            let topic = context.rng.pick(&TEXTS);
            let pos = context.rng.pick(&[-1, 0, 7, 70_000]);
            let total = context.rng.pick(&[0, 100, u64::MAX]);
            let label = context.rng.chance(40).then(|| context.rng.pick(&TEXTS));
            let item = context.rng.chance(40).then(|| context.rng.pick(&TEXTS));
            macro_rules! progress {
                ($core:ident) => {{
                    let mut progress = $core::cbor::Progress::new(topic, pos, total);
                    progress.label = label.map($core::cbor::Text::new);
                    progress.item = item.map($core::cbor::Text::new);
                    progress
                }};
            }
            let side = self
                .first
                .progress(responder, &progress!(judge), &mut buffer);
            let (server, progress) = (&mut self.second, progress!(hgrpc));
            let second = made(lane, |out| server.progress(&open.second, &progress, out));
            ("progress", side, second)
        };
        let first = side.and_then(|mut side| {
            let mut out = self.first.output(&mut *self.table, &mut lane.first);
            let frame = side.next_frame(&mut out)?;
            Ok(frame.map(|frame| bytes(&frame)))
        });
        context.compare(what, first, second, has_faults)?;
        context.counts.add(what);
        self.agree_on_lane(lane_index)
    }
}

impl<C: Chosen, T: Backing> Pair<'_, C, T> {
    /// Thinks of what to write next.
    fn begin(&mut self, open: &mut Open, lane: usize, context: &mut Context<'_>) {
        let rng = &mut *context.rng;
        let frame = self.setup.frame();
        let revision = self.revision();
        let has_settings = revision.has_settings();
        let is_encoded = self.is_encoded(lane);
        let len = match rng.below(10) {
            0 => 0,
            1..=5 => rng.below(frame + 2),
            6..=8 => rng.below(2 * frame + 2),
            _ => rng.below(BODY.len()),
        };
        let len = len.min(12 * frame).min(BODY.len());
        let body = &BODY[..len];
        let failing = self.failing(rng);
        let mut begun = false;
        if let Writing::Token(_) = open.first {
            let kind = rng.below(10);
            let is_whole = kind < 6 && (!is_encoded || kind == 3);
            if is_whole || frame < 11 {
                let (body, script) = match kind {
                    0..=1 => (Body::Bytes(body), [Call::Respond(body, true)].into()),
                    2 | 4 => {
                        let start = rng.below(OBJECTS.len());
                        let end = start + rng.below(OBJECTS.len() - start + 1);
                        let body = Body::Objects(&OBJECTS[start..end]);
                        let mut script: VecDeque<_> = [Call::Respond(&[], false)].into();
                        script.extend(body.pieces().map(|piece| Call::Respond(piece, false)));
                        script.push_back(Call::Respond(&[], true));
                        (body, script)
                    }
                    // The settings of a stream are sent whatever fits.
                    5 if frame >= 11 => {
                        let status = &BODY[..rng.below(frame + 2)];
                        context.counts.add("redirects");
                        let script = [Call::Redirect(status), Call::Respond(&[], true)];
                        (Body::Redirect(status), script.into())
                    }
                    _ => (Body::Failure(failing.first()), [Call::Fail(failing)].into()),
                };
                if is_encoded && !matches!(body, Body::Failure(_)) {
                    return;
                }
                let Writing::Token(token) = std::mem::replace(&mut open.first, Writing::Lost)
                else {
                    return;
                };
                context.counts.add("whole answers");
                match self.first.respond(&*self.table, token, body) {
                    Ok(answer) => open.first = Writing::Answer(Box::new(answer)),
                    Err(error) => open.scratch = error.name().into(),
                }
                open.job = Job::Script(script);
                return;
            }
            let Writing::Token(token) = std::mem::replace(&mut open.first, Writing::Lost) else {
                return;
            };
            open.scratch = vec![0; self.setup.room];
            context.counts.add("answers in pieces");
            match self.first.begin_response(&*self.table, token) {
                Ok(writer) => open.first = Writing::Writer(writer),
                Err(error) => {
                    open.scratch = error.name().into();
                    open.job = Job::Script([Call::Respond(&[], false)].into());
                    return;
                }
            }
        }
        if let Writing::Writer(writer) = &open.first {
            begun = writer.has_begun();
        }
        let kind = if open.must_fail { 8 } else { rng.below(12) };
        open.job = match kind {
            // An answer of 0005 that is opened by its end is a whole one.
            _ if !begun && !has_settings && kind != 8 && kind != 9 => Job::Piece {
                piece: &[],
                rest: &[],
            },
            // What opens a response is not joined with what another has there.
            0..=5 => Job::Piece {
                piece: body,
                rest: body,
            },
            6 => Job::Last {
                piece: &[],
                rest: &[],
                is_taken: false,
            },
            7 if begun => Job::Last {
                piece: body,
                rest: body,
                is_taken: false,
            },
            8 => Job::Fail(failing, Box::new(failing.first())),
            9 => {
                let status = &BODY[..rng.below(frame + 2)];
                Job::Redirect {
                    status,
                    script: [Call::Redirect(status), Call::Respond(&[], true)].into(),
                    is_sent: false,
                }
            }
            _ => Job::Piece {
                piece: &[],
                rest: &[],
            },
        };
    }

    fn failing(&self, rng: &mut Rng) -> Failing {
        let message = rng.pick(&MESSAGES);
        let kind = match rng.below(6) {
            0..=2 => Kind::Command,
            3 | 4 => Kind::Server,
            _ => Kind::Raw(rng.chance(50), rng.chance(50)),
        };
        let mut has_args = rng.chance(30);
        let mut message = message;
        // The first server sends one that is empty whatever fits.
        if message.is_empty() && self.setup.frame() < 60 + ARGS.len() {
            message = b"no";
            has_args = false;
        }
        Failing {
            kind,
            message,
            has_args,
        }
    }

    /// Makes the next frame of what is being written, on both.
    fn step(
        &mut self,
        open: &mut Open,
        lane_index: usize,
        context: &mut Context<'_>,
    ) -> Result<Outcome, String> {
        let has_faults = self.has_faults(open, lane_index);
        let is_encoded = self.is_encoded(lane_index);
        let has_settings = self.revision().has_settings();
        let frame_len = self.setup.frame();
        let Pair {
            first,
            table,
            second,
            lanes,
            ..
        } = self;
        let lane = &mut lanes[lane_index];
        let Open {
            id,
            first: writing,
            second: reply,
            job,
            scratch,
            has_status,
            ..
        } = open;
        let id = *id;
        if let (Writing::Lost, Job::Script(script)) = (&*writing, &mut *job) {
            // The first server has refused already; the second must, too.
            let reason = String::from_utf8_lossy(scratch).into_owned();
            let result = play(second, reply, script, lane);
            context.trace(|| format!("{id}: refused ({reason}), {}", shown(&result)));
            return match result {
                Err(error) if error.name() == reason || has_faults => {
                    context.counts.add(&format!("misuse {}", error.name()));
                    Ok(Outcome::Refused)
                }
                other => Err(format!("first {reason}, second {}", shown(&other))),
            };
        }
        let mut out = first.output(&mut **table, &mut lane.first);
        match (job, writing) {
            (Job::Script(script), Writing::Answer(answer)) => {
                let result = answer.next_frame(&mut out, scratch_of(scratch, self.setup.room));
                let result = result.map(|frame| frame.map(|frame| bytes(&frame)));
                let played = play(second, reply, script, lane);
                let what = format!("{id}: answer");
                let outcome = context.compare(&what, result, played, has_faults)?;
                if outcome != Outcome::Refused && answer.is_ended() != (outcome == Outcome::Done) {
                    return Err("one of the answers has ended".into());
                }
                Ok(outcome)
            }
            (Job::Piece { piece, rest }, Writing::Writer(writer)) => {
                let is_header = !has_faults
                    && writer.has_begun()
                    && lane.joined.is_none()
                    && !lane.is_stale
                    && *has_status
                    && piece.len() == rest.len()
                    && (1..=frame_len).contains(&piece.len())
                    && context.rng.chance(20);
                if is_header {
                    let push = match is_encoded {
                        true => writer.push_encoded(&mut out, &mut [], piece),
                        false => writer.push(&mut out, &mut [], piece),
                    };
                    let result = pushed(push);
                    let header = second.respond_header(reply, piece.len(), false, &mut lane.second);
                    let made = header
                        .map(|header| (Some([header.emit().as_slice(), piece].concat()), true));
                    let outcome = context.compare("a header", result, made, false)?;
                    context.counts.add("frames from where they lie");
                    if outcome == Outcome::Done {
                        let mut out = first.output(&mut **table, &mut lane.first);
                        let again = pushed(writer.push(&mut out, &mut [], piece));
                        if lane.first.is_ended() {
                            return Ok(Outcome::Abandoned);
                        }
                        if again != Ok(None) {
                            return Err("a piece is left".into());
                        }
                    }
                    return Ok(outcome);
                }
                let push = match is_encoded {
                    true => writer.push_encoded(&mut out, scratch, piece),
                    false => writer.push(&mut out, scratch, piece),
                };
                let result = pushed(push);
                let made = made(lane, |out| second.respond(reply, rest, false, out));
                let has_frame = matches!(made, Ok((Some(_), _)));
                let what = format!("{id}: piece of {}", piece.len());
                let outcome = context.compare(&what, result, made, has_faults)?;
                if outcome == Outcome::Done {
                    if has_frame {
                        let mut out = first.output(&mut **table, &mut lane.first);
                        let push = match is_encoded {
                            true => writer.push_encoded(&mut out, scratch, piece),
                            false => writer.push(&mut out, scratch, piece),
                        };
                        let again = pushed(push);
                        if lane.first.is_ended() {
                            return Ok(Outcome::Abandoned);
                        }
                        if again != Ok(None) {
                            return Err(format!("a piece is left: {again:?}"));
                        }
                    }
                    *has_status = true;
                }
                if outcome != Outcome::Refused {
                    if has_frame {
                        lane.joined = None;
                    } else if has_settings && !piece.is_empty() {
                        lane.joined = Some(id);
                    }
                }
                Ok(outcome)
            }
            (
                Job::Last {
                    piece,
                    rest,
                    is_taken,
                },
                Writing::Writer(writer),
            ) => {
                let is_plain = has_settings && !is_encoded;
                let mut result = Ok(None);
                if is_plain && !*is_taken {
                    result = pushed(writer.push(&mut out, scratch, piece));
                    *is_taken = result == Ok(None);
                }
                if result == Ok(None) {
                    let mut out = first.output(&mut **table, &mut lane.first);
                    let frame = match is_plain || piece.is_empty() && !is_encoded {
                        true => writer.finish(&mut out, scratch),
                        false => writer.finish_encoded(&mut out, scratch, piece),
                    };
                    result = frame.map(|frame| frame.map(|frame| bytes(&frame)));
                }
                let made = made(lane, |out| second.respond(reply, rest, true, out));
                let what = format!("{id}: last {}", piece.len());
                let outcome = context.compare(&what, result, made, has_faults)?;
                if outcome != Outcome::Refused {
                    lane.joined = None;
                }
                if outcome == Outcome::Done {
                    let mut out = first.output(&mut **table, &mut lane.first);
                    let again = writer.finish_encoded(&mut out, scratch, piece);
                    if !matches!(again, Ok(None)) {
                        return Err(format!("frames are left: {again:?}"));
                    }
                }
                Ok(outcome)
            }
            (Job::Fail(failing, failure), Writing::Writer(writer)) => {
                let result = writer.fail(&mut out, scratch, &[], failure);
                let result = result.map(|frame| frame.map(|frame| bytes(&frame)));
                let made = made(lane, |out| second.fail(reply, &failing.second(), out));
                let what = format!("{id}: {failing:?}");
                let outcome = context.compare(&what, result, made, has_faults)?;
                if outcome != Outcome::Refused {
                    lane.joined = None;
                }
                context.counts.add("failures in pieces");
                Ok(outcome)
            }
            (
                Job::Redirect {
                    status,
                    script,
                    is_sent,
                },
                Writing::Writer(writer),
            ) => {
                let mut result = Ok(None);
                if !*is_sent {
                    result = writer.redirect(&mut out, status);
                    *is_sent = matches!(result, Ok(None));
                }
                if *is_sent {
                    let mut out = first.output(&mut **table, &mut lane.first);
                    result = match is_encoded {
                        true => writer.finish_encoded(&mut out, scratch, &[]),
                        false => writer.finish(&mut out, scratch),
                    };
                    let result = result.map(|frame| frame.map(|frame| bytes(&frame)));
                    let played = play(second, reply, script, lane);
                    context.counts.add("redirects");
                    return context.compare("redirect's end", result, played, has_faults);
                }
                let result = result.map(|frame| frame.map(|frame| bytes(&frame)));
                let played = play(second, reply, script, lane);
                let what = format!("{id}: redirect of {}", status.len());
                context.compare(&what, result, played, has_faults)
            }
            _ => Err("no such step".into()),
        }
    }
}

fn scratch_of(scratch: &mut Vec<u8>, len: usize) -> &mut [u8] {
    scratch.resize(len, 0);
    scratch
}

/// The second server's calls, up to the next frame.
fn play<P: hgrpc::Protocol, T: hgrpc::next::store::Requests>(
    second: &mut hgrpc::next::server::Server<P, T>,
    reply: &Reply,
    script: &mut VecDeque<Call>,
    lane: &mut Lane<'_>,
) -> Result<(Frame, bool), hgrpc::ApiMisuse> {
    while let Some(call) = script.front_mut() {
        let (frame, is_done) = made(lane, |out| match call {
            Call::Respond(rest, is_last) => second.respond(reply, rest, *is_last, out),
            Call::Redirect(status) => second.redirect(reply, status, out),
            Call::Fail(failing) => second.fail(reply, &failing.second(), out),
        })?;
        if is_done {
            script.pop_front();
        }
        if frame.is_some() || !is_done {
            return Ok((frame, script.is_empty()));
        }
    }
    Ok((None, true))
}
