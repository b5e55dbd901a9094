//! Error payloads as borrowed slices (messages.md, "Responses" and "Error response";
//! revision-0006.md, 2.4 and 7.4). Nothing is copied, so no message needs a buffer.

use super::Failure;
use crate::cbor::{Head, MAJOR_BYTES};
use crate::wire::{ErrorFlags, FrameKind, MAX_SLICES, ResponseFlags, TypeFlags};
use crate::{ApiMisuse, Revision};

/// A frame's type, flags and payload.
type Composed<'b> = (FrameKind, TypeFlags, [&'b [u8]; MAX_SLICES]);

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

impl Failure<'_> {
    /// The frame that reports this failure; refused if it does not fit (deviations.md, D3).
    pub(super) fn compose(
        &mut self,
        revision: Revision,
        frame_size: usize,
        has_begun: bool,
    ) -> Result<Composed<'_>, ApiMisuse> {
        let is_status =
            self.kind == FailureKind::Command && !has_begun && revision.has_status_map();
        let args = self.args.as_cbor();
        let has_args = !args.is_empty();
        // What stands around the arguments, the message's head and the message, in key order.
        // 0005 has the message before its arguments (shorter keys first), 0006 after them.
        let [before, between, after]: [&'static [u8]; 3] = match (revision, is_status) {
            (Revision::R0003, _) | (Revision::R0005, false) => {
                if has_args {
                    return Err(ApiMisuse::NotInThisRevision);
                }
                [b"", b"", b""]
            }
            (Revision::R0005, true) if has_args => [
                b"\xa2Eerror\xa1Gmessage\x81\xa2Cmsg",
                b"Dargs",
                b"FstatusEerror",
            ],
            (Revision::R0005, true) => {
                [b"\xa2Eerror\xa1Gmessage\x81\xa1Cmsg", b"", b"FstatusEerror"]
            }
            (_, true) if has_args => [b"\xa2Eerror\xa2Dargs", b"Gmessage", b"FstatusEerror"],
            (_, true) => [b"\xa2Eerror\xa1Gmessage", b"", b"FstatusEerror"],
            (_, false) => {
                let after: &[u8] = match self.kind {
                    FailureKind::Command => b"DtypeGcommand",
                    _ => b"DtypeFserver",
                };
                if has_args {
                    [b"\xa2Gmessage\x81\xa2Dargs", b"Cmsg", after]
                } else {
                    [b"\xa2Gmessage\x81\xa1Cmsg", b"", after]
                }
            }
        };
        let is_raw = before.is_empty();
        if !is_raw && self.message.iter().any(|byte| *byte >= 0x80) {
            return Err(ApiMisuse::InvalidMessage);
        }
        // At most five bytes of head: messages of 4 GiB do not fit a frame.
        let around = before
            .len()
            .saturating_add(between.len())
            .saturating_add(after.len());
        let overhead = if is_raw {
            0
        } else {
            around.saturating_add(args.len()).saturating_add(5)
        };
        let room = frame_size.saturating_sub(overhead);
        let mut message = self.message;
        if message.len() > room {
            if !revision.has_settings() || overhead > frame_size {
                return Err(ApiMisuse::TooLarge);
            }
            message = message.get(..room).unwrap_or(message);
        }
        let (kind, flags) = match self.kind {
            _ if is_status => (FrameKind::CommandResponse, ResponseFlags::EOS.into()),
            _ if !is_raw => (FrameKind::ErrorResponse, TypeFlags::NONE),
            FailureKind::Raw(flags) => (FrameKind::ErrorResponse, flags.into()),
            _ => (FrameKind::ErrorResponse, ErrorFlags::APPLICATION.into()),
        };
        if is_raw {
            return Ok((kind, flags, [message, &[], &[], &[], &[], &[]]));
        }
        self.head = bytes_head(message.len());
        let head = self.head.as_slice();
        let slices = if revision.has_settings() {
            [before, args, between, head, message, after]
        } else {
            [before, head, message, between, args, after]
        };
        Ok((kind, flags, slices))
    }
}

/// An error response of type `server` (0006) or with the flag `application`, whose message is
/// these parts together.
pub(super) fn compose_refusal<'b>(
    revision: Revision,
    parts: [&'b [u8]; 3],
    head: &'b mut Head,
) -> (TypeFlags, [&'b [u8]; MAX_SLICES]) {
    let [a, b, c] = parts;
    if !revision.has_settings() {
        return (ErrorFlags::APPLICATION.into(), [a, b, c, &[], &[], &[]]);
    }
    *head = bytes_head(a.len().saturating_add(b.len()).saturating_add(c.len()));
    (
        TypeFlags::NONE,
        [
            b"\xa2Gmessage\x81\xa1Cmsg",
            head.as_slice(),
            a,
            b,
            c,
            b"DtypeFserver",
        ],
    )
}

/// A head that is not yet known.
pub(super) const NO_HEAD: Head = Head::new(MAJOR_BYTES, 0);

/// The head of a byte string of this length.
fn bytes_head(len: usize) -> Head {
    Head::new(MAJOR_BYTES, u64::try_from(len).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;
    use crate::cbor::{ErrorMessage, MessageArgs, Status};

    fn payload(
        failure: &mut Failure<'_>,
        revision: Revision,
        has_begun: bool,
    ) -> (FrameKind, std::vec::Vec<u8>) {
        let (kind, _, slices) = failure.compose(revision, 0x8000, has_begun).unwrap();
        (kind, slices.concat())
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
        assert_eq!(
            with_args.compose(Revision::R0003, 64, false).unwrap_err(),
            ApiMisuse::NotInThisRevision
        );
        assert_eq!(
            with_args.compose(Revision::R0005, 64, true).unwrap_err(),
            ApiMisuse::NotInThisRevision
        );
        let mut not_ascii = Failure::server("é".as_bytes());
        assert_eq!(
            not_ascii.compose(Revision::R0006, 64, false).unwrap_err(),
            ApiMisuse::InvalidMessage
        );
        assert!(not_ascii.compose(Revision::R0005, 64, false).is_ok());
        let mut long = Failure::server(&[b'x'; 65]);
        assert_eq!(
            long.compose(Revision::R0005, 64, false).unwrap_err(),
            ApiMisuse::TooLarge
        );
        let (_, _, cut) = long.compose(Revision::R0006, 64, false).unwrap();
        assert!(cut.concat().len() <= 64);
    }
}
