//! Failures and refusals (messages.md, "Responses" and "Error response"; revision-0006.md, 2.4 and
//! 7.4; server.md, "Refusals").

use super::{Refusal, Reply, Server};
use crate::cbor::{Head as CborHead, MAJOR_BYTES, MessageArgs};
use crate::output::{Head, Output};
use crate::revision::number;
use crate::store::{Requests, bits};
use crate::wire::{ErrorFlags, ResponseFlags, TypeFlags};
use crate::{ApiMisuse, Protocol};

/// Why a command failed.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Failure<'a> {
    kind: Kind,
    message: &'a [u8],
    args: MessageArgs<'a>,
}

/// Which error a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Kind {
    /// The command's own: a status map, if nothing was sent before.
    Command,
    /// Any other: an error response.
    Server,
    /// 0003 and 0005: an error response with these flags.
    Raw(ErrorFlags),
}

impl<'a> Failure<'a> {
    const fn new(kind: Kind, message: &'a [u8]) -> Self {
        Self {
            kind,
            message,
            args: MessageArgs::EMPTY,
        }
    }

    /// The command failed: a `status: error` map (0005 and 0006), or an error response where output
    /// has begun and in 0003. `message` is a format string, see [`with_args`](Self::with_args), and
    /// ASCII where it is not sent raw: put other text into an argument.
    pub const fn command(message: &'a [u8]) -> Self {
        Self::new(Kind::Command, message)
    }

    /// Something else failed: an error response, of type `server` in 0006, with the flag
    /// `application` and the message as it is before.
    pub const fn server(message: &'a [u8]) -> Self {
        Self::new(Kind::Server, message)
    }

    /// 0003 and 0005: an error response with these flags. In 0006 as [`server`](Self::server).
    pub const fn raw(message: &'a [u8], flags: ErrorFlags) -> Self {
        Self::new(Kind::Raw(flags), message)
    }

    /// Gives values to the `%s` of a command's message. Error responses of 0003 and 0005 are raw
    /// text and cannot carry them.
    #[must_use]
    pub const fn with_args(self, args: MessageArgs<'a>) -> Self {
        Self { args, ..self }
    }
}

/// What stands around the message's head, the message and the arguments, in key order.
type Around = [&'static [u8]; 3];

/// 0005 has the message before its arguments (shorter keys first).
const STATUS_0005: Around = [b"\xa2Eerror\xa1Gmessage\x81\xa1Cmsg", b"", b"FstatusEerror"];
const STATUS_0005_ARGS: Around = [
    b"\xa2Eerror\xa1Gmessage\x81\xa2Cmsg",
    b"Dargs",
    b"FstatusEerror",
];
/// 0006 has it after them.
const STATUS_0006: Around = [b"\xa2Eerror\xa1Gmessage", b"", b"FstatusEerror"];
const STATUS_0006_ARGS: Around = [b"\xa2Eerror\xa2Dargs", b"Gmessage", b"FstatusEerror"];
const ERROR: [&[u8]; 2] = [b"\xa2Gmessage\x81\xa1Cmsg", b""];
const ERROR_ARGS: [&[u8]; 2] = [b"\xa2Gmessage\x81\xa2Dargs", b"Cmsg"];
const OF_COMMAND: &[u8] = b"DtypeGcommand";
const OF_SERVER: &[u8] = b"DtypeFserver";

impl<P: Protocol, T: Requests> Server<P, T> {
    /// Ends a response because its command failed. Write [`out.frame()`](Output::frame) after each
    /// call, and call again while the answer is `false`: what is joined goes out first.
    ///
    /// Before anything was sent this is the command's answer: a status map (0005 and 0006) or an
    /// error response. Afterwards an error response of type `command` breaks the response off
    /// (revision-0006.md, 7.4). What does not fit one frame is cut from the message's end in 0006. On
    /// an encoded stream send what flushing the encoder gave before, as a piece.
    ///
    /// # Errors
    /// As for [`respond`](Self::respond). [`ApiMisuse::TooLarge`]: the message does not fit a frame.
    /// [`ApiMisuse::InvalidMessage`]: it is not ASCII. [`ApiMisuse::NotInThisRevision`]: arguments
    /// where the message is raw.
    pub fn fail(
        &mut self,
        reply: &Reply,
        failure: &Failure<'_>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        // No frame of a failure is encoded: it may go between those of another response.
        let has = self.begin(reply, out);
        if has == 0 {
            return Err(out.misuse());
        }
        if self.revision().has_settings() && out.is_joining() {
            self.send_joined(out);
            return Ok(false);
        }
        let id = reply.request_id();
        let revision = self.revision();
        let is_command = failure.kind == Kind::Command;
        let is_status =
            is_command && has & (bits::BEGUN | bits::OPENED) == 0 && revision.has_status_map();
        let args = failure.args.as_cbor();
        let has_args = !args.is_empty();
        if !is_status && !revision.has_settings() {
            // 0003 and 0005: the message as it is.
            if has_args {
                return Err(ApiMisuse::NotInThisRevision);
            }
            let flags = match failure.kind {
                Kind::Raw(flags) => flags,
                _ => ErrorFlags::APPLICATION,
            };
            let head = Head::new(id, number::ERROR_RESPONSE, flags.into());
            if !out.fill(head, &[failure.message]) {
                return Err(ApiMisuse::TooLarge);
            }
            self.advance(id, 0, true, out);
            return Ok(true);
        }
        if failure.message.iter().any(|byte| *byte >= 0x80) {
            return Err(ApiMisuse::InvalidMessage);
        }
        let [before, between, after] = match (is_status, revision.has_settings(), has_args) {
            (true, false, false) => STATUS_0005,
            (true, false, true) => STATUS_0005_ARGS,
            (true, true, false) => STATUS_0006,
            (true, true, true) => STATUS_0006_ARGS,
            (false, _, _) => {
                let [before, between] = if has_args { ERROR_ARGS } else { ERROR };
                let after = if is_command { OF_COMMAND } else { OF_SERVER };
                [before, between, after]
            }
        };
        // At most five bytes of head: messages of 4 GiB do not fit a frame. The other parts are
        // short, so that the sum is a number.
        let overhead = args
            .len()
            .wrapping_add(before.len())
            .wrapping_add(between.len())
            .wrapping_add(after.len())
            .wrapping_add(5);
        // Nothing of it, where there is no room for what stands around it.
        let left = out.room().saturating_sub(overhead);
        let mut message = failure.message;
        if message.len() > left {
            if !revision.has_settings() {
                return Err(ApiMisuse::TooLarge);
            }
            message = message.get(..left).unwrap_or(message);
        }
        let len = CborHead::of_len(MAJOR_BYTES, message.len());
        let len = len.as_slice();
        let head = if is_status {
            Head::new(id, revision.response_number(), ResponseFlags::EOS.into())
        } else {
            Head::new(id, number::ERROR_RESPONSE, TypeFlags::NONE)
        };
        let is_filled = if revision.has_settings() {
            out.fill(head, &[before, args, between, len, message, after])
        } else {
            out.fill(head, &[before, len, message, between, args, after])
        };
        if !is_filled {
            return Err(ApiMisuse::TooLarge);
        }
        self.advance(id, 0, true, out);
        Ok(true)
    }

    /// Answers a refused request: an error response that names the limit and its value (server.md,
    /// "Refusals"). Call again while the answer is `false`, as for [`fail`](Self::fail).
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfOrder`]: the stream has ended. [`ApiMisuse::TooLarge`]: it does not fit a
    /// frame, which must then be very small. Nothing changed.
    pub fn refuse(&mut self, refusal: &Refusal, out: &mut Output<'_>) -> Result<bool, ApiMisuse> {
        if !out.begin(self.frame_size()) {
            return Err(ApiMisuse::OutOfOrder);
        }
        let has_settings = self.revision().has_settings();
        if has_settings && out.is_joining() {
            self.send_joined(out);
            return Ok(false);
        }
        let mut digits = [0; 10];
        let digits = decimal(refusal.limit, &mut digits);
        let reason = refusal.reason.name().as_bytes();
        let middle: &[u8] = b", limit ";
        let is_filled = if has_settings {
            let len = reason
                .len()
                .wrapping_add(middle.len())
                .wrapping_add(digits.len());
            let len = CborHead::of_len(MAJOR_BYTES, len);
            let head = Head::new(refusal.request_id, number::ERROR_RESPONSE, TypeFlags::NONE);
            let [before, _] = ERROR;
            out.fill(
                head,
                &[before, len.as_slice(), reason, middle, digits, OF_SERVER],
            )
        } else {
            let flags = ErrorFlags::APPLICATION.into();
            let head = Head::new(refusal.request_id, number::ERROR_RESPONSE, flags);
            out.fill(head, &[reason, middle, digits])
        };
        if is_filled {
            Ok(true)
        } else {
            Err(ApiMisuse::TooLarge)
        }
    }
}

/// Writes a number in decimal.
fn decimal(mut number: u32, buffer: &mut [u8; 10]) -> &[u8] {
    let mut used = 0usize;
    for digit in buffer.iter_mut().rev() {
        let [low, ..] = number.wrapping_rem(10).to_le_bytes();
        *digit = b'0'.wrapping_add(low);
        number = number.wrapping_div(10);
        used = used.wrapping_add(1);
        if number == 0 {
            break;
        }
    }
    buffer.get(10usize.wrapping_sub(used)..).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_numbers() {
        for (number, text) in [(0, "0"), (7, "7"), (10, "10"), (u32::MAX, "4294967295")] {
            assert_eq!(decimal(number, &mut [0; 10]), text.as_bytes());
        }
    }
}
