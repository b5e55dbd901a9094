//! How a server is made, and the states that it can be in.

use crate::Limits;

/// How a request's data reaches its command (server.md, "Streaming"; deviations.md, D12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DataMode {
    /// All data is gathered in the arena before the command runs.
    #[default]
    Collect,
    /// The command runs when the request itself is complete; its data follows in pieces.
    Stream,
}

/// How a server is made (server.md, "Making one"); see [`Server::new`](super::Server::new).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct ServerConfig {
    /// What a peer may make this end hold.
    pub limits: Limits,
    /// Largest payload of a frame that is sent, in bytes. Default 32,768; at most 65,535 unless
    /// the peers agreed on more by other means. 0 counts as 1, and what is over
    /// [`MAX_LENGTH`](crate::wire::MAX_LENGTH) as that.
    pub send_frame_size: u32,
    /// Whether data is collected or streamed.
    pub data_mode: DataMode,
    /// Where the numbering of requests starts. Servers that share a program should start apart, so
    /// that a token that is given to the wrong one is noticed. A token has the low 16 bits: start at
    /// a connection's number times 4,096, for example.
    pub first_order: u32,
    /// Text output and progress are sent whatever the peer is (0006); by default only to a peer
    /// that says that it is an hgrpc client, since Mercurial's fails on both.
    pub always_side_frames: bool,
}

impl ServerConfig {
    /// The default configuration.
    pub const DEFAULT: Self = Self {
        limits: Limits::DEFAULT,
        send_frame_size: 0x8000,
        data_mode: DataMode::Collect,
        first_order: 0,
        always_side_frames: false,
    };

    /// The default configuration with data streamed.
    pub const STREAMING: Self = Self {
        data_mode: DataMode::Stream,
        ..Self::DEFAULT
    };

    /// The same, with these [limits](Self::limits).
    #[must_use]
    pub const fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same, with this [size of frames](Self::send_frame_size).
    #[must_use]
    pub const fn with_send_frame_size(self, send_frame_size: u32) -> Self {
        Self {
            send_frame_size,
            ..self
        }
    }

    /// The same, with data [collected or streamed](Self::data_mode).
    #[must_use]
    pub const fn with_data_mode(self, data_mode: DataMode) -> Self {
        Self { data_mode, ..self }
    }

    /// The same, with requests [numbered](Self::first_order) from here.
    #[must_use]
    pub const fn with_first_order(self, first_order: u32) -> Self {
        Self {
            first_order,
            ..self
        }
    }

    /// The same, with text output and progress [always sent](Self::always_side_frames), or not.
    #[must_use]
    pub const fn with_always_side_frames(self, always_side_frames: bool) -> Self {
        Self {
            always_side_frames,
            ..self
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The state of a server (server.md, "State"; revision-0006.md, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ServerState {
    /// Nothing has come yet (0006).
    Initial,
    /// Settings are partly received (0006).
    ProtocolSettingsReceiving,
    /// No request is partly received.
    Idle,
    /// At least one request is partly received.
    CommandReceiving,
    /// An error occurred.
    Errored,
}

impl ServerState {
    /// The state's name in the specification.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::ProtocolSettingsReceiving => "protocol-settings-receiving",
            Self::Idle => "idle",
            Self::CommandReceiving => "command-receiving",
            Self::Errored => "errored",
        }
    }
}
