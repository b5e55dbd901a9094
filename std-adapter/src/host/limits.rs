//! Every number that a peer, or a slow reader, can make a connection hold.

use std::time::Duration;

use crate::encoding::DecodeLimits;
use crate::requests::Budgets;

/// The limits of one connection, on either end, with threads or with tasks.
///
/// # Memory
/// What a connection with threads ([`blocking`](crate::blocking)) holds at most, in bytes, whatever
/// its peer does:
///
/// ```text
///   256 Ki                                   receive buffer, at its largest
/// + gathered                                 requests and messages that come in several frames
/// + calls × (buffer + 4 × send_frame_size)   per call: its data and its response on their way
/// + 2 × (64 Ki + send_frame_size)            server: frames that are being written
/// + (calls + 2,048) × 256 + calls × 5 Ki     server: answers to refused requests, and what is
///                                              remembered of them
/// + calls × request_size                     server: the names and arguments of calls that run
/// + compressed_streams × about 5 Mi          server, while responses are compressed
/// + decoding.memory                          client, while responses are compressed
/// ```
/// and its threads' stacks. A call takes its part only while it runs, and only as much as flows.
///
/// Connections with tasks have their own sums: a client's stands at `tokio::Client`, a server's, of
/// all its connections together, at `tokio::ServerLimits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest payload of a frame that is received, in bytes. Default 65,535: the most that a
    /// sender may send without asking. Over it the connection ends.
    pub frame_size: u32,
    /// Largest payload of a frame that is sent, in bytes; at least 256, so that every error's
    /// message fits one. Default 32,768, what all peers send.
    pub send_frame_size: u32,
    /// Most calls at once on one connection. Default 128: enough to keep any line busy, few enough
    /// to be threads, which they are on a server with threads; one with tasks has a task for each.
    /// A server refuses one more ([`TooManyRequests`](hgrpc::RefusalReason::TooManyRequests)). A
    /// client with threads fails it
    /// ([`RequestIdsExhausted`](hgrpc::ApiMisuse::RequestIdsExhausted)), one with tasks has it wait.
    pub calls: usize,
    /// Most bytes of one request's name and arguments. Default 1 MiB: what is large belongs into
    /// the request's data, which has no limit since it streams.
    /// Over it the request is refused ([`RequestTooLarge`](hgrpc::RefusalReason::RequestTooLarge)).
    pub request_size: u32,
    /// Most bytes of requests and messages that are being gathered from several frames, of one
    /// connection together. Default 8 MiB: several of the largest requests at once.
    pub gathered: usize,
    /// Most bytes of one call that wait for their reader: a request's data for its handler, a
    /// response for its caller. Default 256 KiB: several frames, so that both ends keep running.
    /// A full buffer stops the connection; see [Back-pressure](crate::blocking#back-pressure).
    pub buffer: usize,
    /// How long a full buffer may stop the connection before its call is given up. Default: for
    /// as long as it takes, since a pager or a paused program is no error.
    pub stall: Option<Duration>,
    /// Most bytes of one CBOR value that [`Response::next_value`](crate::blocking::Response::next_value)
    /// gathers. Default 16 MiB. They are counted as they come: decoded, each item of an array takes
    /// the size of a [`Value`](crate::value::Value), so one of many small items takes up to 33 times
    /// as much.
    pub value_size: usize,
    /// Client: most bytes of one response, as they are after decoding. Over it the call fails with
    /// [`TooLarge`](super::AnswerError::TooLarge), and the others go on. Default: no limit, since
    /// responses stream.
    pub response_size: u64,
    /// Server, 0006: most output streams with a compressing encoding, in use and idle together.
    /// Default 4: each holds about 5 MiB with `zstd-8mb`. More responses at once go uncompressed.
    pub compressed_streams: usize,
    /// Client, 0006: what compressed responses may cost.
    pub decoding: DecodeLimits,
}

impl Limits {
    /// The default limits.
    pub const DEFAULT: Self = Self {
        frame_size: 65_535,
        send_frame_size: 32_768,
        calls: 128,
        request_size: 1 << 20,
        gathered: 8 << 20,
        buffer: 256 << 10,
        stall: None,
        value_size: 16 << 20,
        response_size: u64::MAX,
        compressed_streams: 4,
        decoding: DecodeLimits::new(),
    };

    /// The same with every number in its range.
    pub(crate) fn checked(&self) -> Self {
        Self {
            // What a header can say, at most.
            send_frame_size: self.send_frame_size.clamp(256, hgrpc::wire::MAX_LENGTH),
            ..*self
        }
    }

    pub(crate) fn budgets(&self) -> Budgets {
        let mut budgets = Budgets::DEFAULT;
        budgets.requests = self.calls;
        // What is refused costs a few bytes; running out of it ends the connection.
        budgets.refused = self.calls.saturating_add(1024);
        budgets.bytes = self.gathered;
        budgets
    }

    pub(crate) fn core(&self) -> hgrpc::Limits {
        let mut limits = hgrpc::Limits::DEFAULT;
        limits.max_frame_size = self.frame_size;
        limits.request_size = self.request_size;
        limits
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
