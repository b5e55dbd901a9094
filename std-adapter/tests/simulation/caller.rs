//! What a caller does: sends its request and its data, reads the response and what comes beside it.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hgrpc::cbor::ArgsWriter;
use hgrpc_std::blocking::CallError;
use hgrpc_std::engine::client::{Content, Data, Note, NoteRoute, NoteWriter, Outgoing, Unsent};

use crate::bell::Bell;
use crate::call::{Call, End, Stage, UploadState};
use crate::client_end::ClientEnd;
use crate::handler::{Next, data, padding};
use crate::plan::{DataPlan, NotesPlan, Plan, UploadEnd};
use crate::random::{Random, bytes};

impl Call {
    pub(crate) fn new(number: usize, plan: Plan, revision: hgrpc::Revision) -> (Self, Outgoing) {
        let mut memory = vec![0; plan.padding + 100];
        let mut args = ArgsWriter::new(&mut memory, revision.key_order());
        args.u64(b"call", u64::try_from(number).unwrap()).unwrap();
        let padding = bytes(padding(number), 0, plan.padding);
        args.bytes(b"padding", &padding).unwrap();
        let args = args.finish().unwrap().as_cbor().to_vec();
        let mut queue = None;
        let notes = match plan.notes {
            NotesPlan::Ignored => NoteRoute::Ignored,
            NotesPlan::Direct => NoteRoute::Direct,
            NotesPlan::Read(_) | NotesPlan::Abandoned(_) => {
                let (writer, notes) = NoteWriter::queue();
                queue = Some(notes);
                NoteRoute::Queued(writer)
            }
        };
        let outgoing = Outgoing {
            command: plan.name.into(),
            args,
            redirect: None,
            data: match plan.data {
                DataPlan::None => Data::None,
                DataPlan::Whole(len) => Data::Whole(bytes(data(number), 0, len).into()),
                DataPlan::Streamed(..) => Data::Streamed,
            },
            notes,
        };
        let call = Self {
            number,
            has_run: false,
            said: None,
            offset: 0,
            written: Vec::new(),
            texts: 0,
            updates: 0,
            data_read: 0,
            has_read_all: false,
            is_given_up: false,
            stage: Stage::Waiting,
            conn: None,
            key: None,
            content: Content::new(revision),
            read: 0,
            last_empty: 0,
            is_asleep_until: None,
            end: None,
            uploaded: match plan.data {
                DataPlan::Whole(len) => len,
                _ => 0,
            },
            upload: UploadState::None,
            upload_bell: Arc::default(),
            upload_asleep_until: None,
            notes_over: queue.is_none(),
            notes: queue,
            notes_bell: Arc::default(),
            notes_asleep_until: None,
            texts_read: 0,
            last_update: 0,
            plan,
        };
        (call, outgoing)
    }

    /// Begins the call, if there is a place.
    ///
    /// # Errors
    /// It was not sent.
    pub(crate) fn begin(
        &mut self,
        conn: usize,
        client: &mut ClientEnd,
        outgoing: Outgoing,
        now: u64,
    ) -> Result<(), Box<Unsent>> {
        let takes_place = !client.is_over();
        client.places -= usize::from(takes_place);
        match client.with(|engine| engine.call(outgoing)) {
            Ok(key) => {
                self.conn = Some(conn);
                self.key = Some(key);
                self.stage = Stage::Sending;
                self.last_empty = now;
                Ok(())
            }
            Err(unsent) => {
                client.places += usize::from(takes_place);
                Err(unsent)
            }
        }
    }

    /// Waits for the request to be sent.
    pub(crate) fn send(
        &mut self,
        client: &mut ClientEnd,
        waker: &Waker,
    ) -> Result<Next, Box<Unsent>> {
        let key = self.key.unwrap();
        if self.plan.reader.drop_at_once {
            client.with(|engine| {
                engine.call_dropped(key);
                if matches!(self.plan.data, DataPlan::Streamed(..)) {
                    engine.upload_ended(key);
                }
            });
            self.end = Some(End::Dropped);
            return Ok(Next::Over);
        }
        match client.with(|engine| engine.poll_sent(key, waker)) {
            Poll::Pending => Ok(Next::Wait(None)),
            Poll::Ready(Err(unsent)) => {
                self.key = None;
                Err(unsent)
            }
            Poll::Ready(Ok(_)) => {
                if matches!(self.plan.data, DataPlan::Streamed(..)) {
                    self.upload = UploadState::Running;
                    self.upload_bell.ring();
                    client.uploads += 1;
                }
                self.stage = match self.plan.reader.waits_for_opening {
                    true => Stage::Opening,
                    false => Stage::Reading,
                };
                Ok(Next::Again)
            }
        }
    }

    /// Waits for the response to begin.
    pub(crate) fn open(
        &mut self,
        now: u64,
        client: &mut ClientEnd,
        random: &mut Random,
        waker: &Waker,
    ) -> Next {
        let key = self.key.unwrap();
        let opened = client.with(|engine| {
            let opened = engine.poll_opened(key, waker);
            opened.map_ok(|redirect| redirect.is_some())
        });
        match opened {
            Poll::Pending => Next::Wait(None),
            Poll::Ready(Ok(false)) => {
                self.stage = Stage::Reading;
                Next::Again
            }
            Poll::Ready(Ok(true)) => self.ended(now, client, random, End::Redirected),
            Poll::Ready(Err(error)) => self.ended(now, client, random, End::Failed(error)),
        }
    }

    /// Reads the response.
    pub(crate) fn read(
        &mut self,
        now: u64,
        client: &mut ClientEnd,
        random: &mut Random,
        bell: &Arc<Bell>,
    ) -> Next {
        if let Some(until) = self.is_asleep_until {
            if now < until {
                return Next::Wait(Some(until));
            }
            self.is_asleep_until = None;
        }
        let key = self.key.unwrap();
        if self
            .plan
            .reader
            .drop_after
            .is_some_and(|at| self.read >= at)
        {
            return self.ended(now, client, random, End::Dropped);
        }
        if self
            .plan
            .reader
            .hangs_after
            .is_some_and(|at| self.read >= at)
        {
            self.stage = Stage::Hanging;
            return Next::Over;
        }
        let waker = Waker::from(Arc::clone(bell));
        let more = || match client.with(|engine| engine.poll_read(key, &waker)) {
            Poll::Ready(read) => Some(read),
            Poll::Pending => None,
        };
        let got = match self.plan.is_raw {
            true => {
                let raw = self.content.raw(more);
                raw.map(|raw| raw.map(|()| self.content.bytes().len()))
            }
            false => self.content.content(more),
        };
        match got {
            None => {
                self.last_empty = now;
                Next::Wait(None)
            }
            Some(Ok(0)) => self.ended(now, client, random, End::Answered),
            Some(Ok(len)) => {
                let len = 1 + random.below(len);
                let bytes = &self.content.bytes()[..len];
                let written = self.written.get(self.read..self.read + len);
                assert!(
                    written == Some(bytes),
                    "call {}: {len} bytes at {} of {} differ",
                    self.number,
                    self.read,
                    self.written.len()
                );
                match self.plan.is_raw {
                    true => self.content.consume(len),
                    false => self.content.consume_content(len),
                }
                self.read += len;
                let pause = random.millis(self.plan.reader.pause);
                self.is_asleep_until = (pause > 0).then(|| now + pause);
                Next::Again
            }
            Some(Err(error)) => self.ended(now, client, random, End::Failed(error)),
        }
    }

    /// It has ended; it may be kept for a while.
    fn ended(&mut self, now: u64, client: &mut ClientEnd, random: &mut Random, end: End) -> Next {
        let is_kept = !matches!(end, End::Dropped) && random.percent(25);
        self.end = Some(end);
        if is_kept {
            self.stage = Stage::Kept;
            let until = now + random.pick(&[0, 20, 3000]);
            self.is_asleep_until = Some(until);
            return Next::Wait(Some(until));
        }
        self.drop_ended(client)
    }

    /// Looks at a call that has ended: it still has the same end. Then nobody has it any more.
    pub(crate) fn drop_ended(&mut self, client: &mut ClientEnd) -> Next {
        let key = self.key.unwrap();
        let again = client.with(|engine| engine.poll_read(key, Waker::noop()));
        match (self.end.as_ref().unwrap(), again) {
            (End::Dropped, _) => {}
            (End::Answered, Poll::Ready(Ok(None))) => {}
            (End::Redirected, Poll::Ready(Err(CallError::Answer(_)))) => {}
            (End::Failed(error), Poll::Ready(Err(again))) => {
                assert_eq!(error.to_string(), again.to_string(), "two ends");
            }
            (end, again) => panic!("call {}: two ends, {end:?} and {again:?}", self.number),
        }
        client.with(|engine| engine.call_dropped(key));
        self.stage = Stage::Over;
        Next::Over
    }

    /// Hands in data.
    pub(crate) fn upload(&mut self, now: u64, client: &mut ClientEnd, random: &mut Random) -> Next {
        let DataPlan::Streamed(len, piece, pause, end) = self.plan.data else {
            return Next::Over;
        };
        if !matches!(self.upload, UploadState::Running | UploadState::Hanging) {
            return Next::Over;
        }
        if let Some(until) = self.upload_asleep_until {
            if now < until {
                return Next::Wait(Some(until));
            }
            self.upload_asleep_until = None;
        }
        let key = self.key.unwrap();
        let waker = Waker::from(Arc::clone(&self.upload_bell));
        match client.with(|engine| engine.poll_wants_data(key, &waker)) {
            Poll::Pending => return Next::Wait(None),
            Poll::Ready(false) => {
                let state = match self.uploaded == len && end == UploadEnd::Complete {
                    true => UploadState::Complete,
                    false => UploadState::Cut,
                };
                return self.upload_over(client, state);
            }
            Poll::Ready(true) => {}
        }
        let is_ended = self.uploaded == len;
        match end {
            UploadEnd::Fails if is_ended || random.percent(20) => {
                let error = io::Error::other("the source has failed");
                self.upload = UploadState::Failed;
                client.with(|engine| {
                    engine.upload_failed(key, CallError::Source(Arc::new(error)));
                });
                return self.upload_over(client, UploadState::Failed);
            }
            UploadEnd::Hangs if is_ended || random.percent(20) => {
                self.upload = UploadState::Hanging;
                return Next::Wait(None);
            }
            _ if is_ended => return self.upload_over(client, UploadState::Complete),
            _ => {}
        }
        let piece = (1 + random.below(piece)).min(len - self.uploaded);
        let bytes = Bytes::from(bytes(data(self.number), self.uploaded, piece));
        self.uploaded += piece;
        client.with(|engine| engine.upload(key, bytes));
        let pause = random.millis(pause);
        self.upload_asleep_until = (pause > 0).then(|| now + pause);
        Next::Again
    }

    pub(crate) fn upload_over(&mut self, client: &mut ClientEnd, state: UploadState) -> Next {
        let key = self.key.unwrap();
        self.upload = state;
        client.uploads -= 1;
        client.with(|engine| engine.upload_ended(key));
        client.look();
        Next::Over
    }

    /// Reads what comes beside the response.
    pub(crate) fn read_notes(&mut self, now: u64, random: &mut Random) -> Next {
        if let Some(until) = self.notes_asleep_until {
            if now < until {
                return Next::Wait(Some(until));
            }
            self.notes_asleep_until = None;
        }
        let Some(queue) = self.notes.clone() else {
            return Next::Over;
        };
        let waker = Waker::from(Arc::clone(&self.notes_bell));
        match queue.poll_event(&Context::from_waker(&waker)) {
            Poll::Pending => return Next::Wait(None),
            Poll::Ready(None) => {
                self.notes_over = true;
                return Next::Over;
            }
            Poll::Ready(Some(event)) => self.note(&event),
        }
        match self.plan.notes {
            NotesPlan::Abandoned(after) if self.texts_read >= after => {
                queue.abandon();
                self.notes_over = true;
                return Next::Over;
            }
            NotesPlan::Read(pause) if pause > 0 => {
                self.notes_asleep_until = Some(now + random.millis(pause));
            }
            _ => {}
        }
        Next::Again
    }

    /// Something came beside the response.
    pub(crate) fn note(&mut self, event: &Note) {
        match event {
            Note::Text(text) => {
                let expected = format!("{}/{}", self.number, self.texts_read);
                assert_eq!(text.atoms().to_string(), expected, "a text is out of order");
                self.texts_read += 1;
                assert!(self.texts_read <= self.texts, "a text that was not sent");
            }
            Note::Progress(update) => {
                let update = update.progress();
                assert_eq!(update.topic.to_string(), self.number.to_string());
                assert!(update.pos > self.last_update, "an update is out of order");
                self.last_update = update.pos;
            }
            other => panic!("{other:?}"),
        }
    }

    /// Checks that all came beside a response that ended well.
    pub(crate) fn assert_noted(&self) {
        let is_read = matches!(self.plan.notes, NotesPlan::Direct | NotesPlan::Read(_));
        if is_read && matches!(self.end, Some(End::Answered)) {
            assert_eq!(
                self.texts_read, self.texts,
                "call {}: texts are missing",
                self.number
            );
        }
    }
}
