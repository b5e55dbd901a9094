//! What differs between the revisions of the protocol, and nothing else.
//!
//! Specification: framing.md, "Frame types"; revision-0006.md, sections 2 and 12.
//! Every number, name and behaviour that depends on the revision is decided here, so that
//! the rest of the crate asks and never compares revisions itself.

use crate::wire::{
    CommandDataFlags, CommandRequestFlags, ErrorFlags, FlagNames, FrameKind, ResponseFlags,
    SettingsFlags,
};

/// A revision of the protocol, named after the number in its media type (framing.md for 0003 and
/// 0005; revision-0006.md, 2, for what 0006 has changed).
///
/// Nothing on the wire names the revision: both ends must have agreed on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Revision {
    /// The revision of 8 April 2018: responses are bytes responses.
    R0003,
    /// The revision of 14 April 2018: responses open with a CBOR status map.
    R0005,
    /// Mercurial 4.8 to 6.0: settings, content encodings, structured errors, redirects.
    #[default]
    R0006,
}

/// All revisions, oldest first.
pub const REVISIONS: [Revision; 3] = [Revision::R0003, Revision::R0005, Revision::R0006];

/// The order of map keys in what is sent (messages.md, "CBOR"; revision-0006.md, 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum KeyOrder {
    /// By the length of the encoded key, then bytewise (0003 and 0005).
    ShorterFirst,
    /// By type, then bytewise whatever the length (0006).
    Bytewise,
}

/// Numbers of frame types that are the same in all revisions, or of one revision alone.
pub(crate) mod number {
    pub(crate) const COMMAND_REQUEST: u8 = 0x1;
    pub(crate) const ERROR_RESPONSE: u8 = 0x5;
    pub(crate) const TEXT_OUTPUT: u8 = 0x6;
    pub(crate) const PROGRESS: u8 = 0x7;
    /// 0006.
    pub(crate) const SENDER_PROTOCOL_SETTINGS: u8 = 0x8;
    /// 0006.
    pub(crate) const STREAM_SETTINGS: u8 = 0x9;
}

impl Revision {
    /// The revision's number as it is written: `0003`, `0005` or `0006`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::R0003 => "0003",
            Self::R0005 => "0005",
            Self::R0006 => "0006",
        }
    }

    /// The revision with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        REVISIONS.into_iter().find(|r| r.name() == name)
    }

    /// What a type number (0 to 15) means in this revision.
    pub const fn kind(self, number: u8) -> FrameKind {
        match (number & 0x0f, self) {
            (0x1, _) => FrameKind::CommandRequest,
            (0x2, Self::R0005 | Self::R0006) | (0x3, Self::R0003) => FrameKind::CommandData,
            (0x3, _) => FrameKind::CommandResponse,
            (0x4, Self::R0003) => FrameKind::BytesResponse,
            (0x5, _) => FrameKind::ErrorResponse,
            (0x6, _) => FrameKind::TextOutput,
            (0x7, _) => FrameKind::Progress,
            (0x8, Self::R0003 | Self::R0005) | (0x9, Self::R0006) => FrameKind::StreamSettings,
            (0x8, Self::R0006) => FrameKind::SenderProtocolSettings,
            (other, _) => FrameKind::Unknown(other),
        }
    }

    /// The number of a frame type in this revision; `None` if it has no such type.
    pub const fn kind_number(self, kind: FrameKind) -> Option<u8> {
        match (kind, self) {
            (FrameKind::CommandRequest, _) => Some(0x1),
            (FrameKind::CommandData, Self::R0003) => Some(0x3),
            (FrameKind::CommandData, _) => Some(0x2),
            (FrameKind::BytesResponse, Self::R0003) => Some(0x4),
            (FrameKind::CommandResponse, Self::R0005 | Self::R0006) => Some(0x3),
            (FrameKind::ErrorResponse, _) => Some(0x5),
            (FrameKind::TextOutput, _) => Some(0x6),
            (FrameKind::Progress, _) => Some(0x7),
            (FrameKind::SenderProtocolSettings, Self::R0006) => Some(0x8),
            (FrameKind::StreamSettings, Self::R0006) => Some(0x9),
            (FrameKind::StreamSettings, _) => Some(0x8),
            (FrameKind::Unknown(n), _) if n <= 0x0f => Some(n),
            _ => None,
        }
    }

    /// The frame type with this name (`command-request`, …) in this revision.
    pub fn kind_named(self, name: &str) -> Option<FrameKind> {
        (0..=0x0f)
            .map(|n| self.kind(n))
            .find(|k| k.name() == Some(name))
    }

    /// The names of a frame type's four flag bits in this revision, lowest bit first.
    pub const fn flag_names(self, kind: FrameKind) -> FlagNames {
        match (kind, self) {
            (FrameKind::CommandRequest, _) => CommandRequestFlags::NAMES,
            (FrameKind::CommandData, _) => CommandDataFlags::NAMES,
            (FrameKind::BytesResponse, _) => ResponseFlags::NAMES,
            // Without `cbor`.
            (FrameKind::CommandResponse, _) => CommandDataFlags::NAMES,
            (FrameKind::SenderProtocolSettings | FrameKind::StreamSettings, Self::R0006) => {
                SettingsFlags::NAMES
            }
            (FrameKind::ErrorResponse, Self::R0003 | Self::R0005) => ErrorFlags::NAMES,
            _ => [None; 4],
        }
    }

    /// The order in which map keys are sent.
    pub const fn key_order(self) -> KeyOrder {
        match self {
            Self::R0003 | Self::R0005 => KeyOrder::ShorterFirst,
            Self::R0006 => KeyOrder::Bytewise,
        }
    }

    /// The frame type that carries responses.
    pub const fn response_kind(self) -> FrameKind {
        match self {
            Self::R0003 => FrameKind::BytesResponse,
            Self::R0005 | Self::R0006 => FrameKind::CommandResponse,
        }
    }

    /// The number of [`response_kind`](Self::response_kind).
    pub(crate) const fn response_number(self) -> u8 {
        match self {
            Self::R0003 => 0x4,
            Self::R0005 | Self::R0006 => 0x3,
        }
    }

    /// The number of `command-data`.
    pub(crate) const fn data_number(self) -> u8 {
        match self {
            Self::R0003 => 0x3,
            Self::R0005 | Self::R0006 => 0x2,
        }
    }

    /// Whether responses open with a status map (0005 and 0006).
    pub const fn has_status_map(self) -> bool {
        !matches!(self, Self::R0003)
    }

    /// Whether there are settings frames, content encodings, structured errors and redirects
    /// (0006).
    pub const fn has_settings(self) -> bool {
        matches!(self, Self::R0006)
    }
}

impl core::fmt::Display for Revision {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// How a reactor knows its revision: by value ([`Revision`], the default, for hosts) or by type
/// ([`R0003`], [`R0005`], [`R0006`], for firmware that speaks one revision: the code of the others
/// is then dropped by the compiler, and the reactor does not store which one it speaks).
pub trait Protocol: Copy + core::fmt::Debug + sealed::Sealed {
    /// Whether a server streams all data, whatever its configuration says; see [`Streaming`].
    const STREAMS: bool = false;

    /// The revision.
    fn revision(self) -> Revision;
}

/// A revision, by value or by type, whose servers stream all data
/// ([`DataMode::Stream`](crate::server::DataMode::Stream)) by type: the code that collects data is
/// dropped by the compiler. For clients it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Streaming<P: Protocol>(pub P);

impl<P: Protocol> sealed::Sealed for Streaming<P> {}
impl<P: Protocol> Protocol for Streaming<P> {
    const STREAMS: bool = true;

    #[inline(always)]
    fn revision(self) -> Revision {
        self.0.revision()
    }
}

impl sealed::Sealed for Revision {}
impl Protocol for Revision {
    #[inline]
    fn revision(self) -> Revision {
        self
    }
}

macro_rules! marker {
    ($($name:ident),*) => {$(
        #[doc = concat!("Revision [`", stringify!($name), "`](Revision::", stringify!($name), ") as a type.")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub struct $name;
        impl sealed::Sealed for $name {}
        impl Protocol for $name {
            #[inline(always)]
            fn revision(self) -> Revision {
                Revision::$name
            }
        }
    )*};
}
marker!(R0003, R0005, R0006);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_kinds_agree_both_ways() {
        for revision in REVISIONS {
            for number in 0..=0x0f {
                assert_eq!(revision.kind_number(revision.kind(number)), Some(number));
            }
            assert_eq!(Revision::from_name(revision.name()), Some(revision));
        }
        assert_eq!(Revision::R0005.kind_number(FrameKind::BytesResponse), None);
        assert_eq!(Revision::from_name("0004"), None);
    }

    #[test]
    fn numbers_are_those_of_the_kinds() {
        use crate::wire::FrameKind::*;
        for revision in REVISIONS {
            for (number, kind) in [
                (number::COMMAND_REQUEST, CommandRequest),
                (revision.data_number(), CommandData),
                (revision.response_number(), revision.response_kind()),
                (number::ERROR_RESPONSE, ErrorResponse),
                (number::TEXT_OUTPUT, TextOutput),
                (number::PROGRESS, Progress),
            ] {
                assert_eq!(revision.kind(number), kind);
            }
        }
        let settings = [number::SENDER_PROTOCOL_SETTINGS, number::STREAM_SETTINGS];
        let kinds = settings.map(|number| Revision::R0006.kind(number));
        assert_eq!(kinds, [SenderProtocolSettings, StreamSettings]);
    }

    #[test]
    fn names_are_found_again() {
        for revision in REVISIONS {
            for number in 0..=0x0f {
                let kind = revision.kind(number);
                if let Some(name) = kind.name() {
                    assert_eq!(revision.kind_named(name), Some(kind));
                }
            }
        }
    }
}
