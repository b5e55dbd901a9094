//! Requests and their data, a frame a call (messages.md, "Command request" and "Command data";
//! client.md, "Calling a command" and "Ends before its time"; revision-0006.md, 6.6).

use super::{ANNOUNCED, Client, Upload, phase};
use crate::cbor::{EncodedArgs, RequestPieces};
use crate::output::{Head, Output};
use crate::revision::number;
use crate::store::{Key, Requests, bits};
use crate::tuned::IS_SMALL;
use crate::wire::{
    CommandDataFlags, CommandRequestFlags, FrameHeader, RequestId, SettingsFlags, payload_len,
};
use crate::{ApiMisuse, Protocol};

/// A command and its arguments.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Request<'a> {
    /// The command's name.
    pub name: &'a [u8],
    /// Its arguments.
    pub args: EncodedArgs<'a>,
    /// 0006: where the client would let itself be redirected to, an encoded map
    /// (revision-0006.md, 10). Nothing is sent for `None` and for an empty map.
    pub redirect: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// A command with these arguments.
    pub const fn new(name: &'a [u8], args: EncodedArgs<'a>) -> Self {
        Self {
            name,
            args,
            redirect: None,
        }
    }
}

impl<P: Protocol, T: Requests> Client<P, T> {
    /// Writes the next frame of a request into `out`: the settings before the first one (0006), then
    /// the command in frames as large as `out` and the frame size allow. The same `request` at each
    /// call. Write [`out.frame()`](Output::frame) after each, and call again while the answer is
    /// `false`; `true`: all were made, and data may follow with [`send_data`](Self::send_data).
    ///
    /// A request that was cancelled before its first frame gives none. Work is linear in the frame's
    /// bytes.
    ///
    /// # Errors
    /// [`ApiMisuse`], and nothing changed. [`ApiMisuse::NotInThisRevision`]: a redirect before 0006.
    /// [`ApiMisuse::InvalidMessage`]: a redirect that is no map. [`ApiMisuse::TooLarge`]: the settings
    /// do not fit a frame (deviations.md, D3), or not a byte does.
    pub fn send(
        &mut self,
        upload: &Upload,
        request: &Request<'_>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        out.begin(self.frame_size());
        if !IS_SMALL && self.send_usual(upload, request, out) {
            return Ok(true);
        }
        let id = upload.request_id();
        let (has, sent) = self.known(upload);
        if has & (phase::PENDING | phase::SENDING) == 0 || has & phase::REQUESTED != 0 {
            return Ok(true);
        }
        let room = out.room();
        let Request {
            name,
            args,
            redirect,
        } = *request;
        // Before anything is sent: a request that is wrong changes nothing.
        let pieces = RequestPieces::new(name, args, redirect, self.revision())?;
        let mut settings: [&[u8]; 6] = [&[]; 6];
        if self.revision().has_settings()
            && self.state & ANNOUNCED == 0
            && self.choices.settings(&mut settings)
        {
            // revision-0006.md, 4.1: once, before the first request's frames
            let number = number::SENDER_PROTOCOL_SETTINGS;
            let head = Head::new(id, number, SettingsFlags::EOS.into());
            if !out.fill(head, &settings) {
                return Err(ApiMisuse::TooLarge);
            }
            self.state |= ANNOUNCED;
            self.note_sent(id, has, 0);
            return Ok(false);
        }
        let slices = pieces.slices();
        let left = payload_len(&slices).saturating_sub(sent);
        if room == 0 {
            return Err(ApiMisuse::TooLarge);
        }
        let count = left.min(room);
        let is_last = count == left;
        let flags = CommandRequestFlags::NONE
            .with(CommandRequestFlags::NEW, sent == 0)
            .with(CommandRequestFlags::CONTINUATION, sent > 0)
            .with(CommandRequestFlags::MORE, !is_last)
            .with(CommandRequestFlags::HAVE_DATA, has & bits::DATA != 0);
        let head = Head::new(id, number::COMMAND_REQUEST, flags.into());
        out.fill_from(head, &slices, sent, count);
        self.note_sent(id, has, sent.wrapping_add(count));
        if is_last {
            if has & bits::DATA == 0 {
                self.finish_sending(id);
            } else if let Some(slot) = self.requests.find(Key::request(id)) {
                slot.bits |= phase::REQUESTED;
            }
        }
        Ok(is_last)
    }

    /// Writes the next frame of a request's data into `out`: of `bytes`, which are advanced past what
    /// was taken, and which end the data if `is_last`. The same call for data that is known as a
    /// whole and for a piece of it. Call again while the answer is `false`.
    ///
    /// If the request has ended, or was cancelled, its data ends with an empty frame, all of `bytes`
    /// counts as taken, and nothing is sent any more: the answer is `true`. A chunk that fills a frame
    /// is never the last one (messages.md, "Command data").
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfOrder`]: frames of the request itself are still to be made, or it has no
    /// data. [`ApiMisuse::TooLarge`]: not a byte fits a frame. Nothing changed.
    pub fn send_data(
        &mut self,
        upload: &Upload,
        bytes: &mut &[u8],
        is_last: bool,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        out.begin(self.frame_size());
        let room = out.room();
        let Some(is_over) = self.takes_data(upload)? else {
            *bytes = &[];
            return Ok(true);
        };
        let mut count = bytes.len().min(room);
        // Unlike the reference's, it keeps to the configured frame size (deviations.md, D6).
        let mut is_end = is_last && count < room;
        if is_over {
            (count, is_end) = (0, true);
        }
        if count == 0 && !is_end {
            return if room == 0 {
                Err(ApiMisuse::TooLarge)
            } else {
                Ok(true)
            };
        }
        let (chunk, behind) = bytes.split_at_checked(count).unwrap_or_default();
        let head = self.data_head(upload.request_id(), is_end);
        out.fill(head, &[chunk]);
        *bytes = if is_over { &[] } else { behind };
        if is_end {
            self.finish_sending(upload.request_id());
        }
        Ok(if is_last { is_end } else { bytes.is_empty() })
    }

    /// The header of a frame of a request's data, for owners that write a payload of `count` bytes
    /// from where it lies. `None`: the request has ended, and its data with it; if it ended just now,
    /// call [`send_data`](Self::send_data) for the empty end.
    ///
    /// # Errors
    /// As for [`send_data`](Self::send_data). [`ApiMisuse::TooLarge`]: over a frame.
    pub fn data_header(
        &mut self,
        upload: &Upload,
        count: usize,
        is_last: bool,
        out: &mut Output<'_>,
    ) -> Result<Option<FrameHeader>, ApiMisuse> {
        out.begin(self.frame_size());
        let Some(is_over) = self.takes_data(upload)? else {
            return Ok(None);
        };
        if count > self.frame_size() {
            return Err(ApiMisuse::TooLarge);
        }
        if is_over {
            return Ok(None);
        }
        let head = self.data_head(upload.request_id(), is_last);
        let header = out.header(head, count);
        if is_last {
            self.finish_sending(upload.request_id());
        }
        Ok(Some(header))
    }

    fn data_head(&self, id: RequestId, is_end: bool) -> Head {
        let flags = if is_end {
            CommandDataFlags::EOS
        } else {
            CommandDataFlags::CONTINUATION
        };
        Head::new(id, self.revision().data_number(), flags.into())
    }

    /// Whether the data of a request is cut short; `None`: it has ended.
    fn takes_data(&mut self, upload: &Upload) -> Result<Option<bool>, ApiMisuse> {
        let (has, _) = self.known(upload);
        if has & (phase::PENDING | phase::SENDING) == 0 {
            return Ok(None);
        }
        if has & phase::REQUESTED == 0 {
            return Err(ApiMisuse::OutOfOrder);
        }
        Ok(Some(has & phase::AWAITING == 0))
    }

    /// What is known of a token's request, and how many bytes of it were sent.
    fn known(&mut self, upload: &Upload) -> (u16, usize) {
        match self.requests.find(Key::request(upload.request_id())) {
            Some(slot) if upload.is_of(slot.order) => {
                let sent = usize::try_from(slot.request_len).unwrap_or(usize::MAX);
                (slot.bits, sent)
            }
            _ => (0, 0),
        }
    }

    /// Largest payload of a frame that is sent.
    fn frame_size(&self) -> usize {
        usize::try_from(self.send_frame_size.get()).unwrap_or(usize::MAX)
    }

    /// A frame of a request was made; so many bytes of it were sent.
    fn note_sent(&mut self, id: RequestId, has: u16, sent: usize) {
        if has & phase::PENDING != 0 && self.choices.buffers_sends() {
            self.pending = self.pending.saturating_sub(1);
        }
        if let Some(slot) = self.requests.find(Key::request(id)) {
            if has & phase::PENDING != 0 {
                slot.bits ^= phase::PENDING | phase::SENDING | phase::AWAITING;
            }
            slot.request_len = u32::try_from(sent).unwrap_or(u32::MAX);
        }
    }

    /// The last frame was made.
    fn finish_sending(&mut self, id: RequestId) {
        let key = Key::request(id);
        if let Some(slot) = self.requests.find(key) {
            slot.bits &= !phase::SENDING;
            if slot.bits & (phase::AWAITING | phase::CANCELLED) == 0 {
                // Its response had ended.
                self.requests.remove(key);
            }
        }
    }
}
