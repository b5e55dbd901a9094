//! What a server has done and refused, to be read at any time.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::blocking::ConnectionLimit;
use crate::host::counting::Tally;

/// Why a request was refused as a whole. (What fails in its frames, as a command does, is none.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// There is nothing at its address.
    NotFound,
    /// Its method is not the address's.
    Method,
    /// The owner does not let this client do it, or not under this address.
    Forbidden,
    /// There is no such command.
    UnknownCommand,
    /// Its headers are not those of a request in frames.
    Headers,
    /// Its body is larger than any may be.
    RequestTooLarge,
    /// Its body came too slowly.
    Slow,
    /// Its body ended before its length.
    CutShort,
    /// It holds no complete command.
    Nothing,
    /// It breaks the framing's rules.
    Protocol,
    /// It holds commands that this address does not run.
    WrongCommand,
    /// The server holds as many bytes as it may.
    ServerBytes,
    /// As many requests as may be answered at once are, of the server or of this client.
    TooManyRequests,
    /// It is of version 1 of the protocol.
    Version1,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::NotFound,
        Self::Method,
        Self::Forbidden,
        Self::UnknownCommand,
        Self::Headers,
        Self::RequestTooLarge,
        Self::Slow,
        Self::CutShort,
        Self::Nothing,
        Self::Protocol,
        Self::WrongCommand,
        Self::ServerBytes,
        Self::TooManyRequests,
        Self::Version1,
    ];

    const fn index(self) -> usize {
        match self {
            Self::NotFound => 0,
            Self::Method => 1,
            Self::Forbidden => 2,
            Self::UnknownCommand => 3,
            Self::Headers => 4,
            Self::RequestTooLarge => 5,
            Self::Slow => 6,
            Self::CutShort => 7,
            Self::Nothing => 8,
            Self::Protocol => 9,
            Self::WrongCommand => 10,
            Self::ServerBytes => 11,
            Self::TooManyRequests => 12,
            Self::Version1 => 13,
        }
    }

    /// Its name in logs and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Method => "method",
            Self::Forbidden => "forbidden",
            Self::UnknownCommand => "unknown-command",
            Self::Headers => "headers",
            Self::RequestTooLarge => "request-too-large",
            Self::Slow => "slow",
            Self::CutShort => "cut-short",
            Self::Nothing => "nothing",
            Self::Protocol => "protocol",
            Self::WrongCommand => "wrong-command",
            Self::ServerBytes => "server-bytes",
            Self::TooManyRequests => "too-many-requests",
            Self::Version1 => "version-1",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The statuses that a server answers with.
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
    /// Connections that ended since what came was not HTTP.
    pub protocol_errors: u64,
    /// Connections that ended inside a request or an answer, or since reading or writing failed.
    pub broken: u64,
    /// Bytes that came.
    pub bytes_in: u64,
    /// Bytes that were written.
    pub bytes_out: u64,
    /// Requests whose heads came, in all.
    pub requests: u64,
    /// Requests that are answered now: their commands have not ended.
    pub running: u64,
    /// The most that were answered at once.
    pub most_running: u64,
    /// Commands that were run, in all.
    pub commands: u64,
    /// Commands that panicked.
    pub panicked: u64,
    /// Bytes that are held for requests' bodies now, as the limits count them.
    pub held_bytes: u64,
    /// The most that were held at once.
    pub most_bytes: u64,
    limits: [u64; ConnectionLimit::ALL.len()],
    refusals: [u64; Refusal::ALL.len()],
    statuses: [u64; STATUSES.len()],
}

impl Stats {
    /// Connections that were closed for going over this limit, be it at once. HTTP knows
    /// `FirstFrame` (the first request), `Idle`, `NotReading`, `Deadline`, `ServerFull` and
    /// `PeerFull`.
    pub fn closed_for(&self, limit: ConnectionLimit) -> u64 {
        self.limits.get(limit.index()).copied().unwrap_or_default()
    }

    /// Requests that were refused for this reason.
    pub fn refused_for(&self, refusal: Refusal) -> u64 {
        let counter = self.refusals.get(refusal.index());
        counter.copied().unwrap_or_default()
    }

    /// Requests that were answered with this status.
    pub fn answered_with(&self, status: u16) -> u64 {
        let mut all = STATUSES.iter().zip(self.statuses);
        all.find_map(|(known, number)| (*known == status).then_some(number))
            .unwrap_or_default()
    }
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) most_connections: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) accept_errors: AtomicU64,
    pub(super) protocol_errors: AtomicU64,
    pub(super) broken: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) running: AtomicU64,
    pub(super) most_running: AtomicU64,
    pub(super) commands: AtomicU64,
    pub(super) panicked: AtomicU64,
    limits: Tally<{ ConnectionLimit::ALL.len() }>,
    refusals: Tally<{ Refusal::ALL.len() }>,
    statuses: Tally<{ STATUSES.len() }>,
}

/// One more is there now; the most there were is kept.
pub(super) fn raise(now: &AtomicU64, most: &AtomicU64) {
    let number = now.fetch_add(1, Ordering::Relaxed) + 1;
    most.fetch_max(number, Ordering::Relaxed);
}

/// One fewer is there.
pub(super) fn lower(now: &AtomicU64) {
    now.fetch_sub(1, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn refused(&self, refusal: Refusal) {
        self.refusals.count(refusal.index());
    }

    pub(super) fn closed(&self, limit: ConnectionLimit) {
        self.limits.count(limit.index());
    }

    pub(super) fn answered(&self, status: u16) {
        if let Some(kind) = STATUSES.iter().position(|known| *known == status) {
            self.statuses.count(kind);
        }
    }

    /// All of them now. Each is right; together they may be of slightly different moments.
    pub(super) fn read(&self, held_bytes: u64, most_bytes: u64) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            connections: get(&self.connections),
            most_connections: get(&self.most_connections),
            accepted: get(&self.accepted),
            accept_errors: get(&self.accept_errors),
            protocol_errors: get(&self.protocol_errors),
            broken: get(&self.broken),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            requests: get(&self.requests),
            running: get(&self.running),
            most_running: get(&self.most_running),
            commands: get(&self.commands),
            panicked: get(&self.panicked),
            held_bytes,
            most_bytes,
            limits: self.limits.read(),
            refusals: self.refusals.read(),
            statuses: self.statuses.read(),
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
        for status in STATUSES {
            counters.answered(status);
        }
        counters.answered(999);
        let stats = counters.read(0, 0);
        assert!(Refusal::ALL.iter().all(|r| stats.refused_for(*r) == 1));
        assert!(
            ConnectionLimit::ALL
                .iter()
                .all(|l| stats.closed_for(*l) == 1)
        );
        assert!(STATUSES.iter().all(|s| stats.answered_with(*s) == 1));
        assert_eq!(stats.answered_with(999), 0);
    }
}
