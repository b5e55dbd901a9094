//! Who is at the other end of a connection.

use std::fmt;
use std::net::SocketAddr;

use super::origin::Origin;

/// Who is at the other end of a connection, as far as the operating system says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its network address (TCP).
    pub address: Option<SocketAddr>,
    /// Whose process it is (Unix sockets).
    pub credentials: Option<Credentials>,
    /// What its owner calls it, for logs.
    pub label: Option<String>,
}

/// The process at the other end of a Unix socket, when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its number, where the system tells it.
    pub pid: Option<i32>,
}

impl Peer {
    /// A peer of which nothing is known.
    pub const UNKNOWN: Self = Self {
        address: None,
        credentials: None,
        label: None,
    };

    /// A peer with this network address.
    pub const fn tcp(address: SocketAddr) -> Self {
        Self {
            address: Some(address),
            ..Self::UNKNOWN
        }
    }

    /// A peer that its owner gives a name, for logs.
    pub fn labelled(label: impl Into<String>) -> Self {
        Self {
            label: Some(label.into()),
            ..Self::UNKNOWN
        }
    }

    /// The peer of a Unix socket.
    #[cfg(all(unix, any(feature = "http-server", feature = "tokio")))]
    pub fn unix(stream: &tokio::net::UnixStream) -> Self {
        let credentials = stream.peer_cred().ok().map(|found| Credentials {
            uid: found.uid(),
            gid: found.gid(),
            pid: found.pid(),
        });
        Self {
            credentials,
            ..Self::UNKNOWN
        }
    }

    /// Returns whose connections this one counts with.
    pub fn origin(&self) -> Origin {
        match (self.address, self.credentials) {
            (Some(address), _) => Origin::of(address.ip()),
            (None, Some(credentials)) => Origin::User(credentials.uid),
            (None, None) => Origin::Unknown,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.label, self.address, self.credentials) {
            (Some(label), ..) => f.write_str(label),
            (None, Some(address), _) => write!(f, "{address}"),
            (None, None, Some(Credentials { uid, pid, .. })) => match pid {
                Some(pid) => write!(f, "user {uid}, process {pid}"),
                None => write!(f, "user {uid}"),
            },
            (None, None, None) => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_count_together() {
        let key = |text: &str| Peer::tcp(text.parse().unwrap()).origin();
        assert_eq!(key("[2001:db8::1]:1"), key("[2001:db8::2:2]:7"));
        assert_ne!(key("[2001:db8::1]:1"), key("[2001:db8:0:1::1]:1"));
        assert_eq!(key("[::ffff:10.0.0.1]:1"), key("10.0.0.1:2"));
        assert_ne!(key("10.0.0.1:2"), key("10.0.0.2:2"));
    }
}
