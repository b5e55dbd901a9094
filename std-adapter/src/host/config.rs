//! How a connection is made, and what is counted of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hgrpc::Revision;
use hgrpc::server::ServerConfig;
use hgrpc::wire::FrameHeader;

use super::Limits;
use crate::encoding::{ContentEncoding, SUPPORTED};

/// Which way a frame goes, as seen from this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It was received.
    In,
    /// It is being sent.
    Out,
}

/// Told of each frame as it goes by; must not block.
pub type Observer = Arc<dyn Fn(Direction, &FrameHeader) + Send + Sync>;

/// How a connection is made; the same type for both ends.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The revision that both ends have agreed on. Default: 0006.
    pub revision: Revision,
    /// What may be held, and for how long.
    pub limits: Limits,
    /// Server, 0006: encodings for responses, best first; the first that the client decodes is
    /// used. Default: none but `identity`, since compressing costs more time than a fast line
    /// saves, and about 5 MiB per response under way. [`SUPPORTED`] compresses where possible.
    pub encodes: Vec<ContentEncoding>,
    /// Client, 0006: encodings of responses that are accepted, best first. Default: all that this
    /// build decodes ([`SUPPORTED`]).
    pub decodes: Vec<ContentEncoding>,
    /// Server, 0006: send text output and progress to any peer, also one that does not say that
    /// it is an hgrpc client. Mercurial's fails on both. Default: no.
    pub always_side_frames: bool,
    /// Told of each frame.
    pub observer: Option<Observer>,
}

impl Config {
    /// The default configuration of this revision.
    pub fn new(revision: Revision) -> Self {
        Self {
            revision,
            limits: Limits::DEFAULT,
            encodes: vec![ContentEncoding::Identity],
            decodes: SUPPORTED.to_vec(),
            always_side_frames: false,
            observer: None,
        }
    }
}

impl Config {
    /// What a server's reactor is told, beside what is so for its kind of connection.
    pub(crate) fn server(&self, mut config: ServerConfig) -> ServerConfig {
        config.limits = self.limits.core();
        config.send_frame_size = self.limits.send_frame_size;
        config.always_side_frames = self.always_side_frames;
        config
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Revision::default())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("revision", &self.revision)
            .field("limits", &self.limits)
            .field("encodes", &self.encodes)
            .field("decodes", &self.decodes)
            .field("always_side_frames", &self.always_side_frames)
            .field("observer", &self.observer.is_some())
            .finish()
    }
}

/// What went over a connection so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Frames that have come.
    pub frames_in: u64,
    /// Frames that were sent.
    pub frames_out: u64,
    /// Bytes that have come.
    pub bytes_in: u64,
    /// Bytes that were sent.
    pub bytes_out: u64,
}

impl Traffic {
    /// The traffic of a server that has served one connection.
    pub(crate) const fn of(stats: &crate::gate::Stats) -> Self {
        Self {
            frames_in: stats.frames_in,
            frames_out: stats.frames_out,
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
        }
    }
}

/// Counts traffic, and shows it to the observer.
pub(crate) struct Meter {
    frames: [AtomicU64; 2],
    bytes: [AtomicU64; 2],
    observer: Option<Observer>,
}

impl Meter {
    pub(crate) fn new(observer: Option<Observer>) -> Self {
        Self {
            frames: Default::default(),
            bytes: Default::default(),
            observer,
        }
    }

    fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn frame_in(&self, header: &FrameHeader) {
        let [frames, _] = &self.frames;
        Self::add(frames, 1);
        if let Some(observer) = &self.observer {
            observer(Direction::In, header);
        }
    }

    pub(crate) fn bytes_in(&self, count: usize) {
        let [bytes, _] = &self.bytes;
        Self::add(bytes, u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(crate) fn frame_out(&self, header: &FrameHeader) {
        let [_, frames] = &self.frames;
        let [_, bytes] = &self.bytes;
        Self::add(frames, 1);
        Self::add(bytes, 8 + u64::from(header.length()));
        if let Some(observer) = &self.observer {
            observer(Direction::Out, header);
        }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let [frames_in, frames_out] = self.frames.each_ref().map(|n| n.load(Ordering::Relaxed));
        let [bytes_in, bytes_out] = self.bytes.each_ref().map(|n| n.load(Ordering::Relaxed));
        Traffic {
            frames_in,
            frames_out,
            bytes_in,
            bytes_out,
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.traffic().fmt(f)
    }
}
