//! Every number that peers can make a server hold or wait for.

use std::time::Duration;

use crate::host::Limits;

/// Bytes that one refused request costs: a job in a deque, an entry in a map, and a place in the
/// order of entries. While it grows, a deque takes three times what is in it, a map four times; a
/// node of the order is half full.
pub(crate) const REFUSAL: usize = 256;

/// Bytes that the answer to a request costs that is refused when its name is known: its words, at
/// most 3 KiB, and what every request has.
pub(crate) const REFUSED_BY_NAME: usize = 5 << 10;

/// Bytes of a connection that does nothing.
pub(crate) const CONNECTION: usize = 4 << 10;

/// What a byte of an HTTP request's body takes: gathered in memory that doubles, and handed out.
pub(crate) const COPIES: usize = 3;

/// Bytes of a request that runs, and of its handler's task.
pub(crate) const REQUEST: usize = 4 << 10;

/// The limits of a server.
///
/// # Memory
/// What a server holds at most, in bytes, whatever its peers do:
///
/// ```text
///   connections × ( 64 Ki          receive buffer, at its largest
///                 + 2 × (64 Ki + per_connection.send_frame_size)
///                                  frames that are being written, at their most
///                 + 2 × own_bytes  what each may hold before it counts
///                 + (refusals + per_connection.calls + 1,024) × 256
///                                  answers to refused requests, and what is remembered of them
///                 + per_connection.calls × 5 Ki
///                                  the same of requests that are refused by name
///                 + 4 Ki )         the connection itself
/// + 2 × shared_bytes               all that connections hold beyond that:
///                                    requests that are being gathered, arguments and collected
///                                    data of commands that run, data on its way to its handler
/// + requests × ( 4 × per_connection.send_frame_size
///                                  responses that are gathered, and wait for their turn
///              + 4 Ki )            the request itself, and its handler's task
/// + connections × per_connection.compressed_streams × about 5 Mi
///                                  only where a server is told to compress
/// ```
/// and what handlers hold themselves. Bytes count twice since a vector that grows has room for as
/// many again. A connection on which nothing happens holds none of its buffers.
/// [`Stats::most_bytes`](super::Stats::most_bytes) shows what `own_bytes` and `shared_bytes` came
/// to.
///
/// # Over a limit
/// A request is refused with an error response that names the limit ([`Refusal`](super::Refusal));
/// a connection is closed ([`ConnectionLimit`](crate::tokio::ConnectionLimit)). Both are counted by
/// kind ([`Stats`](super::Stats)) and reported through `tracing`. Bytes that are not free yet are
/// waited for, for as long as [`stall`](Limits::stall) says: the connection that wants them is not
/// read meanwhile. Then the request that they are for is refused
/// ([`Refusal::ServerBytes`](super::Refusal::ServerBytes)) and the others go on; for data it is, of
/// all on its connection, the one that holds most. A request that was still being gathered from
/// several frames is refused by the core, so its client is told `request-too-large` and how much
/// there was room for. Only a peer whose settings find no room loses its connection: they are no
/// request that could be refused.
///
/// # Time
/// A limit of time that is `None` is none. All are looked at together, every quarter of the shortest
/// and at least once a second, so that a peer may take that much longer. While this end does not
/// read, since a handler is slow or bytes are not free, the peer's time stands still.
///
/// # Peers
/// Connections are of one peer if they come from one IPv4 address, from one IPv6 network of 64 bits,
/// or over a Unix socket from one user; those of which nothing is known count together.
///
/// ```
/// use std::time::Duration;
///
/// use hgrpc_std::tokio::{Router, Server, ServerLimits};
///
/// let mut limits = ServerLimits::DEFAULT;
/// limits.connections = 20_000;
/// limits.idle = None; // agents that are silent for days
/// limits.per_connection.calls = 8;
/// limits.per_connection.stall = Some(Duration::from_secs(5));
/// let server = Server::builder(Router::new()).limits(limits).build();
/// assert_eq!(server.stats().connections, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerLimits {
    /// What each connection may do: frame sizes, requests at once, bytes of a request and of its
    /// data that wait. The same as for connections with threads, but `gathered` is 2 MiB, since
    /// there are many of them, and `stall` is 30 s: one handler that is stuck must not hold up its
    /// neighbours for ever.
    pub per_connection: Limits,
    /// Most connections at once. Default 4,096. One more is closed as soon as it is accepted.
    pub connections: usize,
    /// Most connections at once of one address, or user of a Unix socket. Default 1,024: a fleet
    /// behind one router, and three others beside it.
    pub peer_connections: usize,
    /// Most new connections of one address, or user, within [`accept_window`](Self::accept_window).
    /// Default 2,048: twice [`peer_connections`](Self::peer_connections), for a fleet that comes
    /// back after a restart. More are closed as soon as they are accepted.
    pub peer_accepts: u32,
    /// See [`peer_accepts`](Self::peer_accepts). Default one minute.
    pub accept_window: Duration,
    /// Most requests that run at once, of all connections: their handlers have not ended, or their
    /// answers wait to be sent. Default 8,192. One more is refused.
    pub requests: usize,
    /// Most requests that run at once of one address, or user of a Unix socket. Only HTTP's server
    /// counts them: a connection of its own has [`Limits::calls`]. Default: no limit of its own.
    pub peer_requests: usize,
    /// Bytes that each connection may hold without counting as shared. Default 64 KiB: two frames,
    /// so that a modest peer never waits for a greedy one. Over it they are taken of
    /// [`shared_bytes`](Self::shared_bytes).
    pub own_bytes: usize,
    /// Most bytes that one connection may hold, own and shared. Default 8 MiB: at full buffers
    /// about 30 uploads. At least [`own_bytes`](Self::own_bytes) and twice the request size. Over it
    /// see [above](Self#over-a-limit).
    pub connection_bytes: usize,
    /// Most bytes that all connections together may hold beyond their own. Default 256 MiB. At least
    /// [`own_bytes`](Self::own_bytes) and twice the request size. Over it see
    /// [above](Self#over-a-limit).
    pub shared_bytes: usize,
    /// Most bytes of a request's data that are collected for a handler that wants all of it.
    /// Default 1 MiB. Over it the request is refused; data that streams has no limit.
    pub collected: usize,
    /// Most frames, more than the others, that bring no request nearer to its end: empty ones.
    /// Default 1,024. They cost no memory, but work. Over it the connection is closed.
    pub empty_frames: u32,
    /// Most answers to refused requests that wait for a peer to read them. Default 1,024. Over it
    /// the connection is closed.
    pub refusals: usize,
    /// How long a new connection may take for its first frame, all of it. Default 10 s: a port
    /// scanner says nothing.
    pub first_frame: Option<Duration>,
    /// Least bytes per second of a frame that has begun to come, after
    /// [`slow_frame`](Self::slow_frame), and of a connection while data of a request is still to
    /// come, on average of [`data_silence`](Self::data_silence). Default 128: slower than any line
    /// that is worth a frame. 0: no rate is too low.
    pub min_rate: u32,
    /// How long a frame may take to come whatever its rate is. Default 10 s.
    pub slow_frame: Option<Duration>,
    /// How long a request may take to be complete, its data not counted. Default 60 s.
    pub request_time: Option<Duration>,
    /// How long a peer may be silent while data of a request is still to come; slower than
    /// [`min_rate`](Self::min_rate), it may go on about as long. Default 5 min; set it to `None` for
    /// commands whose data comes from a person.
    pub data_silence: Option<Duration>,
    /// How long a peer may take no byte of what it is sent. Default 60 s.
    pub not_reading: Option<Duration>,
    /// How long a connection may be silent while nothing runs. Default 15 min, as most servers of
    /// interactive protocols; agents that keep a connection open for calls in the other direction
    /// want `None`.
    pub idle: Option<Duration>,
}

impl ServerLimits {
    /// The default limits.
    pub const DEFAULT: Self = Self {
        per_connection: Limits {
            gathered: 2 << 20,
            stall: Some(Duration::from_secs(30)),
            ..Limits::DEFAULT
        },
        connections: 4096,
        peer_connections: 1024,
        peer_accepts: 2048,
        accept_window: Duration::from_secs(60),
        requests: 8192,
        peer_requests: usize::MAX,
        own_bytes: 64 << 10,
        connection_bytes: 8 << 20,
        shared_bytes: 256 << 20,
        collected: 1 << 20,
        empty_frames: 1024,
        refusals: 1024,
        first_frame: Some(Duration::from_secs(10)),
        min_rate: 128,
        slow_frame: Some(Duration::from_secs(10)),
        request_time: Some(Duration::from_secs(60)),
        data_silence: Some(Duration::from_secs(300)),
        not_reading: Some(Duration::from_secs(60)),
        idle: Some(Duration::from_secs(900)),
    };

    /// The default limits of HTTP's server. There
    ///
    /// | limit | is of |
    /// | --- | --- |
    /// | [`gathered`](Limits::gathered) | a request's body: 4 MiB, four of the largest commands |
    /// | [`request_size`](Limits::request_size) | a command's name and arguments: 1 MiB, the names of 49,000 revisions |
    /// | [`calls`](Limits::calls) | commands of one request: 128 |
    /// | [`compressed_streams`](Limits::compressed_streams) | answers of the whole server that are compressed at once: 16 |
    /// | [`connections`](Self::connections), of one peer | 256, four for each request that is answered; 64 |
    /// | [`requests`](Self::requests), of one peer | requests that are answered: 64, each has a thread; 32, so that one that does not read its answers leaves half to the others. One that is still being read is none of them |
    /// | [`own_bytes`](Self::own_bytes) | a request's body, each byte three times, before it counts as shared: 64 KiB |
    /// | [`shared_bytes`](Self::shared_bytes) | what the bodies of all requests take beyond that: 64 MiB, at least what the largest takes |
    /// | [`first_frame`](Self::first_frame) | the time to the head of a connection's first request: 10 s |
    /// | [`idle`](Self::idle) | the time from one request to the head of the next: 60 s |
    /// | [`slow_frame`](Self::slow_frame), [`min_rate`](Self::min_rate) | the time that a body may take whatever its rate is: 10 s; then at least 1,024 bytes per second |
    /// | [`request_time`](Self::request_time) | the time that a body may take at all: 5 min |
    /// | [`not_reading`](Self::not_reading) | the time that a client may take no byte of its answer: 5 min |
    ///
    /// The others have no meaning over HTTP. See [`most_http_bytes`](Self::most_http_bytes) for what
    /// they come to.
    pub const HTTP: Self = Self {
        per_connection: Limits {
            gathered: 4 << 20,
            compressed_streams: 16,
            ..Limits::DEFAULT
        },
        connections: 256,
        peer_connections: 64,
        peer_accepts: u32::MAX,
        accept_window: Duration::ZERO,
        requests: 64,
        peer_requests: 32,
        shared_bytes: 64 << 20,
        min_rate: 1024,
        request_time: Some(Duration::from_secs(300)),
        not_reading: Some(Duration::from_secs(300)),
        idle: Some(Duration::from_secs(60)),
        ..Self::DEFAULT
    };

    /// What clients can make HTTP's server hold at most, in bytes, compression included:
    ///
    /// ```text
    ///   connections × ( 192 Ki           a head, pieces of a body and of an answer, the tables of
    ///                                      a request's commands
    ///                 + own_bytes )      what each request's body may take before it counts
    /// + requests × ( own_bytes           the same, once its connection is free again
    ///              + 1 Mi )              an answer on its way, small arguments while they are checked
    /// + shared_bytes                     all that bodies take beyond that, each byte three times:
    ///                                      gathered, handed out, checked
    /// + 40 × request_size                large arguments while they are checked, one at a time
    /// + compressed_streams × about 5 Mi  answers that are compressed
    /// ```
    /// and what commands hold themselves. By default that is about 320 MiB.
    pub fn most_http_bytes(&self) -> usize {
        let limits = self.checked_http();
        let request = usize::try_from(self.per_connection.request_size).unwrap_or(usize::MAX);
        [
            (limits.connections, (192 << 10) + limits.own_bytes),
            (limits.requests, (1 << 20) + limits.own_bytes),
            (limits.shared_bytes, 1),
            (request, 40),
            (limits.per_connection.compressed_streams, 5 << 20),
        ]
        .into_iter()
        .fold(0, |sum, (count, each)| {
            sum.saturating_add(count.saturating_mul(each))
        })
    }

    /// The same with every number in the range of HTTP's server.
    pub(crate) fn checked_http(&self) -> Self {
        Self {
            shared_bytes: self.shared_bytes.max(self.body_bytes()),
            ..*self
        }
    }

    /// What the largest body of an HTTP request takes.
    pub(crate) fn body_bytes(&self) -> usize {
        self.per_connection.gathered.saturating_mul(COPIES)
    }

    /// How long a body may take of which so many bytes have come, from its beginning on; `None`: as
    /// long as it likes.
    #[cfg(feature = "http-server")]
    pub(crate) fn body_time(&self, received: usize) -> Option<Duration> {
        let received = u64::try_from(received).unwrap_or(u64::MAX);
        let at_rate = match (self.slow_frame, self.min_rate) {
            (None, _) | (_, 0) => None,
            (Some(slow), rate) => {
                let at_rate = received.saturating_mul(1000) / u64::from(rate);
                Some(slow.max(Duration::from_millis(at_rate)))
            }
        };
        match (at_rate, self.request_time) {
            (Some(at_rate), Some(most)) => Some(at_rate.min(most)),
            (at_rate, most) => at_rate.or(most),
        }
    }

    /// No limits but those of one connection, and none of time but for stalls.
    pub(crate) const fn only(per_connection: Limits) -> Self {
        // Half of what there is, so that sums do not overflow.
        let unlimited = usize::MAX >> 1;
        Self {
            per_connection,
            requests: unlimited,
            own_bytes: unlimited,
            connection_bytes: unlimited,
            empty_frames: u32::MAX >> 1,
            first_frame: None,
            slow_frame: None,
            request_time: None,
            data_silence: None,
            not_reading: None,
            idle: None,
            ..Self::DEFAULT
        }
    }

    /// What the formula [above](Self#memory) comes to, in bytes, compression left out. It does not
    /// overflow.
    pub fn most_bytes(&self) -> usize {
        let frame = usize::try_from(self.per_connection.send_frame_size).unwrap_or(usize::MAX);
        let calls = self.per_connection.calls;
        let refused = self.refusals.saturating_add(calls).saturating_add(1024);
        let connection = (64_usize << 10)
            .saturating_add(frame.saturating_add(64 << 10).saturating_mul(2))
            .saturating_add(self.own_bytes.saturating_mul(2))
            .saturating_add(refused.saturating_mul(REFUSAL))
            .saturating_add(calls.saturating_mul(REFUSED_BY_NAME))
            .saturating_add(CONNECTION);
        let request = frame.saturating_mul(4).saturating_add(REQUEST);
        (self.connections.saturating_mul(connection))
            .saturating_add(self.shared_bytes.saturating_mul(2))
            .saturating_add(self.requests.saturating_mul(request))
    }

    /// The same with every number in its range.
    pub(crate) fn checked(&self) -> Self {
        let per_connection = self.per_connection.checked();
        let request = usize::try_from(per_connection.request_size).unwrap_or(usize::MAX);
        let least = request.saturating_mul(2).max(self.own_bytes);
        Self {
            per_connection,
            connection_bytes: self.connection_bytes.max(least),
            shared_bytes: self.shared_bytes.max(least),
            ..*self
        }
    }

    #[cfg(feature = "tokio")]
    /// How often time limits are looked at: a quarter of the shortest, a second at most.
    pub(crate) fn tick(&self) -> Duration {
        [
            self.first_frame,
            self.slow_frame,
            self.request_time,
            self.data_silence,
            self.not_reading,
            self.idle,
        ]
        .into_iter()
        .flatten()
        .fold(Duration::from_secs(1), |tick, limit| tick.min(limit / 4))
        .max(Duration::from_millis(10))
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(all(test, feature = "http-server"))]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_http_are_modest() {
        let most = ServerLimits::HTTP.most_http_bytes();
        assert!(most < 330 << 20, "{most}");
    }

    #[test]
    fn a_body_must_come_at_some_rate_and_at_some_time() {
        let limits = ServerLimits::HTTP;
        let seconds = |received| limits.body_time(received).unwrap().as_secs();
        assert_eq!([0, 1, 10_240].map(seconds), [10, 10, 10]);
        assert_eq!(seconds(20 * 1024), 20);
        assert_eq!(seconds(4 << 20), 300);
        let mut any = limits;
        any.min_rate = 0;
        assert_eq!(any.body_time(0), any.request_time);
        any.request_time = None;
        assert_eq!(any.body_time(0), None);
    }
}
