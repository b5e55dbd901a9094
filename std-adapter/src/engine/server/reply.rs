//! What whoever has a reply does with it.

use std::io;
use std::task::Poll;

use hgrpc::ApiMisuse;
use hgrpc::cbor::{Atom, ContentEncoding, Location, Progress};

use super::Connection;
use super::compose::{AROUND, head};
use super::handle::has;
use super::note::OwnedNote;
use crate::encoding::EncodeError;
use crate::engine::Key;
use crate::host::{ConnectionError, Failure};

/// What became of something that was to be written.
#[derive(Clone, Debug)]
pub enum Written {
    /// So many bytes were taken; all of what is no bytes.
    Taken(usize),
    /// There is no room: [`Wake::Reply`](super::Wake::Reply) says when.
    Full,
    /// The reply has ended, or was never there.
    Closed,
    /// The encoder has failed; the reply can only be ended.
    Encoder(EncodeError),
    /// The connection has ended.
    Ended(ConnectionError),
}

impl Written {
    /// The same as I/O says it; pending where there is no room.
    pub(crate) fn into_poll(self) -> Poll<io::Result<usize>> {
        Poll::Ready(match self {
            Self::Full => return Poll::Pending,
            Self::Taken(len) => Ok(len),
            Self::Closed => Err(io::ErrorKind::BrokenPipe.into()),
            Self::Encoder(error) => Err(io::Error::other(error)),
            Self::Ended(error) => Err(error.into()),
        })
    }

    /// What ending a reply came to: that it had ended is no error.
    pub(crate) fn into_end(self) -> io::Result<()> {
        match self {
            Self::Ended(error) => Err(error.into()),
            Self::Encoder(error) => Err(io::Error::other(error)),
            _ => Ok(()),
        }
    }
}

/// Small answers are put together here.
const SMALL: usize = 512;

impl Connection {
    /// Adds bytes to a reply, as many as there is room for, at most a frame: in 0006 to a byte string.
    pub fn write(&mut self, key: Key, bytes: &[u8]) -> Written {
        if let Err(refused) = self.may_write(key) {
            return refused;
        }
        let Some((running, mut context)) = self.composing(key) else {
            return Written::Closed;
        };
        let result = running.composer.add_some(bytes, &mut context);
        self.written(key, result)
    }

    /// Adds values to a reply, which are known to be some, one behind another.
    pub fn write_values(&mut self, key: Key, values: &[u8]) -> Written {
        if let Err(refused) = self.may_write(key) {
            return refused;
        }
        let Some((running, mut context)) = self.composing(key) else {
            return Written::Closed;
        };
        let result = running.composer.add_values(values, &mut context);
        self.written(key, result.map(|()| values.len()))
    }

    /// Adds a byte string of `len` bytes to a reply, which are [content](Self::write_content).
    pub fn begin_bytes(&mut self, key: Key, len: u64) -> Written {
        if let Err(refused) = self.may_write(key) {
            return refused;
        }
        let Some((running, mut context)) = self.composing(key) else {
            return Written::Closed;
        };
        let result = running.composer.begin_bytes(len, &mut context);
        self.written(key, result.map(|()| 0))
    }

    /// Adds content of a byte string that was begun, as many bytes as there is room for, at most a
    /// frame. Whoever has the reply adds exactly as many as were announced.
    pub fn write_content(&mut self, key: Key, bytes: &[u8]) -> Written {
        if let Err(refused) = self.may_write(key) {
            return refused;
        }
        let Some((running, mut context)) = self.composing(key) else {
            return Written::Closed;
        };
        let result = running.composer.add_content(bytes, &mut context);
        self.written(key, result)
    }

    /// Ends a reply by saying where it is instead (0006; revision-0006.md, 7.5).
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfOrder`]: something was written before.
    /// [`ApiMisuse::NotInThisRevision`]: before 0006. [`ApiMisuse::TooLarge`]: the location does not
    /// fit a frame. The reply has not ended then.
    pub fn redirect(&mut self, key: Key, location: &Location<'_>) -> Result<Written, ApiMisuse> {
        if let Some(error) = &self.ended {
            return Ok(Written::Ended(error.clone()));
        }
        if !self.shared.config.revision.has_settings() {
            return Err(ApiMisuse::NotInThisRevision);
        }
        // An encoder makes what cannot be compressed a few bytes longer.
        let mut status = vec![0; self.frame_size().saturating_sub(AROUND)];
        let len = location.encode_status(&mut status)?;
        status.truncate(len);
        let Some((running, mut context)) = self.composing(key) else {
            return Ok(Written::Closed);
        };
        if running.has & has::ENDED != 0 || !running.composer.is_new() {
            return Err(ApiMisuse::OutOfOrder);
        }
        running.has = running.has & !has::REPLY | has::ENDED;
        let result = running.composer.redirect(&status, &mut context);
        Ok(self.ended_with(key, result))
    }

    /// Sends what was written so far. [`Written::Full`]: until it was made into frames, when this is
    /// called again.
    pub fn flush(&mut self, key: Key) -> Written {
        if let Some(error) = &self.ended {
            return Written::Ended(error.clone());
        }
        let Some((running, mut context)) = self.composing(key) else {
            return Written::Closed;
        };
        if running.has & has::ENDED != 0 {
            return Written::Closed;
        }
        let result = running.composer.flush(&mut context);
        let written = self.written(key, result.map(|()| 0));
        match self.commands.get_mut(key) {
            Some(running) if !running.composer.jobs.is_empty() => {
                running.is_awaited = true;
                Written::Full
            }
            _ => written,
        }
    }

    fn written(&mut self, key: Key, result: Result<usize, EncodeError>) -> Written {
        self.queue(key);
        match result {
            Ok(bytes) => Written::Taken(bytes),
            Err(error) => Written::Encoder(error),
        }
    }

    /// Whether a reply takes more.
    fn may_write(&mut self, key: Key) -> Result<(), Written> {
        if let Some(error) = &self.ended {
            return Err(Written::Ended(error.clone()));
        }
        let Some(running) = self.commands.get_mut(key) else {
            return Err(Written::Closed);
        };
        if running.has & has::ENDED != 0 {
            return Err(Written::Closed);
        }
        if running.composer.jobs.len() > 1 {
            running.is_awaited = true;
            return Err(Written::Full);
        }
        Ok(())
    }

    /// Adds bytes to a reply and ends it, if nothing was written before and they fit one frame. A
    /// small one allocates nothing. `false`: nothing was done.
    pub fn answer(&mut self, key: Key, bytes: &[u8]) -> bool {
        let most = self.frame_size().saturating_sub(AROUND);
        let has_settings = self.shared.config.revision.has_settings();
        let encodes = &self.shared.config.encodes;
        let encoding = self.core.peer_encodings().choose(encodes);
        let is_plain = !has_settings || encoding == ContentEncoding::Identity;
        let can_go = self.ended.is_none() && self.is_line_free() && is_plain && bytes.len() <= most;
        let Some(running) = self.commands.get_mut(key) else {
            return false;
        };
        if !can_go || running.has & has::ENDED != 0 || !running.composer.is_new() {
            return false;
        }
        running.has = running.has & !has::REPLY | has::ENDED;
        if !has_settings || bytes.is_empty() {
            self.make_whole(key, bytes);
            return true;
        }
        let head = head(bytes.len());
        let parts = [head.as_slice(), bytes];
        let len = bytes.len() + head.as_slice().len();
        let mut small = [0; SMALL];
        if let Some(body) = small.get_mut(..len) {
            let (first, rest) = body.split_at_mut(head.as_slice().len());
            first.copy_from_slice(head.as_slice());
            rest.copy_from_slice(bytes);
            self.make_whole(key, body);
        } else {
            self.make_whole(key, &parts.concat());
        }
        true
    }

    /// Ends a reply. What is left of it is a few frames at most, so that this never waits.
    pub fn finish(&mut self, key: Key) -> Written {
        let error = self.ended.clone();
        let Some((running, mut context)) = self.composing(key) else {
            return error.map_or(Written::Closed, Written::Ended);
        };
        running.has &= !has::REPLY;
        if running.has & has::ENDED != 0 {
            self.settle_command(key);
            return error.map_or(Written::Closed, Written::Ended);
        }
        running.has |= has::ENDED;
        let result = running.composer.finish(&mut context);
        self.ended_with(key, result)
    }

    /// Sends the end of a reply, or why it could not be composed.
    fn ended_with(&mut self, key: Key, result: Result<(), EncodeError>) -> Written {
        match result {
            Ok(()) => {
                self.queue(key);
                Written::Taken(0)
            }
            Err(failed) => {
                if let Some(running) = self.commands.get_mut(key) {
                    running.has &= !has::ENDED;
                }
                self.end_with(key, &Failure::server(failed));
                Written::Encoder(failed)
            }
        }
    }

    /// Ends a reply because its command failed. What was written but not yet sent is left out if
    /// nothing was sent at all: then the failure is the whole answer.
    pub fn fail(&mut self, key: Key, failure: &Failure) {
        if let Some(running) = self.commands.get_mut(key) {
            running.has &= !has::REPLY;
            self.end_with(key, failure);
            self.settle_command(key);
        }
    }

    /// Whether the peer takes text output and progress: any in 0003 and 0005; in 0006 one that has
    /// said that it is an hgrpc client.
    pub fn takes_notes(&self) -> bool {
        self.core.peer_takes_notes()
    }

    /// Sends text beside a reply, as atoms. Those that are not ASCII, or that do not fit a frame, are
    /// dropped; so is all after the reply's end, and all to a peer that takes none.
    pub fn text(&mut self, key: Key, atoms: &[Atom<'_>]) -> Written {
        self.note(key, || {
            OwnedNote::Text(atoms.iter().map(Into::into).collect())
        })
    }

    /// Sends an operation's progress beside a reply, as [`text`](Self::text) does.
    pub fn progress_note(&mut self, key: Key, progress: &Progress<'_>) -> Written {
        self.note(key, || OwnedNote::Progress(Box::new(progress.into())))
    }

    fn note(&mut self, key: Key, make: impl FnOnce() -> OwnedNote) -> Written {
        if self.ended.is_none() && !self.takes_notes() {
            return Written::Taken(0);
        }
        match self.may_write(key) {
            // Nothing follows a response's end.
            Err(Written::Closed) => Written::Taken(0),
            Err(refused) => refused,
            Ok(()) => {
                if let Some(running) = self.commands.get_mut(key) {
                    running.composer.note(make());
                }
                self.written(key, Ok(0))
            }
        }
    }
}
