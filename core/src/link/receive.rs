//! From bytes to packets and text (link.md, "Packets", "Text between packets").

use super::packet::{self, CRC_LEN, KIND_MASK, Read};
use super::session::{Report, Session};
use super::{LinkError, cobs};

/// What is between two delimiters, as far as it has come: at the start of a buffer of N bytes.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Chunk {
    held: usize,
    /// Of its next code.
    distance: u32,
    /// It is text; nothing of it is held.
    is_text: bool,
    /// What is held has been handed out.
    is_done: bool,
}

/// What has come; ranges are of the buffer.
#[derive(Debug)]
pub(super) enum Step<'i> {
    Report(Report),
    Payload {
        end: usize,
        is_frame_start: bool,
    },
    /// Text that was held.
    Held(usize),
    Text(&'i [u8]),
    Noise(usize),
}

/// Where a payload starts in the buffer.
pub(super) const PAYLOAD_START: usize = packet::PAYLOAD_AT - 1;

impl Chunk {
    pub(super) const fn new() -> Self {
        Self {
            held: 0,
            distance: cobs::TO_THE_END,
            is_text: false,
            is_done: false,
        }
    }

    /// Takes bytes up to the next step. `room`: as many bytes as there may be between delimiters.
    pub(super) fn next<'i>(
        &mut self,
        session: &mut Session,
        room: &mut [u8],
        input: &mut &'i [u8],
    ) -> Option<Step<'i>> {
        loop {
            if let Some(report) = session.report.take() {
                return Some(Step::Report(report));
            }
            if core::mem::take(&mut self.is_done) {
                self.held = 0;
                self.distance = cobs::TO_THE_END;
            }
            if self.is_text
                && let Some(text) = self.take_text(input)
            {
                return Some(Step::Text(text));
            }
            if input.is_empty() {
                return None;
            }
            let is_ended = self.collect(room, input);
            let is_full = self.held == room.len();
            let held = room.get_mut(..self.held).unwrap_or_default();
            if let [_, second, ..] = held
                && *second & KIND_MASK != KIND_MASK
            {
                // Row L7. The rest of it goes out as it is.
                self.is_done = true;
                self.is_text = !is_ended;
                cobs::encode(held, self.distance);
                return Some(Step::Held(self.held));
            }
            if is_ended {
                self.is_done = true;
                match held {
                    [] => {}
                    [_] => {
                        cobs::encode(held, self.distance);
                        return Some(Step::Held(1));
                    }
                    _ => {
                        if let Some(step) = handle_packet(session, held, self.distance) {
                            return Some(step);
                        }
                    }
                }
            } else if is_full && input.first().is_some_and(|byte| *byte != 0) {
                // Too long.
                self.is_done = true;
                self.is_text = true;
                cobs::encode(held, self.distance);
                session.reset(LinkError::LinkLost);
                return Some(Step::Noise(self.held));
            }
        }
    }

    /// Text up to the next delimiter, if there is any.
    fn take_text<'i>(&mut self, input: &mut &'i [u8]) -> Option<&'i [u8]> {
        let end = input.iter().position(|byte| *byte == 0);
        let (text, rest) = input
            .split_at_checked(end.unwrap_or(input.len()))
            .unwrap_or_default();
        *input = rest;
        self.is_text = end.is_none();
        (!text.is_empty()).then_some(text)
    }

    /// Copies bytes until a delimiter has come (`true`), the input ends, the room does, or two
    /// bytes are held, which say whether it is text.
    fn collect(&mut self, room: &mut [u8], input: &mut &[u8]) -> bool {
        let limit = if self.held < 2 { 2 } else { room.len() };
        let room = room.get_mut(self.held..limit).unwrap_or_default();
        let (mut count, mut is_ended) = cobs::decode(input, room, &mut self.distance);
        if room.is_empty() {
            // Full: only a delimiter can follow.
            is_ended = input.first() == Some(&0);
            count = usize::from(is_ended);
        }
        *input = input.get(count..).unwrap_or_default();
        let len = count.saturating_sub(usize::from(is_ended));
        self.held = self.held.saturating_add(len);
        is_ended
    }
}

/// What stands between two delimiters and claims to be a packet. Rows L1 to L6.
fn handle_packet(
    session: &mut Session,
    decoded: &mut [u8],
    after_end: u32,
) -> Option<Step<'static>> {
    if after_end == cobs::TO_THE_END
        && let Some((_, content)) = decoded.split_first()
        && let Some(read) = packet::read(content, session.awaited())
    {
        return match read {
            Read::Sync(sync) => {
                session.handle_sync(sync);
                None
            }
            Read::Data { is_frame_start } => {
                session.handle_data();
                Some(Step::Payload {
                    end: decoded.len().saturating_sub(CRC_LEN),
                    is_frame_start,
                })
            }
        };
    }
    // As it came.
    cobs::encode(decoded, after_end);
    session.reset(LinkError::LinkLost);
    Some(Step::Noise(decoded.len()))
}
