//! Error payloads as borrowed slices (messages.md, "Responses" and "Error response";
//! revision-0006.md, 2.4 and 7.4). Nothing is copied, so no message needs a buffer.

use super::Failure;
use super::output::{Draft, Payload};
use crate::cbor::{Head, MAJOR_BYTES};
use crate::revision::number;
use crate::wire::{ErrorFlags, TypeFlags};
use crate::{ApiMisuse, Revision};

/// Which error a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum FailureKind {
    /// The command's own: a status map, if nothing was sent before.
    Command,
    /// Any other: an error response.
    Server,
    /// 0003 and 0005: an error response with these flags.
    Raw(ErrorFlags),
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
const COMMAND: Around = [b"\xa2Gmessage\x81\xa1Cmsg", b"", b"DtypeGcommand"];
const COMMAND_ARGS: Around = [b"\xa2Gmessage\x81\xa2Dargs", b"Cmsg", b"DtypeGcommand"];
const SERVER: Around = [b"\xa2Gmessage\x81\xa1Cmsg", b"", b"DtypeFserver"];
const SERVER_ARGS: Around = [b"\xa2Gmessage\x81\xa2Dargs", b"Cmsg", b"DtypeFserver"];

impl<'a> Failure<'a> {
    /// The frame that reports this failure; refused if it does not fit (deviations.md, D3).
    #[inline]
    pub(super) fn compose<'b>(
        &'b mut self,
        revision: Revision,
        frame_size: usize,
        has_begun: bool,
        payload: &mut Payload<'b>,
    ) -> Result<Draft, ApiMisuse> {
        let is_command = self.kind == FailureKind::Command;
        let is_status = is_command && !has_begun && revision.has_status_map();
        let args = self.args.as_cbor();
        let has_args = !args.is_empty();
        let around: &'static Around = if !is_status && !revision.has_settings() {
            return self.compose_raw(frame_size, payload);
        } else {
            match (revision.has_settings(), is_status, has_args) {
                (false, _, false) => &STATUS_0005,
                (false, _, true) => &STATUS_0005_ARGS,
                (true, true, false) => &STATUS_0006,
                (true, true, true) => &STATUS_0006_ARGS,
                (true, false, false) if is_command => &COMMAND,
                (true, false, true) if is_command => &COMMAND_ARGS,
                (true, false, false) => &SERVER,
                (true, false, true) => &SERVER_ARGS,
            }
        };
        if self.message.iter().any(|byte| *byte >= 0x80) {
            return Err(ApiMisuse::InvalidMessage);
        }
        let [before, between, after] = *around;
        // At most five bytes of head: messages of 4 GiB do not fit a frame. The other parts are
        // short, so that the sum is a number.
        let overhead = args
            .len()
            .wrapping_add(before.len())
            .wrapping_add(between.len())
            .wrapping_add(after.len())
            .wrapping_add(5);
        let room = frame_size.saturating_sub(overhead);
        let mut message = self.message;
        if message.len() > room {
            if !revision.has_settings() || overhead > frame_size {
                return Err(ApiMisuse::TooLarge);
            }
            message = message.get(..room).unwrap_or(message);
        }
        self.head = Head::of_len(MAJOR_BYTES, message.len());
        let head = self.head.as_slice();
        *payload = if revision.has_settings() {
            [before, args, between, head, message, after]
        } else {
            [before, head, message, between, args, after]
        };
        let draft = if is_status {
            Draft::data(revision, true, true)
        } else {
            Draft::aside(number::ERROR_RESPONSE, TypeFlags::NONE).ending()
        };
        Ok(draft)
    }

    /// An error response of 0003 and 0005: the message as it is, and flags.
    #[inline]
    fn compose_raw<'b>(
        &'b self,
        frame_size: usize,
        payload: &mut Payload<'b>,
    ) -> Result<Draft, ApiMisuse> {
        if !self.args.as_cbor().is_empty() {
            return Err(ApiMisuse::NotInThisRevision);
        }
        if self.message.len() > frame_size {
            return Err(ApiMisuse::TooLarge);
        }
        let flags = match self.kind {
            FailureKind::Raw(flags) => flags,
            _ => ErrorFlags::APPLICATION,
        };
        let [first, ..] = payload;
        *first = self.message;
        Ok(Draft::aside(number::ERROR_RESPONSE, flags.into()).ending())
    }
}

/// An error response of type `server` (0006) or with the flag `application`, whose message is
/// these parts together.
#[inline]
pub(super) fn compose_refusal<'b>(
    revision: Revision,
    parts: [&'b [u8]; 3],
    head: &'b mut Head,
) -> (Draft, Payload<'b>) {
    let [a, b, c] = parts;
    if !revision.has_settings() {
        let flags = ErrorFlags::APPLICATION.into();
        let draft = Draft::aside(number::ERROR_RESPONSE, flags);
        return (draft, [a, b, c, &[], &[], &[]]);
    }
    let len = a.len().saturating_add(b.len()).saturating_add(c.len());
    *head = Head::of_len(MAJOR_BYTES, len);
    let [before, _, after] = SERVER;
    (
        Draft::aside(number::ERROR_RESPONSE, TypeFlags::NONE),
        [before, head.as_slice(), a, b, c, after],
    )
}

/// A head that is not yet known.
pub(super) const NO_HEAD: Head = Head::NONE;

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;
    use crate::cbor::{ErrorMessage, MessageArgs, Status};
    use crate::wire::FrameKind;

    fn payload(
        failure: &mut Failure<'_>,
        revision: Revision,
        has_begun: bool,
    ) -> (FrameKind, std::vec::Vec<u8>) {
        let mut slices: Payload<'_> = [&[]; _];
        let draft = failure.compose(revision, 0x8000, has_begun, &mut slices);
        let draft = draft.unwrap();
        assert!(draft.is_end);
        (revision.kind(draft.number), slices.concat())
    }

    #[test]
    fn a_commands_error_is_a_status_that_is_understood() {
        let mut buffer = [0; 32];
        let args = MessageArgs::encode(&[b"thing"], &mut buffer).unwrap();
        // As in the vectors of 0006; 0005 has an atom, and shorter keys first.
        let cases: [(Revision, MessageArgs<'_>, &[u8]); 4] = [
            (
                Revision::R0006,
                args,
                b"\xa2Eerror\xa2Dargs\x81EthingGmessageFbad %sFstatusEerror",
            ),
            (
                Revision::R0006,
                MessageArgs::EMPTY,
                b"\xa2Eerror\xa1GmessageFbad %sFstatusEerror",
            ),
            (
                Revision::R0005,
                args,
                b"\xa2Eerror\xa1Gmessage\x81\xa2CmsgFbad %sDargs\x81EthingFstatusEerror",
            ),
            (
                Revision::R0005,
                MessageArgs::EMPTY,
                b"\xa2Eerror\xa1Gmessage\x81\xa1CmsgFbad %sFstatusEerror",
            ),
        ];
        for (revision, args, expected) in cases {
            let mut failure = Failure::command(b"bad %s").with_args(args);
            let (kind, bytes) = payload(&mut failure, revision, false);
            assert_eq!((kind, &bytes[..]), (FrameKind::CommandResponse, expected));
            let Ok((Status::Error(error), len)) = Status::decode(&bytes) else {
                panic!()
            };
            assert_eq!(len, bytes.len());
            let shown = if args == MessageArgs::EMPTY {
                "bad %s"
            } else {
                "bad thing"
            };
            assert_eq!(error.to_string(), shown);
        }
    }

    #[test]
    fn an_error_response_is_understood() {
        let mut buffer = [0; 32];
        let args = MessageArgs::encode(&[b"wrong"], &mut buffer).unwrap();
        for (mut failure, expected) in [
            (
                Failure::command(b"went %s").with_args(args),
                ("command", "went wrong"),
            ),
            (Failure::server(b"went"), ("server", "went")),
        ] {
            let (kind, bytes) = payload(&mut failure, Revision::R0006, true);
            assert_eq!(kind, FrameKind::ErrorResponse);
            let message = ErrorMessage::decode(&bytes, ErrorFlags::NONE, Revision::R0006).unwrap();
            assert_eq!(message.to_string(), expected.1);
            let ErrorMessage::Structured { kind, .. } = message else {
                panic!()
            };
            assert_eq!(kind, *expected.0);
        }
    }

    #[test]
    fn messages_that_cannot_be_sent_are_refused() {
        let mut buffer = [0; 32];
        let args = MessageArgs::encode(&[b"x"], &mut buffer).unwrap();
        let mut with_args = Failure::command(b"%s").with_args(args);
        let refused = |failure: &mut Failure<'_>, revision, has_begun| {
            let mut payload: Payload<'_> = [&[]; _];
            failure.compose(revision, 64, has_begun, &mut payload).err()
        };
        let no_args = Some(ApiMisuse::NotInThisRevision);
        assert_eq!(refused(&mut with_args, Revision::R0003, false), no_args);
        assert_eq!(refused(&mut with_args, Revision::R0005, true), no_args);
        let mut not_ascii = Failure::server("é".as_bytes());
        let invalid = Some(ApiMisuse::InvalidMessage);
        assert_eq!(refused(&mut not_ascii, Revision::R0006, false), invalid);
        assert_eq!(refused(&mut not_ascii, Revision::R0005, false), None);
        let mut long = Failure::server(&[b'x'; 65]);
        let too_large = Some(ApiMisuse::TooLarge);
        assert_eq!(refused(&mut long, Revision::R0005, false), too_large);
        let mut cut: Payload<'_> = [&[]; _];
        let composed = long.compose(Revision::R0006, 64, false, &mut cut);
        assert!(composed.is_ok());
        assert!(cut.concat().len() <= 64);
    }
}
