//! Errors by who must act: [`ProtocolError`] (the peer broke the protocol), [`ApiMisuse`] (the
//! caller did). A refusal is neither: it is an event. [`Error`] is the one of a loop over a connection.

use core::convert::Infallible;
use core::fmt;

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The kind's name in the specification.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl core::error::Error for $name {}
    };
}
#[cfg(feature = "link")]
pub(crate) use kinds;

kinds! {
    /// The peer broke the protocol: one variant per rule, named as the specification's error kinds
    /// (revision-0006.md, 13).
    ///
    /// A server cannot go on after one; commands that it has accepted may still be answered. A
    /// client's reactor does not latch errors: its owner gives up on the connection.
    ProtocolError {
        /// A stream ID of the wrong parity for its direction.
        StreamParity = "stream-parity",
        /// A frame on a stream that is not open, without `stream-begin`.
        StreamNotBegun = "stream-not-begun",
        /// An encoded frame where none may be.
        EncodingUnsupported = "encoding-unsupported",
        /// The first frame is neither settings nor a request (0006).
        UnexpectedInitialFrame = "unexpected-initial-frame",
        /// Another frame between two settings frames (0006).
        ExpectedSettings = "expected-settings",
        /// A settings frame with `continuation` and `eos`.
        SettingsBothFlags = "settings-both-flags",
        /// A settings frame without `continuation` and `eos`.
        SettingsNoFlags = "settings-no-flags",
        /// Settings that do not decode strictly.
        MalformedSettings = "malformed-settings",
        /// Settings without a complete value.
        SettingsEmpty = "settings-empty",
        /// Settings of several values.
        SettingsMultipleValues = "settings-multiple-values",
        /// Settings over the local limit.
        SettingsTooLarge = "settings-too-large",
        /// Something else where a request must come.
        ExpectedCommandRequest = "expected-command-request",
        /// A request frame with `new` and `continuation`.
        NewAndContinuation = "new-and-continuation",
        /// A request frame with neither `new` nor `continuation`.
        NeitherNewNorContinuation = "neither-new-nor-continuation",
        /// A new request with the ID of one that is being received.
        RequestAlreadyReceiving = "request-already-receiving",
        /// A new request with the ID of one that is not yet answered.
        RequestAlreadyActive = "request-already-active",
        /// A continuation where no request is being received.
        ExpectedNewRequest = "expected-new-request",
        /// A frame for a request that has been handed out.
        RequestStillActive = "request-still-active",
        /// A frame for a request that is not being received.
        RequestNotReceiving = "request-not-receiving",
        /// A request frame after the last one.
        RequestFramesDone = "request-frames-done",
        /// `have-data` differs from the request's first frame.
        ExpectDataMismatch = "expect-data-mismatch",
        /// Data for a request that announced none.
        UnexpectedCommandData = "unexpected-command-data",
        /// A data frame with neither `continuation` nor `eos`.
        CommandDataWithoutFlags = "command-data-without-flags",
        /// Data before the request's own last frame.
        RequestFramesUnfinished = "request-frames-unfinished",
        /// A frame type that has no place here.
        UnexpectedFrameType = "unexpected-frame-type",
        /// A request without `name`.
        MissingName = "missing-name",
        /// A request that does not decode.
        MalformedRequest = "malformed-request",
        /// A frame after an error.
        AlreadyErrored = "already-errored",
        /// More refused requests at once than there is memory for.
        TooManyRefused = "too-many-refused",
        /// A frame over the receiver's maximum.
        FrameTooLarge = "frame-too-large",
        /// The input ended inside a header.
        ShortHeader = "short-header",
        /// The input ended inside a payload.
        ShortPayload = "short-payload",
        /// An encoded payload that its decoder refused.
        DecodeFailed = "decode-failed",
        /// Encoded bytes after the end of the compressed stream.
        EncodingEnded = "encoding-ended",
        /// Stream settings that name no usable encoding.
        EncodingUnusable = "encoding-unusable",
        /// A frame for a request that is not active.
        RequestNotActive = "request-not-active",
        /// A frame type that a client does not take.
        UnhandledFrameType = "unhandled-frame-type",
        /// An error response that does not decode.
        MalformedErrorResponse = "malformed-error-response",
        /// Text output that does not decode.
        MalformedTextOutput = "malformed-text-output",
        /// Progress that does not decode.
        MalformedProgress = "malformed-progress",
        /// A response that ended inside a CBOR value.
        TruncatedResponse = "truncated-response",
        /// A response whose status map is not one.
        BadStatus = "bad-status",
        /// The input ended before the request's response did.
        UnexpectedEndOfInput = "unexpected-end-of-input",
    }
}

kinds! {
    /// The caller made a mistake; nothing changed. A request whose token went into it stays
    /// open: [`take_over`](crate::server::Server::take_over) makes another.
    ApiMisuse {
        /// The request is not active: answered already, or the token is of another reactor.
        RequestNotActive = "request-not-active",
        /// A server writes on even streams only.
        OutputStreamParity = "output-stream-parity",
        /// Every output stream ID is in use.
        StreamsExhausted = "streams-exhausted",
        /// Every request ID, or every slot of the store, is in use.
        RequestIdsExhausted = "request-ids-exhausted",
        /// The one send is spent.
        CannotIssueCommands = "cannot-issue-commands",
        /// Calls are queued, but the one send is spent.
        CannotSend = "cannot-send",
        /// What was to be sent does not fit one frame, or a buffer that was lent for it.
        TooLarge = "too-large",
        /// A name, an argument map, an atom or a label that the protocol does not allow.
        InvalidMessage = "invalid-message",
        /// The peer may be Mercurial, which fails on text output and progress (0006).
        PeerTakesNoSideFrames = "peer-takes-no-side-frames",
        /// Something that this revision does not have.
        NotInThisRevision = "not-in-this-revision",
        /// Another response has the encoded stream for itself.
        StreamOccupied = "stream-occupied",
        /// The call does not fit the response's state: nothing follows its end.
        OutOfOrder = "out-of-order",
    }
}

/// Why a connection, or a call of its methods, cannot go on. `?` makes it of its parts.
///
/// `R` and `W` are the errors of the read half and of the write half, where there is a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error<R = Infallible, W = Infallible> {
    /// The peer broke the protocol. Commands that were handed out may still be answered.
    Protocol(ProtocolError),
    /// The caller made a mistake; nothing changed.
    Misuse(ApiMisuse),
    /// The read half failed. Nothing is lost: the next step goes on.
    Read(R),
    /// The write half failed. Nothing is lost: the next step goes on where it stopped.
    Write(W),
    /// The write half took no byte, which it must not do: it can take no more.
    WroteNothing,
    /// The connection over a link was lost, as seen while something was sent. The next step gives the
    /// event of it.
    #[cfg(feature = "link")]
    Lost(crate::link::LinkError),
}

impl Error {
    /// The same, where there are halves.
    #[cfg(feature = "embedded-io-v0_7")]
    #[inline]
    pub(crate) fn widen<R, W>(self) -> Error<R, W> {
        match self {
            Self::Protocol(error) => Error::Protocol(error),
            Self::Misuse(error) => Error::Misuse(error),
            Self::Read(never) | Self::Write(never) => match never {},
            Self::WroteNothing => Error::WroteNothing,
            #[cfg(feature = "link")]
            Self::Lost(error) => Error::Lost(error),
        }
    }
}

impl<R, W> From<ProtocolError> for Error<R, W> {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl<R, W> From<ApiMisuse> for Error<R, W> {
    fn from(error: ApiMisuse) -> Self {
        Self::Misuse(error)
    }
}

impl<R: fmt::Display, W: fmt::Display> fmt::Display for Error<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => error.fmt(f),
            Self::Misuse(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::Write(error) => error.fmt(f),
            Self::WroteNothing => f.write_str("the writer takes no more bytes"),
            #[cfg(feature = "link")]
            Self::Lost(error) => error.fmt(f),
        }
    }
}

impl<R: core::error::Error, W: core::error::Error> core::error::Error for Error<R, W> {}

#[cfg(feature = "embedded-io-v0_7")]
impl<R: embedded_io::Error, W: embedded_io::Error> embedded_io::Error for Error<R, W> {
    fn kind(&self) -> embedded_io::ErrorKind {
        use embedded_io::ErrorKind;
        match self {
            // embedded-io has no kind for an unexpected end.
            Self::Protocol(ProtocolError::ShortHeader | ProtocolError::ShortPayload) => {
                ErrorKind::ConnectionAborted
            }
            Self::Protocol(_) => ErrorKind::InvalidData,
            Self::Misuse(_) => ErrorKind::InvalidInput,
            Self::Read(error) => error.kind(),
            Self::Write(error) => error.kind(),
            Self::WroteNothing => ErrorKind::WriteZero,
            #[cfg(feature = "link")]
            Self::Lost(_) => ErrorKind::ConnectionReset,
        }
    }
}
