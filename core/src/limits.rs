//! Every number that a peer can make this end hold (deviations.md, D2).

/// Limits on what a peer may send. Going over one refuses one request, never its neighbours; only
/// [`max_frame_size`](Self::max_frame_size) and the settings' limits end the connection.
///
/// What a store holds is limited by the store itself: how many requests, and how many bytes of
/// them. The smaller limit decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Limits {
    /// Largest payload of one frame, in bytes on the wire (revision-0006.md, 1.1). Default 65,535,
    /// the most that a sender may send without asking.
    pub max_frame_size: u32,
    /// Most bytes of one request's name and arguments. Default 16 MiB; [`FixedRequests`] hold less.
    ///
    /// [`FixedRequests`]: crate::store::FixedRequests
    pub request_size: u32,
    /// Most bytes of one request's data where it is collected; streamed data has no limit.
    /// Default 16 MiB.
    pub data_size: u32,
    /// Most frames of one request that bring its end no nearer: `command-request` frames, and
    /// `command-data` frames without a byte. A peer could otherwise keep a slot busy with headers
    /// alone. Default 16,384: a request of 16 MiB in frames of 1 KiB.
    pub request_frames: u16,
    /// Most bytes of settings. Default 64 KiB (revision-0006.md, 9.2).
    pub settings_size: u32,
    /// Most frames of settings: they are checked from their start at every frame, so this bounds
    /// the work. Default 256.
    pub settings_frames: u16,
}

impl Limits {
    /// The default limits.
    pub const DEFAULT: Self = Self {
        max_frame_size: 65_535,
        request_size: 0x0100_0000,
        data_size: 0x0100_0000,
        request_frames: 16_384,
        settings_size: 0x0001_0000,
        settings_frames: 256,
    };

    /// The same, with this [largest frame](Self::max_frame_size).
    #[must_use]
    pub const fn with_max_frame_size(self, max_frame_size: u32) -> Self {
        Self {
            max_frame_size,
            ..self
        }
    }

    /// The same, with this [largest request](Self::request_size).
    #[must_use]
    pub const fn with_request_size(self, request_size: u32) -> Self {
        Self {
            request_size,
            ..self
        }
    }

    /// The same, with this [most data](Self::data_size).
    #[must_use]
    pub const fn with_data_size(self, data_size: u32) -> Self {
        Self { data_size, ..self }
    }

    /// The same, with this [most frames](Self::request_frames) of a request.
    #[must_use]
    pub const fn with_request_frames(self, request_frames: u16) -> Self {
        Self {
            request_frames,
            ..self
        }
    }

    /// The same, with this [largest settings](Self::settings_size).
    #[must_use]
    pub const fn with_settings_size(self, settings_size: u32) -> Self {
        Self {
            settings_size,
            ..self
        }
    }

    /// The same, with this [most frames](Self::settings_frames) of settings.
    #[must_use]
    pub const fn with_settings_frames(self, settings_frames: u16) -> Self {
        Self {
            settings_frames,
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why one request is refused (server.md, "Refusals").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RefusalReason {
    /// Every slot for requests is in use.
    TooManyRequests,
    /// The request's name and arguments exceed a limit.
    RequestTooLarge,
    /// The request's collected data exceeds a limit.
    DataTooLarge,
    /// The request nests deeper than 16 levels.
    NestedTooDeep,
    /// The request comes in too many frames.
    TooManyFrames,
}

impl RefusalReason {
    /// The reason's name in the specification.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooManyRequests => "too-many-requests",
            Self::RequestTooLarge => "request-too-large",
            Self::DataTooLarge => "data-too-large",
            Self::NestedTooDeep => "nested-too-deep",
            Self::TooManyFrames => "too-many-frames",
        }
    }
}

impl core::fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}
