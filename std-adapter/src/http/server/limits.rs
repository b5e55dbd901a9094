//! Every number that clients can make a server hold or wait for.

use std::time::Duration;

/// What the clients of a server may make it hold, and for how long.
///
/// # Memory
/// What a server holds at most, in bytes, whatever its clients do:
///
/// ```text
///   connections × ( 192 Ki           a head, pieces of a body and of an answer, the tables of
///                                      a request's commands
///                 + own_bytes )      what each request's body may take before it counts
/// + running × ( own_bytes            the same, once its connection is free again
///             + 1 Mi )               an answer on its way, small arguments while they are checked
/// + shared_bytes                     all that bodies take beyond that, each byte three times:
///                                      gathered, handed out, checked
/// + 40 × command                     large arguments while they are checked, one at a time
/// + compressed × about 5 Mi          answers that are compressed
/// ```
/// and what commands hold themselves. With the defaults that is about 320 MiB;
/// [`most_bytes`](Self::most_bytes) says it of any limits, and
/// [`Stats::most_bytes`](super::Stats::most_bytes) what bodies came to.
///
/// # Over a limit
/// A request is refused: with status 413 if it can never be served, 408 if it came too slowly, 503
/// and `Retry-After` if it is for now. A connection is closed. Both are counted by kind
/// ([`Stats`](super::Stats)) and reported through `tracing`.
///
/// Behind a proxy all clients have one address: there [`peer_connections`](Self::peer_connections)
/// and [`peer_running`](Self::peer_running) want to be what [`connections`](Self::connections) and
/// [`running`](Self::running) are.
///
/// ```
/// use std::time::Duration;
///
/// use hgrpc_std::http::server::ServerConfig;
///
/// let mut config = ServerConfig::default();
/// config.limits.running = 16; // a small machine
/// config.limits.shared_bytes = 16 << 20;
/// config.limits.compressed = 2;
/// assert!(config.limits.most_bytes() < 200 << 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Most bytes of a request's body. Default 4 MiB: four of the largest commands.
    pub request: u64,
    /// Most bytes of one command's name and arguments. Default 1 MiB, as for other transports: the
    /// names of 49,000 revisions, of which Mercurial's clients ask for as many at once as the
    /// server wants, 10,000 by themselves.
    pub command: u32,
    /// Most commands of one request. Default 128, as for other transports.
    pub commands: usize,
    /// Largest payload of a frame that is received, in bytes. Default 65,535.
    pub frame_size: u32,
    /// Most bytes that a request's body may take without counting as shared. Default 64 KiB: bodies
    /// of 21 KiB, so that a modest client is served whatever others send.
    pub own_bytes: usize,
    /// Most bytes that the bodies of all requests together may take beyond that; at least what the
    /// largest one takes. Default 64 MiB: five of the largest at once.
    pub shared_bytes: usize,
    /// Most requests at once that are answered. Default 64: each has a thread. A request that is
    /// still being read is none of them, however slowly it comes.
    pub running: usize,
    /// Most requests at once that are answered to one address, or user of a Unix socket. Default 32:
    /// one that does not read its answers leaves half to the others.
    pub peer_running: usize,
    /// Most connections at once. Default 256: four for each request that is answered. One more is
    /// closed as soon as it is accepted.
    pub connections: usize,
    /// Most connections at once of one address, or user of a Unix socket. Default 64: a build farm
    /// behind one router, and three others beside it. One more is closed as soon as it is accepted.
    pub peer_connections: usize,
    /// Most answers at once that are compressed. Default 16: each takes about 5 MiB with `zstd-8mb`.
    /// More go uncompressed.
    pub compressed: usize,
    /// How long a new connection may take for the head of its first request. Default 10 seconds: a
    /// port scanner says nothing.
    pub first_request: Duration,
    /// How long a connection may take from one request to the head of the next. Default 60 seconds:
    /// clients come back on a connection of their own.
    pub idle: Duration,
    /// Least bytes per second of a request's body, on average, after
    /// [`slow_body`](Self::slow_body). Default 1,024: slower than any line that HTTP is used on.
    pub min_rate: u32,
    /// How long a body may take to come whatever its rate is. Default 10 seconds.
    pub slow_body: Duration,
    /// How long a body may take to come at all. Default 5 minutes: the largest at 14 KiB per second.
    pub body_time: Duration,
    /// How long a client may take no byte of its answer before it is given up. Default 5 minutes: a
    /// pager that waits for its reader.
    pub stall: Duration,
    /// How long running requests may take to end after [`Running::stop`](super::Running::stop).
    /// Default 30 seconds.
    pub shutdown: Duration,
}

/// What a body's byte takes: gathered in memory that doubles, and handed out.
pub(super) const COPIES: usize = 3;

impl ServerLimits {
    /// The default limits.
    pub const DEFAULT: Self = Self {
        request: 4 << 20,
        command: 1 << 20,
        commands: 128,
        frame_size: 65_535,
        own_bytes: 64 << 10,
        shared_bytes: 64 << 20,
        running: 64,
        peer_running: 32,
        connections: 256,
        peer_connections: 64,
        compressed: 16,
        first_request: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        min_rate: 1024,
        slow_body: Duration::from_secs(10),
        body_time: Duration::from_secs(300),
        stall: Duration::from_secs(300),
        shutdown: Duration::from_secs(30),
    };

    /// What the documented formula comes to, in bytes, compression included.
    pub fn most_bytes(&self) -> usize {
        let command = usize::try_from(self.command).unwrap_or(usize::MAX);
        let limits = self.checked();
        [
            (limits.connections, (192 << 10) + limits.own_bytes),
            (limits.running, (1 << 20) + limits.own_bytes),
            (limits.shared_bytes, 1),
            (command, 40),
            (limits.compressed, 5 << 20),
        ]
        .into_iter()
        .fold(0, |sum, (count, each)| {
            sum.saturating_add(count.saturating_mul(each))
        })
    }

    /// The same with every number in its range.
    pub(super) fn checked(&self) -> Self {
        Self {
            shared_bytes: self.shared_bytes.max(self.body_bytes()),
            ..*self
        }
    }

    /// What the largest body takes.
    pub(super) fn body_bytes(&self) -> usize {
        let request = usize::try_from(self.request).unwrap_or(usize::MAX);
        request.saturating_mul(COPIES)
    }

    /// How long a body may take of which so many bytes have come, from its beginning on.
    pub(super) fn body_time(&self, received: usize) -> Duration {
        let received = u64::try_from(received).unwrap_or(u64::MAX);
        let at_rate = match self.min_rate {
            0 => self.body_time,
            rate => Duration::from_millis(received.saturating_mul(1000) / u64::from(rate)),
        };
        self.slow_body.max(at_rate).min(self.body_time)
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_modest() {
        let most = ServerLimits::DEFAULT.most_bytes();
        assert!(most < 330 << 20, "{most}");
    }

    #[test]
    fn a_body_must_come_at_some_rate_and_at_some_time() {
        let limits = ServerLimits::DEFAULT;
        let seconds = |received| limits.body_time(received).as_secs();
        assert_eq!([0, 1, 10_240].map(seconds), [10, 10, 10]);
        assert_eq!(seconds(20 * 1024), 20);
        assert_eq!(seconds(4 << 20), 300);
        let mut any = limits;
        any.min_rate = 0;
        assert_eq!(any.body_time(0), any.body_time);
    }
}
