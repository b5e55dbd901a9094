//! What a server has done and refused, to be read at any time.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hgrpc::{ProtocolError, RefusalReason};

use crate::host::ConnectionLimit;
use crate::host::counting::{Tally, count, wide};

/// Why one request was refused, while its neighbours went on. (Over HTTP as a whole: what fails in
/// its frames, as a command does, is no refusal.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// As many requests as may run at once do, of the connection or of the server.
    TooManyRequests,
    /// Its name and arguments exceed a limit.
    RequestTooLarge,
    /// Its collected data exceeds a limit.
    DataTooLarge,
    /// It nests deeper than 16 levels.
    NestedTooDeep,
    /// It comes in too many frames.
    TooManyFrames,
    /// Its handler did not take its data in time.
    Stalled,
    /// The server holds as many bytes as it may, and none became free in time.
    ServerBytes,
    /// The owner does not let this peer run it.
    Forbidden,
    /// There is no such command.
    UnknownCommand,
    /// The server is shutting down.
    ShuttingDown,
    /// HTTP: there is nothing at its address.
    NotFound,
    /// HTTP: its method is not the address's.
    Method,
    /// HTTP: its headers are not those of a request in frames.
    Headers,
    /// HTTP: its body came too slowly.
    Slow,
    /// HTTP: its body ended before its length.
    CutShort,
    /// HTTP: it holds no complete command.
    Nothing,
    /// HTTP: it breaks the framing's rules.
    Protocol,
    /// HTTP: it holds commands that its address does not run.
    WrongCommand,
    /// HTTP: it is of version 1 of the protocol.
    Version1,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::TooManyRequests,
        Self::RequestTooLarge,
        Self::DataTooLarge,
        Self::NestedTooDeep,
        Self::TooManyFrames,
        Self::Stalled,
        Self::ServerBytes,
        Self::Forbidden,
        Self::UnknownCommand,
        Self::ShuttingDown,
        Self::NotFound,
        Self::Method,
        Self::Headers,
        Self::Slow,
        Self::CutShort,
        Self::Nothing,
        Self::Protocol,
        Self::WrongCommand,
        Self::Version1,
    ];

    /// Its place in [`ALL`](Self::ALL).
    fn index(self) -> usize {
        let mut all = Self::ALL.iter();
        all.position(|other| *other == self).unwrap_or(usize::MAX)
    }

    /// Its name in messages, logs and statistics; where the specification names it, that name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooManyRequests => RefusalReason::TooManyRequests.name(),
            Self::RequestTooLarge => RefusalReason::RequestTooLarge.name(),
            Self::DataTooLarge => RefusalReason::DataTooLarge.name(),
            Self::NestedTooDeep => RefusalReason::NestedTooDeep.name(),
            Self::TooManyFrames => RefusalReason::TooManyFrames.name(),
            Self::Stalled => "stalled",
            Self::ServerBytes => "server-bytes",
            Self::Forbidden => "forbidden",
            Self::UnknownCommand => "unknown-command",
            Self::ShuttingDown => "shutting-down",
            Self::NotFound => "not-found",
            Self::Method => "method",
            Self::Headers => "headers",
            Self::Slow => "slow",
            Self::CutShort => "cut-short",
            Self::Nothing => "nothing",
            Self::Protocol => "protocol",
            Self::WrongCommand => "wrong-command",
            Self::Version1 => "version-1",
        }
    }

    /// The core's own reasons.
    pub(crate) const fn from_core(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::RequestTooLarge => Self::RequestTooLarge,
            RefusalReason::DataTooLarge => Self::DataTooLarge,
            RefusalReason::NestedTooDeep => Self::NestedTooDeep,
            RefusalReason::TooManyFrames => Self::TooManyFrames,
            _ => Self::TooManyRequests,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The statuses that HTTP's server answers with.
const STATUSES: [u16; 12] = [200, 400, 401, 403, 404, 405, 406, 408, 411, 413, 415, 503];

/// What a server has done and refused so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open now.
    pub connections: u64,
    /// The most that were open at once.
    pub most_connections: u64,
    /// Connections that were served, in all.
    pub accepted: u64,
    /// Times that a connection could not be accepted, as for want of file descriptors.
    pub accept_errors: u64,
    /// Connections that ended since the peer broke the protocol, or what came was not HTTP;
    /// [`protocol_errors_for`](Self::protocol_errors_for) says how.
    pub protocol_errors: u64,
    /// Connections that ended since the peer speaks another protocol, as a browser does.
    pub not_hgrpc: u64,
    /// Connections that ended inside a frame, or since reading or writing failed.
    pub broken: u64,
    /// Frames that came.
    pub frames_in: u64,
    /// Frames that were made.
    pub frames_out: u64,
    /// Bytes that came.
    pub bytes_in: u64,
    /// Bytes that were written.
    pub bytes_out: u64,
    /// Requests that run now: their handlers have not ended, or their answers wait to be sent.
    pub running: u64,
    /// The most that ran at once.
    pub most_running: u64,
    /// Requests that were run, in all; over HTTP those whose heads came.
    pub requests: u64,
    /// HTTP: commands that were run, in all.
    pub commands: u64,
    /// Handlers that failed with the command's own failure.
    pub failed: u64,
    /// Handlers that failed with another failure.
    pub failed_server: u64,
    /// Handlers that panicked.
    pub panicked: u64,
    /// Replies that were dropped without an answer.
    pub unanswered: u64,
    /// Bytes that are held for requests and their data now, as the limits count them.
    pub held_bytes: u64,
    /// The most that were held at once.
    pub most_bytes: u64,
    /// The most responses of one connection that waited for their turn.
    pub most_waiting: u64,
    limits: [u64; ConnectionLimit::ALL.len()],
    refusals: [u64; Refusal::ALL.len()],
    statuses: [u64; STATUSES.len()],
    broken_rules: PerRule<u64>,
}

/// One for each rule of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PerRule<T>([T; ProtocolError::ALL.len()]);

impl<T> PerRule<T> {
    fn get(&self, error: ProtocolError) -> Option<&T> {
        let index = ProtocolError::ALL.iter().position(|rule| *rule == error)?;
        self.0.get(index)
    }
}

impl<T: Default> Default for PerRule<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| T::default()))
    }
}

impl Stats {
    /// Connections that were closed for going over this limit, be it at once.
    pub fn closed_for(&self, limit: ConnectionLimit) -> u64 {
        self.limits.get(limit.index()).copied().unwrap_or_default()
    }

    /// Connections that ended since the peer broke this rule of the protocol.
    pub fn protocol_errors_for(&self, error: ProtocolError) -> u64 {
        self.broken_rules.get(error).copied().unwrap_or_default()
    }

    /// HTTP: requests that were answered with this status.
    pub fn answered_with(&self, status: u16) -> u64 {
        let mut all = STATUSES.iter().zip(self.statuses);
        all.find_map(|(known, number)| (*known == status).then_some(number))
            .unwrap_or_default()
    }

    /// Requests that were refused for this reason.
    pub fn refused_for(&self, refusal: Refusal) -> u64 {
        self.refusals
            .get(refusal.index())
            .copied()
            .unwrap_or_default()
    }
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) most_connections: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    pub(crate) protocol_errors: AtomicU64,
    pub(crate) not_hgrpc: AtomicU64,
    pub(crate) broken: AtomicU64,
    pub(crate) frames_in: AtomicU64,
    pub(crate) frames_out: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) running: AtomicUsize,
    pub(crate) most_running: AtomicUsize,
    pub(crate) requests: AtomicU64,
    #[cfg(feature = "http-server")]
    pub(crate) commands: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) failed_server: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) unanswered: AtomicU64,
    pub(crate) most_waiting: AtomicUsize,
    limits: Tally<{ ConnectionLimit::ALL.len() }>,
    refusals: Tally<{ Refusal::ALL.len() }>,
    statuses: Tally<{ STATUSES.len() }>,
    broken_rules: PerRule<AtomicU64>,
}

impl Counters {
    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refusals.count(refusal.index());
    }

    pub(crate) fn closed(&self, limit: ConnectionLimit) {
        self.limits.count(limit.index());
    }

    pub(crate) fn broke(&self, error: ProtocolError) {
        count(&self.protocol_errors);
        if let Some(counter) = self.broken_rules.get(error) {
            count(counter);
        }
    }

    /// A connection was let in.
    #[cfg(any(feature = "http-server", feature = "tokio"))]
    pub(crate) fn entered(&self) {
        count(&self.accepted);
        let open = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_connections.fetch_max(open, Ordering::Relaxed);
    }

    /// A connection that was let in has ended.
    #[cfg(any(feature = "http-server", feature = "tokio"))]
    pub(crate) fn left(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request was answered with this status.
    #[cfg(feature = "http-server")]
    pub(crate) fn answered(&self, status: u16) {
        if let Some(kind) = STATUSES.iter().position(|known| *known == status) {
            self.statuses.count(kind);
        }
    }

    /// A request of HTTP is answered from now on.
    #[cfg(feature = "http-server")]
    pub(crate) fn begin_answer(&self) {
        let running = self.running.fetch_add(1, Ordering::AcqRel) + 1;
        self.most_running.fetch_max(running, Ordering::Relaxed);
    }

    /// Counts one more that runs; `false`, and no change, if that were more than `most`.
    pub(crate) fn begin_request(&self, most: usize) -> bool {
        let is_begun = self
            .running
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| {
                (running < most).then_some(running + 1)
            });
        let Ok(before) = is_begun else {
            return false;
        };
        self.most_running.fetch_max(before + 1, Ordering::Relaxed);
        count(&self.requests);
        true
    }

    pub(crate) fn end_request(&self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
    }

    /// All of them now. Each is right; together they may be of slightly different moments.
    pub(crate) fn read(&self, held: usize, most_held: usize) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            connections: get(&self.connections),
            most_connections: get(&self.most_connections),
            accepted: get(&self.accepted),
            accept_errors: get(&self.accept_errors),
            protocol_errors: get(&self.protocol_errors),
            not_hgrpc: get(&self.not_hgrpc),
            broken: get(&self.broken),
            frames_in: get(&self.frames_in),
            frames_out: get(&self.frames_out),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            running: wide(self.running.load(Ordering::Relaxed)),
            most_running: wide(self.most_running.load(Ordering::Relaxed)),
            requests: get(&self.requests),
            #[cfg(feature = "http-server")]
            commands: get(&self.commands),
            #[cfg(not(feature = "http-server"))]
            commands: 0,
            failed: get(&self.failed),
            failed_server: get(&self.failed_server),
            panicked: get(&self.panicked),
            unanswered: get(&self.unanswered),
            held_bytes: wide(held),
            most_bytes: wide(most_held),
            most_waiting: wide(self.most_waiting.load(Ordering::Relaxed)),
            limits: self.limits.read(),
            refusals: self.refusals.read(),
            statuses: self.statuses.read(),
            broken_rules: PerRule(self.broken_rules.0.each_ref().map(get)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_counter_of_its_own() {
        let counters = Counters::default();
        for refusal in Refusal::ALL {
            counters.refused(refusal);
        }
        for limit in ConnectionLimit::ALL {
            counters.closed(limit);
        }
        for error in ProtocolError::ALL {
            counters.broke(*error);
        }
        let stats = counters.read(0, 0);
        assert_eq!(stats.refusals, [1; 19]);
        assert_eq!(stats.limits, [1; 13]);
        assert!(Refusal::ALL.iter().all(|r| stats.refused_for(*r) == 1));
        let mut rules = ProtocolError::ALL.iter();
        assert!(rules.all(|rule| stats.protocol_errors_for(*rule) == 1));
        assert_eq!(stats.protocol_errors, ProtocolError::ALL.len() as u64);
    }

    #[test]
    fn no_more_run_than_may() {
        let counters = Counters::default();
        assert!(counters.begin_request(2));
        assert!(counters.begin_request(2));
        assert!(!counters.begin_request(2));
        counters.end_request();
        assert!(counters.begin_request(2));
        assert_eq!(counters.read(0, 0).most_running, 2);
    }
}
