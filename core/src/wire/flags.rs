//! Typed flags (framing.md, "Streams" and "Frame types"; revision-0006.md, 1.2).
//!
//! Bits without a name are kept as they came, so that a parsed header is emitted unchanged.

/// Names of a frame type's four flag bits, lowest bit first.
pub type FlagNames = [Option<&'static str>; 4];

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$fdoc:meta])* $flag:ident = $bit:literal, $text:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub struct $name(u8);

        impl $name {
            /// No flag set.
            pub const NONE: Self = Self(0);
            $($(#[$fdoc])* pub const $flag: Self = Self($bit);)*

            /// The names of the lowest four flag bits, lowest bit first.
            pub const NAMES: FlagNames = [Self::name(0), Self::name(1), Self::name(2), Self::name(3)];

            /// The name of the flag at bit position `shift`, if it has one.
            pub const fn name(shift: u8) -> Option<&'static str> {
                $(if 1u8.wrapping_shl(u32::from_le_bytes([shift, 0, 0, 0])) == $bit {
                    return Some($text);
                })*
                None
            }

            /// The flags with these bits, unknown ones included.
            pub const fn from_bits(bits: u8) -> Self {
                Self(bits)
            }

            /// The bits.
            pub const fn bits(self) -> u8 {
                self.0
            }

            /// Whether every flag of `other` is set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Both sets of flags together; `const`, unlike `|`.
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// These flags, with those of `other` too if `set`.
            pub const fn with(self, other: Self, set: bool) -> Self {
                if set { self.union(other) } else { self }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                write_flags(f, self.0, Self::name)?;
                f.write_str(")")
            }
        }

        impl core::ops::BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                self.union(other)
            }
        }
    };
}

flags! {
    /// Flags of any frame about its stream.
    StreamFlags {
        /// First frame of the stream.
        BEGIN = 0x01, "stream-begin";
        /// Last frame of the stream.
        END = 0x02, "stream-end";
        /// The payload has the stream's content encoding applied.
        ENCODED = 0x04, "encoded";
    }
}

flags! {
    /// Flags of a `command-request` frame.
    CommandRequestFlags {
        /// First frame of a request.
        NEW = 0x01, "new";
        /// Not the first frame of a request.
        CONTINUATION = 0x02, "continuation";
        /// More request frames of this request follow.
        MORE = 0x04, "more";
        /// Command data follows the request frames.
        HAVE_DATA = 0x08, "have-data";
    }
}

flags! {
    /// Flags of a `command-data` frame.
    CommandDataFlags {
        /// More data follows.
        CONTINUATION = 0x01, "continuation";
        /// The data ends here.
        EOS = 0x02, "eos";
    }
}

flags! {
    /// Flags of a `bytes-response` or `command-response` frame.
    ResponseFlags {
        /// More of the response follows.
        CONTINUATION = 0x01, "continuation";
        /// The response ends here.
        EOS = 0x02, "eos";
        /// The response's bytes are CBOR (0003 only).
        CBOR = 0x04, "cbor";
    }
}

flags! {
    /// Flags of an `error-response` frame (0003 and 0005).
    ErrorFlags {
        /// The connection is broken and should be closed.
        PROTOCOL = 0x01, "protocol";
        /// The command failed.
        APPLICATION = 0x02, "application";
    }
}

flags! {
    /// Flags of a settings frame (0006).
    SettingsFlags {
        /// More of the settings follows.
        CONTINUATION = 0x01, "continuation";
        /// The settings end here.
        EOS = 0x02, "eos";
    }
}

/// The four flag bits of a frame, of whatever type it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TypeFlags(u8);

impl TypeFlags {
    /// No flag set.
    pub const NONE: Self = Self(0);

    /// The flags with these bits; only the low four are kept.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x0f)
    }

    /// The bits, at most `0x0f`.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both sets of flags together.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

macro_rules! into_type_flags {
    ($($name:ident),*) => {$(
        impl From<$name> for TypeFlags {
            fn from(flags: $name) -> Self {
                Self::from_bits(flags.bits())
            }
        }
        impl From<TypeFlags> for $name {
            fn from(flags: TypeFlags) -> Self {
                Self::from_bits(flags.bits())
            }
        }
    )*};
}
into_type_flags!(
    CommandRequestFlags,
    CommandDataFlags,
    ResponseFlags,
    ErrorFlags,
    SettingsFlags
);

/// Writes set flags joined by `|` from the lowest bit up (framing.md, "Showing a frame to people").
pub(super) fn write_flags(
    f: &mut core::fmt::Formatter<'_>,
    bits: u8,
    name: impl Fn(u8) -> Option<&'static str>,
) -> core::fmt::Result {
    let mut first = true;
    for shift in 0..8u8 {
        let bit = 1u8.wrapping_shl(u32::from(shift));
        if bits & bit == 0 {
            continue;
        }
        if !first {
            f.write_str("|")?;
        }
        first = false;
        match name(shift) {
            Some(known) => f.write_str(known)?,
            None => write!(f, "<unknown {bit:#04x}>")?,
        }
    }
    Ok(())
}
