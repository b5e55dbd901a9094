//! How a client is made, and what a server may make it hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hgrpc::cbor::{Atoms, Progress};

use crate::encoding::{ContentEncoding, DecodeLimits, SUPPORTED};

/// Takes text output. It is the peer's: show [`Atoms::escaped`] on terminals.
pub type OnText = Arc<dyn Fn(&Atoms<'_>) + Send + Sync>;

/// Takes progress. Its texts are the peer's too.
pub type OnProgress = Arc<dyn Fn(&Progress<'_>) + Send + Sync>;

/// How a client is made; see [`Client::connect`](super::Client::connect).
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Encodings of responses that are accepted, best first (Mercurial's servers go by their own
    /// order). `identity` is always accepted. Empty: no settings are sent. Default: all that this
    /// build decodes ([`SUPPORTED`]).
    pub encodings: Vec<ContentEncoding>,
    /// What a server may make this end hold.
    pub limits: Limits,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Who this is, for basic authentication; what the URL says comes first.
    pub credentials: Option<Credentials>,
    /// Certificates for `https`.
    pub tls: Tls,
    /// What becomes of responses that are elsewhere (http-v2.md, 4).
    pub redirects: Redirects,
    /// Takes text output beside responses. Only hgrpc's servers send any, and only if this or
    /// [`on_progress`](Self::on_progress) is set.
    pub on_text: Option<OnText>,
    /// Takes progress beside responses.
    pub on_progress: Option<OnProgress>,
}

/// What a server may make a client hold.
///
/// One request's memory is at most `buffered` for each of its other responses, the value that is
/// being read (`value_size`), the decoders', and about 4 MiB; usually some 200 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest payload of a frame, in bytes. Default 65,535: the most that a sender may send.
    pub frame_size: u32,
    /// Most bytes of one value that is gathered; byte strings can be read without. Default 64 MiB.
    /// They are counted as they come: decoded, each item of an array takes the size of a
    /// [`Value`](crate::value::Value), so one of many small items takes up to 33 times as much.
    pub value_size: usize,
    /// Most bytes of a response that wait while another response of the same request is read.
    /// Default 1 MiB.
    pub buffered: usize,
    /// Most bytes of the handshake's answer. Default 16 MiB.
    pub handshake_size: usize,
    /// What compressed responses may cost.
    pub decoding: DecodeLimits,
}

/// How long to wait; `None`: for as long as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// For a connection. Default 30 seconds.
    pub connect: Option<Duration>,
    /// For the next bytes of an answer, its first ones included. A server that sends fewer than 1 KiB
    /// in this time counts as silent, so that none keeps a client by a byte now and then. Default:
    /// none, since a command may work for long.
    pub read: Option<Duration>,
    /// For the peer to take the next bytes of a request. Default 60 seconds.
    pub write: Option<Duration>,
}

/// Certificates for `https`, in PEM.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// The certificates that are trusted; without them those that Mozilla trusts.
    pub authorities: Option<Vec<u8>>,
    /// What this end shows of itself: its certificate, with those that signed it, and its private
    /// key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A user's name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What becomes of responses that are elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redirects {
    /// The server is not told that this client can be redirected, so it answers itself.
    Decline,
    /// Reading the response gives [`Error::Redirected`](super::Error::Redirected).
    #[default]
    Surface,
    /// They are fetched and their hashes checked. Credentials are not sent there.
    Follow,
}

impl Limits {
    /// The default limits.
    pub const DEFAULT: Self = Self {
        frame_size: 65_535,
        value_size: 64 << 20,
        buffered: 1 << 20,
        handshake_size: 16 << 20,
        decoding: DecodeLimits::new(),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Some(Duration::from_secs(30)),
            read: None,
            write: Some(Duration::from_secs(60)),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            encodings: SUPPORTED.to_vec(),
            limits: Limits::DEFAULT,
            timeouts: Timeouts::default(),
            credentials: None,
            tls: Tls::default(),
            redirects: Redirects::default(),
            on_text: None,
            on_progress: None,
        }
    }
}

impl Config {
    /// The configuration to offer, `identity` added where encodings are listed without it
    /// (revision-0006.md, 4.1).
    pub(super) fn offered(&self) -> Vec<ContentEncoding> {
        let mut offered = Vec::new();
        for encoding in &self.encodings {
            if !offered.contains(encoding) {
                offered.push(*encoding);
            }
        }
        if !offered.is_empty() && !offered.contains(&ContentEncoding::Identity) {
            offered.push(ContentEncoding::Identity);
        }
        offered
    }

    pub(super) fn takes_side_frames(&self) -> bool {
        self.on_text.is_some() || self.on_progress.is_some()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("encodings", &self.encodings)
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .field("credentials", &self.credentials)
            .field("tls", &self.tls)
            .field("redirects", &self.redirects)
            .field("on_text", &self.on_text.is_some())
            .field("on_progress", &self.on_progress.is_some())
            .finish()
    }
}

impl fmt::Debug for Tls {
    /// Without the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("authorities", &self.authorities.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

impl fmt::Debug for Credentials {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
