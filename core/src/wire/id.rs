//! Request and stream IDs (framing.md, "Header", "Streams", "Request IDs"; revision-0006.md, 1.3).

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub struct $name($int);

        impl $name {
            /// The ID with this number.
            pub const fn new(value: $int) -> Self {
                Self(value)
            }

            /// The ID's number.
            pub const fn value(self) -> $int {
                self.0
            }

            /// Whether a client makes such IDs: the odd ones.
            pub const fn is_odd(self) -> bool {
                self.0 & 1 == 1
            }
        }

        impl From<$int> for $name {
            fn from(value: $int) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $int {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id! {
    /// Which request a frame belongs to. Clients make odd ones; receivers do not check.
    RequestId, u16
}

id! {
    /// Which stream a frame belongs to. Client-made streams are odd, server-made even, 0 included.
    StreamId, u8
}
